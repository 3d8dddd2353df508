//! The jitter buffer: puts what the network shuffled back on the sender's clock, and waits just
//! long enough for what is late.
//!
//! ```text
//!            first packet           `depth` has passed
//!  +---------+          +-----------+                 +---------+
//!  | Waiting | -------> | Filling   | --------------> | Playing |--. take: the head moves on by
//!  +---------+          +-----------+                 +---------+<-' what was taken, or paused, or lost
//!       A                    A                          |   |
//!       |                    '--------------------------'   |
//!       |                 another stream or clock           |
//!       '---------------------------------------------------'
//!                     nothing came for a while
//! ```
//!
//! Everything goes by RTP timestamps and not by packets, so that any ptime and any mixture of them
//! works (RFC 3550 §5.1). A packet's *transit* is its arrival minus its timestamp; only differences
//! of it mean anything. The spread of the transits of the last seconds is the jitter that must be
//! waited out, and the head's own transit minus the fastest packet's is how long we wait. When the
//! two drift apart, because the jitter or the sender's clock changed, the head holds still for a
//! frame (which is concealed) or skips one.

mod transits;

use std::time::{Duration, Instant};

use transits::Transits;

use super::codec::Codec;
use super::rtp::Packet;

/// The most payload of one piece: 20 ms of G.711. A longer packet is inserted in pieces.
pub const PIECE_BYTES_MAX: usize = 160;

/// How many pieces are kept: 480 ms of ptime 10, twice as much of ptime 20. A full buffer means a
/// burst beyond any depth that we would wait; it starts anew.
const PIECES_MAX: usize = 48;

/// How long the first packet waits, and the least that any waits while too little is known.
const DEPTH_START: Duration = Duration::from_millis(40);
/// The least that we wait, on a network without jitter.
const DEPTH_MIN: Duration = Duration::from_millis(20);
/// The most: beyond it people begin to talk over each other (ITU-T G.114), and loss is the lesser
/// evil.
const DEPTH_MAX: Duration = Duration::from_millis(200);

/// A stream whose transit jumps by more than this has a new clock.
const CLOCK_JUMP: Duration = Duration::from_secs(1);
/// So many packets in a row that are too late are not late: the path or the clock has changed.
const LATE_IN_A_ROW_MAX: u32 = 5;
/// Without any packet for so long, the next one starts the buffer anew.
const STARVED_AFTER: Duration = Duration::from_millis(200);

/// The head may be so much off its place before it is moved.
const SLACK: Duration = Duration::from_millis(10);
/// It is moved this far, and not again before so much has been played.
const MOVE: Duration = Duration::from_millis(20);
const MOVE_EVERY: Duration = Duration::from_millis(200);
/// Farther behind than this it catches up at once, in the middle of a word as well.
const FAR_BEHIND: Duration = Duration::from_millis(100);

/// Orders one stream by its timestamps. Allocates when it is made, never afterwards.
#[derive(Debug)]
pub struct Jitter {
    codec: Codec,
    /// Where our own count of clock units begins.
    epoch: Instant,
    state: State,
    ssrc: Option<u32>,
    /// In no order; few.
    pieces: Vec<Piece>,
    /// The last one taken, kept for whoever decodes it.
    taken: Piece,
    /// Where the next sound would be that follows `taken` without a gap.
    sound_until: i64,
    /// Where the sender last said that it pauses.
    pause_from: Option<i64>,
    /// The newest timestamp, which the 32 bits of the next one are read by.
    newest: i64,
    arrived_at: i64,
    transits: Transits,
    late: u64,
    late_in_a_row: u32,
}

/// In units of the codec's clock: `until` and `moved_at` on our own count, `head` on the sender's.
#[derive(Clone, Copy, Debug)]
enum State {
    Waiting,
    Filling { until: i64 },
    Playing { head: i64, moved_at: i64 },
}

/// What [`Jitter::steer`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// Nothing: the head is where it should be, or there is nothing to play.
    Keep,
    /// The head holds still: conceal one frame before taking more.
    Hold,
    /// The head has skipped: what is taken next does not follow what was taken last.
    Skipped,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take<'a> {
    /// This payload.
    Payload(&'a [u8]),
    /// So many clock units that never came, or will come too late: conceal them.
    Lost(u32),
    /// So many clock units in which the sender said nothing, on purpose (DTX, comfort noise, an
    /// event).
    Pause(u32),
    /// Nothing yet: no stream, or its first packets are waited for.
    Idle,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    timestamp: i64,
    sequence: u16,
    len: usize,
    bytes: [u8; PIECE_BYTES_MAX],
}

const NO_PIECE: Piece = Piece { timestamp: 0, sequence: 0, len: 0, bytes: [0; PIECE_BYTES_MAX] };

impl Jitter {
    /// A buffer for a stream of that codec.
    pub fn new(now: Instant, codec: Codec) -> Self {
        Jitter {
            codec,
            epoch: now,
            state: State::Waiting,
            ssrc: None,
            pieces: Vec::with_capacity(PIECES_MAX),
            taken: NO_PIECE,
            sound_until: 0,
            pause_from: None,
            newest: 0,
            arrived_at: 0,
            transits: Transits::default(),
            late: 0,
            late_in_a_row: 0,
        }
    }

    /// Takes a packet of sound.
    pub fn insert(&mut self, now: Instant, packet: &Packet<'_>) {
        let arrived_at = self.units_at(now);
        let timestamp = self.follow(packet, arrived_at);

        let end = timestamp + i64::from(self.codec.units(packet.payload.len()));
        let is_late = matches!(self.state, State::Playing { head, .. } if end <= head);
        if is_late {
            self.late += 1;
            self.late_in_a_row += 1;
            if self.late_in_a_row < LATE_IN_A_ROW_MAX {
                return;
            }
            self.restart(arrived_at, timestamp);
        }
        self.late_in_a_row = 0;
        self.keep(packet, timestamp);
        if let State::Waiting = self.state {
            self.state = State::Filling { until: arrived_at + self.depth_units() };
        }
    }

    /// Takes note of a packet that says that there is no sound from its timestamp on: comfort
    /// noise, or an event in place of sound.
    pub fn pause(&mut self, packet: &Packet<'_>) {
        if self.ssrc == Some(packet.ssrc) {
            self.pause_from = Some(self.extend(packet.timestamp));
        }
    }

    /// Sees to it that the head is where it should be. To be called once before the takes of each
    /// tick.
    ///
    /// `ahead` is what has been taken but not yet played, in clock units. `quiet` says that what
    /// was played last is so quiet that nobody hears a frame more or less of it.
    pub fn steer(&mut self, now: Instant, ahead: u32, quiet: bool) -> Steer {
        let now = self.units_at(now);
        let depth = self.depth_units();
        match self.state {
            State::Waiting => Steer::Keep,
            State::Filling { until } => {
                if until <= now {
                    self.state = State::Playing { head: self.first_head(now), moved_at: now };
                }
                Steer::Keep
            }
            State::Playing { head, .. } if self.is_starved(now, head) => {
                self.pieces.clear();
                self.state = State::Waiting;
                Steer::Keep
            }
            State::Playing { moved_at, .. } if now - moved_at < self.units(MOVE_EVERY) => {
                Steer::Keep
            }
            State::Playing { head, .. } => {
                let waits = now - (head - i64::from(ahead)) - self.transits.fastest();
                let step = self.units(MOVE);
                let excess = waits - depth;
                if excess < -self.units(SLACK) {
                    self.state = State::Playing { head, moved_at: now };
                    return Steer::Hold;
                }
                let is_far_behind = excess > self.units(FAR_BEHIND);
                if !is_far_behind && (excess < step + self.units(SLACK) || !quiet) {
                    return Steer::Keep;
                }
                let skip = if is_far_behind { excess / step * step } else { step };
                self.state = State::Playing { head: head + skip, moved_at: now };
                Steer::Skipped
            }
        }
    }

    /// What comes next, and moves the head behind it.
    pub fn take(&mut self) -> Take<'_> {
        let State::Playing { head, moved_at } = self.state else { return Take::Idle };
        self.drop_before(head);
        let next = (0..self.pieces.len()).min_by_key(|&n| self.pieces[n].timestamp);

        let frame = self.units(MOVE);
        let gap = match next.map(|n| &self.pieces[n]) {
            Some(piece) if piece.timestamp <= head => 0,
            Some(piece) => (piece.timestamp - head).min(frame),
            None => frame,
        };
        if let (Some(next), 0) = (next, gap) {
            self.taken = self.pieces.swap_remove(next);
            self.sound_until = self.end_of(&self.taken);
            self.state = State::Playing { head: self.sound_until, moved_at };
            return Take::Payload(&self.taken.bytes[..self.taken.len]);
        }
        let paused = self.is_pause(next.map(|n| &self.pieces[n]));
        self.state = State::Playing { head: head + gap, moved_at };
        if paused { Take::Pause(gap as u32) } else { Take::Lost(gap as u32) }
    }

    /// How long a packet waits now, if it was as fast as any.
    pub fn depth(&self) -> Duration {
        Duration::from_micros(
            self.depth_units() as u64 * 1_000_000 / u64::from(self.codec.clock_hertz()),
        )
    }

    /// Packets that came after their time.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Follows the sender's clock and returns the packet's timestamp on it, in 64 bits. Another
    /// stream, or a jump of its clock, starts the buffer anew.
    fn follow(&mut self, packet: &Packet<'_>, arrived_at: i64) -> i64 {
        let timestamp = self.extend(packet.timestamp);
        let is_known = self.ssrc == Some(packet.ssrc);
        let drift = (arrived_at - timestamp) - (self.arrived_at - self.newest);
        if is_known && drift.abs() <= self.units(CLOCK_JUMP) {
            self.transits.add(arrived_at, arrived_at - timestamp, self.units(transits::BLOCK));
            if timestamp > self.newest {
                (self.newest, self.arrived_at) = (timestamp, arrived_at);
            }
        } else {
            self.ssrc = Some(packet.ssrc);
            self.restart(arrived_at, timestamp);
        }
        timestamp
    }

    /// Forgets what was before a packet that begins a new stream, or the same one on a new clock.
    fn restart(&mut self, arrived_at: i64, timestamp: i64) {
        self.pieces.clear();
        self.state = State::Waiting;
        self.pause_from = None;
        (self.newest, self.arrived_at) = (timestamp, arrived_at);
        self.transits = Transits::default();
        self.transits.add(arrived_at, arrived_at - timestamp, self.units(transits::BLOCK));
    }

    /// Keeps a packet's sound, in pieces.
    fn keep(&mut self, packet: &Packet<'_>, timestamp: i64) {
        let mut timestamp = timestamp;
        for bytes in packet.payload.chunks(PIECE_BYTES_MAX) {
            if self.pieces.len() == PIECES_MAX {
                self.pieces.clear();
                self.state = State::Waiting;
            }
            let is_new = self.pieces.iter().all(|piece| piece.timestamp != timestamp);
            if is_new {
                let mut piece = Piece { timestamp, sequence: packet.sequence, ..NO_PIECE };
                piece.len = bytes.len();
                piece.bytes[..bytes.len()].copy_from_slice(bytes);
                self.pieces.push(piece);
            }
            timestamp += i64::from(self.codec.units(bytes.len()));
        }
    }

    /// Where to begin: at the piece that a packet as fast as any would have waited for long enough.
    fn first_head(&self, now: i64) -> i64 {
        let head = now - self.transits.fastest() - self.depth_units();
        let due = self.pieces.iter().filter(|piece| self.end_of(piece) > head);
        due.map(|piece| piece.timestamp).min().unwrap_or(head)
    }

    fn is_starved(&self, now: i64, head: i64) -> bool {
        now - self.arrived_at > self.units(STARVED_AFTER)
            && self.pieces.iter().all(|piece| self.end_of(piece) <= head)
    }

    /// Whether what is missing before `next` was never said. Then either the sender told us so, or
    /// the next packet is the very next one, only later (RFC 3551 §4.1).
    fn is_pause(&self, next: Option<&Piece>) -> bool {
        // Some senders give an event the timestamp of the packet of sound before it.
        let earliest = self.sound_until - self.units(MOVE);
        let told = self.pause_from.is_some_and(|from| {
            from >= earliest && next.is_none_or(|piece| from <= piece.timestamp)
        });
        told || next.is_some_and(|piece| piece.sequence == self.taken.sequence.wrapping_add(1))
    }

    fn drop_before(&mut self, head: i64) {
        let codec = self.codec;
        self.pieces.retain(|piece| piece.timestamp + i64::from(codec.units(piece.len)) > head);
    }

    fn end_of(&self, piece: &Piece) -> i64 {
        piece.timestamp + i64::from(self.codec.units(piece.len))
    }

    fn depth_units(&self) -> i64 {
        let least = if self.transits.is_young() { DEPTH_START } else { DEPTH_MIN };
        self.transits.spread().clamp(self.units(least), self.units(DEPTH_MAX))
    }

    /// 32 bits of timestamp, read as the nearest to the newest.
    fn extend(&self, timestamp: u32) -> i64 {
        self.newest + i64::from(timestamp.wrapping_sub(self.newest as u32) as i32)
    }

    fn units_at(&self, now: Instant) -> i64 {
        self.units(now.saturating_duration_since(self.epoch))
    }

    fn units(&self, time: Duration) -> i64 {
        (time.as_micros() * u128::from(self.codec.clock_hertz()) / 1_000_000) as i64
    }
}

#[cfg(test)]
mod tests;
