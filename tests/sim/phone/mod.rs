//! A simulated phone: a small user agent, apart from ours, so that no mistake of ours is made on both
//! sides. It does what a story tells it and what its manners say; it can be told to behave badly.

mod hear;
mod line;
mod sip;
mod sound;
mod speak;

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem::media::FRAME_TIME;
use tandem::media::sdp::Direction;
use tandem::net::Network;
use tokio::runtime::Handle;

pub use self::line::State;
use self::sip::Inner;
use crate::tones::{Voice, WINDOW, voices_in};
use crate::world::Script;

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug)]
pub enum Called {
    /// It rings so long, and is answered.
    Answers(Duration),
    /// Its network needs so long to find it; then it rings so long, and is answered.
    Found(Duration, Duration),
    /// It rings so long, and is refused.
    Declines(Duration, u16),
    /// It rings and rings.
    Rings,
}

/// What a phone does when it is asked to call somebody else.
#[derive(Clone, Copy, Debug)]
pub enum Referred {
    /// It does, and tells how far it is.
    Follows,
    /// It refuses.
    Refuses(u16),
    /// It accepts, does nothing, and says these statuses so long after; the last one ends it when it is
    /// final.
    Claims(&'static [(Duration, u16)]),
    /// The same, but what it says comes before its 202.
    Outruns(u16),
}

/// How a phone behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    pub called: Called,
    pub referred: Referred,
    /// The status that it answers OPTIONS with; `None`: nothing.
    pub options: Option<u16>,
}

/// The handle that a story has.
#[derive(Clone)]
pub struct Phone {
    pub name: &'static str,
    pub ip: IpAddr,
    inner: Arc<Mutex<Inner>>,
    runtime: Handle,
    script: Script,
}

impl Phone {
    /// A phone that is switched on.
    pub fn new(
        name: &'static str,
        ip: IpAddr,
        host: Arc<dyn Network>,
        epoch: Instant,
        runtime: Handle,
        script: Script,
    ) -> Self {
        let _clock = runtime.enter();
        let inner = Arc::new(Mutex::new(Inner::new(name, ip, host, epoch)));
        runtime.spawn(run(inner.clone()));
        Phone { name, ip, inner, runtime: runtime.clone(), script }
    }

    pub fn answers_after(self, time: Duration) -> Self {
        self.inner().manners.called = Called::Answers(time);
        self
    }

    pub fn found_after(self, time: Duration, answers_after: Duration) -> Self {
        self.inner().manners.called = Called::Found(time, answers_after);
        self
    }

    pub fn declines_after(self, time: Duration, status: u16) -> Self {
        self.inner().manners.called = Called::Declines(time, status);
        self
    }

    pub fn only_rings(self) -> Self {
        self.inner().manners.called = Called::Rings;
        self
    }

    pub fn when_referred(self, referred: Referred) -> Self {
        self.inner().manners.referred = referred;
        self
    }

    pub fn answers_options(self, status: Option<u16>) -> Self {
        self.inner().manners.options = status;
        self
    }

    /// Calls.
    pub fn dials(&self, uri: &str) {
        let number = self.inner().lines.len();
        self.dials_as(uri, &format!("{}-{number}@{}", self.name, self.ip));
    }

    /// Calls with a Call-ID of its choice.
    pub fn dials_as(&self, uri: &str, call_id: &str) {
        let _clock = self.runtime.enter();
        self.inner().dial(uri, call_id.to_owned(), &[]);
    }

    /// Speaks on its last line. What the recogniser understands from now on are these words.
    pub fn says(&self, words: &str) {
        let _clock = self.runtime.enter();
        let mut inner = self.inner();
        let call_id = inner.last().call_id.clone();
        self.script.lock().unwrap_or_else(PoisonError::into_inner).insert(call_id, words.into());
        let time = Duration::from_millis(250) * words.split_whitespace().count().max(3) as u32;
        let until = now() + time;
        inner.last().sound.talk(until);
    }

    pub fn is_talking(&self) -> bool {
        self.inner().last().sound.is_talking()
    }

    pub fn presses(&self, key: char) {
        self.inner().last().sound.press(key);
    }

    /// Ends its last line as its state wants it: BYE or CANCEL.
    pub fn hangs_up(&self) {
        let _clock = self.runtime.enter();
        self.inner().hang_up();
    }

    pub fn holds(&self) {
        let _clock = self.runtime.enter();
        self.inner().reinvite(Direction::SendOnly);
    }

    pub fn resumes(&self) {
        let _clock = self.runtime.enter();
        self.inner().reinvite(Direction::SendRecv);
    }

    /// Its cable is cut, and it stays so.
    pub fn vanishes(&self) {
        self.inner().gone = true;
    }

    pub fn is_gone(&self) -> bool {
        self.inner().gone
    }

    /// The state of its last line; `None`: it never had one.
    pub fn state(&self) -> Option<State> {
        self.inner().lines.last().map(|line| line.state)
    }

    /// How many lines it has had.
    pub fn lines(&self) -> usize {
        self.inner().lines.len()
    }

    /// Whether all its lines are over.
    pub fn is_idle(&self) -> bool {
        self.inner().lines.iter().all(|line| line.state == State::Over)
    }

    /// The status of the last response to its last INVITE, or of the one that it gave.
    pub fn status(&self) -> u16 {
        self.inner().lines.last().map_or(0, |line| line.status)
    }

    /// A header field of the INVITE that came last.
    pub fn was_told(&self, name: &str) -> Option<String> {
        let inner = self.inner();
        let invite = inner.lines.iter().rev().find_map(|line| line.invite.as_ref())?;
        invite.headers.get(name).map(str::to_owned)
    }

    /// The Call-ID of its last line.
    pub fn call_id(&self) -> String {
        self.inner().last().call_id.clone()
    }

    /// The Call-IDs of all its lines.
    pub fn call_ids(&self) -> Vec<String> {
        self.inner().lines.iter().map(|line| line.call_id.clone()).collect()
    }

    /// Whom it hears in each 20 ms since the world began, on all its lines.
    pub fn hearing(&self) -> Vec<Vec<Voice>> {
        let inner = self.inner();
        let mut hearing: Vec<Vec<Voice>> = Vec::new();
        for line in &inner.lines {
            for (n, window) in line.sound.heard().chunks(WINDOW).enumerate() {
                if hearing.len() <= n {
                    hearing.resize(n + 1, vec![]);
                }
                hearing[n].extend(voices_in(window));
            }
        }
        hearing
    }

    /// Whether it has just heard that voice: within the last 200 ms.
    pub fn hears(&self, voice: Voice) -> bool {
        let _clock = self.runtime.enter();
        let inner = self.inner();
        inner.lines.iter().any(|line| {
            let heard = line.sound.heard();
            let now = inner.samples_since_epoch(now());
            let recent = heard.get(now.saturating_sub(10 * WINDOW)..).unwrap_or_default();
            recent.chunks(WINDOW).any(|window| voices_in(window).contains(&voice))
        })
    }

    /// Whether it has heard nobody at all for that long.
    pub fn is_silent_for(&self, time: Duration) -> bool {
        let _clock = self.runtime.enter();
        let inner = self.inner();
        let since = inner.samples_since_epoch(now()).saturating_sub(inner.samples_in(time));
        let mut recent = inner.lines.iter().map(|line| line.sound.heard());
        recent.all(|heard| {
            let recent = heard.get(since..).unwrap_or_default();
            recent.chunks(WINDOW).all(|window| voices_in(window).is_empty())
        })
    }

    /// Since when each line has been up, until when, and when its packets came; and when the phone
    /// itself had the peer on hold.
    pub fn connections(&self) -> Vec<Connection> {
        let of = |line: &line::Line| Connection {
            call_id: line.call_id.clone(),
            peer: line.peer.ip(),
            up: line.up_at,
            over: line.over_at,
            arrivals: line.sound.arrivals.clone(),
            holds: line.holds.clone(),
        };
        self.inner().lines.iter().map(of).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of a phone, looked at from outside.
pub struct Connection {
    pub call_id: String,
    pub peer: IpAddr,
    pub up: Option<Duration>,
    pub over: Option<Duration>,
    pub arrivals: Vec<Duration>,
    pub holds: Vec<(Duration, Option<Duration>)>,
}

/// Hears what comes, and lives in steps of 20 ms.
async fn run(inner: Arc<Mutex<Inner>>) {
    let lock = || inner.lock().unwrap_or_else(PoisonError::into_inner);
    let socket = lock().socket.clone();
    let mut beat = tokio::time::Instant::now();
    let mut datagram = vec![0; 65_535];
    loop {
        tokio::select! {
            biased;
            readable = poll_fn(|cx| socket.poll_readable(cx)) => {
                if readable.is_err() {
                    return;
                }
                while let Ok((length, from)) = socket.try_recv(&mut datagram) {
                    lock().receive(from, &datagram[..length]);
                }
            }
            () = tokio::time::sleep_until(beat) => {
                lock().tick(now());
                beat += FRAME_TIME;
            }
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
