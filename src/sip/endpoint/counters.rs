//! What has passed through the endpoint, for the metrics and for tests that want no repetition.

use super::Sending;
use crate::sip::message::{Method, StatusCode};

/// Names of the methods we count, in the order of [`Counters::requests_received`].
const METHODS: [&str; 8] = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "NOTIFY", "INFO", "other"];

/// Counts since the start. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that came again, of either kind: the peer has not heard us.
    pub retransmissions_received: u64,
    /// Messages that we sent again: we have not heard the peer.
    pub retransmissions_sent: u64,
    /// Messages that were no messages, and responses to nothing of ours.
    pub dropped: u64,
    /// Requests from an address that has no business in the dialog that they name.
    pub strangers: u64,
    requests: [u64; METHODS.len()],
    responses: [u64; 6],
}

impl Counters {
    /// Requests received by method, repetitions included; methods we have no name for are `other`.
    pub fn requests_received(&self) -> impl Iterator<Item = (&'static str, u64)> {
        METHODS.into_iter().zip(self.requests)
    }

    /// Responses sent by class, 1 to 6, repetitions not included.
    pub fn responses_sent(&self) -> impl Iterator<Item = (u8, u64)> {
        (1..).zip(self.responses)
    }

    pub(super) fn received(&mut self, method: &Method) {
        let index = METHODS.iter().position(|name| *name == method.as_str());
        self.requests[index.unwrap_or(METHODS.len() - 1)] += 1;
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.responses[usize::from(status.code() / 100 - 1)] += 1;
    }

    pub(super) fn repeated(&mut self, sending: Sending) {
        self.retransmissions_sent += u64::from(sending == Sending::Repeat);
    }
}
