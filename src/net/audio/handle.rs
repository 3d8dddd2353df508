//! What the rest of the program holds of a call's audio.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::call::{Call, Leg};
use super::figures::Figures;
use super::worker::{Command, Order};
use super::{ClipId, HeardFrame, MouthEvent};
use crate::ids::LegId;
use crate::media::bridge::Bridge;
use crate::media::offer::Agreed;
use crate::media::session::{Session, Stats};
use crate::media::{Rate, Wiring};
use crate::net::MediaSocket;
use crate::net::ring::{Reader, ring};

/// Room for what a call's audio tells the call. A caller presses a few keys a second; a full ring
/// means a call task that is stuck, and the newest is lost and counted.
const EVENTS: usize = 64;

/// Room for what became of clips: two events each, of more clips than wait in a mouth. A full ring
/// means that nobody speaks through it any more.
const MOUTH_EVENTS: usize = 128;

/// A second of what the agent hears. A full ring means a listener that is stuck: what is said meanwhile is
/// lost and counted.
const HEARD_FRAMES: usize = 50;

/// A worker does not take commands: it has stood still, and the call must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media worker takes no more commands")]
pub struct Overloaded;

/// What a call's audio tells the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AudioEvent {
    /// A key was pressed (RFC 4733), told once at its first packet.
    Digit {
        /// By whom.
        leg: LegId,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// Nothing has come from this leg for that long (told once), while its media direction says it should.
    Silent {
        /// Which.
        leg: LegId,
        /// For how long.
        since: Duration,
    },
    /// RTP came (again) after silence, or for the first time.
    Flowing {
        /// Which.
        leg: LegId,
    },
    /// The figures so far, as [`CallAudio::measure`] asked.
    Measured {
        /// Which.
        leg: LegId,
        /// Its figures.
        stats: Stats,
    },
    /// The leg was removed, or the call closed: its last figures.
    Removed {
        /// Which.
        leg: LegId,
        /// Its figures.
        stats: Stats,
    },
}

/// A handle to one call's audio. When the last clone is dropped, the call's audio closes: its sockets
/// too, and their ports rest.
///
/// No method waits. When a worker's inbox is full the command is lost and said so by `false`: a worker
/// that does not drain its inbox within a tick is overloaded, and the call must end.
#[derive(Clone, Debug)]
pub struct CallAudio {
    inner: Arc<Inner>,
}

/// What all clones share. The worker holds it weakly, and closes the call when it is gone; so a close
/// cannot be lost to a full inbox.
#[derive(Debug)]
pub(super) struct Inner {
    number: u64,
    inbox: mpsc::Sender<Command>,
    figures: Arc<Figures>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.figures.call_closed();
    }
}

/// The channels by which a call hears of its audio. Each ends when the audio is closed.
#[derive(Debug)]
pub struct CallEars {
    /// Events for the call.
    pub events: Reader<AudioEvent>,
    /// Events for the agent's mouth.
    pub mouth: Reader<MouthEvent>,
    /// What the agent's port hears, for the listener.
    pub heard: HeardStream,
}

/// One frame each 20 ms of what the agent's port hears, as it comes, while anybody is wired to it and for a
/// second after; none while nothing comes from anybody. [`Reader::lost`] counts what a slow listener has missed.
pub type HeardStream = Reader<HeardFrame>;

/// Makes a call at a worker.
pub(super) fn open(
    number: u64,
    inbox: mpsc::Sender<Command>,
    figures: Arc<Figures>,
    rate: Rate,
    wired: Wiring,
    hold: Option<Arc<[i16]>>,
) -> Result<(CallAudio, CallEars), Overloaded> {
    let (events_in, events) = ring(EVENTS);
    let (mouth_in, mouth) = ring(MOUTH_EVENTS);
    let (heard_in, heard) = ring(HEARD_FRAMES);
    figures.call_opened();
    let audio = CallAudio { inner: Arc::new(Inner { number, inbox, figures }) };
    let call = Box::new(Call {
        number,
        handle: Arc::downgrade(&audio.inner),
        bridge: Bridge::new(rate, wired, hold),
        legs: Vec::with_capacity(4),
        agent_hears: !wired.agent.is_empty(),
        heard_tail: 0,
        events: events_in,
        mouth: mouth_in,
        heard: heard_in,
    });
    match audio.inner.inbox.try_send(Command::Open(call)) {
        Ok(()) => Ok((audio, CallEars { events, mouth, heard })),
        Err(_) => Err(Overloaded),
    }
}

impl CallAudio {
    /// Adds a leg with its socket. It speaks and hears as the wiring says; of several human legs
    /// the one added last speaks, and all hear.
    pub fn add_leg(&self, leg: LegId, session: Session, socket: Box<dyn MediaSocket>) -> bool {
        self.order(Order::AddLeg(Box::new(Leg { id: leg, session, socket })))
    }

    /// Goes on with what a re-INVITE agreed on.
    pub fn renegotiate(&self, leg: LegId, agreed: Agreed) -> bool {
        self.order(Order::Renegotiate(leg, agreed))
    }

    /// Removes a leg; its socket closes and its port rests.
    pub fn remove_leg(&self, leg: LegId) -> bool {
        self.order(Order::RemoveLeg(leg))
    }

    /// Rewires.
    pub fn wire(&self, wiring: Wiring) -> bool {
        self.order(Order::Wire(wiring))
    }

    /// What whoever waits hears from now on: samples at the rate of the call.
    pub fn hold_with(&self, music: Arc<[i16]>) -> bool {
        self.order(Order::Hold(music))
    }

    /// Plays after what is queued already. Samples are at the rate of the call. A clip for which the
    /// queue has no room ends at once, with nothing played.
    pub fn play(&self, clip: ClipId, samples: Arc<[i16]>) -> bool {
        self.order(Order::Play(clip, samples))
    }

    /// Silences the agent's port with a 5 ms ramp; every clip of it ends.
    pub fn stop(&self) -> bool {
        self.order(Order::Stop)
    }

    /// Presses keys on a leg (`0`-`9`, `*`, `#`, `A`-`D`; `w` and `W` wait), after those still being
    /// pressed.
    pub fn send_digits(&self, leg: LegId, digits: &str) -> bool {
        self.order(Order::SendDigits(leg, digits.into()))
    }

    /// Asks for the figures of every leg; they come as [`AudioEvent::Measured`].
    pub fn measure(&self) -> bool {
        self.order(Order::Measure)
    }

    fn order(&self, order: Order) -> bool {
        let command = Command::Do(self.inner.number, order);
        let taken = self.inner.inbox.try_send(command).is_ok();
        if !taken {
            self.inner.figures.command_lost();
        }
        taken
    }
}
