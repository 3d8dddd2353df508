//! Recordings put together, and both voices of a call beside each other.

use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Telephone quality.
const HERTZ: u32 = 8000;

/// 20 ms.
const FRAME: usize = 160;

/// From this mean level on a frame is a voice: 44 dB below the loudest.
const VOICE_LEVEL: i32 = 200;

/// Frames in a second.
pub const SECOND: usize = 50;

/// So much silence.
pub fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * HERTZ as usize / 1000]
}

/// Writes a recording of these pieces.
pub fn write(file: &Path, pieces: &[Vec<i16>]) {
    let (channels, sample_rate) = (1, HERTZ);
    let spec =
        WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(file, spec).expect("a file in our own folder");
    for &sample in pieces.iter().flatten() {
        writer.write_sample(sample).expect("a sample");
    }
    writer.finalize().expect("a whole file");
}

/// When there was a voice, frame by frame.
pub struct Voices {
    /// Of the phone that recorded it.
    pub said: Vec<bool>,
    /// Of the other side, as it was heard there.
    pub heard: Vec<bool>,
}

impl Voices {
    /// Reads what `tandem call --record` has written: left what was said, right what was heard.
    pub fn read(file: &Path) -> Self {
        let mut reader = WavReader::open(file).expect("a recording");
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, HERTZ));
        let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("16 bit");
        let frames = |channel: usize| {
            let frames = samples.chunks_exact(2 * FRAME);
            frames.map(|frame| is_voice(frame.iter().skip(channel).step_by(2))).collect()
        };
        Voices { said: frames(0), heard: frames(1) }
    }

    /// The frames in which the phone began to speak, after at least so many without its voice.
    pub fn beginnings(&self, silence: usize) -> Vec<usize> {
        let mut beginnings = vec![];
        let mut last = None;
        for frame in (0..self.said.len()).filter(|&frame| self.said[frame]) {
            if last.is_none_or(|last| frame - last > silence) {
                beginnings.push(frame);
            }
            last = Some(frame);
        }
        beginnings
    }
}

fn is_voice<'a>(samples: impl Iterator<Item = &'a i16>) -> bool {
    let sum: i32 = samples.map(|&sample| i32::from(sample).abs()).sum();
    sum > VOICE_LEVEL * FRAME as i32
}
