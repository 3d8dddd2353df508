//! Brings what the agent's port hears to the rate of recognisers, once.

use crate::media::resample::Doubler;
use crate::media::{Frame, Rate};
use crate::speech::HEARING_HERTZ;

/// Samples of one frame at [`HEARING_HERTZ`].
pub const HEARD_SAMPLES: usize = HEARING_HERTZ as usize / 50;

/// Hears one stream of frames, of either rate.
#[derive(Debug, Default)]
pub struct Hearing {
    doubler: Doubler,
}

impl Hearing {
    /// Hears the next frame.
    pub fn hear(&mut self, frame: &Frame) -> [i16; HEARD_SAMPLES] {
        let mut heard = [0; HEARD_SAMPLES];
        match frame.rate() {
            Rate::Narrow => self.doubler.double(frame.samples(), &mut heard),
            Rate::Wide => heard.copy_from_slice(frame.samples()),
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowband_is_doubled_and_wideband_passes_as_it_is() {
        let mut hearing = Hearing::default();
        let narrow = Frame::from_samples(Rate::Narrow, &[1000; 160]);
        hearing.hear(&narrow);
        let steady = hearing.hear(&narrow);
        assert!(steady.iter().all(|sample| sample.abs_diff(1000) < 5), "{steady:?}");

        let samples: Vec<i16> = (0..320).collect();
        let heard = hearing.hear(&Frame::from_samples(Rate::Wide, &samples));
        assert_eq!(heard, *samples);
    }
}
