//! What we write: Via, Contact, what we can do, and the messages around them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::{Rng, RngExt};

use super::table::{ClientKey, ClientTransaction, Purpose, ServerId};
use super::types::{ActionError, Peer, Transport};
use super::{Endpoint, Sending};
use crate::ids::DialogId;
use crate::sip::header::{CSeq, RetryAfter, Via};
use crate::sip::message::{Headers, Method, Request, Response, StatusCode};
use crate::sip::transaction::{InviteClient, Machine, NonInviteClient, Packet};
use crate::sip::uri::{Host, NameAddr, Uri};

/// The methods that we serve. One that is not here is answered with 405, or 501 if we have never
/// heard of it.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO";
/// The same of one that follows REFERs.
const ALLOW_REFER: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO, REFER";
/// The bodies of an INVITE that we read.
pub(super) const ACCEPT: &str = "application/sdp";
/// No extension needs our help yet; an empty list says so (RFC 3261 §20.37).
pub(super) const SUPPORTED: &str = "";

/// Header fields that a message has once, from the endpoint: a user's field would break it.
const OUR_OWN: [&str; 11] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Route",
    "Record-Route",
    "Content-Length",
    "Content-Type",
    "User-Agent",
];

impl Endpoint {
    /// A fresh number for a tag, a branch or a Call-ID.
    pub(super) fn fresh(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A number from a range, drawn evenly.
    pub(super) fn draw(&mut self, range: std::ops::RangeInclusive<u32>) -> u32 {
        self.rng.random_range(range)
    }

    /// The methods that we serve, as Allow has them.
    pub(super) fn allow(&self) -> &'static str {
        if self.settings.takes_refer { ALLOW_REFER } else { ALLOW }
    }

    /// Our Contact on a transport.
    pub(super) fn contact(&self, transport: Transport) -> String {
        let address = self.sent_by(transport);
        let uri = Uri::sip("", Host::Ip(address.ip()), Some(address.port()));
        let uri = match (uri, transport) {
            (Uri::Sip(sip), Transport::Tcp) => Uri::Sip(sip.with_param("transport", "tcp")),
            (uri, _) => uri,
        };
        NameAddr::new(uri).to_string()
    }

    fn sent_by(&self, transport: Transport) -> SocketAddr {
        let ours = &self.settings.sent_by;
        let fits = ours.iter().find(|(listens, _)| *listens == transport);
        fits.or(ours.first()).expect("settings name an address").1
    }

    /// Puts our Via on top.
    fn push_via(&self, request: &mut Request, transport: Transport, branch: &str) {
        let address = self.sent_by(transport);
        let host = Host::Ip(address.ip());
        let via = Via::new(transport.as_str(), host, Some(address.port()), branch);
        request.headers.push_front("Via", via.to_string());
    }

    /// Sends a request in a transaction of its own.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        mut request: Request,
        peer: Peer,
        purpose: Purpose,
        dialog: DialogId,
    ) -> ClientKey {
        let key = ClientKey { branch: self.fresh(), is_cancel: false };
        self.push_via(&mut request, peer.transport, &key.branch_text());
        request.headers.push("User-Agent", self.settings.user_agent.as_str());
        self.begin_client(now, key, request, peer, purpose, dialog);
        key
    }

    /// Sends the CANCEL of an INVITE: its branch, Request-URI, To and number (RFC 3261 §9.1).
    pub(super) fn send_cancel(
        &mut self,
        now: Instant,
        invite_key: ClientKey,
        reason: Option<&str>,
    ) {
        let Some(transaction) = self.clients.get(invite_key) else { return };
        let Some(invite) = transaction.invite.clone() else { return };
        let (peer, dialog) = (transaction.peer, transaction.dialog);

        let to = invite.headers.get("To").unwrap_or_default();
        let mut cancel = beside_invite(&invite, Method::Cancel, to);
        if let Some(reason) = reason {
            cancel.headers.push("Reason", reason);
        }
        let key = ClientKey { is_cancel: true, ..invite_key };
        self.begin_client(now, key, cancel, peer, Purpose::Nothing, dialog);
    }

    fn begin_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        request: Request,
        peer: Peer,
        purpose: Purpose,
        dialog: DialogId,
    ) {
        let packet: Packet = request.to_bytes().into();
        let method = request.method.clone();
        let (machine, invite) = match method {
            Method::Invite => {
                let machine = InviteClient::new(now, peer.transport, packet);
                (Machine::InviteClient(machine), Some(Arc::new(request)))
            }
            _ => {
                (Machine::NonInviteClient(NonInviteClient::new(now, peer.transport, packet)), None)
            }
        };
        let (acks, armed) = (Vec::new(), None);
        let transaction =
            ClientTransaction { machine, peer, method, purpose, dialog, invite, acks, armed };
        self.clients.insert(key, transaction);
        self.settle_client(key, Sending::New);
    }

    /// Sends the ACK of a 2xx: a transaction of nobody's (RFC 3261 §13.2.2.4).
    pub(super) fn send_ack(&mut self, mut ack: Request, to: Peer) -> Packet {
        let branch = ClientKey { branch: self.fresh(), is_cancel: false }.branch_text();
        self.push_via(&mut ack, to.transport, &branch);
        let packet: Packet = ack.to_bytes().into();
        self.send_packet(to, packet.clone(), Sending::New);
        packet
    }

    /// Sends a response in its transaction, and returns it as it left.
    pub(super) fn respond(&mut self, now: Instant, id: ServerId, response: Response) -> Packet {
        let status = response.status;
        let packet = self.encode(response);
        self.respond_with(now, id, status, packet.clone(), Sending::New);
        packet
    }

    fn encode(&self, mut response: Response) -> Packet {
        response.headers.push("Server", self.settings.user_agent.as_str());
        response.to_bytes().into()
    }

    /// Sends a response that was composed before.
    pub(super) fn respond_with(
        &mut self,
        now: Instant,
        id: ServerId,
        status: StatusCode,
        packet: Packet,
        sending: Sending,
    ) {
        let Some(transaction) = self.servers.get_mut(id) else { return };
        let left = match &mut transaction.machine {
            Machine::InviteServer(machine) => machine.respond(now, status, packet),
            Machine::NonInviteServer(machine) => machine.respond(now, status, packet),
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => false,
        };
        if left && sending == Sending::New {
            self.counters.answered(status);
        }
        self.settle_server(id, sending);
    }

    /// Answers a request with a status and nothing more to say.
    pub(super) fn respond_status(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &Request,
        status: u16,
    ) {
        let response = self.response(request, StatusCode::of(status), None);
        self.respond(now, id, response);
    }

    /// "Try again in a while": RFC 3261 §14.2, §21.5.4.
    pub(super) fn respond_later(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &Request,
        status: u16,
        seconds: u32,
    ) {
        let mut response = self.response(request, StatusCode::of(status), None);
        response.headers.push("Retry-After", RetryAfter { seconds }.to_string());
        self.respond(now, id, response);
    }

    /// A response with a To tag: the one that is there, `tag`, or one that is the same for each
    /// repetition of the request (RFC 3261 §8.2.6.2, §8.2.7).
    pub(super) fn response(
        &self,
        request: &Request,
        status: StatusCode,
        tag: Option<u64>,
    ) -> Response {
        let mut response = request.response(status);
        if status != StatusCode::of(100) {
            self.push_to_tag(&mut response, tag);
        }
        response
    }

    fn push_to_tag(&self, response: &mut Response, tag: Option<u64>) {
        let headers = &mut response.headers;
        let Some(to) = headers.get("To") else { return };
        if headers.to().is_some_and(|to| to.tag().is_some()) {
            return;
        }
        let tag = tag.unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            (self.settings.seed, headers.get("Via"), headers.get("Call-ID")).hash(&mut hasher);
            hasher.finish()
        });
        let to = format!("{to};tag={tag:016x}");
        headers.set("To", to);
    }

    /// Answers what is not worth a transaction, or has none left for it (RFC 3261 §8.2.7).
    pub(super) fn reply_without_transaction(&mut self, source: Peer, mut response: Response) {
        let Some(via) = stamp_via(&mut response.headers, source) else { return };
        self.push_to_tag(&mut response, None);
        self.counters.answered(response.status);
        let packet = self.encode(response);
        self.send_packet(reply_to(source, &via), packet, Sending::New);
    }
}

/// The ACK of a failure: a copy of the INVITE's head with the response's To (RFC 3261 §17.1.1.3).
pub(super) fn failure_ack(invite: &Request, response: &Response) -> Packet {
    let to = response.headers.get("To").unwrap_or_default();
    beside_invite(invite, Method::Ack, to).to_bytes().into()
}

/// What travels the same way as an INVITE of ours, as a part of it.
fn beside_invite(invite: &Request, method: Method, to: &str) -> Request {
    let headers = &invite.headers;
    let number = headers.cseq().map_or(1, |cseq| cseq.number);
    let mut request = Request::new(method.clone(), invite.uri.clone());
    let beside = &mut request.headers;
    beside.push("Via", headers.get("Via").unwrap_or_default());
    for route in headers.all("Route") {
        beside.push("Route", route);
    }
    beside.push("Max-Forwards", "70");
    beside.push("From", headers.get("From").unwrap_or_default());
    beside.push("To", to);
    beside.push("Call-ID", headers.get("Call-ID").unwrap_or_default());
    beside.push("CSeq", CSeq { number, method }.to_string());
    request
}

/// Notes in the top Via where the message really came from, and returns it.
pub(super) fn stamp_via(headers: &mut Headers, source: Peer) -> Option<Via> {
    let mut vias = headers.list::<Via>("Via").ok()?;
    let top = vias.first_mut()?;
    top.stamp(source.address);
    let top = top.clone();
    headers.remove("Via");
    for via in vias.iter().rev() {
        headers.push_front("Via", via.to_string());
    }
    Some(top)
}

/// Where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4): back on the connection, or to
/// the source's address and, as it asked, the port it sent from or the one it named.
pub(super) fn reply_to(source: Peer, via: &Via) -> Peer {
    if source.transport.is_reliable() || via.wants_rport() {
        return source;
    }
    let port = via.port.unwrap_or(5060);
    Peer { address: SocketAddr::new(source.address.ip(), port), ..source }
}

/// Adds a user's header fields to a message.
pub(super) fn extend(headers: &mut Headers, more: &Headers) -> Result<(), ActionError> {
    more.iter().try_for_each(|(name, value)| push(headers, name, value, &OUR_OWN))
}

/// The same for a refusal, which has no Contact of ours: that of a redirection says where else to try.
pub(super) fn extend_refusal(headers: &mut Headers, more: &Headers) -> Result<(), ActionError> {
    more.iter().try_for_each(|(name, value)| match name.eq_ignore_ascii_case("Contact") {
        true => push(headers, name, value, &[]),
        false => push(headers, name, value, &OUR_OWN),
    })
}

fn push(headers: &mut Headers, name: &str, value: &str, ours: &[&str]) -> Result<(), ActionError> {
    let is_ours = ours.iter().any(|own| own.eq_ignore_ascii_case(name));
    if is_ours || name.is_empty() || has_control(name) || has_control(value) {
        return Err(ActionError::BadHeader);
    }
    match name.eq_ignore_ascii_case("Max-Forwards") {
        true => headers.set("Max-Forwards", value),
        false => headers.push(name.to_owned(), value),
    }
    Ok(())
}

/// Whether a text could end a header field before its time.
pub(super) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}
