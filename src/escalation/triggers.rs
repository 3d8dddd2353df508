//! The rules and their precedence: the first rule that holds is the reason, the others are told along.

use crate::context::Reason;
use crate::escalation::phrases::Phrases;
use crate::escalation::topics::Topics;
use crate::escalation::words::Words;

/// One rule: when it holds, a human is needed.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in the dialplan.
    pub id: String,
    /// What must hold.
    pub when: Condition,
    /// The reason it gives.
    pub reason: Reason,
    /// The transfer it names, by its name in the dialplan; `None`: the agent's own.
    pub transfer: Option<String>,
}

/// What must hold for a rule to fire.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The caller asks for a person.
    Phrases(Phrases),
    /// The caller speaks of something that policy keeps for people.
    Topics(Topics),
    /// The caller presses this key.
    Key(char),
}

/// What has just been noticed about a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals<'a> {
    /// What the caller said in this turn.
    pub text: Option<&'a str>,
    /// The key the caller pressed.
    pub key: Option<char>,
}

/// The rule that fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triggered {
    /// Its name.
    pub rule: String,
    /// Its reason.
    pub reason: Reason,
    /// What it fired on: the phrase, `Sensitive topic detected: X`, `Key: 0`.
    pub details: String,
    /// The transfer it names.
    pub transfer: Option<String>,
    /// The reasons of the other rules that held, in order, each once.
    pub also: Vec<Reason>,
}

/// Evaluates the rules in their order; the first that holds is the reason.
pub fn evaluate(rules: &[Rule], signals: Signals<'_>) -> Option<Triggered> {
    let said = signals.text.map(Words::new);
    let mut fired = rules.iter().filter_map(|rule| {
        let details = holds(&rule.when, said.as_ref(), signals.key)?;
        Some((rule, details))
    });

    let (first, details) = fired.next()?;
    let mut also = Vec::new();
    for (rule, _) in fired {
        if rule.reason != first.reason && !also.contains(&rule.reason) {
            also.push(rule.reason);
        }
    }
    Some(Triggered {
        rule: first.id.clone(),
        reason: first.reason,
        details,
        transfer: first.transfer.clone(),
        also,
    })
}

/// What a condition holds on, if it does.
fn holds(condition: &Condition, said: Option<&Words>, key: Option<char>) -> Option<String> {
    match condition {
        Condition::Phrases(phrases) => phrases.find(said?),
        Condition::Topics(topics) => {
            topics.find(said?).map(|topic| format!("Sensitive topic detected: {topic}"))
        }
        Condition::Key(wanted) => (key? == *wanted).then(|| format!("Key: {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<Rule> {
        let human = Phrases::parse("speak to a human\n= operator").expect("right");
        let topics = Topics::new(["lawsuit", "gdpr"]).expect("right");
        let rule = |id: &str, when, reason, transfer: Option<&str>| Rule {
            id: id.to_owned(),
            when,
            reason,
            transfer: transfer.map(str::to_owned),
        };
        vec![
            rule("explicit", Condition::Phrases(human), Reason::CustomerRequest, None),
            rule("key", Condition::Key('0'), Reason::CustomerRequest, None),
            rule("policy", Condition::Topics(topics), Reason::PolicyRequired, Some("warm")),
        ]
    }

    fn heard(text: &str) -> Option<Triggered> {
        evaluate(&rules(), Signals { text: Some(text), key: None })
    }

    #[test]
    fn the_first_rule_that_holds_is_the_reason_and_the_rest_are_told_along() {
        let fired = heard("I have a lawsuit to file, let me speak to a human").expect("two hold");
        assert_eq!((fired.rule.as_str(), fired.details.as_str()), ("explicit", "speak to a human"));
        assert_eq!((fired.reason, fired.transfer), (Reason::CustomerRequest, None));
        assert_eq!(fired.also, [Reason::PolicyRequired]);
    }

    #[test]
    fn a_topic_names_itself_and_its_transfer() {
        let fired = heard("What about GDPR?").expect("one holds");
        assert_eq!(fired.details, "Sensitive topic detected: gdpr");
        assert_eq!(
            (fired.reason, fired.transfer.as_deref()),
            (Reason::PolicyRequired, Some("warm"))
        );
        assert_eq!(fired.also, []);
    }

    #[test]
    fn a_key_fires_without_a_word() {
        let pressed = |key| evaluate(&rules(), Signals { text: None, key: Some(key) });
        let fired = pressed('0').expect("the key holds");
        assert_eq!((fired.rule.as_str(), fired.details.as_str()), ("key", "Key: 0"));
        assert_eq!(pressed('1'), None);
    }

    #[test]
    fn nothing_fires_on_nothing() {
        assert_eq!(evaluate(&rules(), Signals::default()), None);
        assert_eq!(heard(""), None);
        assert_eq!(heard("When do you open?"), None);
    }

    #[test]
    fn a_reason_that_is_the_first_one_is_not_told_along() {
        let fired = evaluate(&rules(), Signals { text: Some("Operator!"), key: Some('0') });
        assert_eq!(fired.expect("two hold").also, []);
    }
}
