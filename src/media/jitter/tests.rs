//! Patterns of arrival as tables, and what is taken every 20 ms.

use super::*;

/// A sender and a network: what arrives when, in milliseconds.
struct Line {
    start: Instant,
    jitter: Jitter,
}

impl Line {
    fn new() -> Self {
        let start = Instant::now();
        Line { start, jitter: Jitter::new(start, Codec::Pcmu) }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// The n-th packet of `ptime` ms arrives; its payload is its number.
    fn arrives(&mut self, ms: u64, n: u16, ptime: u64) {
        let timestamp = u32::from(n) * ptime as u32 * 8;
        self.arrives_as(ms, 1, n, timestamp, ptime);
    }

    fn arrives_as(&mut self, ms: u64, ssrc: u32, sequence: u16, timestamp: u32, ptime: u64) {
        let payload = vec![sequence as u8; ptime as usize * 8];
        let packet = packet(ssrc, sequence, timestamp, &payload);
        self.jitter.insert(self.at(ms), &packet);
    }

    /// What a tick at that time takes, as one letter a piece: the number of the packet, `L`ost,
    /// `P`ause, `-` for nothing yet, `H` before them for a head that holds and `S` for one that
    /// skips.
    fn takes(&mut self, ms: u64) -> String {
        let mut taken = match self.jitter.steer(self.at(ms), 0, true) {
            Steer::Keep => String::new(),
            Steer::Hold => return "H".into(),
            Steer::Skipped => "S".into(),
        };
        let mut units = 0;
        while units < 160 {
            let (letter, more) = match self.jitter.take() {
                Take::Payload(bytes) => (bytes[0].to_string(), bytes.len() as u32),
                Take::Lost(units) => ("L".into(), units),
                Take::Pause(units) => ("P".into(), units),
                Take::Idle => ("-".into(), 160),
            };
            taken.push_str(&letter);
            units += more;
        }
        taken
    }
}

fn packet(ssrc: u32, sequence: u16, timestamp: u32, payload: &[u8]) -> Packet<'_> {
    Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload }
}

/// Packets of 20 ms at the given times, ticks every 20 ms from 5 ms on; what they take, one word
/// each.
#[track_caller]
fn check(arrivals: &[(u64, u16)], expected: &str) {
    let mut line = Line::new();
    let mut arrivals = arrivals.to_vec();
    arrivals.sort_by_key(|(ms, _)| *ms);
    let mut arrivals = arrivals.into_iter().peekable();
    let taken: Vec<String> = (0..expected.split(' ').count() as u64)
        .map(|tick| {
            let now = 5 + tick * 20;
            while let Some((ms, n)) = arrivals.next_if(|(ms, _)| *ms <= now) {
                line.arrives(ms, n, 20);
            }
            line.takes(now)
        })
        .collect();
    assert_eq!(taken.join(" "), expected);
}

#[test]
fn first_packet_waits_forty_milliseconds() {
    check(&[(0, 0), (20, 1), (40, 2), (60, 3)], "- - 0 1 2 3");
}

#[test]
fn order_is_restored() {
    check(&[(0, 0), (42, 2), (50, 1), (85, 4), (88, 3)], "- - 0 1 2 3 4");
}

#[test]
fn duplicates_are_played_once() {
    check(&[(0, 0), (0, 0), (20, 1), (40, 1), (40, 2), (60, 3)], "- - 0 1 2 3");
}

#[test]
fn what_never_comes_is_lost_and_nothing_else_moves() {
    check(&[(0, 0), (20, 1), (60, 3), (80, 4), (100, 5)], "- - 0 1 L 3 4 5");
}

#[test]
fn what_comes_too_late_is_lost_once() {
    check(&[(0, 0), (20, 1), (95, 2), (60, 3), (80, 4), (100, 5)], "- - 0 1 L 3 4 5");
}

/// RFC 3551 §4.1: the next packet is the next in sequence, only its timestamp is later.
#[test]
fn gap_without_a_missing_packet_is_a_pause() {
    let mut line = Line::new();
    line.arrives_as(0, 1, 0, 0, 20);
    line.arrives_as(80, 1, 1, 640, 20);
    let taken: Vec<_> = [45, 65, 85, 105, 125].into_iter().map(|ms| line.takes(ms)).collect();
    // While nothing more is here, the first missing frame might still have been lost.
    assert_eq!(taken, ["0", "P", "P", "P", "1"]);
}

#[test]
fn comfort_noise_announces_a_pause() {
    let mut line = Line::new();
    line.arrives(0, 0, 20);
    line.jitter.pause(&packet(1, 1, 160, &[60]));
    assert_eq!((line.takes(45), line.takes(65)), ("0".into(), "P".into()));
    // A packet of another stream says nothing about this one.
    let mut line = Line::new();
    line.arrives(0, 0, 20);
    line.jitter.pause(&packet(2, 1, 160, &[60]));
    assert_eq!((line.takes(45), line.takes(65)), ("0".into(), "L".into()));
}

/// Each ptime yields the same sound, from one tick to the next.
#[test]
fn any_ptime_is_played_without_a_gap() {
    for ptime in [10, 20, 30, 40, 60] {
        let mut line = Line::new();
        let mut lost = 0;
        let mut payloads = 0;
        let mut ahead = 0;
        for ms in 0..2000 {
            if ms % ptime == 0 {
                line.arrives(ms, (ms / ptime) as u16, ptime);
            }
            if ms % 20 == 5 {
                assert_eq!(
                    line.jitter.steer(line.at(ms), ahead, true),
                    Steer::Keep,
                    "{ptime}: {ms}"
                );
                while ahead < 160 {
                    ahead += match line.jitter.take() {
                        Take::Payload(bytes) => {
                            payloads += bytes.len();
                            bytes.len() as u32
                        }
                        Take::Lost(units) | Take::Pause(units) => {
                            lost += units;
                            units
                        }
                        Take::Idle => 160,
                    };
                }
                ahead -= 160;
            }
        }
        assert_eq!(lost, 0, "ptime {ptime}");
        assert!(payloads > 1900 * 8, "ptime {ptime}: {payloads}");
    }
}

#[test]
fn sequence_and_timestamp_wrap_unseen() {
    let mut line = Line::new();
    let mut taken = String::new();
    for n in 0..6u16 {
        let timestamp = u32::from(n).wrapping_mul(160).wrapping_sub(320);
        line.arrives_as(u64::from(n) * 20, 1, n.wrapping_sub(2), timestamp, 20);
        taken += &line.takes(u64::from(n) * 20 + 5);
        taken += " ";
    }
    assert_eq!(taken, "- - 254 255 0 1 ");
}

#[test]
fn another_stream_begins_anew() {
    let mut line = Line::new();
    line.arrives(0, 0, 20);
    line.arrives(20, 1, 20);
    assert_eq!(line.takes(45), "0");
    line.arrives_as(60, 2, 7, 4_000_000_000, 20);
    line.arrives_as(80, 2, 8, 4_000_000_160, 20);
    let taken: Vec<_> = [65, 85, 105, 125].into_iter().map(|ms| line.takes(ms)).collect();
    assert_eq!(taken, ["-", "-", "7", "8"]);
}

/// A gateway that moved the call to another of its boards: same source, other clock.
#[test]
fn jump_of_the_clock_begins_anew() {
    for jump in [80_000u32, 0u32.wrapping_sub(80_000)] {
        let mut line = Line::new();
        line.arrives(0, 0, 20);
        line.arrives(20, 1, 20);
        assert_eq!(line.takes(45), "0");
        line.arrives_as(60, 1, 2, 320u32.wrapping_add(jump), 20);
        line.arrives_as(80, 1, 3, 480u32.wrapping_add(jump), 20);
        let taken: Vec<_> = [65, 85, 105, 125].into_iter().map(|ms| line.takes(ms)).collect();
        assert_eq!(taken, ["-", "-", "2", "3"], "by {jump}");
    }
}

/// The path became 150 ms longer: everything is late until the buffer gives in.
#[test]
fn longer_path_is_accepted_after_a_few_late_packets() {
    let mut line = Line::new();
    let mut taken = Vec::new();
    for ms in 0..1000u64 {
        let delay = if ms < 400 { 0 } else { 150 };
        if ms % 20 == 0 && !(400..550).contains(&ms) {
            line.arrives(ms, ((ms - delay) / 20) as u16, 20);
        }
        if ms % 20 == 5 {
            taken.push(line.takes(ms));
        }
    }
    let end = &taken[taken.len() - 10..];
    assert!(end.iter().all(|taken| taken.parse::<u8>().is_ok()), "{taken:?}");
    assert_eq!(line.jitter.late(), u64::from(LATE_IN_A_ROW_MAX), "{taken:?}");
}

/// Jitter of 0 to 60 ms: after the first seconds the buffer is deep enough that nothing is late;
/// when it ends, the buffer becomes shallow again.
#[test]
fn depth_follows_the_jitter() {
    let mut line = Line::new();
    // A fixed shuffle of delays; any will do.
    let delay = |n: u64| if n < 500 { n * 7919 % 61 } else { 0 };
    let mut arrivals: Vec<_> = (0..1500).map(|n| (n * 20 + delay(n), n as u16)).collect();
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();

    let mut late_after_two_seconds = 0;
    for tick in 0..1490 {
        let now = 5 + tick * 20;
        while let Some((ms, n)) = arrivals.next_if(|(ms, _)| *ms <= now) {
            line.arrives(ms, n, 20);
        }
        line.takes(now);
        match tick {
            100 => late_after_two_seconds = line.jitter.late(),
            490 => {
                assert_eq!(line.jitter.late(), late_after_two_seconds);
                assert_eq!(line.jitter.depth(), Duration::from_millis(60));
            }
            _ => (),
        }
    }
    assert_eq!(line.jitter.depth(), DEPTH_MIN);
    assert!(line.jitter.pieces.len() <= 2, "{} wait", line.jitter.pieces.len());
}

/// A sender's clock that runs 500 parts in a million fast or slow: a frame is skipped or held now
/// and then, and nothing is lost or piles up.
#[test]
fn drift_of_the_clocks_is_absorbed() {
    for period_us in [19_990u64, 20_010] {
        let mut line = Line::new();
        let mut sent = 0u64;
        let mut moves = 0;
        for tick in 0..15_000u64 {
            let now = 5_000 + tick * 20_000;
            while sent * period_us <= now {
                line.arrives(sent * period_us / 1000, sent as u16, 20);
                sent += 1;
            }
            let taken = line.takes(now / 1000);
            moves += usize::from(taken.starts_with(['H', 'S']));
            assert!(!taken.contains('L'), "{period_us}: {taken} in tick {tick}");
        }
        assert!((4..=10).contains(&moves), "{moves} moves in 150 ms of drift");
        assert!(line.jitter.pieces.len() <= 3);
    }
}

/// A stall of the network, then everything at once: bounded, and soon at the usual depth again.
#[test]
fn burst_is_bounded() {
    let mut line = Line::new();
    for n in 0..2000u16 {
        line.arrives(1000, n, 10);
        assert!(line.jitter.pieces.len() <= PIECES_MAX);
    }
    let mut line = Line::new();
    for n in 0..40u16 {
        line.arrives(1000, n, 20);
    }
    for (n, ms) in (40..).zip((1000..4000).step_by(20)) {
        line.arrives(ms, n, 20);
        line.takes(ms + 5);
    }
    assert!(line.jitter.pieces.len() <= 12, "{} wait", line.jitter.pieces.len());
}

#[test]
fn silence_of_the_network_starts_the_wait_anew() {
    let mut line = Line::new();
    line.arrives(0, 0, 20);
    assert_eq!(line.takes(45), "0");
    let taken: Vec<_> = (65..305).step_by(20).map(|ms| line.takes(ms)).collect();
    assert_eq!(taken.iter().filter(|taken| *taken == "L").count(), 7, "{taken:?}");
    assert_eq!(taken.last().map(String::as_str), Some("-"));

    line.arrives(400, 20, 20);
    assert_eq!((line.takes(405), line.takes(445)), ("-".into(), "20".into()));
}
