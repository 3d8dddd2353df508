//! Both voices of a call side by side, and how long we waited for each answer.
//!
//! Every 20 ms a frame of what we heard comes, and says whether we spoke in it. Clips are played without
//! gaps and never cut short, so that what was in our frame follows from what was queued. Both sides are
//! therefore measured on one beat, after the jitter buffer: as a person at this end would.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::media::FRAME_TIME;
use crate::net::audio::HeardFrame;

/// The mean level from which a frame is taken for a voice: 44 dB below the loudest. Comfort noise and the
/// noise of G.711 stay far below it.
const VOICE_LEVEL: i32 = 200;

/// Frames in a row that make a voice; a click is shorter.
const ONSET_FRAMES: u64 = 3;

/// Frames without a voice after which the other has fallen silent, so that what comes next may be an
/// answer: the gaps between words are shorter.
const PAUSE_FRAMES: u64 = 10;

/// The recording of one call.
#[derive(Debug, Default)]
pub struct Tape {
    queued: VecDeque<(Arc<[i16]>, usize)>,
    said: Vec<i16>,
    heard: Vec<i16>,
    answers: Answers,
}

impl Tape {
    /// A clip is about to be played.
    pub fn queue(&mut self, clip: Arc<[i16]>) {
        self.queued.push_back((clip, 0));
    }

    /// What was queued will not be played any more: the call has moved to another party.
    pub fn forget_queued(&mut self) {
        self.queued.clear();
    }

    /// 20 ms have passed.
    pub fn hear(&mut self, heard: &HeardFrame) {
        let samples = heard.frame.samples();
        let from = self.said.len();
        self.said.resize(from + samples.len(), 0);
        if heard.agent_sounds {
            self.fill(from);
        }
        self.heard.extend_from_slice(samples);
        self.answers.on(is_voice(&self.said[from..]), is_voice(samples));
    }

    /// For each answer, the time from the last voice of ours to the first of the other's.
    pub fn answer_times(&self) -> Vec<Duration> {
        self.answers.frames.iter().map(|&frames| FRAME_TIME * frames).collect()
    }

    /// What we said and what we heard, beside each other, at the rate of the call.
    pub fn into_voices(self) -> (Vec<i16>, Vec<i16>) {
        (self.said, self.heard)
    }

    /// Puts the next queued samples into the frame that begins at `from`.
    fn fill(&mut self, mut from: usize) {
        while from < self.said.len()
            && let Some((clip, played)) = self.queued.front_mut()
        {
            let count = (clip.len() - *played).min(self.said.len() - from);
            self.said[from..from + count].copy_from_slice(&clip[*played..*played + count]);
            *played += count;
            from += count;
            if *played == clip.len() {
                self.queued.pop_front();
            }
        }
    }
}

/// Measures answers, in frames.
#[derive(Debug, Default)]
struct Answers {
    now: u64,
    /// The first frame after our last voice, while its answer is awaited.
    awaited: Option<u64>,
    /// When the other's voice that sounds now began, and its last frame.
    their_voice: Option<(u64, u64)>,
    frames: Vec<u32>,
}

impl Answers {
    fn on(&mut self, we_speak: bool, they_speak: bool) {
        let now = self.now;
        self.now += 1;
        if let Some((_, last)) = self.their_voice
            && now - last > PAUSE_FRAMES
        {
            self.their_voice = None;
        }
        if they_speak {
            let began = self.their_voice.map_or(now, |(began, _)| began);
            self.their_voice = Some((began, now));
        }
        if we_speak {
            self.awaited = Some(now + 1);
            return;
        }
        let (Some(ended), Some((began, last))) = (self.awaited, self.their_voice) else { return };
        if began < ended {
            // It spoke already when we fell silent: no answer, as long as it goes on.
            return;
        }
        if last + 1 - began >= ONSET_FRAMES {
            self.awaited = None;
            self.frames.push(u32::try_from(began - ended).unwrap_or(u32::MAX));
        }
    }
}

fn is_voice(samples: &[i16]) -> bool {
    let sum: i32 = samples.iter().map(|&sample| i32::from(sample).abs()).sum();
    sum > VOICE_LEVEL * samples.len() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Frame, Rate};

    #[test]
    fn what_we_said_lies_beside_what_we_heard_meanwhile() {
        let mut tape = Tape::default();
        tape.queue(vec![1000; 200].into());
        tape.queue(vec![2000; 40].into());
        for (sounds, level) in [(false, 7), (true, 0), (true, 9), (false, 9)] {
            tape.hear(&frame(sounds, level));
        }
        let expected =
            [vec![0; 160], vec![1000; 200], vec![2000; 40], vec![0; 80], vec![0; 160]].concat();
        let (said, heard) = tape.into_voices();
        assert_eq!(said, expected);
        assert_eq!(heard, [vec![7; 160], vec![0; 160], vec![9; 320]].concat());
    }

    #[test]
    fn answer_is_timed_from_our_last_voice_to_its_first() {
        let story = "uuu.uu....tttttttttttt";
        assert_eq!(times(story), [ms(80)], "four frames of silence lie between");
    }

    #[test]
    fn pause_of_ours_is_no_end_unless_it_is_answered() {
        assert_eq!(times("uu......uu..ttt"), [ms(40)]);
        assert_eq!(times("uu..tttt...........uu...ttt"), [ms(40), ms(60)]);
    }

    #[test]
    fn click_is_no_answer() {
        assert_eq!(times("uu..tt..............ttt"), [ms(360)]);
    }

    #[test]
    fn voice_that_was_there_before_is_no_answer() {
        assert_eq!(times("ttuubbbttttttttt"), []);
        assert_eq!(times("ttuubbbttt...........ttt"), [ms(280)]);
    }

    /// `u`: we speak, `t`: they speak, `b`: both, `.`: nobody.
    fn times(story: &str) -> Vec<Duration> {
        let mut tape = Tape::default();
        for frame_of in story.chars() {
            let (we, they) = (matches!(frame_of, 'u' | 'b'), matches!(frame_of, 't' | 'b'));
            if we {
                tape.queue(vec![5000; 160].into());
            }
            tape.hear(&frame(we, if they { 5000 } else { 0 }));
        }
        tape.answer_times()
    }

    fn frame(agent_sounds: bool, level: i16) -> HeardFrame {
        HeardFrame { frame: Frame::from_samples(Rate::Narrow, &[level; 160]), agent_sounds }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
