//! The built program on loopback, for the tests that meet it as its peers do: over sockets.

#![allow(dead_code, reason = "each of these tests uses its part")]

pub mod metrics;
pub mod peer;
pub mod plan;
pub mod server;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Where everything happens.
pub const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How long we look away between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A port of loopback that nobody has, neither for UDP nor for TCP. Somebody might take it before it is
/// used; the system draws from tens of thousands, so that is rare.
pub fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((LOOPBACK, 0)).expect("a free port");
        let port = udp.local_addr().expect("bound").port();
        if TcpListener::bind((LOOPBACK, port)).is_ok() {
            return port;
        }
    }
}

/// Loopback with this port.
pub fn at(port: u16) -> SocketAddr {
    SocketAddr::from((LOOPBACK, port))
}

/// Looks again and again until something is there; `None` when it is not there in time.
pub fn wait_for<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Whether a test that needs `tool` can run. Where it cannot, it says so; continuous integration has
/// every tool, so there it fails.
pub fn has_tool(tool: &str, look: &[&str]) -> bool {
    let found = std::process::Command::new(tool).args(look).output().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "`{tool}` is missing: `make test` installs it");
        eprintln!("skipped: `{tool}` is missing (`make test` installs it)");
    }
    found
}
