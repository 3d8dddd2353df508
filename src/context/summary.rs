//! A call in one line: whose it is and how far it has come. What lists show, and the row that the
//! store keeps for each call.
//!
//! ```text
//!      ┌───────────────────────────────────────┐ Connected
//!      │           Answered         Connected  V
//!   Pending ─────────────> Answered ──────> Connected
//!      │                    │    ^             │  │
//!      │ Refused, Ended     │    └─────────────┘  │
//!      │              Ended │   target dropped    │ Ended
//!      V                    V                     │
//!   Disconnected <────────────────────────────────┘
//! ```

use jiff::Timestamp;

use crate::context::journal::{Entry, Fact, Outcome, Reason};
use crate::ids::CallId;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The INVITE came; we have not answered.
    Pending,
    /// The agent speaks with the caller.
    Answered,
    /// A human does.
    Connected,
    /// It is over.
    Disconnected,
}

impl Phase {
    /// All of them, in the order of a call.
    pub const ALL: [Phase; 4] =
        [Phase::Pending, Phase::Answered, Phase::Connected, Phase::Disconnected];

    /// Its name in JSON, in queries and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Answered => "answered",
            Phase::Connected => "connected",
            Phase::Disconnected => "disconnected",
        }
    }

    /// The phase of that name.
    pub fn named(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// A call in one line.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSummary {
    /// The caller's Call-ID.
    pub call_id: CallId,
    /// The caller's number or URI user; empty when the journal's beginning was lost.
    pub caller: String,
    /// The caller's display name.
    pub caller_name: Option<String>,
    /// Whom they called.
    pub called: String,
    /// The dialplan's rule that took the call.
    pub route: String,
    /// The agent that serves it.
    pub agent: Option<String>,
    /// The trunk it came from.
    pub trunk: Option<String>,
    /// When the INVITE came.
    pub began: Timestamp,
    /// How far it is.
    pub phase: Phase,
    /// Why a human was needed, the last time one was.
    pub reason: Option<Reason>,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

impl CallSummary {
    /// A call of which nothing is known but that it was there at `at`.
    pub fn new(call_id: CallId, at: Timestamp) -> Self {
        CallSummary {
            call_id,
            caller: String::new(),
            caller_name: None,
            called: String::new(),
            route: String::new(),
            agent: None,
            trunk: None,
            began: at,
            phase: Phase::Pending,
            reason: None,
            ended: None,
        }
    }

    /// Takes in the next entry. A second `Invited` is a new call under a Call-ID that was used before.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.fact {
            Fact::Invited { caller, caller_name, called, route, agent, trunk } => {
                *self = CallSummary {
                    caller: caller.clone(),
                    caller_name: caller_name.clone(),
                    called: called.clone(),
                    route: route.clone(),
                    agent: agent.clone(),
                    trunk: trunk.clone(),
                    ..CallSummary::new(self.call_id.clone(), entry.at)
                };
            }
            Fact::Answered => self.advance(&[Phase::Pending], Phase::Answered),
            // A route that dials at once has no agent to answer first.
            Fact::Connected { .. } => {
                self.advance(&[Phase::Pending, Phase::Answered], Phase::Connected);
            }
            Fact::TransferEnded { outcome: Outcome::TargetDropped, .. } => {
                self.advance(&[Phase::Connected], Phase::Answered);
            }
            Fact::Escalated { reason, .. } => self.reason = Some(*reason),
            Fact::Refused { .. } | Fact::Ended { .. } if self.ended.is_none() => {
                self.phase = Phase::Disconnected;
                self.ended = Some(entry.at);
            }
            _ => (),
        }
    }

    /// Whether the last dialog is over.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Disconnected
    }

    /// Moves on, if the call is where it can move from: a fact that comes late changes nothing.
    fn advance(&mut self, from: &[Phase], to: Phase) {
        if from.contains(&self.phase) {
            self.phase = to;
        }
    }
}

/// Which calls to list.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFilter {
    /// Only those in one of these phases.
    pub phases: Vec<Phase>,
    /// Only those that began at this time or later.
    pub from: Option<Timestamp>,
    /// Only those of this caller.
    pub caller: Option<String>,
    /// No more than so many: the newest.
    pub limit: usize,
}

impl CallFilter {
    /// The newest calls, whatever their phase.
    pub fn newest(limit: usize) -> Self {
        CallFilter { phases: Phase::ALL.to_vec(), from: None, caller: None, limit }
    }

    /// Whether this call is one of them.
    pub fn admits(&self, call: &CallSummary) -> bool {
        self.phases.contains(&call.phase)
            && self.from.is_none_or(|from| call.began >= from)
            && self.caller.as_ref().is_none_or(|caller| call.caller == *caller)
    }

    /// Orders calls newest first and leaves the first `limit`.
    pub fn newest_first(&self, calls: &mut Vec<CallSummary>) {
        calls.sort_by(|a, b| b.began.cmp(&a.began).then_with(|| a.call_id.cmp(&b.call_id)));
        calls.truncate(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> Vec<Fact> {
        let ended = |outcome| Fact::TransferEnded { outcome, status: None, reason: None };
        vec![
            Fact::Invited {
                caller: "+4930555".into(),
                caller_name: None,
                called: "demo".into(),
                route: "demo".into(),
                agent: None,
                trunk: None,
            },
            Fact::Answered,
            Fact::Connected { method: "bridge".into(), target: "sarah".into() },
            ended(Outcome::Busy),
            ended(Outcome::TargetDropped),
            Fact::Ended { by: "caller".into(), reason: None },
            Fact::Refused { status: 503 },
        ]
    }

    proptest! {
        /// Whatever order facts come in, only a new INVITE leads out of the last phase, and a call
        /// that is over says since when.
        #[test]
        fn a_call_that_is_over_stays_over(picks in prop::collection::vec(0usize..7, 1..20)) {
            let facts = facts();
            let mut summary = CallSummary::new(CallId::new("a@b").unwrap(), Timestamp::UNIX_EPOCH);
            for (second, pick) in picks.into_iter().enumerate() {
                let before = summary.clone();
                let at = Timestamp::from_second(second as i64).unwrap();
                summary.apply(&Entry { at, fact: facts[pick].clone() });

                prop_assert_eq!(summary.is_over(), summary.ended.is_some());
                prop_assert!(!before.is_over() || summary == before || pick == 0);
            }
        }
    }

    #[test]
    fn a_human_who_drops_gives_the_call_back_to_the_agent() {
        let facts = facts();
        let at = Timestamp::UNIX_EPOCH;
        let mut summary = CallSummary::new(CallId::new("a@b").unwrap(), at);
        let mut phases = Vec::new();

        for place in [0, 1, 3, 2, 4, 2, 5, 1] {
            summary.apply(&Entry { at, fact: facts[place].clone() });
            phases.push(summary.phase.name());
        }

        let [pending, answered, connected, over] = Phase::ALL.map(Phase::name);
        let expected = [pending, answered, answered, connected, answered, connected, over, over];
        assert_eq!(phases, expected);
    }
}
