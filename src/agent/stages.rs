//! Where the time goes from a caller's words to the first sound of the answer.
//!
//! ```text
//!   asked ─────────> first sentence ───────> its sound ─────────> first sample
//!           model                    voice               playout
//! ```
//!
//! Before it are two stages of listening: the silence that ends a turn, and what recognition takes longer
//! than that.

use std::time::{Duration, Instant};

/// What the first sound of an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The first sentence, or the first clause of a long one.
    Model,
    /// Its sound.
    Voice,
    /// The next frame of the call.
    Playout,
}

impl Stage {
    /// A label for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Model => "model",
            Stage::Voice => "voice",
            Stage::Playout => "playout",
        }
    }

    fn next(self) -> Option<Self> {
        match self {
            Stage::Model => Some(Stage::Voice),
            Stage::Voice => Some(Stage::Playout),
            Stage::Playout => None,
        }
    }
}

/// How far the answer is that a caller waits for.
#[derive(Debug, Default)]
pub struct Stages {
    waits: Option<(Stage, Instant)>,
}

impl Stages {
    /// The model is asked.
    pub fn begin(&mut self, now: Instant) {
        self.waits = Some((Stage::Model, now));
    }

    /// There will be no answer.
    pub fn give_up(&mut self) {
        self.waits = None;
    }

    /// A stage is over. What it took, if it was the one that the caller waited for: later sentences pass
    /// through the same stages while the first one plays.
    pub fn pass(&mut self, now: Instant, stage: Stage) -> Option<Duration> {
        let (_, since) = self.waits.take_if(|(current, _)| *current == stage)?;
        self.waits = stage.next().map(|next| (next, now));
        Some(now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_sentence_is_waited_for() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut stages = Stages::default();
        stages.begin(start);
        for (millis, stage, took) in [
            (20, Stage::Voice, None),
            (500, Stage::Model, Some(500)),
            (530, Stage::Voice, Some(30)),
            // The second sentence overtakes the first frame.
            (535, Stage::Model, None),
            (540, Stage::Playout, Some(10)),
            (560, Stage::Voice, None),
            (900, Stage::Playout, None),
        ] {
            let passed = stages.pass(at(millis), stage).map(|time| time.as_millis());
            assert_eq!(passed, took, "{stage:?} at {millis}");
        }
    }

    #[test]
    fn answer_that_was_given_up_is_not_measured() {
        let start = Instant::now();
        let mut stages = Stages::default();
        stages.begin(start);
        stages.give_up();
        assert_eq!(stages.pass(start, Stage::Model), None);
    }
}
