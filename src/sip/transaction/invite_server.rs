//! The INVITE server transaction: RFC 3261 §17.2.1, with the Accepted state of RFC 6026 §7.1.
//!
//! ```text
//!                  |INVITE
//!                  V
//!            +------------+   101-199: send
//!    INVITE  |            | ------------.
//!    resend  | Proceeding |             |
//!      `---->|            | <-----------'
//!            +------------+
//!    300-699 |            | 2xx
//!    send    V            V send
//!      +-----------+   +----------+
//!      | Completed |   | Accepted |   INVITE: nothing
//!      +-----------+   +----------+
//!   ACK |      | H          | L
//!       V      |            |
//!  +-----------+            |
//!  | Confirmed |            |
//!  +-----------+            |
//!       | I    |            |
//!       V      V            V
//!      +---------------------+
//!      |     Terminated      |
//!      +---------------------+
//! ```
//!
//! Completed repeats the failure on timer G and on each repeated INVITE. Over a reliable transport
//! there is no timer G, and I is 0. In Accepted the 2xx is repeated by the dialog (RFC 3261
//! §13.3.1.4), on its own beat; the transaction is there to swallow the repeated INVITEs.

use std::time::{Duration, Instant};

use super::{GIVE_UP, Packet, T1, T2, T4};
use crate::sip::{StatusCode, Transport};

/// Answers one INVITE.
#[derive(Debug)]
pub struct InviteServer {
    transport: Transport,
    state: State,
    outbox: Option<Packet>,
}

#[derive(Debug)]
enum State {
    Proceeding { provisional: Option<Packet> },
    Completed { failure: Packet, resend_at: Option<Instant>, gap: Duration, give_up_at: Instant },
    Confirmed { until: Instant },
    Accepted { until: Instant },
    Terminated,
}

impl InviteServer {
    /// Starts the transaction. The 100 Trying is the user's to send, at once.
    pub fn new(transport: Transport) -> Self {
        InviteServer { transport, state: State::Proceeding { provisional: None }, outbox: None }
    }

    /// The user answers. Returns whether the answer leaves; once the call was decided, a late one
    /// changes nothing.
    pub fn respond(&mut self, now: Instant, status: StatusCode, response: Packet) -> bool {
        let State::Proceeding { provisional } = &mut self.state else { return false };
        if status.is_provisional() {
            *provisional = Some(response.clone());
        } else if status.is_success() {
            self.state = State::Accepted { until: now + GIVE_UP };
        } else {
            self.state = State::Completed {
                failure: response.clone(),
                resend_at: (!self.transport.is_reliable()).then(|| now + T1),
                gap: T1,
                give_up_at: now + GIVE_UP,
            };
        }
        self.outbox = Some(response);
        true
    }

    /// The INVITE came again: our last response was lost, or is under way.
    pub fn handle_retransmission(&mut self) {
        match &self.state {
            State::Proceeding { provisional } => self.outbox = provisional.clone(),
            State::Completed { failure, .. } => self.outbox = Some(failure.clone()),
            State::Accepted { .. } | State::Confirmed { .. } | State::Terminated => (),
        }
    }

    /// An ACK with this transaction's branch came. `true`: it was for our failure. The ACK of a 2xx
    /// is the dialog's.
    pub fn handle_ack(&mut self, now: Instant) -> bool {
        match self.state {
            State::Completed { .. } => {
                self.state = match self.transport.is_reliable() {
                    true => State::Terminated,
                    false => State::Confirmed { until: now + T4 },
                };
                true
            }
            State::Confirmed { .. } => true,
            State::Proceeding { .. } | State::Accepted { .. } | State::Terminated => false,
        }
    }

    /// Fires the timer that is due at `now`, if one is. `true`: no ACK came for our failure.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Completed { give_up_at, .. } if *give_up_at <= now => {
                self.state = State::Terminated;
                true
            }
            State::Completed { failure, resend_at: Some(resend_at), gap, .. }
                if *resend_at <= now =>
            {
                *gap = (*gap * 2).min(T2);
                // From now, not from when it was due: a driver that was late sends no burst.
                *resend_at = now + *gap;
                self.outbox = Some(failure.clone());
                false
            }
            State::Confirmed { until } | State::Accepted { until } if *until <= now => {
                self.state = State::Terminated;
                false
            }
            _ => false,
        }
    }

    /// The next response to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        self.outbox.take()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Proceeding { .. } | State::Terminated => None,
            State::Completed { resend_at, give_up_at, .. } => {
                Some(resend_at.map_or(give_up_at, |resend_at| resend_at.min(give_up_at)))
            }
            State::Confirmed { until } | State::Accepted { until } => Some(until),
        }
    }

    /// Whether a final response can still be given.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
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

    const UDP: Transport = Transport::Udp;
    const TCP: Transport = Transport::Tcp;

    /// A failure is resent after T1, then at doubling gaps of at most T2, until timer H ends it.
    #[test]
    fn failure_without_ack_is_resent_then_abandoned() {
        let udp = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        check(UDP, 486, &udp, Some(32_000), Some(32_000));
        check(TCP, 486, &[0], Some(32_000), Some(32_000));
    }

    #[test]
    fn success_is_sent_once_and_its_transaction_lingers_for_timer_l() {
        check(UDP, 200, &[0], None, Some(32_000));
        check(TCP, 200, &[0], None, Some(32_000));
    }

    #[test]
    fn ringing_has_no_timer() {
        check(UDP, 180, &[0], None, None);
    }

    #[test]
    fn ack_stops_the_resending_and_leaves_timer_i() {
        for (transport, terminated) in [(UDP, 5_000), (TCP, 0)] {
            let start = Instant::now();
            let mut transaction = InviteServer::new(transport);
            transaction.respond(start, StatusCode::of(486), packet("486"));
            assert!(transaction.handle_ack(start));
            let quiet = run_until_quiet(&mut Machine::InviteServer(transaction), start);
            assert_eq!(
                quiet,
                Quiet { sends: vec![0], gave_up: None, terminated: Some(terminated) }
            );
        }
    }

    #[test]
    fn repeated_invite_gets_the_last_response_until_a_2xx() {
        let now = Instant::now();
        let mut transaction = InviteServer::new(UDP);
        for (status, repeated) in [(100, true), (180, true), (200, false)] {
            transaction.respond(now, StatusCode::of(status), packet("response"));
            assert!(transaction.poll_transmit().is_some());
            transaction.handle_retransmission();
            assert_eq!(transaction.poll_transmit().is_some(), repeated, "after {status}");
        }
    }

    #[test]
    fn call_is_decided_once() {
        let now = Instant::now();
        let mut transaction = InviteServer::new(UDP);
        assert!(transaction.respond(now, StatusCode::of(487), packet("487")));
        assert!(!transaction.respond(now, StatusCode::of(200), packet("200")));
        assert_eq!(transaction.poll_transmit(), Some(packet("487")));
    }

    /// Answers an INVITE and compares what follows.
    #[track_caller]
    fn check(
        transport: Transport,
        status: u16,
        sends: &[u128],
        gave_up: Option<u128>,
        terminated: Option<u128>,
    ) {
        let start = Instant::now();
        let mut transaction = InviteServer::new(transport);
        transaction.respond(start, StatusCode::of(status), packet("response"));
        let quiet = run_until_quiet(&mut Machine::InviteServer(transaction), start);
        assert_eq!(quiet, Quiet { sends: sends.to_vec(), gave_up, terminated });
    }
}
