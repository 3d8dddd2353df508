//! Media workers: each drives the sessions and bridges of its calls, every 20 ms.
//!
//! ```text
//!  call task            │ worker: a thread, or a task on the paused clock   │ call task, agent
//!                       │                                                   │
//!  CallAudio ─ commands ┼─> Worker ── every 5 ms, one phase of its calls:   │
//!   (never waits)       │   sockets ─> sessions ─> bridge ─> sessions ─> sockets
//!                       │                            └───── rings ──────────┼─> CallEars
//! ```
//!
//! A worker never waits for a call task, a model or the disk. In its tick there is no allocation, no
//! lock and no log line: what the tick has to tell goes into rings made beforehand, and what it has
//! no more use for is freed by a task that keeps house for it.

mod beat;
mod call;
mod figures;
mod handle;
mod house;
mod lateness;
mod schedule;
mod worker;

#[cfg(test)]
mod tests;

pub use self::handle::{AudioEvent, CallAudio, CallEars, HeardStream, Overloaded};
pub use self::lateness::Lateness;
pub use crate::media::bridge::HeardFrame;
pub use crate::media::mouth::{ClipId, MouthEvent};

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use self::figures::Figures;
use self::worker::{Command, Worker};
use crate::media::{Rate, Wiring};

/// Commands that wait for a worker. It empties its inbox every 5 ms, so a full one means a worker that
/// has stood still for long, and calls that must end.
const INBOX_COMMANDS: usize = 1024;

/// The media workers of the program. Cloning shares them; they end when the last handle to them and to
/// their calls is gone.
#[derive(Clone)]
pub struct Audio {
    workers: Arc<[WorkerHandle]>,
    opened: Arc<AtomicU64>,
}

#[derive(Clone)]
struct WorkerHandle {
    inbox: mpsc::Sender<Command>,
    figures: Arc<Figures>,
}

impl Audio {
    /// Starts `count` worker threads, one for each core that media may use. Needs a tokio runtime for
    /// the tasks that keep house.
    pub fn spawn_threads(count: usize) -> io::Result<Self> {
        let workers = (0..count.max(1)).map(|number| {
            let (handle, worker) = make_worker(number);
            let name = format!("media-{number}");
            std::thread::Builder::new().name(name).spawn(move || worker.run_thread())?;
            Ok(handle)
        });
        Ok(Audio { workers: workers.collect::<io::Result<_>>()?, opened: Arc::default() })
    }

    /// Starts one worker as a task on tokio's clock: for the simulation, where time is paused.
    pub fn spawn_task() -> Self {
        let (handle, worker) = make_worker(0);
        tokio::spawn(worker.run_task());
        Audio { workers: Arc::new([handle]), opened: Arc::default() }
    }

    /// Opens a call's audio at the worker with the fewest calls, without legs, `wired` as it starts.
    /// The hold music is at `rate`.
    pub fn open_call(
        &self,
        rate: Rate,
        wired: Wiring,
        hold: Option<Arc<[i16]>>,
    ) -> Result<(CallAudio, CallEars), Overloaded> {
        let idlest = self.workers.iter().min_by_key(|worker| worker.figures.calls());
        let WorkerHandle { inbox, figures } = idlest.ok_or(Overloaded)?;
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        handle::open(number, inbox.clone(), figures.clone(), rate, wired, hold)
    }

    /// The calls that are open.
    pub fn calls(&self) -> u64 {
        self.workers.iter().map(|worker| worker.figures.calls()).sum()
    }

    /// Whether every worker lives. One that has died (a fault of ours) has taken its calls with it, and
    /// the program is not fit to take more.
    pub fn is_running(&self) -> bool {
        self.workers.iter().all(|worker| !worker.inbox.is_closed())
    }

    /// How late the beats of all workers have been since they started.
    pub fn lateness(&self) -> Lateness {
        let mut all = Lateness::default();
        for worker in self.workers.iter() {
            all.add(&worker.figures.late.read());
        }
        all
    }
}

/// A worker that does not run yet, its handle, and its housekeeper, which does.
fn make_worker(number: usize) -> (WorkerHandle, Worker) {
    let (sender, inbox) = mpsc::channel(INBOX_COMMANDS);
    let figures = Arc::new(Figures::default());
    let waste = house::spawn(number, figures.clone());
    let worker = Worker::new(inbox, waste, figures.clone());
    (WorkerHandle { inbox: sender, figures }, worker)
}
