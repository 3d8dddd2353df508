//! One leg's RTP as one machine: datagrams and frames in, frames and datagrams out.
//!
//! ```text
//!            handle_datagram                                        pull
//!  network ---> latch ---> counted ---> jitter ---> codec ---> conceal ---> the call
//!                             '---> keys, pauses
//!            poll_transmit                                          push
//!  network <--- packets <--- codec <------------------------------------ the call
//!                   '--- keys
//! ```
//!
//! Its driver calls [`pull`](Session::pull) and [`push`](Session::push) once every 20 ms. Nothing
//! is allocated after [`new`](Session::new).
//!
//! RTCP that shares the port is passed over; we send none yet (RFC 3550 §6 asks for it).

mod incoming;
mod outgoing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use incoming::Incoming;
use outgoing::Outgoing;

use super::dtmf::Ear;
use super::latch::Latch;
use super::offer::{Agreed, PayloadTypes};
use super::reception::Reception;
use super::rtp::{COMFORT_NOISE, Datagram, Packet};
use super::sdp::Direction;
use super::{Frame, Rate};

/// What has happened and was not asked for yet. A driver asks after every datagram, so a full queue
/// means that none does, and more is not told.
const EVENTS_MAX: usize = 16;

/// A peer whose packets have stopped for so long may have moved: the next re-INVITE learns its
/// source anew, even if the address in its description is the old one.
const MOVED_AFTER: Duration = Duration::from_secs(1);

/// What a session needs to know before its first packet.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the two sides agreed on.
    pub agreed: Agreed,
    /// The rate of the call this leg is in: frames go in and out at it.
    pub rate: Rate,
    /// Where our stream starts.
    pub start: StreamStart,
    /// After how long without a packet a leg that is not on hold is told `Silent`.
    pub silent_after: Duration,
}

/// Where our stream starts: random, so that it cannot be guessed (RFC 3550 §5.1). The driver draws
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// Our synchronisation source, for the life of the leg.
    pub ssrc: u32,
    /// The first sequence number.
    pub sequence: u16,
    /// The first timestamp.
    pub timestamp: u32,
}

/// What a session tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A key was pressed (RFC 4733), told once at its first packet.
    Digit(char),
    /// Packets come, for the first time or again.
    Flowing,
    /// No packet has come for that long, though neither side is on hold. Told once.
    Silent(Duration),
}

/// Figures of a leg's life so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets sent.
    pub sent: u64,
    /// Packets that came from the peer, once each.
    pub received: u64,
    /// Packets that the peer sent and we never got, by their sequence numbers.
    pub lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after their time to be played.
    pub late: u64,
    /// Sound that had to be made up.
    pub concealed: Duration,
    /// The interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// How long the jitter buffer waits.
    pub depth: Duration,
    /// Packets from a source that is not the peer's, or not known to be yet.
    pub strange_sources: u64,
    /// Datagrams that are no RTP, and packets of a payload type that nobody agreed on.
    pub unusable: u64,
}

/// One leg's RTP.
#[derive(Debug)]
pub struct Session {
    agreed: Agreed,
    rate: Rate,
    silent_after: Duration,
    latch: Latch,
    reception: Reception,
    incoming: Incoming,
    outgoing: Outgoing,
    ear: Ear,
    ssrc: Option<u32>,
    flow: Flow,
    events: VecDeque<SessionEvent>,
    strange_sources: u64,
    unusable: u64,
}

/// Whether packets come.
#[derive(Clone, Copy, Debug)]
enum Flow {
    /// None since then; whether that has been told.
    Silent { since: Instant, told: bool },
    /// The last one then.
    Flowing { last: Instant },
}

impl Session {
    /// A session that has neither sent nor received.
    pub fn new(now: Instant, config: Config) -> Self {
        let Config { agreed, rate, start, silent_after } = config;
        Session {
            agreed,
            rate,
            silent_after,
            latch: Latch::new(agreed.remote),
            reception: Reception::new(now, agreed.codec.clock_hertz()),
            incoming: Incoming::new(now, agreed.codec, rate),
            outgoing: Outgoing::new(now, agreed.codec, start),
            ear: Ear::default(),
            ssrc: None,
            flow: Flow::Silent { since: now, told: false },
            events: VecDeque::with_capacity(EVENTS_MAX),
            strange_sources: 0,
            unusable: 0,
        }
    }

    /// Takes a datagram from the leg's socket.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        match Datagram::parse(bytes) {
            Datagram::Rtp(packet) if self.latch.admits(now, source, &packet) => {
                self.handle_packet(now, &packet);
            }
            Datagram::Rtp(_) => self.strange_sources += 1,
            Datagram::Rtcp => (),
            Datagram::Foreign => self.unusable += 1,
        }
    }

    /// The next 20 ms of what the peer says, to be called once every 20 ms: always a whole frame,
    /// concealed or silent where nothing came.
    pub fn pull(&mut self, now: Instant) -> Frame {
        self.watch_for_silence(now);
        self.incoming.pull(now)
    }

    /// The next 20 ms of what the peer hears, to be called once every 20 ms. Packets are ready at
    /// [`poll_transmit`](Self::poll_transmit) afterwards, if the direction lets us send.
    pub fn push(&mut self, now: Instant, frame: &Frame) {
        debug_assert_eq!(frame.rate(), self.rate, "a call has one rate");
        let target = self.latch.target();
        let can_send =
            self.agreed.direction.sends() && !target.ip().is_unspecified() && target.port() != 0;
        if can_send {
            self.outgoing.send(now, &self.agreed, frame);
        } else {
            self.outgoing.skip(now, frame);
        }
    }

    /// The next packet to send. Drain to `None` after every [`push`](Self::push).
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, &[u8])> {
        let target = self.latch.target();
        self.outgoing.poll().map(|packet| (target, packet))
    }

    /// What happened. Drain to `None` after `handle_datagram` and `pull`.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// A re-INVITE agreed on something else: hold, another address, another codec. Our stream goes
    /// on.
    pub fn renegotiate(&mut self, now: Instant, agreed: Agreed) {
        let has_stopped = match self.flow {
            Flow::Flowing { last } => now.saturating_duration_since(last) > MOVED_AFTER,
            Flow::Silent { .. } => true,
        };
        // "Nowhere" is an old way to say hold (RFC 3264 §8.4): the peer is where it was.
        if !agreed.remote.ip().is_unspecified() {
            self.latch.describe(agreed.remote, has_stopped);
        }
        if agreed.codec != self.agreed.codec {
            self.incoming.switch(now, agreed.codec);
        }
        if (agreed.codec, agreed.ptime) != (self.agreed.codec, self.agreed.ptime) {
            self.outgoing.switch(agreed.codec);
        }
        if is_expected(agreed.direction) && !is_expected(self.agreed.direction) {
            // Its time to speak begins now.
            self.flow = Flow::Silent { since: now, told: false };
        }
        self.agreed = agreed;
    }

    /// Presses keys, one after the other, after those still being pressed: `0`-`9`, `*`, `#`,
    /// `A`-`D`; `w` waits half a second, `W` a whole one. Returns false, and presses none, if a
    /// character is something else, the peer takes no telephone-events, or too many are waiting.
    pub fn send_digits(&mut self, digits: &str) -> bool {
        self.agreed.telephone_event.is_some() && self.outgoing.press(digits)
    }

    /// Whether a packet has come within that time.
    pub fn has_sounded(&self, now: Instant, within: Duration) -> bool {
        match self.flow {
            Flow::Flowing { last } => now.saturating_duration_since(last) <= within,
            Flow::Silent { .. } => false,
        }
    }

    /// The figures so far.
    pub fn stats(&self) -> Stats {
        Stats {
            sent: self.outgoing.sent(),
            received: self.reception.received(),
            lost: self.reception.lost(),
            duplicates: self.reception.duplicates(),
            late: self.incoming.late(),
            concealed: self.incoming.concealed(),
            jitter: self.reception.jitter(),
            depth: self.incoming.depth(),
            strange_sources: self.strange_sources,
            unusable: self.unusable,
        }
    }

    fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        if let Flow::Silent { .. } = self.flow {
            self.tell(SessionEvent::Flowing);
        }
        self.flow = Flow::Flowing { last: now };
        if self.ssrc.replace(packet.ssrc) != Some(packet.ssrc) {
            self.ear.restart();
        }

        let received_as = |types: PayloadTypes| types.receive == packet.payload_type;
        let is_event = self.agreed.telephone_event.is_some_and(received_as);
        if !self.reception.count(now, packet, is_event) {
            return;
        }
        if is_event {
            self.incoming.pause(packet);
            if let Some(key) = self.ear.hear(packet, self.agreed.codec.clock_hertz()) {
                self.tell(SessionEvent::Digit(key));
            }
        } else if packet.payload_type == COMFORT_NOISE {
            self.incoming.pause(packet);
        } else if !received_as(self.agreed.payload) || packet.payload.is_empty() {
            self.unusable += 1;
        } else if self.agreed.direction.receives() {
            self.incoming.insert(now, packet);
        }
    }

    fn watch_for_silence(&mut self, now: Instant) {
        if !is_expected(self.agreed.direction) {
            return;
        }
        let (since, told) = match self.flow {
            Flow::Silent { since, told } => (since, told),
            Flow::Flowing { last } => (last, false),
        };
        if !told && now.saturating_duration_since(since) >= self.silent_after {
            self.flow = Flow::Silent { since, told: true };
            self.tell(SessionEvent::Silent(self.silent_after));
        }
    }

    fn tell(&mut self, event: SessionEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }
}

/// Whether a peer that sends nothing is missed. One that holds us says that it will send, but most
/// have no music to send.
fn is_expected(direction: Direction) -> bool {
    direction == Direction::SendRecv
}

#[cfg(test)]
mod tests;
