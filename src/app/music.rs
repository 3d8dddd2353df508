//! Hold music from WAV files, brought to the rate of calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::call::invited::Music;
use crate::dialplan::Dialplan;
use crate::media::{Rate, resample};

/// The longest recording that is kept in memory: five minutes are 5 MB.
const LENGTH_MAX_SECS: u32 = 300;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum MusicError {
    /// It is not there, or no WAV file.
    #[error("hold music {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: hound::Error,
    },
    /// It is a WAV file of a kind that we do not play.
    #[error("hold music {}: {what}", file.display())]
    Unsuitable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Loads every recording that a dialplan names.
pub fn load(dialplan: &Dialplan) -> Result<Music, MusicError> {
    let files = dialplan.transfers.values().filter_map(|transfer| transfer.music.as_ref());
    files.map(|file| Ok((file.clone(), read(file)?))).collect()
}

/// One recording, as one voice at 8 kHz.
pub fn read(file: &Path) -> Result<Arc<[i16]>, MusicError> {
    let unreadable = |cause| MusicError::Unreadable { file: file.to_owned(), cause };
    let unsuitable = |what| MusicError::Unsuitable { file: file.to_owned(), what };
    let mut reader = hound::WavReader::open(file).map_err(unreadable)?;
    let spec = reader.spec();
    if spec.sample_format != hound::SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(unsuitable("only 16-bit samples are played"));
    }
    if reader.duration() > spec.sample_rate.saturating_mul(LENGTH_MAX_SECS) {
        return Err(unsuitable("longer than five minutes"));
    }
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().map_err(unreadable)?;
    if samples.is_empty() {
        return Err(unsuitable("it is empty"));
    }
    let channels = usize::from(spec.channels.max(1));
    let mixed: Vec<i16> = samples.chunks(channels).map(mean).collect();
    let samples = resample::convert(&mixed, spec.sample_rate, Rate::Narrow);
    Ok(samples.map_err(|_| unsuitable("an unusual sample rate"))?.into())
}

fn mean(channels: &[i16]) -> i16 {
    let sum: i32 = channels.iter().map(|&sample| i32::from(sample)).sum();
    (sum / channels.len() as i32) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_at_another_rate_becomes_one_voice_at_eight_kilohertz() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("calm.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&file, spec).expect("a file");
        for _ in 0..16_000 {
            writer.write_sample(2000_i16).expect("room");
            writer.write_sample(4000_i16).expect("room");
        }
        writer.finalize().expect("room");

        let samples = read(&file).expect("music");
        assert!((7990..=8010).contains(&samples.len()), "{}", samples.len());
        assert!((2900..3100).contains(&samples[4000]), "{}", samples[4000]);
    }

    #[test]
    fn what_is_no_recording_is_named() {
        let error = read(Path::new("nowhere/calm.wav")).expect_err("nothing is there");
        assert_eq!(error.to_string(), "hold music nowhere/calm.wav");
    }
}
