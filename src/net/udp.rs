//! The real network: UDP sockets of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use metrics::gauge;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tracing::{info, warn};

use super::{Datagrams, MediaSocket, Network};

/// The receive buffer that signalling asks for: some 6,000 INVITEs. A default buffer (200 KiB) loses
/// calls whenever the machine stalls for a few hundred milliseconds.
const SIGNALLING_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// The receive buffer of a media socket: two seconds of one stream, so that one flooded port cannot
/// take the kernel's memory.
const MEDIA_BUFFER_BYTES: usize = 64 * 1024;

/// The traffic class of signalling: CS3 (RFC 4594 §2.3), in the place of the old TOS octet.
const TOS_SIGNALLING: u32 = 24 << 2;
/// The traffic class of voice: Expedited Forwarding (RFC 3246).
const TOS_VOICE: u32 = 46 << 2;

/// UDP as the operating system has it. Binding needs a tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Udp;

impl Network for Udp {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        let socket = open(address, TOS_SIGNALLING, SIGNALLING_BUFFER_BYTES)?;
        report_buffer(&socket, address);
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Arc::new(SignallingSocket { socket, local }))
    }

    fn bind_media(&self, address: SocketAddr) -> io::Result<Box<dyn MediaSocket>> {
        let socket: std::net::UdpSocket = open(address, TOS_VOICE, MEDIA_BUFFER_BYTES)?.into();
        let local = socket.local_addr()?;
        Ok(Box::new(VoiceSocket { socket, local }))
    }

    fn local_ip_toward(&self, peer: SocketAddr) -> io::Result<IpAddr> {
        let any: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // To connect a datagram socket only looks up the route.
        let probe = std::net::UdpSocket::bind((any, 0))?;
        probe.connect(peer)?;
        Ok(probe.local_addr()?.ip())
    }
}

fn open(address: SocketAddr, tos: u32, receive_buffer: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // `[::]` is IPv6 alone: a peer is never seen in two guises.
        socket.set_only_v6(true)?;
    } else {
        // A wish to the routers: a system that refuses it still carries calls.
        socket.set_tos_v4(tos).ok();
    }
    // The kernel caps the wish at `net.core.rmem_max`; what was got is read back.
    socket.set_recv_buffer_size(receive_buffer)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Says how large the receive buffer really is. Linux counts its bookkeeping in and so reports twice
/// what holds data.
fn report_buffer(socket: &Socket, address: SocketAddr) {
    let Ok(got) = socket.recv_buffer_size() else { return };
    let got = if cfg!(target_os = "linux") { got / 2 } else { got };
    gauge!("sip_receive_buffer_bytes").set(got as f64);
    if got < SIGNALLING_BUFFER_BYTES {
        warn!(
            %address,
            got,
            asked = SIGNALLING_BUFFER_BYTES,
            "small receive buffer: a burst of calls may lose some; raise net.core.rmem_max"
        );
    } else {
        info!(%address, bytes = got, "receive buffer");
    }
}

struct SignallingSocket {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Datagrams for SignallingSocket {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(cx)
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buf)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        // Past tokio, which would refuse until it has once seen the socket writable.
        SockRef::from(&self.socket).send_to(bytes, &to.into()).map(drop)
    }
}

struct VoiceSocket {
    socket: std::net::UdpSocket,
    local: SocketAddr,
}

impl MediaSocket for VoiceSocket {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(bytes, to).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use super::super::advertised_ip;
    use super::*;

    #[tokio::test]
    async fn datagram_arrives_with_its_source() {
        let [a, b] = [(); 2].map(|()| Udp.bind("127.0.0.1:0".parse().unwrap()).unwrap());

        a.try_send(b"hello", b.local_addr()).unwrap();

        let mut buf = [0; 64];
        let (length, from) = loop {
            poll_fn(|cx| b.poll_readable(cx)).await.unwrap();
            match b.try_recv(&mut buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                received => break received.unwrap(),
            }
        };
        assert_eq!((&buf[..length], from), (&b"hello"[..], a.local_addr()));
    }

    #[test]
    fn media_socket_without_datagrams_never_blocks() {
        let socket = Udp.bind_media("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = socket.try_recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn loopback_peer_is_reached_from_loopback() {
        let local = Udp.local_ip_toward("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert_eq!(local, Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn advertised_address_is_never_the_unspecified_one() {
        let any = Ipv4Addr::UNSPECIFIED.into();
        assert!(!advertised_ip(&Udp, any).is_unspecified());
        let one = Ipv4Addr::LOCALHOST.into();
        assert_eq!(advertised_ip(&Udp, one), one);
    }
}
