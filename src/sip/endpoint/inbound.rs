//! A request comes: which transaction is it of, which dialog, and may it be what it is?
//! (RFC 3261 §8.2, §9.2, §12.2.2, §17.2.3)

use std::sync::Arc;
use std::time::Instant;

use super::compose::{ACCEPT, SUPPORTED, reply_to, stamp_via};
use super::table::{ServerId, ServerKey, merge_key, server_key};
use super::types::{Event, Peer};
use super::{Endpoint, Sending};
use crate::sip::header::{RetryAfter, Token};
use crate::sip::message::{Method, Request, Response, StatusCode};
use crate::sip::transaction::{InviteServer, Machine, NonInviteServer};
use crate::sip::uri::Uri;

/// Server transactions that are remembered at once; at a kilobyte each, what a host can spare. Above
/// it, requests get a 503 that is forgotten as soon as it is sent.
pub(super) const SERVER_TRANSACTIONS_MAX: usize = 1 << 18;
/// When a peer may try again that met a full table.
pub(super) const BUSY_SECS: u32 = 5;

impl Endpoint {
    pub(super) fn handle_request(&mut self, now: Instant, source: Peer, mut request: Request) {
        self.counters.received(&request.method);
        let Some(via) = stamp_via(&mut request.headers, source) else {
            self.counters.dropped += 1;
            return;
        };
        if request.method == Method::Ack {
            let invite = self.servers.find(&server_key(&request, &via, &Method::Invite));
            return self.handle_ack(now, invite, &request);
        }
        let key = server_key(&request, &via, &request.method);
        if let Some(id) = self.servers.find(&key) {
            return self.handle_repetition(id);
        }
        if self.servers.len() >= self.server_transactions_max {
            let mut response = request.response(StatusCode::of(503));
            let retry_after = RetryAfter { seconds: BUSY_SECS };
            response.headers.push("Retry-After", retry_after.to_string());
            return self.reply_without_transaction(source, response);
        }
        if request.method == Method::Cancel {
            let invite = self.servers.find(&server_key(&request, &via, &Method::Invite));
            if !self.may_cancel(invite, source) {
                self.counters.strangers += 1;
                return;
            }
            let id = self.begin_server(key, &request, source, reply_to(source, &via));
            return self.handle_cancel(now, id, invite, &request);
        }
        // Asked before this request is itself remembered.
        let is_merged = merge_key(&request).is_some_and(|key| self.servers.is_merged(&key));
        let id = self.begin_server(key, &request, source, reply_to(source, &via));
        let request = Arc::new(request);
        let to = request.headers.to();
        match to.as_ref().and_then(|to| to.tag()) {
            Some(tag) => self.handle_inside(now, id, &request, tag, source),
            // One request on two ways: the other one rings already (RFC 3261 §8.2.2.2).
            None if is_merged => self.respond_status(now, id, &request, 482),
            None => self.handle_outside(now, id, request, source),
        }
    }

    fn begin_server(
        &mut self,
        key: ServerKey,
        request: &Request,
        source: Peer,
        reply_to: Peer,
    ) -> ServerId {
        let transport = source.transport;
        let machine = match request.method {
            Method::Invite => Machine::InviteServer(InviteServer::new(transport)),
            _ => Machine::NonInviteServer(NonInviteServer::new(transport)),
        };
        let merge_key = match request.method {
            Method::Cancel => None,
            _ => merge_key(request),
        };
        self.servers.insert(key, merge_key, machine, source, reply_to)
    }

    fn handle_repetition(&mut self, id: ServerId) {
        self.counters.retransmissions_received += 1;
        let Some(transaction) = self.servers.get_mut(id) else { return };
        match &mut transaction.machine {
            Machine::InviteServer(machine) => machine.handle_retransmission(),
            Machine::NonInviteServer(machine) => machine.handle_retransmission(),
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => (),
        }
        self.settle_server(id, Sending::Repeat);
    }

    fn handle_outside(&mut self, now: Instant, id: ServerId, request: Arc<Request>, source: Peer) {
        if let Some(objection) = self.objection(&request) {
            self.respond(now, id, objection);
            return;
        }
        match request.method {
            Method::Invite => self.handle_invite(now, id, request, source),
            Method::Options => self.handle_options(now, id, &request),
            // BYE, NOTIFY and INFO have no meaning without a dialog, and a REFER is only followed in one.
            _ => self.respond_status(now, id, &request, 481),
        }
    }

    /// What is wrong with a request, whatever its dialog (RFC 3261 §8.2.1 to §8.2.3).
    pub(super) fn objection(&self, request: &Request) -> Option<Response> {
        let object = |status| self.response(request, StatusCode::of(status), None);
        let headers = &request.headers;

        match &request.method {
            Method::Invite | Method::Bye | Method::Options | Method::Notify | Method::Info => (),
            Method::Refer if self.settings.takes_refer => (),
            Method::Other(_) => return Some(object(501)),
            _ => {
                let mut response = object(405);
                response.headers.push("Allow", self.allow());
                return Some(response);
            }
        }
        // A sips URI promises TLS on every hop, which we cannot keep (RFC 5630 §5.3).
        let is_known = match &request.uri {
            Uri::Sip(sip) => !sip.is_secure(),
            Uri::Tel(_) => true,
            Uri::Other(_) => false,
        };
        if !is_known {
            return Some(object(416));
        }
        let required: Vec<&str> = headers.tokens("Require").collect();
        if !required.is_empty() {
            let mut response = object(420);
            response.headers.push("Unsupported", required.join(", "));
            return Some(response);
        }
        if request.method == Method::Invite {
            return self.unread_body(request);
        }
        None
    }

    /// An offer in a language that we do not speak (RFC 3261 §8.2.3). A body that may be ignored is
    /// none of our concern.
    fn unread_body(&self, request: &Request) -> Option<Response> {
        let body = request.body.as_ref()?;
        let headers = &request.headers;
        let token = |name| headers.typed::<Token>(name).ok().flatten();
        let may_be_ignored = token("Content-Disposition").is_some_and(|disposition| {
            let handling = disposition.params.get("handling");
            handling.is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
        });
        if may_be_ignored {
            return None;
        }
        let encoding = headers.get("Content-Encoding");
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            let mut response = self.response(request, StatusCode::of(415), None);
            response.headers.push("Accept-Encoding", "identity");
            return Some(response);
        }
        let media_type = body.content_type.split(';').next().unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case(ACCEPT) {
            let mut response = self.response(request, StatusCode::of(415), None);
            response.headers.push("Accept", ACCEPT);
            return Some(response);
        }
        None
    }

    /// What we can do (RFC 3261 §11.2), and whether a call would be let in.
    pub(super) fn handle_options(&mut self, now: Instant, id: ServerId, request: &Request) {
        let is_inside = request.headers.to().is_some_and(|to| to.tag().is_some());
        if !is_inside && self.usages.calls() >= self.settings.calls_max {
            return self.respond_later(now, id, request, 503, BUSY_SECS);
        }
        let mut response = self.response(request, StatusCode::of(200), None);
        let headers = &mut response.headers;
        headers.push("Allow", self.allow());
        headers.push("Accept", ACCEPT);
        headers.push("Accept-Encoding", "identity");
        headers.push("Accept-Language", "en");
        headers.push("Supported", SUPPORTED);
        self.respond(now, id, response);
    }

    /// Whether a CANCEL is no stranger's: it cannot be challenged, so it has to come from where its
    /// INVITE came from. One for an INVITE that we do not know harms nobody.
    fn may_cancel(&self, invite: Option<ServerId>, source: Peer) -> bool {
        let invite = invite.and_then(|id| self.servers.get(id));
        invite.is_none_or(|invite| invite.source.address.ip() == source.address.ip())
    }

    /// RFC 3261 §9.2. A CANCEL that comes after the final response changes nothing.
    fn handle_cancel(
        &mut self,
        now: Instant,
        id: ServerId,
        invite: Option<ServerId>,
        cancel: &Request,
    ) {
        let transaction =
            invite.and_then(|invite| Some((invite, self.servers.get(invite)?.dialog)));
        let Some((invite, dialog)) = transaction else {
            return self.respond_status(now, id, cancel, 481);
        };
        let stepped = dialog.and_then(|dialog| {
            self.step(dialog, |endpoint, usage| {
                // With the tag of the INVITE's own responses (RFC 3261 §9.2).
                let ok = endpoint.response(cancel, StatusCode::of(200), Some(usage.tag));
                endpoint.respond(now, id, ok);
                let Some(request) = usage.take_waiting(invite) else { return };
                endpoint.refuse_invite(now, invite, &request, usage.tag, 487);
                if usage.is_finished() {
                    let reason = cancel.headers.get("Reason").map(str::to_owned);
                    endpoint.events.push_back(Event::Cancelled { dialog, reason });
                }
            })
        });
        if stepped.is_none() {
            self.respond_status(now, id, cancel, 200);
        }
    }

    /// Refuses an INVITE with our tag of its dialog.
    pub(super) fn refuse_invite(
        &mut self,
        now: Instant,
        server: ServerId,
        invite: &Request,
        tag: u64,
        status: u16,
    ) {
        let response = self.response(invite, StatusCode::of(status), Some(tag));
        self.respond(now, server, response);
    }
}
