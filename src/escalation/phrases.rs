//! Phrase files: how people ask for something, in lines that those who edit dialplans can read.
//!
//! One phrase a line, UTF-8. Case, accents, punctuation and contractions do not matter, words do:
//!
//! | write                  | for                                                                         |
//! |------------------------|-----------------------------------------------------------------------------|
//! | `# …`                  | a remark                                                                    |
//! | `speak to a human`     | these words in a row, anywhere in what was said                             |
//! | `= operator`           | only as a whole sentence, or after its last comma; courtesy may stand around |
//! | `! insurance agent`    | never: a phrase that overlaps these words does not count                    |
//! | `[get｜give] me`       | one of these                                                                |
//! | `speak to (a｜the) human` | one of these, or none                                                    |
//! | `{job} = agent｜boss`  | a list of words, to be used as `{job}` in the lines below it                |
//! | `want ... human`       | up to three words in between                                                |
//! | `i want an agent .`    | at the end: the clause ends here (comma, full stop)                         |
//!
//! (`｜` stands for the plain bar, which a table cannot hold.) Two lists have a meaning of their own:
//! `{courtesy}` may stand around a phrase marked `=`, and `{hesitation}` is not heard at all.
//!
//! All phrases of a file become three regular expressions over [`Words`], which match in time linear in
//! what was said, whatever was said.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use crate::escalation::pattern::{Line, Lists, PatternError, parse_line};
use crate::escalation::words::Words;

/// The most bytes of a phrase file. A thousand phrases fit.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// The most bytes a compiled set of phrases may take. Lists within lists multiply; the file in
/// `dialplans/phrases` needs a twentieth of it.
const COMPILED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A phrase file, compiled.
#[derive(Clone, Debug)]
pub struct Phrases {
    anywhere: Option<Regex>,
    whole: Option<Regex>,
    never: Option<Regex>,
    hesitation: BTreeSet<String>,
}

/// What is wrong with a phrase file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {cause}")]
pub struct PhraseError {
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// What.
    pub cause: PatternError,
}

impl Phrases {
    /// Reads a phrase file.
    pub fn parse(file: &str) -> Result<Self, PhraseError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(PhraseError { line: 1, column: 1, cause: PatternError::FileTooLong });
        }
        let mut lists = Lists::new();
        let mut anywhere = Vec::new();
        let mut whole = Vec::new();
        let mut never = Vec::new();
        for (number, line) in (1..).zip(file.trim_start_matches('\u{feff}').lines()) {
            let parsed = parse_line(line, &mut lists).map_err(|(column, cause)| PhraseError {
                line: number,
                column,
                cause,
            })?;
            match parsed {
                Line::Nothing | Line::List => (),
                Line::Anywhere(pattern) => anywhere.push(pattern),
                Line::Whole(pattern) => whole.push(pattern),
                Line::Never(pattern) => never.push(pattern),
            }
        }

        let last = file.lines().count().max(1) as u32;
        let at_end = |cause| PhraseError { line: last, column: 1, cause };
        if anywhere.is_empty() && whole.is_empty() {
            return Err(at_end(PatternError::NoPhrase));
        }
        let courtesy = match lists.pattern("courtesy") {
            Some(pattern) => format!("(?:{pattern})*"),
            None => String::new(),
        };
        let compile = |patterns: Vec<String>, before: &str, after: &str| {
            if patterns.is_empty() {
                return Ok(None);
            }
            let pattern = format!("{before}({}){after} ", patterns.join("|"));
            RegexBuilder::new(&pattern).size_limit(COMPILED_BYTES_MAX).build().map(Some)
        };
        let too_much = |_| at_end(PatternError::TooManyPhrases);
        Ok(Phrases {
            anywhere: compile(anywhere, "", "").map_err(too_much)?,
            whole: compile(whole, &format!(" [.,]{courtesy}"), &format!("{courtesy} \\."))
                .map_err(too_much)?,
            never: compile(never, "", "").map_err(too_much)?,
            hesitation: lists.words("hesitation"),
        })
    }

    /// The first phrase in what was said, in normalised words: `speak to a human`.
    pub fn find(&self, said: &Words) -> Option<String> {
        let said = said.without(|word| self.hesitation.contains(word));
        let text = said.as_str();
        let never = self.never.as_ref().map_or(vec![], |never| spans(never, text));
        let is_free = |&(start, end): &(usize, usize)| {
            !never.iter().any(|&(from, to)| start < to && from < end)
        };
        [&self.anywhere, &self.whole]
            .into_iter()
            .flatten()
            .filter_map(|phrases| spans(phrases, text).into_iter().find(is_free))
            .min()
            .map(|(start, end)| text[start..end].replace([',', '.'], ""))
            .map(|phrase| phrase.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Where the phrases (group 1 of the expression) stand in `text`, overlapping ones included, without the
/// blank before them.
fn spans(phrases: &Regex, text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(captures) = phrases.captures_at(text, from) {
        let whole = captures.get(0).expect("group 0 is the match");
        let phrase = captures.get(1).expect("group 1 is not optional");
        found.push((phrase.start() + 1, phrase.end()));
        // The next match may begin inside this one, but not at the same blank.
        from = whole.start() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        # how people ask
        {hesitation} = um | uh
        {courtesy}   = please | no | the
        {job}        = agent | shift manager
        [speak|talk] to (a|an|your) {job}
        get ... {job} .
        = {job}
        ! do not want to [speak|talk] to (an) {job}
        ! insurance agent
    ";

    #[track_caller]
    fn check(said: &str, expected: Option<&str>) {
        let phrases = Phrases::parse(FILE).expect("the file is right");
        assert_eq!(phrases.find(&Words::new(said)).as_deref(), expected, "{said}");
    }

    #[test]
    fn a_phrase_counts_anywhere_in_whole_words() {
        check(
            "Well, can I talk to your shift-manager about it",
            Some("talk to your shift manager"),
        );
        check("Can I TALK, um, to an Agent?", Some("talk to an agent"));
        check("small-talk to agents", None);
    }

    #[test]
    fn a_gap_is_up_to_three_words_of_one_sentence() {
        check("get me that damned agent", Some("get me that damned agent"));
        check("get me to that other agent", None);
        check("Get. Me. Agent was rude", None);
    }

    #[test]
    fn a_full_stop_in_a_phrase_wants_the_clause_to_end() {
        check("get an agent, will you", Some("get an agent"));
        check("get the agent fee down", None);
    }

    #[test]
    fn an_equals_sign_wants_a_whole_sentence_with_courtesy_around() {
        check("No. The agent, please.", Some("agent"));
        check("It does not work, agent", Some("agent"));
        check("The agent was nice.", None);
        check("agent, what is the time", None);
    }

    #[test]
    fn an_exclamation_mark_takes_its_words_out() {
        check("I don't want to talk to an agent", None);
        check(
            "I don't want to talk to an agent, talk to your shift manager",
            Some("talk to your shift manager"),
        );
        check("talk to an insurance agent", None);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let error = |file: &str| Phrases::parse(file).expect_err("the file is wrong").to_string();
        assert_eq!(
            error("human\nspeak to {job}"),
            "line 2, column 10: the list `{job}` is not defined above"
        );
        assert_eq!(error("speak to [a|the human"), "line 1, column 10: this bracket is not closed");
        assert_eq!(error("# only a remark\n"), "line 1, column 1: the file has no phrase");
        assert_eq!(
            error("{a} = x\n\n{a} = y"),
            "line 3, column 1: the list `{a}` is defined twice"
        );
        assert_eq!(
            error("a . b"),
            "line 1, column 3: a full stop stands only at the end of a phrase"
        );
        assert_eq!(error("= !"), "line 1, column 3: a phrase cannot have `!` here");
        assert_eq!(
            error("speak (to)) me"),
            "line 1, column 11: nothing is open that could be closed"
        );
        assert_eq!(
            error("(please)"),
            "line 1, column 1: a phrase needs a word that is not optional"
        );
        assert_eq!(error("{x} = a | | b\n{x}"), "line 1, column 11: an alternative is empty");
    }

    #[test]
    fn lists_that_multiply_without_end_are_refused() {
        let mut file = String::from("{a0} = x | y | z\n");
        for n in 1..=14 {
            file += &format!("{{a{n}}} = {{a{0}}} {{a{0}}} {{a{0}}}\n", n - 1);
        }
        file += "{a14}\n";
        let error = Phrases::parse(&file).expect_err("too large");
        assert_eq!(error.cause, PatternError::TooManyPhrases);
    }

    #[test]
    fn a_hostile_turn_takes_no_time_to_speak_of() {
        let phrases = Phrases::parse(FILE).expect("the file is right");
        let said = Words::new(&"get get me me get the ".repeat(100_000));
        assert_eq!(phrases.find(&said), None);
    }
}
