//! The recorder on a clock that stands still, over stores that obey, fail, hang and forget.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::*;
use crate::context::fixtures::{at, call, entry, hung_up, invited, transferred};
use crate::context::store::{Line, MemoryStore};

/// A store that does what its script says, one step a write; then it obeys.
#[derive(Debug)]
struct Scripted {
    kept: MemoryStore,
    script: Mutex<VecDeque<Step>>,
    writes: Mutex<Vec<usize>>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fail,
    /// Writes, and says that it did not.
    Forget,
    Take(Duration),
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Step>) -> Arc<Self> {
        let script = Mutex::new(script.into_iter().collect());
        Arc::new(Scripted { kept: MemoryStore::new(), script, writes: Mutex::default() })
    }

    /// The sizes of the writes so far.
    fn writes(&self) -> Vec<usize> {
        self.writes.lock().unwrap().clone()
    }

    async fn journal(&self, number: u32) -> Vec<Entry> {
        self.kept.read(&call(number)).await.unwrap()
    }
}

impl ContextStore for Scripted {
    fn append<'a>(&'a self, lines: &'a [Line]) -> BoxFuture<'a, Result<(), StoreError>> {
        let step = self.script.lock().unwrap().pop_front();
        self.writes.lock().unwrap().push(lines.len());
        let failed = || Err(StoreError { act: "write", cause: "disk full".into() });
        Box::pin(async move {
            match step {
                Some(Step::Fail) => return failed(),
                Some(Step::Forget) => {
                    self.kept.append(lines).await?;
                    return failed();
                }
                Some(Step::Take(time)) => tokio::time::sleep(time).await,
                None => (),
            }
            self.kept.append(lines).await
        })
    }

    fn next_seqs<'a>(&'a self, calls: &'a [CallId]) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        self.kept.next_seqs(calls)
    }

    fn read<'a>(&'a self, call: &'a CallId) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.kept.read(call)
    }

    fn list<'a>(
        &'a self,
        filter: &'a CallFilter,
    ) -> BoxFuture<'a, Result<Vec<CallSummary>, StoreError>> {
        self.kept.list(filter)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.kept.close()
    }
}

fn record(recorder: &Recorder, number: u32, journal: &[Entry]) {
    for entry in journal {
        recorder.record(&call(number), entry.fact.clone(), entry.at);
    }
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn entries_are_written_in_groups() {
    let store = Scripted::new([]);
    let recorder = Recorder::start(store.clone());
    let journal = transferred();

    record(&recorder, 1, &journal);
    pass(49).await;
    assert!(store.writes().is_empty());
    pass(2).await;

    assert_eq!(store.writes(), [journal.len()]);
    assert_eq!(store.journal(1).await, journal);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_read_the_moment_after_it_was_recorded() {
    let store = Scripted::new([]);
    let recorder = Recorder::start(store.clone());
    let journal = transferred();

    for seen in 1..=journal.len() {
        record(&recorder, 1, &journal[seen - 1..seen]);
        let context = recorder.read(&call(1)).await.unwrap();
        assert_eq!(context, CallContext::read(&call(1), &journal[..seen]));
    }
    assert!(store.writes().is_empty(), "all of that before anything was written");
    pass(60).await;

    let context = recorder.read(&call(1)).await.unwrap();
    assert_eq!(context, CallContext::read(&call(1), &journal));
    assert_eq!(recorder.read(&call(2)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_comes_after_its_call_is_read_with_the_rest() {
    let recorder = Recorder::start(Scripted::new([]));
    record(&recorder, 1, &transferred());
    pass(60).await;

    let late = Fact::Degraded { part: "screen".into(), what: "no answer".into() };
    recorder.record(&call(1), late, at(70_000));

    let context = recorder.read(&call(1)).await.unwrap().unwrap();
    assert_eq!(context.degraded.len(), 1);
    assert_eq!(context.summary.caller, "+4930555123");
}

#[tokio::test(start_paused = true)]
async fn a_durable_entry_is_on_disk_at_once_with_all_before_it() {
    let store = Scripted::new([]);
    let recorder = Recorder::start(store.clone());
    let began = Instant::now();

    record(&recorder, 1, &[entry(0, invited())]);
    let durability = recorder.record_durable(&call(1), Fact::Answered, at(1)).await;

    assert_eq!(durability, Durability::OnDisk);
    assert_eq!(store.journal(1).await.len(), 2);
    assert_eq!(Instant::now(), began);
}

#[tokio::test(start_paused = true)]
async fn a_durable_entry_that_takes_too_long_lets_the_call_go_on() {
    let store = Scripted::new([Step::Take(Duration::from_millis(400))]);
    let recorder = Recorder::start(store.clone());
    let began = Instant::now();

    let durability = recorder.record_durable(&call(1), invited(), at(0)).await;

    assert_eq!(durability, Durability::NotYet);
    assert_eq!(began.elapsed(), DURABLE_DEADLINE);
    pass(1).await;
    assert_eq!(recorder.health(), Health::Late);
    pass(200).await;
    assert_eq!(recorder.health(), Health::Good);
    assert_eq!(store.journal(1).await.len(), 1);
}

/// Also one whose future nobody polls is written at once.
#[tokio::test(start_paused = true)]
async fn a_durable_entry_does_not_wait_to_be_awaited() {
    let store = Scripted::new([]);
    let recorder = Recorder::start(store.clone());

    drop(recorder.record_durable(&call(1), invited(), at(0)));
    pass(1).await;

    assert_eq!(store.journal(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_loses_nothing_and_keeps_the_order() {
    let store = Scripted::new([Step::Fail, Step::Fail, Step::Forget, Step::Fail]);
    let recorder = Recorder::start(store.clone());
    let journal = transferred();

    for (place, entry) in journal.iter().enumerate() {
        record(&recorder, 1 + place as u32 % 2, std::slice::from_ref(entry));
        pass(20).await;
    }
    assert_eq!(recorder.health(), Health::Failing);
    let every_other =
        |first| -> Vec<Entry> { journal.iter().skip(first).step_by(2).cloned().collect() };
    let context = recorder.read(&call(1)).await.unwrap();
    assert_eq!(context, CallContext::read(&call(1), &every_other(0)), "read while it fails");
    let durability = recorder.record_durable(&call(3), invited(), at(0)).await;
    assert_eq!(durability, Durability::NotYet);
    pass(10_000).await;

    assert_eq!(recorder.health(), Health::Good);
    assert_eq!(store.journal(1).await, every_other(0));
    assert_eq!(store.journal(2).await, every_other(1));
    assert_eq!(store.journal(3).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_at_growing_gaps() {
    let store = Scripted::new([Step::Fail; 8]);
    let recorder = Recorder::start(store.clone());

    record(&recorder, 1, &[entry(0, invited())]);
    // 50 ms, then gaps of 100, 200, 400, 800, 1600, 2000, 2000 ms.
    let mut tries = Vec::new();
    for ms in [60, 100, 200, 400, 800, 1600, 2000, 2000] {
        record(&recorder, 1, &[entry(0, Fact::Pressed { digit: '1' })]);
        pass(ms).await;
        tries.push(store.writes().len());
    }
    assert_eq!(tries, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn live_calls_are_listed_as_they_stand_now() {
    let recorder = Recorder::start(Scripted::new([]));
    for number in 1..=3 {
        record(&recorder, number, &[entry(i64::from(number), invited())]);
    }
    pass(60).await;
    record(&recorder, 1, &[entry(10, Fact::Answered)]);
    record(&recorder, 2, &[entry(11, hung_up())]);
    record(&recorder, 4, &[entry(4, invited())]);

    let listed = async |phase, limit| {
        let filter = CallFilter { phases: vec![phase], ..CallFilter::newest(limit) };
        let listing = recorder.list(&filter).await.unwrap();
        assert!(listing.complete);
        listing.calls.into_iter().map(|call| call.call_id).collect::<Vec<_>>()
    };
    assert_eq!(listed(Phase::Pending, 9).await, [call(4), call(3)]);
    assert_eq!(listed(Phase::Pending, 1).await, [call(4)]);
    assert_eq!(listed(Phase::Answered, 9).await, [call(1)]);
    assert_eq!(listed(Phase::Disconnected, 9).await, [call(2)]);
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_each_entry_as_it_is_recorded() {
    let recorder = Recorder::start(Scripted::new([Step::Fail; 9]));
    let mut entries = recorder.subscribe();

    record(&recorder, 1, &transferred());

    for expected in transferred() {
        let recorded = entries.recv().await.unwrap();
        assert_eq!((&recorded.call, recorded.entry.as_ref()), (&call(1), &expected));
    }
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_is_left() {
    let store = Scripted::new([Step::Fail]);
    let recorder = Recorder::start(store.clone());
    record(&recorder, 1, &transferred());

    assert!(recorder.close(Duration::from_secs(1)).await);

    assert_eq!(store.journal(1).await, transferred());
    assert!(matches!(recorder.read(&call(1)).await, Err(ReadError::Gone(_))));
}

#[tokio::test(start_paused = true)]
async fn closing_over_a_dead_store_does_not_wait_for_ever() {
    let store = Scripted::new([Step::Fail; 99]);
    let recorder = Recorder::start(store.clone());
    record(&recorder, 1, &transferred());

    assert!(!recorder.close(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_nobody_holds_writes_what_is_left() {
    let store = Scripted::new([]);
    let recorder = Recorder::start(store.clone());
    record(&recorder, 1, &transferred());

    drop(recorder);
    pass(1).await;

    assert_eq!(store.journal(1).await, transferred());
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_crash_cut_off_are_ended_at_the_next_start() {
    let store = Scripted::new([]);
    let killed = Recorder::start(store.clone());
    record(&killed, 1, &transferred()[..9]);
    record(&killed, 2, &transferred());
    pass(60).await;
    drop(killed);

    let recorder = Recorder::start(store.clone());
    assert_eq!(recorder.end_interrupted(at(90_000)).await.unwrap(), 1);

    let ending = recorder.read(&call(1)).await.unwrap().unwrap().ending.unwrap();
    assert_eq!((ending.by.as_str(), ending.reason.as_deref()), ("us", Some("interrupted")));
    assert_eq!(store.journal(1).await.len(), 10);
    assert_eq!(store.journal(2).await, transferred());
}

/// A kill after the answer "on disk" finds the briefing and all that was recorded before it.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_is_said_to_be_on_disk_survives_a_kill() {
    use crate::context::store::{Access, open};

    let [folder, left] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let url = format!("sqlite:{}", folder.path().join("tandem.db").display());
    let recorder = Recorder::start(open(&url, Access::Write).await.unwrap());
    let journal = &transferred()[..8];
    let (briefed, before) = journal.split_last().unwrap();

    record(&recorder, 1, before);
    let durability = recorder.record_durable(&call(1), briefed.fact.clone(), briefed.at).await;
    assert_eq!(durability, Durability::OnDisk);
    for name in ["tandem.db", "tandem.db-wal"] {
        std::fs::copy(folder.path().join(name), left.path().join(name)).unwrap();
    }

    let url = format!("sqlite:{}", left.path().join("tandem.db").display());
    let reopened = open(&url, Access::Read).await.unwrap();
    assert_eq!(reopened.read(&call(1)).await.unwrap(), journal);
}
