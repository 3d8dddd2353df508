//! What a dialog is used for: one INVITE session, from the INVITE to the last BYE (RFC 5057 §3).
//!
//! ```text
//!    invite() |                           | INVITE
//!             V                           V
//!       +----------+                +---------+
//!       | Inviting |                | Invited |
//!       +----------+                +---------+
//!     3xx-6xx,|  | 2xx: ACK    answer() |  | reject(), CANCEL, BYE
//!     no      |  |                 2xx  |  |
//!     answer  |  V                      V  |
//!             | +------------------------+ |
//!             | |      Established       | |   un-ACKed at first, when the INVITE was theirs
//!             | +------------------------+ |
//!             |      | BYE, either way,    |
//!             |      | or 481, or no ACK   |
//!             |      V                     |
//!             |   +------+                 |
//!             |   | Over |                 |   while a BYE, a re-INVITE or a REFER is unfinished
//!             |   +------+                 |
//!             V      V                     V
//!           +--------------------------------+
//!           |              Gone              |
//!           +--------------------------------+
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::referred::Referral;
use super::table::{ClientKey, ServerId};
use super::types::Peer;
use crate::ids::CallId;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Body, Headers, Request, StatusCode};
use crate::sip::refer::Subscriptions;
use crate::sip::transaction::Packet;

/// One session, as far as it has come.
#[derive(Debug)]
pub(super) struct Usage {
    pub call_id: CallId,
    /// Our tag: random, and never given twice.
    pub tag: u64,
    /// Whether the peer called us; it then owns the Call-ID.
    pub is_incoming: bool,
    pub state: State,
    pub subscriptions: Subscriptions,
    /// A REFER of the peer that is not finished.
    pub referral: Option<Referral>,
    pub armed: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum State {
    Inviting(Inviting),
    Invited(Invited),
    Established(Established),
    Over(Over),
    Gone,
}

/// Our INVITE waits for its final response.
#[derive(Debug)]
pub(super) struct Inviting {
    pub transaction: ClientKey,
    /// Tags of those that ring (RFC 3261 §13.2.2.1).
    pub early_tags: Vec<String>,
    /// Whether a 1xx came: only then may we cancel (RFC 3261 §9.1).
    pub is_proceeding: bool,
    pub cancel: Option<Cancel>,
    /// When we stop to wait: for another 1xx, or for the final response after a CANCEL.
    pub give_up_at: Option<Instant>,
}

/// We no longer want an answer.
#[derive(Debug)]
pub(super) struct Cancel {
    pub reason: Option<String>,
    /// Whether our user asked for it; otherwise nothing but 1xx came for too long.
    pub is_wanted: bool,
    pub is_sent: bool,
}

/// Their INVITE waits for our user.
#[derive(Debug)]
pub(super) struct Invited {
    pub server: ServerId,
    pub request: Arc<Request>,
    pub dialog: Dialog,
    pub ringing: Option<Ringing>,
    pub give_up_at: Instant,
}

/// A provisional response, repeated each minute to keep proxies patient (RFC 3261 §13.3.1.1).
#[derive(Debug)]
pub(super) struct Ringing {
    pub status: StatusCode,
    pub packet: Packet,
    pub resend_at: Instant,
}

/// Both have agreed.
#[derive(Debug)]
pub(super) struct Established {
    pub dialog: Dialog,
    pub unacknowledged: Option<Unacknowledged>,
    pub offered: Option<Offered>,
    pub reinvite: Option<Reinvite>,
    pub after_ack: Option<AfterAck>,
    /// An OPTIONS of ours waits for its answer.
    pub probing: bool,
}

/// A 2xx of ours without its ACK (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub invite_seq: u32,
    pub holds_offer: bool,
    pub packet: Packet,
    pub to: Peer,
    pub resend_at: Instant,
    pub gap: Duration,
    pub give_up_at: Instant,
}

/// A re-INVITE of the peer that waits for our user.
#[derive(Debug)]
pub(super) struct Offered {
    pub server: ServerId,
    pub request: Arc<Request>,
    pub give_up_at: Instant,
}

/// A re-INVITE of ours.
#[derive(Debug)]
pub(super) enum Reinvite {
    /// On the wire.
    Sent { transaction: ClientKey, body: Body, give_up_at: Instant },
    /// It met one of the peer's; it leaves again at that time (RFC 3261 §14.1).
    Backoff { until: Instant, body: Body },
}

/// What has to wait for the ACK.
#[derive(Debug)]
pub(super) enum AfterAck {
    Refer { refer_to: String, headers: Headers },
    HangUp { reason: Option<String> },
}

/// For our user, the dialog is gone; some of its messages are still on their way.
#[derive(Debug)]
pub(super) struct Over {
    pub dialog: Dialog,
    pub bye: Option<ClientKey>,
    pub reinvite: Option<ClientKey>,
    /// When we stop to wait for either.
    pub give_up_at: Instant,
}

impl Usage {
    /// Whether it counts as a call of a peer.
    pub fn is_call(&self) -> bool {
        let is_open = matches!(self.state, State::Invited(_) | State::Established(_));
        self.is_incoming && is_open
    }

    /// Whether nothing more can come of it.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Gone => true,
            State::Over(over) => {
                let is_told = self.subscriptions.is_empty() && self.referral.is_none();
                over.bye.is_none() && over.reinvite.is_none() && is_told
            }
            State::Inviting(_) | State::Invited(_) | State::Established(_) => false,
        }
    }

    /// The dialog, once there is one.
    pub fn dialog_mut(&mut self) -> Option<&mut Dialog> {
        match &mut self.state {
            State::Invited(invited) => Some(&mut invited.dialog),
            State::Established(established) => Some(&mut established.dialog),
            State::Over(over) => Some(&mut over.dialog),
            State::Inviting(_) | State::Gone => None,
        }
    }

    /// The session, if it is established.
    pub fn established(&mut self) -> Option<&mut Established> {
        match &mut self.state {
            State::Established(established) => Some(established),
            _ => None,
        }
    }

    /// Whether our user has hung up, and is told nothing more.
    pub fn is_left(&self) -> bool {
        match &self.state {
            State::Established(established) => {
                matches!(established.after_ack, Some(AfterAck::HangUp { .. }))
            }
            State::Over(_) | State::Gone => true,
            State::Inviting(_) | State::Invited(_) => false,
        }
    }

    /// Takes the peer's INVITE that waits for our user in that transaction, if it does. Without its
    /// first INVITE a usage is gone.
    pub fn take_waiting(&mut self, server: ServerId) -> Option<Arc<Request>> {
        match &mut self.state {
            State::Invited(invited) if invited.server == server => {
                let request = invited.request.clone();
                self.state = State::Gone;
                Some(request)
            }
            State::Established(established) => {
                let offered = established.offered.take_if(|offered| offered.server == server)?;
                Some(offered.request)
            }
            _ => None,
        }
    }

    /// The peer has hung up: its accepted REFER may still have its last NOTIFY, one that waits is moot.
    pub fn leave_referral(&mut self, until: Instant) {
        if let Some(referral) = &mut self.referral {
            referral.limit(until);
        }
    }

    /// What to call the state in an error.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Inviting(_) => "not answered by the peer",
            State::Invited(_) => "not answered by us",
            State::Established(_) => "established",
            State::Over(_) | State::Gone => "over",
        }
    }

    /// When the usage itself has something to do; its transactions have timers of their own.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Inviting(inviting) => inviting.give_up_at,
            State::Invited(invited) => {
                let resend_at = invited.ringing.as_ref().map(|ringing| ringing.resend_at);
                earliest([resend_at, Some(invited.give_up_at)])
            }
            State::Established(established) => established.poll_timeout(),
            State::Over(over) => {
                let waits = over.bye.is_some() || over.reinvite.is_some();
                waits.then_some(over.give_up_at)
            }
            State::Gone => None,
        };
        let referral = self.referral.as_ref().map(Referral::until);
        earliest([own, self.subscriptions.poll_timeout(), referral])
    }
}

impl Reinvite {
    /// Whether it is on the wire in that transaction.
    pub fn is_sent_as(&self, key: ClientKey) -> bool {
        matches!(self, Reinvite::Sent { transaction, .. } if *transaction == key)
    }
}

impl Established {
    /// A session that has just begun.
    pub fn new(dialog: Dialog) -> Self {
        let (unacknowledged, offered, reinvite, after_ack) = (None, None, None, None);
        Established { dialog, unacknowledged, offered, reinvite, after_ack, probing: false }
    }

    /// Ends the session: what is still on its way is waited for until `give_up_at`.
    pub fn into_over(self, bye: Option<ClientKey>, give_up_at: Instant) -> State {
        let reinvite = match self.reinvite {
            Some(Reinvite::Sent { transaction, .. }) => Some(transaction),
            Some(Reinvite::Backoff { .. }) | None => None,
        };
        State::Over(Over { dialog: self.dialog, bye, reinvite, give_up_at })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let unacknowledged = self.unacknowledged.as_ref();
        let reinvite = self.reinvite.as_ref().map(|reinvite| match reinvite {
            Reinvite::Backoff { until, .. } => *until,
            Reinvite::Sent { give_up_at, .. } => *give_up_at,
        });
        earliest([
            unacknowledged.map(|waiting| waiting.resend_at.min(waiting.give_up_at)),
            self.offered.as_ref().map(|offered| offered.give_up_at),
            reinvite,
        ])
    }
}

fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
}
