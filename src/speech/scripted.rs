//! Engines without a model: one hears what a test tells it, one says tones.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use crate::ids::{CallId, Pii};
use crate::speech::{
    HEARING_HERTZ, Listening, Recognition, Recognizer, Speech, SpeechError, Synthesizer,
};

/// What a scripted recogniser hears in a turn of a call.
type Lines = dyn Fn(&CallId, u64) -> Result<String, SpeechError> + Send + Sync;

/// Hears the n-th line of a script in the n-th turn of each call, and nothing after the last.
#[derive(Clone)]
pub struct ScriptedRecognizer {
    lines: Arc<Lines>,
    delay: Duration,
}

impl ScriptedRecognizer {
    /// Hears these lines in every call.
    pub fn new(lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let lines: Vec<String> = lines.into_iter().map(Into::into).collect();
        Self::with(move |_, turn| {
            let line = usize::try_from(turn).ok().and_then(|turn| lines.get(turn));
            Ok(line.cloned().unwrap_or_default())
        })
    }

    /// Hears what the function says for a call and the number of its turn, from 0.
    pub fn with(
        lines: impl Fn(&CallId, u64) -> Result<String, SpeechError> + Send + Sync + 'static,
    ) -> Self {
        ScriptedRecognizer { lines: Arc::new(lines), delay: Duration::ZERO }
    }

    /// Reads a file with one utterance a line. An empty line is a turn without words; a line that
    /// begins with `#` is none.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let script = std::fs::read_to_string(path)?;
        Ok(Self::new(script.lines().filter(|line| !line.starts_with('#')).map(str::trim)))
    }

    /// Takes so long for each recognition.
    pub fn slow(self, delay: Duration) -> Self {
        ScriptedRecognizer { delay, ..self }
    }
}

impl fmt::Debug for ScriptedRecognizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedRecognizer").field("delay", &self.delay).finish_non_exhaustive()
    }
}

impl Recognizer for ScriptedRecognizer {
    fn recognize(
        &self,
        listening: Listening,
    ) -> BoxFuture<'static, Result<Recognition, SpeechError>> {
        let ScriptedRecognizer { lines, delay } = self.clone();
        async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let text = lines(&listening.call, listening.turn)?;
            Ok(Recognition { text: Pii(text), confidence: 1.0, took: delay })
        }
        .boxed()
    }
}

/// Says each word as 60 ms of a 440 Hz tone: loud enough to be heard, short enough for a test.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptedSynthesizer;

/// What a word takes.
pub const WORD_TIME: Duration = Duration::from_millis(60);

impl Synthesizer for ScriptedSynthesizer {
    fn synthesize(&self, text: &str) -> BoxFuture<'static, Result<Speech, SpeechError>> {
        let words = text.split_whitespace().count();
        let word = WORD_TIME.as_millis() as usize * HEARING_HERTZ as usize / 1000;
        let samples = (0..words * word).map(tone).collect();
        future::ready(Ok(Speech { hertz: HEARING_HERTZ, samples })).boxed()
    }
}

fn tone(n: usize) -> i16 {
    let angle = n as f32 * 440.0 / HEARING_HERTZ as f32 * std::f32::consts::TAU;
    (angle.sin() * 8000.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::Urgency;

    #[tokio::test]
    async fn script_is_heard_by_turn_however_often_a_turn_is_asked_for() {
        let recognizer = ScriptedRecognizer::new(["hello", "", "a person please"]);
        let mut heard = Vec::new();
        for turn in [0, 0, 1, 2, 3] {
            heard.push(recognizer.recognize(listening(turn)).await.expect("scripted").text.0);
        }
        assert_eq!(heard, ["hello", "hello", "", "a person please", ""]);
    }

    #[tokio::test]
    async fn script_file_has_a_line_for_a_turn() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# what the caller says\nhello\n\n transfer me \n")
            .expect("written");
        let recognizer = ScriptedRecognizer::from_file(file.path()).expect("read");
        let mut heard = Vec::new();
        for turn in 0..4 {
            heard.push(recognizer.recognize(listening(turn)).await.expect("scripted").text.0);
        }
        assert_eq!(heard, ["hello", "", "transfer me", ""]);
    }

    #[tokio::test]
    async fn speech_is_as_long_as_its_words_and_always_the_same() {
        let speech = ScriptedSynthesizer.synthesize("One moment, please.").await.expect("a tone");
        assert_eq!((speech.hertz, speech.samples.len()), (16_000, 3 * 960));
        assert!(speech.samples.iter().any(|&sample| sample > 7000));
        assert_eq!(ScriptedSynthesizer.synthesize("Just a moment").await, Ok(speech));
    }

    fn listening(turn: u64) -> Listening {
        Listening {
            call: CallId::new("a84b4c76e66710@example.com").expect("a good Call-ID"),
            turn,
            samples: Arc::new([]),
            voiced: Duration::ZERO,
            urgency: Urgency::awaited(),
        }
    }
}
