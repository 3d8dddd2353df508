//! What is known of a stream by its sequence numbers alone: how much came, was lost, came twice,
//! and how unevenly (RFC 3550 appendices A.1, A.3 and A.8).

use std::time::{Duration, Instant};

use super::rtp::Packet;

/// A sequence number so far ahead or behind is another stream and not a loss (RFC 3550 appendix
/// A.1).
const JUMP_MAX: i16 = 3000;

/// Counts the packets of one leg, over all the streams that it has sent.
#[derive(Debug)]
pub struct Reception {
    epoch: Instant,
    clock_hertz: u32,
    stream: Option<Stream>,
    /// What came in this stream and those before it, without duplicates.
    received: u64,
    duplicates: u64,
    /// Missing in the streams before this one.
    lost_before: u64,
    /// In clock units, times 16 (RFC 3550 appendix A.8).
    jitter: u64,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// The highest sequence number, and whether each of the 64 below and including it came.
    highest: u16,
    came: u64,
    expected: u64,
    received: u64,
    transit: Option<u32>,
}

impl Reception {
    /// Nothing has come yet.
    pub fn new(now: Instant, clock_hertz: u32) -> Self {
        Reception {
            epoch: now,
            clock_hertz,
            stream: None,
            received: 0,
            duplicates: 0,
            lost_before: 0,
            jitter: 0,
        }
    }

    /// Counts a packet, and returns false if it came before. A packet of an event says nothing
    /// about jitter: its timestamp stands still.
    pub fn count(&mut self, now: Instant, packet: &Packet<'_>, is_event: bool) -> bool {
        let arrived = self.units_at(now);
        let stream = match &mut self.stream {
            Some(stream) if stream.is_continued_by(packet) => stream,
            ended => {
                self.lost_before += ended.as_ref().map_or(0, Stream::lost);
                ended.insert(Stream::beginning_with(packet))
            }
        };
        if !stream.mark(packet.sequence) {
            self.duplicates += 1;
            return false;
        }
        self.received += 1;
        if !is_event {
            let transit = arrived.wrapping_sub(packet.timestamp);
            if let Some(before) = stream.transit.replace(transit) {
                let change = u64::from((transit.wrapping_sub(before) as i32).unsigned_abs());
                // A pause in which the sender's clock stood still is no jitter.
                if change < u64::from(self.clock_hertz) {
                    self.jitter = self.jitter + change - (self.jitter + 8) / 16;
                }
            }
        }
        true
    }

    /// Packets that came, once each.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that came again.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.stream.as_ref().map_or(0, Stream::lost)
    }

    /// The interarrival jitter.
    pub fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter / 16 * 1_000_000 / u64::from(self.clock_hertz))
    }

    fn units_at(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.epoch).as_micros();
        (elapsed * u128::from(self.clock_hertz) / 1_000_000) as u32
    }
}

impl Stream {
    fn beginning_with(packet: &Packet<'_>) -> Self {
        let highest = packet.sequence.wrapping_sub(1);
        Stream { ssrc: packet.ssrc, highest, came: 0, expected: 0, received: 0, transit: None }
    }

    fn is_continued_by(&self, packet: &Packet<'_>) -> bool {
        let ahead = packet.sequence.wrapping_sub(self.highest) as i16;
        self.ssrc == packet.ssrc && (-JUMP_MAX..=JUMP_MAX).contains(&ahead)
    }

    /// Takes note of a sequence number, and returns false if it is known, or too old to be known.
    fn mark(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest) as i16;
        if ahead > 0 {
            self.came = self.came.checked_shl(ahead as u32).unwrap_or(0) | 1;
            self.highest = sequence;
            self.expected += ahead as u64;
        } else {
            let bit = 1u64.checked_shl(ahead.unsigned_abs().into()).unwrap_or(u64::MAX);
            if self.came & bit != 0 {
                return false;
            }
            self.came |= bit;
        }
        self.received += 1;
        true
    }

    /// Packets from before the first that came make this less than nothing.
    fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (arrival in ms, source, sequence, timestamp), and then (received, lost, duplicates).
    #[track_caller]
    fn check(packets: &[(u64, u32, u16, u32)], expected: (u64, u64, u64)) -> Duration {
        let start = Instant::now();
        let mut reception = Reception::new(start, 8000);
        for &(ms, ssrc, sequence, timestamp) in packets {
            let packet =
                Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: &[] };
            reception.count(start + Duration::from_millis(ms), &packet, false);
        }
        let counted = (reception.received(), reception.lost(), reception.duplicates());
        assert_eq!(counted, expected);
        reception.jitter()
    }

    #[test]
    fn packets_are_counted_through_loss_reordering_duplicates_and_the_wrap() {
        check(&[(0, 1, 0, 0), (20, 1, 1, 160), (60, 1, 3, 480)], (3, 1, 0));
        check(&[(0, 1, 0, 0), (60, 1, 3, 480), (61, 1, 1, 160), (62, 1, 1, 160)], (3, 1, 1));
        check(&[(0, 1, 65_535, 0), (20, 1, 0, 160), (40, 1, 1, 320)], (3, 0, 0));
    }

    #[test]
    fn losses_of_an_earlier_stream_are_remembered() {
        check(&[(0, 1, 0, 0), (40, 1, 2, 320), (60, 2, 9, 0), (80, 2, 10, 160)], (4, 1, 0));
        // A jump of sequence numbers is a new stream and not ten thousand losses.
        check(&[(0, 1, 0, 0), (20, 1, 10_000, 160), (40, 1, 10_002, 480)], (3, 1, 0));
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let even: Vec<_> = (0..100).map(|n| (u64::from(n) * 20, 1, n as u16, n * 160)).collect();
        assert_eq!(check(&even, (100, 0, 0)), Duration::ZERO);
        // Every other packet 10 ms late: the transit changes by 80 units each time.
        let uneven: Vec<_> =
            (0..200).map(|n: u32| (u64::from(n * 20 + n % 2 * 10), 1, n as u16, n * 160)).collect();
        let jitter = check(&uneven, (200, 0, 0));
        assert!(jitter.as_micros().abs_diff(10_000) < 500, "{jitter:?}");
    }
}
