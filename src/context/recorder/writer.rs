//! The recorder's task: one inbox, one write at a time, one timer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::{counter, gauge, histogram};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::context::journal::Entry;
use crate::context::live::{BACKLOG_ENTRIES_MAX, Batch, Live, Reading, Ticket};
use crate::context::recorder::{COMMIT_EVERY, Command, DURABLE_DEADLINE, Health, Recorded};
use crate::context::store::{ContextStore, StoreError};
use crate::ids::CallId;

/// The gap before a failed write is tried again, doubled each time up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// Owns what is not yet written, and writes it.
pub struct Writer {
    store: Arc<dyn ContextStore>,
    inbox: mpsc::Receiver<Command>,
    published: broadcast::Sender<Arc<Recorded>>,
    health: watch::Sender<Health>,
    live: Live,
    /// How many of the entries that `live` gave up have been reported.
    lost: u64,
    writing: Option<BoxFuture<'static, Written>>,
    /// When the next write begins, if none is under way.
    write_at: Option<Instant>,
    retry_gap: Duration,
    tickets: Ticket,
    waiting: BTreeMap<Ticket, Waiting>,
    /// Those who read a call that is only in the store, after the next write.
    readers: Vec<oneshot::Sender<Reading>>,
    closing: Vec<oneshot::Sender<()>>,
    /// Every handle is gone.
    abandoned: bool,
}

struct Waiting {
    written: oneshot::Sender<()>,
    late_at: Instant,
}

/// What became of a batch.
struct Written {
    placed: Vec<(CallId, u64)>,
    result: Result<(), StoreError>,
    began: Instant,
}

enum Happened {
    Asked(Option<Command>),
    Wrote(Written),
    Tick,
}

impl Writer {
    pub fn new(
        store: Arc<dyn ContextStore>,
        inbox: mpsc::Receiver<Command>,
        published: broadcast::Sender<Arc<Recorded>>,
        health: watch::Sender<Health>,
    ) -> Self {
        Writer {
            store,
            inbox,
            published,
            health,
            live: Live::new(BACKLOG_ENTRIES_MAX),
            lost: 0,
            writing: None,
            write_at: None,
            retry_gap: RETRY_FIRST,
            tickets: 0,
            waiting: BTreeMap::new(),
            readers: Vec::new(),
            closing: Vec::new(),
            abandoned: false,
        }
    }

    /// Works until it is told to close or every handle is gone.
    pub async fn run(mut self) {
        while !self.is_done() {
            let wake_at = self.wake_at();
            // The order is fixed, so that a run in the simulation follows from its seed; whatever
            // happened, a write that is due is begun below.
            let happened = tokio::select! {
                biased;
                command = self.inbox.recv(), if !self.abandoned => Happened::Asked(command),
                written = wait_for(&mut self.writing) => Happened::Wrote(written),
                () = wait_until(wake_at) => Happened::Tick,
            };
            match happened {
                Happened::Asked(Some(command)) => self.handle(command),
                Happened::Asked(None) => {
                    self.abandoned = true;
                    self.write_at = Some(Instant::now());
                }
                Happened::Wrote(written) => self.handle_written(written),
                Happened::Tick => (),
            }
            self.give_up_waiting();
            self.begin_write();
        }
        self.store.close().await;
        for reply in self.closing {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
    }

    /// Nobody will ask for more, and everything is written, or will not be.
    fn is_done(&self) -> bool {
        let ending = self.abandoned || !self.closing.is_empty();
        let failing = *self.health.borrow() == Health::Failing;
        let idle = self.writing.is_none();
        ending && idle && (self.live.backlog() == 0 || (self.abandoned && failing))
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Record { call, entry, written } => self.record(&call, entry, written),
            Command::Read { call, reply } => match self.live.reading(&call) {
                Reading::AfterWrite => {
                    self.readers.push(reply);
                    self.write_by(Instant::now());
                }
                // Whoever asked may have stopped waiting; here and below.
                reading => drop(reply.send(reading)),
            },
            Command::List { reply } => drop(reply.send(self.live.summaries())),
            Command::Close { reply } => {
                self.closing.push(reply);
                self.write_by(Instant::now());
            }
        }
    }

    fn record(&mut self, call: &CallId, entry: Arc<Entry>, written: Option<oneshot::Sender<()>>) {
        let now = Instant::now();
        let ticket = written.map(|written| {
            self.tickets += 1;
            let late_at = now + DURABLE_DEADLINE;
            self.waiting.insert(self.tickets, Waiting { written, late_at });
            self.tickets
        });
        self.live.record(call, entry.clone(), ticket);
        // Nobody may be listening.
        let _ = self.published.send(Arc::new(Recorded { call: call.clone(), entry }));
        self.report_lost();
        self.write_by(if ticket.is_some() { now } else { now + COMMIT_EVERY });
    }

    /// Sees to it that a write begins by then; but a store that fails is not tried before its time.
    fn write_by(&mut self, at: Instant) {
        if *self.health.borrow() != Health::Failing {
            self.write_at = Some(self.write_at.map_or(at, |write_at| write_at.min(at)));
        }
    }

    fn begin_write(&mut self) {
        if self.writing.is_some() || self.write_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.write_at = None;
        if let Some(batch) = self.live.batch() {
            self.writing = Some(write(self.store.clone(), batch).boxed());
        }
    }

    fn handle_written(&mut self, written: Written) {
        self.writing = None;
        self.live.place(&written.placed);
        match written.result {
            Ok(()) => self.handle_success(written.began),
            Err(cause) => self.handle_failure(&cause),
        }
        gauge!("store_backlog_entries").set(self.live.backlog() as f64);
        // What they are after is in the store, or as near to it as it will be.
        self.readers.drain(..).for_each(|reply| drop(reply.send(Reading::InStore)));
    }

    fn handle_success(&mut self, began: Instant) {
        let before = self.live.backlog();
        for ticket in self.live.stored() {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // The call may have gone on.
                let _ = waiting.written.send(());
            }
        }
        counter!("store_writes_total").increment((before - self.live.backlog()) as u64);
        histogram!("store_commit_seconds").record(began.elapsed());
        if self.health.send_replace(Health::Good) != Health::Good {
            info!("the context store writes again");
        }
        self.retry_gap = RETRY_FIRST;
        if self.live.backlog() > 0 {
            let hurry = !self.waiting.is_empty() || !self.closing.is_empty() || self.abandoned;
            let gap = if hurry { Duration::ZERO } else { COMMIT_EVERY };
            self.write_by(Instant::now() + gap);
        }
    }

    fn handle_failure(&mut self, cause: &StoreError) {
        self.live.failed();
        counter!("store_failures_total").increment(1);
        if self.health.send_replace(Health::Failing) != Health::Failing {
            error!(error = %cause.chain(), "the context store fails; entries are kept in memory");
        }
        self.write_at = Some(Instant::now() + self.retry_gap);
        self.retry_gap = (self.retry_gap * 2).min(RETRY_LONGEST);
    }

    /// When there is something to do though nothing happens. A write waits for the one under way.
    fn wake_at(&self) -> Option<Instant> {
        let write_at = self.write_at.filter(|_| self.writing.is_none());
        write_at.into_iter().chain(self.late_at()).min()
    }

    /// The first time at which somebody has waited long enough. Tickets rise with time.
    fn late_at(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.late_at)
    }

    /// Calls whose deadline has passed go on; the entry stays in the backlog.
    fn give_up_waiting(&mut self) {
        let now = Instant::now();
        while self.late_at().is_some_and(|late_at| late_at <= now) {
            self.waiting.pop_first();
            counter!("store_deadline_missed_total").increment(1);
            if *self.health.borrow() == Health::Good {
                warn!("the context store is too slow for a durable entry");
                self.health.send_replace(Health::Late);
            }
        }
    }

    fn report_lost(&mut self) {
        let lost = self.live.lost() - self.lost;
        if lost > 0 {
            self.lost += lost;
            counter!("store_lost_entries_total", "where" => "backlog").increment(lost);
            error!(lost, "journal entries were given up: the store has failed for too long");
        }
    }
}

async fn write(store: Arc<dyn ContextStore>, batch: Batch) -> Written {
    let began = Instant::now();
    let mut placed = Vec::new();
    if !batch.unplaced.is_empty() {
        match store.next_seqs(&batch.unplaced).await {
            Ok(seqs) => placed = batch.unplaced.iter().cloned().zip(seqs).collect(),
            Err(cause) => return Written { placed, result: Err(cause), began },
        }
    }
    let result = store.append(&batch.lines(&placed)).await;
    Written { placed, result, began }
}

async fn wait_for<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
