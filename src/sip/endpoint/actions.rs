//! What our user may want of a session beside answering: hang up, REFER, re-INVITE, probe.

use std::time::{Duration, Instant};

use super::Endpoint;
use super::compose;
use super::table::{ClientKey, Purpose};
use super::types::{ActionError, Peer};
use super::usage::{AfterAck, Cancel, Established, Reinvite, State, Usage};
use crate::ids::DialogId;
use crate::sip::header::Reason;
use crate::sip::message::{Body, Headers, Method, Request, StatusCode};
use crate::sip::refer::REFERS_MAX;
use crate::sip::transaction::GIVE_UP;

/// How long a re-INVITE may stay at 1xx. A person may have to press a key for it; more than a minute
/// is none.
const REINVITE_MAX: Duration = Duration::from_secs(64);

impl Endpoint {
    /// Ends a dialog the way its state asks for. The reason rides along where the message may have one
    /// (RFC 3326).
    ///
    /// | state                        | what leaves                                              |
    /// |------------------------------|----------------------------------------------------------|
    /// | our INVITE, no 1xx yet       | CANCEL with the first 1xx (RFC 3261 §9.1)                |
    /// | our INVITE, ringing          | CANCEL; if a 2xx crosses it, ACK and BYE                 |
    /// | their INVITE, unanswered     | 480                                                      |
    /// | answered, not acknowledged   | BYE after the ACK, or after 64·T1 without (§15)          |
    /// | established                  | BYE, and 487 to a re-INVITE that waits                   |
    pub fn hang_up(
        &mut self,
        now: Instant,
        dialog: DialogId,
        reason: Option<&Reason>,
    ) -> Result<(), ActionError> {
        let reason = reason.map(Reason::to_string);
        if reason.as_deref().is_some_and(compose::has_control) {
            return Err(ActionError::BadHeader);
        }
        self.act(dialog, |endpoint, usage| {
            match &mut usage.state {
                State::Inviting(_) => {
                    let cancel = Cancel { reason, is_wanted: true, is_sent: false };
                    endpoint.cancel(now, usage, cancel);
                }
                State::Invited(invited) => {
                    let (server, invite) = (invited.server, invited.request.clone());
                    let status = StatusCode::of(480);
                    let mut response = endpoint.response(&invite, status, Some(usage.tag));
                    if let Some(reason) = reason {
                        response.headers.push("Reason", reason);
                    }
                    endpoint.respond(now, server, response);
                    usage.state = State::Gone;
                }
                State::Established(Established { unacknowledged: Some(_), after_ack, .. }) => {
                    *after_ack = Some(AfterAck::HangUp { reason });
                }
                State::Established(_) => endpoint.say_bye(now, dialog, usage, reason.as_deref()),
                State::Over(_) | State::Gone => return Err(ActionError::Gone),
            }
            Ok(())
        })
    }

    /// Sends the peer elsewhere (RFC 3515). `refer_to` is the field's value as the trunk wants it: a
    /// name-addr, a `tel:` URI, whatever its dialect. `Referred-By` names us unless `headers` does.
    ///
    /// A REFER never overtakes the ACK of our 2xx; one that comes before waits for it.
    /// `ReferAnswered` follows, and `ReferProgress` for each NOTIFY.
    pub fn refer(
        &mut self,
        now: Instant,
        dialog: DialogId,
        refer_to: &str,
        headers: &Headers,
    ) -> Result<(), ActionError> {
        if refer_to.is_empty() || compose::has_control(refer_to) {
            return Err(ActionError::BadHeader);
        }
        compose::extend(&mut Headers::default(), headers)?;
        self.act(dialog, |endpoint, usage| {
            let state = usage.state_name();
            let open = usage.subscriptions.len();
            let established = usage.established().ok_or(ActionError::WrongState { state })?;
            if open >= REFERS_MAX {
                return Err(ActionError::Full);
            }
            if established.unacknowledged.is_none() {
                return endpoint.send_refer(now, dialog, usage, refer_to, headers);
            }
            if established.after_ack.is_some() {
                return Err(ActionError::Busy);
            }
            let (refer_to, headers) = (refer_to.to_owned(), headers.clone());
            established.after_ack = Some(AfterAck::Refer { refer_to, headers });
            Ok(())
        })
    }

    pub(super) fn send_refer(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        refer_to: &str,
        headers: &Headers,
    ) -> Result<(), ActionError> {
        let Some(established) = usage.established() else { return Err(ActionError::Gone) };
        let dialog = &mut established.dialog;
        let mut refer = dialog.request(Method::Refer);
        refer.headers.push("Refer-To", refer_to);
        if headers.get("Referred-By").is_none() {
            refer.headers.push("Referred-By", dialog.local_identity());
        }
        compose::extend(&mut refer.headers, headers)?;
        let (number, peer) = (dialog.local_seq(), dialog.next_hop());
        usage.subscriptions.open(now, number);
        self.send_targeted(now, refer, peer, Purpose::Refer(number), id);
        Ok(())
    }

    /// Offers another session (RFC 3261 §14.1). `ReinviteAnswered` or `ReinviteRefused` follows; when it
    /// meets one of the peer's, it is sent again after a while.
    pub fn reinvite(
        &mut self,
        now: Instant,
        dialog: DialogId,
        body: Body,
    ) -> Result<(), ActionError> {
        self.act(dialog, |endpoint, usage| {
            let state = usage.state_name();
            let established = usage.established().ok_or(ActionError::WrongState { state })?;
            if established.reinvite.is_some() || established.is_negotiating() {
                return Err(ActionError::Busy);
            }
            endpoint.send_reinvite(now, dialog, usage, body);
            Ok(())
        })
    }

    fn send_reinvite(&mut self, now: Instant, id: DialogId, usage: &mut Usage, body: Body) {
        let Some(established) = usage.established() else { return };
        let mut invite = established.dialog.request(Method::Invite);
        invite.headers.push("Allow", self.allow());
        invite.body = Some(body.clone());
        let peer = established.dialog.next_hop();
        let transaction = self.send_targeted(now, invite, peer, Purpose::Reinvite, id);
        let give_up_at = now + REINVITE_MAX;
        established.reinvite = Some(Reinvite::Sent { transaction, body, give_up_at });
    }

    /// Asks whether the peer still holds the dialog, by OPTIONS within it. `Probed` follows; of one that is
    /// under way already, the same.
    pub fn probe(&mut self, now: Instant, dialog: DialogId) -> Result<(), ActionError> {
        self.act(dialog, |endpoint, usage| {
            let state = usage.state_name();
            let established = usage.established().ok_or(ActionError::WrongState { state })?;
            if std::mem::replace(&mut established.probing, true) {
                return Ok(());
            }
            let options = established.dialog.request(Method::Options);
            let peer = established.dialog.next_hop();
            endpoint.send_targeted(now, options, peer, Purpose::Probe, dialog);
            Ok(())
        })
    }

    /// Ends an established session. What the peer offered is refused, what we offered is left to end
    /// by itself.
    pub(super) fn say_bye(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        reason: Option<&str>,
    ) {
        let tag = usage.tag;
        let state = std::mem::replace(&mut usage.state, State::Gone);
        let State::Established(mut established) = state else {
            usage.state = state;
            return;
        };
        if let Some(offered) = &established.offered {
            self.refuse_invite(now, offered.server, &offered.request, tag, 487);
        }
        let mut bye = established.dialog.request(Method::Bye);
        if let Some(reason) = reason {
            bye.headers.push("Reason", reason);
        }
        let peer = established.dialog.next_hop();
        let bye = self.send_request(now, bye, peer, Purpose::Bye, id);
        usage.subscriptions.clear();
        usage.referral = None;
        usage.state = established.into_over(Some(bye), now + GIVE_UP);
    }

    /// Whatever is due in a usage.
    pub(super) fn handle_usage_timeout(&mut self, now: Instant, id: DialogId, usage: &mut Usage) {
        usage.subscriptions.handle_timeout(now);
        self.handle_referral_timeout(now, id, usage);
        match &usage.state {
            State::Inviting(_) => self.handle_calling_timeout(now, id, usage),
            State::Invited(_) => self.handle_called_timeout(now, id, usage),
            State::Established(_) => {
                self.handle_called_timeout(now, id, usage);
                self.handle_reinvite_timeout(now, id, usage);
            }
            State::Over(over) if over.give_up_at <= now => {
                for key in [over.bye, over.reinvite].into_iter().flatten() {
                    self.abandon(key);
                }
                usage.state = State::Gone;
            }
            State::Over(_) | State::Gone => (),
        }
    }

    /// A re-INVITE that met another one leaves again, unless the peer's is still open. One that got
    /// nothing but 1xx has failed like one that nobody answers.
    fn handle_reinvite_timeout(&mut self, now: Instant, id: DialogId, usage: &mut Usage) {
        let again = now + self.backoff(usage.is_incoming);
        let Some(established) = usage.established() else { return };
        let is_negotiating = established.is_negotiating();
        match established.reinvite.take() {
            Some(Reinvite::Backoff { until, body }) if until <= now && !is_negotiating => {
                self.send_reinvite(now, id, usage, body);
            }
            Some(Reinvite::Backoff { until, body }) if until <= now => {
                established.reinvite = Some(Reinvite::Backoff { until: again, body });
            }
            Some(Reinvite::Sent { transaction, give_up_at, .. }) if give_up_at <= now => {
                self.abandon(transaction);
                self.die(now, id, usage, StatusCode::of(408));
            }
            reinvite => established.reinvite = reinvite,
        }
    }

    /// Sends a request that tells the peer where we are (RFC 3261 §12.2.1.1, RFC 3515 §2.2).
    fn send_targeted(
        &mut self,
        now: Instant,
        mut request: Request,
        peer: Peer,
        purpose: Purpose,
        id: DialogId,
    ) -> ClientKey {
        request.headers.push("Contact", self.contact(peer.transport));
        self.send_request(now, request, peer, purpose, id)
    }

    /// Does what a user wants of a dialog that is there.
    pub(super) fn act(
        &mut self,
        dialog: DialogId,
        act: impl FnOnce(&mut Self, &mut Usage) -> Result<(), ActionError>,
    ) -> Result<(), ActionError> {
        self.step(dialog, act).unwrap_or(Err(ActionError::Gone))
    }
}

impl Established {
    /// Whether an INVITE of the peer is open, or its ACK (RFC 3261 §14.1).
    fn is_negotiating(&self) -> bool {
        self.offered.is_some() || self.unacknowledged.is_some()
    }
}
