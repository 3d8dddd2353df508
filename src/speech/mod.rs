//! Listening and speaking: voice activity, turns, and the engines behind two interfaces.
//!
//! ```text
//!   20 ms frames     hearing     activity       turns            Recognizer
//!   ------------> [ to 16 kHz | voice or not | whose turn ] ---> [ workers | whisper ]
//!                     '------------ tape ------------'                 |
//!                                listener                              |
//!   SpeechEvent <--------------------- driver <------------------------'
//!
//!   text of a model ---> [ sentences ] ---> Synthesizer [ workers | flite ] ---> samples
//! ```
//!
//! What decides is pure (`activity`, `turns`, `tape`, `listener`, `sentences`, `markup`, `invented`,
//! `backlog`); the engines and the task and threads that drive them are not.

pub mod activity;
pub mod backlog;
pub mod driver;
pub mod engines;
#[cfg(feature = "flite")]
pub mod flite;
pub mod hearing;
pub mod invented;
pub mod listener;
pub mod markup;
pub mod scripted;
pub mod sentences;
pub mod tape;
pub mod turns;
#[cfg(feature = "whisper")]
pub mod whisper;
#[cfg(feature = "whisper")]
mod whisper_log;
pub mod workers;

#[cfg(all(test, feature = "whisper", feature = "flite"))]
pub(crate) mod real;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::ids::{CallId, Pii};

/// The rate at which recognisers hear, in Hz. Telephone audio is brought to it once.
pub const HEARING_HERTZ: u32 = 16_000;

/// One piece of speech to put into words.
#[derive(Clone)]
pub struct Listening {
    /// Whose call: a scripted engine answers by it, logs name it.
    pub call: CallId,
    /// Which turn of the caller, counted from 0. A turn that is recognised twice, first on suspicion
    /// and then for good, has the same number both times.
    pub turn: u64,
    /// Mono samples at [`HEARING_HERTZ`], with the silence around the voice cut to what helps.
    pub samples: Arc<[i16]>,
    /// How much of it is voice, by voice activity. Nothing is recognised without any.
    pub voiced: Duration,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening({} turn {}, {} samples)", self.call, self.turn, self.samples.len())
    }
}

/// Which work is done first: what somebody waits for. It may rise while the work waits in a queue;
/// clones rise together.
#[derive(Clone, Debug, Default)]
pub struct Urgency(Arc<AtomicBool>);

impl Urgency {
    /// Worth knowing early, not worth making anyone wait.
    pub fn early() -> Self {
        Urgency::default()
    }

    /// The caller waits for it.
    pub fn awaited() -> Self {
        let urgency = Urgency::default();
        urgency.raise();
        urgency
    }

    /// From now on the caller waits.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the caller waits.
    pub fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    /// The words; empty when there were none (noise, music, an invented text that was thrown away).
    pub text: Pii<String>,
    /// How sure the engine is, 0 to 1: the mean probability of its tokens.
    pub confidence: f32,
    /// Time from the request to the words, waiting in the queue included.
    pub took: Duration,
}

/// Speech made from text.
#[derive(Clone, PartialEq, Eq)]
pub struct Speech {
    /// Samples a second.
    pub hertz: u32,
    /// Mono samples.
    pub samples: Arc<[i16]>,
}

impl Speech {
    /// How long it sounds.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.hertz))
    }
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speech({} Hz, {} samples)", self.hertz, self.samples.len())
    }
}

/// Why an engine gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    /// More work waits than the engine could do in useful time.
    #[error("the speech engine has too much to do")]
    Busy,
    /// The engine failed on this piece.
    #[error("the speech engine failed")]
    Failed,
    /// The engine did not answer in useful time.
    #[error("the speech engine took too long")]
    Late,
    /// The engine has gone.
    #[error("the speech engine is gone")]
    Gone,
}

/// Puts speech into words. Dropping the future takes the work back if it has not begun.
pub trait Recognizer: Send + Sync {
    /// Recognises one piece of speech.
    fn recognize(
        &self,
        listening: Listening,
    ) -> BoxFuture<'static, Result<Recognition, SpeechError>>;
}

/// Puts words into speech. Dropping the future takes the work back if it has not begun.
pub trait Synthesizer: Send + Sync {
    /// Speaks one sentence.
    fn synthesize(&self, text: &str) -> BoxFuture<'static, Result<Speech, SpeechError>>;
}
