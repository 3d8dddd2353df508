//! From what a model writes to what a voice can say.
//!
//! [`Filter`] takes out, while the text still streams, what was never meant for the caller: thoughts,
//! tool calls, special tokens, JSON. [`spoken`] looks at one complete sentence, whose markup
//! [`speech::sentences`](crate::speech::sentences) has taken out.

/// What begins and ends a stretch that nobody must hear.
const SILENT: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<tool_call>", "</tool_call>"),
    ("<function", "</function>"),
    ("<|", "|>"),
];

/// Labels with which models begin what they say.
const LABELS: &[&str] = &["assistant:", "agent:", "ai:"];

/// Lets through of a stream what is meant for the caller.
#[derive(Debug, Default)]
pub struct Filter {
    /// What may be the beginning of a marker. Shorter than the longest marker.
    held: String,
    /// The marker that ends the silent stretch we are in.
    until: Option<&'static str>,
    state: Begun,
}

/// What is known about the whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Begun {
    /// Nothing but blanks has come.
    #[default]
    No,
    /// It is speech.
    Speech,
    /// It is JSON: a tool call that the server did not take out.
    Data,
}

impl Filter {
    /// The part of the answer that can be let through after `delta`.
    pub fn push(&mut self, delta: &str) -> String {
        self.held.push_str(delta);
        let mut through = String::new();
        loop {
            match self.until {
                Some(end) => match self.held.find(end) {
                    Some(at) => {
                        self.held.drain(..at + end.len());
                        self.until = None;
                    }
                    None => {
                        let keep = begun_marker(&self.held, [end].into_iter());
                        self.held.drain(..self.held.len() - keep);
                        break;
                    }
                },
                None => match first_marker(&self.held) {
                    Some((at, begin, end)) => {
                        through.extend(self.held.drain(..at));
                        self.held.drain(..begin.len());
                        self.until = Some(end);
                    }
                    None => {
                        let keep = begun_marker(&self.held, SILENT.iter().map(|(begin, _)| *begin));
                        through.extend(self.held.drain(..self.held.len() - keep));
                        break;
                    }
                },
            }
        }
        self.check_begin(through)
    }

    /// What is left at the end of the stream.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.until.is_some() { String::new() } else { self.check_begin(held) }
    }

    fn check_begin(&mut self, through: String) -> String {
        if self.state == Begun::No {
            self.state = match through.trim_start().chars().next() {
                None => Begun::No,
                Some('{' | '[') => Begun::Data,
                Some(_) => Begun::Speech,
            };
        }
        if self.state == Begun::Data { String::new() } else { through }
    }
}

/// The first marker in a text: where, how it begins, how it ends.
fn first_marker(text: &str) -> Option<(usize, &'static str, &'static str)> {
    let found = SILENT.iter().filter_map(|(begin, end)| Some((text.find(begin)?, *begin, *end)));
    found.min_by_key(|(at, ..)| *at)
}

/// How many bytes at the end of `text` may be the beginning of one of `markers`.
fn begun_marker<'a>(text: &str, markers: impl Iterator<Item = &'a str>) -> usize {
    let begun = |marker: &str| {
        let lengths = (1..marker.len()).rev();
        lengths.into_iter().find(|&length| text.ends_with(&marker[..length])).unwrap_or(0)
    };
    markers.map(begun).max().unwrap_or(0)
}

/// A sentence as it is spoken, or `None` if nothing of it can be.
pub fn spoken(sentence: &str) -> Option<String> {
    let sentence = without_label(sentence.trim());
    if sentence.starts_with(['{', '}', '['])
        || sentence.starts_with('"') && sentence.contains("\":")
    {
        return None;
    }
    let text: String = sentence.chars().filter(|c| is_said(*c)).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().any(char::is_alphanumeric).then_some(text)
}

/// Not emoji, their joiners and variants, brackets of data, control characters.
fn is_said(c: char) -> bool {
    let is_emoji =
        matches!(c, '\u{1f000}'..|'\u{2600}'..='\u{27bf}'| '\u{fe00}'..='\u{fe0f}' | '\u{200d}');
    let is_data = matches!(c, '{' | '}' | '[' | ']' | '<' | '>' | '\\' | '|');
    !(is_emoji || is_data || c.is_control() && !c.is_whitespace())
}

fn without_label(sentence: &str) -> &str {
    let labelled = LABELS.iter().find_map(|label| {
        let head = sentence.get(..label.len())?;
        head.eq_ignore_ascii_case(label).then(|| &sentence[label.len()..])
    });
    labelled.unwrap_or(sentence).trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a text in pieces of every size, and wants the same each time.
    #[track_caller]
    fn check_filter(written: &str, expected: &str) {
        for size in 1..=written.chars().count() {
            let mut filter = Filter::default();
            let chars: Vec<char> = written.chars().collect();
            let mut through: String =
                chars.chunks(size).map(|piece| filter.push(&String::from_iter(piece))).collect();
            through.push_str(&filter.finish());
            assert_eq!(through.trim(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn thoughts_tool_calls_and_tokens_are_not_let_through() {
        check_filter("<think>They want hours. </think>We open at nine.", "We open at nine.");
        check_filter(
            "One moment.<tool_call>{\"name\": \"x\"}</tool_call> Done.",
            "One moment. Done.",
        );
        check_filter("We open at nine.<|im_end|>", "We open at nine.");
        check_filter("It is 3 < 4 and `so`.", "It is 3 < 4 and `so`.");
        check_filter("<think>never closed", "");
        check_filter("ends with <thi", "ends with <thi");
    }

    #[test]
    fn an_answer_that_is_data_is_not_let_through_at_all() {
        check_filter("\n {\"name\": \"transfer\", \"arguments\": {}} Sure.", "");
        check_filter("[{\"type\": \"function\"}]", "");
    }

    #[test]
    fn labels_and_signs_are_taken_out_of_a_sentence() {
        assert_eq!(spoken("Agent: Hello 👋🏽!"), Some("Hello !".into()));
        assert_eq!(spoken("assistant:Yes."), Some("Yes.".into()));
        assert_eq!(spoken("Opening <b>hours</b>\u{7}"), Some("Opening bhours/b".into()));
        assert_eq!(spoken("Agents: they help."), Some("Agents: they help.".into()));
    }

    #[test]
    fn what_has_no_words_is_not_spoken() {
        for sentence in ["", "  ", "👍", "<|>", "{\"name\": 1}", "\"reason\": \"x\","] {
            assert_eq!(spoken(sentence), None, "{sentence}");
        }
    }
}
