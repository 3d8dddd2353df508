//! What a peer may want within a dialog: BYE, re-INVITE, NOTIFY, INFO, OPTIONS (RFC 3261 §12.2.2, §15.1.2,
//! RFC 3515, RFC 6086).

use std::sync::Arc;
use std::time::Instant;

use super::Endpoint;
use super::table::ServerId;
use super::types::{Event, Peer};
use super::usage::{State, Usage};
use crate::ids::DialogId;
use crate::sip::message::{Method, Request};
use crate::sip::transaction::GIVE_UP;

impl Endpoint {
    /// A request with a To tag.
    pub(super) fn handle_inside(
        &mut self,
        now: Instant,
        server: ServerId,
        request: &Arc<Request>,
        local_tag: &str,
        source: Peer,
    ) {
        let call_id = request.headers.call_id();
        let id = call_id.and_then(|call_id| self.usages.find(local_tag, &call_id));
        let Some(id) = id else { return self.respond_status(now, server, request, 481) };
        self.step(id, |endpoint, usage| {
            endpoint.handle_in_usage(now, id, usage, server, request, source);
        });
    }

    fn handle_in_usage(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        server: ServerId,
        request: &Arc<Request>,
        source: Peer,
    ) {
        let from = request.headers.from();
        let remote_tag = from.as_ref().and_then(|from| from.tag()).unwrap_or_default();
        if let State::Inviting(inviting) = &usage.state {
            let is_early = inviting.early_tags.iter().any(|tag| tag == remote_tag);
            if is_early && request.method == Method::Bye {
                self.respond_status(now, server, request, 200);
                return self.handle_early_bye(now, usage);
            }
            return self.respond_status(now, server, request, 481);
        }
        let is_trusted = self.is_trusted(source);
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(dialog) = usage.dialog_mut() else {
            return self.respond_status(now, server, request, 481);
        };
        if dialog.remote_tag() != remote_tag {
            return self.respond_status(now, server, request, 481);
        }
        if !is_trusted && !dialog.may_come_from(source.address.ip()) {
            self.counters.strangers += 1;
            return self.respond_status(now, server, request, 403);
        }
        if dialog.accept_seq(number).is_err() {
            return self.respond_later(now, server, request, 500, 0);
        }
        dialog.heard_from(source);
        if let Some(objection) = self.objection(request) {
            self.respond(now, server, objection);
            return;
        }
        if let Some(transaction) = self.servers.get_mut(server) {
            transaction.dialog = Some(id);
        }
        match request.method {
            Method::Invite => self.handle_reinvite(now, id, usage, server, request),
            Method::Bye => self.handle_bye(now, id, usage, server, request),
            Method::Notify => self.handle_notify(now, id, usage, server, request),
            Method::Info => self.handle_info(now, id, usage, server, request),
            Method::Refer => self.handle_refer(now, id, usage, server, request),
            // The objection above leaves nothing else.
            _ => self.handle_options(now, server, request),
        }
    }

    /// Whether an address may speak for any dialog.
    fn is_trusted(&self, source: Peer) -> bool {
        let ip = source.address.ip();
        self.settings.trusted.iter().any(|subnet| subnet.contains(ip))
    }

    /// RFC 3261 §15.1.2. Two BYEs that cross are both answered with 200.
    fn handle_bye(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        server: ServerId,
        request: &Request,
    ) {
        self.respond_status(now, server, request, 200);
        let reason = request.headers.get("Reason").map(str::to_owned);
        let (tag, was_left) = (usage.tag, usage.is_left());
        match std::mem::replace(&mut usage.state, State::Gone) {
            // A caller may leave an unanswered call by BYE as well (RFC 3261 §15).
            State::Invited(invited) => {
                self.refuse_invite(now, invited.server, &invited.request, tag, 487);
                self.events.push_back(Event::Cancelled { dialog: id, reason });
            }
            State::Established(established) => {
                if let Some(offered) = &established.offered {
                    self.refuse_invite(now, offered.server, &offered.request, tag, 487);
                }
                // The peer may leave before its last NOTIFY (RFC 5057 §4.1), but not for long.
                usage.subscriptions.limit(now + GIVE_UP);
                usage.leave_referral(now + GIVE_UP);
                usage.state = established.into_over(None, now + GIVE_UP);
                if !was_left {
                    self.events.push_back(Event::Ended { dialog: id, reason });
                }
            }
            state => usage.state = state,
        }
    }

    fn handle_notify(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        server: ServerId,
        request: &Request,
    ) {
        match usage.subscriptions.handle_notify(now, request) {
            Ok(progress) => {
                self.respond_status(now, server, request, 200);
                if let Some(progress) = progress {
                    self.events.push_back(Event::ReferProgress {
                        dialog: id,
                        status: progress.status,
                        reason: progress.reason,
                        terminated: progress.terminated,
                    });
                }
            }
            Err(status) => self.respond_status(now, server, request, status.code()),
        }
    }

    fn handle_info(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        server: ServerId,
        request: &Request,
    ) {
        if let State::Over(_) = usage.state {
            return self.respond_status(now, server, request, 481);
        }
        self.respond_status(now, server, request, 200);
        if !usage.is_left() {
            let body = request.body.clone();
            self.events.push_back(Event::Info { dialog: id, body });
        }
    }
}
