//! What was said, brought to one form: lower case, no accents, contractions written out, commas and full
//! stops as words of their own.
//!
//! ```text
//! "Uh, I'd like a RÉAL person!"  ->  " . uh , i would like a real person . "
//! ```
//!
//! Recognisers are free with case, punctuation and hyphens, so none of it can decide alone; but a full
//! stop tells "No. Agent." from "no agent", and is kept. Every word stands between two blanks.

/// The most bytes of one turn that are looked at. A longer turn is cut at its beginning: what a caller
/// wants comes last.
const TEXT_BYTES_MAX: usize = 4096;

/// One turn of a caller, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The words with a blank on each side of each, a full stop first and last.
    text: String,
}

impl Words {
    /// Normalises what was said.
    pub fn new(said: &str) -> Self {
        let mut builder = Builder::new();
        let mut chars = tail(said).chars().peekable();
        while let Some(c) = chars.next() {
            let next_is_word = chars.peek().is_some_and(|next| next.is_alphanumeric());
            match c {
                '\'' | '’' | '‘' | 'ʼ' if next_is_word => builder.word.push('\''),
                // Inside a number or an abbreviation ("4.50", "G.D.P.R.") nothing ends.
                '.' | ',' | ':' if next_is_word => builder.end_word(),
                '.' | '!' | '?' | '…' => builder.mark("."),
                ',' | ';' | ':' | '(' | ')' | '–' | '—' => builder.mark(","),
                c if c.is_alphanumeric() => fold(c, &mut builder.word),
                // Accents that are written after their letter.
                '\u{300}'..='\u{36f}' => (),
                '\'' | '’' | '‘' | 'ʼ' => (),
                _ => builder.end_word(),
            }
        }
        builder.mark(".");
        let text = format!(" {} ", builder.tokens.join(" "));
        Words { text }
    }

    /// The same without the words that `drop` names (sounds of hesitation).
    pub fn without(&self, drop: impl Fn(&str) -> bool) -> Words {
        let mut builder = Builder::new();
        for word in self.text.split_ascii_whitespace() {
            match word {
                "." | "," => builder.mark(word),
                word if drop(word) => (),
                word => builder.push(word),
            }
        }
        Words { text: format!(" {} ", builder.tokens.join(" ")) }
    }

    /// The normalised text, for a pattern to look at.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The words alone, without marks, for a phrase file's own words.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split_ascii_whitespace().filter(|word| !matches!(*word, "." | ","))
    }
}

/// Collects the words and marks of a text.
struct Builder {
    tokens: Vec<String>,
    word: String,
}

impl Builder {
    fn new() -> Self {
        Builder { tokens: vec![".".to_owned()], word: String::new() }
    }

    /// The word that was being read is complete.
    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        for word in written_out(&word) {
            self.push(&word);
        }
    }

    /// Adds a word, unless it repeats the one before: people stammer, and say things three times when
    /// nobody listens.
    fn push(&mut self, word: &str) {
        match self.tokens.iter().rposition(|token| token != ",") {
            Some(last) if self.tokens[last] == word => self.tokens.truncate(last + 1),
            _ => self.tokens.push(word.to_owned()),
        }
    }

    /// Adds a comma or a full stop; of several in a row, the strongest counts.
    fn mark(&mut self, mark: &str) {
        self.end_word();
        let last = self.tokens.last_mut().expect("the first token is a full stop");
        match last.as_str() {
            "." => (),
            "," => mark.clone_into(last),
            _ => self.tokens.push(mark.to_owned()),
        }
    }
}

/// The last part of a text that is too long.
fn tail(text: &str) -> &str {
    let excess = text.len().saturating_sub(TEXT_BYTES_MAX);
    let start = (excess..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[start.unwrap_or(0)..]
}

/// Contractions that are words of their own.
#[rustfmt::skip]
const WHOLE: &[(&str, &[&str])] = &[
    ("wanna",  &["want", "to"]),    ("gonna", &["going", "to"]),   ("gotta",  &["got", "to"]),
    ("gimme",  &["give", "me"]),    ("lemme", &["let", "me"]),     ("cannot", &["can", "not"]),
    ("can't",  &["can", "not"]),    ("won't", &["will", "not"]),   ("shan't", &["shall", "not"]),
    ("ain't",  &["is", "not"]),     ("let's", &["let", "us"]),     ("cant",   &["can", "not"]),
    ("dont",   &["do", "not"]),     ("wont",  &["will", "not"]),   ("im",     &["i", "am"]),
];

/// Contractions that hang on a word. `'s` is none of them: it is mostly a possessive.
#[rustfmt::skip]
const ENDINGS: &[(&str, &str)] = &[
    ("n't", "not"), ("'re", "are"), ("'ll", "will"), ("'ve", "have"), ("'d", "would"), ("'m", "am"),
];

/// Words whose `'s` is "is".
const WITH_IS: &[&str] =
    &["it", "that", "there", "here", "what", "who", "where", "how", "he", "she"];

/// The words that a written word stands for.
fn written_out(word: &str) -> Vec<String> {
    let word = word.trim_matches('\'');
    if word.is_empty() {
        return vec![];
    }
    if let Some((_, words)) = WHOLE.iter().find(|(short, _)| *short == word) {
        return words.iter().map(|word| (*word).to_owned()).collect();
    }
    for (ending, full) in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            return vec![stem.to_owned(), (*full).to_owned()];
        }
    }
    match word.strip_suffix("'s") {
        Some(stem) if WITH_IS.contains(&stem) => vec![stem.to_owned(), "is".to_owned()],
        Some(stem) if !stem.is_empty() => vec![stem.to_owned(), "'s".to_owned()],
        _ => vec![word.replace('\'', "")],
    }
}

/// Lower case without accents. Letters of other scripts stay as they are.
fn fold(c: char, into: &mut String) {
    for c in c.to_lowercase() {
        match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => into.push('a'),
            'ç' | 'ć' | 'č' => into.push('c'),
            'ď' | 'đ' | 'ð' => into.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => into.push('e'),
            'ğ' => into.push('g'),
            'ì'..='ï' | 'ī' | 'į' | 'ı' => into.push('i'),
            'ł' => into.push('l'),
            'ñ' | 'ń' | 'ň' => into.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => into.push('o'),
            'ř' => into.push('r'),
            'ś' | 'š' | 'ş' | 'ș' => into.push('s'),
            'ť' | 'ţ' | 'ț' => into.push('t'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => into.push('u'),
            'ý' | 'ÿ' => into.push('y'),
            'ź' | 'ż' | 'ž' => into.push('z'),
            'ß' => into.push_str("ss"),
            'æ' => into.push_str("ae"),
            'œ' => into.push_str("oe"),
            '\u{300}'..='\u{36f}' => (),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expected: &str) {
        assert_eq!(Words::new(said).as_str(), expected);
    }

    #[test]
    fn case_accents_and_punctuation_do_not_matter() {
        check("Speak to a HÜMAN!!!", " . speak to a human . ");
        check("real-person", " . real person . ");
        check("“Agent”, please…", " . agent , please . ");
        check("Cafe\u{301}", " . cafe . ");
        check("", " . ");
        check("?!", " . ");
    }

    #[test]
    fn contractions_are_written_out_and_possessives_are_kept() {
        check("I don't, I’d rather", " . i do not , i would rather . ");
        check("that's the manager's", " . that is the manager 's . ");
        check("gimme an agent, can't you", " . give me an agent , can not you . ");
        check("the managers' car", " . the managers car . ");
    }

    #[test]
    fn a_sentence_ends_at_a_full_stop_but_not_inside_a_number() {
        check("No. Agent.", " . no . agent . ");
        check("It is 4.50 at 8:30", " . it is 4 50 at 8 30 . ");
        check("the G.D.P.R. says", " . the g d p r . says . ");
    }

    #[test]
    fn what_is_stammered_counts_once() {
        check("I I want to to to, to go", " . i want to go . ");
        check("agent, agent, agent", " . agent . ");
    }

    #[test]
    fn a_turn_without_end_is_cut_at_its_beginning() {
        let words = Words::new(&format!("{} operator", "ä ö ".repeat(5000)));
        assert!(words.as_str().len() <= TEXT_BYTES_MAX + 8);
        assert!(words.as_str().ends_with(" operator . "));
    }

    #[test]
    fn dropped_words_take_their_commas_along() {
        let words =
            Words::new("Can I, uh, speak, um, now").without(|word| ["uh", "um"].contains(&word));
        assert_eq!(words.as_str(), " . can i , speak , now . ");
    }
}
