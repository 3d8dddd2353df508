//! The whole context of a call, read from its journal: a fold over the entries, in order, which never
//! fails. What is missing in a journal is missing in the reading.

use jiff::Timestamp;

use crate::context::briefing::Briefing;
use crate::context::conversation::Conversation;
use crate::context::journal::{Entry, Fact, Outcome, Reason};
use crate::context::summary::{CallSummary, Phase};
use crate::ids::CallId;

/// Everything that the journal says about a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallContext {
    /// Whose call it is and how far it has come.
    pub summary: CallSummary,
    /// Each phase that the call came to, with its time. A call that returns to the agent comes to
    /// the same phase again.
    pub phases: Vec<PhaseChange>,
    /// The parties: the caller first, then each human that was dialled.
    pub legs: Vec<Leg>,
    /// Each time that a human was needed.
    pub escalations: Vec<Escalation>,
    /// Each way to a human that was tried.
    pub transfers: Vec<Transfer>,
    /// What the human must know: the latest.
    pub briefing: Option<Briefing>,
    /// Who said what.
    pub conversation: Conversation,
    /// The keys that the caller pressed.
    pub keys: Vec<Key>,
    /// Whether the caller's side has the call on hold.
    pub on_hold: bool,
    /// What failed without ending the call.
    pub degraded: Vec<Degraded>,
    /// How the call ended.
    pub ending: Option<Ending>,
}

/// A phase, and when the call came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// The phase.
    pub phase: Phase,
    /// When.
    pub at: Timestamp,
}

/// One party's part in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The caller, or a human.
    pub party: Party,
    /// The caller's number, or the dialplan's name of the human.
    pub who: String,
    /// When its INVITE came or went.
    pub began: Timestamp,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

/// Which side of the call a leg is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Who called.
    Caller,
    /// Who takes over.
    Human,
}

/// The decision that a human is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The rule that fired.
    pub rule: String,
    /// What it fired on.
    pub details: String,
    /// The number of the turn that fired it.
    pub turn: Option<u32>,
    /// Further reasons that held.
    pub also: Vec<Reason>,
}

/// One try to bring a human in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// cold, warm, supervised.
    pub mode: String,
    /// refer, bridge.
    pub method: String,
    /// The dialplan's name of the target.
    pub target: String,
    /// When it was begun.
    pub began: Timestamp,
    /// What the other side said on the way.
    pub steps: Vec<Step>,
    /// When a human spoke with the caller.
    pub connected: Option<Timestamp>,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<Outcome>,
    /// The SIP status behind the outcome.
    pub status: Option<u16>,
    /// The Reason header or phrase behind it.
    pub reason: Option<String>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// One answer on the way of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// The SIP status, of a response or of a NOTIFY's sipfrag.
    pub status: u16,
    /// Its reason phrase.
    pub reason: String,
}

/// A key that the caller pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// When.
    pub at: Timestamp,
    /// 0-9, *, #, A-D.
    pub digit: char,
}

/// A part that failed while the call went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// When.
    pub at: Timestamp,
    /// Which part.
    pub part: String,
    /// What happened.
    pub what: String,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: Timestamp,
    /// caller, human, us.
    pub by: String,
    /// The Reason header or our own word for it.
    pub reason: Option<String>,
    /// The status with which the call was refused before it was answered.
    pub refused: Option<u16>,
}

impl CallContext {
    /// Reads a journal; `None` if there is nothing in it.
    pub fn read<'a>(
        call_id: &CallId,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Option<Self> {
        let mut entries = entries.into_iter().peekable();
        let mut context = CallContext::new(call_id.clone(), entries.peek()?.at);
        for entry in entries {
            context.apply(entry);
        }
        Some(context)
    }

    /// Takes in the next entry.
    pub fn apply(&mut self, entry: &Entry) {
        let at = entry.at;
        if let Fact::Invited { caller, .. } = &entry.fact {
            *self = CallContext::new(self.summary.call_id.clone(), at);
            self.phases.push(PhaseChange { phase: Phase::Pending, at });
            self.legs.push(leg(Party::Caller, caller, at));
        }
        let before = self.summary.phase;
        self.summary.apply(entry);
        if self.summary.phase != before {
            self.phases.push(PhaseChange { phase: self.summary.phase, at });
        }
        match &entry.fact {
            Fact::Invited { .. } => (),
            Fact::Answered => self.answer_caller(at),
            Fact::Refused { status } => self.end(at, "us", None, Some(*status)),
            Fact::Said { turn } => self.conversation.add(turn.clone()),
            Fact::Pressed { digit } => self.keys.push(Key { at, digit: *digit }),
            Fact::Escalated { reason, rule, details, turn, also } => {
                self.escalations.push(Escalation {
                    at,
                    reason: *reason,
                    rule: rule.clone(),
                    details: details.clone(),
                    turn: *turn,
                    also: also.clone(),
                });
            }
            Fact::Briefed { briefing } => self.briefing = Some(briefing.as_ref().clone()),
            Fact::TransferTried { mode, method, target } => {
                self.try_transfer(at, mode, method, target)
            }
            Fact::TransferProgress { status, reason } => {
                if let Some(transfer) = self.transfers.last_mut() {
                    transfer.steps.push(Step { at, status: *status, reason: reason.clone() });
                }
            }
            Fact::TransferEnded { outcome, status, reason } => {
                self.end_transfer(at, *outcome, *status, reason.clone());
            }
            Fact::Connected { .. } => self.connect(at),
            Fact::Held { on } => self.on_hold = *on,
            Fact::Degraded { part, what } => {
                let (part, what) = (part.clone(), what.clone());
                self.degraded.push(Degraded { at, part, what });
            }
            Fact::Ended { by, reason } => self.end(at, by, reason.clone(), None),
        }
    }

    /// When the call was answered, whoever answered it.
    pub fn answered(&self) -> Option<Timestamp> {
        let spoken = |phase| matches!(phase, Phase::Answered | Phase::Connected);
        self.phases.iter().find(|change| spoken(change.phase)).map(|change| change.at)
    }

    /// A call of which nothing is known yet.
    pub fn new(call_id: CallId, at: Timestamp) -> Self {
        CallContext {
            summary: CallSummary::new(call_id, at),
            phases: Vec::new(),
            legs: Vec::new(),
            escalations: Vec::new(),
            transfers: Vec::new(),
            briefing: None,
            conversation: Conversation::default(),
            keys: Vec::new(),
            on_hold: false,
            degraded: Vec::new(),
            ending: None,
        }
    }

    fn answer_caller(&mut self, at: Timestamp) {
        if let Some(caller) = self.legs.first_mut().filter(|leg| leg.party == Party::Caller) {
            caller.answered.get_or_insert(at);
        }
    }

    /// A REFER makes the caller's side dial, so there is no leg of ours to the human.
    fn try_transfer(&mut self, at: Timestamp, mode: &str, method: &str, target: &str) {
        self.transfers.push(Transfer {
            mode: mode.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            began: at,
            steps: Vec::new(),
            connected: None,
            outcome: None,
            status: None,
            reason: None,
            ended: None,
        });
        if method == "bridge" {
            self.legs.push(leg(Party::Human, target, at));
        }
    }

    fn connect(&mut self, at: Timestamp) {
        self.answer_caller(at);
        let Some(transfer) = self.transfers.last_mut() else { return };
        transfer.connected.get_or_insert(at);
        if transfer.method == "bridge"
            && let Some(human) = self.legs.iter_mut().rfind(|leg| leg.party == Party::Human)
        {
            human.answered.get_or_insert(at);
        }
    }

    /// A transfer that connected ends a second time when the human drops out.
    fn end_transfer(
        &mut self,
        at: Timestamp,
        outcome: Outcome,
        status: Option<u16>,
        reason: Option<String>,
    ) {
        let Some(transfer) = self.transfers.last_mut() else { return };
        transfer.outcome = Some(outcome);
        transfer.status = status;
        transfer.reason = reason;
        transfer.ended = Some(at);
        if outcome != Outcome::Connected
            && transfer.method == "bridge"
            && let Some(human) = self.legs.iter_mut().rfind(|leg| leg.party == Party::Human)
        {
            human.ended.get_or_insert(at);
        }
    }

    fn end(&mut self, at: Timestamp, by: &str, reason: Option<String>, refused: Option<u16>) {
        for leg in &mut self.legs {
            leg.ended.get_or_insert(at);
        }
        let ending = Ending { at, by: by.to_owned(), reason, refused };
        self.ending.get_or_insert(ending);
    }
}

fn leg(party: Party, who: &str, began: Timestamp) -> Leg {
    Leg { party, who: who.to_owned(), began, answered: None, ended: None }
}
