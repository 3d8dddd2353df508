//! Words and sentences, as a reader counts them, and cutting without cutting through.

/// How many words a text has: what stands between white space.
pub fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// How many sentences a text has. A full stop ends one when the text ends there or goes on with a
/// capital letter, so that `89.95` and `invoice no. 4521` end none.
pub fn sentences(text: &str) -> usize {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ends = |(place, word): (usize, &&str)| match words.get(place + 1) {
        None => true,
        Some(next) => ends_sentence(word) && opens_sentence(next),
    };
    words.iter().enumerate().filter(|&word| ends(word)).count()
}

/// The text on one line, without control characters and without double spaces.
pub fn one_line(text: &str) -> String {
    let visible = text.replace(char::is_control, " ");
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text on one line, in at most `words_max` words and `bytes_max` bytes; an ellipsis says that
/// there was more.
pub fn clip(text: &str, words_max: usize, bytes_max: usize) -> String {
    const ELLIPSIS: &str = "…";
    let whole = one_line(text);
    let first = whole.split(' ').take(words_max).collect::<Vec<_>>().join(" ");
    if first.len() == whole.len() && whole.len() <= bytes_max {
        return whole;
    }
    let end = first.floor_char_boundary(bytes_max.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", first[..end].trim_end_matches([' ', ',', ';', ':', '.']))
}

/// The text in quotation marks, as a part of one sentence.
pub fn quote(text: &str, words_max: usize, bytes_max: usize) -> String {
    format!("“{}”", clause(text, words_max, bytes_max))
}

/// The text as a part of one sentence: its own sentences become clauses.
pub fn clause(text: &str, words_max: usize, bytes_max: usize) -> String {
    let clipped = clip(text, words_max, bytes_max);
    let words: Vec<String> = clipped.split(' ').map(without_end).collect();
    words.join(" ").trim_end_matches(';').to_owned()
}

fn without_end(word: &str) -> String {
    if ends_sentence(word) {
        word.trim_end_matches(CLOSING).trim_end_matches(ENDS).to_owned() + ";"
    } else {
        word.to_owned()
    }
}

/// What may stand behind the end of a sentence.
const CLOSING: [char; 5] = ['"', '\'', '”', '’', ')'];
const ENDS: [char; 3] = ['.', '!', '?'];

fn ends_sentence(word: &str) -> bool {
    word.trim_end_matches(CLOSING).ends_with(ENDS)
}

fn opens_sentence(word: &str) -> bool {
    let letter = word.trim_start_matches(['"', '\'', '“', '‘', '(']).chars().next();
    letter.is_some_and(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_counted_as_a_reader_counts_them() {
        assert_eq!(sentences(""), 0);
        assert_eq!(sentences("no full stop"), 1);
        assert_eq!(sentences("One. Two! “Three?” Four"), 4);
        assert_eq!(sentences("They want $89.95 back for invoice no. 4521."), 1);
    }

    #[test]
    fn a_clipped_text_keeps_its_bounds_and_says_that_there_was_more() {
        assert_eq!(clip("  a\tlittle\r\nspace ", 9, 99), "a little space");
        assert_eq!(clip("one two, three", 2, 99), "one two…");
        assert_eq!(clip("äöü äöü", 9, 8), "äö…");
        assert_eq!(clip("exactly so", 2, 10), "exactly so");
    }

    #[test]
    fn a_quoted_text_is_part_of_one_sentence() {
        let quoted = quote("Hello. My bill is wrong! Can you help?", 20, 200);
        assert_eq!(quoted, "“Hello; My bill is wrong; Can you help”");
        assert_eq!(sentences(&format!("The caller said: {quoted}.")), 1);
    }
}
