//! Local recognition with whisper.cpp.
//!
//! The weights are loaded once; each worker has a state of its own. What costs time is the encoder, and its
//! cost follows `audio_ctx`, not the length of the speech, so that is chosen by the length (see
//! [`audio_context`]). Words that were not heard are thrown away by [`believed`], and sound in which a
//! second voice detector finds no voice never reaches the model: it writes words for any music.
//!
//! whisper.cpp is built for AVX2, FMA, F16C and BMI2 (`.cargo/config.toml`).

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{debug, warn};
use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperError,
    WhisperState, WhisperVadContext, WhisperVadContextParams,
};

use crate::ids::Pii;
use crate::speech::engines::{ACTIVITY_MODEL, EngineError, SpeechSettings};
use crate::speech::invented::{Evidence, VOICED_MIN, believed};
use crate::speech::workers::{Craft, Work, Workers};
use crate::speech::{HEARING_HERTZ, Listening, Recognition, Recognizer, SpeechError, whisper_log};

/// How the threads are called, and how many turns may wait for them: with 0.3 s for each, the last of
/// these is answered after five seconds by one worker, and nobody waits longer for an answer.
const CRAFT: Craft = Craft { engine: "whisper", seconds: "speech_recognition_seconds", room: 16 };

/// States are 60 MB and more, and a core does no more with two of them.
const WORKERS_MAX: usize = 4;

/// whisper.cpp looks at no less than a second, and is unsure of what ends with it.
const SAMPLES_MIN: usize = 11 * HEARING_HERTZ as usize / 10;
/// The model hears 30 s at once.
const SAMPLES_MAX: usize = 30 * HEARING_HERTZ as usize;

/// The detector's window and the probability above which there is a voice in it.
const VOICE_WINDOW: Duration = Duration::from_millis(32);
const VOICE_ABOVE: f32 = 0.5;

/// What the model takes for said before: it makes these words likelier, which callers say alone, over a poor
/// line, and mean.
const PROMPT: &str = "Operator. I'd like to speak to a human, please. A real person. A supervisor, a manager, a representative, an agent.";

/// A recogniser on this machine.
pub struct Whisper {
    workers: Workers<Listening, Heard>,
}

/// The words and how sure the model is of them.
struct Heard {
    text: String,
    confidence: f32,
}

impl Whisper {
    /// Reads the model and starts the workers.
    pub fn start(settings: &SpeechSettings) -> Result<Self, EngineError> {
        check_processor()?;
        let model = settings.model.as_path();
        if !model.is_file() {
            return Err(EngineError::ModelMissing { file: model.into() });
        }
        whisper_log::route();
        let unreadable = |_: WhisperError| EngineError::ModelUnreadable { file: model.into() };
        let context = WhisperContext::new_with_params(model, WhisperContextParameters::default())
            .map_err(unreadable)?;
        let language = language(&context, settings)?;

        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let workers = match settings.workers {
            0 => cores.min(WORKERS_MAX),
            workers => workers,
        };
        let works = (0..workers)
            .map(|_| {
                let mut ears = Ears {
                    state: context.create_state().map_err(unreadable)?,
                    detector: detector(model)?,
                    params: params(&language),
                    cores,
                };
                Ok(Box::new(move |listening: Listening, busy| ears.hear(&listening, busy))
                    as Work<Listening, Heard>)
            })
            .collect::<Result<_, _>>()?;
        let workers = Workers::start(CRAFT, works)
            .map_err(|cause| EngineError::NoThread { engine: CRAFT.engine, cause })?;
        Ok(Whisper { workers })
    }
}

impl Recognizer for Whisper {
    fn recognize(
        &self,
        listening: Listening,
    ) -> BoxFuture<'static, Result<Recognition, SpeechError>> {
        let asked = Instant::now();
        let urgency = listening.urgency.clone();
        self.workers
            .ask(listening, urgency)
            .map(move |heard| {
                let Heard { text, confidence } = heard?;
                Ok(Recognition { text: Pii(text), confidence, took: asked.elapsed() })
            })
            .boxed()
    }
}

/// What a worker owns.
struct Ears {
    state: WhisperState,
    detector: Option<WhisperVadContext>,
    /// What is the same for every piece of speech. It is copied, not made again: each time the wrapper
    /// sets a language it leaks its name.
    params: FullParams<'static, 'static>,
    cores: usize,
}

impl Ears {
    fn hear(&mut self, listening: &Listening, busy: usize) -> Result<Heard, SpeechError> {
        let nothing = Heard { text: String::new(), confidence: 0.0 };
        let samples = &listening.samples[..listening.samples.len().min(SAMPLES_MAX)];
        let mut samples: Vec<f32> =
            samples.iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
        let voiced = self.voiced(&samples).unwrap_or(listening.voiced).min(listening.voiced);
        if samples.is_empty() || voiced < VOICED_MIN {
            debug!(call_id = %listening.call, ?voiced, "no voice in the sound");
            return Ok(nothing);
        }

        samples.resize(samples.len().max(SAMPLES_MIN), 0.0);
        let seconds = samples.len() as f32 / HEARING_HERTZ as f32;
        let mut params = self.params.clone();
        params.set_n_threads(if busy <= 1 && has_spare_core(self.cores) { 2 } else { 1 });
        params.set_audio_ctx(audio_context(seconds));
        // Speech has at most six tokens a second; more is a loop, and its time is lost to others.
        params.set_max_tokens(10 + (6.0 * seconds) as i32);
        self.state.full(params, &samples).map_err(|error| {
            warn!(call_id = %listening.call, %error, "whisper.cpp failed");
            SpeechError::Failed
        })?;
        Ok(self.read(listening, voiced).unwrap_or(nothing))
    }

    /// How much voice the second detector finds; `None` without one.
    fn voiced(&mut self, samples: &[f32]) -> Option<Duration> {
        let detector = self.detector.as_mut().filter(|_| !samples.is_empty())?;
        detector.detect_speech(samples).ok()?;
        let voiced = detector.probabilities().iter().filter(|&&likely| likely >= VOICE_ABOVE);
        Some(VOICE_WINDOW * u32::try_from(voiced.count()).ok()?)
    }

    /// What the model wrote, if it is likely that somebody said it.
    fn read(&self, listening: &Listening, voiced: Duration) -> Option<Heard> {
        let segment = self.state.get_segment(0)?;
        let tokens = (0..segment.n_tokens()).filter_map(|n| segment.get_token(n));
        let (mut count, mut probability, mut log_probability) = (0.0, 0.0, 0.0);
        for token in tokens.map(|token| token.token_data()) {
            count += 1.0;
            probability += token.p;
            log_probability += token.plog;
        }
        let evidence = Evidence {
            voiced,
            log_probability: log_probability / f32::max(count, 1.0),
            silence: segment.no_speech_probability(),
        };
        let text = believed(&segment.to_str_lossy().ok()?, evidence);
        if text.is_none() {
            debug!(call_id = %listening.call, ?evidence, "invented, not heard");
        }
        Some(Heard { text: text?, confidence: probability / f32::max(count, 1.0) })
    }
}

fn params(language: &str) -> FullParams<'static, 'static> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    // The wrapper copies the name, and asks for a lifetime all the same.
    params.set_language(whisper_rs::get_lang_id(language).and_then(whisper_rs::get_lang_str));
    if language == "en" {
        params.set_initial_prompt(PROMPT);
    }
    // A state serves one call after the other: nothing of the last may colour the next.
    params.set_no_context(true);
    params.set_no_timestamps(true);
    params.set_single_segment(true);
    params.set_suppress_blank(true);
    params.set_suppress_nst(true);
    // No second try at a higher temperature: it takes as long again, and makes loops worse.
    params.set_temperature(0.0);
    params.set_temperature_inc(0.0);
    params.set_print_progress(false);
    params.set_print_realtime(false);
    params.set_print_special(false);
    params.set_print_timestamps(false);
    params
}

/// Whether a second thread would have a core to itself. ggml's threads spin while they wait for each
/// other: two are nearly twice as quick as one on an idle machine, and twenty times slower on a busy one.
fn has_spare_core(cores: usize) -> bool {
    let Ok(load) = std::fs::read_to_string("/proc/loadavg") else { return false };
    running(&load).is_some_and(|running| running < cores)
}

/// How many threads run or could run in this moment, the asking one included: the fourth field, before the
/// slash (proc_loadavg(5)).
fn running(load: &str) -> Option<usize> {
    load.split(' ').nth(3)?.split_once('/')?.0.parse().ok()
}

/// How much of its 30 s the encoder looks at, in units of 20 ms. Fitted more tightly, small models
/// fall into loops.
fn audio_context(seconds: f32) -> i32 {
    match seconds {
        ..8.0 => 512,
        ..14.0 => 768,
        _ => 1500,
    }
}

fn language(context: &WhisperContext, settings: &SpeechSettings) -> Result<String, EngineError> {
    let language = settings.language.as_str();
    let known = match context.is_multilingual() {
        true => whisper_rs::get_lang_id(language).is_some(),
        false => language == "en",
    };
    known.then(|| language.to_owned()).ok_or_else(|| EngineError::LanguageUnknown {
        model: settings.model.clone(),
        language: language.to_owned(),
    })
}

/// The second voice detector, if its model lies beside the recogniser's.
fn detector(model: &Path) -> Result<Option<WhisperVadContext>, EngineError> {
    let file = model.with_file_name(ACTIVITY_MODEL);
    if !file.is_file() {
        warn!(file = %file.display(), "without this model, music can be taken for words");
        return Ok(None);
    }
    let unreadable = EngineError::ModelUnreadable { file: file.clone() };
    let Some(path) = file.to_str().filter(|path| !path.contains('\0')) else {
        return Err(unreadable);
    };
    let mut params = WhisperVadContextParams::default();
    params.set_n_threads(1);
    WhisperVadContext::new(path, params).map(Some).map_err(|_| unreadable)
}

/// An instruction that the processor lacks would end the program without a word.
fn check_processor() -> Result<(), EngineError> {
    #[cfg(target_arch = "x86_64")]
    for (missing, has) in [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("F16C", std::arch::is_x86_feature_detected!("f16c")),
        ("BMI2", std::arch::is_x86_feature_detected!("bmi2")),
    ] {
        if !has {
            return Err(EngineError::ProcessorTooOld { missing });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_looks_at_more_of_longer_speech_and_never_at_too_little() {
        let contexts = [0.5, 7.9, 8.0, 13.9, 14.0, 30.0].map(audio_context);
        assert_eq!(contexts, [512, 512, 768, 768, 1500, 1500]);
    }

    #[test]
    fn running_threads_are_read_from_the_load() {
        assert_eq!(running("0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(running("unexpected"), None);
    }
}
