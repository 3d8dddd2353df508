//! What the machine wants, done.

use std::time::Duration;

use futures_util::FutureExt;
use tracing::{error, info};

use super::{Claim, Driver, HumanLeg, Pending, session_id};
use crate::agent::llm;
use crate::call::leg::Leg;
use crate::call::machine::{Effect, Event, Now};
use crate::call::plan::Target;
use crate::call::transfer;
use crate::context::{Briefing, Fact};
use crate::ids::{DialogId, LegId};
use crate::media::Rate;
use crate::media::offer::Agreed;
use crate::media::session::{Config, Session};
use crate::net::resolve::resolve;
use crate::net::signaling::{Overloaded, Signaling};
use crate::net::{CallAudio, MediaSocket};
use crate::sip::header::Reason;
use crate::sip::{Headers, Invite, NameAddr, Peer, StatusCode, Uri};

/// How long a model may work on the summary of a briefing. The briefing is on the screen without it
/// meanwhile; later than this the human has heard the rest from the caller.
const SUMMARY_TIME: Duration = Duration::from_secs(30);

impl Driver {
    pub(super) fn perform(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Record(fact) => self.record(now, fact),
            Effect::Save(briefing) => self.save(now, *briefing),
            Effect::Summarise => self.summarise(),
            Effect::Ring => {
                let dialog = self.caller.dialog;
                self.signal(|signaling| {
                    signaling.ring(dialog, StatusCode::of(180), None, Headers::default())
                });
            }
            Effect::Answer => self.answer(),
            Effect::Wire(wiring) => self.audio_takes(|audio| audio.wire(wiring)),
            Effect::Hold(music) => self.audio_takes(|audio| audio.hold_with(music)),
            Effect::Listen(on) => self.listener.listen(on),
            Effect::Agent(order) => {
                if self.agent.tell(order).is_err() {
                    error!("the agent takes no more orders");
                }
            }
            Effect::Refer(target) => self.refer(&target),
            Effect::Probe(leg) => {
                if let Some(dialog) = self.leg_mut(leg).map(|leg| leg.dialog) {
                    self.signal(|signaling| signaling.probe(dialog));
                }
            }
            Effect::Press(leg, digit) => {
                self.audio_takes(|audio| audio.send_digits(leg, digit.encode_utf8(&mut [0; 4])));
            }
            Effect::Dial(human, target) => self.dial(human, target),
            Effect::HangUpHuman(human, reason) => {
                if let Some(gone) = self.humans.remove(&human) {
                    self.hang_up(gone.leg.dialog, reason);
                    self.audio_takes(|audio| audio.remove_leg(LegId::Human(human)));
                }
            }
            Effect::HangUpCaller => self.hang_up(self.caller.dialog, None),
            // The machine is over now, and everything ends with this task.
            Effect::End => (),
        }
    }

    fn record(&mut self, now: Now, fact: Fact) {
        tell_story(&fact);
        self.services.recorder.record(&self.call_id, fact, now.at);
    }

    fn save(&mut self, now: Now, briefing: Briefing) {
        let fact = Fact::Briefed { briefing: Box::new(briefing) };
        let saved = self.services.recorder.record_durable(&self.call_id, fact, now.at);
        self.pending.push(saved.map(|_| Pending::Event(Event::Saved)).boxed());
    }

    fn summarise(&mut self) {
        let Some(model) = self.services.model.clone() else { return };
        let turns = self.call.context().conversation.turns.clone();
        let summary = async move { llm::summarize(&*model, &turns, SUMMARY_TIME).await.ok() };
        self.pending.push(summary.map(|text| Pending::Event(Event::Summarised(text))).boxed());
    }

    /// Sends the 200 that was prepared when the INVITE came.
    fn answer(&mut self) {
        let Some((body, agreed)) = self.prepared.take() else { return };
        let dialog = self.caller.dialog;
        self.signal(|signaling| signaling.answer(dialog, body, Headers::default()));
        if let Some(agreed) = agreed {
            self.add_to_audio(LegId::Caller, agreed);
        }
    }

    /// Joins a leg whose session is agreed to the call's audio.
    pub(super) fn add_to_audio(&mut self, leg: LegId, agreed: Agreed) {
        let socket: Option<Box<dyn MediaSocket>> = match leg {
            LegId::Caller => self.caller_socket.take(),
            LegId::Human(human) => {
                self.humans.get_mut(&human).and_then(|human| human.socket.take())
            }
        };
        let Some(socket) = socket else { return };
        let start = self.stream_start();
        let config =
            Config { agreed, rate: Rate::Narrow, start, silent_after: super::SILENT_AFTER };
        let session = Session::new(super::now(), config);
        self.audio_takes(|audio| audio.add_leg(leg, session, socket));
    }

    /// REFER with what the human's side must know inside the Refer-To, since header fields of the
    /// REFER itself do not reach the target (RFC 3515 §2.1, RFC 3261 §19.1.1).
    fn refer(&mut self, target: &Target) {
        let refer_to = match &target.refer_to {
            Uri::Sip(uri) => {
                let with = |uri: crate::sip::uri::SipUri, (name, value): (&str, &str)| {
                    uri.with_header(name, value)
                };
                let uri = self.context_headers(target).iter().fold(uri.clone(), with);
                Uri::Sip(uri)
            }
            other => other.clone(),
        };
        let mut headers = Headers::default();
        // RFC 3892: who asks for it. We speak as the one who was called.
        headers.push("Referred-By", self.ourselves().to_string());
        let dialog = self.caller.dialog;
        let refer_to = NameAddr::new(refer_to).to_string();
        self.signal(|signaling| signaling.refer(dialog, refer_to, headers));
    }

    /// Finds out where the target is; then dials.
    fn dial(&mut self, human: u16, target: Target) {
        let transport = target.transport;
        let resolved = async move {
            let peer = match target.next_hop {
                Some(address) => Some(Peer { transport, address }),
                None => resolve(&target.uri, transport).await,
            };
            Pending::Resolved(human, Box::new(target), peer)
        };
        self.pending.push(resolved.boxed());
    }

    /// Calls the human. If that is not even possible, says why.
    pub(super) fn dial_peer(&mut self, human: u16, target: &Target, peer: Peer) -> Option<Event> {
        let failed = |status, why: &str| {
            Some(Event::Transfer(transfer::Event::Failed(
                human,
                StatusCode::of(status),
                why.into(),
            )))
        };
        if self.call.is_over() {
            return None;
        }
        // RFC 7332: two back-to-back user agents must not call each other for ever.
        let Some(hops) = self.max_forwards.checked_sub(1) else {
            return failed(483, "Too Many Hops");
        };
        let socket = match self.services.ports.open() {
            Ok(socket) => socket,
            Err(why) => {
                error!(%why, "no port for the human's media");
                return failed(503, "no port is free");
            }
        };
        let dialog = self.services.signaling.new_dialog();
        let port = socket.local_addr().port();
        let session_id = session_id(&mut self.random);
        let mut leg = Leg::new(
            dialog,
            self.services.ports.advertised_ip(),
            port,
            self.services.codecs.clone(),
            session_id,
        );
        let body = Some(leg.offer());
        let mut headers = self.context_headers(target);
        headers.push("Max-Forwards", hops.to_string());
        let to = NameAddr::new(target.uri.clone());
        let from = self.identity.clone();
        let invite = Invite {
            uri: target.uri.clone(),
            to_peer: peer,
            from,
            to,
            call_id: None,
            headers,
            body,
        };
        // The registry must know whose the dialog is before its first event.
        if self.services.claims.try_send(Claim::Own { call: self.caller.dialog, dialog }).is_err() {
            error!("the registry takes no more claims");
            return failed(503, "overloaded");
        }
        self.signal(|signaling| signaling.invite(dialog, invite));
        self.humans.insert(human, HumanLeg { leg, socket: Some(socket) });
        None
    }

    /// What the human's side gets to find the briefing by, as the plan allows.
    fn context_headers(&self, target: &Target) -> Headers {
        let mut headers = Headers::default();
        for name in &target.headers {
            match name.as_str() {
                "X-Tandem-Call-ID" => headers.push("X-Tandem-Call-ID", self.call_id.as_str()),
                // RFC 7433: at most 128 octets in all, so a longer Call-ID does not fit.
                "User-to-User" if self.call_id.as_str().len() <= 50 => {
                    let hex = hex::encode(self.call_id.as_str());
                    headers.push("User-to-User", format!("{hex};encoding=hex"));
                }
                "Call-Info" => {
                    if let Some(link) = (self.services.links)(&self.call_id) {
                        headers.push("Call-Info", format!("<{link}>;purpose=info"));
                    }
                }
                _ => (),
            }
        }
        headers
    }

    /// The name-addr of the one who was called: us.
    fn ourselves(&self) -> NameAddr {
        NameAddr::new(self.called_uri.clone())
    }

    pub(super) fn hang_up(&self, dialog: DialogId, reason: Option<Reason>) {
        self.signal(|signaling| signaling.hang_up(dialog, reason));
    }

    /// Gives the stack an order. If it takes none it has stopped, and so will this call.
    pub(super) fn signal(&self, order: impl FnOnce(&Signaling) -> Result<(), Overloaded>) {
        if let Err(why) = order(&self.services.signaling) {
            error!(%why, "an order was lost");
        }
    }

    pub(super) fn audio_takes(&self, order: impl FnOnce(&CallAudio) -> bool) {
        if !order(&self.audio) {
            error!("the media worker takes no more commands");
        }
    }
}

/// The log of a call is its story in about ten lines, without numbers and without the words of peers.
fn tell_story(fact: &Fact) {
    match fact {
        Fact::Invited { route, .. } => info!(route, "invited"),
        Fact::Answered => info!("answered"),
        Fact::Escalated { reason, rule, .. } => info!(?reason, rule, "escalated"),
        Fact::TransferTried { mode, method, target } => {
            info!(mode, method, target = named(target), "transferring");
        }
        Fact::TransferProgress { status, .. } => info!(status, "transfer goes on"),
        Fact::TransferEnded { outcome, status, .. } => info!(?outcome, status, "transfer ended"),
        Fact::Connected { method, target } => info!(method, target = named(target), "connected"),
        Fact::Held { on } => info!(on, "held"),
        Fact::Degraded { part, what } => tracing::warn!(part, what, "degraded"),
        Fact::Ended { by, .. } => info!(by, "ended"),
        _ => (),
    }
}

/// A target by its name in the dialplan. One without a name is a URI, and that is somebody's number.
fn named(target: &str) -> &str {
    if target.starts_with("human:") { target } else { "a URI" }
}
