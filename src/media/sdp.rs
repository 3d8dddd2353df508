//! Session descriptions: what a peer says about its media (RFC 8866), read and written.
//!
//! The grammar is the work of `sdp-types`; this is what a call needs of it, with limits. Reading is
//! tolerant where phones are careless (an address for each stream or for all, static payload types
//! without an rtpmap, attributes of no use to us) and strict where a mistake would send sound to
//! the wrong place.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::codec::Codec;

/// The longest description that we read. Those of WebRTC are 3 kB long, a phone's 500 bytes.
pub const BYTES_MAX: usize = 16 * 1024;
/// The most streams in one, and payload types or attributes in a stream. More is an attack.
const STREAMS_MAX: usize = 16;
const FORMATS_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 256;

/// What a session description says, as far as a call of ours cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Who says it.
    pub origin: Origin,
    /// The streams, in their order: it is their name (RFC 3264 §5).
    pub streams: Vec<Stream>,
}

/// Which description this is (RFC 8866 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Never changes in a session.
    pub session_id: String,
    /// Grows by one with every change.
    pub version: u64,
    /// Who wrote it. Not where media goes.
    pub address: Option<IpAddr>,
}

/// One stream: an m-line and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `audio`, `video`, `image`, …
    pub media: String,
    /// Where RTP goes; 0 refuses or ends the stream.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, `udptl`, …
    pub transport: String,
    /// Payload types for RTP, other words for others, most wanted first.
    pub formats: Vec<String>,
    /// The address for its media: its own, or that of the session.
    pub address: Option<IpAddr>,
    /// The port for RTCP, if it is not the one above (RFC 3605).
    pub rtcp_port: Option<u16>,
    /// Who may send.
    pub direction: Direction,
    /// How many milliseconds of sound each packet should carry, and may at most.
    pub ptime: Option<u16>,
    /// See `ptime`.
    pub ptime_max: Option<u16>,
    /// What the payload types mean.
    pub maps: Vec<Map>,
}

/// What a payload type means: its rtpmap and fmtp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The encoding: `PCMA`, `telephone-event`, … in the letters of its writer.
    pub encoding: String,
    /// Its clock.
    pub clock_hertz: u32,
    /// Its parameters.
    pub parameters: Option<String>,
}

/// Who may send in a stream, seen from the one who says it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// The one who says it.
    SendOnly,
    /// The other one.
    RecvOnly,
    /// Nobody.
    Inactive,
}

/// Why a description cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Longer than [`BYTES_MAX`], or with more in it than a call has.
    #[error("the session description is too large")]
    TooLarge,
    /// Against the grammar.
    #[error("the session description is malformed")]
    Malformed,
}

impl Description {
    /// Reads a description.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        if bytes.len() > BYTES_MAX {
            return Err(SdpError::TooLarge);
        }
        let session = sdp_types::Session::parse(bytes).map_err(|_| SdpError::Malformed)?;
        if session.medias.len() > STREAMS_MAX || session.attributes.len() > ATTRIBUTES_MAX {
            return Err(SdpError::TooLarge);
        }
        let origin = Origin {
            session_id: session.origin.sess_id.clone(),
            version: session.origin.sess_version,
            address: session.origin.try_parse_unicast_ip_address().ok(),
        };
        let streams = session.medias.iter().map(|media| Stream::read(&session, media));
        Ok(Description { origin, streams: streams.collect::<Result<_, _>>()? })
    }

    /// Writes the description.
    pub fn write(&self) -> String {
        let mut text = String::with_capacity(512);
        let Origin { session_id, version, address } = &self.origin;
        let address = address.map_or_else(|| "IP4 0.0.0.0".into(), net_address);
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "v=0\r\no=- {session_id} {version} IN {address}\r\ns=-\r\n");
        // Said once for all, where the oldest phones look for it.
        let common = self.streams.iter().find_map(|stream| stream.address);
        if let Some(common) = common {
            let _ = write!(text, "c=IN {}\r\n", net_address(common));
        }
        text.push_str("t=0 0\r\n");
        for stream in &self.streams {
            stream.write(common, &mut text);
        }
        text
    }
}

impl Stream {
    /// What the payload type means here: its rtpmap, or what is known of old (RFC 3551 §6).
    pub fn codec(&self, payload_type: u8) -> Option<Codec> {
        match self.map(payload_type) {
            Some(map) => {
                Codec::named(&map.encoding).filter(|codec| codec.clock_hertz() == map.clock_hertz)
            }
            None => Codec::of_payload_type(payload_type),
        }
    }

    /// The payload type of telephone-events at this clock (RFC 4733 §2.1: that of the sound they
    /// belong to).
    pub fn telephone_event(&self, clock_hertz: u32) -> Option<u8> {
        self.payload_types().find(|payload_type| {
            self.map(*payload_type).is_some_and(|map| {
                map.encoding.eq_ignore_ascii_case("telephone-event")
                    && map.clock_hertz == clock_hertz
            })
        })
    }

    /// The formats that are payload types, most wanted first.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|format| format.parse().ok()).filter(|number| *number < 128)
    }

    /// Whether this is sound over RTP.
    pub fn is_audio(&self) -> bool {
        self.media.eq_ignore_ascii_case("audio")
    }

    /// Whether the peer asks to be sent nothing in the way of RFC 2543 (RFC 3264 §8.4).
    pub fn is_held_by_address(&self) -> bool {
        self.address.is_some_and(|address| address.is_unspecified())
    }

    fn map(&self, payload_type: u8) -> Option<&Map> {
        self.maps.iter().find(|map| map.payload_type == payload_type)
    }

    fn read(session: &sdp_types::Session, media: &sdp_types::Media) -> Result<Self, SdpError> {
        let formats: Vec<String> =
            media.fmt.split_ascii_whitespace().take(FORMATS_MAX + 1).map(String::from).collect();
        if formats.is_empty() {
            return Err(SdpError::Malformed);
        }
        if formats.len() > FORMATS_MAX || media.attributes.len() > ATTRIBUTES_MAX {
            return Err(SdpError::TooLarge);
        }
        let connection = media.connections.first().or(session.connection.as_ref());
        let mut stream = Stream {
            media: media.media.clone(),
            port: media.port,
            transport: media.proto.clone(),
            formats,
            address: connection.and_then(unicast),
            rtcp_port: None,
            direction: Direction::default(),
            ptime: None,
            ptime_max: None,
            maps: Vec::new(),
        };
        // What is said for the session holds until the stream says otherwise.
        for attribute in session.attributes.iter().chain(&media.attributes) {
            stream.read_attribute(&attribute.attribute, attribute.value.as_deref().unwrap_or(""));
        }
        Ok(stream)
    }

    fn read_attribute(&mut self, name: &str, value: &str) {
        match name {
            "sendrecv" => self.direction = Direction::SendRecv,
            "sendonly" => self.direction = Direction::SendOnly,
            "recvonly" => self.direction = Direction::RecvOnly,
            "inactive" => self.direction = Direction::Inactive,
            "ptime" => self.ptime = number(value),
            "maxptime" => self.ptime_max = number(value),
            "rtcp" => self.rtcp_port = value.split_ascii_whitespace().next().and_then(number),
            // One that is broken leaves its payload type without a meaning, and the others theirs.
            "rtpmap" => self.maps.extend(Map::read(value)),
            "fmtp" => {
                let (format, parameters) = value.split_once(' ').unwrap_or((value, ""));
                let payload_type: Option<u8> = number(format);
                let map = self.maps.iter_mut().find(|map| Some(map.payload_type) == payload_type);
                // Parameters of a static type without an rtpmap change nothing that we speak.
                if let Some(map) = map {
                    map.parameters = Some(parameters.trim().to_owned());
                }
            }
            // Everything else is about features that we did not ask for.
            _ => (),
        }
    }

    fn write(&self, common: Option<IpAddr>, text: &mut String) {
        let Stream { media, port, transport, formats, .. } = self;
        let _ = write!(text, "m={media} {port} {transport} {}\r\n", formats.join(" "));
        if self.port == 0 {
            // Nothing is left to say about a stream that is refused.
            return;
        }
        if let Some(address) = self.address.filter(|address| Some(*address) != common) {
            let _ = write!(text, "c=IN {}\r\n", net_address(address));
        }
        for Map { payload_type, encoding, clock_hertz, parameters } in &self.maps {
            let _ = write!(text, "a=rtpmap:{payload_type} {encoding}/{clock_hertz}\r\n");
            if let Some(parameters) = parameters {
                let _ = write!(text, "a=fmtp:{payload_type} {parameters}\r\n");
            }
        }
        for (name, value) in
            [("rtcp", self.rtcp_port), ("ptime", self.ptime), ("maxptime", self.ptime_max)]
        {
            if let Some(value) = value {
                let _ = write!(text, "a={name}:{value}\r\n");
            }
        }
        let _ = write!(text, "a={}\r\n", self.direction.name());
    }
}

impl Map {
    /// `<payload type> <encoding>/<clock>[/<channels>]`
    fn read(value: &str) -> Option<Self> {
        let (payload_type, encoding) = value.trim().split_once(' ')?;
        let mut parts = encoding.trim().split('/');
        let encoding = parts.next().filter(|encoding| !encoding.is_empty())?.to_owned();
        let clock_hertz = number(parts.next()?)?;
        let payload_type = number(payload_type).filter(|number: &u8| *number < 128)?;
        Some(Map { payload_type, encoding, clock_hertz, parameters: None })
    }
}

impl Direction {
    /// From who may send: the one who says it, and the other.
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the one who says it may send.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the one who says it wants to receive.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same, seen from the other side.
    pub const fn reversed(self) -> Self {
        Direction::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Direction) -> Self {
        Direction::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// The address of one host: a name we would have to look up, or a group, is none.
fn unicast(connection: &sdp_types::Connection) -> Option<IpAddr> {
    let address: IpAddr = connection.connection_address.trim().parse().ok()?;
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    (!address.is_multicast() && !is_broadcast).then_some(address)
}

fn net_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => format!("IP4 {address}"),
        IpAddr::V6(_) => format!("IP6 {address}"),
    }
}

/// Phones pad numbers with spaces, and write a ptime of `20.0`.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
