//! Threads that own models, behind one bounded queue.
//!
//! ```text
//!   requests ---.           .--> worker 1, with a model's state
//!                >  foreman <
//!   "I am free" '           '--> worker 2, …
//! ```
//!
//! The foreman is a thread too: it holds the [`Backlog`] and gives the next job to whoever is free, so that no
//! request takes a lock and none waits for another's bookkeeping. When the last handle is dropped the
//! foreman stops, and the workers after their last job.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as threads;
use std::thread;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use metrics::{gauge, histogram};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::speech::backlog::{Backlog, Waiting};
use crate::speech::{SpeechError, Urgency};

/// Requests that the foreman has not looked at yet. It looks within microseconds, so a full inbox means
/// that this machine has stopped working; the request is answered [`SpeechError::Busy`].
const INBOX: usize = 256;

/// What a worker does with a job, told how many workers are busy in this moment, itself included.
pub type Work<J, R> = Box<dyn FnMut(J, usize) -> Result<R, SpeechError> + Send>;

/// How the threads are called and measured.
#[derive(Clone, Copy, Debug)]
pub struct Craft {
    /// Names the threads and labels the metrics, such as `whisper`.
    pub engine: &'static str,
    /// The histogram of what the work takes, such as `speech_recognition_seconds`.
    pub seconds: &'static str,
    /// How many jobs may wait. What waits longer than anyone wants it is better refused.
    pub room: usize,
}

/// A handle to the threads. Clones share them.
pub struct Workers<J, R> {
    inbox: mpsc::Sender<Told<J, R>>,
}

impl<J, R> Clone for Workers<J, R> {
    fn clone(&self) -> Self {
        Workers { inbox: self.inbox.clone() }
    }
}

/// What the foreman is told.
enum Told<J, R> {
    Asked(Job<J, R>),
    Free(usize),
}

struct Job<J, R> {
    work: J,
    urgency: Urgency,
    asked: Instant,
    answer: oneshot::Sender<Result<R, SpeechError>>,
}

impl<J, R> Waiting for Job<J, R> {
    fn is_awaited(&self) -> bool {
        self.urgency.is_awaited()
    }

    fn is_dropped(&self) -> bool {
        self.answer.is_closed()
    }
}

impl<J: Send + 'static, R: Send + 'static> Workers<J, R> {
    /// Starts one thread for each piece of `works`, and the foreman.
    pub fn start(craft: Craft, works: Vec<Work<J, R>>) -> io::Result<Self> {
        let (inbox, told) = mpsc::channel(INBOX);
        let mut benches = Vec::new();
        for (number, work) in works.into_iter().enumerate() {
            // A worker is given a job only when it is free, so one place is enough.
            let (bench, jobs) = threads::sync_channel(1);
            benches.push(bench);
            // Workers must not keep the foreman alive, who keeps them alive.
            let free = inbox.downgrade();
            spawn(format!("{}-{number}", craft.engine), move || {
                labour(craft, number, work, &jobs, &free);
            })?;
        }
        let foreman = Foreman {
            craft,
            free: (0..benches.len()).rev().collect(),
            benches,
            backlog: Backlog::new(craft.room),
        };
        spawn(craft.engine.to_owned(), move || foreman.run(told))?;
        Ok(Workers { inbox })
    }

    /// Asks for a piece of work. Dropping the future takes it back if it has not begun.
    pub fn ask(&self, work: J, urgency: Urgency) -> BoxFuture<'static, Result<R, SpeechError>> {
        let (answer, answered) = oneshot::channel();
        let job = Job { work, urgency, asked: Instant::now(), answer };
        match self.inbox.try_send(Told::Asked(job)) {
            Ok(()) => answered.map(|answer| answer.unwrap_or(Err(SpeechError::Gone))).boxed(),
            Err(mpsc::error::TrySendError::Full(_)) => {
                future::ready(Err(SpeechError::Busy)).boxed()
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                future::ready(Err(SpeechError::Gone)).boxed()
            }
        }
    }
}

struct Foreman<J, R> {
    craft: Craft,
    benches: Vec<threads::SyncSender<Assigned<J, R>>>,
    free: Vec<usize>,
    backlog: Backlog<Job<J, R>>,
}

/// A job with the number of workers that are busy when it begins.
type Assigned<J, R> = (Job<J, R>, usize);

impl<J, R> Foreman<J, R> {
    fn run(mut self, mut told: mpsc::Receiver<Told<J, R>>) {
        while let Some(told) = told.blocking_recv() {
            match told {
                Told::Free(worker) => self.free.push(worker),
                Told::Asked(job) => {
                    if let Some(refused) = self.backlog.push(job) {
                        // Nobody listens any more if this fails, and then nobody minds.
                        let _ = refused.answer.send(Err(SpeechError::Busy));
                    }
                }
            }
            self.assign();
        }
    }

    fn assign(&mut self) {
        while let Some(worker) = self.free.pop() {
            let Some(job) = self.backlog.pop() else {
                self.free.push(worker);
                break;
            };
            let busy = self.benches.len() - self.free.len();
            // A thread that is gone drops the job, which tells whoever asked.
            let _ = self.benches[worker].try_send((job, busy));
        }
        let busy = self.benches.len() - self.free.len();
        gauge!("speech_workers_busy", "engine" => self.craft.engine).set(busy as f64);
        gauge!("speech_jobs_waiting", "engine" => self.craft.engine).set(self.backlog.len() as f64);
    }
}

fn labour<J, R>(
    craft: Craft,
    number: usize,
    mut work: Work<J, R>,
    jobs: &threads::Receiver<Assigned<J, R>>,
    free: &mpsc::WeakSender<Told<J, R>>,
) {
    while let Ok((job, busy)) = jobs.recv() {
        let began = Instant::now();
        histogram!("speech_queue_seconds", "engine" => craft.engine)
            .record((began - job.asked).as_secs_f64());

        let done = catch_unwind(AssertUnwindSafe(|| work(job.work, busy))).unwrap_or_else(|_| {
            error!(engine = craft.engine, "a speech worker panicked");
            Err(SpeechError::Failed)
        });

        histogram!(craft.seconds, "engine" => craft.engine).record(began.elapsed().as_secs_f64());
        // Whoever asked may have lost interest.
        let _ = job.answer.send(done);
        let Some(foreman) = free.upgrade() else { return };
        if foreman.blocking_send(Told::Free(number)).is_err() {
            return;
        }
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // The thread ends by itself when its channel closes.
    thread::Builder::new().name(name).spawn(run).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRAFT: Craft = Craft { engine: "test", seconds: "speech_test_seconds", room: 2 };

    /// Does nothing until it is let go, and says what it does.
    fn held(said: threads::Sender<u32>) -> (threads::Sender<()>, Work<u32, u32>) {
        let (go, gate) = threads::channel();
        let work = move |job, _busy| {
            said.send(job).expect("the test listens");
            gate.recv().map_err(|_| SpeechError::Failed)?;
            Ok(job * 2)
        };
        (go, Box::new(work))
    }

    #[tokio::test]
    async fn awaited_work_overtakes_early_work_that_waits() {
        let (said, began) = threads::channel();
        let (go, work) = held(said);
        let workers = Workers::start(CRAFT, vec![work]).expect("threads");
        let first = workers.ask(1, Urgency::awaited());
        assert_eq!(began.recv(), Ok(1));
        let early = workers.ask(2, Urgency::early());
        let awaited = workers.ask(3, Urgency::awaited());

        for _ in 0..3 {
            go.send(()).expect("the worker waits");
        }

        assert_eq!(tokio::join!(first, early, awaited), (Ok(2), Ok(4), Ok(6)));
        assert_eq!(began.try_iter().collect::<Vec<_>>(), [3, 2]);
    }

    #[tokio::test]
    async fn dropped_work_is_never_begun() {
        let (said, began) = threads::channel();
        let (go, work) = held(said);
        let workers = Workers::start(CRAFT, vec![work]).expect("threads");
        let first = workers.ask(1, Urgency::awaited());
        assert_eq!(began.recv(), Ok(1));
        drop(workers.ask(2, Urgency::awaited()));
        let third = workers.ask(3, Urgency::early());

        go.send(()).expect("the worker waits");
        go.send(()).expect("the worker waits");

        assert_eq!(tokio::join!(first, third), (Ok(2), Ok(6)));
        assert_eq!(began.try_iter().collect::<Vec<_>>(), [3]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_at_once() {
        let (said, began) = threads::channel();
        let (_go, work) = held(said);
        let workers = Workers::start(CRAFT, vec![work]).expect("threads");
        let _first = workers.ask(1, Urgency::awaited());
        assert_eq!(began.recv(), Ok(1));
        let _waiting: Vec<_> = (2..4).map(|job| workers.ask(job, Urgency::awaited())).collect();

        assert_eq!(workers.ask(4, Urgency::awaited()).await, Err(SpeechError::Busy));
    }

    #[tokio::test]
    async fn worker_that_panics_fails_its_job_and_does_the_next() {
        let work: Work<u32, u32> =
            Box::new(|job, _| if job == 1 { panic!("as the test wants it") } else { Ok(job) });
        let workers = Workers::start(CRAFT, vec![work]).expect("threads");

        assert_eq!(workers.ask(1, Urgency::awaited()).await, Err(SpeechError::Failed));
        assert_eq!(workers.ask(2, Urgency::awaited()).await, Ok(2));
    }

    #[tokio::test]
    async fn work_is_told_how_many_are_busy() {
        let (said, began) = threads::channel();
        let works: Vec<Work<u32, usize>> = (0..2)
            .map(|_| {
                let said = said.clone();
                let (gate, pass) = threads::channel::<()>();
                Box::new(move |job: u32, busy| {
                    let _keep = &gate;
                    said.send(job).expect("the test listens");
                    if job == 1 {
                        // Holds its worker until the test is over.
                        let _ = pass.recv_timeout(std::time::Duration::from_secs(5));
                    }
                    Ok(busy)
                }) as Work<u32, usize>
            })
            .collect();
        let workers = Workers::start(CRAFT, works).expect("threads");

        let _held = workers.ask(1, Urgency::awaited());
        assert_eq!(began.recv(), Ok(1));

        assert_eq!(workers.ask(2, Urgency::awaited()).await, Ok(2));
    }

    #[test]
    fn threads_end_with_the_last_handle() {
        let (said, alive) = threads::channel::<u32>();
        let (_go, work) = held(said);
        let workers = Workers::start(CRAFT, vec![work]).expect("threads");
        drop(workers);
        assert_eq!(alive.recv(), Err(threads::RecvError), "the worker let go of its channel");
    }
}
