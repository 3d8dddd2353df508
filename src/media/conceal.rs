//! Hides what never came: repeats the last pitch period of the voice, ever softer.
//!
//! The method is that of G.711 Appendix I, without the delay that it adds: the last pitch period of
//! what was heard is found by correlation, and repeated; after 10 ms by the last two periods in
//! turn, after 20 ms by the last three, so that it does not buzz. It begins to fade after 10 ms and
//! is silent after 60. When the voice is back, the two are blended over a few milliseconds.
//!
//! ```text
//!  heard              | concealed                                | heard again
//!  ~~~~~~~~~~~~~~~~~~~|1 period, repeated |2 ...  |3 ...         |><~~~~~~~~~~~
//!  loudness  1 -------|----10 ms----.___                         | blend
//!                     |                 '''---...___ 60 ms       |
//! ```

use std::ops::RangeInclusive;

use super::Rate;

/// The pitch periods of human voices: 66 to 200 Hz; higher ones are found at a multiple of their
/// period.
const PITCH_MS_MIN: usize = 5;
const PITCH_MS_MAX: usize = 15;
/// How much of the past is compared to find the period.
const WINDOW_MS: usize = 20;
/// So many periods are repeated at most.
const PERIODS_MAX: usize = 3;

/// The concealed voice is as loud as the heard one for so long.
const FULL_MS: usize = 10;
/// It is silent after so long.
const SILENT_MS: usize = 60;
/// The voice that is back is blended in over so long, and longer after a longer loss.
const BLEND_MS: usize = 4;
const BLEND_MS_MAX: usize = 10;

/// Samples that are remembered: three of the longest periods, and what leads into them.
const HISTORY_MS: usize = PERIODS_MAX * PITCH_MS_MAX + BLEND_MS;
const HISTORY_MAX: usize = HISTORY_MS * Rate::Wide.hertz() as usize / 1000;

/// Conceals the losses of one stream. Whatever its listener hears passes through it.
#[derive(Debug)]
pub struct Concealer {
    rate: Rate,
    /// The last samples that left, the newest last. At 8 kHz the second half is unused.
    history: [i16; HISTORY_MAX],
    loss: Option<Loss>,
}

/// A loss that goes on.
#[derive(Debug)]
struct Loss {
    /// The history as it was when the loss began, and how much of it there is.
    past: [i16; HISTORY_MAX],
    past_len: usize,
    /// The pitch period of it, in samples.
    period: usize,
    /// How many periods are repeated, and where in them we are.
    periods: usize,
    position: usize,
    /// How many samples have been concealed; at how many it begins to fade, and is silent.
    age: usize,
    full: usize,
    silent: usize,
}

impl Concealer {
    /// A concealer for samples at `rate`.
    pub fn new(rate: Rate) -> Self {
        Concealer { rate, history: [0; HISTORY_MAX], loss: None }
    }

    /// Samples that came. After a loss their beginning is blended with what was concealed.
    pub fn hear(&mut self, samples: &mut [i16]) {
        if let Some(mut loss) = self.loss.take() {
            let age_ms = loss.age / self.samples(1);
            let blend_ms = (BLEND_MS + age_ms * BLEND_MS / FULL_MS).min(BLEND_MS_MAX);
            let blend = self.samples(blend_ms).min(samples.len()) as i32;
            for (sample, heard) in samples.iter_mut().zip(0..blend) {
                let concealed = i32::from(loss.next());
                let mixed = concealed * (blend - heard) + i32::from(*sample) * heard;
                *sample = (mixed / blend) as i16;
            }
        }
        self.remember(samples);
    }

    /// Samples that never came: fills them.
    pub fn conceal(&mut self, samples: &mut [i16]) {
        self.break_off();
        if let Some(loss) = &mut self.loss {
            samples.fill_with(|| loss.next());
        }
        self.remember(samples);
    }

    /// Samples in which nothing was said: fills them with silence, into which the last sound fades.
    pub fn rest(&mut self, samples: &mut [i16]) {
        let ramp = self.rate.ramp_samples() as i32;
        let last = self.past().last().copied().map_or(0, i32::from);
        samples.fill(0);
        for (sample, left) in samples.iter_mut().zip((0..ramp).rev()) {
            *sample = (last * left / ramp) as i16;
        }
        self.loss = None;
        self.remember(samples);
    }

    /// What is heard next does not follow what was heard last: blend it.
    pub fn break_off(&mut self) {
        if self.loss.is_none() {
            self.loss = Some(Loss {
                past: self.history,
                past_len: self.past().len(),
                period: period(self.past(), self.rate),
                periods: 1,
                position: 0,
                age: 0,
                full: self.samples(FULL_MS),
                silent: self.samples(SILENT_MS),
            });
        }
    }

    fn remember(&mut self, samples: &[i16]) {
        let len = self.past().len();
        let new = &samples[samples.len().saturating_sub(len)..];
        self.history.copy_within(new.len()..len, 0);
        self.history[len - new.len()..len].copy_from_slice(new);
    }

    fn past(&self) -> &[i16] {
        &self.history[..self.samples(HISTORY_MS)]
    }

    fn samples(&self, ms: usize) -> usize {
        samples(self.rate, ms)
    }
}

impl Loss {
    /// The next sample of the voice as it might have gone on.
    fn next(&mut self) -> i16 {
        let past = &self.past[..self.past_len];
        let length = self.periods * self.period;
        let start = past.len() - length;
        let mut sample = i32::from(past[start + self.position]);

        // Towards its end the repeated stretch becomes what led into its beginning, so that it
        // joins itself.
        let overlap = self.period / 4;
        let from_end = length - self.position;
        if from_end <= overlap {
            let lead_in = i32::from(past[start - from_end]);
            let weight = (overlap - from_end) as i32;
            sample += (lead_in - sample) * weight / overlap as i32;
        }
        // What was heard last cannot be changed any more, so where the first stretch does not quite
        // fit to it, the difference is faded.
        if self.age < overlap {
            let (last, before) = (past[past.len() - 1], past[past.len() - self.period - 1]);
            let seam = i32::from(last) - i32::from(before);
            sample += seam * (overlap - self.age) as i32 / overlap as i32;
        }
        if self.age > self.full {
            let loudness = self.silent.saturating_sub(self.age) as i32;
            sample = sample * loudness / (self.silent - self.full) as i32;
        }
        self.step();
        sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }

    fn step(&mut self) {
        self.age += 1;
        self.position += 1;
        if self.position == self.periods * self.period {
            self.position = 0;
            self.periods = (1 + self.age / self.full).min(PERIODS_MAX);
        }
    }
}

/// The pitch period of the newest samples: the lag at which they are most like themselves. First
/// among every other lag with every other sample, then around the best.
fn period(past: &[i16], rate: Rate) -> usize {
    let (shortest, longest) = (samples(rate, PITCH_MS_MIN), samples(rate, PITCH_MS_MAX));
    let window = samples(rate, WINDOW_MS);
    let mut line = [0; SEARCHED_MAX];
    let line = &mut line[..window + longest];
    scale(&past[past.len() - line.len()..], line);
    let mut thinned = [0; SEARCHED_MAX / 2];
    let thinned = &mut thinned[..line.len() / 2];
    for (thin, pair) in thinned.iter_mut().zip(line.chunks_exact(2)) {
        *thin = pair[1];
    }

    // What is like nothing is noise, and a long stretch of it buzzes least.
    let coarse =
        most_alike(thinned, window / 2, shortest / 2..=longest / 2).map_or(longest, |lag| 2 * lag);
    let around = (coarse - 1).max(shortest)..=(coarse + 1).min(longest);
    most_alike(line, window, around).unwrap_or(longest)
}

/// The window and the longest lag.
const SEARCHED_MAX: usize = (WINDOW_MS + PITCH_MS_MAX) * Rate::Wide.hertz() as usize / 1000;

/// Brings samples to at most eleven bits, so that the sums of [`likeness`] fit in 32 bits, where a
/// processor adds many at once.
fn scale(samples: &[i16], scaled: &mut [i16]) {
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    let shift = 5u32.saturating_sub(peak.leading_zeros());
    for (scaled, sample) in scaled.iter_mut().zip(samples) {
        *scaled = sample >> shift;
    }
}

fn most_alike(line: &[i16], window: usize, lags: RangeInclusive<usize>) -> Option<usize> {
    let (mut best, mut likeness_of_best) = (None, 0.0);
    for lag in lags {
        let likeness = likeness(line, window, lag);
        if likeness > likeness_of_best {
            (best, likeness_of_best) = (Some(lag), likeness);
        }
    }
    best
}

/// How much the newest samples are like those `lag` before: their correlation, squared, over the
/// energy.
fn likeness(line: &[i16], window: usize, lag: usize) -> f32 {
    let newest = &line[line.len() - window..];
    let before = &line[line.len() - window - lag..line.len() - lag];
    let (mut correlation, mut energy) = (0i32, 1i32);
    for (a, b) in newest.iter().zip(before) {
        correlation += i32::from(*a) * i32::from(*b);
        energy += i32::from(*b) * i32::from(*b);
    }
    let correlation = correlation.max(0) as f32;
    correlation * correlation / energy as f32
}

const fn samples(rate: Rate, ms: usize) -> usize {
    rate.hertz() as usize * ms / 1000
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Something like a vowel: a pitch of `hertz` with its first harmonics.
    fn vowel(hertz: f64, rate: Rate, count: usize) -> Vec<i16> {
        let at =
            |i: usize, k: f64| (TAU * hertz * k * i as f64 / f64::from(rate.hertz())).sin() / k;
        (0..count).map(|i| (5000.0 * (at(i, 1.0) + at(i, 2.0) + at(i, 3.0))) as i16).collect()
    }

    fn rms(samples: &[i16]) -> f64 {
        let sum: f64 = samples.iter().map(|&s| f64::from(s).powi(2)).sum();
        (sum / samples.len() as f64).sqrt()
    }

    /// Ten frames of a voice; those in `lost` never come. What was said, and what is heard.
    fn play(rate: Rate, hertz: f64, lost: std::ops::Range<usize>) -> (Vec<i16>, Vec<i16>) {
        let size = rate.frame_samples();
        let said = vowel(hertz, rate, 10 * size);
        let mut heard = said.clone();
        let mut concealer = Concealer::new(rate);
        for (n, frame) in heard.chunks_mut(size).enumerate() {
            if lost.contains(&n) { concealer.conceal(frame) } else { concealer.hear(frame) }
        }
        (said, heard)
    }

    /// One lost frame of a steady vowel is hardly different from the one that was said.
    #[test]
    fn lost_frame_of_a_vowel_is_restored() {
        for rate in [Rate::Narrow, Rate::Wide] {
            for hertz in [80.0, 125.0, 160.0, 190.0, 250.0] {
                let (said, heard) = play(rate, hertz, 4..5);
                let size = rate.frame_samples();
                let error: Vec<i16> = said.iter().zip(&heard).map(|(a, b)| a - b).collect();
                // While it is at its full loudness.
                let error = rms(&error[4 * size..4 * size + size / 2]) / rms(&said);
                assert!(error < 0.2, "{hertz} Hz at {rate:?}: {error:.3}");
            }
        }
    }

    /// The steepest step is not much steeper than the voice's own: no click where a loss begins or
    /// ends.
    #[test]
    fn loss_never_clicks() {
        let steepest =
            |s: &[i16]| s.windows(2).map(|w| w[0].abs_diff(w[1])).max().expect("samples");
        for lost in [4..5, 4..6, 3..8] {
            for hertz in [90.0, 137.0, 210.0] {
                let (said, heard) = play(Rate::Narrow, hertz, lost.clone());
                let (natural, worst) = (steepest(&said), steepest(&heard));
                assert!(worst <= natural + natural / 2, "{hertz} Hz: {worst} over {natural}");
            }
        }
    }

    #[test]
    fn long_loss_fades_to_silence() {
        let (said, heard) = play(Rate::Narrow, 120.0, 3..10);
        let loudness = |ms: usize| rms(&heard[(60 + ms) * 8..(60 + ms + 10) * 8]) / rms(&said);
        assert!(loudness(0) > 0.8, "{}", loudness(0));
        assert!((0.4..0.8).contains(&loudness(25)), "{}", loudness(25));
        assert!(loudness(50) < 0.2, "{}", loudness(50));
        assert!(heard[(60 + 60) * 8..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn what_is_back_is_untouched_after_the_blend() {
        let (said, heard) = play(Rate::Narrow, 120.0, 4..5);
        let back = 5 * 160;
        assert_eq!(said[back + 80..], heard[back + 80..]);
        assert_eq!(said[..4 * 160], heard[..4 * 160]);
    }

    #[test]
    fn silence_stays_silent() {
        let mut concealer = Concealer::new(Rate::Narrow);
        let mut frame = [9; 160];
        concealer.conceal(&mut frame);
        assert_eq!(frame, [0; 160]);
    }

    /// Full scale at any period stays in range, sample by sample in pieces of any size.
    #[test]
    fn loud_noise_never_overflows() {
        let mut concealer = Concealer::new(Rate::Wide);
        let mut random = 1u32;
        let mut noise = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if random >> 31 == 0 { i16::MIN } else { i16::MAX }
        };
        for size in [1, 7, 160, 320, 1000] {
            let mut samples: Vec<i16> = (0..size).map(|_| noise()).collect();
            concealer.hear(&mut samples);
            concealer.conceal(&mut samples);
            concealer.rest(&mut samples);
        }
    }
}
