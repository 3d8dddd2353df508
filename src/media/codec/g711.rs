//! G.711: eight bits of logarithm a sample, as µ-law and as A-law (ITU-T G.711, tables 1a to 2b).
//!
//! A code is a sign, three bits that choose one of eight segments, and four that choose a step in
//! it; the steps of a segment are twice as wide as those of the one below. The decoding tables are
//! computed from that when this is compiled. Encoding finds the segment by counting leading zeros.

/// What each µ-law code sounds like.
pub static ULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_ulaw(code as u8);
        code += 1;
    }
    table
};

/// What each A-law code sounds like.
pub static ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_alaw(code as u8);
        code += 1;
    }
    table
};

/// Shifts µ-law's segments so that each begins at a power of two: 33 in the standard's 14 bits.
const ULAW_BIAS: i32 = 33 << 2;
/// The loudest that µ-law can say, in 16 bits.
const ULAW_MAX: i32 = 32635;

/// The µ-law code whose interval the sample is in.
pub fn encode_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(ULAW_MAX) + ULAW_BIAS;
    // From 132 to 32767 the highest bit is one of 7 to 14: eight segments.
    let segment = 31 - magnitude.leading_zeros() - 7;
    let step = (magnitude >> (segment + 3)) as u8 & 0x0F;
    // All bits are inverted on the wire, so that silence has many ones.
    !(sign | (segment as u8) << 4 | step)
}

/// The A-law code whose interval the sample is in.
pub fn encode_alaw(sample: i16) -> u8 {
    // A positive sample has the sign bit set; a negative one is mirrored around -1/2, not around 0.
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    // The two lowest segments have steps of the same width; the second begins at 256.
    let segment = (8 - (magnitude as u16 | 0xFF).leading_zeros() as i32).max(0) as u8;
    let step = (magnitude >> if segment < 2 { 4 } else { segment + 3 }) as u8 & 0x0F;
    // Every other bit is inverted on the wire.
    (sign | segment << 4 | step) ^ 0x55
}

const fn decode_ulaw(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0F) as i32;
    // The middle of the step.
    let magnitude = (((step << 3) + ULAW_BIAS) << segment) - ULAW_BIAS;
    (if code & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

const fn decode_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0F) as i32;
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of tables 1a and 2a of the recommendation, scaled to 16 bits.
    #[test]
    fn codes_of_the_recommendation_sound_as_it_says() {
        let ulaw = [(0x80, 32124), (0x8F, 16764), (0xEF, 132), (0xFE, 8), (0xFF, 0), (0x7F, 0)];
        for (code, sample) in ulaw {
            assert_eq!(ULAW[code], sample, "µ-law {code:#x}");
        }
        let alaw = [(0xAA, 32256), (0x2A, -32256), (0xD5, 8), (0x55, -8), (0xC5, 264)];
        for (code, sample) in alaw {
            assert_eq!(ALAW[code], sample, "A-law {code:#x}");
        }
    }

    #[test]
    fn every_code_survives_the_way_there_and_back() {
        for code in 0..=255u8 {
            // Minus zero is the one µ-law code that nobody sends.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encode_ulaw(ULAW[usize::from(code)]), expected);
            assert_eq!(encode_alaw(ALAW[usize::from(code)]), code);
        }
    }

    /// A sample is at most half a step away from what its code sounds like, but for those louder
    /// than the loudest code.
    #[test]
    fn error_is_at_most_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let code = encode_ulaw(sample);
            let step = 8 << ((!code >> 4) & 7);
            let louder = (i32::from(sample).abs() - ULAW_MAX).max(0);
            let error = (i32::from(ULAW[usize::from(code)]) - i32::from(sample)).abs();
            assert!(error <= step / 2 + louder, "µ-law of {sample} is off by {error}");

            let code = encode_alaw(sample);
            let segment = ((code ^ 0x55) >> 4) & 7;
            let step = 16 << (segment.max(1) - 1);
            let error = (i32::from(ALAW[usize::from(code)]) - i32::from(sample)).abs();
            assert!(error <= step / 2, "A-law of {sample} is off by {error}");
        }
    }
}
