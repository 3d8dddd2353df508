//! Symmetric RTP: packets go back to where the peer's come from, once that is sure.
//!
//! ```text
//!            two in a row from one source            re-INVITE
//! +----------+   within a short time      +--------+ names another address,
//! | Learning | -------------------------> | Locked | ---. or the packets had stopped
//! +----------+                            +--------+    |
//!      A  send: where the description says    | send: there; all others are ignored
//!      '--------------------------------------'---------'
//! ```
//!
//! Behind a NAT the address in a description is useless, so we learn it (RFC 7362). But whoever
//! learns from one packet, or at any time, can be robbed of a call by anyone who guesses a port
//! ("RTP bleed"): so two packets must come, consecutive in sequence and of one source, and then the
//! lock holds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rtp::Packet;

/// The two packets must come within this: room for any ptime and its jitter, and little for guessing.
const WINDOW: Duration = Duration::from_millis(200);

/// Where a leg's packets come from, and go to.
#[derive(Debug)]
pub struct Latch {
    described: SocketAddr,
    state: State,
}

#[derive(Debug)]
enum State {
    Learning { target: SocketAddr, candidates: [Option<Candidate>; 2] },
    Locked { source: SocketAddr },
}

/// The first of two packets.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    sequence: u16,
    seen_at: Instant,
}

impl Latch {
    /// Nothing has come yet; the description names this address.
    pub fn new(described: SocketAddr) -> Self {
        let described = canonical(described);
        Latch { described, state: State::learning(described) }
    }

    /// Whether to trust a packet.
    pub fn admits(&mut self, now: Instant, source: SocketAddr, packet: &Packet<'_>) -> bool {
        let source = canonical(source);
        match &mut self.state {
            State::Locked { source: locked } => *locked == source,
            State::Learning { candidates, .. } => {
                // Whom the description names has a place that no stranger can take from it.
                let place = &mut candidates[usize::from(source != self.described)];
                let confirmed =
                    place.is_some_and(|first| first.is_followed_by(now, source, packet));
                let Packet { ssrc, sequence, .. } = *packet;
                *place = Some(Candidate { source, ssrc, sequence, seen_at: now });
                if confirmed {
                    self.state = State::Locked { source };
                }
                confirmed
            }
        }
    }

    /// Where to send.
    pub fn target(&self) -> SocketAddr {
        match self.state {
            State::Learning { target, .. } => target,
            State::Locked { source } => source,
        }
    }

    /// A re-INVITE: learns anew if it names another address, or if the peer's packets have stopped,
    /// since a NAT may have moved it. Until something is learned, packets go where they went.
    pub fn describe(&mut self, described: SocketAddr, has_stopped: bool) {
        let described = canonical(described);
        if described != self.described {
            *self = Latch::new(described);
        } else if has_stopped {
            self.state = State::learning(self.target());
        }
    }
}

impl State {
    fn learning(target: SocketAddr) -> Self {
        State::Learning { target, candidates: [None; 2] }
    }
}

impl Candidate {
    fn is_followed_by(&self, now: Instant, source: SocketAddr, packet: &Packet<'_>) -> bool {
        self.source == source
            && self.ssrc == packet.ssrc
            && packet.sequence == self.sequence.wrapping_add(1)
            && now.saturating_duration_since(self.seen_at) <= WINDOW
    }
}

/// A socket for both families shows IPv4 sources in IPv6 clothes.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIBED: &str = "192.0.2.1:4000";
    const BEHIND_NAT: &str = "203.0.113.5:62000";
    const ATTACKER: &str = "198.51.100.66:5555";

    /// (ms, source, sequence): whether each is admitted, and where we send in the end.
    #[track_caller]
    fn check(packets: &[(u64, &str, u16, bool)], target: &str) {
        let start = Instant::now();
        let mut latch = Latch::new(DESCRIBED.parse().expect("address"));
        for &(ms, source, sequence, admitted) in packets {
            let source: SocketAddr = source.parse().expect("address");
            let ssrc = u32::from(source.port());
            let packet = Packet {
                marker: false,
                payload_type: 0,
                sequence,
                timestamp: 0,
                ssrc,
                payload: &[],
            };
            let now = start + Duration::from_millis(ms);
            assert_eq!(latch.admits(now, source, &packet), admitted, "{sequence} from {source}");
        }
        assert_eq!(latch.target(), target.parse().expect("address"));
    }

    #[test]
    fn nothing_came_so_the_description_is_believed() {
        check(&[], DESCRIBED);
        check(&[(0, BEHIND_NAT, 1, false)], DESCRIBED);
    }

    #[test]
    fn two_in_a_row_are_believed_and_then_nobody_else() {
        check(
            &[
                (0, BEHIND_NAT, 65_535, false),
                (20, BEHIND_NAT, 0, true),
                (30, ATTACKER, 7, false),
                (50, ATTACKER, 8, false),
                (60, DESCRIBED, 1, false),
                (80, DESCRIBED, 2, false),
                (90, BEHIND_NAT, 3, true),
            ],
            BEHIND_NAT,
        );
    }

    /// A spray of single packets: random numbers, or too slow, or from many ports.
    #[test]
    fn guesses_are_not_believed() {
        check(&[(0, ATTACKER, 1, false), (20, ATTACKER, 900, false)], DESCRIBED);
        check(&[(0, ATTACKER, 1, false), (500, ATTACKER, 2, false)], DESCRIBED);
        check(
            &[
                (0, ATTACKER, 1, false),
                (10, "198.51.100.66:5556", 2, false),
                (20, ATTACKER, 3, false),
            ],
            DESCRIBED,
        );
    }

    /// Every packet of the peer is followed by one of the attacker, and still the peer is found.
    #[test]
    fn spray_does_not_keep_the_described_peer_out() {
        check(
            &[(0, DESCRIBED, 1, false), (5, ATTACKER, 77, false), (20, DESCRIBED, 2, true)],
            DESCRIBED,
        );
    }

    #[test]
    fn lock_opens_only_for_a_peer_that_has_moved_or_stopped() {
        let start = Instant::now();
        let described: SocketAddr = DESCRIBED.parse().expect("address");
        let source: SocketAddr = BEHIND_NAT.parse().expect("address");
        let attacker: SocketAddr = ATTACKER.parse().expect("address");
        let mut latch = Latch::new(described);
        let admits = |latch: &mut Latch, source, sequence| {
            let (payload_type, payload) = (0, &[] as &[u8]);
            let (marker, timestamp, ssrc) = (false, 0, 1);
            let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload };
            latch.admits(start, source, &packet)
        };
        admits(&mut latch, source, 1);
        assert!(admits(&mut latch, source, 2));

        latch.describe(described, false);
        admits(&mut latch, attacker, 1);
        assert!(!admits(&mut latch, attacker, 2), "a session refresh opens nothing");
        assert_eq!(latch.target(), source);

        latch.describe(described, true);
        assert_eq!(latch.target(), source, "still the best that is known");
        assert!(!admits(&mut latch, source, 3), "but to be learned again");

        let elsewhere = "192.0.2.9:4000".parse().expect("address");
        latch.describe(elsewhere, false);
        assert_eq!(latch.target(), elsewhere);
    }

    #[test]
    fn ipv4_source_on_a_socket_for_both_families_is_the_same_peer() {
        check(&[(0, "[::ffff:192.0.2.1]:4000", 1, false), (20, DESCRIBED, 2, true)], DESCRIBED);
    }
}
