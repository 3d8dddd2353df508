//! A headline and a summary made without a model: what the caller said they need, what was tried,
//! what is unresolved, each in the caller's own words where there are some.
//!
//! It must be true before it is elegant: it quotes, and claims nothing that the journal does not say.

use crate::context::conversation::{Speaker, Turn};
use crate::context::journal::{Outcome, Reason};
use crate::context::reading::CallContext;
use crate::context::text::{clause, clip, quote, words};

/// How a rule names a topic in its details; what follows is the topic.
const TOPIC_DETAILS: &str = "Sensitive topic detected: ";
/// A statement of at least so many words says what it is about; "yes" and "hello there" do not.
const STATEMENT_WORDS_MIN: usize = 4;
/// So many words of the turn that fired are "let me talk to a person" and not about the matter.
const REQUEST_WORDS: usize = 6;

/// Who calls and why, in at most 20 words and 160 bytes.
pub fn headline(
    context: &CallContext,
    reason: Reason,
    details: &str,
    trigger: Option<&Turn>,
) -> String {
    let summary = &context.summary;
    let who = summary.caller_name.as_deref().filter(|name| !name.trim().is_empty());
    let who = clip(who.unwrap_or(&summary.caller), 3, 40);
    let who = if who.is_empty() { "The caller".to_owned() } else { who };
    let wants = wants(reason, details);
    match need(context, trigger) {
        Some(turn) => format!("{who} {wants}: {}", quote(&turn.text, 9, 60)),
        None => format!("{who} {wants}"),
    }
}

/// Three sentences of together at most 60 words and 480 bytes.
pub fn summary(
    context: &CallContext,
    reason: Reason,
    details: &str,
    trigger: Option<&Turn>,
) -> String {
    let need = need(context, trigger);
    let said = match need {
        Some(turn) => format!("The caller said: {}.", quote(&turn.text, 20, 140)),
        None => "The caller has not said what they need.".to_owned(),
    };
    let wants = wants(reason, details);
    // The words that fired the rule, unless they have just been quoted.
    let unresolved = match trigger.filter(|turn| need.is_none_or(|need| need.number != turn.number))
    {
        Some(turn) => format!("Unresolved: the caller {wants}: {}.", quote(&turn.text, 8, 70)),
        None => format!("Unresolved: the caller {wants}."),
    };
    format!("{said} {} {unresolved}", tried(context, trigger))
}

/// What policy keeps for people and came up in this call, each once.
pub fn topics(context: &CallContext, details: &str) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    let earlier = context.escalations.iter().map(|escalation| escalation.details.as_str());
    for topic in earlier.chain([details]).filter_map(|details| details.strip_prefix(TOPIC_DETAILS))
    {
        let topic = clip(topic, 4, 32);
        if !topic.is_empty() && !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

/// What has been done in this call and need not be done again.
pub fn actions_taken(context: &CallContext) -> Vec<String> {
    let failed = context.transfers.iter().filter_map(|transfer| {
        let outcome = transfer.outcome.filter(|outcome| *outcome != Outcome::Connected)?;
        let target = clip(&transfer.target, 4, 40);
        let status = transfer.status.map(|status| format!(" ({status})")).unwrap_or_default();
        Some(format!("Transfer to {target}: {}{status}", outcome_words(outcome)))
    });
    failed.collect()
}

/// A typed outcome in words.
pub fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Connected => "connected",
        Outcome::Declined => "declined",
        Outcome::Busy => "busy",
        Outcome::NoAnswer => "no answer",
        Outcome::Voicemail => "voicemail answered",
        Outcome::Unreachable => "unreachable",
        Outcome::CallerAbandoned => "the caller left",
        Outcome::ReferRejected => "the transfer was rejected",
        Outcome::ReferTimeout => "the transfer timed out",
        Outcome::TargetDropped => "they dropped out",
        Outcome::RefusedByPolicy => "refused by policy",
    }
}

/// The turn that says most about what the caller needs: their longest so far, where the request for a
/// person does not count. When they said nothing else, it is that request.
fn need<'a>(context: &'a CallContext, trigger: Option<&'a Turn>) -> Option<&'a Turn> {
    let worth = |turn: &Turn| {
        let is_trigger = trigger.is_some_and(|trigger| trigger.number == turn.number);
        words(&turn.text).saturating_sub(if is_trigger { REQUEST_WORDS } else { 0 })
    };
    let statements = context.conversation.said_by(Speaker::Caller);
    let statements = statements.filter(|turn| worth(turn) >= STATEMENT_WORDS_MIN);
    // Of equals the first: reversed, since `max_by_key` takes the last.
    statements.rev().max_by_key(|turn| worth(turn)).or(trigger)
}

/// The second sentence: what failed, or else what the agent last answered.
fn tried(context: &CallContext, trigger: Option<&Turn>) -> String {
    if let Some(action) = actions_taken(context).last() {
        return format!("{}.", clause(action, 14, 110));
    }
    let heard_before = |turn: &&Turn| trigger.is_none_or(|trigger| turn.began <= trigger.began);
    let caller_spoke = context.conversation.said_by(Speaker::Caller).next().map(|turn| turn.began);
    // A greeting answers nothing.
    let answers = |turn: &&Turn| caller_spoke.is_some_and(|spoke| turn.began > spoke);
    let answer =
        context.conversation.said_by(Speaker::Agent).rev().filter(answers).find(heard_before);
    match answer {
        Some(turn) => format!("The agent last answered: {}.", quote(&turn.text, 14, 110)),
        None => "Nothing was tried yet.".to_owned(),
    }
}

/// What the caller wants or needs, in at most six words.
fn wants(reason: Reason, details: &str) -> String {
    if let Some(topic) = details.strip_prefix(TOPIC_DETAILS).filter(|topic| words(topic) > 0) {
        return format!("speaks of {}", quote(topic, 3, 24));
    }
    let words = match reason {
        Reason::CustomerRequest => "asks for a person",
        Reason::PolicyRequired => "needs a person, by policy",
        Reason::SensitiveTopic => "speaks of something sensitive",
        Reason::ComplianceRequired => "needs a person, for compliance",
        Reason::SentimentNegative => "is dissatisfied",
        Reason::HighFrustration => "is frustrated",
        Reason::LowConfidence => "was not surely understood",
        Reason::CapabilityLimit => "needs what the agent cannot do",
        Reason::RepeatedFailure => "was not helped several times",
        Reason::ComplexIssue => "has a complex issue",
        Reason::MaxTurnsExceeded => "was not helped in time",
        Reason::HighValueAccount => "has a high value account",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::fixtures::{call, entry, invited, said};

    /// The words that are quoted as the caller's need, when the last of these turns fires.
    fn quoted(turns: &[(Speaker, &str)]) -> String {
        let turn = |(place, (speaker, text)): (usize, &(Speaker, &str))| {
            let ms = place as i64 * 1000;
            entry(ms, said(place as u32 + 1, *speaker, ms, text))
        };
        let mut journal = vec![entry(0, invited())];
        journal.extend(turns.iter().enumerate().map(turn));
        let context = CallContext::read(&call(1), &journal).unwrap();
        let turn = need(&context, context.conversation.turn(turns.len() as u32));
        turn.map(|turn| turn.text.clone()).unwrap_or_default()
    }

    #[test]
    fn the_need_is_what_the_caller_said_most_about() {
        use Speaker::*;
        const ASKS: (Speaker, &str) = (Caller, "Let me talk to a person.");
        let hello = (Caller, "Hello, how are you?");
        let matter = (Caller, "My card was charged twice last week.");
        let answer = (Agent, "I am sorry to hear that, and I will look at every charge now.");
        let both = (Caller, "My card was charged twice, so give me a manager right now.");

        assert_eq!(quoted(&[hello, matter, answer, ASKS]), matter.1);
        assert_eq!(quoted(&[hello, both]), both.1);
        assert_eq!(quoted(&[(Caller, "Hello."), ASKS]), ASKS.1);
        assert_eq!(quoted(&[ASKS]), ASKS.1);
    }
}
