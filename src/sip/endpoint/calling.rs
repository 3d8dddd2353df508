//! Our INVITE: from the first datagram to the ACK, or to the CANCEL (RFC 3261 §9.1, §13.2).
//!
//! ```text
//!   our user             us                       peer
//!    |---- invite ------->|---- INVITE ----------->|
//!    |                    |<--- 100 ---------------|
//!    |<--- Ringing -------|<--- 180 ---------------|
//!    |<--- Answered ------|<--- 200 ---------------|   the first of all forks; any other: ACK, BYE
//!    |                    |---- ACK -------------->|   the same again for each repeated 200
//!
//!    |---- hang_up ------>|                        |   before a 1xx: nothing leaves yet
//!    |                    |<--- 100 ---------------|
//!    |                    |---- CANCEL ----------->|
//!    |                    |<--- 200 (INVITE) ------|   they crossed: ACK, BYE
//!    |<--- Failed 487 ----|---- ACK, BYE --------->|
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compose;
use super::table::{ClientKey, Purpose, SentAck};
use super::types::{ActionError, Event, Invite};
use super::usage::{Cancel, Established, Inviting, State, Usage};
use super::{Endpoint, Sending};
use crate::ids::{CallId, DialogId};
use crate::sip::dialog::Dialog;
use crate::sip::header::CSeq;
use crate::sip::message::{Headers, Method, Request, Response, StatusCode};
use crate::sip::refer::Subscriptions;
use crate::sip::transaction::{GIVE_UP, Machine};

/// Dialogs at once, of both directions and with those that are ending. A host that holds so many has
/// no ports left for their sound.
const DIALOGS_MAX: usize = 1 << 16;
/// How long a phone may ring without another 1xx. Its agent has to repeat them each minute (RFC 3261
/// §13.3.1.1), and a proxy would give up after three (timer C, §16.6).
const PROVISIONAL_MAX: Duration = Duration::from_secs(181);
/// Phones that we keep apart while they ring, and answer while they all pick up. More forks than that
/// are an attack, not a family.
const FORKS_MAX: usize = 16;

impl Endpoint {
    /// Sends an INVITE. `dialog` is the user's name for what comes of it, never used before.
    pub fn invite(
        &mut self,
        now: Instant,
        dialog: DialogId,
        invite: Invite,
    ) -> Result<(), ActionError> {
        if self.usages.contains(dialog) {
            return Err(ActionError::Exists);
        }
        if self.usages.len() >= DIALOGS_MAX {
            return Err(ActionError::Full);
        }
        let tag = self.fresh();
        let call_id = match &invite.call_id {
            Some(call_id) => call_id.clone(),
            None => self.fresh_call_id(),
        };
        let peer = invite.to_peer;
        let request = self.first_request(invite, tag, &call_id)?;
        let transaction = self.send_request(now, request, peer, Purpose::Invite, dialog);
        let inviting = Inviting {
            transaction,
            early_tags: Vec::new(),
            is_proceeding: false,
            cancel: None,
            give_up_at: None,
        };
        let usage = Usage {
            call_id,
            tag,
            is_incoming: false,
            state: State::Inviting(inviting),
            subscriptions: Subscriptions::default(),
            referral: None,
            armed: None,
        };
        self.open(dialog, usage);
        Ok(())
    }

    fn first_request(
        &mut self,
        invite: Invite,
        tag: u64,
        call_id: &CallId,
    ) -> Result<Request, ActionError> {
        let mut request = Request::new(Method::Invite, invite.uri);
        let headers = &mut request.headers;
        headers.push("Max-Forwards", "70");
        headers.push("From", invite.from.with_tag(&format!("{tag:016x}")).to_string());
        headers.push("To", invite.to.to_string());
        headers.push("Call-ID", call_id.as_str());
        headers.push("CSeq", CSeq { number: 1, method: Method::Invite }.to_string());
        headers.push("Contact", self.contact(invite.to_peer.transport));
        headers.push("Allow", self.allow());
        compose::extend(headers, &invite.headers)?;
        request.body = invite.body;
        Ok(request)
    }

    fn fresh_call_id(&mut self) -> CallId {
        let text = format!("{:016x}{:016x}", self.fresh(), self.fresh());
        CallId::new(&text).expect("hexadecimal digits are a Call-ID")
    }

    /// Our user no longer wants an answer (RFC 3261 §9.1, §15).
    pub(super) fn cancel(&mut self, now: Instant, usage: &mut Usage, cancel: Cancel) {
        let State::Inviting(inviting) = &mut usage.state else { return };
        // The first word stands; its CANCEL may be on the wire.
        let cancel = inviting.cancel.get_or_insert(cancel);
        if inviting.is_proceeding && !cancel.is_sent {
            cancel.is_sent = true;
            inviting.give_up_at = Some(now + GIVE_UP);
            let reason = cancel.reason.clone();
            self.send_cancel(now, inviting.transaction, reason.as_deref());
        }
    }

    /// A response to our INVITE that is no repetition; every 2xx is one of those.
    pub(super) fn handle_invite_response(
        &mut self,
        now: Instant,
        key: ClientKey,
        id: DialogId,
        response: Response,
    ) {
        if response.status.is_success() {
            self.handle_invite_success(now, key, id, response);
        } else if response.status.is_provisional() {
            self.step(id, |endpoint, usage| {
                endpoint.handle_provisional(now, id, usage, response);
            });
        } else {
            let Response { status, reason, headers, .. } = response;
            self.invite_failed(id, status, reason, headers);
        }
    }

    fn handle_provisional(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        response: Response,
    ) {
        let State::Inviting(inviting) = &mut usage.state else { return };
        inviting.is_proceeding = true;
        let to = response.headers.to();
        if let Some(tag) = to.as_ref().and_then(|to| to.tag())
            && inviting.early_tags.len() < FORKS_MAX
            && !inviting.early_tags.iter().any(|early| early == tag)
        {
            inviting.early_tags.push(tag.to_owned());
        }
        if let Some(cancel) = inviting.cancel.take() {
            // Nobody listens to the ringing any more.
            return self.cancel(now, usage, cancel);
        }
        inviting.give_up_at = Some(now + PROVISIONAL_MAX);
        let Response { status, body, .. } = response;
        self.events.push_back(match status == StatusCode::of(100) {
            true => Event::Trying { dialog: id },
            false => Event::Ringing { dialog: id, status, body },
        });
    }

    /// RFC 3261 §13.2.2.4: every fork that answers gets its ACK, and all but the first a BYE.
    fn handle_invite_success(
        &mut self,
        now: Instant,
        key: ClientKey,
        id: DialogId,
        response: Response,
    ) {
        let Some(transaction) = self.clients.get(key) else { return };
        let (Some(invite), peer) = (transaction.invite.clone(), transaction.peer) else { return };
        let to = response.headers.to();
        let remote_tag = to.as_ref().and_then(|to| to.tag()).unwrap_or_default();
        if let Some(sent) = transaction.acks.iter().find(|sent| sent.remote_tag == remote_tag) {
            let (to, packet) = (sent.to, sent.packet.clone());
            self.counters.retransmissions_received += 1;
            return self.send_packet(to, packet, Sending::Repeat);
        }
        if transaction.acks.len() >= FORKS_MAX {
            self.counters.dropped += 1;
            return;
        }
        let Ok(dialog) = Dialog::from_response(&invite, &response, peer) else {
            // Without a sound route set it cannot even be told that we do not understand it.
            self.counters.dropped += 1;
            let status = StatusCode::of(502);
            return self.invite_failed(id, status, status.reason().into(), Headers::default());
        };
        self.acknowledge_success(key, &dialog, dialog.local_seq());
        let mut left_over = Some((dialog, response));
        self.step(id, |endpoint, usage| {
            let State::Inviting(inviting) = &mut usage.state else { return };
            let cancel = inviting.cancel.take();
            let Some((dialog, response)) = left_over.take() else { return };
            usage.state = State::Established(Established::new(dialog));
            match cancel {
                None => {
                    let response = Arc::new(response);
                    endpoint.events.push_back(Event::Answered { dialog: id, response });
                }
                Some(Cancel { reason, is_wanted, .. }) => {
                    endpoint.say_bye(now, id, usage, reason.as_deref());
                    endpoint.tell_cancelled(id, is_wanted);
                }
            }
        });
        if let Some((mut dialog, _)) = left_over {
            let bye = dialog.request(Method::Bye);
            self.send_request(now, bye, dialog.next_hop(), Purpose::Nothing, id);
        }
    }

    /// Sends the ACK of a 2xx and keeps it, for the repetitions of that 2xx.
    pub(super) fn acknowledge_success(&mut self, key: ClientKey, dialog: &Dialog, invite_seq: u32) {
        let to = dialog.next_hop();
        let packet = self.send_ack(dialog.ack(invite_seq), to);
        if let Some(transaction) = self.clients.get_mut(key) {
            let remote_tag = dialog.remote_tag().to_owned();
            transaction.acks.push(SentAck { remote_tag, to, packet });
        }
    }

    /// Our INVITE got no 2xx and will get none.
    pub(super) fn invite_failed(
        &mut self,
        id: DialogId,
        status: StatusCode,
        reason: String,
        headers: Headers,
    ) {
        self.step(id, |endpoint, usage| {
            let State::Inviting(inviting) = &usage.state else { return };
            let was_ours = inviting.cancel.as_ref().is_some_and(|cancel| !cancel.is_wanted);
            usage.state = State::Gone;
            if was_ours && status == StatusCode::of(487) {
                return endpoint.tell_cancelled(id, false);
            }
            endpoint.events.push_back(Event::Failed { dialog: id, status, reason, headers });
        });
    }

    /// The one whom we wanted to cancel says BYE: it answered, gave up on our ACK, and we have seen
    /// nothing of it. What still rings is cancelled.
    pub(super) fn handle_early_bye(&mut self, now: Instant, usage: &mut Usage) {
        let cancel = Cancel { reason: None, is_wanted: true, is_sent: false };
        self.cancel(now, usage, cancel);
    }

    /// The phone has rung for too long, or our CANCEL has changed nothing.
    pub(super) fn handle_calling_timeout(&mut self, now: Instant, id: DialogId, usage: &mut Usage) {
        let State::Inviting(inviting) = &mut usage.state else { return };
        if inviting.give_up_at.is_none_or(|at| now < at) {
            return;
        }
        match &inviting.cancel {
            Some(Cancel { is_sent: true, is_wanted, .. }) => {
                let (key, is_wanted) = (inviting.transaction, *is_wanted);
                self.abandon(key);
                usage.state = State::Gone;
                self.tell_cancelled(id, is_wanted);
            }
            _ => {
                let cancel = Cancel { reason: None, is_wanted: false, is_sent: false };
                self.cancel(now, usage, cancel);
            }
        }
    }

    /// Stops to wait for a response; one that comes after all belongs to nothing.
    pub(super) fn abandon(&mut self, key: ClientKey) {
        if let Some(transaction) = self.clients.get_mut(key)
            && let Machine::InviteClient(machine) = &mut transaction.machine
        {
            machine.terminate();
            self.settle_client(key, Sending::New);
        }
    }

    fn tell_cancelled(&mut self, dialog: DialogId, is_wanted: bool) {
        let status = StatusCode::of(if is_wanted { 487 } else { 408 });
        let reason = status.reason().to_owned();
        let headers = Headers::default();
        self.events.push_back(Event::Failed { dialog, status, reason, headers });
    }
}
