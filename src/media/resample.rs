//! Sampling rates: 8 to 16 kHz and back on the hot path, and whatever a file has to either.
//!
//! [`Doubler`] and [`Halver`] share one half-band filter: every other tap of it is zero but the
//! middle one, so half of the samples out cost nothing. It passes 3.4 kHz, holds back 4.6 kHz and
//! more by over 60 dB, and delays by 1.75 ms.

use std::f64::consts::PI;
use std::sync::LazyLock;

use super::{FRAME_SAMPLES_MAX, Rate};

/// Taps on either side of the middle one that are not zero.
const HALF: usize = 14;
/// The attenuation of the stop band, as the shape of a Kaiser window: about 65 dB.
const KAISER_BETA: f64 = 6.2;

/// The odd taps from the middle outwards, for a gain of one at each phase: their sum is a half.
static TAPS: LazyLock<[f32; HALF]> = LazyLock::new(|| {
    let tap = |k: usize| {
        let x = (2 * k + 1) as f64;
        (PI * x / 2.0).sin() / (PI * x / 2.0) * kaiser(x / (2 * HALF) as f64)
    };
    let sum: f64 = (0..HALF).map(tap).sum();
    std::array::from_fn(|k| (tap(k) / sum / 2.0) as f32)
});

/// 8 kHz to 16 kHz.
#[derive(Debug)]
pub struct Doubler {
    past: [f32; 2 * HALF - 1],
}

impl Default for Doubler {
    fn default() -> Self {
        // Here and not in the first tick.
        LazyLock::force(&TAPS);
        Doubler { past: [0.0; 2 * HALF - 1] }
    }
}

impl Doubler {
    /// Doubles up to one frame of samples; `out` has twice as many.
    pub fn double(&mut self, samples: &[i16], out: &mut [i16]) {
        let mut line = [0.0; 2 * HALF - 1 + FRAME_SAMPLES_MAX];
        let line = fill_line(&mut line, &mut self.past, samples);
        let mut between = [0.0; FRAME_SAMPLES_MAX];
        let between = &mut between[..line.len() + 1 - 2 * HALF];
        for (k, tap) in TAPS.iter().enumerate() {
            add_pair(between, *tap, &line[HALF - 1 - k..], &line[HALF + k..]);
        }
        let samples = line[HALF - 1..].iter().zip(between);
        for (out, (sample, between)) in out.chunks_exact_mut(2).zip(samples) {
            out[0] = *sample as i16;
            out[1] = round(*between);
        }
    }
}

/// 16 kHz to 8 kHz.
#[derive(Debug)]
pub struct Halver {
    past: [f32; 4 * HALF - 1],
}

impl Halver {
    /// Halves up to one frame of samples, an even number; `out` has half as many.
    pub fn halve(&mut self, samples: &[i16], out: &mut [i16]) {
        let mut line = [0.0; 4 * HALF - 1 + FRAME_SAMPLES_MAX];
        let line = fill_line(&mut line, &mut self.past, samples);
        // Half of the samples meet only the middle tap, the others all but that, so they part here.
        let mut others = [0.0; 2 * HALF + FRAME_SAMPLES_MAX / 2];
        for (other, pair) in others.iter_mut().zip(line.chunks_exact(2)) {
            *other = pair[0];
        }
        let mut around = [0.0; FRAME_SAMPLES_MAX / 2];
        let around = &mut around[..samples.len() / 2];
        for (k, tap) in TAPS.iter().enumerate() {
            add_pair(around, *tap, &others[HALF - 1 - k..], &others[HALF + k..]);
        }
        let middle = line[2 * HALF - 1..].iter().step_by(2);
        for (out, (middle, around)) in out.iter_mut().zip(middle.zip(around)) {
            *out = round((middle + *around) / 2.0);
        }
    }
}

impl Default for Halver {
    fn default() -> Self {
        LazyLock::force(&TAPS);
        Halver { past: [0.0; 4 * HALF - 1] }
    }
}

/// Adds two lines at one tap. Sample by sample and not tap by tap, so that many are added at once.
fn add_pair(sums: &mut [f32], tap: f32, left: &[f32], right: &[f32]) {
    for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
        *sum += tap * (left + right);
    }
}

/// Puts the past and the new samples in one line, and keeps the end of it as the next past.
fn fill_line<'a>(line: &'a mut [f32], past: &mut [f32], samples: &[i16]) -> &'a [f32] {
    let len = past.len() + samples.len();
    let line = &mut line[..len];
    line[..past.len()].copy_from_slice(past);
    for (place, sample) in line[past.len()..].iter_mut().zip(samples) {
        *place = f32::from(*sample);
    }
    past.copy_from_slice(&line[len - past.len()..]);
    line
}

/// The highest rate that a file may have.
pub const FILE_HERTZ_MAX: u32 = 192_000;

/// A file has a sampling rate of zero, or beyond [`FILE_HERTZ_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sampling rate of {hertz} Hz is not supported")]
pub struct UnknownRate {
    /// What it has.
    pub hertz: u32,
}

/// Zero crossings of the kernel on either side.
const LOBES: f64 = 24.0;

/// Brings prompts, hold music and synthesised speech to the rate of a call. Takes its time: not for
/// a tick.
pub fn convert(samples: &[i16], hertz: u32, rate: Rate) -> Result<Vec<i16>, UnknownRate> {
    if hertz == 0 || hertz > FILE_HERTZ_MAX {
        return Err(UnknownRate { hertz });
    }
    if hertz == rate.hertz() {
        return Ok(samples.to_vec());
    }
    let common = gcd(hertz, rate.hertz());
    let (from, to) = ((hertz / common) as usize, (rate.hertz() / common) as usize);
    let kernels: Vec<Kernel> = (0..to).map(|phase| Kernel::new(phase, from, to)).collect();

    let count = samples.len() * to / from;
    Ok((0..count).map(|n| kernels[n * from % to].apply(samples, n * from / to)).collect())
}

/// The taps for one position of a sample out between two samples in.
struct Kernel {
    taps: Vec<f32>,
    reach: usize,
}

impl Kernel {
    fn new(phase: usize, from: usize, to: usize) -> Self {
        // What would be above half of the lower rate must go. The transition lies below it, and is
        // as wide as the window makes it.
        let cutoff = 0.95 * (to as f64 / from as f64).min(1.0);
        let reach = (LOBES / cutoff).ceil() as usize;
        let offset = phase as f64 / to as f64;
        let mut taps: Vec<f64> = (0..2 * reach)
            .map(|k| {
                let x = k as f64 - (reach as f64 - 1.0) - offset;
                sinc(cutoff * x) * kaiser(x / reach as f64)
            })
            .collect();
        let sum: f64 = taps.iter().sum();
        taps.iter_mut().for_each(|tap| *tap /= sum);
        Kernel { taps: taps.into_iter().map(|tap| tap as f32).collect(), reach }
    }

    fn apply(&self, samples: &[i16], at: usize) -> i16 {
        let begin = at as isize - (self.reach as isize - 1);
        let skip = begin.min(0).unsigned_abs();
        let samples = &samples[begin.max(0) as usize..];
        let sum: f32 =
            self.taps.iter().skip(skip).zip(samples).map(|(tap, s)| tap * f32::from(*s)).sum();
        round(sum)
    }
}

fn round(sample: f32) -> i16 {
    // The conversion clamps.
    sample.round() as i16
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The Kaiser window from -1 to 1.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel(KAISER_BETA)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let term = |(n, last): &(f64, f64)| Some((n + 1.0, last * (x / 2.0 / n).powi(2)));
    std::iter::successors(Some((1.0, 1.0)), term).take(30).map(|(_, term)| term).sum()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(hertz: f64, rate: u32, count: usize) -> Vec<i16> {
        (0..count)
            .map(|n| (10_000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16)
            .collect()
    }

    /// How loud a tone is, in decibels below what [`tone`] makes; the edges left out.
    fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in middle.iter().enumerate() {
            let phase = TAU * hertz * n as f64 / f64::from(rate);
            // A window, since the middle need not be whole periods.
            let weight = 1.0 - (TAU * n as f64 / middle.len() as f64).cos();
            re += weight * f64::from(*sample) * phase.cos();
            im += weight * f64::from(*sample) * phase.sin();
        }
        20.0 * (2.0 * re.hypot(im) / middle.len() as f64 / 10_000.0).max(1e-9).log10()
    }

    fn double(samples: &[i16]) -> Vec<i16> {
        let mut doubler = Doubler::default();
        let mut out = vec![0; samples.len() * 2];
        for (frame, out) in samples.chunks(160).zip(out.chunks_mut(320)) {
            doubler.double(frame, out);
        }
        out
    }

    fn halve(samples: &[i16]) -> Vec<i16> {
        let mut halver = Halver::default();
        let mut out = vec![0; samples.len() / 2];
        for (frame, out) in samples.chunks(320).zip(out.chunks_mut(160)) {
            halver.halve(frame, out);
        }
        out
    }

    #[test]
    fn doubled_voice_keeps_its_band_and_gains_no_mirror() {
        for hertz in [100.0, 300.0, 1000.0, 2500.0, 3400.0] {
            let wide = double(&tone(hertz, 8000, 8000));
            let (voice, mirror) =
                (level(&wide, hertz, 16_000), level(&wide, 8000.0 - hertz, 16_000));
            assert!(voice.abs() < 0.1 && mirror < -60.0, "{hertz} Hz: {voice:.2}, {mirror:.1} dB");
        }
    }

    #[test]
    fn halved_voice_keeps_its_band_and_folds_nothing_into_it() {
        for hertz in [100.0, 1000.0, 3400.0] {
            let level = level(&halve(&tone(hertz, 16_000, 16_000)), hertz, 8000);
            assert!(level.abs() < 0.1, "{hertz} Hz: {level:.2} dB");
        }
        for hertz in [4600.0, 6000.0, 7900.0] {
            let level = level(&halve(&tone(hertz, 16_000, 16_000)), 8000.0 - hertz, 8000);
            assert!(level < -60.0, "{hertz} Hz: {level:.1} dB");
        }
    }

    #[test]
    fn doubled_and_halved_is_the_same_a_little_later() {
        let voice = tone(700.0, 8000, 1600);
        let back = halve(&double(&voice));
        let error = voice.iter().zip(&back[2 * HALF..]).map(|(a, b)| a.abs_diff(*b)).skip(50).max();
        assert!(error.expect("samples") < 30, "{error:?}");
    }

    #[test]
    fn files_of_any_rate_keep_their_voice_and_length() {
        for hertz in [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
            for rate in [Rate::Narrow, Rate::Wide] {
                let count = hertz as usize / 2;
                let out = convert(&tone(1000.0, hertz, count), hertz, rate).expect("a usual rate");
                assert_eq!(out.len(), count * rate.hertz() as usize / hertz as usize);
                let level = level(&out, 1000.0, rate.hertz());
                assert!(level.abs() < 0.1, "{hertz} Hz to {rate:?}: {level:.2} dB");
            }
        }
    }

    #[test]
    fn what_a_call_cannot_carry_does_not_fold_into_it() {
        for above in [4400.0, 5000.0, 7000.0, 10_000.0] {
            let out = convert(&tone(above, 44_100, 22_050), 44_100, Rate::Narrow).expect("a rate");
            let loudest = out[400..out.len() - 400].iter().map(|s| s.unsigned_abs()).max();
            assert!(loudest.expect("samples") < 20, "{above} Hz: {loudest:?}");
        }
    }

    #[test]
    fn silly_rates_are_refused() {
        for hertz in [0, FILE_HERTZ_MAX + 1, u32::MAX] {
            assert_eq!(convert(&[0; 10], hertz, Rate::Narrow), Err(UnknownRate { hertz }));
        }
        assert_eq!(convert(&[], 44_100, Rate::Wide), Ok(vec![]));
        assert!(convert(&[7; 3], 44_100, Rate::Wide).is_ok());
    }
}
