//! The beat of a worker: every 5 ms, four phases to a frame, on absolute deadlines.
//!
//! ```text
//! ms      0     5    10    15    20    25   …
//! phase   0     1     2     3     0     1   …     a call ticks in one phase, every 20 ms
//! ```
//!
//! A late beat does not move the next one, so nothing drifts. Beats that are up to one frame late are
//! made up for; whole frames that went by are skipped, so that no stream ever sends two packets at once.

use std::time::{Duration, Instant};

use crate::media::FRAME_TIME;

/// How many groups of calls share a frame's time, so that not all packets leave at once.
pub(super) const PHASES: usize = 4;

/// From one beat to the next.
pub(super) const BEAT: Duration =
    Duration::from_nanos(FRAME_TIME.as_nanos() as u64 / PHASES as u64);

/// Which beat is next. Pure: the time is an argument.
#[derive(Debug)]
pub(super) struct Beat {
    deadline: Instant,
    phase: usize,
}

impl Beat {
    /// The first beat, phase 0, is at `start`.
    pub(super) fn new(start: Instant) -> Self {
        Beat { deadline: start, phase: 0 }
    }

    /// When the beat is due.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whose turn it is.
    pub(super) fn phase(&self) -> usize {
        self.phase
    }

    /// The beat is done and it is `now`: on to the next one. Returns how many frames of every call
    /// were skipped.
    pub(super) fn pass(&mut self, now: Instant) -> u32 {
        self.deadline += BEAT;
        self.phase = (self.phase + 1) % PHASES;
        let behind = now.saturating_duration_since(self.deadline);
        let frames = (behind.as_nanos() / FRAME_TIME.as_nanos()) as u32;
        self.deadline += FRAME_TIME * frames;
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_beats_neither_drift_nor_burst() {
        // Each beat ends at a time (ms); the next one has a deadline and a phase, after skips.
        for (ended_at, expected) in [
            (&[0, 5, 10][..], (15, 3, 0)),
            // A little late: the next is on time.
            (&[4, 9], (10, 2, 0)),
            // A stall of 18 ms: the beats within it are made up for, once each.
            (&[18, 18, 18], (15, 3, 0)),
            // A stall of 47 ms: two whole frames are gone, and what is left is made up for.
            (&[47], (45, 1, 2)),
            (&[47, 47], (50, 2, 2)),
            // Exactly one frame late.
            (&[25], (25, 1, 1)),
        ] {
            let start = Instant::now();
            let mut beat = Beat::new(start);
            let mut skipped = 0;
            for &millis in ended_at {
                skipped += beat.pass(start + Duration::from_millis(millis));
            }
            let deadline = (beat.deadline() - start).as_millis();
            assert_eq!((deadline, beat.phase(), skipped), expected, "{ended_at:?}");
        }
    }

    /// However a worker stalls, each stream sends at most one frame for each 20 ms that have passed.
    #[test]
    fn no_stall_makes_a_stream_send_twice_within_a_frame() {
        let start = Instant::now();
        let mut beat = Beat::new(start);
        let mut now = start;
        let mut frames = [0u32; PHASES];
        for step in 0..2000u64 {
            now = now.max(beat.deadline());
            frames[beat.phase()] += 1;
            now += Duration::from_micros(step * 7919 % 60_000);
            beat.pass(now);
            let slots = (now - start).as_millis() as u32 / 20 + 1;
            assert!(frames.iter().all(|&sent| sent <= slots), "{frames:?} in {slots} slots");
        }
    }
}
