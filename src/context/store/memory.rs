//! Journals in memory: for tests, and for those who want nothing on disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use crate::context::journal::Entry;
use crate::context::store::{ContextStore, Line, StoreError};
use crate::context::summary::{CallFilter, CallSummary};
use crate::ids::CallId;

/// How many calls that are over are remembered. The oldest is forgotten then: a call has some twenty
/// entries, so this is some ten megabytes.
pub const ENDED_CALLS_MAX: usize = 1000;

/// A store that ends with the program.
#[derive(Debug)]
pub struct MemoryStore {
    // Held for the time of one look-up. The recorder and the desk wait for it; no call does.
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    calls: BTreeMap<CallId, Journal>,
    /// Calls that may be forgotten, the oldest first.
    may_go: VecDeque<CallId>,
    ended_max: usize,
}

#[derive(Debug)]
struct Journal {
    summary: CallSummary,
    entries: Vec<Arc<Entry>>,
    next_seq: u64,
    /// Whether it is among those that may be forgotten.
    may_go: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::keeping(ENDED_CALLS_MAX)
    }

    /// An empty store that remembers so many calls that are over.
    pub fn keeping(ended_max: usize) -> Self {
        let (calls, may_go) = (BTreeMap::new(), VecDeque::new());
        MemoryStore { kept: Mutex::new(Kept { calls, may_go, ended_max }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing below panics half-way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl Kept {
    fn append(&mut self, line: &Line) {
        let journal = self.calls.entry(line.call.clone()).or_insert_with(|| Journal {
            summary: CallSummary::new(line.call.clone(), line.entry.at),
            entries: Vec::new(),
            next_seq: 0,
            may_go: false,
        });
        if line.seq < journal.next_seq {
            return;
        }
        journal.next_seq = line.seq + 1;
        if line.entry.fact.begins_call() {
            journal.entries.clear();
            journal.may_go = false;
            self.may_go.retain(|call| *call != line.call);
        }
        journal.summary.apply(&line.entry);
        journal.entries.push(line.entry.clone());
        // What has no beginning came late to a call that was forgotten, and may never be told to end.
        let begun = journal.entries.first().is_some_and(|entry| entry.fact.begins_call());
        if !journal.may_go && (journal.summary.is_over() || !begun) {
            journal.may_go = true;
            self.may_go.push_back(line.call.clone());
        }
        while self.may_go.len() > self.ended_max {
            if let Some(oldest) = self.may_go.pop_front() {
                self.calls.remove(&oldest);
            }
        }
    }
}

impl ContextStore for MemoryStore {
    fn append<'a>(&'a self, lines: &'a [Line]) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut kept = self.kept();
        lines.iter().for_each(|line| kept.append(line));
        ready(Ok(())).boxed()
    }

    fn next_seqs<'a>(&'a self, calls: &'a [CallId]) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        let kept = self.kept();
        let next = |call| kept.calls.get(call).map_or(0, |journal| journal.next_seq);
        ready(Ok(calls.iter().map(next).collect())).boxed()
    }

    fn read<'a>(&'a self, call: &'a CallId) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let kept = self.kept();
        let entries = kept.calls.get(call).map(|journal| journal.entries.as_slice());
        let entries = entries.unwrap_or_default().iter().map(|entry| entry.as_ref().clone());
        ready(Ok(entries.collect())).boxed()
    }

    fn list<'a>(
        &'a self,
        filter: &'a CallFilter,
    ) -> BoxFuture<'a, Result<Vec<CallSummary>, StoreError>> {
        let kept = self.kept();
        let calls = kept.calls.values().map(|journal| &journal.summary);
        let mut calls: Vec<CallSummary> =
            calls.filter(|call| filter.admits(call)).cloned().collect();
        filter.newest_first(&mut calls);
        ready(Ok(calls)).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::fixtures::{call, entry, hung_up, invited};
    use crate::context::journal::Fact;

    #[tokio::test]
    async fn the_oldest_call_that_is_over_is_forgotten_and_no_other() {
        let store = MemoryStore::keeping(2);
        let line = |number, seq, fact| {
            let entry = Arc::new(entry(0, fact));
            Line { call: call(number), seq, entry }
        };
        store.append(&[line(0, 0, invited())]).await.unwrap();
        for number in 1..=3 {
            let lines = [line(number, 0, invited()), line(number, 1, hung_up())];
            store.append(&lines).await.unwrap();
        }

        store.append(&[line(1, 2, Fact::Answered)]).await.unwrap();

        let mut kept = Vec::new();
        for number in 0..=3 {
            kept.push(store.read(&call(number)).await.unwrap().len());
        }
        assert_eq!(kept, [1, 1, 0, 2]);
    }
}
