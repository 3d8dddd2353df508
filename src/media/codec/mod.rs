//! Codecs: what a payload of RTP is made of, and the interface to each.
//!
//! G.711 has no memory between packets, so a codec is a plain value here. A codec with memory will
//! keep it in [`Encoder`] and [`Decoder`], which sessions hold already: one of each a leg.

pub mod g711;

use super::Rate;

/// A codec that this build speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
}

impl Codec {
    /// All of them, in the order of preference that a configuration without one has.
    pub const ALL: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

    /// The encoding name in an rtpmap (RFC 3551 §6), which is also its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
        }
    }

    /// The codec of that name, in any case of letters.
    pub fn named(name: &str) -> Option<Self> {
        Codec::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The static payload type (RFC 3551 §6).
    pub const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }

    /// The codec of a static payload type, which needs no rtpmap.
    pub fn of_payload_type(payload_type: u8) -> Option<Self> {
        Codec::ALL.into_iter().find(|codec| codec.payload_type() == payload_type)
    }

    /// The rate of RTP timestamps in hertz. Not always the sampling rate: G.722's is 8000 too.
    pub const fn clock_hertz(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8000,
        }
    }

    /// The sampling rate of its sound.
    pub const fn rate(self) -> Rate {
        match self {
            Codec::Pcmu | Codec::Pcma => Rate::Narrow,
        }
    }

    /// Clock units in so many bytes of payload.
    pub const fn units(self, bytes: usize) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => bytes as u32,
        }
    }

    /// Clock units in so many samples.
    pub const fn units_of(self, samples: usize) -> u32 {
        (samples as u64 * self.clock_hertz() as u64 / self.rate().hertz() as u64) as u32
    }

    /// Samples in so many clock units.
    pub const fn samples_of(self, units: u32) -> usize {
        (units as u64 * self.rate().hertz() as u64 / self.clock_hertz() as u64) as usize
    }
}

/// Turns samples into payload, for one leg.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
}

impl Encoder {
    /// An encoder that has heard nothing yet.
    pub fn new(codec: Codec) -> Self {
        Encoder { codec }
    }

    /// Encodes samples at [`Codec::rate`] and returns how many bytes it wrote: as many as fit.
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        let encode: fn(i16) -> u8 = match self.codec {
            Codec::Pcmu => g711::encode_ulaw,
            Codec::Pcma => g711::encode_alaw,
        };
        for (byte, sample) in payload.iter_mut().zip(samples) {
            *byte = encode(*sample);
        }
        samples.len().min(payload.len())
    }
}

/// Turns payload into samples, for one leg.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
}

impl Decoder {
    /// A decoder that has heard nothing yet.
    pub fn new(codec: Codec) -> Self {
        Decoder { codec }
    }

    /// Decodes to samples at [`Codec::rate`] and returns how many it wrote: as many as fit.
    pub fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> usize {
        let table = match self.codec {
            Codec::Pcmu => &g711::ULAW,
            Codec::Pcma => &g711::ALAW,
        };
        for (sample, byte) in samples.iter_mut().zip(payload) {
            *sample = table[usize::from(*byte)];
        }
        payload.len().min(samples.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_payload_types_are_those_of_rfc_3551() {
        assert_eq!(Codec::named("pcmu"), Some(Codec::Pcmu));
        assert_eq!(Codec::named("G729"), None);
        assert_eq!(Codec::of_payload_type(8), Some(Codec::Pcma));
        assert_eq!(Codec::of_payload_type(18), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut payload = [0; 3];
        assert_eq!(Encoder::new(Codec::Pcmu).encode(&[1, 2, 3, 4], &mut payload), 3);
        let mut samples = [0; 2];
        assert_eq!(Decoder::new(Codec::Pcmu).decode(&payload, &mut samples), 2);
    }
}
