//! Drives `sip::Endpoint` over UDP and TCP: one task that owns the stack and all its sockets.
//!
//! ```text
//!   calls ── Signaling ──> orders ─┐                        ┌─> events ──> registry
//!           (never waits)          v                        │
//!   datagrams ────────────────> Endpoint ── transmits ──> datagrams, connections
//!   connections ── inputs ────────>│<── its one timer
//! ```
//!
//! When the registry falls behind, a new INVITE is answered 503 before anybody else's dialog suffers;
//! what belongs to a dialog is never lost: the task stops to read until the registry has caught up, and
//! the kernel's buffers and SIP's retransmissions hold what comes meanwhile.

mod connection;
mod measures;
mod order;
mod streams;
mod task;

#[cfg(test)]
mod tests;

pub use self::measures::Tables;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::info;

use self::measures::Measures;
use self::order::Order;
use self::streams::Streams;
use self::task::Task;
use super::{Network, advertised_ip};
use crate::ids::DialogId;
use crate::sip::header::Reason;
use crate::sip::{Body, Endpoint, Event, Headers, Invite, Settings, StatusCode, Subnet, Transport};

/// Orders that wait for the task. A call gives some ten in its life, and the task takes them as they
/// come; a full channel means a machine that is far behind, and calls that must end.
const ORDERS: usize = 4096;

/// Events that wait for the registry: a few seconds of a full machine. The last half of it is kept for
/// dialogs that exist.
const EVENTS: usize = 2048;

/// How often it is looked whether the stack has become quiet.
const QUIET_BEAT: Duration = Duration::from_millis(20);

/// Where to listen, and what to say about ourselves.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The addresses, one for each transport; port 0 takes any. At least one. TCP is always that of this
    /// machine: a simulation listens on UDP.
    pub addresses: Vec<(Transport, SocketAddr)>,
    /// What peers reach us under, if it is not what we are bound to (behind a NAT).
    pub external_ip: Option<IpAddr>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Calls at once; a further INVITE gets 503.
    pub calls_max: usize,
    /// Networks that may speak for any dialog, beside its own peer.
    pub trusted: Vec<Subnet>,
    /// Whether we follow a peer's REFER, as a phone does.
    pub takes_refer: bool,
    /// The seed of branches, tags, Call-IDs.
    pub seed: u64,
}

/// Why signalling did not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// No address was given.
    #[error("no address to listen on")]
    Nowhere,
    /// The operating system refused an address.
    #[error("cannot listen on {transport:?} {address}")]
    Refused {
        /// How.
        transport: Transport,
        /// Where.
        address: SocketAddr,
        /// What it said.
        #[source]
        cause: io::Error,
    },
}

/// The signalling task takes no orders: it has stopped, or is far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signalling takes no more orders")]
pub struct Overloaded;

/// The handle to the signalling task: a sender, and nothing else. No method waits, but for
/// [`quiet`](Self::quiet).
///
/// An order for a dialog that is gone changes nothing; the event that says so is on its way. An order
/// that the stack refuses is answered by the event of its failure. The task ends when the last handle
/// is dropped or nobody takes its events any more.
#[derive(Clone, Debug)]
pub struct Signaling {
    orders: mpsc::Sender<Order>,
    opened: Arc<AtomicU64>,
    sent_by: Arc<[(Transport, SocketAddr)]>,
    tables: Arc<Tables>,
}

impl Signaling {
    /// Opens the sockets and starts the task. Events come on the receiver, to be drained by the one
    /// who knows which call owns which dialog. Needs a tokio runtime, and metrics that are installed.
    pub fn spawn(
        network: &dyn Network,
        listen: Listen,
    ) -> Result<(Self, mpsc::Receiver<Event>), ListenError> {
        let (streams, inputs) = Streams::new();
        let mut sockets = Vec::new();
        let mut sent_by = Vec::new();
        for &(transport, address) in &listen.addresses {
            let bound = match transport {
                Transport::Udp => network.bind(address).map(|socket| {
                    let bound = socket.local_addr();
                    sockets.push(socket);
                    bound
                }),
                Transport::Tcp => streams.listen(address),
            };
            let bound =
                bound.map_err(|cause| ListenError::Refused { transport, address, cause })?;
            let ip = listen.external_ip.filter(|ip| ip.is_ipv4() == bound.is_ipv4());
            let ip = ip.unwrap_or_else(|| advertised_ip(network, bound.ip()));
            let known_as = SocketAddr::new(ip, bound.port());
            info!(?transport, address = %bound, %known_as, "listening");
            sent_by.push((transport, known_as));
        }
        if sent_by.is_empty() {
            return Err(ListenError::Nowhere);
        }

        let endpoint = Endpoint::new(Settings {
            sent_by: sent_by.clone(),
            user_agent: listen.user_agent,
            calls_max: listen.calls_max,
            trusted: listen.trusted,
            takes_refer: listen.takes_refer,
            seed: listen.seed,
        });
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (events, told) = mpsc::channel(EVENTS);
        let tables = Arc::new(Tables::default());
        let measures = Measures::new(tables.clone());
        let task = Task::new(endpoint, sockets, streams, inputs, ordered, events, measures);
        tokio::spawn(task.run());
        Ok((Signaling { orders, opened: Arc::default(), sent_by: sent_by.into(), tables }, told))
    }

    /// The address in our Via and Contact for a transport that we listen on.
    pub fn sent_by(&self, transport: Transport) -> Option<SocketAddr> {
        self.sent_by.iter().find(|(ours, _)| *ours == transport).map(|&(_, address)| address)
    }

    /// Whether the task lives. Without it the program is not fit to take calls.
    pub fn is_running(&self) -> bool {
        !self.orders.is_closed()
    }

    /// How much is going on in the stack.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Waits until no dialog is left, every BYE answered, but not longer than that: a peer that does not
    /// answer a BYE will not miss it. Says whether it was in time.
    pub async fn quiet(&self, within: Duration) -> bool {
        let quiet = async {
            while self.is_running() && self.tables.dialogs() > 0 {
                tokio::time::sleep(QUIET_BEAT).await;
            }
        };
        tokio::time::timeout(within, quiet).await.is_ok()
    }

    /// A name for a dialog that is to be opened. Whoever shares the dialogs out must know it before the
    /// dialog's first event.
    pub fn new_dialog(&self) -> DialogId {
        DialogId::outgoing(self.opened.fetch_add(1, Ordering::Relaxed))
    }

    /// Calls somebody, in a dialog of that [new](Self::new_dialog) name. `Ringing`, `Answered` or
    /// `Failed` follows.
    pub fn invite(&self, dialog: DialogId, invite: Invite) -> Result<(), Overloaded> {
        self.order(Order::Invite(dialog, Box::new(invite)))
    }

    /// Sends 101 to 199 to an INVITE of a peer, with early media's description if any.
    pub fn ring(
        &self,
        dialog: DialogId,
        status: StatusCode,
        body: Option<Body>,
        headers: Headers,
    ) -> Result<(), Overloaded> {
        self.order(Order::Ring(dialog, status, body, headers))
    }

    /// Accepts an INVITE or a re-INVITE of a peer. `Acknowledged` or `Unacknowledged` follows.
    pub fn answer(&self, dialog: DialogId, body: Body, headers: Headers) -> Result<(), Overloaded> {
        self.order(Order::Answer(dialog, body, headers))
    }

    /// Refuses an INVITE or a re-INVITE of a peer, with 300 to 699.
    pub fn reject(
        &self,
        dialog: DialogId,
        status: StatusCode,
        headers: Headers,
    ) -> Result<(), Overloaded> {
        self.order(Order::Reject(dialog, status, headers))
    }

    /// Ends a dialog as its state wants it: BYE, CANCEL, or a refusal. Nothing more is told of it, but
    /// for the `Failed` of an INVITE of ours.
    pub fn hang_up(&self, dialog: DialogId, reason: Option<Reason>) -> Result<(), Overloaded> {
        self.order(Order::HangUp(dialog, reason))
    }

    /// Asks the peer to call somebody else: the value of Refer-To as the peer wants it.
    /// `ReferAnswered` and `ReferProgress` follow.
    pub fn refer(
        &self,
        dialog: DialogId,
        refer_to: String,
        headers: Headers,
    ) -> Result<(), Overloaded> {
        self.order(Order::Refer(dialog, refer_to, headers))
    }

    /// Agrees to follow a peer's REFER: 202, and a NOTIFY with 100.
    pub fn accept_refer(&self, dialog: DialogId) -> Result<(), Overloaded> {
        self.order(Order::AcceptRefer(dialog))
    }

    /// Refuses a peer's REFER, with 300 to 699.
    pub fn reject_refer(&self, dialog: DialogId, status: StatusCode) -> Result<(), Overloaded> {
        self.order(Order::RejectRefer(dialog, status))
    }

    /// Tells the referrer what the target has answered; a final status is the last word.
    pub fn notify_refer(&self, dialog: DialogId, status: StatusCode) -> Result<(), Overloaded> {
        self.order(Order::NotifyRefer(dialog, status))
    }

    /// Offers a change of the session. `ReinviteAnswered` or `ReinviteRefused` follows.
    pub fn reinvite(&self, dialog: DialogId, offer: Body) -> Result<(), Overloaded> {
        self.order(Order::Reinvite(dialog, offer))
    }

    /// Asks whether the peer still knows the dialog. `Probed` follows.
    pub fn probe(&self, dialog: DialogId) -> Result<(), Overloaded> {
        self.order(Order::Probe(dialog))
    }

    /// From now on these networks may speak for any dialog, and no others ([`Listen::trusted`]).
    pub fn trust(&self, networks: Vec<Subnet>) -> Result<(), Overloaded> {
        self.order(Order::Trust(networks))
    }

    fn order(&self, order: Order) -> Result<(), Overloaded> {
        self.orders.try_send(order).map_err(|_| Overloaded)
    }
}
