//! Journals in one SQLite file.
//!
//! ```text
//! entries  call_id, seq -> at_us, fact (JSON)      what happened; never changed
//! calls    call_id      -> state, began_us, …      one row a call, kept in the same transaction
//! ```
//!
//! A write is one transaction for many lines. The file is in WAL mode with `synchronous = FULL`, so a
//! transaction that has returned survives a loss of power, and readers (the desk, `tandem context` in
//! another process) never wait for the writer. Lines travel as one JSON array into each statement: the
//! cost of a statement is paid once a batch, not once a line.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Row, SqliteConnection};

use crate::context::journal::{Entry, Reason};
use crate::context::store::lock::StoreLock;
use crate::context::store::{Access, ContextStore, Line, OpenError, StoreError};
use crate::context::summary::{CallFilter, CallSummary, Phase};
use crate::ids::CallId;

/// The steps from an empty file to the schema of this build. The file says in `user_version` how many
/// of them it has, so each ends by counting itself; one that was released is never changed.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE entries (
        call_id TEXT    NOT NULL,
        seq     INTEGER NOT NULL,
        at_us   INTEGER NOT NULL,
        fact    TEXT    NOT NULL,
        PRIMARY KEY (call_id, seq)
    ) WITHOUT ROWID;
    CREATE TABLE calls (
        call_id     TEXT    NOT NULL PRIMARY KEY,
        first_seq   INTEGER NOT NULL,
        last_seq    INTEGER NOT NULL,
        state       TEXT    NOT NULL,
        began_us    INTEGER NOT NULL,
        ended_us    INTEGER,
        caller      TEXT    NOT NULL,
        caller_name TEXT,
        called      TEXT    NOT NULL,
        route       TEXT    NOT NULL,
        agent       TEXT,
        trunk       TEXT,
        reason      TEXT
    ) WITHOUT ROWID;
    CREATE INDEX calls_by_time ON calls (began_us);
    CREATE INDEX calls_by_caller ON calls (caller, began_us);
    PRAGMA user_version = 1;
"];

/// How many look-ups may run at once; more wait. The desk's pages are the only ones.
const READERS: u32 = 4;
/// How long we wait for another process that writes the file.
const BUSY_TIME: Duration = Duration::from_secs(1);
/// How long a look-up waits for its turn.
const TURN_TIME: Duration = Duration::from_secs(2);

/// A store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Of a store that is written to.
    _lock: Option<StoreLock>,
}

impl SqliteStore {
    /// Opens the file and brings it to the schema of this build; with [`Access::Write`] makes it if it
    /// is not there, and keeps every other writer out.
    pub async fn open(path: &Path, access: Access) -> Result<Self, OpenError> {
        let unusable =
            |cause: Cause| OpenError::Unusable { path: path.display().to_string(), cause };
        let mut lock = None;
        if access == Access::Write {
            lock = StoreLock::take(path).map_err(|cause| unusable(cause.into()))?;
            if lock.is_none() {
                return Err(OpenError::Taken { path: path.display().to_string() });
            }
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIME);
        let options = match access {
            Access::Write => options.journal_mode(SqliteJournalMode::Wal),
            // Not opened read-only: after a crash somebody has to play the WAL back.
            Access::Read => options.pragma("query_only", "on"),
        };
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(TURN_TIME)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool(1).connect_with(options.clone()).await;
        let writer = writer.map_err(|cause| unusable(cause.into()))?;
        migrate(&writer, path, access).await?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "on"));
        Ok(SqliteStore { writer, readers, _lock: lock })
    }

    async fn write(&self, lines: &[Line]) -> Result<(), Cause> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        insert_entries(&mut transaction, lines).await?;
        keep_summaries(&mut transaction, lines).await?;
        Ok(transaction.commit().await?)
    }

    async fn find_next_seqs(&self, calls: &[CallId]) -> Result<Vec<u64>, Cause> {
        const SQL: &str = "
            SELECT coalesce((SELECT max(seq) + 1 FROM entries WHERE call_id = asked.value), 0)
            FROM json_each(?1) AS asked ORDER BY asked.key";
        let asked: Vec<&str> = calls.iter().map(CallId::as_str).collect();
        let rows = sqlx::query(SQL).bind(serde_json::to_string(&asked)?);
        let rows = rows.fetch_all(&self.writer).await?;
        rows.iter().map(|row| Ok(u64::try_from(row.try_get::<i64, _>(0)?)?)).collect()
    }

    async fn find_entries(&self, call: &CallId) -> Result<Vec<Entry>, Cause> {
        const SQL: &str = "
            SELECT at_us, fact FROM entries
            WHERE call_id = ?1
              AND seq >= coalesce((SELECT first_seq FROM calls WHERE call_id = ?1), 0)
            ORDER BY seq";
        let rows = sqlx::query(SQL).bind(call.as_str()).fetch_all(&self.readers).await?;
        let entry = |row: &SqliteRow| -> Result<Entry, Cause> {
            let at = Timestamp::from_microsecond(row.try_get(0)?)?;
            Ok(Entry { at, fact: serde_json::from_str(row.try_get(1)?)? })
        };
        rows.iter().map(entry).collect()
    }

    async fn find_calls(&self, filter: &CallFilter) -> Result<Vec<CallSummary>, Cause> {
        const SQL: &str = "
            SELECT * FROM calls
            WHERE state IN (SELECT value FROM json_each(?1))
              AND (?2 IS NULL OR began_us >= ?2)
              AND (?3 IS NULL OR caller = ?3)
            ORDER BY began_us DESC, call_id LIMIT ?4";
        let states: Vec<&str> = filter.phases.iter().map(|phase| phase.name()).collect();
        let rows = sqlx::query(SQL)
            .bind(serde_json::to_string(&states)?)
            .bind(filter.from.map(Timestamp::as_microsecond))
            .bind(filter.caller.as_deref())
            .bind(i64::try_from(filter.limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(summary).collect()
    }
}

type Cause = Box<dyn Error + Send + Sync>;

fn cannot(act: &'static str) -> impl Fn(Cause) -> StoreError {
    move |cause| StoreError { act, cause }
}

impl ContextStore for SqliteStore {
    fn append<'a>(&'a self, lines: &'a [Line]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.write(lines).await.map_err(cannot("write")) }.boxed()
    }

    fn next_seqs<'a>(&'a self, calls: &'a [CallId]) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        async move { self.find_next_seqs(calls).await.map_err(cannot("read")) }.boxed()
    }

    fn read<'a>(&'a self, call: &'a CallId) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        async move { self.find_entries(call).await.map_err(cannot("read")) }.boxed()
    }

    fn list<'a>(
        &'a self,
        filter: &'a CallFilter,
    ) -> BoxFuture<'a, Result<Vec<CallSummary>, StoreError>> {
        async move { self.find_calls(filter).await.map_err(cannot("read")) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.readers.close().await;
            // The last connection to go moves the WAL into the file.
            self.writer.close().await;
        }
        .boxed()
    }
}

async fn migrate(writer: &SqlitePool, path: &Path, access: Access) -> Result<(), OpenError> {
    let path = path.display().to_string();
    let unusable = |cause: Cause| OpenError::Unusable { path: path.clone(), cause };
    let known = MIGRATIONS.len() as i64;
    let found = user_version(writer).await.map_err(unusable)?;
    if found > known {
        return Err(OpenError::TooNew { path, found, known });
    }
    if access == Access::Read {
        let current = found == known;
        return if current { Ok(()) } else { Err(unusable("no journals of this version".into())) };
    }
    apply_migrations(writer, found).await.map_err(unusable)
}

async fn user_version(pool: &SqlitePool) -> Result<i64, Cause> {
    Ok(sqlx::query("PRAGMA user_version").fetch_one(pool).await?.try_get(0)?)
}

async fn apply_migrations(writer: &SqlitePool, found: i64) -> Result<(), Cause> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found)?) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

async fn insert_entries(connection: &mut SqliteConnection, lines: &[Line]) -> Result<(), Cause> {
    const SQL: &str = "
        INSERT OR IGNORE INTO entries (call_id, seq, at_us, fact)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)";
    const CONTRADICTED: &str = "
        SELECT 1 FROM json_each(?1) AS line
        JOIN entries ON call_id = line.value ->> 0 AND seq = line.value ->> 1
        WHERE at_us <> line.value ->> 2 OR fact <> line.value ->> 3 LIMIT 1";
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let fact = serde_json::to_string(&line.entry.fact)?;
        rows.push(json!([line.call.as_str(), line.seq, line.entry.at.as_microsecond(), fact]));
    }
    let rows = serde_json::to_string(&rows)?;
    let inserted = sqlx::query(SQL).bind(&rows).execute(&mut *connection).await?.rows_affected();
    if inserted == lines.len() as u64 {
        return Ok(());
    }
    // Lines of a write whose answer was lost are there already, word for word.
    match sqlx::query(CONTRADICTED).bind(&rows).fetch_optional(connection).await? {
        None => Ok(()),
        Some(_) => Err("a line is there already with other words".into()),
    }
}

/// A row of `calls`: the summary, and which lines it is made of.
struct Known {
    summary: CallSummary,
    first_seq: u64,
    /// The last line that was taken in: a line that is written again is not taken in again.
    last_seq: Option<u64>,
}

/// Brings the rows of `calls` up to the lines that were just written.
async fn keep_summaries(connection: &mut SqliteConnection, lines: &[Line]) -> Result<(), Cause> {
    let mut known = find_known(connection, lines).await?;
    for line in lines {
        let known = known.entry(&line.call).or_insert_with(|| Known {
            summary: CallSummary::new(line.call.clone(), line.entry.at),
            first_seq: line.seq,
            last_seq: None,
        });
        if known.last_seq.is_some_and(|last| line.seq <= last) {
            continue;
        }
        if line.entry.fact.begins_call() {
            known.first_seq = line.seq;
        }
        known.summary.apply(&line.entry);
        known.last_seq = Some(line.seq);
    }
    upsert(connection, known.values()).await
}

async fn find_known<'a>(
    connection: &mut SqliteConnection,
    lines: &'a [Line],
) -> Result<BTreeMap<&'a CallId, Known>, Cause> {
    const SQL: &str = "SELECT * FROM calls WHERE call_id IN (SELECT value FROM json_each(?1))";
    let calls: BTreeMap<&str, &CallId> =
        lines.iter().map(|line| (line.call.as_str(), &line.call)).collect();
    let asked: Vec<&&str> = calls.keys().collect();
    let rows = sqlx::query(SQL).bind(serde_json::to_string(&asked)?).fetch_all(connection).await?;
    let mut known = BTreeMap::new();
    for row in &rows {
        let summary = summary(row)?;
        let first_seq = u64::try_from(row.try_get::<i64, _>("first_seq")?)?;
        let last_seq = Some(u64::try_from(row.try_get::<i64, _>("last_seq")?)?);
        if let Some(call) = calls.get(summary.call_id.as_str()) {
            known.insert(*call, Known { summary, first_seq, last_seq });
        }
    }
    Ok(known)
}

async fn upsert<'a>(
    connection: &mut SqliteConnection,
    known: impl Iterator<Item = &'a Known>,
) -> Result<(), Cause> {
    const SQL: &str = "
        INSERT OR REPLACE INTO calls (call_id, first_seq, last_seq, state, began_us, ended_us,
            caller, caller_name, called, route, agent, trunk, reason)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
            value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
            value ->> 12
        FROM json_each(?1)";
    let rows = known.map(|Known { summary, first_seq, last_seq }| {
        json!([
            summary.call_id.as_str(),
            first_seq,
            last_seq.unwrap_or(*first_seq),
            summary.phase.name(),
            summary.began.as_microsecond(),
            summary.ended.map(Timestamp::as_microsecond),
            summary.caller,
            summary.caller_name,
            summary.called,
            summary.route,
            summary.agent,
            summary.trunk,
            summary.reason.map(Reason::name),
        ])
    });
    let rows: Vec<serde_json::Value> = rows.collect();
    sqlx::query(SQL).bind(serde_json::to_string(&rows)?).execute(connection).await?;
    Ok(())
}

fn summary(row: &SqliteRow) -> Result<CallSummary, Cause> {
    let call_id = CallId::new(row.try_get("call_id")?).ok_or("a row has no Call-ID")?;
    let reason: Option<String> = row.try_get("reason")?;
    let ended: Option<i64> = row.try_get("ended_us")?;
    Ok(CallSummary {
        call_id,
        caller: row.try_get("caller")?,
        caller_name: row.try_get("caller_name")?,
        called: row.try_get("called")?,
        route: row.try_get("route")?,
        agent: row.try_get("agent")?,
        trunk: row.try_get("trunk")?,
        began: Timestamp::from_microsecond(row.try_get("began_us")?)?,
        phase: Phase::named(row.try_get("state")?).ok_or("a row has an unknown state")?,
        reason: reason.map(|reason| serde_json::from_value(reason.into())).transpose()?,
        ended: ended.map(Timestamp::from_microsecond).transpose()?,
    })
}
