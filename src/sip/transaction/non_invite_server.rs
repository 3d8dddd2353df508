//! The server transaction of every request but INVITE and ACK: RFC 3261 §17.2.2.
//!
//! ```text
//!                 | request
//!                 V
//!          +------------+   request: nothing
//!          |   Trying   | --------------------.
//!          +------------+                     |
//!            | 1xx: send     200-699: send    |
//!            V                                |
//!          +------------+                     |
//!          | Proceeding |   request: send     |
//!          +------------+                     |
//!            | 200-699: send                  |
//!            V                                |
//!          +------------+                     |
//!          | Completed  | <-------------------'
//!          +------------+   request: send
//!            | J
//!            V
//!          +------------+
//!          | Terminated |
//!          +------------+
//! ```
//!
//! Over a reliable transport J is 0.

use std::time::Instant;

use super::{GIVE_UP, Packet};
use crate::sip::{StatusCode, Transport};

/// Answers one request, and its repetitions with the same answer.
#[derive(Debug)]
pub struct NonInviteServer {
    transport: Transport,
    state: State,
    outbox: Option<Packet>,
}

#[derive(Debug)]
enum State {
    Trying,
    Proceeding { provisional: Packet },
    Completed { response: Packet, until: Instant },
    Terminated,
}

impl NonInviteServer {
    /// Starts the transaction.
    pub fn new(transport: Transport) -> Self {
        NonInviteServer { transport, state: State::Trying, outbox: None }
    }

    /// The user answers. Returns whether the answer leaves; there is one final response.
    pub fn respond(&mut self, now: Instant, status: StatusCode, response: Packet) -> bool {
        let (State::Trying | State::Proceeding { .. }) = self.state else { return false };
        self.state = if status.is_provisional() {
            State::Proceeding { provisional: response.clone() }
        } else if self.transport.is_reliable() {
            State::Terminated
        } else {
            State::Completed { response: response.clone(), until: now + GIVE_UP }
        };
        self.outbox = Some(response);
        true
    }

    /// The request came again: our response was lost, or is under way.
    pub fn handle_retransmission(&mut self) {
        self.outbox = match &self.state {
            State::Proceeding { provisional } => Some(provisional.clone()),
            State::Completed { response, .. } => Some(response.clone()),
            State::Trying | State::Terminated => None,
        };
    }

    /// Fires the timer that is due at `now`, if one is. Never gives up: there is nothing to wait for.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.poll_timeout().is_some_and(|until| until <= now) {
            self.state = State::Terminated;
        }
        false
    }

    /// The next response to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        self.outbox.take()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Completed { until, .. } => Some(until),
            State::Trying | State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Whether the transaction can be forgotten, once its last packet is taken.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Machine;
    use super::super::tests::{Quiet, packet, run_until_quiet};
    use super::*;

    #[test]
    fn answer_is_kept_for_timer_j() {
        for (transport, terminated) in [(Transport::Udp, 32_000), (Transport::Tcp, 0)] {
            let start = Instant::now();
            let mut transaction = NonInviteServer::new(transport);
            transaction.respond(start, StatusCode::of(200), packet("200"));
            let quiet = run_until_quiet(&mut Machine::NonInviteServer(transaction), start);
            assert_eq!(
                quiet,
                Quiet { sends: vec![0], gave_up: None, terminated: Some(terminated) }
            );
        }
    }

    #[test]
    fn repeated_request_gets_the_same_answer_once_there_is_one() {
        let now = Instant::now();
        let mut transaction = NonInviteServer::new(Transport::Udp);
        transaction.handle_retransmission();
        assert_eq!(transaction.poll_transmit(), None);

        transaction.respond(now, StatusCode::of(200), packet("200"));
        assert_eq!(transaction.poll_transmit(), Some(packet("200")));
        transaction.handle_retransmission();
        assert_eq!(transaction.poll_transmit(), Some(packet("200")));
    }

    #[test]
    fn second_final_response_does_not_leave() {
        let now = Instant::now();
        let mut transaction = NonInviteServer::new(Transport::Udp);
        assert!(transaction.respond(now, StatusCode::of(200), packet("200")));
        assert!(!transaction.respond(now, StatusCode::of(500), packet("500")));
        assert_eq!(transaction.poll_transmit(), Some(packet("200")));
    }
}
