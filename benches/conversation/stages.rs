//! The parts of the time from a caller's last sound to the first of the answer, by the program's own figures.

use crate::program::metrics::Metrics;

/// The stages, as the program calls them, with what they are for people.
pub const STAGES: [(&str, &str); 5] = [
    ("silence", "silence that ends the turn"),
    ("recognition", "recognition beyond it"),
    ("model", "first clause of the model"),
    ("voice", "its sound"),
    ("playout", "to the next frame"),
];

/// Sums and counts of all stages in one moment.
#[derive(Clone, Copy)]
pub struct Reading([(f64, f64); STAGES.len()]);

impl Reading {
    pub fn of(metrics: &Metrics) -> Self {
        let of = |name: &str, stage: &str| {
            metrics.of(name, &format!("stage=\"{stage}\"")).unwrap_or_default()
        };
        Reading(STAGES.map(|(stage, _)| {
            (of("turn_stage_seconds_sum", stage), of("turn_stage_seconds_count", stage))
        }))
    }

    /// What each stage took in milliseconds in the one turn since an earlier reading; `None` if it was not
    /// exactly one.
    pub fn since(&self, earlier: &Reading) -> Option<[f64; STAGES.len()]> {
        let mut stages = self.0.iter().zip(&earlier.0);
        let is_one_turn = stages.clone().all(|((_, now), (_, before))| now - before == 1.0);
        is_one_turn.then(|| {
            std::array::from_fn(|_| {
                let ((now, _), (before, _)) = stages.next().expect("as many as there are");
                (now - before) * 1000.0
            })
        })
    }
}
