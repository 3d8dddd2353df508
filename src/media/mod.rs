//! Media: everything between an RTP datagram and a frame of sound, as pure machines.
//!
//! [`Session`](session::Session) is one leg's RTP; [`Bridge`](bridge::Bridge) joins the ports of a
//! call; [`Wiring`] says who hears whom; [`Negotiation`](offer::Negotiation) is how a leg came to
//! its codec. Nothing here knows a socket or a clock.
//!
//! ```text
//!   sdp, offer        what the two sides of a leg agree on
//!   rtp               packets
//!   latch             where they come from        \
//!   reception         how many came                |
//!   jitter            when they are due            |  session: one leg
//!   codec, resample   what they sound like         |
//!   conceal           what never came              |
//!   dtmf              keys                        /
//!   mouth             what the agent says         \
//!   wiring            who hears whom               |  bridge: one call
//! ```

pub mod bridge;
pub mod codec;
pub mod conceal;
pub mod dtmf;
pub mod hold;
pub mod jitter;
pub mod latch;
pub mod mouth;
pub mod offer;
pub mod reception;
pub mod resample;
pub mod rtp;
pub mod sdp;
pub mod session;
pub mod wiring;

pub use wiring::{Party, Source, Wiring};

use std::time::Duration;

/// The beat of everything that sounds: one frame from each port, one to each.
pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// The most samples a frame has: 20 ms at 16 kHz.
pub const FRAME_SAMPLES_MAX: usize = 320;

/// How many samples a second the inside of a call has. Sessions resample at their edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// 8 kHz: every leg is G.711.
    Narrow,
    /// 16 kHz: at least one leg is wideband.
    Wide,
}

impl Rate {
    /// Samples a second.
    pub const fn hertz(self) -> u32 {
        match self {
            Rate::Narrow => 8000,
            Rate::Wide => 16000,
        }
    }

    /// Samples in one frame: 160 or 320.
    pub const fn frame_samples(self) -> usize {
        self.hertz() as usize / 50
    }

    /// Samples over which a gain changes, so that no change is heard as a click: 5 ms.
    pub const fn ramp_samples(self) -> usize {
        self.hertz() as usize / 200
    }
}

/// 20 ms of one voice, linear 16-bit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    rate: Rate,
    samples: [i16; FRAME_SAMPLES_MAX],
}

impl Frame {
    /// Nothing to hear.
    pub const fn silence(rate: Rate) -> Self {
        Frame { rate, samples: [0; FRAME_SAMPLES_MAX] }
    }

    /// Copies up to one frame of samples; what is missing is silence.
    pub fn from_samples(rate: Rate, samples: &[i16]) -> Self {
        let mut frame = Frame::silence(rate);
        let count = samples.len().min(rate.frame_samples());
        frame.samples[..count].copy_from_slice(&samples[..count]);
        frame
    }

    /// The rate the samples are at.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The samples: [`Rate::frame_samples`] of them.
    pub fn samples(&self) -> &[i16] {
        &self.samples[..self.rate.frame_samples()]
    }

    /// The samples, to change.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.rate.frame_samples()]
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({:?})", self.rate)
    }
}
