//! What passes between the endpoint and its user.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::ids::{CallId, DialogId};
use crate::sip::message::{Body, Headers, Request, Response, StatusCode};
use crate::sip::transaction::Packet;
use crate::sip::uri::{NameAddr, Uri};

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream; the driver frames it and keeps the connection.
    Tcp,
}

/// Where a message comes from or goes to. For a stream the driver opens a connection when none is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// The transport.
    pub transport: Transport,
    /// The address, as the packet had it.
    pub address: SocketAddr,
}

/// A message to put on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub to: Peer,
    /// The whole message.
    pub bytes: Packet,
}

/// What the endpoint is told about itself once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What we put into Via and Contact, for each transport we listen on. Not empty.
    pub sent_by: Vec<(Transport, SocketAddr)>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Calls that peers may have with us at once, from INVITE to BYE; a further INVITE gets 503 with
    /// Retry-After.
    pub calls_max: usize,
    /// Networks that may speak for any dialog, beside its own peer: the clusters of trunks.
    pub trusted: Vec<Subnet>,
    /// Whether we follow a peer's REFER, as a phone does. Otherwise it is answered with 405.
    pub takes_refer: bool,
    /// The seed of branches, tags, Call-IDs.
    pub seed: u64,
}

/// A range of addresses, `10.0.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Any address of it.
    pub address: IpAddr,
    /// How many leading bits its addresses share, 0 to 32 (IPv4) or 128 (IPv6).
    pub prefix: u8,
}

/// An INVITE of ours.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The Request-URI.
    pub uri: Uri,
    /// The next hop, already resolved. A message over 1300 bytes should not travel by UDP (RFC 3261
    /// §18.1.1); who resolves knows whether the peer takes TCP, so the choice is made there.
    pub to_peer: Peer,
    /// Our From, without tag.
    pub from: NameAddr,
    /// Our To.
    pub to: NameAddr,
    /// The Call-ID; `None`: a fresh one.
    pub call_id: Option<CallId>,
    /// Further header fields (`X-Tandem-Call-ID`, `P-Asserted-Identity`, `Max-Forwards` …).
    pub headers: Headers,
    /// The offer. An INVITE without one asks the peer for it, and its answer would have to ride in the
    /// ACK, which is sent at once: leave it out only to learn what a peer can do.
    pub body: Option<Body>,
}

/// What happened, each with its dialog.
///
/// After [`hang_up`](super::Endpoint::hang_up) and [`reject`](super::Endpoint::reject) a dialog tells
/// nothing more, but for the `Failed` of an INVITE of ours that had no final response yet. After
/// `Ended` only `ReferProgress` can follow: a subscription outlives its call (RFC 5057 §4.1).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each variant's sentence names its fields")]
pub enum Event {
    /// A new INVITE. 100 has been sent. Answer with `ring`, `answer` or `reject`.
    Invited { dialog: DialogId, request: Arc<Request>, source: Peer },
    /// The caller cancelled before a final response; 487 has been sent. The dialog is gone.
    Cancelled { dialog: DialogId, reason: Option<String> },
    /// The ACK of our 2xx came, with the answer if our 2xx held the offer.
    Acknowledged { dialog: DialogId, body: Option<Body> },
    /// No ACK within 64·T1 of our 2xx: BYE has been sent (RFC 3261 §13.3.1.4). The dialog is gone.
    Unacknowledged { dialog: DialogId },
    /// A re-INVITE with its body (none: the peer wants an offer). Answer with `answer` or `reject` within
    /// 32 s; when those find nothing to answer, the peer has taken it back.
    Reinvited { dialog: DialogId, body: Option<Body> },
    /// Our re-INVITE was answered.
    ReinviteAnswered { dialog: DialogId, body: Option<Body> },
    /// Our re-INVITE was refused; the session stays as it was (RFC 3261 §14.1).
    ReinviteRefused { dialog: DialogId, status: StatusCode },
    /// 100 to our INVITE: the next hop has it, and somebody may still be long in being found.
    Trying { dialog: DialogId },
    /// A provisional response (not 100) to our INVITE, with early media's description if any.
    Ringing { dialog: DialogId, status: StatusCode, body: Option<Body> },
    /// A 2xx to our INVITE; the ACK is sent.
    Answered { dialog: DialogId, response: Arc<Response> },
    /// Our INVITE failed, was cancelled (487) or never got a final response (408). The dialog is gone.
    Failed { dialog: DialogId, status: StatusCode, reason: String, headers: Headers },
    /// A BYE came, or the dialog died (481 or 408 to a request of ours). The dialog is gone.
    Ended { dialog: DialogId, reason: Option<String> },
    /// A REFER of ours got its final response: any 2xx, or a refusal (408: none came).
    ReferAnswered { dialog: DialogId, status: StatusCode },
    /// A NOTIFY of our last REFER's subscription: the status line of its sipfrag, and whether it was
    /// the last. It may come before `ReferAnswered`.
    ReferProgress { dialog: DialogId, status: StatusCode, reason: String, terminated: bool },
    /// A REFER of the peer, where we take them. Answer with `accept_refer` or `reject_refer` within 30 s.
    Referred { dialog: DialogId, request: Arc<Request> },
    /// INFO within a dialog (application/dtmf-relay …); 200 has been sent.
    Info { dialog: DialogId, body: Option<Body> },
    /// What came of our in-dialog OPTIONS (`probe`). After [`Liveness::Gone`], `Ended` follows.
    Probed { dialog: DialogId, found: Liveness },
}

/// What is known of a peer's side of a dialog after it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It answered: the dialog stands there too.
    Alive,
    /// It answered that it knows no such dialog (481): ours has ended.
    Gone,
    /// No answer came, or only a proxy's 408. It may be gone, or something on the path eats OPTIONS: the
    /// dialog is kept, and whether the peer's sound still comes is for our user to weigh.
    Unanswered,
}

impl Event {
    /// Whose event it is.
    pub fn dialog(&self) -> DialogId {
        match self {
            Event::Invited { dialog, .. }
            | Event::Cancelled { dialog, .. }
            | Event::Acknowledged { dialog, .. }
            | Event::Unacknowledged { dialog }
            | Event::Reinvited { dialog, .. }
            | Event::ReinviteAnswered { dialog, .. }
            | Event::ReinviteRefused { dialog, .. }
            | Event::Trying { dialog }
            | Event::Ringing { dialog, .. }
            | Event::Answered { dialog, .. }
            | Event::Failed { dialog, .. }
            | Event::Ended { dialog, .. }
            | Event::ReferAnswered { dialog, .. }
            | Event::ReferProgress { dialog, .. }
            | Event::Referred { dialog, .. }
            | Event::Info { dialog, .. }
            | Event::Probed { dialog, .. } => *dialog,
        }
    }
}

/// Why the endpoint did not do what its user asked. Nothing was sent, and the dialog is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The dialog is gone: the peer hung up while the user made up its mind, or nobody ever opened it.
    #[error("the dialog is gone")]
    Gone,
    /// The dialog's name has been used.
    #[error("the dialog exists already")]
    Exists,
    /// The dialog is not in a state for this.
    #[error("the dialog is {state}")]
    WrongState {
        /// What it is instead.
        state: &'static str,
    },
    /// The same is under way, here or from the peer; try again when it is done.
    #[error("another one is under way")]
    Busy,
    /// The status is not one for this: `ring` takes 101 to 199, `reject` and `reject_refer`
    /// 300 to 699.
    #[error("status {0} does not fit")]
    BadStatus(StatusCode),
    /// A line end or another control character would break the message.
    #[error("a control character in a header field")]
    BadHeader,
    /// A table is full.
    #[error("too much is going on")]
    Full,
}

/// How many of each the endpoint holds at this moment. All zero a minute after the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions in which we answer.
    pub server_transactions: usize,
    /// Transactions in which we ask.
    pub client_transactions: usize,
    /// Dialogs, and what is to become one.
    pub dialogs: usize,
    /// Of these, the calls that count against [`Settings::calls_max`].
    pub calls: usize,
    /// Subscriptions of our REFERs.
    pub subscriptions: usize,
    /// Armed timers: at most one for each transaction and dialog.
    pub timers: usize,
}

impl Transport {
    /// Whether the transport itself repeats what is lost.
    pub fn is_reliable(self) -> bool {
        self == Transport::Tcp
    }

    /// As Via has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }
}

impl Subnet {
    /// Whether the address is one of the subnet's.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (net, address, width) = match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                (u128::from(net.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => (net.to_bits(), address.to_bits(), 128),
            _ => return false,
        };
        let host_bits = width - u32::from(self.prefix).min(width);
        // A shift by the whole width would overflow: /0 holds every address.
        net.checked_shr(host_bits) == address.checked_shr(host_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnet_holds_the_addresses_that_share_its_prefix() {
        for (net, prefix, address, held) in [
            ("10.0.0.0", 24, "10.0.0.255", true),
            ("10.0.0.0", 24, "10.0.1.0", false),
            ("10.0.0.7", 32, "10.0.0.7", true),
            ("10.0.0.7", 32, "10.0.0.6", false),
            ("10.0.0.0", 0, "192.0.2.1", true),
            ("10.0.0.0", 0, "::1", false),
            ("2001:db8::", 32, "2001:db8:1::1", true),
            ("2001:db8::", 32, "2001:db9::1", false),
            ("::", 0, "2001:db9::1", true),
        ] {
            let subnet = Subnet { address: net.parse().unwrap(), prefix };
            assert_eq!(subnet.contains(address.parse().unwrap()), held, "{net}/{prefix} {address}");
        }
    }
}
