//! What a waiting caller hears when nobody has named a recording: a slow tune of soft bells, computed.

use std::f32::consts::TAU;

/// Samples a second of the tune.
const HERTZ: usize = 8000;

/// Each note is half a second after the one before it.
const NOTE_SAMPLES: usize = HERTZ / 2;

/// How long a bell sounds.
const BELL_SAMPLES: usize = HERTZ * 2;

/// About -26 dBFS for one bell: three sound together, well below a voice.
const LOUDNESS: f32 = 1600.0;

/// The tune, in hertz; 0 is a rest. It repeats without a seam, because bells ring across its end.
const NOTES: [f32; 16] = [
    392.0, 493.9, 587.3, 493.9, 440.0, 523.3, 659.3, 0.0, //
    349.2, 440.0, 523.3, 440.0, 392.0, 493.9, 587.3, 0.0,
];

/// Eight seconds at 8 kHz, to be played in a loop.
pub fn tune() -> Vec<i16> {
    let length = NOTES.len() * NOTE_SAMPLES;
    let mut mixed = vec![0.0_f32; length];
    for (number, &hertz) in NOTES.iter().enumerate().filter(|(_, hertz)| **hertz > 0.0) {
        for n in 0..BELL_SAMPLES {
            mixed[(number * NOTE_SAMPLES + n) % length] += bell(hertz, n);
        }
    }
    mixed.into_iter().map(|sample| (sample * LOUDNESS) as i16).collect()
}

/// One sample of a bell: two partials, a soft beginning and a long end.
fn bell(hertz: f32, n: usize) -> f32 {
    let time = n as f32 / HERTZ as f32;
    let begin = (time / 0.02).min(1.0);
    let end = (-2.2 * time).exp() * (1.0 - n as f32 / BELL_SAMPLES as f32);
    let partials = (TAU * hertz * time).sin() + 0.3 * (TAU * 2.0 * hertz * time).sin();
    begin * end * partials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tune_is_heard_all_the_time_and_never_clips() {
        let tune = tune();
        assert_eq!(tune.len(), 8 * HERTZ);
        assert!(tune.iter().all(|sample| sample.unsigned_abs() < 12_000));
        for second in tune.chunks(HERTZ) {
            let energy: f64 = second.iter().map(|&sample| f64::from(sample).powi(2)).sum();
            assert!((energy / HERTZ as f64).sqrt() > 150.0, "a silent second");
        }
    }

    #[test]
    fn tune_repeats_without_a_click() {
        let tune = tune();
        let seam = (i32::from(tune[0]) - i32::from(tune[tune.len() - 1])).abs();
        assert!(seam < 800, "{seam}");
    }
}
