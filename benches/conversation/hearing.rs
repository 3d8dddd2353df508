//! What the recogniser makes of recordings, as they are and over the telephone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tandem::ids::CallId;
use tandem::media::bridge::HeardFrame;
use tandem::media::codec::g711::{ULAW, encode_ulaw};
use tandem::media::{FRAME_TIME, Frame, Rate};
use tandem::speech::engines::{SpeechSettings, recognizer};
use tandem::speech::listener::{Effect, Listener, ListenerSettings};
use tandem::speech::{Listening, Recognizer};

use crate::recordings::{HERTZ, Recording};
use crate::shop::{WEIGHTS, here};
use crate::words::Errors;

/// Silence around what is said: longer than the end of a turn.
const SILENCE: Duration = Duration::from_secs(1);

/// The recogniser, without a call around it.
pub struct Ears(Arc<dyn Recognizer>);

impl Ears {
    pub fn open() -> Result<Self> {
        let settings =
            SpeechSettings { model: here(WEIGHTS), workers: 1, ..SpeechSettings::default() };
        Ok(Ears(recognizer(&settings)?))
    }

    /// What is wrong in the words of all recordings, when `line` is what becomes of each sample on its way.
    pub async fn errors(&self, recordings: &[Recording], line: fn(i16) -> i16) -> Result<Errors> {
        let mut errors = Errors::default();
        for recording in recordings {
            let heard = self.hear(recording.samples.iter().map(|&sample| line(sample))).await?;
            errors.add(&recording.name, &recording.words, &heard);
        }
        Ok(errors)
    }

    async fn hear(&self, samples: impl Iterator<Item = i16>) -> Result<String> {
        let mut words = Vec::new();
        for turn in turns(samples).context("the Call-ID is a good one")? {
            words.push(self.0.recognize(turn).await?.text.0);
        }
        words.retain(|words| !words.is_empty());
        Ok(words.join(" "))
    }
}

/// No line at all.
pub fn clean(sample: i16) -> i16 {
    sample
}

/// G.711's µ-law, there and back.
pub fn ulaw(sample: i16) -> i16 {
    ULAW[usize::from(encode_ulaw(sample))]
}

/// The turns that a call's listener finds in a sound, on a clock of its own.
fn turns(samples: impl Iterator<Item = i16>) -> Option<Vec<Listening>> {
    let mut listener = Listener::new(CallId::new("hearing")?, ListenerSettings::default());
    let silence = vec![0; SILENCE.as_millis() as usize * HERTZ / 1000];
    let line: Vec<i16> =
        silence.iter().copied().chain(samples).chain(silence.iter().copied()).collect();
    let (mut now, mut suspicion, mut turns) = (Instant::now(), None, Vec::new());
    for samples in line.chunks(HERTZ / 50) {
        now += FRAME_TIME;
        let frame = Frame::from_samples(Rate::Narrow, samples);
        for effect in listener.hear(now, &HeardFrame { frame, agent_sounds: false }) {
            match effect {
                Effect::Recognize(listening) => suspicion = Some(listening),
                Effect::Conclude(_) => turns.extend(suspicion.take()),
                Effect::Forget | Effect::Tell(_) => (),
            }
        }
    }
    Some(turns)
}
