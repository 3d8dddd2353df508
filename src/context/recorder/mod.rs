//! The one writer of journals: calls hand it facts and never wait; it writes them in groups.
//!
//! ```text
//!   calls ── record ──> inbox ──> Writer { Live } ── one batch at a time ──> ContextStore
//!                                    │
//!   desk <── read, list, subscribe ──┘
//! ```
//!
//! An entry is in the store within [`COMMIT_EVERY`]; one that was recorded durably is on its way at
//! once. While the store fails, entries wait in memory, are tried again at growing gaps and are
//! written in their order; [`Recorder::health`] says so.

mod writer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::counter;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{Instrument, error, info_span, warn};

use crate::context::journal::{Entry, Fact};
use crate::context::live::Reading;
use crate::context::reading::CallContext;
use crate::context::store::{ContextStore, StoreError};
use crate::context::summary::{CallFilter, CallSummary, Phase};
use crate::ids::CallId;

use writer::Writer;

/// How long entries gather before they are written together; what a crash may lose.
pub const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// How long a call waits for a durable entry before it goes on without.
pub const DURABLE_DEADLINE: Duration = Duration::from_millis(250);

/// Room for what comes while the writer is not scheduled. It empties its inbox in microseconds and
/// never waits for the store, so a full one means a stuck program; the entry is lost and counted.
const INBOX_COMMANDS: usize = 65_536;
/// How many entries a subscriber may be behind before it misses some and is told so.
const PUBLISHED_ENTRIES: usize = 4_096;
/// A handle to the one writer of the store.
#[derive(Clone, Debug)]
pub struct Recorder {
    inbox: mpsc::Sender<Command>,
    store: Arc<dyn ContextStore>,
    published: broadcast::Sender<Arc<Recorded>>,
    health: watch::Receiver<Health>,
}

/// An entry, as subscribers get it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The call.
    pub call: CallId,
    /// What happened.
    pub entry: Arc<Entry>,
}

/// Whether a durable entry is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It would survive a loss of power.
    OnDisk,
    /// The deadline passed. It will be written when the store can; the call goes on.
    NotYet,
}

/// How the store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It writes.
    Good,
    /// It missed the deadline of a durable entry, and has not written since.
    Late,
    /// It said that it cannot.
    Failing,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Health::Good => "the context store writes",
            Health::Late => "the context store is too slow",
            Health::Failing => "the context store does not write",
        })
    }
}

/// Calls, and whether they are all that there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Newest first.
    pub calls: Vec<CallSummary>,
    /// False if the store could not be read: only live calls are listed then.
    pub complete: bool,
}

/// The writer is gone: the program is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recorder has ended")]
pub struct RecorderGone;

/// Why a call could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The program is ending.
    #[error(transparent)]
    Gone(#[from] RecorderGone),
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug)]
enum Command {
    Record { call: CallId, entry: Arc<Entry>, written: Option<oneshot::Sender<()>> },
    Read { call: CallId, reply: oneshot::Sender<Reading> },
    List { reply: oneshot::Sender<Vec<CallSummary>> },
    Close { reply: oneshot::Sender<()> },
}

impl Recorder {
    /// Starts the writer of this store.
    pub fn start(store: Arc<dyn ContextStore>) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_COMMANDS);
        let (published, _) = broadcast::channel(PUBLISHED_ENTRIES);
        let (tell_health, health) = watch::channel(Health::Good);
        let writer = Writer::new(store.clone(), inbox, published.clone(), tell_health);
        tokio::spawn(writer.run().instrument(info_span!("recorder")));
        Recorder { inbox: sender, store, published, health }
    }

    /// Appends a fact to the journal of a call. Never waits.
    pub fn record(&self, call: &CallId, fact: Fact, at: Timestamp) {
        self.send_fact(call, fact, at, None);
    }

    /// Appends a fact that must not be lost, and says when it is on disk. It is appended now, whether
    /// or not the future is polled; the future is done within [`DURABLE_DEADLINE`].
    pub fn record_durable(
        &self,
        call: &CallId,
        fact: Fact,
        at: Timestamp,
    ) -> impl Future<Output = Durability> + Send + use<> {
        let (written, on_disk) = oneshot::channel();
        self.send_fact(call, fact, at, Some(written));
        async move {
            match timeout(DURABLE_DEADLINE, on_disk).await {
                Ok(Ok(())) => Durability::OnDisk,
                // Too late, given up, or lost: the writer counts which.
                Ok(Err(_)) | Err(_) => Durability::NotYet,
            }
        }
    }

    /// The context of a call with everything that was recorded before this was asked; `None` if there
    /// is no such call.
    pub async fn read(&self, call: &CallId) -> Result<Option<CallContext>, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Read { call: call.clone(), reply }).await?;
        match answer.await.map_err(|_| RecorderGone)? {
            Reading::Here(entries) => {
                Ok(CallContext::read(call, entries.iter().map(AsRef::as_ref)))
            }
            Reading::InStore | Reading::AfterWrite => {
                Ok(CallContext::read(call, &self.store.read(call).await?))
            }
        }
    }

    /// The calls that the filter admits, live ones as they stand now.
    pub async fn list(&self, filter: &CallFilter) -> Result<Listing, RecorderGone> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::List { reply }).await?;
        let live = answer.await.map_err(|_| RecorderGone)?;
        // The store may have an older state of each live call, so that as many rows fall away.
        let wider = CallFilter { limit: filter.limit.saturating_add(live.len()), ..filter.clone() };
        let (mut calls, complete) = match self.store.list(&wider).await {
            Ok(calls) => (calls, true),
            Err(cause) => {
                warn!(error = %cause.chain(), "only live calls can be listed");
                (Vec::new(), false)
            }
        };
        let here: BTreeMap<&CallId, &CallSummary> =
            live.iter().map(|summary| (&summary.call_id, summary)).collect();
        calls.retain(|summary| !here.contains_key(&summary.call_id));
        calls.extend(live.iter().filter(|summary| filter.admits(summary)).cloned());
        filter.newest_first(&mut calls);
        Ok(Listing { calls, complete })
    }

    /// Every entry from now on, of all calls.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Recorded>> {
        self.published.subscribe()
    }

    /// How the store does.
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Ends, in their journals, the calls that a crash cut off. For the start of the program, before
    /// there are calls of its own; says how many there were.
    pub async fn end_interrupted(&self, now: Timestamp) -> Result<usize, StoreError> {
        let phases = vec![Phase::Pending, Phase::Answered, Phase::Connected];
        let filter = CallFilter { phases, ..CallFilter::newest(usize::MAX) };
        let interrupted = self.store.list(&filter).await?;
        for summary in &interrupted {
            let reason = Some("interrupted".to_owned());
            self.record(&summary.call_id, Fact::Ended { by: "us".to_owned(), reason }, now);
        }
        Ok(interrupted.len())
    }

    /// Writes what is left and closes the store. Says whether that was done within this time.
    pub async fn close(&self, within: Duration) -> bool {
        let (reply, done) = oneshot::channel();
        let closed =
            async { self.ask(Command::Close { reply }).await.is_ok() && done.await.is_ok() };
        timeout(within, closed).await.unwrap_or(false)
    }

    fn send_fact(
        &self,
        call: &CallId,
        fact: Fact,
        at: Timestamp,
        written: Option<oneshot::Sender<()>>,
    ) {
        // The store keeps microseconds; what is read from memory must not differ from it.
        let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
        let entry = Arc::new(Entry { at, fact });
        let command = Command::Record { call: call.clone(), entry, written };
        if self.inbox.try_send(command).is_err() {
            counter!("store_lost_entries_total", "where" => "inbox").increment(1);
            error!(call_id = %call, "a journal entry was lost: the recorder is stuck or gone");
        }
    }

    async fn ask(&self, command: Command) -> Result<(), RecorderGone> {
        self.inbox.send(command).await.map_err(|_| RecorderGone)
    }
}
