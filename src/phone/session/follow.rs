//! Following a REFER: the target is called while the referrer is told how that goes (RFC 3515, RFC 5589).
//!
//! ```text
//!   referrer                 us                    target
//!    |--- REFER ------------>|                       |
//!    |<-- 202, NOTIFY 100 ---|--- INVITE ----------->|
//!    |<-- NOTIFY 180 --------|<-- 180 ---------------|
//!    |<-- NOTIFY 200, last --|<-- 200 ---------------|   we talk there from now on
//!    |--- BYE -------------->|                       |   the referrer's to send (RFC 5589 §6.1)
//! ```
//!
//! If the target cannot be had, the referrer is told why, and the first call goes on.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Session, no_media};
use crate::ids::DialogId;
use crate::net::resolve::resolve;
use crate::phone::conversation::{Conversation, Heard};
use crate::phone::referral::{self, Target};
use crate::phone::report::{Side, What};
use crate::phone::talk::Input;
use crate::phone::{now, sleep_until};
use crate::sip::{Body, Event, Peer, Request, StatusCode, Transport};
use crate::speech::listener::SpeechEvent;

/// How long the referrer may take to hang up. Then we do.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// How long the target's side may say nothing at all.
const SILENT_TIME: Duration = Duration::from_secs(4);

/// How long it may take to understand what was being said when we moved on.
const PARTING_TIME: Duration = Duration::from_secs(4);

/// The refusal of one who does not want to be transferred.
const DECLINE: StatusCode = StatusCode::of(603);

/// A REFER that is being followed.
pub(super) struct Following {
    target: Target,
    stage: Stage,
    rings: bool,
    /// Whether the referrer has hung up.
    pub is_left: bool,
}

enum Stage {
    /// Where is it?
    Resolving(BoxFuture<'static, Option<Peer>>),
    /// The target is called; until then it may say nothing at all.
    Dialling(Box<Conversation>, Option<Instant>),
}

/// A call that we have been transferred away from.
pub(super) struct Leaving {
    pub dialog: DialogId,
    pub until: Instant,
}

/// A call that we have moved on from while something was still being said in it: the line that announced
/// the transfer, as a rule.
pub(super) struct Parting {
    conversation: Box<Conversation>,
    until: Instant,
}

impl Following {
    /// The dialog with the target, once there is one.
    pub fn dialog(&self) -> Option<DialogId> {
        match &self.stage {
            Stage::Resolving(_) => None,
            Stage::Dialling(conversation, _) => Some(conversation.dialog),
        }
    }

    /// When a target that has said nothing at all is given up.
    pub fn silent_until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Dialling(_, silent_until) => *silent_until,
            Stage::Resolving(_) => None,
        }
    }

    fn heard_of(&mut self) {
        if let Stage::Dialling(_, silent_until) = &mut self.stage {
            *silent_until = None;
        }
    }

    pub fn is(&self, dialog: DialogId) -> bool {
        self.dialog() == Some(dialog)
    }
}

/// Waits until it is known where the target is; for ever if nobody asks.
pub(super) async fn resolved(following: &mut Option<Following>) -> Option<Peer> {
    match following {
        Some(Following { stage: Stage::Resolving(peer), .. }) => peer.await,
        _ => future::pending().await,
    }
}

/// Waits for what was said last in the call that we moved on from; `None`: nothing that is understood in
/// time. For ever if there is no such call.
pub(super) async fn said_at_parting(parting: &mut Option<Parting>) -> Option<SpeechEvent> {
    let Some(Parting { conversation, until }) = parting else { return future::pending().await };
    let until = *until;
    loop {
        tokio::select! {
            heard = conversation.next() => match heard {
                Heard::Speech(SpeechEvent::Started | SpeechEvent::BargedIn) => (),
                Heard::Speech(event) => return Some(event),
                Heard::Gone => return None,
                Heard::Frame(_) | Heard::Mouth(_) | Heard::Audio(_) => (),
            },
            () = sleep_until(Some(until)) => return None,
        }
    }
}

impl Session<'_> {
    /// The last words of the call that we moved on from are there, or never will be.
    pub(super) fn handle_parting(&mut self, said: Option<SpeechEvent>) {
        self.parting = None;
        if let Some(SpeechEvent::Heard(utterance)) = said {
            self.tell_heard(utterance);
        }
    }

    /// A REFER came.
    pub(super) fn referred(&mut self, request: &Arc<Request>) {
        let referrer = self.active.dialog;
        let target = match referral::target(request) {
            Ok(target) if !self.script.refuses_refer => target,
            refused => {
                let status = refused.err().unwrap_or(DECLINE);
                self.diary.tell(What::ReferRefused { status });
                return self.signal(|signaling| signaling.reject_refer(referrer, status));
            }
        };
        self.diary.tell(What::Referred { to: target.uri.to_string() });
        self.signal(|signaling| signaling.accept_refer(referrer));
        let uri = target.uri.clone();
        let peer = async move { resolve(&uri, Transport::Udp).await }.boxed();
        let stage = Stage::Resolving(peer);
        self.following = Some(Following { target, stage, rings: false, is_left: false });
        self.talk_on(Input::Referred);
    }

    /// It is known where the target is, or that it is nowhere.
    pub(super) fn dial_target(&mut self, peer: Option<Peer>) {
        let Some(following) = &mut self.following else { return };
        let Some(peer) = peer else {
            return self.target_failed(StatusCode::of(404), "Not Found");
        };
        let Target { uri, headers } = following.target.clone();
        let call_id = self.phone.fresh_call_id();
        match self.phone.dial(&uri, peer, call_id, headers) {
            Ok(conversation) => {
                let silent_until = Some(now() + SILENT_TIME);
                following.stage = Stage::Dialling(Box::new(conversation), silent_until);
            }
            Err(why) => self.target_failed(StatusCode::of(503), &why.to_string()),
        }
    }

    /// An event of the call to the target.
    pub(super) fn handle_target(&mut self, event: Event) {
        match event {
            Event::Ringing { status, .. } => {
                let Some(following) = &mut self.following else { return };
                following.heard_of();
                // Each status once is enough for anybody.
                if !std::mem::replace(&mut following.rings, true) {
                    self.diary.tell(What::TargetRings { status });
                    self.tell_referrer(status);
                }
            }
            Event::Trying { .. } => {
                self.following.iter_mut().for_each(Following::heard_of);
            }
            Event::Answered { response, .. } => self.target_answered(response.body.as_ref()),
            Event::Failed { status, reason, .. } => self.target_failed(status, &reason),
            // The dialog is not answered yet, so there is nothing else that could happen in it.
            _ => (),
        }
    }

    fn target_answered(&mut self, body: Option<&Body>) {
        let Some(Following { target, stage: Stage::Dialling(conversation, _), is_left, .. }) =
            &mut self.following
        else {
            return;
        };
        let Ok(codec) = conversation.accept(body) else {
            let dialog = conversation.dialog;
            self.signal(|signaling| signaling.hang_up(dialog, Some(no_media())));
            return self.target_failed(StatusCode::of(488), "Not Acceptable Here");
        };
        let (to, is_left) = (target.uri.to_string(), *is_left);
        self.tell_referrer(StatusCode::of(200));
        self.diary.tell(What::TargetAnswered { codec });
        self.transferred_to = Some(to);
        if let Some(Following { stage: Stage::Dialling(conversation, _), .. }) =
            self.following.take()
        {
            self.move_to(*conversation, is_left);
        }
    }

    fn move_to(&mut self, conversation: Conversation, is_left: bool) {
        let left = Box::new(std::mem::replace(&mut self.active, conversation));
        let dialog = left.dialog;
        // Of a call in which nobody speaks, there is nothing to wait for.
        let until = now() + PARTING_TIME;
        self.parting = self.talk.they_speak().then_some(Parting { conversation: left, until });
        match is_left {
            true => self.diary.tell(What::ReferrerLeft),
            false => self.leaving = Some(Leaving { dialog, until: now() + LEAVE_TIME }),
        }
        self.tape.forget_queued();
        self.pressed_at = None;
        self.talk_on(Input::Settled);
    }

    /// Nobody is where the target should be: timer B would wait for half a minute.
    pub(super) fn give_up_silent_target(&mut self) {
        let Some(dialog) = self.following.as_ref().and_then(Following::dialog) else { return };
        self.signal(|signaling| signaling.hang_up(dialog, None));
        self.target_failed(StatusCode::of(408), "no answer from there");
    }

    fn target_failed(&mut self, status: StatusCode, reason: &str) {
        self.tell_referrer(status);
        self.diary.tell(What::TargetFailed { status, reason: reason.into() });
        if self.following.take().is_some_and(|following| following.is_left) {
            return self.end(Side::Them, None);
        }
        self.talk_on(Input::Settled);
    }

    fn tell_referrer(&mut self, status: StatusCode) {
        let referrer = self.active.dialog;
        self.signal(|signaling| signaling.notify_refer(referrer, status));
    }
}
