//! What came, in the words of the machine.

use tracing::{info, warn};

use super::{Driver, HumanLeg, Inbox, Pending, Woken};
use crate::call::leg::Answering;
use crate::call::machine::Event;
use crate::call::transfer;
use crate::ids::{DialogId, LegId};
use crate::media::offer::{Agreed, OfferError};
use crate::net::audio::AudioEvent;
use crate::sip::header::{Reason, Warning};
use crate::sip::{self, Body, Headers, StatusCode};
use crate::speech::listener::{SpeechEvent, Utterance};

impl Driver {
    /// The machine's events behind what the task woke up for. The mechanical part (who answers a
    /// re-INVITE, whose session changes) is done on the way.
    pub(super) fn hear(&mut self, woken: Woken) -> Vec<Event> {
        match woken {
            Woken::Inbox(Inbox::Signal(event)) => self.hear_signal(event),
            Woken::Inbox(Inbox::ShutDown) | Woken::Orphaned => vec![Event::ShutDown],
            Woken::Audio(event) => hear_audio(event),
            Woken::Agent(event) => vec![Event::Agent(event)],
            Woken::Speech(event) => self.hear_speech(event),
            Woken::Done(Pending::Event(event)) => vec![event],
            Woken::Done(Pending::Resolved(human, target, Some(peer))) => {
                self.dial_peer(human, &target, peer).into_iter().collect()
            }
            Woken::Done(Pending::Resolved(human, _, None)) => {
                let status = StatusCode::of(503);
                vec![failed(human, status, "the target's address was not found")]
            }
            Woken::Due => vec![Event::Tick],
        }
    }

    fn hear_signal(&mut self, event: sip::Event) -> Vec<Event> {
        use sip::Event as Signal;
        match event {
            Signal::Acknowledged { dialog, body } => self.acknowledged(dialog, body.as_ref()),
            Signal::Cancelled { reason, .. } => vec![Event::CallerGone { reason }],
            Signal::Unacknowledged { dialog } => self.gone(dialog, Some("no ACK came".into())),
            Signal::Ended { dialog, reason } => self.gone(dialog, reason),
            Signal::Reinvited { dialog, body } => self.reinvited(dialog, body.as_ref()),
            Signal::Trying { dialog } => {
                let trying = self.human_of(dialog).map(transfer::Event::Trying);
                trying.map(Event::Transfer).into_iter().collect()
            }
            Signal::Ringing { dialog, status, .. } => {
                let ringing =
                    |human| transfer::Event::Ringing(human, status, status.reason().into());
                self.human_of(dialog).map(ringing).map(Event::Transfer).into_iter().collect()
            }
            Signal::Answered { dialog, response } => {
                self.human_answered(dialog, response.body.as_ref())
            }
            Signal::Failed { dialog, status, reason, .. } => match self.human_of(dialog) {
                Some(human) => {
                    self.humans.remove(&human);
                    vec![failed(human, status, &reason)]
                }
                None => vec![],
            },
            Signal::ReferAnswered { status, .. } => {
                vec![Event::Transfer(transfer::Event::ReferAnswered(status))]
            }
            Signal::ReferProgress { status, reason, .. } => {
                vec![Event::Transfer(transfer::Event::ReferProgress { status, reason })]
            }
            Signal::Probed { dialog, found } => {
                let probed = self.leg_of(dialog).map(|leg| Event::Probed(leg, found));
                probed.into_iter().collect()
            }
            Signal::Info { dialog, body } => self.info(dialog, body.as_ref()),
            // We send no re-INVITEs, follow no REFERs, and an INVITE is the registry's.
            Signal::ReinviteAnswered { .. }
            | Signal::ReinviteRefused { .. }
            | Signal::Referred { .. }
            | Signal::Invited { .. } => vec![],
        }
    }

    /// A leg's dialog is over.
    fn gone(&self, dialog: DialogId, reason: Option<String>) -> Vec<Event> {
        match self.leg_of(dialog) {
            Some(LegId::Caller) => vec![Event::CallerGone { reason }],
            Some(LegId::Human(human)) => vec![Event::HumanGone { human, reason }],
            None => vec![],
        }
    }

    /// The ACK of our 200: with the answer, if the 200 had the offer.
    fn acknowledged(&mut self, dialog: DialogId, body: Option<&Body>) -> Vec<Event> {
        match self.leg_of(dialog) {
            Some(LegId::Caller) => match self.caller.accept(body) {
                None => self.first_acknowledged(),
                Some(Ok(agreed)) => {
                    let mut events = self.changed(LegId::Caller, agreed);
                    events.extend(self.first_acknowledged());
                    events
                }
                Some(Err(why)) => self.caller_disagrees(why),
            },
            Some(LegId::Human(human)) => {
                let accepted = self.humans.get_mut(&human).and_then(|human| human.leg.accept(body));
                match accepted {
                    Some(Ok(agreed)) => self.changed(LegId::Human(human), agreed),
                    _ => vec![],
                }
            }
            None => vec![],
        }
    }

    fn first_acknowledged(&mut self) -> Vec<Event> {
        match std::mem::replace(&mut self.acknowledged, true) {
            false => vec![Event::Acknowledged],
            true => vec![],
        }
    }

    /// The answer to the offer in our 200 is none: there will never be sound, so the call ends.
    fn caller_disagrees(&mut self, why: OfferError) -> Vec<Event> {
        info!(%why, "the caller's answer is no answer");
        self.hang_up(self.caller.dialog, Some(Reason::sip(488, "no usable session description")));
        vec![Event::CallerGone { reason: Some(why.to_string()) }]
    }

    fn reinvited(&mut self, dialog: DialogId, body: Option<&Body>) -> Vec<Event> {
        let Some(leg_id) = self.leg_of(dialog) else { return vec![] };
        let Some(leg) = self.leg_mut(leg_id) else { return vec![] };
        match leg.answer(body) {
            Ok(Answering::With(body, agreed)) => {
                self.signal(|signaling| signaling.answer(dialog, body, Headers::default()));
                self.changed(leg_id, agreed)
            }
            Ok(Answering::Offering(body)) => {
                self.signal(|signaling| signaling.answer(dialog, body, Headers::default()));
                vec![]
            }
            Err(why) => {
                // RFC 3261 §14.2: refused, and the session stays as it was.
                let (status, headers) =
                    refusal(why, self.services.ports.advertised_ip().to_string());
                self.signal(|signaling| signaling.reject(dialog, status, headers));
                vec![]
            }
        }
    }

    /// The session of a leg is as `agreed` from now on.
    fn changed(&mut self, leg_id: LegId, agreed: Agreed) -> Vec<Event> {
        let known = match leg_id {
            LegId::Caller => self.caller_socket.is_none(),
            LegId::Human(human) => {
                self.humans.get(&human).is_some_and(|human| human.socket.is_none())
            }
        };
        if known {
            self.audio_takes(|audio| audio.renegotiate(leg_id, agreed));
        } else {
            self.add_to_audio(leg_id, agreed);
        }
        let held = self.leg_mut(leg_id).and_then(|leg| leg.hold_changed(&agreed));
        match (leg_id, held) {
            (LegId::Caller, Some(on)) => vec![Event::Held(on)],
            (LegId::Human(human), Some(on)) => vec![Event::HumanHeld(human, on)],
            (_, None) => vec![],
        }
    }

    fn human_answered(&mut self, dialog: DialogId, body: Option<&Body>) -> Vec<Event> {
        let Some(human) = self.human_of(dialog) else { return vec![] };
        let Some(HumanLeg { leg, .. }) = self.humans.get_mut(&human) else { return vec![] };
        match leg.accept(body) {
            Some(Ok(agreed)) => {
                self.add_to_audio(LegId::Human(human), agreed);
                vec![Event::Transfer(transfer::Event::Answered(human))]
            }
            Some(Err(why)) => {
                info!(human, %why, "the human's answer is no answer");
                self.hang_up(dialog, Some(Reason::sip(488, "no usable session description")));
                self.humans.remove(&human);
                vec![failed(human, StatusCode::of(488), "no usable session description")]
            }
            None => vec![],
        }
    }

    /// A key by INFO, from a phone that has no telephone-events (one that has both sends both).
    fn info(&mut self, dialog: DialogId, body: Option<&Body>) -> Vec<Event> {
        if self.leg_of(dialog) != Some(LegId::Caller) || self.caller.takes_telephone_events() {
            return vec![];
        }
        body.and_then(info_digit).map(Event::Digit).into_iter().collect()
    }

    fn hear_speech(&mut self, event: SpeechEvent) -> Vec<Event> {
        match event {
            SpeechEvent::Started | SpeechEvent::Nothing => vec![],
            SpeechEvent::BargedIn => vec![Event::BargedIn],
            SpeechEvent::Heard(Utterance { text, confidence, turn, .. }) => {
                let clock = &self.clock;
                let spoken = (clock.at(turn.turn.began), clock.at(turn.turn.ended));
                vec![Event::Heard { text: text.0, confidence, spoken }]
            }
            SpeechEvent::Deaf(why) => {
                warn!(%why, "a turn was not recognised");
                vec![Event::NotUnderstood]
            }
        }
    }

    fn human_of(&self, dialog: DialogId) -> Option<u16> {
        match self.leg_of(dialog) {
            Some(LegId::Human(human)) => Some(human),
            _ => None,
        }
    }
}

fn hear_audio(event: AudioEvent) -> Vec<Event> {
    match event {
        AudioEvent::Digit { leg: LegId::Caller, digit } => vec![Event::Digit(digit)],
        AudioEvent::Digit { leg: LegId::Human(human), digit } => {
            vec![Event::HumanDigit(human, digit)]
        }
        AudioEvent::Silent { leg, .. } => vec![sounds(leg, false)],
        AudioEvent::Flowing { leg } => vec![sounds(leg, true)],
        AudioEvent::Measured { .. } | AudioEvent::Removed { .. } => vec![],
    }
}

fn sounds(leg: LegId, sounds: bool) -> Event {
    match leg {
        LegId::Caller => Event::CallerSounds(sounds),
        LegId::Human(human) => Event::HumanSounds(human, sounds),
    }
}

fn failed(human: u16, status: StatusCode, reason: &str) -> Event {
    Event::Transfer(transfer::Event::Failed(human, status, reason.into()))
}

/// The refusal of an offer: 488 with a Warning (RFC 3261 §20.43), or 400.
pub(super) fn refusal(why: OfferError, agent: String) -> (StatusCode, Headers) {
    let mut headers = Headers::default();
    if let Some((code, text)) = why.warning() {
        headers.push("Warning", Warning { code, agent, text: text.into() }.to_string());
    }
    (StatusCode::new(why.status()).unwrap_or(StatusCode::of(488)), headers)
}

/// The key in an INFO body: `Signal=5` of application/dtmf-relay, or the bare key of
/// application/dtmf. No RFC has them, and every PBX does.
fn info_digit(body: &Body) -> Option<char> {
    let text = std::str::from_utf8(&body.bytes).ok()?;
    let kind = body.content_type.split(';').next()?.trim().to_ascii_lowercase();
    let value = match kind.as_str() {
        "application/dtmf-relay" => {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case("signal"))?.1.trim()
        }
        "application/dtmf" => text.trim(),
        _ => return None,
    };
    let digit = value.chars().next()?.to_ascii_uppercase();
    (value.len() == 1 && matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')).then_some(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_info_are_read_in_both_dialects() {
        for (kind, text, digit) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some('5')),
            ("application/dtmf-relay", "signal = #\r\n", Some('#')),
            ("application/dtmf; charset=x", "d", Some('D')),
            ("application/dtmf-relay", "Signal=55\r\n", None),
            ("application/dtmf", "", None),
            ("text/plain", "5", None),
        ] {
            let body = Body { content_type: kind.into(), bytes: text.as_bytes().into() };
            assert_eq!(info_digit(&body), digit, "{kind} {text:?}");
        }
    }
}
