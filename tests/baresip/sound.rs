//! What is said and heard: recordings of people, as files for a phone to play, and found again in what
//! another phone received.

use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use tandem::files::wav;

/// Samples a second of everything here.
const HERTZ: u32 = 8000;

/// How long a file lasts. At its end baresip hangs up, so that is later than any end of a call.
const FILE_SECS: usize = 180;

/// What is compared: half a second is some syllables, which nobody else says in the same way.
const PIECE: usize = HERTZ as usize / 2;

/// Where it is taken from: the last seconds of a call.
const TAIL: usize = 3 * HERTZ as usize;

/// The file of a recording of a real person, as `tools/recordings` makes it.
pub fn file(recording: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/recordings");
    folder.join(recording).with_extension("wav")
}

/// What is said in it.
pub fn recording(name: &str) -> Vec<i16> {
    let recording = wav::read(&file(name)).expect("a recording");
    assert_eq!(recording.hertz, HERTZ, "{name}");
    recording.samples
}

/// Writes a file in which it is said again and again.
pub fn again_and_again(folder: &Path, name: &str, voice: &[i16]) -> PathBuf {
    let file = folder.join(name).with_extension("wav");
    let (bits_per_sample, sample_format) = (16, SampleFormat::Int);
    let spec = WavSpec { channels: 1, sample_rate: HERTZ, bits_per_sample, sample_format };
    let mut writer = WavWriter::create(&file, spec).expect("a file in our own folder");
    for &sample in voice.iter().cycle().take(FILE_SECS * HERTZ as usize) {
        writer.write_sample(sample).expect("a file in our own folder");
    }
    writer.finalize().expect("a file in our own folder");
    file
}

/// How surely a voice was heard in the last seconds of a recording: 1 if it is there as it was said, and
/// much less for the voice of somebody else. Of the two loudest pieces one may have lost a packet.
pub fn likeness(voice: &[i16], heard: &Path) -> f32 {
    let voice = differences(voice);
    let heard = differences(&wav::read(heard).expect("what the phone received").samples);
    let tail = &heard[heard.len().saturating_sub(TAIL)..];
    let mut pieces: Vec<&[f32]> = tail.chunks_exact(PIECE).collect();
    pieces.sort_by(|one, other| energy(other).total_cmp(&energy(one)));
    let found = pieces.iter().take(2).map(|piece| best_correlation(piece, &voice));
    found.fold(0.0, f32::max)
}

/// The differences of neighbours: without the hum of a room, which everything said in it has in common.
fn differences(samples: &[i16]) -> Vec<f32> {
    samples.windows(2).map(|pair| f32::from(pair[1]) - f32::from(pair[0])).collect()
}

/// The normalised correlation of a piece with the place of the voice that is most like it.
fn best_correlation(piece: &[f32], voice: &[f32]) -> f32 {
    let own = energy(piece);
    let places = voice.windows(piece.len()).zip(energies(voice, piece.len()));
    // The telephone keeps loudness, so a quiet place is another one.
    let as_loud = places.filter(|(_, energy)| *energy > 0.0 && *energy >= own / 4.0);
    let likeness = as_loud.map(|(place, energy)| dot(piece, place) / (own * energy).sqrt());
    // Nothing is like silence: a fold skips what is no number.
    likeness.fold(0.0, f32::max)
}

/// The energy of each window.
fn energies(samples: &[f32], length: usize) -> impl Iterator<Item = f32> {
    let mut sum = f64::from(energy(&samples[..length]));
    let next = samples[length..].iter().map(Some).chain([None]);
    next.zip(samples).map(move |(comes, goes)| {
        let energy = sum as f32;
        sum += comes.map_or(0.0, |comes| f64::from(comes * comes)) - f64::from(goes * goes);
        energy
    })
}

fn energy(samples: &[f32]) -> f32 {
    dot(samples, samples)
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
