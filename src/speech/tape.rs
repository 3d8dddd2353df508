//! The sound of the turn under way, with a little before it.
//!
//! Voice activity notices a word when its first consonant is over, and a turn begins when the voice has
//! lasted; so the tape goes back to before both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::media::FRAME_SAMPLES_MAX;
use crate::speech::HEARING_HERTZ;

/// What is kept from before the first voice of a turn.
const LEAD: Duration = Duration::from_millis(300);

/// What is kept while no turn is under way: the lead, and the voice that may become one.
const PAST: Duration = Duration::from_secs(1);

/// The most a tape holds, which a recogniser takes at once. A turn ends before (see
/// [`TurnTimes::longest`](super::turns::TurnTimes::longest)); if it does not, its beginning is lost.
const LONGEST: Duration = Duration::from_secs(30);

/// Remembers what was heard, at [`HEARING_HERTZ`](super::HEARING_HERTZ).
#[derive(Debug)]
pub struct Tape {
    samples: VecDeque<i16>,
    recording: bool,
}

impl Default for Tape {
    /// An empty tape, with room for what is kept while no turn is under way, and no more: most of the time of
    /// a call that is all.
    fn default() -> Self {
        let room = samples_in(PAST) + FRAME_SAMPLES_MAX;
        Tape { samples: VecDeque::with_capacity(room), recording: false }
    }
}

impl Tape {
    /// Adds what was heard; outside a turn only the last second stays.
    pub fn hear(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
        self.keep(if self.recording { LONGEST } else { PAST });
    }

    /// A turn has begun with a voice that long ago. In a turn it changes nothing.
    pub fn begin(&mut self, ago: Duration) {
        if !self.recording {
            self.recording = true;
            self.keep(ago + LEAD);
        }
    }

    /// The turn so far.
    pub fn copy(&self) -> Arc<[i16]> {
        self.samples.iter().copied().collect()
    }

    /// The turn is over. Nothing of it is heard again, not even as the lead of the next one.
    pub fn clear(&mut self) {
        *self = Tape::default();
    }

    fn keep(&mut self, last: Duration) {
        let excess = self.samples.len().saturating_sub(samples_in(last));
        self.samples.drain(..excess);
    }
}

fn samples_in(time: Duration) -> usize {
    (time.as_millis() * u128::from(HEARING_HERTZ) / 1000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_has_300_ms_before_its_voice_and_nothing_of_the_turn_before() {
        let mut tape = Tape::default();
        tape.hear(&[1; 32_000]);
        tape.hear(&[2; 1600]);
        tape.begin(Duration::from_millis(100));
        tape.hear(&[3; 320]);
        tape.begin(Duration::ZERO);

        let turn = tape.copy();
        assert_eq!(turn.len(), 4800 + 1600 + 320);
        assert_eq!((turn[4799], turn[4800], turn[6400]), (1, 2, 3));

        tape.clear();
        tape.hear(&[4; 320]);
        tape.begin(Duration::from_millis(20));
        assert_eq!(*tape.copy(), [4; 320]);
    }

    #[test]
    fn endless_turn_does_not_fill_the_memory() {
        let mut tape = Tape::default();
        tape.begin(Duration::ZERO);
        for _ in 0..40 {
            tape.hear(&[1; 16_000]);
        }
        assert_eq!(tape.copy().len(), 30 * 16_000);
    }
}
