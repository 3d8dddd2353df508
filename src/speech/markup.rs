//! Takes the markup out of a model's text, as it streams, so that a voice can say it.
//!
//! Models write Markdown whatever they are told. Emphasis, headings, list marks and quotes lose their
//! signs; a link keeps its words; code and pictures are not said at all. A line of its own stays one:
//! a list is not read as one sentence.

/// The state between two pieces of a stream.
#[derive(Clone, Debug)]
pub struct Markup {
    place: Place,
    /// What has come of the line so far, while it may still be nothing but its mark: `#`, `-`, `12.`.
    mark: Option<String>,
    /// The last character that was let through.
    last: char,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    /// Backticks that came in a row.
    Ticks(u8),
    /// In code between lines of three backticks; and how many came in a row there.
    Code(u8),
    /// Behind the words of a link, where its address may follow.
    LinkEnd,
    /// In a link's address.
    Address,
}

/// The longest mark of a line; what is longer is text, such as a number that begins a sentence.
const MARK_MAX: usize = 6;

impl Default for Markup {
    fn default() -> Self {
        Markup { place: Place::Text, mark: Some(String::new()), last: '\n' }
    }
}

impl Markup {
    /// Takes the next piece of the stream and returns what of it is to be said.
    pub fn push(&mut self, text: &str) -> String {
        let mut said = String::with_capacity(text.len());
        for character in text.chars() {
            self.take(character, &mut said);
        }
        said
    }

    /// The stream is over: what was held back as a possible mark was text.
    pub fn finish(&mut self) -> String {
        let mut said = String::new();
        if let Some(mark) = std::mem::take(self).mark {
            mark.chars().for_each(|character| say(character, &mut ' ', &mut said));
        }
        said
    }

    fn take(&mut self, character: char, said: &mut String) {
        match (self.place, character) {
            (Place::Code(2), '`') => self.place = Place::Text,
            (Place::Code(ticks), '`') => self.place = Place::Code(ticks + 1),
            (Place::Code(_), _) => self.place = Place::Code(0),
            (Place::Address, ')' | '\n') => self.place = Place::Text,
            (Place::Address, _) => (),
            (Place::LinkEnd, '(') => self.place = Place::Address,
            (Place::Ticks(2), '`') => self.place = Place::Code(0),
            (Place::Ticks(ticks), '`') => self.place = Place::Ticks(ticks + 1),
            (_, '`') => self.place = Place::Ticks(1),
            (_, ']') => self.place = Place::LinkEnd,
            (_, character) => {
                self.place = Place::Text;
                self.text(character, said);
            }
        }
    }

    fn text(&mut self, character: char, said: &mut String) {
        if character == '\n' {
            self.mark = Some(String::new());
            return say('\n', &mut self.last, said);
        }
        let Some(mut mark) = self.mark.take() else {
            return say(character, &mut self.last, said);
        };
        if character.is_whitespace() && is_mark(&mark) {
            // Marks may follow each other: `> - **`.
            self.mark = Some(String::new());
            return;
        }
        mark.push(character);
        if may_be_mark(&mark) && mark.len() <= MARK_MAX {
            self.mark = Some(mark);
        } else {
            mark.chars().for_each(|character| say(character, &mut self.last, said));
        }
    }
}

/// Whether this, before a space, is the mark of a line. So is nothing at all: an indent.
fn is_mark(mark: &str) -> bool {
    let numbered = mark.strip_suffix(['.', ')']).is_some_and(is_number);
    numbered || mark.chars().all(|sign| matches!(sign, '#' | '>' | '-' | '*' | '+' | '•'))
}

fn may_be_mark(mark: &str) -> bool {
    is_mark(mark) || is_number(mark)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit())
}

fn say(character: char, last: &mut char, said: &mut String) {
    let character = match character {
        '*' | '~' | '[' | '#' => return,
        '_' | '|' | '\t' | '\r' => ' ',
        // Pictures: emoji, dingbats, arrows, and the signs that join them.
        '\u{200d}' | '\u{fe0f}' | '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' => return,
        '\u{1f000}'..='\u{1ffff}' => return,
        other => other,
    };
    if character == ' ' && last.is_whitespace() {
        return;
    }
    *last = character;
    said.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emphasis_headings_and_lists_lose_their_signs() {
        check("**Yes**, of _course_ I ~~can~~ will.", "Yes, of course I can will.");
        check("## Your order\n- one *lamp*\n* two desks\n", "Your order\none lamp\ntwo desks\n");
        check("1. Switch it off.\n2) Wait.\n> Then on.", "Switch it off.\nWait.\nThen on.");
    }

    #[test]
    fn numbers_that_are_no_marks_are_said() {
        check("42 is the answer.", "42 is the answer.");
        check("12345678. That is it.", "12345678. That is it.");
        check("3.5 percent", "3.5 percent");
        check("It is 7", "It is 7");
        check("7", "7");
        check("-5 degrees", "-5 degrees");
    }

    #[test]
    fn links_keep_their_words_and_code_is_not_said() {
        check("See [our page](https://example.com/a_b) now.", "See our page now.");
        check("Use `reset` here.", "Use reset here.");
        check("Run this:\n```sh\nrm -rf / # no\n```\nDone.", "Run this:\n\nDone.");
        check("Note [1] this.", "Note 1 this.");
    }

    #[test]
    fn pictures_are_not_said() {
        check("Great 😀👍🏽! Bye ❤️.", "Great ! Bye .");
    }

    /// However the stream is cut, the same is said.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut whole = Markup::default();
        assert_eq!(whole.push(text) + &whole.finish(), expected);

        let mut cut = Markup::default();
        let mut said = String::new();
        for character in text.chars() {
            said += &cut.push(character.encode_utf8(&mut [0; 4]));
        }
        assert_eq!(said + &cut.finish(), expected);
    }
}
