//! Keys of a telephone as named events in RTP (RFC 4733), both ways.
//!
//! An event is a series of packets with one timestamp, its beginning, and a growing duration; the
//! last is sent three times with the end bit. Packets get lost, so a key counts at the first that
//! comes.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     event     |E|R| volume    |          duration             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::FRAME_TIME;
use super::rtp::Packet;

/// The keys in the order of their event codes (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Bytes of an event's payload.
pub const EVENT_BYTES: usize = 4;

/// How many keys may wait to be pressed: a number, its extension and some more. More is a mistake.
const KEYS_WAITING_MAX: usize = 64;
/// How long a key is pressed: 100 ms, in ticks of 20 ms. Slow receivers want 40 ms, slow people
/// press 100.
const PRESS_TICKS: u16 = 5;
/// The last packet is sent so many times (RFC 4733 §2.5.1.4).
const END_PACKETS: u16 = 3;
/// From the end of one key to the beginning of the next, at least: 80 ms.
const GAP_TICKS: u16 = 4;
/// `w` waits half a second, `W` a whole one.
const WAIT_TICKS: u16 = 25;
/// 10 dB below the reference (RFC 4733 §2.3.4): what phones send.
const VOLUME: u8 = 10;

/// An event that begins this soon after what is known of one with the same key is a part of it: in
/// 50 ms nobody lets go of a key and presses it again, but a lost packet does.
const SAME_PRESS_MS: u32 = 50;

/// No network holds a packet back for longer.
const REORDERED_SECS: u32 = 5;

/// How long the pressing of a key takes, or the waiting that `w` and `W` stand for.
pub fn time_of_key(key: char) -> Duration {
    let ticks = match key {
        'w' => WAIT_TICKS,
        'W' => 2 * WAIT_TICKS,
        _ => PRESS_TICKS + GAP_TICKS,
    };
    FRAME_TIME * u32::from(ticks)
}

/// Hears keys. The clock of events is that of the codec (RFC 4733 §2.1).
#[derive(Debug, Default)]
pub struct Ear {
    last: Option<Press>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    began: u32,
    /// The longest duration told so far.
    duration: u32,
}

impl Ear {
    /// Takes a packet of events and returns the key, at the first packet of it that comes.
    pub fn hear(&mut self, packet: &Packet<'_>, clock_hertz: u32) -> Option<char> {
        let &[event, _, high, low] = packet.payload.first_chunk::<EVENT_BYTES>()?;
        // Flash hook, modem tones and the like are no keys.
        let key = *KEYS.get(usize::from(event))?;
        let duration = u32::from(u16::from_be_bytes([high, low]));

        if let Some(last) = &mut self.last {
            let since = packet.timestamp.wrapping_sub(last.began) as i32;
            // Reordered: the end of a press that is over. Farther back, the sender's clock has
            // jumped.
            if (-((REORDERED_SECS * clock_hertz) as i32)..0).contains(&since) {
                return None;
            }
            // Long presses go on in a new segment that begins where the last could count no further
            // (RFC 4733 §2.5.1.3).
            let slack = SAME_PRESS_MS * clock_hertz / 1000;
            let goes_on =
                !packet.marker && event == last.event && since as u32 <= last.duration + slack;
            if since == 0 || goes_on {
                last.duration = last.duration.max((since as u32).saturating_add(duration));
                return None;
            }
        }
        self.last = Some(Press { event, began: packet.timestamp, duration });
        Some(char::from(key))
    }

    /// Another stream: its timestamps say nothing about the old one's.
    pub fn restart(&mut self) {
        self.last = None;
    }
}

/// Presses keys, one after the other, a step every 20 ms. Allocates when it is made, never
/// afterwards.
#[derive(Debug)]
pub struct Finger {
    waiting: VecDeque<Step>,
    now: Option<(Step, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Press(u8),
    Wait(u16),
}

/// What goes out instead of sound in this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// Whether this is the first packet of the event: it has the marker, and its timestamp is that
    /// of all.
    pub first: bool,
    /// The payload.
    pub payload: [u8; EVENT_BYTES],
}

impl Finger {
    /// A finger that presses nothing.
    pub fn new() -> Self {
        Finger { waiting: VecDeque::with_capacity(KEYS_WAITING_MAX), now: None }
    }

    /// Presses these keys behind those that wait: `0`-`9`, `*`, `#`, `A`-`D`; `w` waits half a
    /// second, `W` a whole one. Returns false, and presses none, if one is no key or there are too
    /// many.
    pub fn press(&mut self, keys: &str) -> bool {
        let fits = self.waiting.len() + keys.len() <= KEYS_WAITING_MAX;
        if !fits || !keys.chars().all(|key| Step::of(key).is_some()) {
            return false;
        }
        self.waiting.extend(keys.chars().filter_map(Step::of));
        true
    }

    /// 20 ms: the event packet that goes out instead of sound, if a key is being pressed. `units`
    /// is 20 ms of the codec's clock.
    pub fn tick(&mut self, units: u16) -> Option<EventPacket> {
        let (step, tick) = match self.now {
            Some(now) => now,
            None => (self.waiting.pop_front()?, 0),
        };
        let ticks = match step {
            Step::Press(_) => PRESS_TICKS + END_PACKETS - 1 + GAP_TICKS,
            Step::Wait(ticks) => ticks,
        };
        self.now = (tick + 1 < ticks).then_some((step, tick + 1));

        let Step::Press(event) = step else { return None };
        if tick >= PRESS_TICKS + END_PACKETS - 1 {
            return None;
        }
        let ends = tick + 1 >= PRESS_TICKS;
        let [high, low] = ((tick + 1).min(PRESS_TICKS) * units).to_be_bytes();
        let payload = [event, u8::from(ends) << 7 | VOLUME, high, low];
        Some(EventPacket { first: tick == 0, payload })
    }
}

impl Default for Finger {
    fn default() -> Self {
        Finger::new()
    }
}

impl Step {
    fn of(key: char) -> Option<Self> {
        match key.to_ascii_uppercase() {
            'W' if key == 'w' => Some(Step::Wait(WAIT_TICKS)),
            'W' => Some(Step::Wait(2 * WAIT_TICKS)),
            key => {
                let event = KEYS.iter().position(|known| char::from(*known) == key)?;
                Some(Step::Press(event as u8))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets as (marker, timestamp, event, end, duration), and the keys that are heard.
    #[track_caller]
    fn check(packets: &[(bool, u32, u8, bool, u16)], expected: &str) {
        let mut ear = Ear::default();
        let heard: String = packets
            .iter()
            .filter_map(|&(marker, timestamp, event, end, duration)| {
                let [high, low] = duration.to_be_bytes();
                let payload = [event, u8::from(end) << 7 | 10, high, low];
                ear.hear(&packet(marker, timestamp, &payload), 8000)
            })
            .collect();
        assert_eq!(heard, expected);
    }

    fn packet(marker: bool, timestamp: u32, payload: &[u8]) -> Packet<'_> {
        Packet { marker, payload_type: 101, sequence: 0, timestamp, ssrc: 1, payload }
    }

    #[rustfmt::skip]
    const WHOLE: [(bool, u32, u8, bool, u16); 6] = [
        (true,  1000, 5, false, 160),
        (false, 1000, 5, false, 320),
        (false, 1000, 5, false, 480),
        (false, 1000, 5, true,  640),
        (false, 1000, 5, true,  640),
        (false, 1000, 5, true,  640),
    ];

    #[test]
    fn key_is_heard_once_whatever_is_lost_of_it() {
        check(&WHOLE, "5");
        for first in 1..WHOLE.len() {
            check(&WHOLE[first..], "5");
        }
        check(&WHOLE[5..], "5");
    }

    #[test]
    fn same_key_twice_is_two_keys() {
        check(
            &[WHOLE[0], WHOLE[3], (true, 2600, 5, false, 160), (false, 2600, 5, true, 640)],
            "55",
        );
        // The second press has lost its marker.
        check(&[WHOLE[0], WHOLE[3], (false, 2600, 5, true, 640)], "55");
    }

    #[test]
    fn late_end_of_a_key_is_not_another() {
        check(
            &[WHOLE[0], (true, 2600, 6, false, 160), WHOLE[5], (false, 2600, 6, true, 640)],
            "56",
        );
    }

    /// A key held for ten seconds: two segments of at most 65,535 units each.
    #[test]
    fn long_press_in_segments_is_one_key() {
        check(
            &[
                (true, 0, 11, false, 160),
                (false, 0, 11, false, 65_535),
                (false, 65_535, 11, false, 160),
                (false, 65_535, 11, true, 14_465),
            ],
            "#",
        );
    }

    /// Some gateways count the timestamp up with each packet, against RFC 4733 §2.1.
    #[test]
    fn moving_timestamps_are_one_key() {
        let packets: Vec<_> = (0..8).map(|n| (n == 0, n * 160, 1, n > 5, 160)).collect();
        check(&packets, "1");
    }

    #[test]
    fn timestamps_wrap() {
        check(&[(true, u32::MAX - 10, 1, true, 640), (true, 1500, 2, true, 640)], "12");
    }

    #[test]
    fn clock_that_jumped_back_does_not_make_us_deaf() {
        check(&[(true, 8_000_000, 1, true, 640), (true, 0, 2, true, 640)], "12");
    }

    #[test]
    fn what_is_no_key_is_ignored() {
        check(&[(true, 0, 16, true, 640), (true, 0, 255, true, 640)], "");
        assert_eq!(Ear::default().hear(&packet(true, 0, &[1, 0, 0]), 8000), None);
    }

    /// What is pressed comes out as RFC 4733 has it, and the ear understands it.
    #[test]
    fn every_key_is_pressed_and_understood() {
        const ALL: &str = "0123456789*#ABCD11";
        let mut finger = Finger::new();
        assert!(finger.press(ALL));
        let mut ear = Ear::default();
        let mut heard = String::new();
        let (mut began, mut packets, mut ends) = (0, 0, 0);
        for tick in 0..400u32 {
            if let Some(event) = finger.tick(160) {
                if event.first {
                    began = tick * 160;
                }
                packets += 1;
                ends += u32::from(event.payload[1] >> 7);
                heard.extend(ear.hear(&packet(event.first, began, &event.payload), 8000));
            }
        }
        assert_eq!(heard, ALL);
        assert_eq!((packets, ends), (18 * 7, 18 * 3));
    }

    #[test]
    fn durations_grow_and_stop_at_the_end() {
        let mut finger = Finger::new();
        assert!(finger.press("1"));
        let durations: Vec<_> = std::iter::from_fn(|| finger.tick(160))
            .map(|event| u16::from_be_bytes([event.payload[2], event.payload[3]]))
            .collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
    }

    #[test]
    fn w_waits() {
        let mut finger = Finger::new();
        assert!(finger.press("wW1"));
        let silent = (0..).take_while(|_| finger.tick(160).is_none()).count();
        assert_eq!(silent, 75);
    }

    #[test]
    fn all_or_nothing_is_pressed() {
        let mut finger = Finger::new();
        assert!(!finger.press("12x"));
        assert!(!finger.press(&"1".repeat(KEYS_WAITING_MAX + 1)));
        assert_eq!(finger.tick(160), None);
        assert!(finger.press(&"1".repeat(KEYS_WAITING_MAX)));
        assert!(!finger.press("2"));
    }
}
