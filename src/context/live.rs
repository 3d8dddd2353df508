//! What is not yet on disk, and the calls that are not yet over: the pure half of the recorder.
//!
//! ```text
//!            record            batch             stored
//!   a fact ─────────> backlog ───────> in flight ───────> gone from here, and its call too,
//!                        ^                 │              once that is over
//!                        └─────────────────┘
//!                              failed
//! ```
//!
//! A live call is kept whole in memory, so that it can be read before, while and after it is written.
//! One whose beginning we do not have (a fact that comes after its call was let go of, or after a
//! restart) is written all the same and read from the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::context::journal::Entry;
use crate::context::store::Line;
use crate::context::summary::CallSummary;
use crate::ids::CallId;

/// How many entries wait for a store that does not work: some 30 MB, or 5,000 whole calls. When there
/// are more, calls that are over are given up, the oldest first.
pub const BACKLOG_ENTRIES_MAX: usize = 100_000;
/// How many entries of one call are kept in memory; a longer call is read from the store.
pub const CALL_ENTRIES_MAX: usize = 2_000;
/// How many entries are written at once: enough for a whole second of a busy server, and still a
/// transaction of a few milliseconds.
pub const BATCH_ENTRIES_MAX: usize = 2_000;

/// Live calls, and the entries that are on their way to the store.
#[derive(Debug)]
pub struct Live {
    calls: BTreeMap<CallId, LiveCall>,
    /// In the order in which they happened. The first `in_flight` of them are being written.
    backlog: VecDeque<Waiting>,
    in_flight: usize,
    backlog_max: usize,
    lost: u64,
}

/// Names an entry whose writing somebody waits for.
pub type Ticket = u64;

/// Entries to write together.
#[derive(Clone, Debug)]
pub struct Batch {
    drafts: Vec<Draft>,
    /// The Call-IDs of which it is not known yet whether the store has lines under them.
    pub unplaced: Vec<CallId>,
}

/// Where a call can be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Here, whole.
    Here(Vec<Arc<Entry>>),
    /// In the store.
    InStore,
    /// In the store, after what is in the backlog now has been written.
    AfterWrite,
}

#[derive(Debug)]
struct LiveCall {
    /// `None` if we do not have the beginning.
    summary: Option<CallSummary>,
    /// From the beginning; `None` if we do not have it, or if it became too long.
    entries: Option<Vec<Arc<Entry>>>,
    /// How many of its entries are in the backlog.
    waiting: usize,
    /// How many entries were recorded since the call is here.
    recorded: u64,
    /// The number that the first of those has in the store.
    first_seq: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    call: CallId,
    /// Which of its call's recorded entries it is, from 0.
    place: u64,
    entry: Arc<Entry>,
    ticket: Option<Ticket>,
}

#[derive(Clone, Debug)]
struct Draft {
    call: CallId,
    place: u64,
    first_seq: Option<u64>,
    entry: Arc<Entry>,
}

impl Live {
    /// Nothing yet; `backlog_max` entries may wait.
    pub fn new(backlog_max: usize) -> Self {
        let (calls, backlog) = (BTreeMap::new(), VecDeque::new());
        Live { calls, backlog, in_flight: 0, backlog_max, lost: 0 }
    }

    /// Takes in what happened. The ticket comes back from [`stored`](Self::stored) when it is written.
    pub fn record(&mut self, call: &CallId, entry: Arc<Entry>, ticket: Option<Ticket>) {
        let live = self.calls.entry(call.clone()).or_insert_with(LiveCall::without_beginning);
        let place = live.record(call, &entry);
        self.backlog.push_back(Waiting { call: call.clone(), place, entry, ticket });
        if self.backlog.len() > self.backlog_max {
            self.shed();
        }
    }

    /// What to write next; `None` if there is nothing, or if something is being written.
    pub fn batch(&mut self) -> Option<Batch> {
        if self.in_flight > 0 || self.backlog.is_empty() {
            return None;
        }
        self.in_flight = self.backlog.len().min(BATCH_ENTRIES_MAX);
        let mut unplaced = BTreeSet::new();
        let mut drafts = Vec::with_capacity(self.in_flight);
        for Waiting { call, place, entry, .. } in self.backlog.range(..self.in_flight) {
            let first_seq = self.calls.get(call).and_then(|live| live.first_seq);
            if first_seq.is_none() {
                unplaced.insert(call.clone());
            }
            let (call, place, entry) = (call.clone(), *place, entry.clone());
            drafts.push(Draft { call, place, first_seq, entry });
        }
        Some(Batch { drafts, unplaced: unplaced.into_iter().collect() })
    }

    /// The store has said where the entries of these calls begin. That stays true if the write itself
    /// fails, and must: asked again after a write whose answer was lost, it would say something else.
    pub fn place(&mut self, found: &[(CallId, u64)]) {
        for (call, first_seq) in found {
            if let Some(live) = self.calls.get_mut(call) {
                live.first_seq.get_or_insert(*first_seq);
            }
        }
    }

    /// The batch is in the store. Says which tickets were in it.
    pub fn stored(&mut self) -> Vec<Ticket> {
        let stored: Vec<Waiting> = self.backlog.drain(..self.in_flight).collect();
        self.in_flight = 0;
        let tickets = stored.iter().filter_map(|waiting| waiting.ticket).collect();
        stored.iter().for_each(|waiting| self.let_go(&waiting.call));
        tickets
    }

    /// The batch is not in the store, or nobody knows: it is to be written again.
    pub fn failed(&mut self) {
        self.in_flight = 0;
    }

    /// How many entries are not written.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// How many entries were given up.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Where this call can be read.
    pub fn reading(&self, call: &CallId) -> Reading {
        match self.calls.get(call) {
            None => Reading::InStore,
            Some(LiveCall { entries: Some(entries), .. }) => Reading::Here(entries.clone()),
            Some(LiveCall { waiting: 0, .. }) => Reading::InStore,
            Some(_) => Reading::AfterWrite,
        }
    }

    /// The calls that are here, each as it stands: newer than what the store says of them.
    pub fn summaries(&self) -> Vec<CallSummary> {
        self.calls.values().filter_map(|live| live.summary.clone()).collect()
    }

    /// One of its entries is no longer in the backlog. A call that is over, and one that we cannot
    /// read from here anyway, goes with its last.
    fn let_go(&mut self, call: &CallId) {
        let Some(live) = self.calls.get_mut(call) else { return };
        live.waiting = live.waiting.saturating_sub(1);
        if live.waiting == 0 && live.summary.as_ref().is_none_or(CallSummary::is_over) {
            self.calls.remove(call);
        }
    }

    /// Makes room, a tenth at once: gives up calls that are over, then whatever is oldest. A live call
    /// can still be read from memory.
    fn shed(&mut self) {
        let goal = self.backlog_max - self.backlog_max / 10;
        let mut excess = self.backlog.len().saturating_sub(goal);
        let mut given_up = BTreeSet::new();
        for waiting in self.backlog.range(self.in_flight..) {
            if excess > 0 && self.is_over(&waiting.call) {
                given_up.insert(waiting.call.clone());
            }
            if given_up.contains(&waiting.call) {
                excess = excess.saturating_sub(1);
            }
        }
        let rest = self.backlog.split_off(self.in_flight);
        let (mut kept, mut lost): (VecDeque<_>, VecDeque<_>) =
            rest.into_iter().partition(|waiting| !given_up.contains(&waiting.call));
        lost.extend(kept.drain(..excess.min(kept.len())));
        self.backlog.append(&mut kept);
        self.lost += lost.len() as u64;
        lost.iter().for_each(|waiting| self.let_go(&waiting.call));
    }

    fn is_over(&self, call: &CallId) -> bool {
        let summary = self.calls.get(call).and_then(|live| live.summary.as_ref());
        summary.is_some_and(CallSummary::is_over)
    }
}

impl LiveCall {
    fn without_beginning() -> Self {
        LiveCall { summary: None, entries: None, waiting: 0, recorded: 0, first_seq: None }
    }

    /// Takes in an entry and says which one of this call it is.
    fn record(&mut self, call: &CallId, entry: &Arc<Entry>) -> u64 {
        if entry.fact.begins_call() {
            self.summary = Some(CallSummary::new(call.clone(), entry.at));
            self.entries = Some(Vec::new());
        }
        if let Some(summary) = &mut self.summary {
            summary.apply(entry);
        }
        if let Some(entries) = &mut self.entries {
            entries.push(entry.clone());
        }
        if self.entries.as_ref().is_some_and(|entries| entries.len() > CALL_ENTRIES_MAX) {
            self.entries = None;
        }
        self.waiting += 1;
        self.recorded += 1;
        self.recorded - 1
    }
}

impl Batch {
    /// The entries with their places in the store; `found` has those of the unplaced calls.
    pub fn lines(&self, found: &[(CallId, u64)]) -> Vec<Line> {
        let found: BTreeMap<&CallId, u64> = found.iter().map(|(call, seq)| (call, *seq)).collect();
        let line = |draft: &Draft| {
            let first = draft.first_seq.or_else(|| found.get(&draft.call).copied()).unwrap_or(0);
            Line { call: draft.call.clone(), seq: first + draft.place, entry: draft.entry.clone() }
        };
        self.drafts.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::fixtures::{call, entry, hung_up, invited};
    use crate::context::journal::Fact;

    fn record(live: &mut Live, number: u32, facts: &[Fact]) {
        for fact in facts {
            live.record(&call(number), Arc::new(entry(0, fact.clone())), None);
        }
    }

    /// Writes what waits, as a store in which every Call-ID is new would.
    fn write(live: &mut Live) -> Vec<(CallId, u64)> {
        let batch = live.batch().unwrap();
        let found: Vec<_> = batch.unplaced.iter().map(|call| (call.clone(), 0)).collect();
        live.place(&found);
        live.stored();
        batch.lines(&found).into_iter().map(|line| (line.call, line.seq)).collect()
    }

    #[test]
    fn a_live_call_is_read_from_memory_until_it_is_over_and_written() {
        let mut live = Live::new(99);

        record(&mut live, 1, &[invited(), Fact::Answered]);
        assert!(matches!(live.reading(&call(1)), Reading::Here(entries) if entries.len() == 2));
        write(&mut live);
        record(&mut live, 1, &[hung_up()]);
        assert!(matches!(live.reading(&call(1)), Reading::Here(entries) if entries.len() == 3));
        assert_eq!(write(&mut live), [(call(1), 2)]);

        assert_eq!(live.reading(&call(1)), Reading::InStore);
        assert_eq!(live.summaries(), []);
    }

    #[test]
    fn a_fact_of_a_call_that_is_not_here_is_written_and_read_from_the_store() {
        let mut live = Live::new(99);

        record(&mut live, 1, &[hung_up()]);
        assert_eq!(live.reading(&call(1)), Reading::AfterWrite);
        let batch = live.batch().unwrap();
        let lines = batch.lines(&[(call(1), 7)]);
        live.stored();

        assert_eq!((lines[0].seq, batch.unplaced), (7, vec![call(1)]));
        assert_eq!(live.reading(&call(1)), Reading::InStore);
    }

    /// The store may have taken a write that it said it had not: the same lines must have the same
    /// places the second time.
    #[test]
    fn a_write_that_failed_is_repeated_under_the_same_numbers() {
        let mut live = Live::new(99);
        record(&mut live, 1, &[invited(), Fact::Answered]);

        let first = live.batch().unwrap();
        live.place(&[(call(1), 4)]);
        live.failed();
        record(&mut live, 1, &[hung_up()]);
        let second = live.batch().unwrap();

        assert!(live.batch().is_none(), "one write at a time");
        assert_eq!(second.unplaced, []);
        let seqs = |batch: &Batch, found: &[_]| -> Vec<u64> {
            batch.lines(found).iter().map(|line| line.seq).collect()
        };
        assert_eq!(seqs(&first, &[(call(1), 4)]), [4, 5]);
        assert_eq!(seqs(&second, &[]), [4, 5, 6]);
    }

    #[test]
    fn tickets_come_back_when_their_entries_are_written() {
        let mut live = Live::new(99);
        live.record(&call(1), Arc::new(entry(0, invited())), Some(1));
        live.batch().unwrap();
        live.record(&call(1), Arc::new(entry(0, Fact::Answered)), Some(2));

        assert_eq!(live.stored(), [1]);
        live.batch().unwrap();
        live.failed();
        live.batch().unwrap();
        assert_eq!(live.stored(), [2]);
    }

    #[test]
    fn a_full_backlog_gives_up_calls_that_are_over_oldest_first() {
        let mut live = Live::new(10);
        record(&mut live, 1, &[invited(), Fact::Answered]);
        for number in 2..=4 {
            record(&mut live, number, &[invited(), hung_up()]);
        }
        record(&mut live, 1, &[hung_up(), invited(), Fact::Answered]);

        assert_eq!((live.backlog(), live.lost()), (9, 2));
        assert_eq!(live.reading(&call(2)), Reading::InStore, "given up, and gone from here");
        assert!(matches!(live.reading(&call(3)), Reading::Here(_)));
        assert!(matches!(live.reading(&call(1)), Reading::Here(entries) if entries.len() == 2));
    }

    #[test]
    fn a_full_backlog_of_live_calls_gives_up_the_oldest_entries_but_none_in_flight() {
        let mut live = Live::new(10);
        record(&mut live, 1, &[invited()]);
        live.batch().unwrap();
        record(&mut live, 1, &vec![Fact::Held { on: true }; 10]);

        assert_eq!((live.backlog(), live.lost()), (9, 2));
        assert!(matches!(live.reading(&call(1)), Reading::Here(entries) if entries.len() == 11));
        live.stored();
        assert_eq!(live.backlog(), 8);
        let places: Vec<u64> =
            live.batch().unwrap().lines(&[]).iter().map(|line| line.seq).collect();
        assert_eq!(places, (3..11).collect::<Vec<_>>());
    }

    #[test]
    fn a_very_long_call_is_read_from_the_store() {
        let mut live = Live::new(BACKLOG_ENTRIES_MAX);
        record(&mut live, 1, &[invited(), Fact::Answered]);
        record(&mut live, 1, &vec![Fact::Pressed { digit: '1' }; CALL_ENTRIES_MAX]);

        assert_eq!(live.reading(&call(1)), Reading::AfterWrite);
        while live.batch().is_some() {
            live.stored();
        }
        assert_eq!(live.reading(&call(1)), Reading::InStore);
        assert_eq!(live.summaries().len(), 1, "and is listed as live");
    }
}
