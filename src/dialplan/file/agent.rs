//! `[agent.NAME]` and `[[triggers.NAME.rule]]`.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::persona::Persona;
use crate::context::Reason;
use crate::dialplan::lines::AgentLines;
use crate::escalation::Condition;
use crate::escalation::phrases::Phrases;
use crate::escalation::topics::Topics;
use crate::files::{At, Folder, Place, Source, Table, folder};

use super::transfer::reason;

/// How callers say yes, where the dialplan names no file.
const YES: &str = include_str!("../../../dialplans/phrases/yes.txt");

/// An agent whose names have not been looked up.
#[derive(Debug)]
pub struct AgentDraft {
    /// Who it is.
    pub persona: Arc<Persona>,
    /// Its first words, as written.
    pub greeting: At<String>,
    /// A BCP 47 tag.
    pub language: At<String>,
    /// The name of its rule set.
    pub triggers: Option<At<String>>,
    /// The name of its transfer.
    pub transfer: Option<At<String>>,
    /// Whether the greeting tells that a machine speaks.
    pub says_ai: bool,
    /// How long it lets the caller wait.
    pub ring_time: Duration,
    /// Its own lines.
    pub lines: AgentLines,
    /// How callers say yes.
    pub yes: Arc<Phrases>,
}

/// A rule of a rule set.
#[derive(Debug)]
pub struct RuleDraft {
    /// Its name.
    pub id: String,
    /// What must hold.
    pub when: Condition,
    /// Its reason.
    pub reason: Reason,
    /// The name of its transfer.
    pub transfer: Option<At<String>>,
}

/// Reads an agent.
pub fn read(mut table: Table<'_>, folder: &Folder) -> Option<AgentDraft> {
    table.require(&["persona", "greeting"]);
    let persona = table.text("persona").and_then(|file| {
        let source = open(&table, "persona", &file, folder)?;
        match Persona::parse(source.name.as_ref().as_ref(), &source.text) {
            Ok(persona) => Some(Arc::new(persona)),
            Err(error) => {
                table.error("persona", error.to_string(), &file.place);
                None
            }
        }
    });
    let greeting = table.text("greeting");
    let language = table.parsed("language", language);
    let english = || At { value: "en".to_owned(), place: table.place.clone() };
    let language = language.unwrap_or_else(english);
    let triggers = table.text("triggers");
    let transfer = table.text("transfer");
    let says_ai = table.flag("says_ai").is_none_or(|flag| flag.value);
    let ring_time = table.millis("ring_ms", 0..=60_000).unwrap_or_default();
    let yes = match table.text("yes") {
        Some(file) => phrases(&table, "yes", &file, folder),
        None => phrases_of(&table, "yes", &Source::new("built-in phrases/yes.txt", YES)),
    };
    let lines = table.table("say").map(AgentLines::read).unwrap_or_default();
    table.finish();
    Some(AgentDraft {
        persona: persona?,
        greeting: greeting?,
        language,
        triggers,
        transfer,
        says_ai,
        ring_time,
        lines,
        yes: Arc::new(yes?),
    })
}

/// Reads the rules of `[[triggers.NAME.rule]]`, in their order; `None` if one of them has mistakes.
pub fn read_rules(mut set: Table<'_>, folder: &Folder) -> Option<Vec<At<RuleDraft>>> {
    let tables = set.array("rule");
    set.finish();
    let count = tables.len();
    let rules = tables.into_iter().filter_map(|mut table| {
        table.require(&["id", "when", "reason"]);
        let id = table.text("id");
        let reason = table.parsed("reason", reason);
        let transfer = table.text("transfer");
        let when = table.table("when").and_then(|when| read_condition(when, folder));
        table.finish();
        let At { value: id, place } = id?;
        Some(At { value: RuleDraft { id, when: when?, reason: reason?.value, transfer }, place })
    });
    // All are read, so that all their mistakes are told.
    let rules: Vec<_> = rules.collect();
    (rules.len() == count).then_some(rules)
}

/// Reads `when = { … }`, which has one key.
fn read_condition(mut table: Table<'_>, folder: &Folder) -> Option<Condition> {
    let written = ["phrases", "topics", "key"].into_iter().filter(|key| table.has(key)).count();
    let file = table.text("phrases");
    let phrases = file.and_then(|file| phrases(&table, "phrases", &file, folder));
    let topics = table.list("topics", |text| Ok::<_, String>(text.to_owned()));
    let topics = topics.and_then(|names| topics_of(&table, &names));
    let key = table.parsed("key", key);
    if written != 1 {
        let why = format!("must have one of phrases, topics and key, has {written}");
        table.error("", why, &table.place);
    }
    table.finish();
    let phrases = phrases.map(Condition::Phrases);
    let topics = topics.map(Condition::Topics);
    phrases.or(topics).or(key.map(|key| Condition::Key(key.value)))
}

fn topics_of(table: &Table<'_>, names: &[At<String>]) -> Option<Topics> {
    // One by one, so that each mistake has its place.
    for name in names {
        if let Err(error) = Topics::new([name.value.as_str()]) {
            let why = format!("{error}: {}", error.cause.cause);
            table.error("topics", why, &name.place);
        }
    }
    Topics::new(names.iter().map(|name| name.value.as_str())).ok()
}

fn key(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(key @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(key),
        _ => Err(format!("must be one key of 0-9 * # A-D, is `{text}`")),
    }
}

/// A language tag, by its shape (RFC 5646 §2.1).
fn language(text: &str) -> Result<String, String> {
    let mut parts = text.split('-');
    let is_language = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match parts.next().is_some_and(is_language) && parts.all(is_subtag) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be a language such as en or de-AT, is `{text}`")),
    }
}

fn phrases(table: &Table<'_>, key: &str, file: &At<String>, folder: &Folder) -> Option<Phrases> {
    phrases_of(table, key, &open(table, key, file, folder)?)
}

/// Reads a phrase file; a mistake in it is told with its place there.
fn phrases_of(table: &Table<'_>, key: &str, source: &Source) -> Option<Phrases> {
    match Phrases::parse(&source.text) {
        Ok(phrases) => Some(phrases),
        Err(error) => {
            let file = source.name.clone();
            let place = Place { file, line: error.line, column: error.column };
            table.error(key, error.cause.to_string(), &place);
            None
        }
    }
}

/// Reads a file that a key names, relative to the folder.
fn open(table: &Table<'_>, key: &str, file: &At<String>, folder: &Folder) -> Option<Source> {
    let read = folder.read(&file.value);
    if let Err(error) = &read {
        let why = format!("`{}`: {}", folder.shown(&file.value), folder::in_words(error));
        table.error(key, why, &file.place);
    }
    read.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escalation::words::Words;

    #[test]
    fn built_in_yes_is_heard_and_a_no_is_not() {
        let yes = Phrases::parse(YES).expect("right");
        for (said, is_yes) in [
            ("Yes.", true),
            ("Yes, please.", true),
            ("Um, yeah, sure.", true),
            ("Okay, go ahead.", true),
            ("Yes, try again please.", true),
            ("Please.", true),
            ("That's fine, try it once more.", true),
            ("I would like that.", true),
            ("No.", false),
            ("No, thank you.", false),
            ("No thanks.", false),
            ("No, please.", false),
            ("No, okay.", false),
            ("Nope, it's all right.", false),
            ("Don't try again.", false),
            ("Not now.", false),
            ("No, don't call again.", false),
            ("When do you open?", false),
            ("What does a yes cost me?", false),
        ] {
            assert_eq!(yes.find(&Words::new(said)).is_some(), is_yes, "{said}");
        }
    }

    #[test]
    fn language_has_the_shape_of_a_tag() {
        for (text, right) in [
            ("en", true),
            ("de-AT", true),
            ("zh-Hant-TW", true),
            ("", false),
            ("e", false),
            ("en_US", false),
        ] {
            assert_eq!(language(text).is_ok(), right, "{text}");
        }
    }
}
