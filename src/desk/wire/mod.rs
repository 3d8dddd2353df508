//! The shapes that leave the desk: JSON in `snake_case`, times in RFC 3339 UTC with milliseconds,
//! durations in `*_ms`. A change here is a change for somebody outside.

mod readings;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::context::{Outcome, Reason, Speaker};

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// An error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// A name for what went wrong; `about:blank` says that the title says it all.
    pub r#type: &'static str,
    /// What went wrong, the same for each occurrence.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Of "not ready": each reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// `GET /v1/calls`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallList {
    /// Newest first.
    pub calls: Vec<CallLine>,
    /// False if the store could not be read: only live calls are listed then.
    pub complete: bool,
}

/// One call of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallLine {
    /// The caller's Call-ID.
    pub call_id: String,
    /// pending, answered, connected, disconnected.
    pub state: &'static str,
    /// Who called.
    pub caller: Caller,
    /// Whom.
    pub called: String,
    /// The rule that took the call.
    pub route: String,
    /// The agent that serves it.
    pub agent: Option<String>,
    /// When the INVITE came.
    pub began: Time,
    /// When the call was over.
    pub ended: Option<Time>,
    /// Why a human was needed.
    pub reason: Option<Reason>,
    /// Where there is more.
    pub links: Links,
}

/// Who called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// Their number or URI user.
    pub phone: String,
    /// Their display name.
    pub name: Option<String>,
}

/// Where there is more about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Links {
    /// The whole context.
    #[serde(rename = "self")]
    pub itself: String,
    /// The briefing.
    pub briefing: String,
    /// The transcript.
    pub transcript: String,
}

/// `GET /v1/calls/{call_id}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// As in the list.
    #[serde(flatten)]
    pub line: CallLine,
    /// The trunk it came from.
    pub trunk: Option<String>,
    /// When it was answered.
    pub answered: Option<Time>,
    /// From the answer to the end; absent while it goes on.
    pub duration_ms: Option<i64>,
    /// Whether the caller's side has it on hold.
    pub on_hold: bool,
    /// Each state that it came to.
    pub phases: Vec<Phase>,
    /// The caller, then each human that was dialled.
    pub legs: Vec<Leg>,
    /// The latest of the escalations.
    pub escalation: Option<Escalation>,
    /// Each time that a human was needed.
    pub escalations: Vec<Escalation>,
    /// Each way to a human that was tried.
    pub transfers: Vec<Transfer>,
    /// What the human must know.
    pub briefing: Option<BriefingBody>,
    /// How many turns the transcript has.
    pub turns: usize,
    /// The keys that the caller pressed.
    pub keys: Vec<Key>,
    /// What failed without ending the call.
    pub degraded: Vec<Degraded>,
    /// How it ended.
    pub ending: Option<Ending>,
}

/// A state and its time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Phase {
    pub state: &'static str,
    pub at: Time,
}

/// One party's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Leg {
    pub party: &'static str,
    pub who: String,
    pub began: Time,
    pub answered: Option<Time>,
    pub ended: Option<Time>,
}

/// The decision that a human is needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Escalation {
    pub at: Time,
    pub reason: Reason,
    pub rule: String,
    pub details: String,
    pub turn: Option<u32>,
    pub also: Vec<Reason>,
}

/// One try to bring a human in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Transfer {
    pub mode: String,
    pub method: String,
    pub target: String,
    pub began: Time,
    pub steps: Vec<Step>,
    pub connected: Option<Time>,
    pub outcome: Option<Outcome>,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub ended: Option<Time>,
    pub duration_ms: Option<i64>,
}

/// What the other side said on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Step {
    pub at: Time,
    pub status: u16,
    pub reason: String,
}

/// A key that was pressed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Key {
    pub at: Time,
    pub digit: char,
}

/// A part that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Degraded {
    pub at: Time,
    pub part: String,
    pub what: String,
}

/// The end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Ending {
    pub at: Time,
    pub by: String,
    pub reason: Option<String>,
    /// The status with which the call was refused before it was answered.
    pub refused: Option<u16>,
}

/// `GET /v1/calls/{call_id}/briefing`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BriefingBody {
    /// The caller's Call-ID.
    pub call_id: String,
    /// Why a human is needed.
    pub reason: Reason,
    /// What fired.
    pub details: String,
    /// The caller's words that fired it.
    pub trigger_text: Option<String>,
    /// The turn with those words.
    pub trigger_turn: Option<u32>,
    /// At most 20 words.
    pub headline: String,
    /// At most three sentences and 60 words.
    pub summary: String,
    /// Whether a model wrote the summary.
    pub summary_by_model: bool,
    /// What came up that policy keeps for people.
    pub topics: Vec<String>,
    /// What was done already.
    pub actions_taken: Vec<String>,
    /// Who calls.
    pub caller: Caller,
    /// When the call came.
    pub began: Time,
    /// When this was written.
    pub at: Time,
    /// From the answer to this briefing.
    pub call_ms: u64,
    /// How many turns there were then.
    pub turns: u32,
    /// Where the transcript is.
    pub transcript_reference: String,
}

/// `GET /v1/calls/{call_id}/transcript`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transcript {
    /// The caller's Call-ID.
    pub call_id: String,
    /// The turns that were asked for, in the order of time.
    pub turns: Vec<TurnBody>,
    /// How many there are in all.
    pub turns_total: usize,
}

/// One party's uninterrupted speech.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct TurnBody {
    pub number: u32,
    pub speaker: Speaker,
    pub text: String,
    pub began: Time,
    pub ended: Time,
    pub confidence: Option<f32>,
    pub interrupted: bool,
}

/// The screen pop: what a webhook is told before the human's phone is answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScreenPop {
    /// The caller's Call-ID.
    pub call_id: String,
    /// Who calls.
    pub caller: PopCaller,
    /// What it is about.
    pub conversation: PopConversation,
    /// Earlier calls of the same caller, newest first.
    pub history: Vec<PastCall>,
    /// Where there is more.
    pub links: Links,
}

/// Who calls, to another system's screen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct PopCaller {
    pub name: Option<String>,
    pub phone: String,
    /// `null` until somebody has looked the caller up.
    pub account: Option<String>,
    /// `null` until somebody has looked the caller up.
    pub tier: Option<String>,
}

/// What the call is about, to another system's screen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct PopConversation {
    pub summary: String,
    pub escalation_reason: Reason,
    pub topics: Vec<String>,
    pub actions_taken: Vec<String>,
    pub recommended_actions: Vec<String>,
    /// positive, neutral, negative; `null` where it was not measured.
    pub sentiment: Option<&'static str>,
    /// Seconds from the answer to the briefing.
    pub duration: u32,
}

/// An earlier call of the same caller.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct PastCall {
    pub call_id: String,
    pub began: Time,
    pub state: &'static str,
    pub reason: Option<Reason>,
}
