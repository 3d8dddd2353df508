//! What the human must know, readable in five seconds, under one Call-ID.
//!
//! The first briefing is always the deterministic one ([`digest`]): it is ready
//! at once and says nothing that the journal does not. A model may then lend it a better summary, if
//! that one is short enough and its numbers were really said.

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::context::digest;
use crate::context::journal::Reason;
use crate::context::numbers::unfounded;
use crate::context::reading::CallContext;
use crate::context::text::{clip, one_line, sentences, words};
use crate::ids::CallId;

/// The most words of a headline.
pub const HEADLINE_WORDS_MAX: usize = 20;
/// The most words of a summary: with the headline, what is read in 5 s of a glance and a look.
pub const SUMMARY_WORDS_MAX: usize = 60;
/// The most sentences of a summary.
pub const SUMMARY_SENTENCES_MAX: usize = 3;
/// The most bytes of a summary, since sixty words may be long ones.
pub const SUMMARY_BYTES_MAX: usize = 480;
/// The size that a briefing stays under, as JSON: it points to the transcript and does not hold it.
pub const BRIEFING_BYTES_MAX: usize = 4096;

/// Room for the words that fired the rule.
const TRIGGER_TEXT_BYTES_MAX: usize = 500;
/// Room for a name, a number, the details of a rule: longer ones are mistakes or mischief.
const FIELD_BYTES_MAX: usize = 120;
/// How many topics and how many actions are listed, the latest of them.
const LIST_MAX: usize = 6;

/// The briefing, first form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Briefing {
    /// The Call-ID of the caller: the key.
    pub call_id: String,
    /// Why a human is needed.
    pub reason: Reason,
    /// What fired, as the rule names it.
    pub details: String,
    /// The words of the caller that fired it.
    pub trigger_text: Option<String>,
    /// The number of the turn with those words.
    #[serde(default)]
    pub trigger_turn: Option<u32>,
    /// At most 20 words.
    pub headline: String,
    /// At most three sentences and 60 words.
    pub summary: String,
    /// Whether the model wrote the summary, or the deterministic one stands in.
    pub summary_by_model: bool,
    /// What policy keeps for people and came up.
    #[serde(default)]
    pub topics: Vec<String>,
    /// What was done in this call already, so that the human does not do it again.
    #[serde(default)]
    pub actions_taken: Vec<String>,
    /// The caller's number or URI user.
    pub caller: String,
    /// The caller's display name.
    pub caller_name: Option<String>,
    /// When the call came.
    pub began: Timestamp,
    /// When this was written.
    pub at: Timestamp,
    /// Seconds from the answer to this briefing.
    pub call_secs: u32,
    /// How many turns the transcript had.
    pub turns: u32,
    /// Where the transcript is.
    pub transcript_reference: String,
}

/// Why a model's summary was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SummaryRefused {
    /// It says nothing.
    #[error("the summary is empty")]
    Empty,
    /// It cannot be read in time.
    #[error("the summary has {sentences} sentences, {words} words, {bytes} bytes")]
    TooLong {
        /// How many sentences it has.
        sentences: usize,
        /// How many words.
        words: usize,
        /// How many bytes.
        bytes: usize,
    },
    /// It has a number that nobody said.
    #[error("the summary has a number that is not in the transcript")]
    Unfounded {
        /// The number.
        number: String,
    },
}

impl Briefing {
    /// The briefing that needs no model. `details` is what fired, as the rule names it, and `trigger`
    /// the number of the turn that fired it.
    pub fn deterministic(
        context: &CallContext,
        reason: Reason,
        details: &str,
        trigger: Option<u32>,
        now: Timestamp,
    ) -> Self {
        let summary = &context.summary;
        let field = |text: &str| clip(text, usize::MAX, FIELD_BYTES_MAX);
        let turn = trigger.and_then(|number| context.conversation.turn(number));
        let answered = context.answered().unwrap_or(summary.began);
        let mut briefing = Briefing {
            call_id: summary.call_id.as_str().to_owned(),
            reason,
            details: field(details),
            trigger_text: turn.map(|turn| clip(&turn.text, usize::MAX, TRIGGER_TEXT_BYTES_MAX)),
            trigger_turn: turn.map(|turn| turn.number),
            headline: digest::headline(context, reason, details, turn),
            summary: digest::summary(context, reason, details, turn),
            summary_by_model: false,
            topics: latest(digest::topics(context, details)),
            actions_taken: latest(digest::actions_taken(context)),
            caller: field(&summary.caller),
            caller_name: summary.caller_name.as_deref().map(field),
            began: summary.began,
            at: now,
            call_secs: secs_between(answered, now),
            turns: u32::try_from(context.conversation.turns.len()).unwrap_or(u32::MAX),
            transcript_reference: transcript_reference(&summary.call_id),
        };
        briefing.shrink_to_fit();
        briefing
    }

    /// The same briefing with a model's summary, if that keeps the limits and tells the truth, as far
    /// as numbers go: each must be in the transcript.
    pub fn with_model_summary(
        self,
        summary: &str,
        context: &CallContext,
    ) -> Result<Self, SummaryRefused> {
        let summary = one_line(summary);
        if summary.is_empty() {
            return Err(SummaryRefused::Empty);
        }
        let (sentences, words, bytes) = (sentences(&summary), words(&summary), summary.len());
        if sentences > SUMMARY_SENTENCES_MAX
            || words > SUMMARY_WORDS_MAX
            || bytes > SUMMARY_BYTES_MAX
        {
            return Err(SummaryRefused::TooLong { sentences, words, bytes });
        }
        if let Some(number) = unfounded(&summary, &context.conversation.transcript()) {
            return Err(SummaryRefused::Unfounded { number });
        }
        let mut briefing = Briefing { summary, summary_by_model: true, ..self };
        briefing.shrink_to_fit();
        Ok(briefing)
    }

    /// Every field has its bound, but a text full of quotation marks doubles in JSON. The words that
    /// fired the rule give way: they are in the transcript too.
    fn shrink_to_fit(&mut self) {
        let fits = |briefing: &Briefing| {
            serde_json::to_vec(briefing).is_ok_and(|json| json.len() < BRIEFING_BYTES_MAX)
        };
        while !fits(self) {
            match &mut self.trigger_text {
                Some(text) if text.len() > 8 => *text = clip(text, usize::MAX, text.len() / 2),
                _ if !self.actions_taken.is_empty() => drop(self.actions_taken.remove(0)),
                _ if !self.topics.is_empty() => drop(self.topics.remove(0)),
                _ => return debug_assert!(false, "a briefing does not fit"),
            }
        }
    }
}

/// The desk's path to the transcript of a call.
pub fn transcript_reference(call_id: &CallId) -> String {
    format!("{}/transcript", call_reference(call_id))
}

/// The desk's path to a call. Its Call-ID was chosen by a stranger, so it is escaped.
pub fn call_reference(call_id: &CallId) -> String {
    format!("/v1/calls/{}", utf8_percent_encode(call_id.as_str(), NON_ALPHANUMERIC))
}

fn latest(mut list: Vec<String>) -> Vec<String> {
    list.split_off(list.len().saturating_sub(LIST_MAX))
}

fn secs_between(from: Timestamp, to: Timestamp) -> u32 {
    u32::try_from(to.as_second().saturating_sub(from.as_second())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::conversation::Speaker;
    use crate::context::fixtures::{at, call, entry, invited, said, transferred};
    use crate::context::journal::{Entry, Fact};
    use proptest::prelude::*;

    /// The fixture's call until just after the words that ask for a person.
    fn asked_for_a_person() -> CallContext {
        CallContext::read(&call(1), &transferred()[..6]).unwrap()
    }

    fn brief(context: &CallContext) -> Briefing {
        let details = "talk to a person";
        Briefing::deterministic(context, Reason::CustomerRequest, details, Some(4), at(12_010))
    }

    #[test]
    fn the_deterministic_briefing_says_need_tries_and_what_is_open() {
        let briefing = brief(&asked_for_a_person());

        let json = serde_json::to_string(&briefing).unwrap();
        let expected = concat!(
            r#"{"call_id":"a84b4c/1%@pc33.example.com","reason":"customer_request","#,
            r#""details":"talk to a person","trigger_text":"Let me talk to a person.","#,
            r#""trigger_turn":4,"#,
            r#""headline":"Jan asks for a person: “Hi; I was charged twice on invoice 4521”","#,
            r#""summary":"The caller said: “Hi; I was charged twice on invoice 4521”. "#,
            r#"The agent last answered: “I see invoice 4521 for $89.95”. "#,
            r#"Unresolved: the caller asks for a person: “Let me talk to a person”.","#,
            r#""summary_by_model":false,"topics":[],"actions_taken":[],"#,
            r#""caller":"+4930555123","caller_name":"Jan","#,
            r#""began":"2026-09-21T14:13:20Z","at":"2026-09-21T14:13:32.01Z","#,
            r#""call_secs":12,"turns":4,"#,
            r#""transcript_reference":"/v1/calls/a84b4c%2F1%25%40pc33%2Eexample%2Ecom/transcript"}"#,
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn a_caller_who_said_nothing_is_briefed_without_inventing() {
        let journal = [entry(0, invited()), entry(9, Fact::Answered)];
        let context = CallContext::read(&call(1), &journal).unwrap();

        let briefing =
            Briefing::deterministic(&context, Reason::CustomerRequest, "Key: 0", None, at(3000));

        assert_eq!(briefing.headline, "Jan asks for a person");
        assert_eq!(
            briefing.summary,
            "The caller has not said what they need. Nothing was tried yet. \
             Unresolved: the caller asks for a person."
        );
        assert_eq!(briefing.trigger_text, None);
    }

    #[test]
    fn a_topic_and_a_failed_transfer_are_named() {
        let mut context = CallContext::read(&call(1), &transferred()[..10]).unwrap();
        let details = "Sensitive topic detected: gdpr";
        let brief = |context: &CallContext| {
            Briefing::deterministic(context, Reason::PolicyRequired, details, Some(4), at(13_000))
        };
        assert_eq!(brief(&context).topics, ["gdpr"]);
        assert_eq!(
            brief(&context).actions_taken,
            ["Transfer to sarah: the transfer was rejected (603)"]
        );
        assert!(brief(&context).headline.contains("speaks of “gdpr”"));
        context.transfers[0].target = "Dr. Sarah".to_owned();
        assert_eq!(sentences(&brief(&context).summary), 3);

        for _ in 0..40 {
            context.transfers.push(context.transfers[0].clone());
        }
        assert_eq!(brief(&context).actions_taken.len(), LIST_MAX);
    }

    #[test]
    fn a_models_summary_is_taken_when_it_is_short_and_its_numbers_were_said() {
        let context = asked_for_a_person();
        let good = "Jan was charged twice on invoice 4521.\nHe wants $89.95 back.";

        let briefing = brief(&context).with_model_summary(good, &context).unwrap();

        assert!(briefing.summary_by_model);
        assert_eq!(
            briefing.summary,
            "Jan was charged twice on invoice 4521. He wants $89.95 back."
        );
    }

    #[test]
    fn a_models_summary_that_is_long_or_untrue_is_refused() {
        let context = asked_for_a_person();
        let refused = |text: &str| brief(&context).with_model_summary(text, &context).unwrap_err();
        let too_long =
            |sentences, words, bytes| SummaryRefused::TooLong { sentences, words, bytes };

        assert_eq!(refused(" \n"), SummaryRefused::Empty);
        assert_eq!(refused("One. Two. Three. Four."), too_long(4, 4, 22));
        assert_eq!(refused(&"word ".repeat(61)), too_long(1, 61, 304));
        assert_eq!(refused(&"x".repeat(481)), too_long(1, 1, 481));
        assert_eq!(
            refused("The invoice is 4512."),
            SummaryRefused::Unfounded { number: "4512".to_owned() }
        );
    }

    proptest! {
        /// Whatever strangers say, call themselves and are sent, a briefing keeps its limits.
        #[test]
        fn a_briefing_keeps_its_limits(
            texts in prop::collection::vec("(\\PC|[\"\\\\.!? A-Z\n]){0,400}", 0..12),
            name in "(\\PC|[\" ]){0,300}",
            call_id in "[\"a%/]{1,256}",
            details in "(Sensitive topic detected: )?\\PC{0,200}",
            trigger in prop::option::of(0u32..14),
        ) {
            let invited = Fact::Invited {
                caller: name.clone(),
                caller_name: Some(name),
                called: String::new(),
                route: String::new(),
                agent: None,
                trunk: None,
            };
            let speakers = [Speaker::Caller, Speaker::Agent];
            let turns = texts.iter().enumerate().map(|(place, text)| {
                let ms = place as i64 * 1000;
                entry(ms, said(place as u32 + 1, speakers[place % 2], ms, text))
            });
            let journal: Vec<Entry> = [entry(0, invited)].into_iter().chain(turns).collect();
            let call_id = CallId::new(&call_id).unwrap();
            let context = CallContext::read(&call_id, &journal).unwrap();
            let reason = Reason::CapabilityLimit;

            let briefing = Briefing::deterministic(&context, reason, &details, trigger, at(9));

            prop_assert!(words(&briefing.headline) <= HEADLINE_WORDS_MAX, "{}", briefing.headline);
            prop_assert!(words(&briefing.summary) <= SUMMARY_WORDS_MAX, "{}", briefing.summary);
            prop_assert!(briefing.summary.len() <= SUMMARY_BYTES_MAX, "{}", briefing.summary);
            let count = sentences(&briefing.summary);
            prop_assert!(count <= SUMMARY_SENTENCES_MAX, "{count}: {}", briefing.summary);
            prop_assert!(serde_json::to_vec(&briefing).unwrap().len() < BRIEFING_BYTES_MAX);
        }
    }
}
