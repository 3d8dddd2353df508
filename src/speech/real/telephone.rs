//! Speech through a telephone line into the ears of a call.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::ids::CallId;
use crate::media::bridge::HeardFrame;
use crate::media::codec::g711::{ULAW, encode_ulaw};
use crate::media::{FRAME_TIME, Frame, Rate, resample};
use crate::speech::engines::{SpeechSettings, recognizer};
use crate::speech::listener::{Effect, Listener, ListenerSettings};
use crate::speech::{Recognizer, Synthesizer};

/// Our own ears at the other end of a G.711 line, on a clock of their own.
pub struct Telephone {
    recognizer: std::sync::Arc<dyn Recognizer>,
    took: Vec<Duration>,
}

impl Telephone {
    pub fn new(models: &Path) -> Self {
        let settings = SpeechSettings {
            model: models.join("ggml-tiny.en-q8_0.bin"),
            workers: 1,
            ..SpeechSettings::default()
        };
        let recognizer = recognizer(&settings).expect("the model is there");
        Telephone { recognizer, took: Vec::new() }
    }

    /// Says 8 kHz samples between two silences, and returns the words of all turns that were heard.
    pub async fn hear(&mut self, samples: &[i16]) -> String {
        let call = CallId::new("a84b4c76e66710@example.com").expect("a good Call-ID");
        let mut listener = Listener::new(call, ListenerSettings::default());
        let silence = [0; 8000];
        let line: Vec<i16> = silence
            .iter()
            .chain(samples)
            .chain(&silence)
            .map(|&sample| ULAW[usize::from(encode_ulaw(sample))])
            .collect();

        let mut now = Instant::now();
        let mut suspicion = None;
        let mut words = Vec::new();
        for samples in line.chunks(160) {
            now += FRAME_TIME;
            let frame = Frame::from_samples(Rate::Narrow, samples);
            for effect in listener.hear(now, &HeardFrame { frame, agent_sounds: false }) {
                match effect {
                    Effect::Recognize(listening) => suspicion = Some(listening),
                    Effect::Conclude(_) => {
                        let listening = suspicion.take().expect("a turn has its sound");
                        let heard = self.recognizer.recognize(listening).await.expect("idle");
                        self.took.push(heard.took);
                        words.push(heard.text.0);
                    }
                    Effect::Forget | Effect::Tell(_) => (),
                }
            }
        }
        words.retain(|words| !words.is_empty());
        words.join(" ")
    }

    pub fn times(&mut self) -> String {
        self.took.sort();
        let at = |part: usize| self.took[(self.took.len() * part / 100).min(self.took.len() - 1)];
        format!("{} recognitions, p50 {:.2?}, p95 {:.2?}", self.took.len(), at(50), at(95))
    }
}

/// A sentence at 8 kHz.
pub async fn voice(synthesizer: &dyn Synthesizer, sentence: &str) -> Vec<i16> {
    let speech = synthesizer.synthesize(sentence).await.expect("spoken");
    resample::convert(&speech.samples, speech.hertz, Rate::Narrow).expect("a known rate")
}

/// The samples of a WAV file at 8 kHz; `None` if there is no such file.
pub fn wav(path: &Path) -> Option<Vec<i16>> {
    let mut reader = hound::WavReader::open(path).ok()?;
    assert_eq!(reader.spec().sample_rate, 8000, "{}", path.display());
    reader.samples().collect::<Result<_, _>>().ok()
}

/// The folder with the models, if the test can run.
pub fn models() -> Option<PathBuf> {
    let folder = std::env::var_os("TANDEM_MODELS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), PathBuf::from);
    for file in ["ggml-tiny.en-q8_0.bin", "ggml-silero-v6.2.0.bin"] {
        asset(folder.join(file))?;
    }
    Some(folder)
}

/// A file or folder that a test needs. Says so if it is missing; in CI, nothing may be missing.
pub fn asset(path: impl AsRef<Path>) -> Option<PathBuf> {
    let path = path.as_ref();
    if path.exists() {
        return Some(path.to_owned());
    }
    let in_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!in_ci, "CI has to have {}", path.display());
    eprintln!("skipped: there is no {}", path.display());
    None
}
