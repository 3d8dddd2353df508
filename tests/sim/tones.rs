//! Who is heard: each voice of a simulated world is a tone of its own, found again with the Goertzel
//! algorithm in what a phone received.

use std::f64::consts::TAU;
use std::fmt;

/// Samples a second of everything that is heard here.
pub const HERTZ: u32 = 8000;
/// 20 ms: the shortest sound that is told from another.
pub const WINDOW: usize = 160;
/// How loud a voice is that somebody hears: far above what concealment leaves of one, far below a voice.
const AUDIBLE: f64 = 500.0;

/// A voice of the world. Tones are multiples of 50 Hz, so that no window of 20 ms confuses two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voice {
    Hold,
    Agent,
    Caller,
    Sarah,
    Jan,
    Second,
}

impl Voice {
    pub const ALL: [Voice; 6] =
        [Voice::Hold, Voice::Agent, Voice::Caller, Voice::Sarah, Voice::Jan, Voice::Second];

    /// The voice of the phone with that name.
    pub fn of(phone: &str) -> Voice {
        match phone {
            "caller" => Voice::Caller,
            "sarah" => Voice::Sarah,
            "jan" => Voice::Jan,
            "second" => Voice::Second,
            other => panic!("nobody is called {other}"),
        }
    }

    fn hertz(self) -> f64 {
        match self {
            Voice::Hold => 250.0,
            Voice::Agent => 450.0,
            Voice::Caller => 700.0,
            Voice::Sarah => 1000.0,
            Voice::Jan => 1300.0,
            Voice::Second => 1600.0,
        }
    }

    /// The n-th sample of it.
    pub fn sample(self, n: usize) -> i16 {
        let angle = n as f64 * self.hertz() / f64::from(HERTZ) * TAU;
        (angle.sin() * 8000.0) as i16
    }

    /// So many samples of it.
    pub fn samples(self, count: usize) -> Vec<i16> {
        (0..count).map(|n| self.sample(n)).collect()
    }

    fn is_in(self, window: &[i16]) -> bool {
        // The amplitude of the one frequency in the window.
        let coefficient = 2.0 * (TAU * self.hertz() / f64::from(HERTZ)).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for &sample in window {
            (before, last) = (last, f64::from(sample) + coefficient * last - before);
        }
        let power = last * last + before * before - coefficient * last * before;
        2.0 * power.max(0.0).sqrt() / window.len() as f64 > AUDIBLE
    }
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Voice::Hold => "hold music",
            Voice::Agent => "the agent",
            Voice::Caller => "caller",
            Voice::Sarah => "sarah",
            Voice::Jan => "jan",
            Voice::Second => "second",
        })
    }
}

/// The voices in 20 ms of sound.
pub fn voices_in(window: &[i16]) -> Vec<Voice> {
    if window.iter().all(|&sample| sample.unsigned_abs() < 100) {
        return vec![];
    }
    Voice::ALL.into_iter().filter(|voice| voice.is_in(window)).collect()
}

#[test]
fn every_voice_is_heard_and_only_it() {
    for voice in Voice::ALL {
        assert_eq!(voices_in(&voice.samples(WINDOW)), [voice]);
    }
    let both = |n| Voice::Caller.sample(n) / 2 + Voice::Hold.sample(n) / 2;
    let both: Vec<i16> = (0..WINDOW).map(both).collect();
    assert_eq!(voices_in(&both), [Voice::Hold, Voice::Caller]);
    assert_eq!(voices_in(&[0; WINDOW]), []);
}
