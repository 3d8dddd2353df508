//! Calls for the tests of this module and of those above it.

use jiff::Timestamp;

use crate::context::briefing::Briefing;
use crate::context::conversation::{Speaker, Turn};
use crate::context::journal::{Entry, Fact, Outcome, Reason};
use crate::context::reading::CallContext;
use crate::ids::CallId;

/// A Call-ID with the characters that need care in a path.
pub fn call(number: u32) -> CallId {
    CallId::new(&format!("a84b4c/{number}%@pc33.example.com")).expect("it is short")
}

/// So many milliseconds after the INVITE.
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_790_000_000_000 + ms).expect("it is this century")
}

/// A fact at its time.
pub fn entry(ms: i64, fact: Fact) -> Entry {
    Entry { at: at(ms), fact }
}

/// Jan calls the demo.
pub fn invited() -> Fact {
    Fact::Invited {
        caller: "+4930555123".into(),
        caller_name: Some("Jan".into()),
        called: "demo".into(),
        route: "demo".into(),
        agent: Some("demo".into()),
        trunk: None,
    }
}

/// A turn of half a second that ends at `ms`.
pub fn said(number: u32, speaker: Speaker, ms: i64, text: &str) -> Fact {
    let confidence = (speaker == Speaker::Caller).then_some(0.9);
    let (began, ended, text) = (at(ms - 500), at(ms), text.to_owned());
    Fact::Said {
        turn: Turn { number, speaker, text, began, ended, confidence, interrupted: false },
    }
}

/// The caller ends the call.
pub fn hung_up() -> Fact {
    Fact::Ended { by: "caller".into(), reason: None }
}

/// A call that is escalated, finds Sarah busy, and reaches her by a second try.
pub fn transferred() -> Vec<Entry> {
    use Speaker::*;
    let tried = |method: &str| Fact::TransferTried {
        mode: "cold".into(),
        method: method.into(),
        target: "sarah".into(),
    };
    let mut entries = vec![
        entry(0, invited()),
        entry(100, Fact::Answered),
        entry(2000, said(1, Agent, 2000, "Hello. How can I help?")),
        entry(6000, said(2, Caller, 6000, "Hi. I was charged twice on invoice 4521.")),
        entry(9000, said(3, Agent, 9000, "I see invoice 4521 for $89.95.")),
        entry(12_000, said(4, Caller, 12_000, "Let me talk to a person.")),
        entry(
            12_010,
            Fact::Escalated {
                reason: Reason::CustomerRequest,
                rule: "explicit".into(),
                details: "talk to a person".into(),
                turn: Some(4),
                also: Vec::new(),
            },
        ),
    ];
    let context = CallContext::read(&call(1), &entries).expect("it has entries");
    let briefing = Briefing::deterministic(
        &context,
        Reason::CustomerRequest,
        "talk to a person",
        Some(4),
        at(12_010),
    );
    entries.extend([
        entry(12_020, Fact::Briefed { briefing: Box::new(briefing) }),
        entry(12_100, tried("refer")),
        entry(
            12_200,
            Fact::TransferEnded {
                outcome: Outcome::ReferRejected,
                status: Some(603),
                reason: Some("Decline".into()),
            },
        ),
        entry(12_300, tried("bridge")),
        entry(12_400, Fact::TransferProgress { status: 180, reason: "Ringing".into() }),
        entry(15_000, Fact::Connected { method: "bridge".into(), target: "sarah".into() }),
        entry(
            15_000,
            Fact::TransferEnded { outcome: Outcome::Connected, status: Some(200), reason: None },
        ),
        entry(60_000, hung_up()),
    ]);
    entries
}
