//! One thing that an agent says: its sentences on their way from text to sound, and what was heard of it.
//!
//! ```text
//!                      voiced              ended
//! Waiting ---> Making -------> Playing ------------> Heard
//!    |           | failed,        | the mouth
//!    | stop      | late, stop     V is silent
//!    '-----------'-------------> Lost
//! ```
//!
//! Sentences are made one at a time: the voice works in order anyway, and a barge-in then wastes one
//! sentence at most. While one plays, the next is made.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::driver::LineId;
use crate::agent::machine::Moment;
use crate::net::audio::ClipId;

/// How long a voice may take over one sentence.
const MAKING_MAX: Duration = Duration::from_secs(5);

/// How much later than expected the mouth may tell that a clip is over. Covers hold-ups of the media
/// thread and clips that wait behind others.
const MOUTH_GRACE: Duration = Duration::from_secs(2);

/// How long the mouth may take to tell what it had played when it was stopped. It does so within a
/// tick of 20 ms.
const STOP_GRACE: Duration = Duration::from_millis(300);

/// What is being said: an answer of the model, or a line of the call.
#[derive(Debug)]
pub struct Utterance {
    /// The line, or `None` for an answer.
    pub line: Option<LineId>,
    clips: Vec<Clip>,
    is_complete: bool,
    is_stopped: bool,
    /// It was stopped, and there was more to come than its clips.
    is_cut: bool,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
}

#[derive(Debug)]
struct Clip {
    id: ClipId,
    text: String,
    /// Whether the words stand in the dialplan, and may be kept for the next call.
    is_fixed: bool,
    sound: Sound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Waiting,
    Making { until: Instant },
    Playing { samples: u32, until: Instant },
    Heard { played: u32, samples: u32, whole: bool },
    Lost,
}

/// What became of an utterance.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// What the caller heard.
    pub heard: String,
    /// Whether the caller heard less than there was because it was stopped.
    pub interrupted: bool,
    /// When its first sample left; `None`: not one did.
    pub began: Option<Timestamp>,
    /// When its last did.
    pub ended: Option<Timestamp>,
    /// Whether nothing was heard although nobody stopped it.
    pub is_mute: bool,
}

impl Utterance {
    /// Nothing to say yet.
    pub fn new(line: Option<LineId>) -> Self {
        Utterance {
            line,
            clips: vec![],
            is_complete: false,
            is_stopped: false,
            is_cut: false,
            began: None,
            ended: None,
        }
    }

    /// Adds a sentence. One without words needs no voice.
    pub fn add(&mut self, id: ClipId, text: String, is_fixed: bool) {
        if text.trim().is_empty() {
            return;
        }
        self.clips.push(Clip { id, text, is_fixed, sound: Sound::Waiting });
    }

    /// No sentence will be added.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Whether there is no sentence yet.
    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    /// The next sentence for the voice, if it has none: its clip, its words, whether they are fixed.
    pub fn next_to_make(&mut self, now: Instant) -> Option<(ClipId, String, bool)> {
        if self.clips.iter().any(|clip| matches!(clip.sound, Sound::Making { .. })) {
            return None;
        }
        let clip = self.clips.iter_mut().find(|clip| clip.sound == Sound::Waiting)?;
        clip.sound = Sound::Making { until: now + MAKING_MAX };
        Some((clip.id, clip.text.clone(), clip.is_fixed))
    }

    /// The voice has made a clip of this length. Whether it is to be played.
    pub fn voiced(&mut self, now: Instant, id: ClipId, samples: u32, time: Duration) -> bool {
        let before = self.clips.iter().filter_map(|clip| match clip.sound {
            Sound::Playing { until, .. } => Some(until),
            _ => None,
        });
        let begins = before.max().unwrap_or(now + MOUTH_GRACE);
        match self.clip(id) {
            Some(clip) if matches!(clip.sound, Sound::Making { .. }) => {
                clip.sound = Sound::Playing { samples, until: begins + time };
                true
            }
            // It came too late, or the utterance was stopped.
            _ => false,
        }
    }

    /// The voice could not make a clip, or the mouth did not take it.
    pub fn failed(&mut self, id: ClipId) {
        if let Some(clip) = self.clip(id) {
            clip.sound = Sound::Lost;
        }
    }

    /// The first sample of a clip has left. Whether it is the first of the utterance.
    pub fn started(&mut self, wall: Timestamp, id: ClipId) -> bool {
        let is_first = self.began.is_none() && self.clip(id).is_some();
        if is_first {
            self.began = Some(wall);
        }
        is_first
    }

    /// A clip is over.
    pub fn ended(&mut self, wall: Timestamp, id: ClipId, played: u32, whole: bool) {
        let Some(clip) = self.clip(id) else { return };
        if let Sound::Playing { samples, .. } = clip.sound {
            clip.sound = Sound::Heard { played, samples, whole };
            self.ended = Some(wall);
        }
    }

    /// Nothing more of it is to be said; the mouth will tell what was.
    pub fn stop(&mut self, now: Instant) {
        self.is_cut = !self.is_complete;
        self.is_complete = true;
        self.is_stopped = true;
        for clip in &mut self.clips {
            match &mut clip.sound {
                Sound::Waiting | Sound::Making { .. } => clip.sound = Sound::Lost,
                Sound::Playing { until, .. } => *until = now + STOP_GRACE,
                Sound::Heard { .. } | Sound::Lost => (),
            }
        }
    }

    /// Gives up what is late at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        for clip in &mut self.clips {
            match clip.sound {
                Sound::Making { until } | Sound::Playing { until, .. } if until <= now => {
                    clip.sound = Sound::Lost;
                }
                _ => (),
            }
        }
    }

    /// When something of it is late.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.clips.iter().filter_map(|clip| match clip.sound {
            Sound::Making { until } | Sound::Playing { until, .. } => Some(until),
            _ => None,
        });
        deadlines.min()
    }

    /// What became of it, once all of it is over.
    pub fn over(&self, Moment { wall, .. }: Moment) -> Option<Said> {
        let is_over = |clip: &Clip| matches!(clip.sound, Sound::Heard { .. } | Sound::Lost);
        if !self.is_complete || !self.clips.iter().all(is_over) {
            return None;
        }
        let is_whole = |clip: &Clip| matches!(clip.sound, Sound::Heard { whole: true, .. });
        Some(Said {
            heard: self.heard(),
            interrupted: self.is_cut || self.is_stopped && !self.clips.iter().all(is_whole),
            began: self.began,
            ended: self.began.map(|_| self.ended.unwrap_or(wall)),
            is_mute: !self.is_stopped && self.began.is_none() && !self.clips.is_empty(),
        })
    }

    /// The words that the caller heard, up to the first clip that was cut.
    fn heard(&self) -> String {
        let mut heard = Vec::new();
        for clip in &self.clips {
            match clip.sound {
                Sound::Heard { whole: true, .. } => heard.push(clip.text.as_str()),
                Sound::Heard { played, samples, .. } => {
                    heard.push(words_within(&clip.text, played, samples));
                    break;
                }
                _ => (),
            }
        }
        heard.retain(|words| !words.is_empty());
        heard.join(" ")
    }

    fn clip(&mut self, id: ClipId) -> Option<&mut Clip> {
        self.clips.iter_mut().find(|clip| clip.id == id)
    }
}

/// The words of a text that are complete after `played` of its `samples`, if every letter takes the same
/// time.
fn words_within(text: &str, played: u32, samples: u32) -> &str {
    let share = text.len() as u64 * u64::from(played) / u64::from(samples.max(1));
    let ends = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    let end = ends.chain([text.len()]).take_while(|end| *end as u64 <= share).last();
    text[..end.unwrap_or(0)].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_in_proportion_to_the_samples() {
        let text = "We are open from nine to six.";
        assert_eq!(words_within(text, 0, 1000), "");
        assert_eq!(words_within(text, 60, 1000), "");
        assert_eq!(words_within(text, 500, 1000), "We are open");
        assert_eq!(words_within(text, 560, 1000), "We are open from");
        assert_eq!(words_within(text, 999, 1000), "We are open from nine to");
        assert_eq!(words_within(text, 1000, 1000), text);
        assert_eq!(words_within(text, 5000, 1000), text);
        assert_eq!(words_within("ä ö ü", 1, 0), "ä ö ü");
    }

    /// Four sentences, one lost in the voice, one whole, one cut, one never begun.
    #[test]
    fn what_was_heard_ends_in_the_clip_that_was_cut() {
        let now = Moment { at: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        let mut utterance = Utterance::new(None);
        let second = Duration::from_secs(1);
        for (id, text) in [(1, "Lost."), (2, "Yes, we do."), (3, "We do it today."), (4, "Bye.")] {
            utterance.add(ClipId(id), text.to_owned(), false);
        }
        utterance.complete();
        for id in 1..=4 {
            assert_eq!(utterance.next_to_make(now.at).map(|(clip, ..)| clip), Some(ClipId(id)));
            assert_eq!(utterance.next_to_make(now.at), None);
            if id == 1 {
                utterance.failed(ClipId(id));
            } else {
                assert!(utterance.voiced(now.at, ClipId(id), 8000, second));
            }
        }
        assert!(utterance.started(now.wall, ClipId(2)));
        utterance.ended(now.wall, ClipId(2), 8000, true);
        assert!(!utterance.started(now.wall, ClipId(3)));
        utterance.stop(now.at);
        assert_eq!(utterance.over(now), None);
        utterance.ended(now.wall, ClipId(3), 4800, false);
        utterance.ended(now.wall, ClipId(4), 0, false);

        let result = utterance.over(now).expect("all is over");
        assert_eq!(result.heard, "Yes, we do. We do it");
        assert!(result.interrupted && !result.is_mute);
    }
}
