//! A caller with an exact clock, among the load: SIPp's own shows steps of 4 ms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::program::LOOPBACK;
use crate::program::peer::{Peer, Request};

/// From one call to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// A port that nobody listens at.
const DEAF: u16 = 9;

/// Somebody who calls, is rung, answered, and hangs up, again and again, on a thread.
pub struct Prober {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

impl Prober {
    pub fn start(server: SocketAddr, called: &str) -> Self {
        let (peer, called) = (Peer::new(LOOPBACK, server), called.to_owned());
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = thread::spawn(move || call_until(&is_over, &peer, &called));
        Prober { over, thread }
    }

    /// From each INVITE to its first 180 or 200, in milliseconds, sorted.
    pub fn finish(self) -> Vec<f64> {
        self.over.store(true, Ordering::Relaxed);
        let mut delays = self.thread.join().expect("every call is answered");
        delays.sort_by(f64::total_cmp);
        delays
    }
}

fn call_until(is_over: &AtomicBool, peer: &Peer, called: &str) -> Vec<f64> {
    let mut delays = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let next = Instant::now() + PAUSE;
        let delay = call(peer, called, &format!("probe-{}", delays.len()));
        delays.push(delay.as_secs_f64() * 1000.0);
        sleep(next.saturating_duration_since(Instant::now()));
    }
    delays
}

/// One call, and how long it took until it rang. Nothing is sent twice: what is lost on loopback is a
/// fault.
fn call(peer: &Peer, called: &str, call_id: &str) -> Duration {
    let invite = Request::new("INVITE", called, call_id).offering(DEAF);
    let sent = Instant::now();
    peer.request(&invite);
    while peer.receive().status().is_none_or(|status| status < 180) {}
    let delay = sent.elapsed();
    let answer = peer.answer(&invite);
    assert_eq!(answer.status(), Some(200), "{call_id}");
    peer.request(&invite.inside("ACK", &answer, 1));
    let bye = invite.inside("BYE", &answer, 2);
    peer.request(&bye);
    peer.answer(&bye);
    delay
}
