//! What a phone does in a call: the lines it says, and its manners.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files::wav::{self, WavError};
use crate::media::resample::{UnknownRate, convert};
use crate::media::{Rate, dtmf};
use crate::phone::talk::Manners;
use crate::speech::{SpeechError, Synthesizer};

/// One thing to say, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A recording.
    Wav(PathBuf),
    /// A text for the synthesizer.
    Text(String),
    /// Keys to press: `0`-`9`, `*`, `#`, `A`-`D`; `w` waits half a second, `W` a whole one.
    Digits(String),
}

/// One thing to say, ready to be said.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What it is called in the story of the call: its text, its file, its digits.
    pub shown: String,
    /// How it is said.
    pub sound: Sound,
}

/// How a line is said.
#[derive(Clone, Debug)]
pub enum Sound {
    /// Samples at the rate of calls.
    Clip(Arc<[i16]>),
    /// Keys.
    Digits(String),
}

/// What a phone does in a call.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it says, in this order.
    pub lines: Vec<Prepared>,
    /// When it speaks, and when it leaves.
    pub manners: Manners,
    /// Whether it refuses to be transferred, with 603.
    pub refuses_refer: bool,
}

/// Why a line cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A recording cannot be played.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// A recording has a rate that nothing has.
    #[error("cannot play `{}`", file.display())]
    Rate {
        /// The file.
        file: PathBuf,
        /// Its rate.
        #[source]
        cause: UnknownRate,
    },
    /// There is nobody who could read texts aloud.
    #[error("no voice to say `{text}` with")]
    NoVoice {
        /// What was to be said.
        text: String,
    },
    /// The synthesizer gave nothing.
    #[error("cannot say `{text}`")]
    Unspoken {
        /// What was to be said.
        text: String,
        /// What it said instead.
        #[source]
        cause: SpeechError,
    },
    /// A key that no phone has.
    #[error("`{digits}` are no keys; there are 0-9, *, #, A-D, and w to wait")]
    NoKeys {
        /// What was asked for.
        digits: String,
    },
}

/// What a caller does unless told otherwise: lets the other speak first, and leaves when it hears nothing
/// more after its last line.
pub const CALLER: Manners = Manners {
    opens: false,
    silence: Duration::from_secs(4),
    patience: Some(Duration::from_secs(15)),
    time_max: Duration::from_secs(300),
};

/// What one does who is called: speaks first, and lets the caller hang up.
pub const CALLED: Manners = Manners { opens: true, patience: None, ..CALLER };

/// Makes lines ready, so that none keeps the other waiting, and none fails in the middle of a call.
pub async fn prepare(
    lines: &[Line],
    synthesizer: Option<&dyn Synthesizer>,
) -> Result<Vec<Prepared>, LineError> {
    let mut prepared = Vec::with_capacity(lines.len());
    for line in lines {
        prepared.push(match line {
            Line::Wav(file) => recording(file.clone()).await?,
            Line::Text(text) => spoken(text, synthesizer).await?,
            Line::Digits(digits) => keys(digits)?,
        });
    }
    Ok(prepared)
}

async fn recording(file: PathBuf) -> Result<Prepared, LineError> {
    let shown = file.display().to_string();
    let load = move || {
        let recording = wav::read(&file)?;
        let samples = convert(&recording.samples, recording.hertz, Rate::Narrow);
        samples.map_err(|cause| LineError::Rate { file, cause })
    };
    let samples = tokio::task::spawn_blocking(load).await.expect("reading a file does not panic");
    Ok(Prepared { shown, sound: Sound::Clip(samples?.into()) })
}

async fn spoken(text: &str, voice: Option<&dyn Synthesizer>) -> Result<Prepared, LineError> {
    let voice = voice.ok_or_else(|| LineError::NoVoice { text: text.into() })?;
    let unspoken = |cause| LineError::Unspoken { text: text.into(), cause };
    let speech = voice.synthesize(text).await.map_err(unspoken)?;
    let samples = convert(&speech.samples, speech.hertz, Rate::Narrow)
        .map_err(|_| unspoken(SpeechError::Failed))?;
    Ok(Prepared { shown: text.into(), sound: Sound::Clip(samples.into()) })
}

fn keys(digits: &str) -> Result<Prepared, LineError> {
    let is_key = |c: char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d' | 'w' | 'W');
    if digits.is_empty() || !digits.chars().all(is_key) {
        return Err(LineError::NoKeys { digits: digits.into() });
    }
    Ok(Prepared { shown: digits.into(), sound: Sound::Digits(digits.into()) })
}

/// How long it takes to press keys.
pub(super) fn time_to_press(digits: &str) -> Duration {
    digits.chars().map(dtmf::time_of_key).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::scripted::ScriptedSynthesizer;

    #[tokio::test]
    async fn lines_are_brought_to_the_rate_of_calls() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hello.wav");
        wav::write_stereo(&file, 44_100, &[500; 44_100], &[500; 44_100]).expect("written");
        let lines = [Line::Wav(file), Line::Text("one two".into()), Line::Digits("1w#".into())];

        let prepared = prepare(&lines, Some(&ScriptedSynthesizer)).await.expect("all is there");

        let lengths: Vec<_> = prepared
            .iter()
            .map(|line| match &line.sound {
                Sound::Clip(samples) => samples.len(),
                Sound::Digits(digits) => digits.len(),
            })
            .collect();
        assert_eq!(lengths, [8000, 960, 3]);
        assert_eq!(time_to_press("1w#"), Duration::from_millis(180 + 500 + 180));
    }

    #[tokio::test]
    async fn what_cannot_be_said_is_known_before_the_call() {
        for (line, expected) in [
            (Line::Text("hello".into()), "no voice to say `hello` with"),
            (
                Line::Digits("12x".into()),
                "`12x` are no keys; there are 0-9, *, #, A-D, and w to wait",
            ),
            (Line::Wav("nowhere.wav".into()), "cannot read `nowhere.wav`"),
        ] {
            assert_eq!(prepare(&[line], None).await.unwrap_err().to_string(), expected);
        }
    }
}
