//! A peer's REFER: it wants us to call somebody else (RFC 3515), and to be told how that goes (RFC 6665).
//!
//! ```text
//!   peer                    us                     our user
//!    |---- REFER ----------->|---- Referred --------->|
//!    |<--- 202 --------------|<--- accept_refer ------|   or a refusal: reject_refer
//!    |<--- NOTIFY 100 -------|                        |   at once (RFC 3515 §2.4.4)
//!    |<--- NOTIFY 180 -------|<--- notify_refer ------|
//!    |<--- NOTIFY 200, last -|<--- notify_refer ------|
//! ```
//!
//! Served only where [`Settings::takes_refer`](super::Settings::takes_refer) says so: who calls
//! wherever a stranger points it can be made to pay for it. One REFER of a dialog is followed at a
//! time; the next is refused with 491 until the first has had its last NOTIFY.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::compose;
use super::table::{Purpose, ServerId};
use super::types::{ActionError, Event};
use super::usage::{State, Usage};
use crate::ids::DialogId;
use crate::sip::message::{Body, Headers, Method, Request, StatusCode};

/// How long we promise to tell the peer: longer than any phone rings.
const EXPIRES: Duration = Duration::from_secs(180);
/// How long our user may leave a REFER unanswered. The peer gives its transaction up at 64·T1 (timer F),
/// and an answer has to be there before.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A REFER of the peer, from its request to its last NOTIFY.
#[derive(Debug)]
pub(super) struct Referral {
    /// The number of the REFER, which names its subscription (RFC 3515 §2.4.6).
    number: u32,
    /// The REFER, while it waits for our user.
    waiting: Option<(ServerId, Arc<Request>)>,
    until: Instant,
}

impl Referral {
    /// When nobody waits for it any more.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Lets it not outlive that time.
    pub(super) fn limit(&mut self, until: Instant) {
        self.until = self.until.min(until);
    }
}

impl Endpoint {
    /// Agrees to follow a REFER: 202, and the first NOTIFY with 100. The user then calls the target in a
    /// dialog of its own, and tells how that goes with [`notify_refer`](Self::notify_refer).
    pub fn accept_refer(&mut self, now: Instant, dialog: DialogId) -> Result<(), ActionError> {
        self.act(dialog, |endpoint, usage| {
            let (server, refer) = usage.take_waiting_refer()?;
            let mut response = endpoint.response(&refer, StatusCode::of(202), None);
            let transport = endpoint.servers.get(server).map(|server| server.source.transport);
            let transport = transport.ok_or(ActionError::Gone)?;
            response.headers.push("Contact", endpoint.contact(transport));
            endpoint.respond(now, server, response);
            if let Some(referral) = &mut usage.referral {
                referral.until = now + EXPIRES;
            }
            endpoint.send_notify(now, dialog, usage, StatusCode::of(100), false)
        })
    }

    /// Refuses a REFER with 300 to 699. The call goes on.
    pub fn reject_refer(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: StatusCode,
    ) -> Result<(), ActionError> {
        if status.code() < 300 {
            return Err(ActionError::BadStatus(status));
        }
        self.act(dialog, |endpoint, usage| {
            let (server, refer) = usage.take_waiting_refer()?;
            usage.referral = None;
            endpoint.respond_status(now, server, &refer, status.code());
            Ok(())
        })
    }

    /// Tells the referrer what the target has answered so far. A final status is the last word, and
    /// ends the subscription (RFC 3515 §2.4.7). Works for a while after the referrer's BYE too.
    pub fn notify_refer(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: StatusCode,
    ) -> Result<(), ActionError> {
        self.act(dialog, |endpoint, usage| {
            let is_last = !status.is_provisional();
            let sent = endpoint.send_notify(now, dialog, usage, status, is_last);
            if is_last {
                usage.referral = None;
            }
            sent
        })
    }

    /// A REFER within a dialog.
    pub(super) fn handle_refer(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        server: ServerId,
        request: &Arc<Request>,
    ) {
        if usage.is_left() {
            return self.respond_status(now, server, request, 481);
        }
        if !matches!(usage.state, State::Established(_)) {
            // A call that nobody has answered has nothing to transfer.
            return self.respond_status(now, server, request, 403);
        }
        if usage.referral.is_some() {
            return self.respond_status(now, server, request, 491);
        }
        // RFC 3515 §2.4.1: exactly one Refer-To.
        if request.headers.all("Refer-To").count() != 1 {
            return self.respond_status(now, server, request, 400);
        }
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let waiting = Some((server, request.clone()));
        usage.referral = Some(Referral { number, waiting, until: now + ANSWER_MAX });
        self.events.push_back(Event::Referred { dialog: id, request: request.clone() });
    }

    /// A REFER that our user has forgotten: unanswered, or without a last word.
    pub(super) fn handle_referral_timeout(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
    ) {
        if usage.referral.as_ref().is_none_or(|referral| now < referral.until) {
            return;
        }
        if let Ok((server, refer)) = usage.take_waiting_refer() {
            self.respond_status(now, server, &refer, 480);
        } else if self.send_notify(now, id, usage, StatusCode::of(408), true).is_err() {
            debug_assert!(false, "a referral has a dialog");
        }
        usage.referral = None;
    }

    fn send_notify(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        status: StatusCode,
        is_last: bool,
    ) -> Result<(), ActionError> {
        let state = usage.state_name();
        let referral = usage.referral.as_ref().filter(|referral| referral.waiting.is_none());
        let referral = referral.ok_or(ActionError::WrongState { state })?;
        let (number, left) = (referral.number, referral.until.saturating_duration_since(now));
        let subscription = match is_last {
            true => "terminated;reason=noresource".to_owned(),
            false => format!("active;expires={}", left.as_secs()),
        };
        let dialog = usage.dialog_mut().ok_or(ActionError::Gone)?;
        let mut notify = dialog.request(Method::Notify);
        let peer = dialog.next_hop();
        let mut headers = Headers::default();
        headers.push("Event", format!("refer;id={number}"));
        headers.push("Subscription-State", subscription);
        compose::extend(&mut notify.headers, &headers)?;
        notify.headers.push("Contact", self.contact(peer.transport));
        let line = format!("SIP/2.0 {status} {}\r\n", status.reason());
        notify.body = Some(Body::new("message/sipfrag;version=2.0", line.as_bytes()));
        // Whatever the peer says to it, the transfer goes on.
        self.send_request(now, notify, peer, Purpose::Nothing, id);
        Ok(())
    }
}

impl Usage {
    /// The peer's REFER that waits for our user.
    fn take_waiting_refer(&mut self) -> Result<(ServerId, Arc<Request>), ActionError> {
        let state = self.state_name();
        let waiting = self.referral.as_mut().and_then(|referral| referral.waiting.take());
        waiting.ok_or(ActionError::WrongState { state })
    }
}
