//! What every store must do, told once and asked of each.

use std::sync::Arc;

use crate::context::fixtures::{at, call, entry, hung_up, invited, transferred};
use crate::context::journal::{Entry, Fact};
use crate::context::store::{Access, ContextStore, Line, MemoryStore, OpenError, open};
use crate::context::summary::{CallFilter, Phase};

fn lines(number: u32, first_seq: u64, entries: &[Entry]) -> Vec<Line> {
    let line = |(place, entry): (usize, &Entry)| Line {
        call: call(number),
        seq: first_seq + place as u64,
        entry: Arc::new(entry.clone()),
    };
    entries.iter().enumerate().map(line).collect()
}

async fn keeps_journals_in_order(store: &dyn ContextStore) {
    let journal = transferred();
    let (first, second) = journal.split_at(5);

    store.append(&lines(1, 0, first)).await.unwrap();
    store.append(&lines(2, 0, &[entry(5, invited())])).await.unwrap();
    store.append(&lines(1, 5, second)).await.unwrap();

    assert_eq!(store.read(&call(1)).await.unwrap(), journal);
    assert_eq!(store.read(&call(3)).await.unwrap(), []);
    let asked = [call(2), call(3), call(1)];
    assert_eq!(store.next_seqs(&asked).await.unwrap(), [1, 0, journal.len() as u64]);
}

async fn takes_a_repeated_write_once(store: &dyn ContextStore) {
    let journal = transferred();
    let [first, all] = [lines(1, 0, &journal[..9]), lines(1, 0, &journal)];

    for batch in [&first, &all, &all, &first] {
        store.append(batch).await.unwrap();
    }

    assert_eq!(store.read(&call(1)).await.unwrap(), journal);
    let [summary] = store.list(&CallFilter::newest(9)).await.unwrap().try_into().unwrap();
    assert_eq!((summary.phase, summary.ended), (Phase::Disconnected, Some(at(60_000))));
}

async fn lists_the_newest_that_are_asked_for(store: &dyn ContextStore) {
    for number in 1..=4 {
        let began = i64::from(number) * 1000;
        let mut journal = vec![entry(began, invited()), entry(began + 1, Fact::Answered)];
        if number % 2 == 0 {
            journal.push(entry(began + 9, hung_up()));
        }
        store.append(&lines(number, 0, &journal)).await.unwrap();
    }
    let all = || CallFilter::newest(9);
    let only = |phase| CallFilter { phases: vec![phase], ..all() };
    for (filter, expected) in [
        (all(), vec![4, 3, 2, 1]),
        (CallFilter::newest(2), vec![4, 3]),
        (CallFilter { from: Some(at(3000)), ..all() }, vec![4, 3]),
        (only(Phase::Answered), vec![3, 1]),
        (only(Phase::Disconnected), vec![4, 2]),
        (only(Phase::Connected), vec![]),
        (CallFilter { caller: Some("+4930555123".into()), limit: 1, ..all() }, vec![4]),
        (CallFilter { caller: Some("somebody else".into()), ..all() }, vec![]),
    ] {
        let found = store.list(&filter).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|summary| summary.call_id).collect();
        let expected: Vec<_> = expected.into_iter().map(call).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

/// A stranger chooses the Call-ID, and may choose one twice.
async fn takes_a_call_id_used_again_for_a_new_call(store: &dyn ContextStore) {
    let old = [entry(0, invited()), entry(9, hung_up())];
    let new = [entry(5000, invited()), entry(5001, Fact::Answered)];

    store.append(&lines(1, 0, &old)).await.unwrap();
    store.append(&lines(1, 2, &new)).await.unwrap();

    assert_eq!(store.read(&call(1)).await.unwrap(), new);
    let [summary] = store.list(&CallFilter::newest(9)).await.unwrap().try_into().unwrap();
    assert_eq!((summary.phase, summary.began), (Phase::Answered, at(5000)));
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_journals_in_order(&MemoryStore::new()).await;
    takes_a_repeated_write_once(&MemoryStore::new()).await;
    lists_the_newest_that_are_asked_for(&MemoryStore::new()).await;
    takes_a_call_id_used_again_for_a_new_call(&MemoryStore::new()).await;
}

#[tokio::test]
async fn a_url_that_names_no_store_is_refused_in_one_line() {
    for (url, access, expected) in [
        ("tandem.db", Access::Write, "`tandem.db` names no store: sqlite:PATH or memory:"),
        ("sqlite:", Access::Write, "`sqlite:` names no store: sqlite:PATH or memory:"),
        (
            "postgres://db/tandem",
            Access::Write,
            "`postgres://db/tandem` is a store that is not in this build: use sqlite:PATH",
        ),
        ("memory:", Access::Read, "a store in memory cannot be read from outside: ask the desk"),
    ] {
        let error = open(url, access).await.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(expected));
    }
    assert!(open("memory:", Access::Write).await.is_ok());
}

#[cfg(not(feature = "sqlite"))]
#[tokio::test]
async fn a_build_without_sqlite_names_the_feature() {
    let error = open("sqlite:tandem.db", Access::Write).await.err().unwrap();
    assert!(matches!(error, OpenError::NotInThisBuild { .. }));
    assert!(error.to_string().ends_with("build with the feature `sqlite`"));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::collections::BTreeSet;
    use std::error::Error;
    use std::fs;
    use std::path::Path;

    use tempfile::tempdir;

    use super::*;
    use crate::context::store::SqliteStore;

    async fn store(folder: &Path, name: &str) -> SqliteStore {
        SqliteStore::open(&folder.join(name), Access::Write).await.unwrap()
    }

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let folder = tempdir().unwrap();
        keeps_journals_in_order(&store(folder.path(), "1").await).await;
        takes_a_repeated_write_once(&store(folder.path(), "2").await).await;
        lists_the_newest_that_are_asked_for(&store(folder.path(), "3").await).await;
        takes_a_call_id_used_again_for_a_new_call(&store(folder.path(), "4").await).await;
    }

    #[tokio::test]
    async fn a_line_in_the_place_of_another_is_refused() {
        let folder = tempdir().unwrap();
        let store = store(folder.path(), "tandem.db").await;
        let written = [entry(0, invited()), entry(9, hung_up())];
        store.append(&lines(1, 0, &written)).await.unwrap();

        let other = [entry(9, Fact::Answered), entry(10, hung_up())];
        let error = store.append(&lines(1, 1, &other)).await.unwrap_err();

        assert!(error.chain().ends_with("a line is there already with other words"), "{error:?}");
        assert_eq!(store.read(&call(1)).await.unwrap(), written);
    }

    /// A second server would end the calls of the first.
    #[tokio::test]
    async fn a_file_has_one_writer_at_a_time_and_any_number_of_readers() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        let first = store(folder.path(), "tandem.db").await;

        let error = SqliteStore::open(&path, Access::Write).await.unwrap_err();
        let told = "is taken: another process serves with it";
        assert_eq!(error.to_string(), format!("the store `{}` {told}", path.display()));
        assert!(SqliteStore::open(&path, Access::Read).await.is_ok());
        #[cfg(unix)]
        {
            let link = folder.path().join("link.db");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert!(SqliteStore::open(&link, Access::Write).await.is_err());
        }

        drop(first);
        assert!(SqliteStore::open(&path, Access::Write).await.is_ok());
    }

    /// What a kill leaves behind: the file and its WAL as they are while the store is open.
    #[tokio::test]
    async fn what_was_written_survives_a_kill() {
        let folder = tempdir().unwrap();
        let killed = store(folder.path(), "tandem.db").await;
        killed.append(&lines(1, 0, &transferred())).await.unwrap();
        let left = tempdir().unwrap();
        for name in ["tandem.db", "tandem.db-wal"] {
            fs::copy(folder.path().join(name), left.path().join(name)).unwrap();
        }

        let url = format!("sqlite:{}", left.path().join("tandem.db").display());
        let reopened = open(&url, Access::Read).await.unwrap();

        assert_eq!(reopened.read(&call(1)).await.unwrap(), transferred());
    }

    #[tokio::test]
    async fn a_reader_sees_what_a_writer_beside_it_has_written_and_writes_nothing() {
        let folder = tempdir().unwrap();
        let writer = store(folder.path(), "tandem.db").await;
        let path = folder.path().join("tandem.db");
        let reader = SqliteStore::open(&path, Access::Read).await.unwrap();

        writer.append(&lines(1, 0, &transferred())).await.unwrap();

        assert_eq!(reader.read(&call(1)).await.unwrap(), transferred());
        assert!(reader.append(&lines(2, 0, &transferred())).await.is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_callers_said_is_for_nobody_elses_eyes() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempdir().unwrap();
        let store = store(folder.path(), "tandem.db").await;
        store.append(&lines(1, 0, &transferred())).await.unwrap();

        for file in fs::read_dir(folder.path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[tokio::test]
    async fn a_store_that_is_closed_leaves_the_file_and_its_lock() {
        let folder = tempdir().unwrap();
        let store = store(folder.path(), "tandem.db").await;
        store.append(&lines(1, 0, &transferred())).await.unwrap();
        store.read(&call(1)).await.unwrap();

        store.close().await;

        let left = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(
            left.collect::<BTreeSet<_>>(),
            ["tandem.db", "tandem.db.lock"].map(Into::into).into()
        );
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_named() {
        let folder = tempdir().unwrap();
        let in_no_folder = folder.path().join("no/such/folder/tandem.db");
        let no_database = folder.path().join("notes.txt");
        fs::write(&no_database, "these are notes and not a database ".repeat(99)).unwrap();

        for path in [&in_no_folder, &no_database] {
            let url = format!("sqlite:{}", path.display());
            let error = open(&url, Access::Write).await.err().unwrap();
            assert_eq!(error.to_string(), format!("cannot open the store `{}`", path.display()));
            assert!(!error.source().unwrap().to_string().contains('\n'));
        }
        let missing = folder.path().join("missing.db");
        let error = open(&format!("sqlite:{}", missing.display()), Access::Read).await.err();
        assert!(matches!(error, Some(OpenError::Unusable { .. })));
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn a_file_of_a_later_version_is_left_alone() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        let pool = sqlx::SqlitePool::connect_with(
            sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true),
        );
        let pool = pool.await.unwrap();
        sqlx::query("PRAGMA user_version = 7").execute(&pool).await.unwrap();
        pool.close().await;

        let error = SqliteStore::open(&path, Access::Write).await.unwrap_err();

        assert!(matches!(error, OpenError::TooNew { found: 7, known: 1, .. }));
    }
}
