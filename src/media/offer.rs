//! Offer and answer (RFC 3264, with the examples and corners of RFC 6337).
//!
//! ```text
//!            offer()             accept(answer)
//!  +--------+ ----> +---------+ ---------------> +--------+
//!  | Nothing|       | Offered |                  | Agreed | <--.  answer(offer), at any time:
//!  +--------+       +---------+ <--------------- +--------+ ---'  a failure changes nothing
//!      |                 | withdraw()   offer()       A
//!      |                 '--> what was before         |
//!      '----------------------------------------------'
//!                        answer(offer)
//! ```
//!
//! Whose preference counts: *ours*, in the order of [`Local::codecs`], since the operator knows
//! what the calls behind us speak; but a codec in force stays if it is still offered. Of an answer,
//! the first format counts.
//!
//! A call has one stream of sound. All other streams that a peer offers are refused with port 0,
//! and keep their place in every description that follows (RFC 3264 §8).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::codec::Codec;
use super::sdp::{Description, Direction, Map, Origin, SdpError, Stream};

/// The payload type that we give to telephone-events in an offer: the one that most phones use.
const TELEPHONE_EVENT: u8 = 101;
/// The events that we understand: the sixteen keys (RFC 4733 §3.2).
const TELEPHONE_EVENTS: &str = "0-15";
/// What we want, and what a peer gets that wants something else than 10, 20, … 60 ms.
const PTIME_MS: u16 = 20;

/// What the two sides agreed on for a leg's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The codec, for both directions.
    pub codec: Codec,
    /// The payload type of the codec.
    pub payload: PayloadTypes,
    /// The payload type of telephone-events (RFC 4733), if both sides take them.
    pub telephone_event: Option<PayloadTypes>,
    /// Where the peer wants its packets. Not where they come from: see the session's latch.
    pub remote: SocketAddr,
    /// What *we* may do: `SendOnly` means that we send and hear nothing.
    pub direction: Direction,
    /// How much time each packet that we send carries: 10 to 60 ms.
    pub ptime: Duration,
}

/// A payload type in each direction. They differ when the peer answers with numbers of its own
/// (RFC 3264 §5.1: a number in a description is what its sender wants to *receive*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    /// What we send.
    pub send: u8,
    /// What we receive.
    pub receive: u8,
}

/// Our side of a leg's media.
#[derive(Clone, Debug)]
pub struct Local {
    /// Where we want RTP: the address the peer can reach.
    pub address: IpAddr,
    /// The even port of it.
    pub port: u16,
    /// The codecs we take, most wanted first; at least one.
    pub codecs: Vec<Codec>,
    /// Names this session for ever (RFC 8866 §5.2): random, drawn by the driver.
    pub session_id: u64,
}

/// A leg's negotiation: what was said last, and what is in force.
#[derive(Debug)]
pub struct Negotiation {
    local: Local,
    /// What we want to do, whatever the peer allows; and what we wanted before our last offer.
    wanted: Direction,
    wanted_before: Direction,
    /// The streams of our last description, and which of them is the sound.
    said: Vec<Stream>,
    sound: usize,
    version: u64,
    /// Our payload type for telephone-events. It may not change its meaning in a session (RFC 3264
    /// §8.3.2).
    telephone_event: u8,
    agreed: Option<Agreed>,
}

/// Our answer to an offer, and what is in force with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The session description for the body, `application/sdp`.
    pub body: String,
    /// What both sides have agreed on.
    pub agreed: Agreed,
}

/// Why there is no agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Not a session description, or one beyond our limits.
    #[error("unreadable offer or answer")]
    Unreadable(#[source] SdpError),
    /// An answer has fewer streams than our offer, or none was asked for (RFC 3264 §6).
    #[error("the answer does not match the offer")]
    Mismatch,
    /// There is no sound, or it is refused.
    #[error("no stream of sound")]
    NoSound,
    /// Sound over something else than plain RTP.
    #[error("no common transport")]
    NoCommonTransport,
    /// The address is of another family than ours, a name, or a group.
    #[error("no address that we could send to")]
    NoCommonAddress,
    /// None of the codecs is ours.
    #[error("no common codec")]
    NoCommonCodec,
}

impl OfferError {
    /// The SIP status that the offerer is told: 400 or 488 (RFC 3261 §13.3.1.3).
    pub fn status(self) -> u16 {
        match self {
            OfferError::Unreadable(_) | OfferError::Mismatch => 400,
            OfferError::NoSound
            | OfferError::NoCommonTransport
            | OfferError::NoCommonAddress
            | OfferError::NoCommonCodec => 488,
        }
    }

    /// The code and text of the Warning header that goes with it (RFC 3261 §20.43).
    pub fn warning(self) -> Option<(u16, &'static str)> {
        match self {
            OfferError::Unreadable(_) | OfferError::Mismatch => None,
            OfferError::NoCommonAddress => Some((301, "Incompatible network address formats")),
            OfferError::NoCommonTransport => Some((302, "Incompatible transport protocol")),
            OfferError::NoSound => Some((304, "Media type not available")),
            OfferError::NoCommonCodec => Some((305, "Incompatible media format")),
        }
    }
}

impl Negotiation {
    /// Nothing has been said yet.
    pub fn new(local: Local) -> Self {
        debug_assert!(!local.codecs.is_empty(), "the configuration names at least one codec");
        Negotiation {
            local,
            wanted: Direction::SendRecv,
            wanted_before: Direction::SendRecv,
            said: Vec::new(),
            sound: 0,
            version: 0,
            telephone_event: TELEPHONE_EVENT,
            agreed: None,
        }
    }

    /// An offer of all that we can: for an INVITE of ours, and for the 200 to an INVITE without a
    /// body (RFC 6337), where the codec in force comes first. The direction is what *we*
    /// want to do: `SendRecv`, unless we put the peer on hold. It holds until the next offer.
    pub fn offer(&mut self, direction: Direction) -> String {
        self.wanted_before = std::mem::replace(&mut self.wanted, direction);
        let current = self.agreed.map(|agreed| agreed.codec);
        let mut codecs = self.local.codecs.clone();
        codecs.sort_by_key(|codec| Some(*codec) != current);
        let codecs = codecs.into_iter().map(|codec| (codec.payload_type(), codec));

        let sound = self.stream(codecs.collect(), Some(self.telephone_event), direction, PTIME_MS);
        let mut streams = self.said.clone();
        match streams.get_mut(self.sound) {
            Some(stream) => *stream = sound,
            None => streams.push(sound),
        }
        self.say(streams)
    }

    /// Answers an offer. On an error nothing has changed: a re-INVITE that is refused leaves the
    /// session as it was.
    pub fn answer(&mut self, offer: &[u8]) -> Result<Answer, OfferError> {
        let offer = Description::parse(offer).map_err(OfferError::Unreadable)?;
        let (place, theirs) = find_sound(&offer.streams)?;
        let remote = self.remote(theirs)?;
        let (payload_type, codec) = self.choose(theirs).ok_or(OfferError::NoCommonCodec)?;

        // Numbers in an answer are those of the offer.
        let telephone_event = theirs.telephone_event(codec.clock_hertz());
        let both = |number| PayloadTypes { send: number, receive: number };
        let agreed = Agreed {
            codec,
            payload: both(payload_type),
            telephone_event: telephone_event.map(both),
            remote,
            direction: allowed_by(theirs).and(self.wanted),
            ptime: Duration::from_millis(ptime_ms(theirs).into()),
        };
        let codecs = vec![(payload_type, codec)];
        let mut sound = self.stream(codecs, telephone_event, agreed.direction, ptime_ms(theirs));
        sound.transport.clone_from(&theirs.transport);
        let mut streams: Vec<Stream> = offer.streams.iter().map(refusal_of).collect();
        streams[place] = sound;

        self.sound = place;
        self.telephone_event = telephone_event.unwrap_or(self.telephone_event);
        self.agreed = Some(agreed);
        Ok(Answer { body: self.say(streams), agreed })
    }

    /// Takes the answer to our last [`offer`](Self::offer). It may come twice: a 200 repeats what
    /// its 183 said, and behind some gateways it then names another place.
    pub fn accept(&mut self, answer: &[u8]) -> Result<Agreed, OfferError> {
        let answer = Description::parse(answer).map_err(OfferError::Unreadable)?;
        let ours = self.said.get(self.sound).ok_or(OfferError::Mismatch)?;
        let theirs = answer.streams.get(self.sound).ok_or(OfferError::Mismatch)?;
        if !theirs.is_audio() || theirs.port == 0 {
            return Err(OfferError::NoSound);
        }
        if !is_plain(&theirs.transport) {
            return Err(OfferError::NoCommonTransport);
        }
        let remote = self.remote(theirs)?;
        let is_common = |codec: &Codec| self.local.codecs.contains(codec);
        let (payload_type, codec) = theirs
            .payload_types()
            .find_map(|number| Some((number, theirs.codec(number).filter(is_common)?)))
            .ok_or(OfferError::NoCommonCodec)?;

        let telephone_event = theirs.telephone_event(codec.clock_hertz());
        let events = telephone_event.zip(ours.telephone_event(codec.clock_hertz()));
        let agreed = Agreed {
            codec,
            payload: PayloadTypes { send: payload_type, receive: codec.payload_type() },
            telephone_event: events.map(|(send, receive)| PayloadTypes { send, receive }),
            remote,
            direction: allowed_by(theirs).and(ours.direction),
            ptime: Duration::from_millis(ptime_ms(theirs).into()),
        };
        self.agreed = Some(agreed);
        Ok(agreed)
    }

    /// Our offer was refused (488, 491, a CANCEL): what was in force before it stays in force, and
    /// what we wanted with it is wanted no more.
    pub fn withdraw(&mut self) {
        self.wanted = self.wanted_before;
    }

    /// What is in force.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Writes a description. Its version grows only if it says something new (RFC 3264 §8).
    fn say(&mut self, streams: Vec<Stream>) -> String {
        if self.said != streams {
            self.version += 1;
            self.said = streams;
        }
        let session_id = self.local.session_id.to_string();
        let origin =
            Origin { session_id, version: self.version, address: Some(self.local.address) };
        Description { origin, streams: self.said.clone() }.write()
    }

    /// The codec of an offer to answer with, and the offer's number for it.
    fn choose(&self, theirs: &Stream) -> Option<(u8, Codec)> {
        let current = self.agreed.map(|agreed| agreed.codec);
        let ours = current.into_iter().chain(self.local.codecs.iter().copied());
        ours.filter_map(|codec| {
            Some((
                theirs.payload_types().find(|number| theirs.codec(*number) == Some(codec))?,
                codec,
            ))
        })
        .next()
    }

    fn remote(&self, theirs: &Stream) -> Result<SocketAddr, OfferError> {
        // "Nowhere" is an old way to say hold, and some phones say it in the other family.
        let is_usable = |address: &IpAddr| {
            address.is_unspecified() || address.is_ipv4() == self.local.address.is_ipv4()
        };
        let address = theirs.address.filter(is_usable).ok_or(OfferError::NoCommonAddress)?;
        Ok(SocketAddr::new(address, theirs.port))
    }

    /// Our stream of sound.
    fn stream(
        &self,
        codecs: Vec<(u8, Codec)>,
        telephone_event: Option<u8>,
        direction: Direction,
        ptime_ms: u16,
    ) -> Stream {
        let event_clock = codecs.first().map_or(8000, |(_, codec)| codec.clock_hertz());
        let mut maps: Vec<Map> = codecs
            .into_iter()
            .map(|(payload_type, codec)| Map {
                payload_type,
                encoding: codec.name().into(),
                clock_hertz: codec.clock_hertz(),
                parameters: None,
            })
            .collect();
        maps.extend(telephone_event.map(|payload_type| Map {
            payload_type,
            encoding: "telephone-event".into(),
            clock_hertz: event_clock,
            parameters: Some(TELEPHONE_EVENTS.into()),
        }));
        Stream {
            media: "audio".into(),
            port: self.local.port,
            transport: "RTP/AVP".into(),
            formats: maps.iter().map(|map| map.payload_type.to_string()).collect(),
            address: Some(self.local.address),
            rtcp_port: None,
            direction,
            ptime: Some(ptime_ms),
            ptime_max: None,
            maps,
        }
    }
}

/// The stream of an offer that a call can use: the first with sound over plain RTP.
fn find_sound(streams: &[Stream]) -> Result<(usize, &Stream), OfferError> {
    let mut sounds = streams
        .iter()
        .enumerate()
        .filter(|(_, stream)| stream.is_audio() && stream.port != 0)
        .peekable();
    if sounds.peek().is_none() {
        return Err(OfferError::NoSound);
    }
    sounds.find(|(_, stream)| is_plain(&stream.transport)).ok_or(OfferError::NoCommonTransport)
}

/// Whether a transport is RTP that we can send. AVPF only adds feedback that nobody has to send
/// (RFC 4585).
fn is_plain(transport: &str) -> bool {
    ["RTP/AVP", "RTP/AVPF"].iter().any(|plain| transport.eq_ignore_ascii_case(plain))
}

/// What the peer's direction leaves to us.
fn allowed_by(theirs: &Stream) -> Direction {
    let direction = theirs.direction.reversed();
    Direction::of(direction.sends() && !theirs.is_held_by_address(), direction.receives())
}

/// The stream again, refused: its place and its name stay (RFC 3264 §6).
fn refusal_of(theirs: &Stream) -> Stream {
    Stream {
        port: 0,
        address: None,
        rtcp_port: None,
        direction: Direction::Inactive,
        ptime: None,
        ptime_max: None,
        maps: Vec::new(),
        ..theirs.clone()
    }
}

/// What each of our packets should carry.
fn ptime_ms(theirs: &Stream) -> u16 {
    let wanted = theirs.ptime.unwrap_or(PTIME_MS).min(theirs.ptime_max.unwrap_or(u16::MAX));
    if matches!(wanted, 10 | 20 | 30 | 40 | 50 | 60) { wanted } else { PTIME_MS }
}

#[cfg(test)]
mod tests;
