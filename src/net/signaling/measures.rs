//! The figures of the stack, for `/metrics` and for whoever waits until it is quiet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, counter, gauge};

use crate::sip::Endpoint;

/// How much is going on in the stack, as it was after the last thing that happened there.
#[derive(Debug, Default)]
pub struct Tables {
    dialogs: AtomicUsize,
    transactions: AtomicUsize,
}

impl Tables {
    /// Dialogs, and what is to become one.
    pub fn dialogs(&self) -> usize {
        self.dialogs.load(Ordering::Relaxed)
    }

    /// Transactions, on either side. They outlive their dialog by half a minute.
    pub fn transactions(&self) -> usize {
        self.transactions.load(Ordering::Relaxed)
    }
}

/// Publishes what the stack counts.
pub(super) struct Measures {
    tables: Arc<Tables>,
    dialogs: Gauge,
    calls: Gauge,
    server_transactions: Gauge,
    client_transactions: Gauge,
    requests: Vec<Counter>,
    responses: Vec<Counter>,
    retransmissions_received: Counter,
    retransmissions_sent: Counter,
    bad: Counter,
    strangers: Counter,
    /// INVITEs refused because the registry is behind.
    shed: Counter,
    /// Messages that the socket did not take.
    unsent: Counter,
}

impl Measures {
    pub(super) fn new(tables: Arc<Tables>) -> Self {
        let retransmissions =
            |direction| counter!("sip_retransmissions_total", "direction" => direction);
        let dropped = |why| counter!("sip_dropped_total", "why" => why);
        Measures {
            tables,
            dialogs: gauge!("sip_dialogs"),
            calls: gauge!("sip_calls"),
            server_transactions: gauge!("sip_server_transactions"),
            client_transactions: gauge!("sip_client_transactions"),
            requests: Vec::new(),
            responses: Vec::new(),
            retransmissions_received: retransmissions("received"),
            retransmissions_sent: retransmissions("sent"),
            bad: dropped("bad"),
            strangers: dropped("stranger"),
            shed: dropped("behind"),
            unsent: dropped("unsent"),
        }
    }

    /// Brings everything up to date.
    pub(super) fn publish(&mut self, endpoint: &Endpoint) {
        let counts = endpoint.counts();
        let transactions = counts.server_transactions + counts.client_transactions;
        self.tables.dialogs.store(counts.dialogs, Ordering::Relaxed);
        self.tables.transactions.store(transactions, Ordering::Relaxed);
        self.dialogs.set(counts.dialogs as f64);
        self.calls.set(counts.calls as f64);
        self.server_transactions.set(counts.server_transactions as f64);
        self.client_transactions.set(counts.client_transactions as f64);

        let counters = endpoint.counters();
        self.retransmissions_received.absolute(counters.retransmissions_received);
        self.retransmissions_sent.absolute(counters.retransmissions_sent);
        self.bad.absolute(counters.dropped);
        self.strangers.absolute(counters.strangers);
        for (index, (method, count)) in counters.requests_received().enumerate() {
            if index == self.requests.len() {
                self.requests.push(counter!("sip_requests_total", "method" => method));
            }
            self.requests[index].absolute(count);
        }
        for (index, (class, count)) in counters.responses_sent().enumerate() {
            if index == self.responses.len() {
                let class = format!("{class}xx");
                self.responses.push(counter!("sip_responses_total", "class" => class));
            }
            self.responses[index].absolute(count);
        }
    }

    pub(super) fn shed(&self) {
        self.shed.increment(1);
    }

    pub(super) fn unsent(&self) {
        self.unsent.increment(1);
    }
}
