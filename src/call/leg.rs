//! One leg of a call, as its driver keeps it: the dialog and what was negotiated in it.

use std::net::IpAddr;

use crate::ids::DialogId;
use crate::media::codec::Codec;
use crate::media::offer::{Agreed, Local, Negotiation, OfferError};
use crate::media::sdp::Direction;
use crate::sip::Body;

/// The media type of session descriptions.
pub const SDP: &str = "application/sdp";

/// One party's dialog and its media.
#[derive(Debug)]
pub struct Leg {
    /// The dialog.
    pub dialog: DialogId,
    negotiation: Negotiation,
    /// Our offer went out and waits for its answer.
    offering: bool,
    on_hold: bool,
}

/// What a leg says to a body that came.
#[derive(Debug)]
pub enum Answering {
    /// Send this; the session is as given.
    With(Body, Agreed),
    /// The peer sent no description: send this offer; the session stays until the answer comes.
    Offering(Body),
}

impl Leg {
    /// A leg whose media come to `address:port`.
    pub fn new(
        dialog: DialogId,
        address: IpAddr,
        port: u16,
        codecs: Vec<Codec>,
        session_id: u64,
    ) -> Self {
        let negotiation = Negotiation::new(Local { address, port, codecs, session_id });
        Leg { dialog, negotiation, offering: false, on_hold: false }
    }

    /// Our offer for an INVITE.
    pub fn offer(&mut self) -> Body {
        self.offering = true;
        sdp(self.negotiation.offer(Direction::SendRecv))
    }

    /// An INVITE or re-INVITE came, with its body or without. Without one we offer (RFC 3261 §13.3.1).
    pub fn answer(&mut self, body: Option<&Body>) -> Result<Answering, OfferError> {
        let Some(body) = body else { return Ok(Answering::Offering(self.offer())) };
        let answer = self.negotiation.answer(&body.bytes)?;
        Ok(Answering::With(sdp(answer.body), answer.agreed))
    }

    /// The answer to our offer came. `None`: we had made no offer, or it was answered before.
    pub fn accept(&mut self, body: Option<&Body>) -> Option<Result<Agreed, OfferError>> {
        if !std::mem::take(&mut self.offering) {
            return None;
        }
        Some(match body {
            Some(body) => self.negotiation.accept(&body.bytes),
            None => Err(OfferError::Mismatch),
        })
    }

    /// Whether the peer sends its keys in RTP (RFC 4733).
    pub fn takes_telephone_events(&self) -> bool {
        self.negotiation.agreed().is_some_and(|agreed| agreed.telephone_event.is_some())
    }

    /// The codec in force, once there is one.
    pub fn codec(&self) -> Option<Codec> {
        self.negotiation.agreed().map(|agreed| agreed.codec)
    }

    /// Whether the direction that is now in force puts us on hold, if that is news.
    pub fn hold_changed(&mut self, agreed: &Agreed) -> Option<bool> {
        let on_hold = !matches!(agreed.direction, Direction::SendRecv | Direction::SendOnly);
        (std::mem::replace(&mut self.on_hold, on_hold) != on_hold).then_some(on_hold)
    }
}

fn sdp(text: String) -> Body {
    Body { content_type: SDP.into(), bytes: text.into_bytes().into() }
}
