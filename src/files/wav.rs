//! WAV files: recordings that are played, and those that are made.

use std::io;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// The longest recording that is read: five minutes are 5 MB at 8 kHz.
pub const SECONDS_MAX: u32 = 300;

/// One voice, as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Samples a second.
    pub hertz: u32,
    /// The samples; several channels are mixed into one.
    pub samples: Vec<i16>,
}

/// Why a file cannot be played or written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// It is not there, or no WAV file.
    #[error("cannot read `{}`", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: hound::Error,
    },
    /// It is a WAV file of a kind that is not played.
    #[error("cannot play `{}`: {what}", file.display())]
    Unsuitable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It cannot be written.
    #[error("cannot write `{}`", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// Reads a recording of 16-bit samples. Takes its time: not for a task that others wait for.
pub fn read(file: &Path) -> Result<Recording, WavError> {
    let unreadable = |cause| WavError::Unreadable { file: file.to_owned(), cause };
    let unsuitable = |what| Err(WavError::Unsuitable { file: file.to_owned(), what });
    let mut reader = WavReader::open(file).map_err(unreadable)?;
    let spec = reader.spec();
    if spec.sample_format != SampleFormat::Int || spec.bits_per_sample != 16 {
        return unsuitable("only 16-bit samples are played");
    }
    if reader.duration() > spec.sample_rate.saturating_mul(SECONDS_MAX) {
        return unsuitable("it is longer than five minutes");
    }
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().map_err(unreadable)?;
    if samples.is_empty() {
        return unsuitable("it is empty");
    }
    let channels = usize::from(spec.channels.max(1));
    let samples = samples.chunks(channels).map(mean).collect();
    Ok(Recording { hertz: spec.sample_rate, samples })
}

/// Writes two voices beside each other, left and right; the shorter one is silent at its end. Takes its
/// time too.
pub fn write_stereo(file: &Path, hertz: u32, left: &[i16], right: &[i16]) -> Result<(), WavError> {
    let spec = WavSpec {
        channels: 2,
        sample_rate: hertz,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let write = || -> hound::Result<()> {
        let mut writer = WavWriter::create(file, spec)?;
        for n in 0..left.len().max(right.len()) {
            writer.write_sample(left.get(n).copied().unwrap_or(0))?;
            writer.write_sample(right.get(n).copied().unwrap_or(0))?;
        }
        writer.finalize()
    };
    write().map_err(|cause| {
        let cause = match cause {
            hound::Error::IoError(cause) => cause,
            other => io::Error::other(other),
        };
        WavError::Unwritable { file: file.to_owned(), cause }
    })
}

fn mean(channels: &[i16]) -> i16 {
    let sum: i32 = channels.iter().map(|&sample| i32::from(sample)).sum();
    // The mean of 16-bit values is one.
    (sum / channels.len() as i32) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_voices_are_written_and_read_as_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("call.wav");
        write_stereo(&file, 8000, &[100, -300, 32_767], &[200, -100]).expect("written");
        let read = read(&file).expect("read");
        assert_eq!(read, Recording { hertz: 8000, samples: vec![150, -200, 16_383] });
    }

    #[test]
    fn what_is_no_recording_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = |error: WavError| error.to_string().replace(folder.path().to_str().unwrap(), "");

        let missing = folder.path().join("missing.wav");
        assert_eq!(said(read(&missing).unwrap_err()), "cannot read `/missing.wav`");
        let text = folder.path().join("text.wav");
        std::fs::write(&text, "hello").expect("written");
        assert_eq!(said(read(&text).unwrap_err()), "cannot read `/text.wav`");
        let empty = folder.path().join("empty.wav");
        write_stereo(&empty, 8000, &[], &[]).expect("written");
        assert_eq!(said(read(&empty).unwrap_err()), "cannot play `/empty.wav`: it is empty");
        let floats = folder.path().join("floats.wav");
        let spec = WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        WavWriter::create(&floats, spec).expect("created").finalize().expect("written");
        let why = "cannot play `/floats.wav`: only 16-bit samples are played";
        assert_eq!(said(read(&floats).unwrap_err()), why);
        let nowhere = folder.path().join("nowhere/call.wav");
        let why = "cannot write `/nowhere/call.wav`";
        assert_eq!(said(write_stereo(&nowhere, 8000, &[], &[]).unwrap_err()), why);
    }
}
