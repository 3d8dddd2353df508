//! The four transaction machines: RFC 3261 §17 with the corrections of RFC 6026.
//!
//! | machine             | who    | for            | timers  | states that linger              |
//! |---------------------|--------|----------------|---------|---------------------------------|
//! | [`InviteClient`]    | client | INVITE         | A B D M | Completed (D), Accepted (M)     |
//! | [`NonInviteClient`] | client | the rest       | E F K   | Completed (K)                   |
//! | [`InviteServer`]    | server | INVITE         | G H I L | Confirmed (I), Accepted (L)     |
//! | [`NonInviteServer`] | server | the rest       | J       | Completed (J)                   |
//!
//! A transaction knows packets, not messages: what it repeats, it repeats byte for byte. Matching a
//! message to its transaction, and building what is sent, is the work of `sip::endpoint`.

mod invite_client;
mod invite_server;
mod non_invite_client;
mod non_invite_server;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;

/// Estimate of a round trip (RFC 3261 Appendix A, like the other two).
pub const T1: Duration = Duration::from_millis(500);
/// The longest gap between two sends of a non-INVITE request or an INVITE response.
pub const T2: Duration = Duration::from_secs(4);
/// How long a message can stay in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1, the patience of SIP: timers B, D, F, H, J, L and M.
pub const GIVE_UP: Duration = Duration::from_secs(32);

/// A message as it goes on the wire, shared by all its repetitions.
pub type Packet = Arc<[u8]>;

/// Any of the four.
#[derive(Debug)]
pub enum Machine {
    /// Of an INVITE that we sent.
    InviteClient(InviteClient),
    /// Of another request that we sent.
    NonInviteClient(NonInviteClient),
    /// Of an INVITE that we got.
    InviteServer(InviteServer),
    /// Of another request that we got.
    NonInviteServer(NonInviteServer),
}

impl Machine {
    /// Fires the timer that is due at `now`, if one is. `true`: the transaction gave up, because no
    /// response (client) or no ACK (server) came.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match self {
            Machine::InviteClient(machine) => machine.handle_timeout(now),
            Machine::NonInviteClient(machine) => machine.handle_timeout(now),
            Machine::InviteServer(machine) => machine.handle_timeout(now),
            Machine::NonInviteServer(machine) => machine.handle_timeout(now),
        }
    }

    /// The next packet to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        match self {
            Machine::InviteClient(machine) => machine.poll_transmit(),
            Machine::NonInviteClient(machine) => machine.poll_transmit(),
            Machine::InviteServer(machine) => machine.poll_transmit(),
            Machine::NonInviteServer(machine) => machine.poll_transmit(),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Machine::InviteClient(machine) => machine.poll_timeout(),
            Machine::NonInviteClient(machine) => machine.poll_timeout(),
            Machine::InviteServer(machine) => machine.poll_timeout(),
            Machine::NonInviteServer(machine) => machine.poll_timeout(),
        }
    }

    /// Whether the transaction can be forgotten, once its last packet is taken.
    pub fn is_terminated(&self) -> bool {
        match self {
            Machine::InviteClient(machine) => machine.is_terminated(),
            Machine::NonInviteClient(machine) => machine.is_terminated(),
            Machine::InviteServer(machine) => machine.is_terminated(),
            Machine::NonInviteServer(machine) => machine.is_terminated(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine does when it is left alone.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Quiet {
        /// When it sent, in milliseconds since the start.
        pub sends: Vec<u128>,
        /// When it gave up.
        pub gave_up: Option<u128>,
        /// When it could be forgotten.
        pub terminated: Option<u128>,
    }

    /// Jumps from timer to timer until none is left.
    pub fn run_until_quiet(machine: &mut Machine, start: Instant) -> Quiet {
        let mut now = start;
        let mut quiet = Quiet { sends: vec![], gave_up: None, terminated: None };
        loop {
            let at = (now - start).as_millis();
            while machine.poll_transmit().is_some() {
                quiet.sends.push(at);
            }
            if machine.is_terminated() {
                quiet.terminated = Some(at);
            }
            let Some(next) = machine.poll_timeout() else { return quiet };
            assert!(next > now, "a timer that never moves on would spin the driver");
            now = next;
            if machine.handle_timeout(now) {
                quiet.gave_up = Some((now - start).as_millis());
            }
        }
    }

    /// A packet that can be told from others.
    pub fn packet(text: &str) -> Packet {
        text.as_bytes().into()
    }
}
