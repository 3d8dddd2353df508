//! What callers say: recordings of real people, where the voice in them begins and ends, and sounds that
//! are no voice at all.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Samples a second of everything here.
pub const HERTZ: usize = 8000;

/// What is judged at once: 10 ms.
const WINDOW: usize = HERTZ / 100;

/// A window is voice down to this part of the loud ones, 26 dB: breath, the noise of the room and what
/// rings out are below.
const VOICE_PART: f64 = 0.05;

/// What of a recording is kept around its voice.
const LEAD: usize = HERTZ / 20;
const TAIL: usize = HERTZ / 5;

/// Something said, and by whom it was recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    pub name: String,
    /// `ordinary`, `trap`, `read` or `person`: see tools/recordings.tsv.
    pub kind: String,
    pub words: String,
    pub samples: Vec<i16>,
    /// From the first sample of the voice to behind its last one.
    pub voice: Range<usize>,
}

impl Recording {
    /// All of target/recordings.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let index = folder.join("index.tsv");
        let lines = std::fs::read_to_string(&index)
            .with_context(|| format!("no {}: `tools/recordings` makes it", index.display()))?;
        let recordings = lines.lines().map(|line| {
            let mut columns = line.split('\t').map(str::to_owned);
            let [name, kind, words] = [(); 3].map(|()| columns.next().unwrap_or_default());
            let samples = wav(&folder.join(format!("{name}.wav")))?;
            Recording::of(name, kind, words, &samples)
        });
        recordings.collect()
    }

    fn of(name: String, kind: String, words: String, samples: &[i16]) -> Result<Self> {
        let windows = voiced_windows(samples);
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
            anyhow::bail!("there is no voice in {name}");
        };
        let (first, end) = (first * WINDOW, (last + 1) * WINDOW);
        let begin = first.saturating_sub(LEAD);
        let samples = samples[begin..samples.len().min(end + TAIL)].to_vec();
        let voice = first - begin..end - begin;
        Ok(Recording { name, kind, words, samples, voice })
    }

    /// Both in one breath, with so much silence between the two voices.
    pub fn then(&self, other: &Recording, pause: Duration) -> Result<Recording> {
        let mut samples = self.samples[..self.voice.end].to_vec();
        samples.resize(samples.len() + pause.as_millis() as usize * HERTZ / 1000, 0);
        samples.extend_from_slice(&other.samples[other.voice.start..]);
        let name = format!("{} {} ms {}", self.name, pause.as_millis(), other.name);
        Recording::of(name, "pause".into(), format!("{} {}", self.words, other.words), &samples)
    }
}

/// The samples of a WAV file at 8 kHz.
pub fn wav(file: &Path) -> Result<Vec<i16>> {
    let mut reader =
        hound::WavReader::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(reader.spec().sample_rate as usize == HERTZ, "{} is not at 8 kHz", file.display());
    Ok(reader.samples().collect::<Result<_, _>>()?)
}

/// The noise of a line, from a seed, up to so many steps from zero.
pub fn noise(level: i16, time: Duration) -> Vec<i16> {
    let mut seed = 1_u32;
    let sample = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (i32::from((seed >> 16) as i16) * i32::from(level) / 32_768) as i16
    };
    std::iter::repeat_with(sample).take(time.as_millis() as usize * HERTZ / 1000).collect()
}

fn voiced_windows(samples: &[i16]) -> Vec<usize> {
    let levels: Vec<f64> = samples.chunks(WINDOW).map(level).collect();
    let mut sorted = levels.clone();
    sorted.sort_by(f64::total_cmp);
    let loud = crate::report::quantile(&sorted, 0.95);
    (0..levels.len()).filter(|&n| levels[n] > VOICE_PART * loud).collect()
}

/// Root mean square.
fn level(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (power / samples.len() as f64).sqrt()
}
