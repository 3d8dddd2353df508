//! The small words of SIP's grammar: tokens, quoted strings, lists, escapes (RFC 3261 §25.1).
//!
//! All of it works on text that `wire` has unfolded: a fold is one space by now.

use std::borrow::Cow;

use percent_encoding::{percent_decode_str, percent_encode_byte};

/// A value that does not follow its grammar, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub &'static str);

/// What may stand unescaped in every part of a SIP URI beside letters and digits (`mark`). All sets of
/// the grammar are these and a little more.
const MARK: &[u8] = b"-_.!~*'()";

/// Whether `text` is a token: a method, a header name, a tag.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether `byte` may stand in a token.
pub fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] = table(b"-.!%*_+`'~");
    TOKEN[usize::from(byte)]
}

/// Whether `byte` may stand unescaped anywhere in a SIP URI.
pub fn is_unreserved(byte: u8) -> bool {
    const UNRESERVED: [bool; 256] = table(MARK);
    UNRESERVED[usize::from(byte)]
}

/// Letters, digits, and `others`.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Whether every byte of `text` is alphanumeric, one of `extra`, unreserved, or a sound `%XX`.
pub fn is_escaped_with(text: &str, extra: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, &byte)| match byte {
        b'%' => is_hex(at + 1) && is_hex(at + 2),
        _ => is_unreserved(byte) || extra.contains(&byte),
    })
}

/// `text` with every byte as `%XX` that is neither alphanumeric nor unreserved nor in `extra`.
pub fn escape(text: &str, extra: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match is_unreserved(byte) || extra.contains(&byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(percent_encode_byte(byte)),
        }
    }
    escaped
}

/// `text` without its `%XX`. What would not be UTF-8 then stays escaped.
pub fn unescape(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text))
}

/// Splits at `separator`, but not inside quotes or angle brackets. Trims the parts.
pub fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, after) = match find_outside(text, separator) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        rest = after;
        Some(part.trim_ascii())
    })
}

/// The items of a comma-separated header field. Empty ones, which the grammar does not know but many
/// senders do, are left out.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    split(text, b',').filter(|item| !item.is_empty())
}

/// Where `wanted` first stands outside of quotes and angle brackets.
pub fn find_outside(text: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    text.bytes().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            _ if quoted => (),
            _ if byte == wanted && !bracketed => return true,
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            _ => (),
        }
        false
    })
}

/// Reads the quoted string that `text` begins with. Returns its content and what follows it.
pub fn take_quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut content = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((content, &inside[at + 1..])),
            '\\' => content.push(characters.next()?.1),
            _ => content.push(character),
        }
    }
    None
}

/// `text` without quotes and backslashes, if it is a quoted string; as it is otherwise.
pub fn unquote(text: &str) -> Cow<'_, str> {
    match take_quoted(text) {
        Some((content, "")) => Cow::Owned(content),
        _ => Cow::Borrowed(text),
    }
}

/// `text` as a quoted string. A line end, which no quoted string may hold, becomes a space.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\r' | '\n' => quoted.push(' '),
            // The other control characters may stand in a quoted string only behind a backslash.
            _ if character.is_ascii_control() && character != '\t' => {
                quoted.extend(['\\', character])
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads `1*DIGIT`, leading zeros and all; `None` for anything else, and for what does not fit.
pub fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    // `parse` alone would take a plus sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_only_where_its_commas_are_its_own() {
        let split = |text| split_list(text).collect::<Vec<_>>();

        assert_eq!(split("a, b ,,c"), ["a", "b", "c"]);
        assert_eq!(
            split(r#""Bell, \", A." <sip:a,b@c>, <sip:d>;x="1,2""#),
            [r#""Bell, \", A." <sip:a,b@c>"#, r#"<sip:d>;x="1,2""#]
        );
        assert_eq!(split(r#""never closed, a"#), [r#""never closed, a"#]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn quoting_and_reading_back_gives_the_same_text() {
        for text in ["", "plain", "a \"b\" \\c", "\u{7}\0\u{7f}", "Ünï"] {
            assert_eq!(take_quoted(&quote(text)), Some((text.to_owned(), "")));
        }
        assert_eq!(quote("a\r\nVia: b"), "\"a  Via: b\"");
        assert_eq!(take_quoted("\"open"), None);
        assert_eq!(take_quoted("\"open\\"), None);
    }

    #[test]
    fn escaping_and_reading_back_gives_the_same_text() {
        assert_eq!(escape("a b;c=\"%\"\r\n@Ü", b";"), "a%20b;c%3D%22%25%22%0D%0A%40%C3%9C");
        assert_eq!(unescape("a%20b;c%3D%22%25%22%0D%0A%40%C3%9C"), "a b;c=\"%\"\r\n@Ü");
        assert_eq!(unescape("%ff%41"), "%ff%41");
        assert!(is_escaped_with("a%41;", b";"));
        assert!(!is_escaped_with("a%4", b""));
        assert!(!is_escaped_with("%é1", b""));
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        assert_eq!(number("0068"), Some(68u8));
        assert_eq!(number::<u32>("+5"), None);
        assert_eq!(number::<u32>(""), None);
        assert_eq!(number::<u8>("300"), None);
    }
}
