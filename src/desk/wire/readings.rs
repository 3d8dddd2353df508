//! The shapes, made from the readings of a journal.

use jiff::Timestamp;

use crate::context::briefing::{call_reference, transcript_reference};
use crate::context::{Briefing, CallContext, CallSummary, Turn, reading};
use crate::desk::wire::*;
use crate::ids::CallId;

impl Links {
    /// The links of a call, behind `base`: nothing for paths, an origin for URLs.
    pub fn new(base: &str, call_id: &CallId) -> Self {
        let itself = format!("{base}{}", call_reference(call_id));
        let briefing = format!("{itself}/briefing");
        Links { itself, briefing, transcript: format!("{base}{}", transcript_reference(call_id)) }
    }
}

impl From<&CallSummary> for CallLine {
    fn from(call: &CallSummary) -> Self {
        CallLine {
            call_id: call.call_id.as_str().to_owned(),
            state: call.phase.name(),
            caller: Caller { phone: call.caller.clone(), name: call.caller_name.clone() },
            called: call.called.clone(),
            route: call.route.clone(),
            agent: call.agent.clone(),
            began: Time(call.began),
            ended: call.ended.map(Time),
            reason: call.reason,
            links: Links::new("", &call.call_id),
        }
    }
}

impl From<&CallContext> for Call {
    fn from(context: &CallContext) -> Self {
        let answered = context.answered();
        let duration = answered.zip(context.summary.ended).map(|(from, to)| ms_between(from, to));
        let escalations: Vec<Escalation> =
            context.escalations.iter().map(Escalation::from).collect();
        let phase = |change: &reading::PhaseChange| Phase {
            state: change.phase.name(),
            at: Time(change.at),
        };
        let key = |key: &reading::Key| Key { at: Time(key.at), digit: key.digit };
        Call {
            line: CallLine::from(&context.summary),
            trunk: context.summary.trunk.clone(),
            answered: answered.map(Time),
            duration_ms: duration,
            on_hold: context.on_hold,
            phases: context.phases.iter().map(phase).collect(),
            legs: context.legs.iter().map(Leg::from).collect(),
            escalation: escalations.last().cloned(),
            escalations,
            transfers: context.transfers.iter().map(Transfer::from).collect(),
            briefing: context.briefing.as_ref().map(BriefingBody::from),
            turns: context.conversation.turns.len(),
            keys: context.keys.iter().map(key).collect(),
            degraded: context.degraded.iter().map(Degraded::from).collect(),
            ending: context.ending.as_ref().map(Ending::from),
        }
    }
}

impl From<&reading::Leg> for Leg {
    fn from(leg: &reading::Leg) -> Self {
        Leg {
            party: match leg.party {
                reading::Party::Caller => "caller",
                reading::Party::Human => "human",
            },
            who: leg.who.clone(),
            began: Time(leg.began),
            answered: leg.answered.map(Time),
            ended: leg.ended.map(Time),
        }
    }
}

impl From<&reading::Escalation> for Escalation {
    fn from(escalation: &reading::Escalation) -> Self {
        Escalation {
            at: Time(escalation.at),
            reason: escalation.reason,
            rule: escalation.rule.clone(),
            details: escalation.details.clone(),
            turn: escalation.turn,
            also: escalation.also.clone(),
        }
    }
}

impl From<&reading::Transfer> for Transfer {
    fn from(transfer: &reading::Transfer) -> Self {
        let step = |step: &reading::Step| Step {
            at: Time(step.at),
            status: step.status,
            reason: step.reason.clone(),
        };
        Transfer {
            mode: transfer.mode.clone(),
            method: transfer.method.clone(),
            target: transfer.target.clone(),
            began: Time(transfer.began),
            steps: transfer.steps.iter().map(step).collect(),
            connected: transfer.connected.map(Time),
            outcome: transfer.outcome,
            status: transfer.status,
            reason: transfer.reason.clone(),
            ended: transfer.ended.map(Time),
            duration_ms: transfer.ended.map(|ended| ms_between(transfer.began, ended)),
        }
    }
}

impl From<&reading::Degraded> for Degraded {
    fn from(degraded: &reading::Degraded) -> Self {
        let (part, what) = (degraded.part.clone(), degraded.what.clone());
        Degraded { at: Time(degraded.at), part, what }
    }
}

impl From<&reading::Ending> for Ending {
    fn from(ending: &reading::Ending) -> Self {
        let (by, reason) = (ending.by.clone(), ending.reason.clone());
        Ending { at: Time(ending.at), by, reason, refused: ending.refused }
    }
}

impl From<&Briefing> for BriefingBody {
    fn from(briefing: &Briefing) -> Self {
        BriefingBody {
            call_id: briefing.call_id.clone(),
            reason: briefing.reason,
            details: briefing.details.clone(),
            trigger_text: briefing.trigger_text.clone(),
            trigger_turn: briefing.trigger_turn,
            headline: briefing.headline.clone(),
            summary: briefing.summary.clone(),
            summary_by_model: briefing.summary_by_model,
            topics: briefing.topics.clone(),
            actions_taken: briefing.actions_taken.clone(),
            caller: Caller { phone: briefing.caller.clone(), name: briefing.caller_name.clone() },
            began: Time(briefing.began),
            at: Time(briefing.at),
            call_ms: u64::from(briefing.call_secs) * 1000,
            turns: briefing.turns,
            transcript_reference: briefing.transcript_reference.clone(),
        }
    }
}

impl From<&Turn> for TurnBody {
    fn from(turn: &Turn) -> Self {
        TurnBody {
            number: turn.number,
            speaker: turn.speaker,
            text: turn.text.clone(),
            began: Time(turn.began),
            ended: Time(turn.ended),
            confidence: turn.confidence,
            interrupted: turn.interrupted,
        }
    }
}

impl From<&CallSummary> for PastCall {
    fn from(call: &CallSummary) -> Self {
        PastCall {
            call_id: call.call_id.as_str().to_owned(),
            began: Time(call.began),
            state: call.phase.name(),
            reason: call.reason,
        }
    }
}

impl ScreenPop {
    /// The pop for a call that was briefed. What nobody has found out yet is `null` or empty.
    pub fn new(call_id: &CallId, briefing: &Briefing, earlier: &[CallSummary], base: &str) -> Self {
        ScreenPop {
            call_id: call_id.as_str().to_owned(),
            caller: PopCaller {
                name: briefing.caller_name.clone(),
                phone: briefing.caller.clone(),
                account: None,
                tier: None,
            },
            conversation: PopConversation {
                summary: briefing.summary.clone(),
                escalation_reason: briefing.reason,
                topics: briefing.topics.clone(),
                actions_taken: briefing.actions_taken.clone(),
                recommended_actions: Vec::new(),
                sentiment: None,
                duration: briefing.call_secs,
            },
            history: earlier.iter().map(PastCall::from).collect(),
            links: Links::new(base, call_id),
        }
    }
}

fn ms_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}
