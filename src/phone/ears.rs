//! What puts into words what a phone hears; or nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use crate::ids::Pii;
use crate::speech::{Listening, Recognition, Recognizer, SpeechError};

/// What a phone understands of what it hears.
#[derive(Clone)]
pub enum Ears {
    /// Words.
    Words(Arc<dyn Recognizer>),
    /// That there was speech, and how long.
    Speech,
}

impl Ears {
    pub(super) fn hears_words(&self) -> bool {
        matches!(self, Ears::Words(_))
    }

    pub(super) fn into_recognizer(self) -> Arc<dyn Recognizer> {
        match self {
            Ears::Words(recognizer) => recognizer,
            Ears::Speech => Arc::new(Wordless),
        }
    }
}

/// Knows that something was said. A turn without words counts as noise, so it has to name one, which
/// nobody is shown.
struct Wordless;

impl Recognizer for Wordless {
    fn recognize(&self, _: Listening) -> BoxFuture<'static, Result<Recognition, SpeechError>> {
        let text = Pii("(speech)".to_owned());
        future::ready(Ok(Recognition { text, confidence: 0.0, took: Duration::ZERO })).boxed()
    }
}
