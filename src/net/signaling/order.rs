//! What the rest of the program wants of the stack.

use std::time::Instant;

use tracing::{debug, error};

use crate::ids::DialogId;
use crate::sip::header::Reason;
use crate::sip::{
    ActionError, Body, Endpoint, Event, Headers, Invite, Liveness, StatusCode, Subnet,
};

/// One order. The methods of `Signaling` say what each means.
#[derive(Debug)]
pub(super) enum Order {
    Invite(DialogId, Box<Invite>),
    Ring(DialogId, StatusCode, Option<Body>, Headers),
    Answer(DialogId, Body, Headers),
    Reject(DialogId, StatusCode, Headers),
    HangUp(DialogId, Option<Reason>),
    Refer(DialogId, String, Headers),
    AcceptRefer(DialogId),
    RejectRefer(DialogId, StatusCode),
    NotifyRefer(DialogId, StatusCode),
    Reinvite(DialogId, Body),
    Probe(DialogId),
    Trust(Vec<Subnet>),
}

impl Order {
    /// Gives the order to the stack. If the stack refuses it, returns the event that tells its user,
    /// who would wait for an answer for ever.
    pub(super) fn give(self, endpoint: &mut Endpoint, now: Instant) -> Option<Event> {
        match self {
            Order::Invite(dialog, invite) => {
                let refused = endpoint.invite(now, dialog, *invite).err()?;
                report(dialog, refused);
                let (status, reason) = (status_of(refused), refused.to_string());
                Some(Event::Failed { dialog, status, reason, headers: Headers::default() })
            }
            Order::Ring(dialog, status, body, headers) => {
                note(dialog, endpoint.ring(now, dialog, status, body, &headers))
            }
            Order::Answer(dialog, body, headers) => {
                note(dialog, endpoint.answer(now, dialog, body, &headers))
            }
            Order::Reject(dialog, status, headers) => {
                note(dialog, endpoint.reject(now, dialog, status, &headers))
            }
            Order::HangUp(dialog, reason) => {
                note(dialog, endpoint.hang_up(now, dialog, reason.as_ref()))
            }
            Order::Refer(dialog, refer_to, headers) => {
                let refused = endpoint.refer(now, dialog, &refer_to, &headers).err()?;
                report(dialog, refused);
                Some(Event::ReferAnswered { dialog, status: status_of(refused) })
            }
            Order::AcceptRefer(dialog) => note(dialog, endpoint.accept_refer(now, dialog)),
            Order::RejectRefer(dialog, status) => {
                note(dialog, endpoint.reject_refer(now, dialog, status))
            }
            Order::NotifyRefer(dialog, status) => {
                note(dialog, endpoint.notify_refer(now, dialog, status))
            }
            Order::Reinvite(dialog, offer) => {
                let refused = endpoint.reinvite(now, dialog, offer).err()?;
                report(dialog, refused);
                Some(Event::ReinviteRefused { dialog, status: status_of(refused) })
            }
            Order::Probe(dialog) => {
                let refused = endpoint.probe(now, dialog).err()?;
                report(dialog, refused);
                (refused == ActionError::Gone)
                    .then_some(Event::Probed { dialog, found: Liveness::Gone })
            }
            Order::Trust(networks) => {
                endpoint.trust(networks);
                None
            }
        }
    }
}

/// Orders that nobody waits for the answer of: the dialog's own events tell its user enough.
fn note(dialog: DialogId, result: Result<(), ActionError>) -> Option<Event> {
    if let Err(refused) = result {
        report(dialog, refused);
    }
    None
}

/// That the peer was quicker is usual; all else is a mistake of ours.
fn report(dialog: DialogId, refused: ActionError) {
    match refused {
        ActionError::Gone | ActionError::Busy | ActionError::Full => {
            debug!(%dialog, %refused, "order refused");
        }
        _ => error!(%dialog, %refused, "order refused"),
    }
}

/// The status that a peer would have answered with.
fn status_of(refused: ActionError) -> StatusCode {
    match refused {
        ActionError::Gone => StatusCode::of(481),
        ActionError::Busy => StatusCode::of(491),
        ActionError::Full => StatusCode::of(503),
        ActionError::Exists
        | ActionError::WrongState { .. }
        | ActionError::BadStatus(_)
        | ActionError::BadHeader => StatusCode::of(500),
    }
}
