//! What happens to a call, and what a call wants done: everything that passes between the
//! [machine](crate::call::machine) and its driver.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::agent::driver::{AgentEvent, Order};
use crate::call::plan::Target;
use crate::call::transfer;
use crate::context::{Briefing, Fact};
use crate::ids::{CallId, LegId};
use crate::media::Wiring;
use crate::sip::Liveness;
use crate::sip::header::Reason;

/// The time of one step: `now` for deadlines, `at` for the journal.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub now: Instant,
    /// The clock on the wall.
    pub at: Timestamp,
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The caller's INVITE came: the first event of every call.
    Invited,
    /// The ACK of our 200 came: the caller hears us.
    Acknowledged,
    /// The caller's dialog is over.
    CallerGone {
        /// The Reason header, if it had one.
        reason: Option<String>,
    },
    /// The caller put us on hold, or came back.
    Held(bool),
    /// A human put us on hold, or came back.
    HumanHeld(u16, bool),
    /// The caller's sound stopped, or came back.
    CallerSounds(bool),
    /// A human's sound stopped, or came back.
    HumanSounds(u16, bool),
    /// What came of asking whether a party is still there.
    Probed(LegId, Liveness),
    /// The caller pressed a key.
    Digit(char),
    /// A human pressed a key.
    HumanDigit(u16, char),
    /// The caller speaks over the agent.
    BargedIn,
    /// The caller's turn is over and understood.
    Heard {
        /// The words.
        text: String,
        /// 0 to 1.
        confidence: f32,
        /// When the voice began and ended.
        spoken: (Timestamp, Timestamp),
    },
    /// The caller said something and the recogniser failed on it.
    NotUnderstood,
    /// From the agent.
    Agent(AgentEvent),
    /// The briefing is durable, or the store's deadline has passed.
    Saved,
    /// The model's summary for the briefing; `None` when there is none to be had.
    Summarised(Option<String>),
    /// From the way to the human.
    Transfer(transfer::Event),
    /// The human's dialog is over.
    HumanGone {
        /// Which of the call's humans.
        human: u16,
        /// The Reason header, if it had one.
        reason: Option<String>,
    },
    /// The program is shutting down and its patience is over.
    ShutDown,
    /// Time passed.
    Tick,
}

/// What a call wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the journal.
    Record(Fact),
    /// 180 to the caller.
    Ring,
    /// 200 to the caller.
    Answer,
    /// Append the briefing, wait for the disk (at most the store's deadline), tell [`Event::Saved`].
    Save(Box<Briefing>),
    /// Ask the model for a summary of the conversation.
    Summarise,
    /// Who hears whom from now on.
    Wire(Wiring),
    /// What whoever waits hears from now on: samples at the rate of the call.
    Hold(Arc<[i16]>),
    /// Whether the caller is listened to.
    Listen(bool),
    /// To the agent.
    Agent(Order),
    /// REFER to the caller's side.
    Refer(Target),
    /// OPTIONS in the leg's dialog.
    Probe(LegId),
    /// Press a key on a leg.
    Press(LegId, char),
    /// INVITE the human.
    Dial(u16, Target),
    /// End the human's leg: CANCEL or BYE.
    HangUpHuman(u16, Option<Reason>),
    /// BYE to the caller.
    HangUpCaller,
    /// The call is over: close everything it still has.
    End,
}

/// Between whom the call is, for the briefing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The caller's Call-ID.
    pub call_id: CallId,
    /// The caller's number or URI user.
    pub caller: String,
    /// The caller's display name.
    pub caller_name: Option<String>,
    /// The number or URI user that was called.
    pub called: String,
    /// The trunk it came from, by its name in the dialplan.
    pub trunk: Option<String>,
}

impl Event {
    /// What happened, without what was said: for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Invited => "invited",
            Event::Acknowledged => "acknowledged",
            Event::CallerGone { .. } => "caller gone",
            Event::Held(_) => "held",
            Event::HumanHeld(..) => "human held",
            Event::CallerSounds(_) => "caller sounds",
            Event::HumanSounds(..) => "human sounds",
            Event::Probed(..) => "probed",
            Event::Digit(_) => "digit",
            Event::HumanDigit(..) => "human digit",
            Event::BargedIn => "barged in",
            Event::Heard { .. } => "heard",
            Event::NotUnderstood => "not understood",
            Event::Agent(_) => "agent",
            Event::Saved => "saved",
            Event::Summarised(_) => "summarised",
            Event::Transfer(_) => "transfer",
            Event::HumanGone { .. } => "human gone",
            Event::ShutDown => "shut down",
            Event::Tick => "tick",
        }
    }
}

impl Effect {
    /// What is wanted, without what is said: for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Effect::Record(_) => "record",
            Effect::Ring => "ring",
            Effect::Answer => "answer",
            Effect::Save(_) => "save",
            Effect::Summarise => "summarise",
            Effect::Wire(_) => "wire",
            Effect::Hold(_) => "hold",
            Effect::Listen(_) => "listen",
            Effect::Agent(_) => "agent",
            Effect::Refer(_) => "refer",
            Effect::Probe(_) => "probe",
            Effect::Press(..) => "press",
            Effect::Dial(..) => "dial",
            Effect::HangUpHuman(..) => "hang up human",
            Effect::HangUpCaller => "hang up caller",
            Effect::End => "end",
        }
    }
}
