//! Engines by the names that the configuration has for them.
//!
//! ```text
//! recognizer   whisper | scripted | scripted:FILE
//! synthesizer  flite:slt | flite:rms | scripted
//! ```
//!
//! An engine that this build does not have is an error that names the feature that has it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::speech::scripted::{ScriptedRecognizer, ScriptedSynthesizer};
use crate::speech::{Recognizer, Synthesizer};

/// The file beside a recogniser's model that tells speech from everything else.
pub const ACTIVITY_MODEL: &str = "ggml-silero-v6.2.0.bin";

/// Which engines listen and speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechSettings {
    /// `whisper`, `scripted` or `scripted:FILE`.
    pub recognizer: String,
    /// The recogniser's weights: a ggml file. [`ACTIVITY_MODEL`] is looked for beside it.
    pub model: PathBuf,
    /// The language that callers speak (ISO 639-1). A model for English alone has no other.
    pub language: String,
    /// Threads that recognise at the same time, each with 60 MB and more; 0 is one for each core, at most 4.
    pub workers: usize,
    /// `flite:VOICE` or `scripted`.
    pub synthesizer: String,
}

impl Default for SpeechSettings {
    fn default() -> Self {
        SpeechSettings {
            recognizer: "whisper".into(),
            model: "models/ggml-tiny.en-q8_0.bin".into(),
            language: "en".into(),
            workers: 0,
            synthesizer: "flite:slt".into(),
        }
    }
}

/// Why an engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No engine has this name.
    #[error("no {kind} is called `{name}`; there is {known}")]
    Unknown {
        /// `recognizer`, `synthesizer` or `voice`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: &'static str,
    },
    /// The engine is not part of this build.
    #[error("`{name}` is not in this build; build with `--features {feature}`")]
    NotBuilt {
        /// What was asked for.
        name: String,
        /// The cargo feature that has it.
        feature: &'static str,
    },
    /// A file is not where it should be.
    #[error("there is no `{}`; `tools/models whisper-tiny` fetches it", file.display())]
    ModelMissing {
        /// The file.
        file: PathBuf,
    },
    /// A file is there and is not what it should be.
    #[error("`{}` is not a model that this build can read", file.display())]
    ModelUnreadable {
        /// The file.
        file: PathBuf,
    },
    /// A script could not be read.
    #[error("could not read the script `{}`", file.display())]
    ScriptUnreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The model does not know the language.
    #[error("`{}` does not know the language `{language}`", model.display())]
    LanguageUnknown {
        /// The model.
        model: PathBuf,
        /// The language that was asked for.
        language: String,
    },
    /// The processor is older than the build.
    #[error("this processor has no {missing}, which this build of `whisper` needs")]
    ProcessorTooOld {
        /// The instructions that it lacks.
        missing: &'static str,
    },
    /// The engine's library refused to start.
    #[error("`{engine}` did not start")]
    NotStarted {
        /// The engine.
        engine: &'static str,
    },
    /// The system gave no thread.
    #[error("could not start a thread for `{engine}`")]
    NoThread {
        /// The engine.
        engine: &'static str,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// Starts the recogniser that the settings name. Reads the model, which takes a moment.
pub fn recognizer(settings: &SpeechSettings) -> Result<Arc<dyn Recognizer>, EngineError> {
    match split(&settings.recognizer) {
        ("whisper", None) => whisper(settings),
        ("scripted", None) => Ok(Arc::new(ScriptedRecognizer::new([""; 0]))),
        ("scripted", Some(file)) => {
            let file = Path::new(file);
            let recognizer = ScriptedRecognizer::from_file(file)
                .map_err(|cause| EngineError::ScriptUnreadable { file: file.into(), cause })?;
            Ok(Arc::new(recognizer))
        }
        _ => Err(EngineError::Unknown {
            kind: "recognizer",
            name: settings.recognizer.clone(),
            known: "whisper, scripted, scripted:FILE",
        }),
    }
}

/// Starts the synthesizer that the settings name.
pub fn synthesizer(settings: &SpeechSettings) -> Result<Arc<dyn Synthesizer>, EngineError> {
    match split(&settings.synthesizer) {
        ("flite", voice) => flite(voice.unwrap_or("slt")),
        ("scripted", None) => Ok(Arc::new(ScriptedSynthesizer)),
        _ => Err(EngineError::Unknown {
            kind: "synthesizer",
            name: settings.synthesizer.clone(),
            known: "flite:slt, flite:rms, scripted",
        }),
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once(':').map_or((name, None), |(engine, rest)| (engine, Some(rest)))
}

#[cfg(feature = "whisper")]
fn whisper(settings: &SpeechSettings) -> Result<Arc<dyn Recognizer>, EngineError> {
    Ok(Arc::new(crate::speech::whisper::Whisper::start(settings)?))
}

#[cfg(not(feature = "whisper"))]
fn whisper(_: &SpeechSettings) -> Result<Arc<dyn Recognizer>, EngineError> {
    Err(EngineError::NotBuilt { name: "whisper".into(), feature: "whisper" })
}

#[cfg(feature = "flite")]
fn flite(voice: &str) -> Result<Arc<dyn Synthesizer>, EngineError> {
    Ok(Arc::new(crate::speech::flite::Flite::start(voice)?))
}

#[cfg(not(feature = "flite"))]
fn flite(voice: &str) -> Result<Arc<dyn Synthesizer>, EngineError> {
    Err(EngineError::NotBuilt { name: format!("flite:{voice}"), feature: "flite" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripted_engines_need_nothing() {
        assert!(recognizer(&listens_with("scripted")).is_ok());
        assert!(synthesizer(&speaks_with("scripted")).is_ok());
    }

    #[test]
    fn unknown_engine_is_an_error_that_names_the_known_ones() {
        check(
            recognizer(&listens_with("sphinx")).err(),
            "no recognizer is called `sphinx`; there is whisper, scripted, scripted:FILE",
        );
        check(
            synthesizer(&speaks_with("espeak:en")).err(),
            "no synthesizer is called `espeak:en`; there is flite:slt, flite:rms, scripted",
        );
        check(
            recognizer(&listens_with("scripted:/nowhere/script.txt")).err(),
            "could not read the script `/nowhere/script.txt`",
        );
    }

    #[cfg(not(feature = "whisper"))]
    #[test]
    fn absent_recognizer_names_its_feature() {
        check(
            recognizer(&SpeechSettings::default()).err(),
            "`whisper` is not in this build; build with `--features whisper`",
        );
    }

    #[cfg(not(feature = "flite"))]
    #[test]
    fn absent_voice_names_its_feature() {
        check(
            synthesizer(&SpeechSettings::default()).err(),
            "`flite:slt` is not in this build; build with `--features flite`",
        );
    }

    #[cfg(feature = "whisper")]
    #[test]
    fn missing_and_broken_models_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let model = folder.path().join("model.bin");
        let settings = SpeechSettings { model: model.clone(), ..SpeechSettings::default() };
        check(
            recognizer(&settings).err(),
            &format!("there is no `{}`; `tools/models whisper-tiny` fetches it", model.display()),
        );
        std::fs::write(&model, "not a model").expect("written");
        check(
            recognizer(&settings).err(),
            &format!("`{}` is not a model that this build can read", model.display()),
        );
    }

    #[cfg(feature = "flite")]
    #[test]
    fn unknown_voice_is_an_error_and_not_another_voice() {
        check(
            synthesizer(&speaks_with("flite:kal")).err(),
            "no voice is called `kal`; there is slt, rms",
        );
    }

    #[track_caller]
    fn check(error: Option<EngineError>, expected: &str) {
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(expected));
    }

    fn listens_with(recognizer: &str) -> SpeechSettings {
        SpeechSettings { recognizer: recognizer.into(), ..SpeechSettings::default() }
    }

    fn speaks_with(synthesizer: &str) -> SpeechSettings {
        SpeechSettings { synthesizer: synthesizer.into(), ..SpeechSettings::default() }
    }
}
