//! The client transaction of every request but INVITE and ACK: RFC 3261 §17.1.2.
//!
//! ```text
//!                 | request: send
//!        E: send  V
//!       .------ +------------+   F, or transport error
//!       `-----> |   Trying   | -------------------------.
//!               +------------+                          |
//!       200-699 |     | 1xx                             |
//!            .--'     V                                 |
//!            |  +------------+   F, or transport error  |
//!  E (=T2):  |  | Proceeding | -----------------------. |
//!  send      |  +------------+                        | |
//!            |        | 200-699                       | |
//!            V        V                               | |
//!          +--------------------+                     | |
//!          |     Completed      |                     | |
//!          +--------------------+                     | |
//!                | K                                  | |
//!                V                                    V V
//!          +----------------------------------------------+
//!          |                  Terminated                  |
//!          +----------------------------------------------+
//! ```
//!
//! Over a reliable transport there is no timer E, and K is 0.

use std::time::{Duration, Instant};

use super::{GIVE_UP, Packet, T1, T2, T4};
use crate::sip::{StatusCode, Transport};

/// Sends one request until somebody answers it.
#[derive(Debug)]
pub struct NonInviteClient {
    transport: Transport,
    state: State,
    outbox: Option<Packet>,
}

#[derive(Debug)]
enum State {
    /// Trying, and with `proceeding` the state of that name.
    Trying {
        request: Packet,
        resend_at: Option<Instant>,
        gap: Duration,
        give_up_at: Instant,
        proceeding: bool,
    },
    Completed {
        until: Instant,
    },
    Terminated,
}

impl NonInviteClient {
    /// Starts the transaction and sends the request.
    pub fn new(now: Instant, transport: Transport, request: Packet) -> Self {
        let state = State::Trying {
            request: request.clone(),
            resend_at: (!transport.is_reliable()).then(|| now + T1),
            gap: T1,
            give_up_at: now + GIVE_UP,
            proceeding: false,
        };
        NonInviteClient { transport, state, outbox: Some(request) }
    }

    /// A response came. Returns whether the user is to see it.
    pub fn handle_response(&mut self, now: Instant, status: StatusCode) -> bool {
        let State::Trying { proceeding, .. } = &mut self.state else { return false };
        if status.is_provisional() {
            *proceeding = true;
        } else if self.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.state = State::Completed { until: now + T4 };
        }
        true
    }

    /// The packet could not be delivered. Returns whether the user is to be told.
    pub fn handle_transport_error(&mut self) -> bool {
        let waits = matches!(self.state, State::Trying { .. });
        if waits {
            self.state = State::Terminated;
        }
        waits
    }

    /// Fires the timer that is due at `now`, if one is. `true`: nobody answered.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Trying { give_up_at, .. } if *give_up_at <= now => {
                self.state = State::Terminated;
                true
            }
            State::Trying { request, resend_at: Some(resend_at), gap, proceeding, .. }
                if *resend_at <= now =>
            {
                *gap = if *proceeding { T2 } else { (*gap * 2).min(T2) };
                // From now, not from when it was due: a driver that was late sends no burst.
                *resend_at = now + *gap;
                self.outbox = Some(request.clone());
                false
            }
            State::Completed { until } if *until <= now => {
                self.state = State::Terminated;
                false
            }
            _ => false,
        }
    }

    /// The next packet to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        self.outbox.take()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying { resend_at, give_up_at, .. } => {
                Some(resend_at.map_or(give_up_at, |resend_at| resend_at.min(give_up_at)))
            }
            State::Completed { until } => Some(until),
            State::Terminated => None,
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

    /// Timer E doubles up to T2, timer F ends it.
    #[test]
    fn unanswered_request_is_resent_until_timer_f() {
        let udp = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        check(UDP, None, &udp, Some(32_000), Some(32_000));
        check(TCP, None, &[0], Some(32_000), Some(32_000));
    }

    /// RFC 3261 §17.1.2.2: the timer that runs when the 1xx comes ends in its own time.
    #[test]
    fn provisional_response_slows_the_resending_to_t2() {
        let udp = [0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500];
        check(UDP, Some(100), &udp, Some(32_000), Some(32_000));
        check(TCP, Some(100), &[0], Some(32_000), Some(32_000));
    }

    #[test]
    fn answered_request_absorbs_repeated_answers_for_timer_k() {
        check(UDP, Some(200), &[0], None, Some(5_000));
        check(UDP, Some(481), &[0], None, Some(5_000));
        check(TCP, Some(200), &[0], None, Some(0));
    }

    #[test]
    fn final_response_is_told_once() {
        let now = Instant::now();
        let mut transaction = NonInviteClient::new(now, UDP, packet("BYE"));
        assert!(transaction.handle_response(now, StatusCode::of(200)));
        assert!(!transaction.handle_response(now, StatusCode::of(200)));
    }

    #[test]
    fn transport_error_ends_a_request_that_waits() {
        let now = Instant::now();
        let mut transaction = NonInviteClient::new(now, UDP, packet("BYE"));
        assert!(transaction.handle_transport_error());
        assert!(!transaction.handle_transport_error());
        assert!(transaction.is_terminated());
    }

    /// Sends a request, answers it at once, and compares what follows.
    #[track_caller]
    fn check(
        transport: Transport,
        answer: Option<u16>,
        sends: &[u128],
        gave_up: Option<u128>,
        terminated: Option<u128>,
    ) {
        let start = Instant::now();
        let mut transaction = NonInviteClient::new(start, transport, packet("BYE"));
        if let Some(status) = answer {
            transaction.handle_response(start, StatusCode::of(status));
        }
        let quiet = run_until_quiet(&mut Machine::NonInviteClient(transaction), start);
        assert_eq!(quiet, Quiet { sends: sends.to_vec(), gave_up, terminated });
    }
}
