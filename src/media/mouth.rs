//! The agent's mouth: clips of speech, one after the other, and an exact account of what was heard
//! of each.
//!
//! The queue is ours and not the peer's, so that a barge-in silences the agent within a frame, and
//! the conversation records the words that the caller heard and not those that were meant.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Rate;

/// How many clips may wait. A clip is a sentence or a part of one; more than this many means that
/// the one who speaks does not listen to what became of them, and is refused.
const CLIPS_MAX: usize = 64;

/// Something for the agent's mouth: a sentence, or a part of one. Numbered by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClipId(pub u64);

/// What the mouth tells the one who speaks through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MouthEvent {
    /// The first sample of the clip has left.
    Started {
        /// Which.
        clip: ClipId,
    },
    /// The clip is over: played to its end, or stopped.
    Ended {
        /// Which.
        clip: ClipId,
        /// Samples that really left.
        played: u32,
        /// Whether those were all.
        whole: bool,
    },
}

/// Plays clips. Allocates when it is made, never afterwards.
#[derive(Debug)]
pub struct Mouth {
    rate: Rate,
    clips: VecDeque<Clip>,
    events: VecDeque<MouthEvent>,
    spent: VecDeque<Arc<[i16]>>,
}

#[derive(Debug)]
struct Clip {
    id: ClipId,
    samples: Arc<[i16]>,
    played: usize,
    started: bool,
    stopped: bool,
}

impl Mouth {
    /// A closed mouth.
    pub fn new(rate: Rate) -> Self {
        Mouth {
            rate,
            clips: VecDeque::with_capacity(CLIPS_MAX),
            events: VecDeque::with_capacity(2 * CLIPS_MAX),
            spent: VecDeque::with_capacity(CLIPS_MAX),
        }
    }

    /// Queues a clip at the mouth's rate. False if there is no room for it, or for the events it
    /// will have.
    pub fn play(&mut self, id: ClipId, samples: Arc<[i16]>) -> bool {
        let clips = self.clips.len() + 1;
        let fits =
            clips + self.spent.len() <= CLIPS_MAX && 2 * clips + self.events.len() <= 2 * CLIPS_MAX;
        if fits {
            let clip = Clip { id, samples, played: 0, started: false, stopped: false };
            self.clips.push_back(clip);
        }
        fits
    }

    /// Every clip that is queued now ends with the next frame: the one that sounds over a ramp, the
    /// others unheard. What is queued later plays.
    pub fn stop(&mut self) {
        for clip in &mut self.clips {
            clip.stopped = true;
        }
    }

    /// Fills a frame with what is said in it, silence for the rest, and returns whether any sample
    /// of a clip is in it.
    pub fn fill(&mut self, frame: &mut [i16]) -> bool {
        let mut filled = 0;
        while let Some(clip) = self.clips.front_mut()
            && filled < frame.len()
        {
            let count = clip.next_samples(&mut frame[filled..], self.rate.ramp_samples());
            filled += count;

            let never_heard = clip.stopped && clip.played == 0;
            if !clip.started && !never_heard {
                clip.started = true;
                self.events.push_back(MouthEvent::Started { clip: clip.id });
            }
            if clip.is_over() {
                let played = u32::try_from(clip.played).unwrap_or(u32::MAX);
                let whole = clip.played == clip.samples.len();
                self.events.push_back(MouthEvent::Ended { clip: clip.id, played, whole });
                self.spent.extend(self.clips.pop_front().map(|clip| clip.samples));
            }
        }
        frame[filled..].fill(0);
        filled > 0
    }

    /// What became of the clips.
    pub fn poll_event(&mut self) -> Option<MouthEvent> {
        self.events.pop_front()
    }

    /// The samples of a clip that is over.
    pub fn poll_spent(&mut self) -> Option<Arc<[i16]>> {
        self.spent.pop_front()
    }
}

impl Clip {
    /// Copies what comes next, faded out if the clip was stopped, and returns how many samples.
    fn next_samples(&mut self, out: &mut [i16], ramp: usize) -> usize {
        let rest = &self.samples[self.played..];
        let count = match (self.stopped, self.played) {
            (false, _) => rest.len().min(out.len()),
            (true, 0) => 0,
            (true, _) => rest.len().min(out.len()).min(ramp),
        };
        out[..count].copy_from_slice(&rest[..count]);
        if self.stopped {
            fade_out(&mut out[..count]);
        }
        self.played += count;
        count
    }

    fn is_over(&self) -> bool {
        self.stopped || self.played == self.samples.len()
    }
}

/// Brings samples down to nothing, evenly.
fn fade_out(samples: &mut [i16]) {
    let count = samples.len() as i32;
    for (sample, left) in samples.iter_mut().zip((0..count).rev()) {
        *sample = (i32::from(*sample) * left / count) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::MouthEvent::{Ended, Started};
    use super::*;

    const ONE: ClipId = ClipId(1);
    const TWO: ClipId = ClipId(2);

    fn clip(samples: usize) -> Arc<[i16]> {
        vec![1000; samples].into()
    }

    /// 20 ms: how many samples of it sound, and what is told.
    fn frame(mouth: &mut Mouth) -> (usize, Vec<MouthEvent>) {
        let mut frame = [77; 160];
        let sounds = mouth.fill(&mut frame);
        let count = frame.iter().filter(|&&sample| sample != 0).count();
        assert_eq!(sounds, count > 0);
        (count, std::iter::from_fn(|| mouth.poll_event()).collect())
    }

    #[test]
    fn clips_follow_each_other_without_a_gap() {
        let mut mouth = Mouth::new(Rate::Narrow);
        assert!(mouth.play(ONE, clip(200)) && mouth.play(TWO, clip(50)));

        assert_eq!(frame(&mut mouth), (160, vec![Started { clip: ONE }]));
        assert_eq!(
            frame(&mut mouth),
            (
                90,
                vec![
                    Ended { clip: ONE, played: 200, whole: true },
                    Started { clip: TWO },
                    Ended { clip: TWO, played: 50, whole: true },
                ]
            )
        );
        assert_eq!(frame(&mut mouth), (0, vec![]));
    }

    /// 39 of the 40 samples of the ramp are louder than nothing.
    #[test]
    fn stop_ends_what_sounds_over_a_ramp_and_what_waits_unheard() {
        let mut mouth = Mouth::new(Rate::Narrow);
        assert!(mouth.play(ONE, clip(1000)) && mouth.play(TWO, clip(1000)));
        frame(&mut mouth);

        mouth.stop();
        let ended = [
            Ended { clip: ONE, played: 200, whole: false },
            Ended { clip: TWO, played: 0, whole: false },
        ];
        assert_eq!(frame(&mut mouth), (39, ended.to_vec()));
    }

    #[test]
    fn what_is_queued_after_a_stop_is_said_behind_the_ramp() {
        let mut mouth = Mouth::new(Rate::Narrow);
        assert!(mouth.play(ONE, clip(1000)));
        frame(&mut mouth);

        mouth.stop();
        assert!(mouth.play(TWO, clip(1000)));
        let (count, events) = frame(&mut mouth);
        assert_eq!(count, 39 + 120);
        assert_eq!(events[1], Started { clip: TWO });
    }

    /// Nothing grows: who does not drain is refused.
    #[test]
    fn full_queue_refuses_and_a_drained_one_takes_again() {
        let mut mouth = Mouth::new(Rate::Narrow);
        for n in 0..CLIPS_MAX as u64 {
            assert!(mouth.play(ClipId(n), clip(1)));
        }
        assert!(!mouth.play(ONE, clip(1)));

        mouth.fill(&mut [0; 160]);
        assert!(!mouth.play(ONE, clip(1)), "nobody has heard what became of the first ones");
        while mouth.poll_event().is_some() {}
        while mouth.poll_spent().is_some() {}
        assert!(mouth.play(ONE, clip(1)));
    }
}
