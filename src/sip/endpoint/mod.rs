//! The whole SIP stack as one machine: a user agent, both sides (RFC 3261 §§8 to 17).
//!
//! It is fed (`handle_datagram`, `handle_timeout`, and what its user wants: `invite`, `answer`,
//! `hang_up` …) and drained (`poll_transmit`, `poll_event`, `poll_timeout`). After every call that feeds
//! it, drain both polls to `None` and arm one timer.
//!
//! ```text
//!   bytes -> wire -> request  -> inbound -+-> server transaction (repeated? CANCEL? ACK?)
//!                 |                       +-> outside of a dialog: checks, OPTIONS, INVITE -> called
//!                 |                       '-> inside:  BYE, re-INVITE, NOTIFY, INFO …      -> inside
//!                 '> response -> answers ---> client transaction -> who sent the request
//!
//!   called    a peer's INVITE, re-INVITE and our 2xx until its ACK
//!   calling   our INVITE, its CANCEL, its forks
//!   inside    what else a peer may want within a dialog
//!   referred  a peer's REFER, for those who follow one
//!   actions   what else our user may want: hang up, REFER, re-INVITE, probe
//!   usage     the states of one session; table: who is who, and whose timer; compose: what we write
//! ```
//!
//! Where RFC 3261 leaves a choice, or where we deviate:
//!
//! - `maddr` in a Via is ignored: it would let a stranger point our responses at anybody.
//! - A dialog's request goes to the address in the route set or Contact; a name there cannot be resolved
//!   by a machine that never waits, so the request goes where the peer was last heard.
//! - A request within a dialog from a stranger's address is refused with 403 and changes nothing; see
//!   [`Settings::trusted`]. A stranger's CANCEL is ignored.
//! - A failure response that cannot be delivered is repeated until timer H all the same.

mod actions;
mod answers;
mod called;
mod calling;
mod compose;
mod counters;
mod inbound;
mod inside;
mod referred;
mod table;
mod types;
mod usage;

use std::collections::VecDeque;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

pub use counters::Counters;
pub use types::{
    ActionError, Counts, Event, Invite, Liveness, Peer, Settings, Subnet, Transmit, Transport,
};

use self::table::{ClientKey, Clients, Owner, ServerId, Servers, Timers, Usages};
use self::usage::Usage;
use super::message::Message;
use super::transaction::Packet;
use super::wire::{self, Parsed};
use crate::ids::DialogId;

/// The stack. It has no `Debug`: all that it holds belongs to persons.
pub struct Endpoint {
    settings: Settings,
    rng: StdRng,
    clients: Clients,
    servers: Servers,
    usages: Usages,
    timers: Timers,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counters: Counters,
    dialogs_opened_by_peers: u64,
    server_transactions_max: usize,
}

/// Why bytes leave: for the first time, or again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    New,
    Repeat,
}

impl Endpoint {
    /// A stack with nothing on the wire.
    ///
    /// # Panics
    ///
    /// When the settings name no address: nobody could answer such an endpoint.
    pub fn new(settings: Settings) -> Self {
        assert!(!settings.sent_by.is_empty(), "an endpoint needs an address to name");
        Endpoint {
            rng: StdRng::seed_from_u64(settings.seed),
            settings,
            clients: Clients::default(),
            servers: Servers::default(),
            usages: Usages::default(),
            timers: Timers::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            dialogs_opened_by_peers: 0,
            server_transactions_max: inbound::SERVER_TRANSACTIONS_MAX,
        }
    }

    /// Takes what came: a datagram, or one frame of a stream.
    pub fn handle_datagram(&mut self, now: Instant, source: Peer, bytes: &[u8]) {
        let parsed = match source.transport {
            Transport::Udp => wire::parse_datagram(bytes),
            Transport::Tcp => wire::parse_frame(bytes),
        };
        match parsed {
            Parsed::Message(Message::Request(request)) => self.handle_request(now, source, request),
            Parsed::Message(Message::Response(response)) => self.handle_response(now, response),
            Parsed::KeepAlive => (),
            Parsed::Bad(bad) => {
                self.counters.dropped += 1;
                if let Some(reply) = bad.reply {
                    self.reply_without_transaction(source, reply);
                }
            }
        }
    }

    /// Fires every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.timers.pop(now) {
            match owner {
                Owner::Client(key) => self.handle_client_timeout(now, key),
                Owner::Server(id) => self.handle_server_timeout(now, id),
                Owner::Dialog(dialog) => {
                    self.step(dialog, |endpoint, usage| {
                        usage.armed = None;
                        endpoint.handle_usage_timeout(now, dialog, usage);
                    });
                }
            }
        }
    }

    /// A packet did not reach that peer: refused, unreachable, or its connection broke. Requests that
    /// nobody has answered yet fail with 503 (RFC 3261 §8.1.3.1).
    pub fn handle_transport_error(&mut self, now: Instant, to: Peer) {
        for key in self.clients.to_peer(to) {
            self.handle_client_error(now, key);
        }
    }

    /// Replaces [`Settings::trusted`]; dialogs that are open follow the new list.
    pub fn trust(&mut self, networks: Vec<Subnet>) {
        self.settings.trusted = networks;
    }

    /// The next message to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How much is going on.
    pub fn counts(&self) -> Counts {
        Counts {
            server_transactions: self.servers.len(),
            client_transactions: self.clients.len(),
            dialogs: self.usages.len(),
            calls: self.usages.calls(),
            subscriptions: self.usages.subscriptions(),
            timers: self.timers.len(),
        }
    }

    /// What has passed since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Begins a usage.
    fn open(&mut self, id: DialogId, usage: Usage) {
        self.settle_usage(id, Box::new(usage));
    }

    /// Changes a usage. While it is changed, nobody else finds it.
    fn step<R>(&mut self, id: DialogId, act: impl FnOnce(&mut Self, &mut Usage) -> R) -> Option<R> {
        let mut usage = self.usages.take(id)?;
        let result = act(self, &mut usage);
        self.settle_usage(id, usage);
        Some(result)
    }

    /// Arms a usage's timer and puts it into its place, or forgets it when it is finished.
    fn settle_usage(&mut self, id: DialogId, mut usage: Box<Usage>) {
        let is_finished = usage.is_finished();
        let deadline = if is_finished { None } else { usage.poll_timeout() };
        self.timers.arm(Owner::Dialog(id), &mut usage.armed, deadline);
        match is_finished {
            true => self.usages.forget(&usage),
            false => self.usages.put(id, usage),
        }
    }

    /// Sends what a client transaction has to send, arms its timer, and forgets it when it is done.
    fn settle_client(&mut self, key: ClientKey, sending: Sending) {
        let Some(transaction) = self.clients.get_mut(key) else { return };
        while let Some(bytes) = transaction.machine.poll_transmit() {
            self.counters.repeated(sending);
            self.transmits.push_back(Transmit { to: transaction.peer, bytes });
        }
        let is_terminated = transaction.machine.is_terminated();
        let deadline = if is_terminated { None } else { transaction.machine.poll_timeout() };
        self.timers.arm(Owner::Client(key), &mut transaction.armed, deadline);
        if is_terminated {
            self.clients.remove(key);
        }
    }

    /// The same for a server transaction.
    fn settle_server(&mut self, id: ServerId, sending: Sending) {
        let Some(transaction) = self.servers.get_mut(id) else { return };
        while let Some(bytes) = transaction.machine.poll_transmit() {
            self.counters.repeated(sending);
            self.transmits.push_back(Transmit { to: transaction.reply_to, bytes });
        }
        let is_terminated = transaction.machine.is_terminated();
        let deadline = if is_terminated { None } else { transaction.machine.poll_timeout() };
        self.timers.arm(Owner::Server(id), &mut transaction.armed, deadline);
        if is_terminated {
            self.servers.remove(id);
        }
    }

    fn handle_server_timeout(&mut self, now: Instant, id: ServerId) {
        let Some(transaction) = self.servers.get_mut(id) else { return };
        transaction.armed = None;
        // That a failure of ours was never acknowledged changes nothing: the call is over.
        transaction.machine.handle_timeout(now);
        self.settle_server(id, Sending::Repeat);
    }

    fn send_packet(&mut self, to: Peer, bytes: Packet, sending: Sending) {
        self.counters.repeated(sending);
        self.transmits.push_back(Transmit { to, bytes });
    }
}

#[cfg(test)]
mod tests;
