//! Cuts a streaming text into pieces that a voice can say, each as soon as it is complete.
//!
//! A sentence ends where `.`, `!` or `?` is followed by a space, unless that stop belongs to an
//! abbreviation, an initial or a number. Where only the next word can tell ("No. 5", "etc. We"), the
//! decision waits for it. A line is an end as well. What gets too long is cut at a clause.

use crate::speech::markup::Markup;

/// The first piece of an answer is cut at a clause from here on, in bytes: its sound is waited for.
const FIRST_CLAUSE: usize = 30;
/// Any piece is cut at a clause from here on.
const CLAUSE: usize = 160;
/// Any piece is cut at a space from here on, and anywhere if there is none.
const LONGEST: usize = 240;
/// A clause that is shorter than this is not worth a breath.
const SHORTEST_CLAUSE: usize = 25;

/// Never end a sentence: something follows.
const OPENS: [&str; 19] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "rev", "gen", "sen", "rep", "gov", "e.g", "i.e",
    "vs", "approx", "fig", "dept", "ca",
];
/// End a sentence only if the next word begins with a capital letter.
const MAY_END: [&str; 16] = [
    "etc", "inc", "ltd", "co", "corp", "jr", "sr", "a.m", "p.m", "u.s", "u.k", "e.u", "ext", "tel",
    "max", "min",
];

/// Collects a text and gives out its sentences.
#[derive(Clone, Debug, Default)]
pub struct Sentences {
    markup: Markup,
    text: String,
    given: usize,
}

impl Sentences {
    /// Takes the next piece of the stream, and returns what is complete.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        let said = self.markup.push(text);
        self.add(&said)
    }

    /// The stream is over: returns what is left.
    pub fn finish(&mut self) -> Vec<String> {
        let said = self.markup.finish();
        let mut sentences = self.add(&said);
        sentences.extend(speakable(&std::mem::take(&mut self.text)));
        *self = Sentences::default();
        sentences
    }

    fn add(&mut self, said: &str) -> Vec<String> {
        self.text.push_str(said);
        let mut sentences = Vec::new();
        while let Some(end) = self.end() {
            let rest = self.text.split_off(end);
            let sentence = std::mem::replace(&mut self.text, rest);
            sentences.extend(speakable(&sentence));
            self.given += 1;
        }
        sentences
    }

    /// Where the first piece ends, if it is complete. However the stream comes in pieces, it is the
    /// same: nothing is decided by what happens to have come already.
    fn end(&self) -> Option<usize> {
        let sentence = self.sentence_end();
        let clause_from = if self.given == 0 { FIRST_CLAUSE } else { CLAUSE };
        if sentence.is_some_and(|end| end <= clause_from) || self.text.len() <= clause_from {
            return sentence;
        }
        let end = [self.clause_end(clause_from), sentence].into_iter().flatten().min();
        match end {
            Some(end) if end <= LONGEST => Some(end),
            _ if self.text.len() > LONGEST => Some(self.space_before(LONGEST)),
            _ => None,
        }
    }

    /// The first end of a sentence, behind the space that shows it.
    fn sentence_end(&self) -> Option<usize> {
        for (at, character) in self.text.char_indices() {
            let (before, behind) = (&self.text[..at], &self.text[at + character.len_utf8()..]);
            match character {
                '\n' => return Some(at + 1),
                character if character.is_whitespace() => match stop(before, behind) {
                    Stop::End => return Some(at + character.len_utf8()),
                    Stop::None => (),
                    Stop::NotYetKnown => return None,
                },
                _ => (),
            }
        }
        None
    }

    /// The last end of a clause within so many bytes or, if there is none, the first one after.
    fn clause_end(&self, within: usize) -> Option<usize> {
        let pairs = self.text.char_indices().zip(self.text.chars().skip(1));
        let mut ends = pairs
            .filter(|&((at, sign), next)| {
                matches!(sign, ',' | ';' | ':' | '—' | '–') && next == ' ' && at >= SHORTEST_CLAUSE
            })
            .map(|((at, sign), _)| at + sign.len_utf8() + 1)
            .peekable();
        let mut last = None;
        while let Some(end) = ends.next_if(|&end| end <= within) {
            last = Some(end);
        }
        last.or_else(|| ends.next())
    }

    fn space_before(&self, within: usize) -> usize {
        let limit = self.text.floor_char_boundary(within);
        self.text[..limit].rfind(' ').map_or(limit, |space| space + 1)
    }
}

enum Stop {
    End,
    None,
    NotYetKnown,
}

/// Whether a space between these two ends a sentence.
fn stop(before: &str, behind: &str) -> Stop {
    let bare = before.trim_end_matches(['"', '\'', '”', '’', '»', ')']);
    if bare.ends_with(['!', '?']) {
        return Stop::End;
    }
    if bare.ends_with("..") || bare.ends_with('…') {
        return if_next(behind, |next| !next.is_lowercase());
    }
    let Some(sentence) = bare.strip_suffix('.') else { return Stop::None };
    let word = sentence.rsplit(char::is_whitespace).next().unwrap_or(sentence);
    let word = word.trim_start_matches(['"', '\'', '“', '‘', '(']).to_lowercase();
    if OPENS.contains(&word.as_str()) || is_initial(sentence) {
        return Stop::None;
    }
    if word == "no" {
        return if_next(behind, |next| !next.is_ascii_digit());
    }
    if MAY_END.contains(&word.as_str()) {
        return if_next(behind, |next| !next.is_lowercase() && !next.is_ascii_digit());
    }
    Stop::End
}

fn if_next(behind: &str, ends: impl Fn(char) -> bool) -> Stop {
    match behind.trim_start_matches(' ').chars().next() {
        None => Stop::NotYetKnown,
        Some(next) if ends(next) => Stop::End,
        Some(_) => Stop::None,
    }
}

/// Whether the text ends with the first letter of a name, as in "J. Smith"; "I" is a word.
fn is_initial(text: &str) -> bool {
    let mut from_end = text.chars().rev();
    let letter = from_end.next().is_some_and(|letter| letter.is_uppercase() && letter != 'I');
    letter && from_end.next().is_none_or(char::is_whitespace)
}

/// The text between its spaces, if there is something in it to say.
fn speakable(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars().any(char::is_alphanumeric).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_at_their_stops() {
        check("Yes. I can! Can you? Good", &["Yes.", "I can!", "Can you?", "Good"]);
        check("He said \"no.\" Then he left.", &["He said \"no.\"", "Then he left."]);
        check("(Really?) Yes.", &["(Really?)", "Yes."]);
    }

    #[test]
    fn stops_that_end_nothing_are_left_alone() {
        check("Dr. Smith owes 3.50 euros. Pay.", &["Dr. Smith owes 3.50 euros.", "Pay."]);
        check("Ask J. Smith at example.com today.", &["Ask J. Smith at example.com today."]);
        check("Bring paper, e.g. the invoice.", &["Bring paper, e.g. the invoice."]);
        check("So do I. Bye.", &["So do I.", "Bye."]);
    }

    #[test]
    fn next_word_decides_where_only_it_can() {
        check("It is No. 5. No. It is not.", &["It is No. 5.", "No.", "It is not."]);
        check("At 5 p.m. we close.", &["At 5 p.m. we close."]);
        check("We close at 5 p.m. Come then.", &["We close at 5 p.m.", "Come then."]);
        check("Well... maybe. Well... No.", &["Well... maybe.", "Well...", "No."]);
    }

    #[test]
    fn lines_are_ends_and_markup_is_not_said() {
        check(
            "**Sure!** You need:\n- a lamp\n- a desk\n\n---\n```\ncode\n```\nOK?",
            &["Sure!", "You need:", "a lamp", "a desk", "OK?"],
        );
    }

    #[test]
    fn long_sentence_is_cut_at_a_clause_and_sooner_at_the_beginning_of_an_answer() {
        check(
            "I have found the invoice that you are asking about, and it was paid on the second of May, \
             late, but in full. \
             It was sent to the address that you gave us, which is the one in the old town.",
            &[
                "I have found the invoice that you are asking about,",
                "and it was paid on the second of May, late, but in full.",
                "It was sent to the address that you gave us, which is the one in the old town.",
            ],
        );
    }

    #[test]
    fn endless_text_is_cut_anyway() {
        for endless in ["word ".repeat(200), "ö".repeat(1000)] {
            let pieces = say(&endless, 7);
            assert!(pieces.iter().all(|piece| piece.len() <= LONGEST), "{pieces:?}");
            assert_eq!(pieces.concat().replace(' ', ""), endless.replace(' ', ""));
        }
    }

    /// A voice can begin with the first sentence while the model thinks about the second.
    #[test]
    fn sentence_is_given_out_with_the_space_behind_it() {
        let mut sentences = Sentences::default();
        assert!(sentences.push("Of course").is_empty());
        assert!(sentences.push(".").is_empty());
        assert_eq!(sentences.push(" One"), ["Of course."]);
        assert_eq!(sentences.finish(), ["One"]);
        assert!(sentences.finish().is_empty());
    }

    /// However the stream is cut, the same is said.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        for piece in [1, 2, 3, 5, 8, 1000] {
            assert_eq!(say(text, piece), expected, "in pieces of {piece}");
        }
    }

    fn say(text: &str, piece: usize) -> Vec<String> {
        let mut sentences = Sentences::default();
        let characters: Vec<char> = text.chars().collect();
        let mut said: Vec<String> = characters
            .chunks(piece)
            .flat_map(|piece| sentences.push(&piece.iter().collect::<String>()))
            .collect();
        said.extend(sentences.finish());
        said
    }
}
