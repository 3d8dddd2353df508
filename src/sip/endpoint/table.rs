//! What the endpoint holds: transactions, dialogs, and the timers of both.
//!
//! Look-ups are by what stands on the wire. Sorted tables: no stranger can choose keys that collide, their
//! order is the same in every run, and they give memory back after a rush.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::types::Peer;
use super::usage::Usage;
use crate::ids::{CallId, DialogId};
use crate::sip::header::Via;
use crate::sip::message::{Method, Request};
use crate::sip::transaction::{Machine, Packet};

/// What begins every branch that follows RFC 3261 §8.1.1.7.
pub(super) const MAGIC_COOKIE: &str = "z9hG4bK";

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Client(ClientKey),
    Server(ServerId),
    Dialog(DialogId),
}

/// Deadlines, at most one for each owner.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, Owner)>,
}

impl Timers {
    /// Moves an owner's timer. `armed` is where the owner keeps what it has armed.
    pub fn arm(&mut self, owner: Owner, armed: &mut Option<Instant>, deadline: Option<Instant>) {
        if *armed == deadline {
            return;
        }
        if let Some(at) = armed.take() {
            self.due.remove(&(at, owner));
        }
        if let Some(at) = deadline {
            self.due.insert((at, owner));
        }
        *armed = deadline;
    }

    /// Takes the first timer that is due. Its owner has to forget that it was armed.
    pub fn pop(&mut self, now: Instant) -> Option<Owner> {
        let first = *self.due.first()?;
        (first.0 <= now).then(|| {
            self.due.remove(&first);
            first.1
        })
    }

    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }
}

/// A client transaction on the wire: the number in its branch, which is ours and random. A CANCEL
/// has the branch of the INVITE that it cancels (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientKey {
    pub branch: u64,
    pub is_cancel: bool,
}

impl ClientKey {
    pub fn branch_text(self) -> String {
        format!("{MAGIC_COOKIE}{:016x}", self.branch)
    }

    /// The transaction that a response belongs to, by its top Via and CSeq (RFC 3261 §17.1.3).
    pub fn of_response(via: &Via, method: &Method) -> Option<Self> {
        let branch = via.branch()?.strip_prefix(MAGIC_COOKIE)?;
        Some(ClientKey { branch: parse_token(branch)?, is_cancel: *method == Method::Cancel })
    }
}

/// Reads a tag or a branch of ours back: 16 hexadecimal digits, as we write them.
pub(super) fn parse_token(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// What a request of ours is for, and so who is told of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite,
    Reinvite,
    Bye,
    Refer(u32),
    Probe,
    /// Nobody: CANCEL, NOTIFY, and the BYE of a fork that came too late.
    Nothing,
}

/// A request of ours.
#[derive(Debug)]
pub(super) struct ClientTransaction {
    pub machine: Machine,
    pub peer: Peer,
    pub method: Method,
    pub purpose: Purpose,
    pub dialog: DialogId,
    /// The INVITE, for its ACK, its CANCEL, and the dialogs of its forks.
    pub invite: Option<Arc<Request>>,
    /// The ACKs that its 2xx got, by the peer's tag: repeated 2xx get the same (RFC 3261 §13.2.2.4).
    pub acks: Vec<SentAck>,
    pub armed: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct SentAck {
    pub remote_tag: String,
    pub to: Peer,
    pub packet: Packet,
}

/// Our requests.
#[derive(Debug, Default)]
pub(super) struct Clients {
    by_key: BTreeMap<ClientKey, ClientTransaction>,
    by_peer: BTreeSet<(Peer, ClientKey)>,
}

impl Clients {
    pub fn insert(&mut self, key: ClientKey, transaction: ClientTransaction) {
        self.by_peer.insert((transaction.peer, key));
        self.by_key.insert(key, transaction);
    }

    pub fn get(&self, key: ClientKey) -> Option<&ClientTransaction> {
        self.by_key.get(&key)
    }

    pub fn get_mut(&mut self, key: ClientKey) -> Option<&mut ClientTransaction> {
        self.by_key.get_mut(&key)
    }

    pub fn remove(&mut self, key: ClientKey) {
        if let Some(transaction) = self.by_key.remove(&key) {
            self.by_peer.remove(&(transaction.peer, key));
        }
    }

    /// Those that went to a peer.
    pub fn to_peer(&self, peer: Peer) -> Vec<ClientKey> {
        let first = ClientKey { branch: 0, is_cancel: false };
        let last = ClientKey { branch: u64::MAX, is_cancel: true };
        self.by_peer.range((peer, first)..=(peer, last)).map(|(_, key)| *key).collect()
    }

    pub fn len(&self) -> usize {
        debug_assert_eq!(self.by_key.len(), self.by_peer.len(), "an index leaks");
        self.by_key.len()
    }
}

/// A server transaction, for as long as the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServerId(u64);

/// What makes two requests the same transaction (RFC 3261 §17.2.3), as one text. The ACK of a
/// failure has the key of its INVITE.
pub(super) type ServerKey = Arc<str>;

/// A request of a peer.
#[derive(Debug)]
pub(super) struct ServerTransaction {
    pub machine: Machine,
    /// Where the responses go (RFC 3261 §18.2.2, RFC 3581 §4).
    pub reply_to: Peer,
    /// Where the request came from.
    pub source: Peer,
    /// The dialog of an INVITE, for its CANCEL.
    pub dialog: Option<DialogId>,
    pub armed: Option<Instant>,
    key: ServerKey,
    merge_key: Option<ServerKey>,
}

/// The requests of peers.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_id: BTreeMap<ServerId, ServerTransaction>,
    by_key: BTreeMap<ServerKey, ServerId>,
    /// Requests outside of dialogs by what survives a fork (RFC 3261 §8.2.2.2).
    by_merge_key: BTreeMap<ServerKey, ServerId>,
    begun: u64,
}

impl Servers {
    pub fn insert(
        &mut self,
        key: ServerKey,
        merge_key: Option<ServerKey>,
        machine: Machine,
        source: Peer,
        reply_to: Peer,
    ) -> ServerId {
        self.begun += 1;
        let id = ServerId(self.begun);
        self.by_key.insert(key.clone(), id);
        if let Some(merge_key) = &merge_key {
            self.by_merge_key.entry(merge_key.clone()).or_insert(id);
        }
        let dialog = None;
        let armed = None;
        let transaction =
            ServerTransaction { machine, reply_to, source, dialog, armed, key, merge_key };
        self.by_id.insert(id, transaction);
        id
    }

    pub fn find(&self, key: &str) -> Option<ServerId> {
        self.by_key.get(key).copied()
    }

    pub fn is_merged(&self, merge_key: &str) -> bool {
        self.by_merge_key.contains_key(merge_key)
    }

    pub fn get(&self, id: ServerId) -> Option<&ServerTransaction> {
        self.by_id.get(&id)
    }

    pub fn get_mut(&mut self, id: ServerId) -> Option<&mut ServerTransaction> {
        self.by_id.get_mut(&id)
    }

    pub fn remove(&mut self, id: ServerId) {
        let Some(transaction) = self.by_id.remove(&id) else { return };
        self.by_key.remove(&transaction.key);
        if let Some(merge_key) = transaction.merge_key
            && self.by_merge_key.get(&merge_key) == Some(&id)
        {
            self.by_merge_key.remove(&merge_key);
        }
    }

    pub fn len(&self) -> usize {
        debug_assert_eq!(self.by_id.len(), self.by_key.len(), "an index leaks");
        debug_assert!(self.by_merge_key.len() <= self.by_id.len(), "an index leaks");
        self.by_id.len()
    }
}

/// The key under which a request is remembered; for an ACK or a CANCEL, `method` asks for that of
/// its INVITE.
pub(super) fn server_key(request: &Request, via: &Via, method: &Method) -> ServerKey {
    let port = via.port.unwrap_or_default();
    match via.branch() {
        Some(branch) if branch.starts_with(MAGIC_COOKIE) => {
            format!("{method} {branch} {}:{port}", via.host).into()
        }
        // RFC 2543: the whole of what a repetition repeats. The To tag is left out, since an ACK has
        // one where its INVITE had none; our own tags are not needed to tell calls apart.
        _ => {
            let headers = &request.headers;
            let call_id = headers.get("Call-ID").unwrap_or_default();
            let from = headers.get("From").unwrap_or_default();
            let seq = headers.cseq().map_or(0, |cseq| cseq.number);
            format!("{method} {} {call_id} {from} {seq} {via}", request.uri).into()
        }
    }
}

/// What stays the same when one request reaches us on two ways; `None` within a dialog.
pub(super) fn merge_key(request: &Request) -> Option<ServerKey> {
    let headers = &request.headers;
    let (to, from) = (headers.to()?, headers.from()?);
    if to.tag().is_some() {
        return None;
    }
    let call_id = headers.get("Call-ID")?;
    let cseq = headers.get("CSeq")?;
    Some(format!("{} {call_id} {cseq}", from.tag()?).into())
}

/// Dialogs and what is to become one, by our name for them and by our tag.
#[derive(Debug, Default)]
pub(super) struct Usages {
    by_id: BTreeMap<DialogId, Box<Usage>>,
    by_tag: BTreeMap<u64, DialogId>,
    calls: usize,
    subscriptions: usize,
}

impl Usages {
    /// Takes a usage out, to be changed; it has to be put back, or forgotten.
    pub fn take(&mut self, id: DialogId) -> Option<Box<Usage>> {
        let usage = self.by_id.remove(&id)?;
        self.calls -= usize::from(usage.is_call());
        self.subscriptions -= usage.subscriptions.len();
        Some(usage)
    }

    pub fn put(&mut self, id: DialogId, usage: Box<Usage>) {
        self.calls += usize::from(usage.is_call());
        self.subscriptions += usage.subscriptions.len();
        self.by_tag.insert(usage.tag, id);
        self.by_id.insert(id, usage);
    }

    /// Forgets a usage that was taken out.
    pub fn forget(&mut self, usage: &Usage) {
        self.by_tag.remove(&usage.tag);
    }

    pub fn contains(&self, id: DialogId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The usage that a request with this To tag and Call-ID is meant for.
    pub fn find(&self, local_tag: &str, call_id: &CallId) -> Option<DialogId> {
        let id = *self.by_tag.get(&parse_token(local_tag)?)?;
        (self.by_id.get(&id)?.call_id == *call_id).then_some(id)
    }

    pub fn len(&self) -> usize {
        debug_assert_eq!(self.by_id.len(), self.by_tag.len(), "an index leaks");
        self.by_id.len()
    }

    pub fn calls(&self) -> usize {
        self.calls
    }

    pub fn subscriptions(&self) -> usize {
        self.subscriptions
    }
}
