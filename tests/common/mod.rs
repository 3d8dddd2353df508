//! The built program on loopback, for the tests that meet it as its peers do: over sockets.

#![allow(dead_code, reason = "each of these tests uses its part")]

pub mod caller;
pub mod metrics;
pub mod peer;
pub mod place;
pub mod plan;
pub mod server;
pub mod sipp;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tandem");

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

/// Sends a signal to a process that the test has started: `TERM`, `USR1`.
pub fn signal(name: &str, process: u32) {
    // The shell's own `kill` is on every system that has a shell.
    let script = format!("kill -s {name} {process}");
    let sent = Command::new("sh").args(["-c", &script]).status();
    assert!(sent.is_ok_and(|status| status.success()), "no {name} to process {process}");
}

/// Whether a test that needs `tool` can run. Where it cannot, it says so; continuous integration has
/// every tool, so there it fails.
pub fn has_tool(tool: &str, look: &[&str]) -> bool {
    has(tool, Command::new(tool).args(look).output().is_ok())
}

/// The same of a file: a model, a recording.
pub fn has_file(file: &Path) -> bool {
    has(&file.display().to_string(), file.exists())
}

fn has(what: &str, found: bool) -> bool {
    if !found {
        assert!(std::env::var_os("CI").is_none(), "`{what}` is missing: `make test` installs it");
        eprintln!("skipped: `{what}` is missing (`make test` installs it)");
    }
    found
}
