//! The journal of a call: facts, in order, each with its time. A serialised shape: what is written
//! here is read by later versions of the program.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::briefing::Briefing;
use crate::context::conversation::Turn;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, UTC.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The caller's INVITE came and a rule of the dialplan took it.
    Invited {
        /// The caller's number or URI user.
        caller: String,
        /// The caller's display name.
        caller_name: Option<String>,
        /// Whom they called.
        called: String,
        /// The rule that took the call.
        route: String,
        /// The agent that serves it.
        agent: Option<String>,
        /// The trunk it came from.
        trunk: Option<String>,
    },
    /// We answered: the agent speaks.
    Answered,
    /// The call was refused before it was answered.
    Refused {
        /// With which status.
        status: u16,
    },
    /// Somebody finished speaking.
    Said {
        /// What they said.
        turn: Turn,
    },
    /// The caller pressed a key.
    Pressed {
        /// 0-9, *, #, A-D.
        digit: char,
    },
    /// A human is needed.
    Escalated {
        /// Why.
        reason: Reason,
        /// The rule that fired.
        rule: String,
        /// What it fired on: the phrase, the topic.
        details: String,
        /// The turn that fired it, by its number.
        turn: Option<u32>,
        /// Further reasons that held at the same time.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Reason>,
    },
    /// What the human must know, as it stood then.
    Briefed {
        /// The briefing.
        briefing: Box<Briefing>,
    },
    /// A way to the human is tried.
    TransferTried {
        /// cold, warm, supervised.
        mode: String,
        /// refer, bridge.
        method: String,
        /// Whom: the dialplan's name of the target.
        target: String,
    },
    /// The human's phone (or the peer that was referred) says how far it is.
    TransferProgress {
        /// The status of the response or of the sipfrag.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// That way has come to its end.
    TransferEnded {
        /// How.
        outcome: Outcome,
        /// The SIP status behind it.
        status: Option<u16>,
        /// The Reason header or phrase behind it.
        reason: Option<String>,
    },
    /// A human speaks with the caller.
    Connected {
        /// refer, bridge.
        method: String,
        /// Whom.
        target: String,
    },
    /// The caller's side changed its session: hold, resume.
    Held {
        /// On hold from now, or back.
        on: bool,
    },
    /// A part failed and the call went on without it.
    Degraded {
        /// model, voice, recogniser, store, screen.
        part: String,
        /// What happened, in one line, without anything personal.
        what: String,
    },
    /// The last dialog is over.
    Ended {
        /// caller, human, us.
        by: String,
        /// The Reason header or our own word for it.
        reason: Option<String>,
    },
}

impl Fact {
    /// Whether the journal of a call begins with it.
    pub fn begins_call(&self) -> bool {
        matches!(self, Fact::Invited { .. })
    }

    /// Whether the call is over with it.
    pub fn ends_call(&self) -> bool {
        matches!(self, Fact::Refused { .. } | Fact::Ended { .. })
    }
}

impl Reason {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Reason::CustomerRequest => "customer_request",
            Reason::PolicyRequired => "policy_required",
            Reason::SensitiveTopic => "sensitive_topic",
            Reason::ComplianceRequired => "compliance_required",
            Reason::SentimentNegative => "sentiment_negative",
            Reason::HighFrustration => "high_frustration",
            Reason::LowConfidence => "low_confidence",
            Reason::CapabilityLimit => "capability_limit",
            Reason::RepeatedFailure => "repeated_failure",
            Reason::ComplexIssue => "complex_issue",
            Reason::MaxTurnsExceeded => "max_turns_exceeded",
            Reason::HighValueAccount => "high_value_account",
        }
    }
}

/// Why a human is needed: the union of the field's words (T1, T2 of the requirements).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Reason {
    #[serde(alias = "customer_requested")]
    CustomerRequest,
    PolicyRequired,
    SensitiveTopic,
    ComplianceRequired,
    SentimentNegative,
    HighFrustration,
    LowConfidence,
    CapabilityLimit,
    RepeatedFailure,
    ComplexIssue,
    MaxTurnsExceeded,
    HighValueAccount,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Outcome {
    Connected,
    Declined,
    Busy,
    NoAnswer,
    Voicemail,
    Unreachable,
    CallerAbandoned,
    ReferRejected,
    ReferTimeout,
    TargetDropped,
    RefusedByPolicy,
}

impl Outcome {
    /// The word of the journal, the API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Connected => "connected",
            Outcome::Declined => "declined",
            Outcome::Busy => "busy",
            Outcome::NoAnswer => "no_answer",
            Outcome::Voicemail => "voicemail",
            Outcome::Unreachable => "unreachable",
            Outcome::CallerAbandoned => "caller_abandoned",
            Outcome::ReferRejected => "refer_rejected",
            Outcome::ReferTimeout => "refer_timeout",
            Outcome::TargetDropped => "target_dropped",
            Outcome::RefusedByPolicy => "refused_by_policy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::conversation::Speaker;
    use crate::context::fixtures::{entry, invited, said, transferred};

    /// The shapes that later versions must still read. A change here is a change of the store.
    #[test]
    fn entries_have_the_shape_that_was_promised() {
        let tried = Fact::TransferTried {
            mode: "cold".into(),
            method: "refer".into(),
            target: "sarah".into(),
        };
        let progress = Fact::TransferProgress { status: 180, reason: "Ringing".into() };
        let ended =
            Fact::TransferEnded { outcome: Outcome::NoAnswer, status: Some(480), reason: None };
        let escalated = |also| Fact::Escalated {
            reason: Reason::CustomerRequest,
            rule: "explicit".into(),
            details: "real person".into(),
            turn: Some(2),
            also,
        };
        let connected = Fact::Connected { method: "bridge".into(), target: "sarah".into() };
        let degraded = Fact::Degraded { part: "model".into(), what: "no answer".into() };
        let over = Fact::Ended { by: "human".into(), reason: Some("Q.850;cause=16".into()) };
        for (fact, rest) in [
            (
                invited(),
                r#""fact":"invited","caller":"+4930555123","caller_name":"Jan","called":"demo","route":"demo","agent":"demo","trunk":null"#,
            ),
            (Fact::Answered, r#""fact":"answered""#),
            (Fact::Refused { status: 503 }, r#""fact":"refused","status":503"#),
            (
                said(2, Speaker::Caller, 1500, "Hello."),
                r#""fact":"said","turn":{"number":2,"speaker":"caller","text":"Hello.","began":"2026-09-21T14:13:21Z","ended":"2026-09-21T14:13:21.5Z","confidence":0.9}"#,
            ),
            (Fact::Pressed { digit: '#' }, r##""fact":"pressed","digit":"#""##),
            (
                escalated(vec![]),
                r#""fact":"escalated","reason":"customer_request","rule":"explicit","details":"real person","turn":2"#,
            ),
            (
                escalated(vec![Reason::HighFrustration]),
                r#""fact":"escalated","reason":"customer_request","rule":"explicit","details":"real person","turn":2,"also":["high_frustration"]"#,
            ),
            (tried, r#""fact":"transfer_tried","mode":"cold","method":"refer","target":"sarah""#),
            (progress, r#""fact":"transfer_progress","status":180,"reason":"Ringing""#),
            (ended, r#""fact":"transfer_ended","outcome":"no_answer","status":480,"reason":null"#),
            (connected, r#""fact":"connected","method":"bridge","target":"sarah""#),
            (Fact::Held { on: true }, r#""fact":"held","on":true"#),
            (degraded, r#""fact":"degraded","part":"model","what":"no answer""#),
            (over, r#""fact":"ended","by":"human","reason":"Q.850;cause=16""#),
        ] {
            let entry = entry(2000, fact);
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(json, format!(r#"{{"at":"2026-09-21T14:13:22Z",{rest}}}"#));
            assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
        }
    }

    #[test]
    fn a_journal_with_a_briefing_is_read_back_as_it_was() {
        let journal = transferred();
        let json = serde_json::to_string(&journal).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Entry>>(&json).unwrap(), journal);
    }

    #[test]
    fn a_reason_has_one_name_and_one_alias() {
        let read = |name: &str| serde_json::from_value::<Reason>(name.into()).unwrap();
        assert_eq!(read("customer_requested"), Reason::CustomerRequest);
        for reason in [Reason::CustomerRequest, Reason::LowConfidence, Reason::HighValueAccount] {
            assert_eq!(read(reason.name()), reason);
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
