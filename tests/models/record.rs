//! What is known of a call when it is over: what the store has, and the transcript as the desk shows it.

use std::time::Duration;

use serde_json::Value;

use crate::common::wait_for;
use crate::line::Line;

/// How long the end of a call may take to be in the store.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Record {
    /// `tandem context CALL-ID --json`, and before its end `GET /v1/calls/CALL-ID`.
    pub call: Value,
    /// `GET /v1/calls/CALL-ID/transcript`.
    pub turns: Vec<Value>,
}

impl Record {
    /// Waits for the end of a call, and reads it.
    #[track_caller]
    pub fn of(line: &Line, call_id: &str) -> Self {
        let kept = || line.server.context(call_id).ok();
        let over = || kept().filter(|call| call["state"] == "disconnected");
        let call = wait_for(PATIENCE, over).expect("the end of the call is in the store");
        let record = Record { call, ..Record::now(line, call_id) };
        assert_eq!(record.call["turns"], record.turns.len(), "{:#?}", record.turns);
        record
    }

    /// What the desk knows of it now.
    #[track_caller]
    pub fn now(line: &Line, call_id: &str) -> Self {
        let desk = |path| line.server.json(&format!("/v1/calls/{call_id}{path}")).expect("a call");
        let turns = desk("/transcript")["turns"].as_array().expect("a list").clone();
        Record { call: desk(""), turns }
    }

    /// What one party said, turn by turn.
    pub fn said_by(&self, speaker: &str) -> Vec<&str> {
        let turns = self.turns.iter().filter(|turn| turn["speaker"] == speaker);
        turns.map(|turn| turn["text"].as_str().expect("words")).collect()
    }

    /// The caller asked for a person, the human was told with which words, and a REFER led there.
    #[track_caller]
    pub fn check_referred(&self) {
        let Record { call, turns } = self;
        let (briefing, escalation) = (&call["briefing"], &call["escalation"]);
        assert_eq!(briefing["reason"], "customer_request", "{call:#}");
        assert_eq!(escalation["rule"], "explicit", "{call:#}");
        let fired = turns.iter().find(|turn| turn["number"] == escalation["turn"]);
        let fired = fired.expect("the turn that fired is in the transcript");
        assert_eq!(fired["speaker"], "caller", "{call:#}");
        assert_eq!(fired["text"], briefing["trigger_text"], "{call:#}");
        let transfers = call["transfers"].as_array().expect("a list").iter();
        let transfers = transfers.map(|one| (one["method"].as_str(), one["outcome"].as_str()));
        let transfers: Vec<_> = transfers.collect();
        assert_eq!(transfers, [(Some("refer"), Some("connected"))], "{call:#}");
    }
}
