//! From the INVITE to the answer, on either side.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::conversation::Conversation;
use super::report::{Reporter, What};
use super::script::Script;
use super::session::{Recorded, Session};
use super::{Diary, Phone, PhoneError, now, sleep_until};
use crate::ids::{CallId, DialogId};
use crate::media::codec::Codec;
use crate::media::offer::OfferError;
use crate::net::resolve::resolve;
use crate::net::signaling::Overloaded;
use crate::sip::header::Reason;
use crate::sip::{
    Body, Event, Headers, Invite, NameAddr, Peer, Request, StatusCode, Transport, Uri,
};

/// How long the refusal of a call that we cancel may take.
const CANCEL_TIME: Duration = Duration::from_secs(5);

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pickup {
    /// Rings that long, then answers.
    Answer(Duration),
    /// Rings that long, then refuses with this status, 300 to 699.
    Decline(Duration, StatusCode),
}

impl Phone {
    /// Calls somebody, and plays its part until one of the two hangs up. `stop` hangs up at any time.
    pub async fn call(
        &mut self,
        uri: &Uri,
        script: &Script,
        reporter: &mut Reporter,
        stop: &CancellationToken,
    ) -> Result<Recorded, PhoneError> {
        let unresolvable = || PhoneError::Unresolvable { uri: uri.clone().into() };
        let peer = resolve(uri, Transport::Udp).await.ok_or_else(unresolvable)?;
        let mut diary = Diary { began: now(), reporter };
        let call_id = self.fresh_call_id();
        diary.tell(What::Dialling { uri: uri.to_string(), call_id: call_id.to_string() });
        let mut conversation = self.dial(uri, peer, call_id, Headers::default())?;
        let codec = self.await_answer(uri, &mut conversation, &mut diary, stop).await?;
        diary.tell(What::Answered { codec });
        Ok(Session::new(self, script, diary, conversation).run(stop).await)
    }

    /// Waits until somebody calls, and plays its part until one of the two hangs up. `stop` hangs up at
    /// any time.
    pub async fn answer(
        &mut self,
        pickup: Pickup,
        script: &Script,
        reporter: &mut Reporter,
        stop: &CancellationToken,
    ) -> Result<Recorded, PhoneError> {
        let (dialog, request) = self.await_call(stop).await?;
        let mut diary = Diary { began: now(), reporter };
        let from = request.headers.from();
        let caller = from.map_or_else(|| request.uri.clone(), |from| from.uri);
        diary.tell(What::Invited { from: caller.to_string() });
        self.signaling.ring(dialog, StatusCode::of(180), None, Headers::default())?;
        let ring = match pickup {
            Pickup::Answer(ring) | Pickup::Decline(ring, _) => ring,
        };
        self.ring(dialog, ring, stop).await?;
        if let Pickup::Decline(_, status) = pickup {
            self.signaling.reject(dialog, status, Headers::default())?;
            return Err(PhoneError::Declined { status });
        }

        let call_id = request.headers.get("Call-ID").and_then(CallId::new);
        let call_id = call_id.unwrap_or_else(|| self.fresh_call_id());
        let mut conversation = Conversation::open(&self.means, dialog, &call_id, &mut self.random)?;
        let body = match conversation.answer(request.body.as_ref()) {
            Ok((body, _)) => body,
            Err(cause) => {
                let status = StatusCode::new(cause.status()).unwrap_or(StatusCode::of(488));
                self.signaling.reject(dialog, status, Headers::default())?;
                return Err(PhoneError::NoMedia { uri: caller.into(), cause });
            }
        };
        self.signaling.answer(dialog, body, Headers::default())?;
        if let Some(codec) = conversation.codec() {
            diary.tell(What::Answered { codec });
        }
        Ok(Session::new(self, script, diary, conversation).run(stop).await)
    }

    /// Sends an INVITE with our offer.
    pub(super) fn dial(
        &mut self,
        uri: &Uri,
        to_peer: Peer,
        call_id: CallId,
        headers: Headers,
    ) -> Result<Conversation, PhoneError> {
        let dialog = self.signaling.new_dialog();
        let mut conversation = Conversation::open(&self.means, dialog, &call_id, &mut self.random)?;
        let invite = Invite {
            uri: uri.clone(),
            to_peer,
            from: self.identity(),
            to: NameAddr::new(uri.clone()),
            call_id: Some(call_id),
            headers,
            body: Some(conversation.leg.offer()),
        };
        self.signaling.invite(dialog, invite)?;
        Ok(conversation)
    }

    /// A name for a call that nobody could guess.
    pub(super) fn fresh_call_id(&mut self) -> CallId {
        let text = format!("{:032x}", self.random.random::<u128>());
        CallId::new(&text).expect("hexadecimal digits are a Call-ID")
    }

    async fn await_answer(
        &mut self,
        uri: &Uri,
        conversation: &mut Conversation,
        diary: &mut Diary<'_>,
        stop: &CancellationToken,
    ) -> Result<Codec, PhoneError> {
        let ours = conversation.dialog;
        let mut give_up_at = None;
        loop {
            let event = tokio::select! {
                event = self.events.recv() => event.ok_or(Overloaded)?,
                () = stop.cancelled(), if give_up_at.is_none() => {
                    self.signaling.hang_up(ours, None)?;
                    give_up_at = Some(now() + CANCEL_TIME);
                    continue;
                }
                () = sleep_until(give_up_at) => return Err(PhoneError::GivenUp),
            };
            match event {
                Event::Failed { dialog, .. } if dialog == ours && give_up_at.is_some() => {
                    return Err(PhoneError::GivenUp);
                }
                Event::Failed { dialog, status, reason, .. } if dialog == ours => {
                    return Err(PhoneError::Failed { uri: uri.clone().into(), status, reason });
                }
                Event::Ringing { dialog, status, .. } if dialog == ours => {
                    diary.tell(What::Ringing { status });
                }
                Event::Answered { dialog, response } if dialog == ours && give_up_at.is_none() => {
                    return conversation.accept(response.body.as_ref()).or_else(|cause| {
                        self.signaling.hang_up(ours, Some(no_media()))?;
                        Err(PhoneError::NoMedia { uri: uri.clone().into(), cause })
                    });
                }
                event => self.turn_away(&event)?,
            }
        }
    }

    /// The next INVITE.
    async fn await_call(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(DialogId, Arc<Request>), PhoneError> {
        loop {
            let event = tokio::select! {
                event = self.events.recv() => event.ok_or(Overloaded)?,
                () = stop.cancelled() => return Err(PhoneError::GivenUp),
            };
            if let Event::Invited { dialog, request, .. } = event {
                return Ok((dialog, request));
            }
        }
    }

    /// Lets it ring.
    async fn ring(
        &mut self,
        ours: DialogId,
        time: Duration,
        stop: &CancellationToken,
    ) -> Result<(), PhoneError> {
        let pick_up_at = Some(now() + time);
        loop {
            let event = tokio::select! {
                event = self.events.recv() => event.ok_or(Overloaded)?,
                () = sleep_until(pick_up_at) => return Ok(()),
                () = stop.cancelled() => {
                    self.signaling.hang_up(ours, None)?;
                    return Err(PhoneError::GivenUp);
                }
            };
            match event {
                Event::Cancelled { dialog, .. } if dialog == ours => {
                    return Err(PhoneError::CallerGone);
                }
                event => self.turn_away(&event)?,
            }
        }
    }
}

impl Conversation {
    /// The answer to our offer came: the codec of the call.
    pub(super) fn accept(&mut self, body: Option<&Body>) -> Result<Codec, OfferError> {
        let agreed = self.leg.accept(body).unwrap_or(Err(OfferError::Mismatch))?;
        self.agree(agreed);
        Ok(agreed.codec)
    }
}

/// Why a call ends that was answered without a usable description.
pub(super) fn no_media() -> Reason {
    Reason::sip(488, "no usable session description")
}
