//! The only sockets of the program, and the tasks and threads that drive the machines over them.
//!
//! [`Network`] is the seam under which the simulated network ([`sim`]) replaces the real one
//! ([`udp`]). Above it are two drivers: [`signaling`] drives `sip::Endpoint`, one task for all
//! dialogs; [`audio`] drives `media::Session`s and `media::Bridge`s, on threads with a beat of their
//! own. A handle to either is a sender and nothing else: it never waits. [`ports`] hands out the sockets
//! of media, [`ring`] is how a media thread tells a task something without waiting for it, and [`http`] is
//! what HTTP clients begin with.

pub mod audio;
pub mod http;
pub mod ports;
pub mod resolve;
pub mod ring;
pub mod signaling;
pub mod sim;
pub mod udp;

pub use audio::{Audio, CallAudio};
pub use ports::MediaPorts;
pub use signaling::Signaling;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The most bytes a datagram can have: nothing longer fits into an IP packet.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A bound datagram socket that a task waits on.
pub trait Datagrams: Send + Sync {
    /// The address it is bound to.
    fn local_addr(&self) -> SocketAddr;
    /// Whether [`try_recv`](Self::try_recv) is worth a call; arranges to be woken if not. One task
    /// waits at a time.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Takes one datagram; `WouldBlock` when there is none.
    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends one datagram now; `WouldBlock` when the buffer is full (the datagram is lost, as on any network).
    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()>;
}

/// A bound datagram socket that a media thread polls at its own beat. Never blocks.
pub trait MediaSocket: Send {
    /// The address it is bound to.
    fn local_addr(&self) -> SocketAddr;
    /// Takes one datagram; `WouldBlock` when there is none.
    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends one datagram now.
    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()>;
}

/// Where sockets come from.
pub trait Network: Send + Sync {
    /// Binds a socket for signalling, with large buffers.
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn Datagrams>>;
    /// Binds a socket for media.
    fn bind_media(&self, address: SocketAddr) -> io::Result<Box<dyn MediaSocket>>;
    /// The address of ours that a packet to `peer` would carry. Nothing is sent.
    fn local_ip_toward(&self, peer: SocketAddr) -> io::Result<IpAddr>;
}

/// Which address of ours to write into Via, Contact and SDP when `bound` is all of them (`0.0.0.0`,
/// `::`): that of the default route, which peers on this machine reach as well; the loopback
/// address on a machine without one. A socket bound to one address is known by it.
pub fn advertised_ip(network: &dyn Network, bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    let (far, loopback) = match bound {
        IpAddr::V4(_) => (FAR_IPV4, IpAddr::V4(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(_) => (FAR_IPV6, IpAddr::V6(Ipv6Addr::LOCALHOST)),
    };
    match network.local_ip_toward(SocketAddr::new(far, 9)) {
        Ok(ip) if !ip.is_unspecified() => ip,
        _ => loopback,
    }
}

/// An address for documentation (RFC 5737): nobody's, so only the default route leads to it.
const FAR_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The same for IPv6 (RFC 3849).
const FAR_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The one clock of the drivers here. Under a paused runtime it stands still, so tests own it; on a
/// thread without a runtime it is the clock of the machine.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
