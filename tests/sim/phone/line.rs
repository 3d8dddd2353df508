//! One call of a phone, as the phone sees it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem::media::sdp::Direction;
use tandem::sip::{Request, Response};

use super::sound::Sound;

/// How far a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Our INVITE went out, or theirs came.
    Early,
    /// Answered.
    Up,
    /// Over.
    Over,
}

pub struct Line {
    pub call_id: String,
    /// From and To as *we* write them in a request.
    pub local: String,
    pub remote: String,
    /// The peer's Contact, and where it is.
    pub target: String,
    pub peer: SocketAddr,
    pub sequence: u32,
    pub state: State,
    /// The INVITE of the peer that we have not answered for good.
    pub invited: Option<Request>,
    /// The branch of our first INVITE, for its CANCEL.
    pub branch: String,
    /// Our ACK of the last 2xx, for when the 2xx comes again.
    pub ack: Option<(u32, Vec<u8>)>,
    /// The header fields of the INVITE that came.
    pub invite: Option<Request>,
    pub wanted: Direction,
    pub descriptions: u32,
    pub sound: Sound,
    /// Whose REFER this line follows.
    pub follows: Option<usize>,
    /// The status of the last response to our INVITE, or the one that we gave.
    pub status: u16,
    /// When it was answered, and when it was over, since the world began.
    pub up_at: Option<Duration>,
    pub over_at: Option<Duration>,
    /// While the peer is on hold, by our own wish.
    pub holds: Vec<(Duration, Option<Duration>)>,
    /// We hung up, or cancelled, and wait for the end of it.
    pub leaving: bool,
}

/// Something that is sent again until it is answered.
pub struct Sending {
    pub line: usize,
    pub branch: String,
    pub method: String,
    pub sequence: u32,
    pub is_final: bool,
    pub bytes: Vec<u8>,
    pub to: SocketAddr,
    pub gap: Duration,
    pub again_at: Option<Instant>,
    pub until: Instant,
}

/// `branch` of the topmost Via.
pub fn branch(via: &str) -> String {
    let (_, rest) = via.split_once("branch=").expect("a Via with a branch");
    rest.split([';', ',', ' ']).next().unwrap_or_default().to_owned()
}

/// The number and the method of CSeq.
pub fn sequence(headers: &tandem::sip::Headers) -> (u32, String) {
    let value = headers.get("CSeq").expect("a CSeq");
    let (number, method) = value.split_once(' ').expect("a number and a method");
    (number.parse().expect("a number"), method.trim().to_owned())
}

/// The URI within angle brackets, and the address it leads to: every URI here names an address.
pub fn contact(value: &str) -> (String, SocketAddr) {
    let uri = value.split_once('<').map_or(value, |(_, rest)| rest);
    let uri = uri.split('>').next().unwrap_or(uri);
    let host = uri.split_once('@').map_or(uri.trim_start_matches("sip:"), |(_, host)| host);
    let host = host.split([';', '?']).next().unwrap_or(host);
    let address = host.parse().or_else(|_| format!("{host}:5060").parse());
    (uri.to_owned(), address.expect("an address"))
}

/// Whether a From or To value has a tag.
pub fn has_tag(value: &str) -> bool {
    value.contains(";tag=")
}

/// The To of a response: with the tag of who answered.
pub fn to_of(response: &Response) -> String {
    response.headers.get("To").unwrap_or_default().to_owned()
}
