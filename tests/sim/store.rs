//! A context store that knows when everything was written, and fails when a story wants it to.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tandem::context::store::{ContextStore, Line, MemoryStore, StoreError};
use tandem::context::{CallFilter, CallSummary, Entry, Fact};
use tandem::ids::CallId;

#[derive(Debug)]
pub struct SimStore {
    memory: MemoryStore,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    fails: bool,
    delay: Duration,
    failures: usize,
    written: Vec<(Instant, CallId, Fact)>,
}

impl SimStore {
    pub fn new() -> Self {
        SimStore { memory: MemoryStore::new(), kept: Mutex::default() }
    }

    /// From now on it cannot write, or can again.
    pub fn fails(&self, fails: bool) {
        self.kept().fails = fails;
    }

    /// From now on it takes so long to write.
    pub fn is_slow(&self, delay: Duration) {
        self.kept().delay = delay;
    }

    /// Whether it ever kept anybody waiting.
    pub fn was_troubled(&self) -> bool {
        let kept = self.kept();
        kept.failures > 0 || !kept.delay.is_zero()
    }

    /// How often it could not write.
    pub fn failures(&self) -> usize {
        self.kept().failures
    }

    /// What was written of a call, and when.
    pub fn written(&self, call: &str) -> Vec<(Instant, Fact)> {
        let kept = self.kept();
        let of_call = kept.written.iter().filter(|(_, of, _)| of.as_str() == call);
        of_call.map(|(at, _, fact)| (*at, fact.clone())).collect()
    }

    /// Every call that something was written of.
    pub fn calls(&self) -> Vec<CallId> {
        let mut calls: Vec<CallId> = Vec::new();
        for (_, call, _) in &self.kept().written {
            if !calls.contains(call) {
                calls.push(call.clone());
            }
        }
        calls
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContextStore for SimStore {
    fn append<'a>(&'a self, lines: &'a [Line]) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut kept = self.kept();
        if kept.fails {
            kept.failures += 1;
            let cause = std::io::Error::other("no space left on the device").into();
            return ready(Err(StoreError { act: "write", cause })).boxed();
        }
        let delay = kept.delay;
        drop(kept);
        async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let now = tokio::time::Instant::now().into_std();
            let written = |line: &Line| (now, line.call.clone(), line.entry.fact.clone());
            self.kept().written.extend(lines.iter().map(written));
            self.memory.append(lines).await
        }
        .boxed()
    }

    fn next_seqs<'a>(&'a self, calls: &'a [CallId]) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        self.memory.next_seqs(calls)
    }

    fn read<'a>(&'a self, call: &'a CallId) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.memory.read(call)
    }

    fn list<'a>(
        &'a self,
        filter: &'a CallFilter,
    ) -> BoxFuture<'a, Result<Vec<CallSummary>, StoreError>> {
        self.memory.list(filter)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}
