//! The TCP connections: who is connected, and what they have sent.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::connection::Connection;
use crate::sip::transaction::Packet;

/// Connections at once. Each may hold a message and a queue; a further one is closed at once.
const CONNECTIONS_MAX: usize = 1024;

/// Connections with one address at once: a site behind a NAT has room, one host cannot take all.
pub(super) const CONNECTIONS_PER_HOST: usize = 256;

/// Messages that wait to be written to one peer: a burst on the one connection of a trunk. A full queue
/// means a peer that does not read: its connection ends, and its transactions fail.
const WRITES: usize = 512;

/// Messages that wait for the driver. A full channel stops the reading, and TCP stops the peers.
const INPUTS: usize = 256;

/// Connections that the kernel holds for us to accept.
const BACKLOG: i32 = 256;

/// How long accepting pauses when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the connections tell the driver.
pub(super) enum Input {
    /// A peer has connected.
    Accepted(SocketAddr, TcpStream),
    /// A message, whole.
    Received(SocketAddr, Vec<u8>),
    /// A keep-alive that wants an answer (RFC 5626 §4.4.1).
    Pinged(SocketAddr),
    /// The connection with that number is over.
    Ended(SocketAddr, u64, Ending),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing came for too long, or we have no more use for it. No transaction is that old.
    Idle,
    /// The peer closed it.
    Closed,
    /// What came could not be cut into messages.
    Broken,
    /// The network failed, or nobody answered the connect.
    Failed(io::ErrorKind),
}

impl Ending {
    /// Whether what was under way over this connection has failed.
    pub(super) fn is_failure(self) -> bool {
        self != Ending::Idle
    }
}

/// A connection could not be made or takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsendable;

/// All connections. The tasks behind them end when this is dropped.
pub(super) struct Streams {
    open: BTreeMap<SocketAddr, Open>,
    inputs: mpsc::Sender<Input>,
    made: u64,
    count: Gauge,
    refused: Counter,
}

struct Open {
    number: u64,
    writes: mpsc::Sender<Packet>,
    /// Dropped, it ends the connection, even one whose peer does not read.
    _release: oneshot::Sender<()>,
}

impl Streams {
    /// No connection yet, and the channel on which all of them tell.
    pub(super) fn new() -> (Self, mpsc::Receiver<Input>) {
        let (inputs, told) = mpsc::channel(INPUTS);
        let streams = Streams {
            open: BTreeMap::new(),
            inputs,
            made: 0,
            count: gauge!("sip_connections"),
            refused: counter!("sip_dropped_total", "why" => "connections"),
        };
        (streams, told)
    }

    /// Starts to accept; returns the address that was got.
    pub(super) fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::from_std(bind(address)?.into())?;
        let address = listener.local_addr()?;
        tokio::spawn(accept(listener, self.inputs.clone()));
        Ok(address)
    }

    /// Takes a connection that was accepted, or closes it if there are too many.
    pub(super) fn accepted(&mut self, peer: SocketAddr, stream: TcpStream) {
        if let Some(connection) = self.open(peer) {
            tokio::spawn(connection.accepted(stream));
        }
    }

    /// Queues a message, on a new connection if there is none.
    pub(super) fn send(&mut self, peer: SocketAddr, packet: Packet) -> Result<(), Unsendable> {
        let packet = match self.open.get(&peer).map(|open| open.writes.try_send(packet.clone())) {
            Some(Ok(())) => return Ok(()),
            // The peer does not read.
            Some(Err(TrySendError::Full(_))) => {
                debug!(%peer, "the peer does not read");
                self.forget(peer);
                return Err(Unsendable);
            }
            // It is over, and its end is on its way to us.
            Some(Err(TrySendError::Closed(packet))) => packet,
            None => packet,
        };
        let connection = self.open(peer).ok_or(Unsendable)?;
        tokio::spawn(connection.connect());
        let open = self.open.get(&peer).ok_or(Unsendable)?;
        open.writes.try_send(packet).map_err(|_| Unsendable)
    }

    /// A connection has ended; whether it was the one we know for that peer.
    pub(super) fn ended(&mut self, peer: SocketAddr, number: u64) -> bool {
        let known = self.open.get(&peer).is_some_and(|open| open.number == number);
        if known {
            self.forget(peer);
        }
        known
    }

    /// Makes room for a connection. One with the same peer is replaced: its address was used again.
    fn open(&mut self, peer: SocketAddr) -> Option<Connection> {
        let replaces = self.open.contains_key(&peer);
        if !replaces && (self.open.len() >= CONNECTIONS_MAX || self.is_crowded(peer.ip())) {
            self.refused.increment(1);
            return None;
        }
        self.made += 1;
        let (number, inputs) = (self.made, self.inputs.clone());
        let (queue, writes) = mpsc::channel(WRITES);
        let (release, released) = oneshot::channel();
        self.open.insert(peer, Open { number, writes: queue, _release: release });
        self.count.set(self.open.len() as f64);
        Some(Connection { peer, number, writes, released, inputs })
    }

    fn is_crowded(&self, ip: IpAddr) -> bool {
        let range = SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX);
        self.open.range(range).count() >= CONNECTIONS_PER_HOST
    }

    fn forget(&mut self, peer: SocketAddr) {
        self.open.remove(&peer);
        self.count.set(self.open.len() as f64);
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of the program before us may linger; they are not in the way.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, inputs: mpsc::Sender<Input>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = inputs.closed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                if inputs.send(Input::Accepted(peer, stream)).await.is_err() {
                    return;
                }
            }
            // One connection gone before we took it, or no descriptors left: others may go on.
            Err(error) => {
                debug!(%error, "accepting failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
