//! Hold music from WAV files, brought to the rate of calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::call::invited::Music;
use crate::dialplan::Dialplan;
use crate::files::wav::{self, Recording, WavError};
use crate::media::Rate;
use crate::media::resample::{self, UnknownRate};

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum MusicError {
    /// It is not there, or nothing that is played.
    #[error("hold music")]
    Unplayable(#[from] WavError),
    /// It has a sample rate that is not converted.
    #[error("hold music: cannot play `{}`", file.display())]
    Unconvertible {
        /// The file.
        file: PathBuf,
        /// The rate.
        #[source]
        cause: UnknownRate,
    },
}

/// Loads every recording that a dialplan names.
pub fn load(dialplan: &Dialplan) -> Result<Music, MusicError> {
    let files = dialplan.transfers.values().filter_map(|transfer| transfer.music.as_ref());
    files.map(|file| Ok((file.clone(), read(file)?))).collect()
}

/// One recording, as one voice at 8 kHz.
pub fn read(file: &Path) -> Result<Arc<[i16]>, MusicError> {
    let Recording { hertz, samples } = wav::read(file)?;
    let unconvertible = |cause| MusicError::Unconvertible { file: file.into(), cause };
    Ok(resample::convert(&samples, hertz, Rate::Narrow).map_err(unconvertible)?.into())
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
        let said = format!("{:#}", anyhow::Error::new(error));
        assert!(said.starts_with("hold music: cannot read `nowhere/calm.wav`: "), "{said}");
    }
}
