//! The network in memory: seeded loss, delay, reordering and repetition, on tokio's paused clock.
//!
//! A run follows from its seed, on a runtime of one thread: each direction between two hosts draws
//! from a sequence of its own, so that traffic elsewhere does not change what happens here. A
//! datagram is put into its receiver's inbox at once, with the time from which it can be seen there;
//! the only timer is that of a task which waits for its next datagram.

mod weather;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use self::weather::Weather;
use super::{DATAGRAM_BYTES_MAX, Datagrams, MediaSocket, Network, now};

pub use self::weather::Conditions;

/// Datagrams that wait in one socket; more are lost, as in a kernel's receive buffer.
const INBOX_DATAGRAMS: usize = 4096;

/// Signalling datagrams that are kept for ladders. A story has some hundred.
const CAPTURE_DATAGRAMS: usize = 100_000;

/// The first port that is given to a socket which asks for any.
const EPHEMERAL_PORT: u16 = 49_152;

/// A network of hosts. Cloning shares it.
#[derive(Clone)]
pub struct SimNetwork {
    world: Arc<Mutex<World>>,
}

/// A signalling datagram as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When, since the network was made.
    pub sent: Duration,
    /// How long it took to its receiver; `None`: it was lost.
    pub delay: Option<Duration>,
    /// From whom.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// The whole message.
    pub bytes: Arc<[u8]>,
}

struct World {
    start: Instant,
    weather: Weather,
    sockets: BTreeMap<SocketAddr, Inbox>,
    /// Orders datagrams that arrive at the same time.
    sent: u64,
    capture: Vec<Captured>,
}

#[derive(Default)]
struct Inbox {
    /// By arrival, then in the order of sending.
    datagrams: BTreeMap<(Instant, u64), Datagram>,
    waiting: Option<Waker>,
}

/// From whom, and what.
type Datagram = (SocketAddr, Arc<[u8]>);

impl SimNetwork {
    /// A network without hosts, whose every direction is in the same `conditions`.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let world = World {
            start: now(),
            weather: Weather::new(seed, conditions),
            sockets: BTreeMap::new(),
            sent: 0,
            capture: Vec::new(),
        };
        SimNetwork { world: Arc::new(Mutex::new(world)) }
    }

    /// A machine with one address. Asking twice gives the same machine.
    pub fn host(&self, ip: IpAddr) -> Arc<dyn Network> {
        Arc::new(Host { ip, network: self.clone() })
    }

    /// Changes one direction, from now on.
    pub fn set_conditions(&self, from: IpAddr, to: IpAddr, conditions: Conditions) {
        self.world().weather.set(from, to, conditions);
    }

    /// What was sent on signalling sockets so far, in the order of sending.
    pub fn captured(&self) -> Vec<Captured> {
        self.world().capture.clone()
    }

    /// The addresses that are bound: none of a program that has closed what it opened.
    pub fn bound(&self) -> Vec<SocketAddr> {
        self.world().sockets.keys().copied().collect()
    }

    /// No method of the world panics half-way, so a poisoned lock (a test that failed) is still good.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn bind(&mut self, ip: IpAddr, wanted: SocketAddr) -> io::Result<SocketAddr> {
        if !wanted.ip().is_unspecified() && wanted.ip() != ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = match wanted.port() {
            0 => self.free_port(ip).ok_or(io::ErrorKind::AddrInUse)?,
            port => port,
        };
        let address = SocketAddr::new(ip, port);
        if self.sockets.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.sockets.insert(address, Inbox::default());
        Ok(address)
    }

    fn free_port(&self, ip: IpAddr) -> Option<u16> {
        (EPHEMERAL_PORT..=u16::MAX)
            .find(|&port| !self.sockets.contains_key(&SocketAddr::new(ip, port)))
    }

    /// Lets the weather decide, and puts what arrives into the inbox. Returns how long the first
    /// copy takes; `None` if it is lost.
    fn send(&mut self, bytes: &Arc<[u8]>, from: SocketAddr, to: SocketAddr) -> Option<Duration> {
        let delays = self.weather.draw(from.ip(), to.ip());
        // As on a real network, nobody tells the sender that nobody listens.
        let inbox = self.sockets.get_mut(&to)?;
        for delay in delays.iter().flatten() {
            if inbox.datagrams.len() == INBOX_DATAGRAMS {
                return None;
            }
            self.sent += 1;
            inbox.datagrams.insert((now() + *delay, self.sent), (from, bytes.clone()));
        }
        if let Some(waker) = inbox.waiting.take() {
            waker.wake();
        }
        delays[0]
    }

    fn capture(&mut self, bytes: &Arc<[u8]>, from: SocketAddr, to: SocketAddr) {
        let delay = self.send(bytes, from, to);
        if self.capture.len() < CAPTURE_DATAGRAMS {
            let (sent, bytes) = (now() - self.start, bytes.clone());
            self.capture.push(Captured { sent, delay, from, to, bytes });
        }
    }

    fn receive(&mut self, at: SocketAddr, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let inbox = self.sockets.get_mut(&at).ok_or(io::ErrorKind::NotConnected)?;
        let Some(first) = inbox.datagrams.first_entry().filter(|first| first.key().0 <= now())
        else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let (from, bytes) = first.remove();
        // What does not fit is cut off, as `recvfrom` does.
        let length = bytes.len().min(buf.len());
        buf[..length].copy_from_slice(&bytes[..length]);
        Ok((length, from))
    }
}

/// One machine of the network.
struct Host {
    ip: IpAddr,
    network: SimNetwork,
}

impl Host {
    fn open(&self, address: SocketAddr) -> io::Result<Bound> {
        let address = self.network.world().bind(self.ip, address)?;
        Ok(Bound { address, network: self.network.clone() })
    }
}

impl Network for Host {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        let bound = self.open(address)?;
        Ok(Arc::new(Signalling { bound, arrival: Mutex::new(None) }))
    }

    fn bind_media(&self, address: SocketAddr) -> io::Result<Box<dyn MediaSocket>> {
        Ok(Box::new(self.open(address)?))
    }

    fn local_ip_toward(&self, _peer: SocketAddr) -> io::Result<IpAddr> {
        Ok(self.ip)
    }
}

/// An address that is taken for as long as this lives.
struct Bound {
    address: SocketAddr,
    network: SimNetwork,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.network.world().sockets.remove(&self.address);
    }
}

impl MediaSocket for Bound {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.network.world().receive(self.address, buf)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        check_length(bytes)?;
        self.network.world().send(&bytes.into(), self.address, to);
        Ok(())
    }
}

/// A socket that a task waits on.
struct Signalling {
    bound: Bound,
    /// When the next datagram that is on its way can be seen.
    arrival: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Datagrams for Signalling {
    fn local_addr(&self) -> SocketAddr {
        self.bound.address
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let next = {
            let mut world = self.bound.network.world();
            let Some(inbox) = world.sockets.get_mut(&self.bound.address) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            // A datagram sent from now on may overtake those that are on their way.
            inbox.waiting = Some(cx.waker().clone());
            inbox.datagrams.first_key_value().map(|(&(arrival, _), _)| arrival)
        };
        let Some(next) = next else { return Poll::Pending };
        if next <= now() {
            return Poll::Ready(Ok(()));
        }
        let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = arrival.insert(Box::pin(tokio::time::sleep_until(next.into())));
        sleep.as_mut().poll(cx).map(Ok)
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.bound.try_recv(buf)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        check_length(bytes)?;
        self.bound.network.world().capture(&bytes.into(), self.bound.address, to);
        Ok(())
    }
}

/// The answer of a kernel to what no IP packet can hold.
fn check_length(bytes: &[u8]) -> io::Result<()> {
    let fits = bytes.len() <= DATAGRAM_BYTES_MAX - 28;
    fits.then_some(()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests;
