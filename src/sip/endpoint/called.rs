//! A peer's INVITE: from the first datagram to the ACK of our 2xx (RFC 3261 §13.3, §14.2, §15.1.2).
//!
//! ```text
//!   peer                    us                     our user
//!    |---- INVITE ---------->|
//!    |<--- 100 --------------|---- Invited --------->|
//!    |<--- 180 --------------|<--- ring -------------|   repeated each minute
//!    |<--- 200 --------------|<--- answer -----------|   repeated at T1, 2·T1 … T2 until the ACK
//!    |---- ACK ------------->|---- Acknowledged ---->|
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compose;
use super::inbound::BUSY_SECS;
use super::table::ServerId;
use super::types::{ActionError, Event, Peer, Transport};
use super::usage::{
    AfterAck, Established, Invited, Offered, Reinvite, Ringing, State, Unacknowledged, Usage,
};
use super::{Endpoint, Sending};
use crate::ids::DialogId;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Body, Headers, Request, Response, StatusCode};
use crate::sip::refer::Subscriptions;
use crate::sip::transaction::{GIVE_UP, Machine, T1, T2};

/// How often a ringing phone is said to ring, so that no proxy's timer C fires (RFC 3261 §13.3.1.1).
const RING_REPEAT: Duration = Duration::from_secs(60);
/// How long our user may leave an INVITE without a final response. Nobody listens to it ring longer;
/// without a bound a caller that vanished would be held for ever.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// The longest wait that we ask of a peer whose INVITE came too early, in seconds (RFC 3261 §14.2).
const TOO_EARLY_SECS_MAX: u32 = 10;

impl Endpoint {
    /// A phone rings: sends 101 to 199 to an INVITE of a peer, early media's description if any.
    pub fn ring(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: StatusCode,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<(), ActionError> {
        if !(101..200).contains(&status.code()) {
            return Err(ActionError::BadStatus(status));
        }
        self.act(dialog, |endpoint, usage| {
            let State::Invited(invited) = &mut usage.state else {
                return Err(ActionError::WrongState { state: usage.state_name() });
            };
            let (server, invite) = (invited.server, invited.request.clone());
            let mut response = endpoint.opening_response(server, &invite, status, usage.tag);
            compose::extend(&mut response.headers, headers)?;
            response.body = body;
            let packet = endpoint.respond(now, server, response);
            invited.ringing = Some(Ringing { status, packet, resend_at: now + RING_REPEAT });
            Ok(())
        })
    }

    /// Accepts an INVITE or a re-INVITE of a peer with 200 and our session description. `Acknowledged`
    /// or `Unacknowledged` follows.
    pub fn answer(
        &mut self,
        now: Instant,
        dialog: DialogId,
        body: Body,
        headers: &Headers,
    ) -> Result<(), ActionError> {
        self.act(dialog, |endpoint, usage| {
            let (server, invite) = usage.waiting()?;
            let status = StatusCode::of(200);
            let mut response = endpoint.opening_response(server, &invite, status, usage.tag);
            compose::extend(&mut response.headers, headers)?;
            response.body = Some(body);

            let to = endpoint.servers.get(server).map(|transaction| transaction.reply_to);
            let packet = endpoint.respond(now, server, response);
            // The transaction of an INVITE that waits is there: it ends only with a final response.
            let to = to.ok_or(ActionError::Gone)?;
            let established = usage.establish().ok_or(ActionError::Gone)?;
            established.dialog.refresh_target(invite.headers.contact());
            established.offered = None;
            established.unacknowledged = Some(Unacknowledged {
                invite_seq: invite.headers.cseq().map_or(0, |cseq| cseq.number),
                holds_offer: invite.body.is_none(),
                packet,
                to,
                resend_at: now + T1,
                gap: T1,
                give_up_at: now + GIVE_UP,
            });
            Ok(())
        })
    }

    /// Refuses an INVITE (the dialog is then gone) or a re-INVITE (the session stays as it was) of a
    /// peer, with 300 to 699. `Retry-After`, `Warning`, `Contact` of a redirection ride in `headers`.
    pub fn reject(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: StatusCode,
        headers: &Headers,
    ) -> Result<(), ActionError> {
        if status.code() < 300 {
            return Err(ActionError::BadStatus(status));
        }
        self.act(dialog, |endpoint, usage| {
            let (server, invite) = usage.waiting()?;
            let mut response = endpoint.response(&invite, status, Some(usage.tag));
            compose::extend_refusal(&mut response.headers, headers)?;
            endpoint.respond(now, server, response);
            usage.take_waiting(server);
            Ok(())
        })
    }

    /// An INVITE outside of any dialog, sound and understood.
    pub(super) fn handle_invite(
        &mut self,
        now: Instant,
        server: ServerId,
        request: Arc<Request>,
        source: Peer,
    ) {
        if self.usages.calls() >= self.settings.calls_max {
            return self.respond_later(now, server, &request, 503, BUSY_SECS);
        }
        let tag = self.fresh();
        let Ok(dialog) = Dialog::from_invite(&request, &format!("{tag:016x}"), source) else {
            return self.respond_status(now, server, &request, 400);
        };
        let call_id = dialog.call_id().clone();
        let trying = self.response(&request, StatusCode::of(100), None);
        self.respond(now, server, trying);

        let id = DialogId::incoming(self.dialogs_opened_by_peers);
        self.dialogs_opened_by_peers += 1;
        if let Some(transaction) = self.servers.get_mut(server) {
            transaction.dialog = Some(id);
        }
        let invited = Invited {
            server,
            request: request.clone(),
            ringing: None,
            give_up_at: now + ANSWER_MAX,
            dialog,
        };
        let usage = Usage {
            call_id,
            tag,
            is_incoming: true,
            state: State::Invited(invited),
            subscriptions: Subscriptions::default(),
            referral: None,
            armed: None,
        };
        self.open(id, usage);
        self.events.push_back(Event::Invited { dialog: id, request, source });
    }

    /// A re-INVITE, in order (RFC 3261 §14.2).
    pub(super) fn handle_reinvite(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        server: ServerId,
        request: &Arc<Request>,
    ) {
        let Some(established) = usage.established() else {
            // A second INVITE before the first is answered, or after the call.
            return match usage.state {
                State::Invited(_) => self.respond_too_early(now, server, request),
                _ => self.respond_status(now, server, request, 481),
            };
        };
        if established.offered.is_some() {
            return self.respond_too_early(now, server, request);
        }
        let is_ours_open = matches!(established.reinvite, Some(Reinvite::Sent { .. }));
        let waits_for_answer =
            established.unacknowledged.as_ref().is_some_and(|waiting| waiting.holds_offer);
        if is_ours_open || waits_for_answer {
            return self.respond_status(now, server, request, 491);
        }
        let was_acknowledged = established.unacknowledged.take().is_some();
        established.offered =
            Some(Offered { server, request: request.clone(), give_up_at: now + GIVE_UP });
        let trying = self.response(request, StatusCode::of(100), None);
        self.respond(now, server, trying);
        // Who sends a re-INVITE has seen our 2xx, and the ACK that it sent was lost or overtaken
        // (RFC 5407 §3.1.4).
        if was_acknowledged {
            self.acknowledged(now, id, usage, None);
        }
        // What waited for the ACK may have ended the call, and answered the re-INVITE with it.
        if usage.established().is_some() {
            let body = request.body.clone();
            self.events.push_back(Event::Reinvited { dialog: id, body });
        }
    }

    /// RFC 3261 §13.3.1.4: the ACK of a 2xx is matched by dialog and number, for it has a branch of its
    /// own. `invite` is the transaction that has the ACK's branch, that of a failure.
    pub(super) fn handle_ack(&mut self, now: Instant, invite: Option<ServerId>, ack: &Request) {
        if let Some(id) = invite
            && let Some(transaction) = self.servers.get_mut(id)
            && let Machine::InviteServer(machine) = &mut transaction.machine
            && machine.handle_ack(now)
        {
            return self.settle_server(id, Sending::New);
        }
        let (Some(to), Some(from)) = (ack.headers.to(), ack.headers.from()) else { return };
        let (Some(call_id), Some(cseq)) = (ack.headers.call_id(), ack.headers.cseq()) else {
            return;
        };
        // An ACK may come when its dialog is gone: the BYE has crossed a 2xx.
        let Some(id) = to.tag().and_then(|tag| self.usages.find(tag, &call_id)) else { return };
        self.step(id, |endpoint, usage| {
            let Some(established) = usage.established() else { return };
            if established.dialog.remote_tag() != from.tag().unwrap_or_default() {
                return;
            }
            let awaited = |waiting: &mut Unacknowledged| waiting.invite_seq == cseq.number;
            match established.unacknowledged.take_if(awaited) {
                Some(_) => endpoint.acknowledged(now, id, usage, ack.body.clone()),
                None => endpoint.counters.retransmissions_received += 1,
            }
        });
    }

    /// The ACK is there: what waited for it can go on.
    fn acknowledged(&mut self, now: Instant, id: DialogId, usage: &mut Usage, body: Option<Body>) {
        let after_ack = usage.established().and_then(|established| established.after_ack.take());
        if let Some(AfterAck::HangUp { reason }) = after_ack {
            return self.say_bye(now, id, usage, reason.as_deref());
        }
        self.events.push_back(Event::Acknowledged { dialog: id, body });
        if let Some(AfterAck::Refer { refer_to, headers }) = after_ack {
            // Its header fields were looked at when it was queued.
            if self.send_refer(now, id, usage, &refer_to, &headers).is_err() {
                debug_assert!(false, "a queued REFER is sound");
            }
        }
    }

    /// The timers of an INVITE that waits for our user, and of a 2xx that waits for its ACK.
    pub(super) fn handle_called_timeout(&mut self, now: Instant, id: DialogId, usage: &mut Usage) {
        if let State::Invited(invited) = &mut usage.state {
            let (server, invite) = (invited.server, invited.request.clone());
            if invited.give_up_at <= now {
                self.refuse_invite(now, server, &invite, usage.tag, 480);
                usage.state = State::Gone;
                self.events.push_back(Event::Cancelled { dialog: id, reason: None });
            } else if let Some(ringing) = &mut invited.ringing
                && ringing.resend_at <= now
            {
                ringing.resend_at = now + RING_REPEAT;
                let (status, packet) = (ringing.status, ringing.packet.clone());
                // Not a repetition for want of an answer: it is meant to come again.
                self.respond_with(now, server, status, packet, Sending::New);
            }
            return;
        }
        let tag = usage.tag;
        let Some(established) = usage.established() else { return };
        if let Some(offered) = established.offered.take_if(|offered| offered.give_up_at <= now) {
            self.refuse_invite(now, offered.server, &offered.request, tag, 480);
        }
        let Some(waiting) = &mut established.unacknowledged else { return };
        if waiting.give_up_at <= now {
            established.unacknowledged = None;
            match established.after_ack.take() {
                Some(AfterAck::HangUp { reason }) => {
                    self.say_bye(now, id, usage, reason.as_deref());
                }
                Some(AfterAck::Refer { .. }) | None => {
                    self.say_bye(now, id, usage, None);
                    self.events.push_back(Event::Unacknowledged { dialog: id });
                }
            }
        } else if waiting.resend_at <= now {
            waiting.gap = (waiting.gap * 2).min(T2);
            waiting.resend_at = now + waiting.gap;
            let (to, packet) = (waiting.to, waiting.packet.clone());
            self.send_packet(to, packet, Sending::Repeat);
        }
    }

    /// A response that opens a dialog or keeps it: Record-Route as it came, our Contact, what we allow
    /// (RFC 3261 §12.1.1, §13.3.1.4).
    fn opening_response(
        &self,
        server: ServerId,
        invite: &Request,
        status: StatusCode,
        tag: u64,
    ) -> Response {
        let mut response = self.response(invite, status, Some(tag));
        for route in invite.headers.all("Record-Route") {
            response.headers.push("Record-Route", route);
        }
        let transport = self.servers.get(server).map(|transaction| transaction.source.transport);
        let transport = transport.unwrap_or(Transport::Udp);
        response.headers.push("Contact", self.contact(transport));
        response.headers.push("Allow", self.allow());
        response
    }

    /// RFC 3261 §14.2: another INVITE before the last one is answered.
    fn respond_too_early(&mut self, now: Instant, server: ServerId, request: &Request) {
        let seconds = self.draw(0..=TOO_EARLY_SECS_MAX);
        self.respond_later(now, server, request, 500, seconds);
    }
}

impl Usage {
    /// The peer's INVITE that waits for our user.
    fn waiting(&self) -> Result<(ServerId, Arc<Request>), ActionError> {
        match &self.state {
            State::Invited(invited) => Ok((invited.server, invited.request.clone())),
            State::Established(Established { offered: Some(offered), .. }) => {
                Ok((offered.server, offered.request.clone()))
            }
            _ => Err(ActionError::WrongState { state: self.state_name() }),
        }
    }

    /// Turns an INVITE that we answer into a session.
    fn establish(&mut self) -> Option<&mut Established> {
        if let State::Invited(_) = self.state
            && let State::Invited(invited) = std::mem::replace(&mut self.state, State::Gone)
        {
            self.state = State::Established(Established::new(invited.dialog));
        }
        self.established()
    }
}
