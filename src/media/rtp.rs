//! RTP packets: the fixed header of RFC 3550 §5.1, and our own outgoing stream.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           timestamp                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           synchronization source (SSRC) identifier            |
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |      contributing sources: CC of them; extension if X         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

/// Bytes of a header without contributing sources and extension: those that we send.
pub const HEADER_BYTES: usize = 12;

/// Comfort noise (RFC 3389): the peer pauses, and says so.
pub const COMFORT_NOISE: u8 = 13;

/// A received packet, or a view of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The first packet after a pause, or of an event.
    pub marker: bool,
    /// What the payload is: 0 to 127.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// Counts units of the codec's clock.
    pub timestamp: u32,
    /// Whose stream this is.
    pub ssrc: u32,
    /// The sound.
    pub payload: &'a [u8],
}

/// What came on an RTP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// RTP.
    Rtp(Packet<'a>),
    /// RTCP that shares the port (RFC 5761 §4): a sender of it is alive, but it is no sound.
    Rtcp,
    /// Neither: STUN, DTLS, noise, an attack.
    Foreign,
}

impl<'a> Datagram<'a> {
    /// Looks at the bytes. Whatever does not hold together is `Foreign`.
    pub fn parse(bytes: &'a [u8]) -> Self {
        // RFC 5761 §4: RTCP packet types 192 to 223 are where RTP would have payload types 64 to
        // 95.
        if let [first, 192..=223, ..] = bytes
            && first >> 6 == 2
        {
            return Datagram::Rtcp;
        }
        Packet::parse(bytes).map_or(Datagram::Foreign, Datagram::Rtp)
    }
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if header[0] >> 6 != 2 {
            return None;
        }
        let has_padding = header[0] & 0x20 != 0;
        let has_extension = header[0] & 0x10 != 0;
        let sources = usize::from(header[0] & 0x0F);

        let mut payload = rest.get(4 * sources..)?;
        if has_extension {
            let ([_, _, high, low], rest) = payload.split_first_chunk::<4>()?;
            payload = rest.get(4 * usize::from(u16::from_be_bytes([*high, *low]))..)?;
        }
        if has_padding {
            // The last byte counts the padding, itself included, so zero is a lie.
            let padding = usize::from(*payload.last()?);
            payload = payload.get(..payload.len().checked_sub(padding)?)?;
            if padding == 0 {
                return None;
            }
        }

        Some(Packet {
            marker: header[1] & 0x80 != 0,
            payload_type: header[1] & 0x7F,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    }
}

/// Our stream: synchronisation source, sequence numbers and timestamps are ours for the life of a
/// leg, across every rewiring, re-INVITE and change of codec, so that no phone resets its jitter
/// buffer.
#[derive(Debug)]
pub struct Stream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    mark_next: bool,
}

impl Stream {
    /// A stream that starts at these, which should be random (RFC 3550 §5.1).
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Stream { ssrc, sequence, timestamp, mark_next: true }
    }

    /// The timestamp of the sample that comes next.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Time passes, whether a packet is sent or not.
    pub fn advance(&mut self, units: u32) {
        self.timestamp = self.timestamp.wrapping_add(units);
    }

    /// The next packet of sound will be marked: it is the first after a pause or a switch (RFC 3551
    /// §4.1).
    pub fn mark(&mut self) {
        self.mark_next = true;
    }

    /// The header of a packet of sound whose first sample has this timestamp.
    pub fn sound(&mut self, payload_type: u8, timestamp: u32) -> [u8; HEADER_BYTES] {
        let marker = std::mem::take(&mut self.mark_next);
        self.header(marker, payload_type, timestamp)
    }

    /// The header of a packet of an event that began at this timestamp (RFC 4733 §2.5.1.2).
    pub fn event(&mut self, marker: bool, payload_type: u8, began: u32) -> [u8; HEADER_BYTES] {
        self.header(marker, payload_type, began)
    }

    fn header(&mut self, marker: bool, payload_type: u8, timestamp: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[0] = 2 << 6;
        header[1] = u8::from(marker) << 7 | payload_type & 0x7F;
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        header
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Version 2, PCMU, sequence 0x0102, timestamp 0x03040506, source 0x0708090A.
    const PLAIN: [u8; 12] = [0x80, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    /// The header with its first byte replaced and bytes added behind it.
    fn with(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = PLAIN.to_vec();
        bytes[0] = first;
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn payload_is_what_is_left_of_sources_extension_and_padding() {
        const SOUND: Option<&[u8]> = Some(&[42]);
        let cases = [
            ("plain", with(0x80, &[42]), SOUND),
            ("empty", with(0x80, &[]), Some(&[])),
            ("one source", with(0x81, &[0, 0, 0, 9, 42]), SOUND),
            ("sources missing", with(0x8F, &[0, 0, 0, 9, 42]), None),
            ("extension of one word", with(0x90, &[0, 0, 0, 1, 9, 9, 9, 9, 42]), SOUND),
            ("extension longer than the packet", with(0x90, &[0, 0, 0xFF, 0xFF, 42]), None),
            ("padding of two", with(0xA0, &[42, 0, 2]), SOUND),
            ("padding of zero", with(0xA0, &[42, 0]), None),
            ("more padding than packet", with(0xA0, &[42, 9]), None),
            ("version 1", with(0x40, &[42]), None),
        ];
        for (name, bytes, expected) in cases {
            let payload = Packet::parse(&bytes).map(|packet| packet.payload);
            assert_eq!(payload, expected, "{name}");
        }
        assert_eq!(Packet::parse(&PLAIN[..11]), None);
    }

    #[test]
    fn rtcp_on_the_same_port_is_told_apart() {
        assert_eq!(Datagram::parse(&[0x80, 200, 0, 6, 0, 0, 0, 0]), Datagram::Rtcp);
        assert_eq!(Datagram::parse(&[0x00, 200, 0, 6]), Datagram::Foreign);
        assert_eq!(Datagram::parse(b""), Datagram::Foreign);
    }

    #[test]
    fn stream_counts_packets_and_time_and_wraps() {
        let mut stream = Stream::new(0x0708_090A, 0xFFFF, 0xFFFF_FFFF);
        let now = stream.timestamp();
        let first = stream.sound(8, now);
        stream.advance(160);
        let now = stream.timestamp();
        let second = stream.sound(8, now);

        let first = Packet::parse(&first).expect("ours");
        let second = Packet::parse(&second).expect("ours");
        assert_eq!((first.marker, first.sequence, first.timestamp), (true, 0xFFFF, 0xFFFF_FFFF));
        assert_eq!((second.marker, second.sequence, second.timestamp), (false, 0, 159));
        assert_eq!((first.ssrc, first.payload_type), (0x0708_090A, 8));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Datagram::parse(&bytes);
        }

        /// Random bytes seldom have the right version; these do.
        #[test]
        fn no_bytes_behind_a_header_make_it_panic(
            first in 0x80u8..=0xBF,
            rest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            Datagram::parse(&with(first, &rest));
        }
    }
}
