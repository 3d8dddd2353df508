//! Voice or not: one answer for every 20 ms of one call.

use earshot::Detector;

/// What the detector takes at once: 16 ms at 16 kHz.
const WINDOW: usize = 256;
/// A voice begins above this probability …
const VOICE_ABOVE: f32 = 0.5;
/// … and ends below this one, so that it does not flutter in between.
const SILENCE_BELOW: f32 = 0.35;
/// Root mean square above which a sound counts as voice without a detector: −42 dBFS.
const LOUD: f64 = 260.0;

/// What decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActivityKind {
    /// A small neural network (`earshot`), 10 µs a frame.
    #[default]
    Earshot,
    /// Loudness, for scripted sounds, which are tones and no voices.
    Energy,
}

impl ActivityKind {
    /// Finds it by its name in the configuration.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "earshot" => Some(ActivityKind::Earshot),
            "energy" => Some(ActivityKind::Energy),
            _ => None,
        }
    }
}

/// Hears one voice and says when it is there.
pub struct Activity {
    judge: Judge,
    voiced: bool,
}

enum Judge {
    Earshot(Box<Windowed>),
    Energy,
}

impl Activity {
    /// Has heard nothing yet.
    pub fn new(kind: ActivityKind) -> Self {
        let judge = match kind {
            ActivityKind::Earshot => Judge::Earshot(Box::default()),
            ActivityKind::Energy => Judge::Energy,
        };
        Activity { judge, voiced: false }
    }

    /// Hears the next samples at 16 kHz, and says whether there is a voice in them.
    pub fn hear(&mut self, samples: &[i16]) -> bool {
        self.voiced = match &mut self.judge {
            Judge::Energy => is_loud(samples),
            Judge::Earshot(windowed) => {
                let threshold = if self.voiced { SILENCE_BELOW } else { VOICE_ABOVE };
                windowed.probability(samples) >= threshold
            }
        };
        self.voiced
    }

    /// Forgets what was heard: what comes next has nothing to do with it.
    pub fn forget(&mut self) {
        self.voiced = false;
        if let Judge::Earshot(windowed) = &mut self.judge {
            windowed.detector.reset();
            windowed.filled = 0;
        }
    }
}

/// The detector behind a buffer: frames have 320 samples, its windows 256.
struct Windowed {
    detector: Detector,
    window: [i16; WINDOW],
    filled: usize,
}

impl Default for Windowed {
    fn default() -> Self {
        Windowed { detector: Detector::default(), window: [0; WINDOW], filled: 0 }
    }
}

impl Windowed {
    /// The highest probability of the windows that these samples complete.
    fn probability(&mut self, mut samples: &[i16]) -> f32 {
        let mut highest: f32 = 0.0;
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(WINDOW - self.filled));
            self.window[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            samples = later;
            if self.filled == WINDOW {
                self.filled = 0;
                highest = highest.max(self.detector.predict_i16(&self.window));
            }
        }
        highest
    }
}

fn is_loud(samples: &[i16]) -> bool {
    let power: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (power / samples.len().max(1) as f64).sqrt() >= LOUD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_a_hum_are_no_voice() {
        let mut activity = Activity::new(ActivityKind::Earshot);
        let hum: Vec<i16> =
            (0..16_000).map(|n| ((n as f32 * 0.0196).sin() * 4000.0) as i16).collect();
        for frame in [0; 16_000].chunks(320).chain(hum.chunks(320)) {
            assert!(!activity.hear(frame));
        }
    }

    #[test]
    fn loudness_decides_for_scripted_sounds() {
        let mut activity = Activity::new(ActivityKind::Energy);
        assert!(!activity.hear(&[100; 320]));
        assert!(activity.hear(&[1000; 320]));
        assert!(!activity.hear(&[0; 320]));
        assert!(!activity.hear(&[]));
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        assert_eq!(ActivityKind::named("earshot"), Some(ActivityKind::Earshot));
        assert_eq!(ActivityKind::named("energy"), Some(ActivityKind::Energy));
        assert_eq!(ActivityKind::named("silero"), None);
    }
}
