//! The task that owns the stack.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, error, trace};

use super::EVENTS;
use super::measures::Measures;
use super::order::Order;
use super::streams::{Input, Streams};
use crate::net::{DATAGRAM_BYTES_MAX, Datagrams, now};
use crate::sip::transaction::Packet;
use crate::sip::{Endpoint, Event, Headers, Peer, StatusCode, Transmit, Transport};

/// Room in the channel to the registry that new calls may not take.
const EVENTS_FOR_DIALOGS: usize = EVENTS / 2;

/// Datagrams that are read before timers and orders have their turn.
const DATAGRAMS_PER_WAKE: usize = 64;

/// Orders that are taken before sockets and timers have their turn.
const ORDERS_PER_WAKE: usize = 64;

/// What we tell a caller whom we refuse because we are behind: in how many seconds to try again.
const RETRY_AFTER_SECS: &str = "5";

/// The answer to a keep-alive (RFC 5626 §4.4.1).
const PONG: &[u8] = b"\r\n";

pub(super) struct Task {
    endpoint: Endpoint,
    sockets: Vec<Arc<dyn Datagrams>>,
    streams: Streams,
    inputs: mpsc::Receiver<Input>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    /// Events for which the channel has no room. While there are any, nothing is read; so this holds
    /// what one batch, the timers of existing dialogs and orders bring about.
    backlog: VecDeque<Event>,
    measures: Measures,
    /// Which socket, or the connections, is asked first.
    turn: usize,
    buf: Box<[u8]>,
}

/// Why the task woke.
enum Wake {
    /// The registry takes events again; `false`: it is gone.
    Room(bool),
    /// Somebody wants something; `None`: nobody ever will.
    Ordered(Option<Order>),
    TimedOut,
    Streamed(Option<Input>),
    Readable(usize, io::Result<()>),
}

impl Task {
    pub(super) fn new(
        endpoint: Endpoint,
        sockets: Vec<Arc<dyn Datagrams>>,
        streams: Streams,
        inputs: mpsc::Receiver<Input>,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Event>,
        measures: Measures,
    ) -> Self {
        let (backlog, buf) = (VecDeque::new(), vec![0; DATAGRAM_BYTES_MAX].into());
        Task { endpoint, sockets, streams, inputs, orders, events, backlog, measures, turn: 0, buf }
    }

    pub(super) async fn run(mut self) {
        loop {
            let wake = self.wait().await;
            let now = now();
            match wake {
                Wake::Room(true) => self.pass_on(),
                Wake::Ordered(Some(order)) => self.obey(now, order),
                Wake::TimedOut => self.endpoint.handle_timeout(now),
                Wake::Streamed(Some(input)) => self.handle_input(now, input),
                Wake::Readable(index, Ok(())) => self.read(now, index),
                Wake::Readable(_, Err(error)) => {
                    // No socket fails to wait but when the runtime ends. Better gone than deaf.
                    error!(%error, "cannot wait for datagrams");
                    return;
                }
                Wake::Room(false) | Wake::Ordered(None) | Wake::Streamed(None) => return,
            }
            self.flush(now);
            self.measures.publish(&self.endpoint);
        }
    }

    /// Only chooses. The order is fixed, so that a run in the simulation follows from its seed; what
    /// comes first is bounded by what the last, the sockets, bring about.
    async fn wait(&mut self) -> Wake {
        let deadline = self.endpoint.poll_timeout();
        let reads = self.backlog.is_empty();
        let Task { sockets, inputs, turn, orders, events, .. } = self;
        tokio::select! {
            biased;
            room = events.reserve(), if !reads => Wake::Room(room.is_ok()),
            order = orders.recv() => Wake::Ordered(order),
            () = sleep_until(deadline) => Wake::TimedOut,
            wake = poll_fn(|cx| poll_read(sockets, inputs, turn, cx)), if reads => wake,
        }
    }

    fn obey(&mut self, now: Instant, first: Order) {
        self.give(now, first);
        for _ in 1..ORDERS_PER_WAKE {
            let Ok(order) = self.orders.try_recv() else { return };
            self.give(now, order);
        }
    }

    fn give(&mut self, now: Instant, order: Order) {
        if let Some(refusal) = order.give(&mut self.endpoint, now) {
            self.tell(now, refusal);
        }
        self.flush(now);
    }

    fn read(&mut self, now: Instant, index: usize) {
        for _ in 0..DATAGRAMS_PER_WAKE {
            let Ok((length, source)) = self.sockets[index].try_recv(&mut self.buf) else { return };
            trace!(%source, length, "datagram");
            let peer = Peer { transport: Transport::Udp, address: source };
            self.endpoint.handle_datagram(now, peer, &self.buf[..length]);
            self.flush(now);
        }
    }

    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Accepted(address, stream) => self.streams.accepted(address, stream),
            Input::Received(address, bytes) => {
                trace!(source = %address, length = bytes.len(), "frame");
                self.endpoint.handle_datagram(now, tcp(address), &bytes);
            }
            Input::Pinged(address) => self.send_stream(now, address, PONG.into()),
            Input::Ended(address, number, ending) => {
                debug!(peer = %address, ?ending, "connection over");
                if self.streams.ended(address, number) && ending.is_failure() {
                    self.endpoint.handle_transport_error(now, tcp(address));
                }
            }
        }
    }

    /// Drains the stack.
    fn flush(&mut self, now: Instant) {
        loop {
            if let Some(transmit) = self.endpoint.poll_transmit() {
                self.transmit(now, transmit);
            } else if let Some(event) = self.endpoint.poll_event() {
                self.tell(now, event);
            } else {
                break;
            }
        }
    }

    fn transmit(&mut self, now: Instant, Transmit { to, bytes }: Transmit) {
        trace!(peer = ?to, length = bytes.len(), "sent");
        match to.transport {
            Transport::Tcp => self.send_stream(now, to.address, bytes),
            Transport::Udp => self.send_datagram(now, to, &bytes),
        }
    }

    fn send_datagram(&mut self, now: Instant, to: Peer, bytes: &[u8]) {
        let sent = match socket_for(&self.sockets, to.address) {
            Some(socket) => socket.try_send(bytes, to.address),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        let Err(error) = sent else { return };
        self.measures.unsent();
        // A full buffer is a loss like any other: what matters is sent again.
        if error.kind() != io::ErrorKind::WouldBlock {
            debug!(peer = %to.address, %error, "cannot send");
            self.endpoint.handle_transport_error(now, to);
        }
    }

    fn send_stream(&mut self, now: Instant, to: SocketAddr, bytes: Packet) {
        if self.streams.send(to, bytes).is_err() {
            self.measures.unsent();
            self.endpoint.handle_transport_error(now, tcp(to));
        }
    }

    /// Tells the registry, unless it is behind and the event is a new call, which is then refused.
    fn tell(&mut self, now: Instant, event: Event) {
        let behind = !self.backlog.is_empty() || self.events.capacity() <= EVENTS_FOR_DIALOGS;
        match event {
            Event::Invited { dialog, .. } if behind => {
                let mut headers = Headers::default();
                headers.push("Retry-After", RETRY_AFTER_SECS);
                self.measures.shed();
                let refused = self.endpoint.reject(now, dialog, StatusCode::of(503), &headers);
                debug_assert!(refused.is_ok(), "a new INVITE can be refused");
            }
            event => {
                self.backlog.push_back(event);
                self.pass_on();
            }
        }
    }

    /// Moves what waits into the channel, as far as there is room.
    fn pass_on(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(event) | TrySendError::Closed(event)) =
                self.events.try_send(event)
            {
                // Full: `wait` sees to it. Closed: it notices that too.
                self.backlog.push_front(event);
                return;
            }
        }
    }
}

fn tcp(address: SocketAddr) -> Peer {
    Peer { transport: Transport::Tcp, address }
}

/// Asks the sockets and the connections in turn, beginning behind the one that had something last, so
/// that a flood on one does not silence the others.
fn poll_read(
    sockets: &[Arc<dyn Datagrams>],
    inputs: &mut mpsc::Receiver<Input>,
    turn: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Wake> {
    let sources = sockets.len() + 1;
    for offset in 0..sources {
        let source = (*turn + offset) % sources;
        let wake = match sockets.get(source) {
            Some(socket) => socket.poll_readable(cx).map(|result| Wake::Readable(source, result)),
            None => inputs.poll_recv(cx).map(Wake::Streamed),
        };
        if wake.is_ready() {
            *turn = source + 1;
            return wake;
        }
    }
    Poll::Pending
}

/// The socket to send from: one of the address's family, and the loopback one for loopback.
fn socket_for(sockets: &[Arc<dyn Datagrams>], to: SocketAddr) -> Option<&Arc<dyn Datagrams>> {
    let of_family =
        || sockets.iter().filter(|socket| socket.local_addr().is_ipv4() == to.is_ipv4());
    let is_loopback = to.ip().is_loopback();
    let fits = |socket: &&Arc<dyn Datagrams>| {
        let local = socket.local_addr().ip();
        local.is_unspecified() || local.is_loopback() == is_loopback
    };
    of_family().find(fits).or_else(|| of_family().next())
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sim::{Conditions, SimNetwork};

    #[tokio::test(start_paused = true)]
    async fn peer_is_answered_from_the_socket_that_can_reach_it() {
        let network = SimNetwork::new(1, Conditions::PERFECT);
        let sockets = ["10.0.0.1:5060", "127.0.0.1:5060", "[2001:db8::1]:5060"].map(|address| {
            let address: SocketAddr = address.parse().unwrap();
            network.host(address.ip()).bind(address).unwrap()
        });
        for (sockets, to, from) in [
            (&sockets[..], "10.0.0.9:5060", Some("10.0.0.1:5060")),
            (&sockets[..], "127.0.0.1:5070", Some("127.0.0.1:5060")),
            (&sockets[..], "[2001:db8::9]:5060", Some("[2001:db8::1]:5060")),
            (&sockets[..1], "127.0.0.1:5070", Some("10.0.0.1:5060")),
            (&sockets[..1], "[2001:db8::9]:5060", None),
        ] {
            let socket = socket_for(sockets, to.parse().unwrap());
            assert_eq!(
                socket.map(|socket| socket.local_addr()),
                from.map(|from| from.parse().unwrap()),
                "{to}"
            );
        }
    }
}
