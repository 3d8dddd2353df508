//! The INVITE client transaction: RFC 3261 §17.1.1, with the Accepted state of RFC 6026 §7.2.
//!
//! ```text
//!                  | INVITE: send
//!         A: send  V
//!        .------ +-----------+  B, or transport error
//!        `-----> |  Calling  | ---------------------------.
//!                +-----------+                            |
//!        300-699 | 1xx |  | 2xx                           |
//!            .---'     V  '-----------.                   |
//!            |   +------------+  2xx  |                   |
//!            |   | Proceeding | ----. |                   |
//!            |   +------------+     | |                   |
//!            | 300-699 |            | |                   |
//!            V         V            V V                   |
//!          +------------------+   +----------+            |
//!  300-699 |    Completed     |   | Accepted |  2xx: tell |
//!  ACK     +------------------+   +----------+            |
//!             | D, or transport     | M                   |
//!             V error               V                     V
//!          +------------------------------------------------+
//!          |                  Terminated                    |
//!          +------------------------------------------------+
//! ```
//!
//! Over a reliable transport there is no timer A, and D is 0. Proceeding has no timer: how long a
//! phone may ring is decided by the transaction's user, who then cancels.

use std::time::{Duration, Instant};

use super::{GIVE_UP, Packet, T1};
use crate::sip::{StatusCode, Transport};

/// Sends one INVITE until somebody answers it.
#[derive(Debug)]
pub struct InviteClient {
    transport: Transport,
    state: State,
    outbox: Option<Packet>,
}

#[derive(Debug)]
enum State {
    Calling { invite: Packet, resend_at: Option<Instant>, gap: Duration, give_up_at: Instant },
    Proceeding,
    Completed { ack: Packet, until: Instant },
    Accepted { until: Instant },
    Terminated,
}

impl InviteClient {
    /// Starts the transaction and sends the INVITE.
    pub fn new(now: Instant, transport: Transport, invite: Packet) -> Self {
        let state = State::Calling {
            invite: invite.clone(),
            resend_at: (!transport.is_reliable()).then(|| now + T1),
            gap: T1,
            give_up_at: now + GIVE_UP,
        };
        InviteClient { transport, state, outbox: Some(invite) }
    }

    /// A response came. `ack` builds the ACK of a failure (RFC 3261 §17.1.1.3); the ACK of a 2xx is
    /// its user's. Returns whether the user is to see the response.
    pub fn handle_response(
        &mut self,
        now: Instant,
        status: StatusCode,
        ack: impl FnOnce() -> Packet,
    ) -> bool {
        match &self.state {
            State::Calling { .. } | State::Proceeding if status.is_provisional() => {
                self.state = State::Proceeding;
                true
            }
            State::Calling { .. } | State::Proceeding if status.is_success() => {
                self.state = State::Accepted { until: now + GIVE_UP };
                true
            }
            State::Calling { .. } | State::Proceeding => {
                let ack = ack();
                self.outbox = Some(ack.clone());
                self.state = match self.transport.is_reliable() {
                    true => State::Terminated,
                    false => State::Completed { ack, until: now + GIVE_UP },
                };
                true
            }
            State::Completed { ack, .. } => {
                if !status.is_provisional() && !status.is_success() {
                    self.outbox = Some(ack.clone());
                }
                false
            }
            // A repeated 2xx, or that of another fork: each is its user's to acknowledge.
            State::Accepted { .. } => status.is_success(),
            State::Terminated => false,
        }
    }

    /// The packet could not be delivered. Returns whether the user is to be told.
    pub fn handle_transport_error(&mut self) -> bool {
        match self.state {
            State::Calling { .. } => {
                self.state = State::Terminated;
                true
            }
            State::Completed { .. } => {
                self.state = State::Terminated;
                false
            }
            // Somebody has answered already: the packet that failed was not ours.
            State::Proceeding | State::Accepted { .. } | State::Terminated => false,
        }
    }

    /// Fires the timer that is due at `now`, if one is. `true`: nobody answered.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Calling { give_up_at, .. } if *give_up_at <= now => {
                self.state = State::Terminated;
                true
            }
            State::Calling { invite, resend_at: Some(resend_at), gap, .. } if *resend_at <= now => {
                *gap *= 2;
                // From now, not from when it was due: a driver that was late sends no burst.
                *resend_at = now + *gap;
                self.outbox = Some(invite.clone());
                false
            }
            State::Completed { until, .. } | State::Accepted { until } if *until <= now => {
                self.state = State::Terminated;
                false
            }
            _ => false,
        }
    }

    /// Ends the transaction at once: its user no longer waits (RFC 3261 §9.1).
    pub fn terminate(&mut self) {
        self.state = State::Terminated;
    }

    /// The next packet to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        self.outbox.take()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Calling { resend_at, give_up_at, .. } => {
                Some(resend_at.map_or(give_up_at, |resend_at| resend_at.min(give_up_at)))
            }
            State::Completed { until, .. } | State::Accepted { until } => Some(until),
            State::Proceeding | State::Terminated => None,
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

    const UDP: Transport = Transport::Udp;
    const TCP: Transport = Transport::Tcp;

    /// Timer A doubles without a bound, timer B ends it.
    #[test]
    fn unanswered_invite_is_resent_until_timer_b() {
        let udp = [0, 500, 1500, 3500, 7500, 15500, 31500];
        check(UDP, None, &udp, Some(32_000), Some(32_000));
        check(TCP, None, &[0], Some(32_000), Some(32_000));
    }

    #[test]
    fn provisional_response_stops_the_resending_for_good() {
        check(UDP, Some(180), &[0], None, None);
        check(TCP, Some(180), &[0], None, None);
    }

    #[test]
    fn accepted_invite_waits_for_other_2xx_until_timer_m() {
        check(UDP, Some(200), &[0], None, Some(32_000));
        check(TCP, Some(200), &[0], None, Some(32_000));
    }

    #[test]
    fn refused_invite_is_acknowledged_and_lingers_for_timer_d() {
        check(UDP, Some(486), &[0, 0], None, Some(32_000));
        check(TCP, Some(486), &[0, 0], None, Some(0));
    }

    #[test]
    fn each_repeated_failure_is_acknowledged_and_told_once() {
        let now = Instant::now();
        let mut transaction = InviteClient::new(now, UDP, packet("INVITE"));
        assert!(transaction.handle_response(now, StatusCode::of(486), || packet("ACK")));
        assert_eq!(transaction.poll_transmit(), Some(packet("ACK")));

        for _ in 0..3 {
            let again = || panic!("the ACK is built once");
            assert!(!transaction.handle_response(now, StatusCode::of(486), again));
            assert_eq!(transaction.poll_transmit(), Some(packet("ACK")));
        }
    }

    #[test]
    fn every_2xx_is_told_and_nothing_else_after_the_first() {
        let now = Instant::now();
        let mut transaction = InviteClient::new(now, UDP, packet("INVITE"));
        for (status, told) in [(200, true), (200, true), (180, false), (486, false)] {
            let ack = || packet("ACK");
            assert_eq!(transaction.handle_response(now, StatusCode::of(status), ack), told);
        }
    }

    #[test]
    fn transport_error_counts_only_before_the_first_response() {
        let now = Instant::now();
        let mut transaction = InviteClient::new(now, UDP, packet("INVITE"));
        transaction.handle_response(now, StatusCode::of(180), || packet("ACK"));
        assert!(!transaction.handle_transport_error());

        let mut transaction = InviteClient::new(now, UDP, packet("INVITE"));
        assert!(transaction.handle_transport_error());
        assert!(transaction.is_terminated());
    }

    /// Sends an INVITE, answers it at once, and compares what follows.
    #[track_caller]
    fn check(
        transport: Transport,
        answer: Option<u16>,
        sends: &[u128],
        gave_up: Option<u128>,
        terminated: Option<u128>,
    ) {
        let start = Instant::now();
        let mut transaction = InviteClient::new(start, transport, packet("INVITE"));
        let mut sent_at_once = Vec::new();
        if let Some(status) = answer {
            sent_at_once.extend(transaction.poll_transmit().map(|_| 0));
            transaction.handle_response(start, StatusCode::of(status), || packet("ACK"));
        }
        let mut quiet = run_until_quiet(&mut Machine::InviteClient(transaction), start);
        quiet.sends.splice(0..0, sent_at_once);
        assert_eq!(quiet, Quiet { sends: sends.to_vec(), gave_up, terminated });
    }
}
