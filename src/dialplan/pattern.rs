//! Patterns that a number, a user or a header's value is matched with.
//!
//! | written     | takes                                                                       |
//! |-------------|-----------------------------------------------------------------------------|
//! | `sales`     | exactly that                                                                |
//! | `_49305XX`  | as in Asterisk: `X` 0-9, `Z` 1-9, `N` 2-9, `[1-5]`, `[02468]`; `.` one or   |
//! |             | more of anything, `!` anything or nothing, both only at the end             |
//! | `re:4\d+`   | a regular expression that takes the whole value                             |

use std::fmt;

use regex::Regex;

/// The most bytes that a compiled expression may have: a pattern is short.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// A pattern. It prints as it was written.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Exact,
    Digits(Vec<Place>, Tail),
    Expression(Regex),
}

/// What may stand in one place.
#[derive(Clone, Debug)]
enum Place {
    Only(char),
    OneOf(Vec<(char, char)>),
}

/// What may follow the places.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tail {
    Nothing,
    Something,
    Anything,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing in it.
    #[error("an empty pattern takes nothing")]
    Empty,
    /// `.` or `!` before the end.
    #[error("`{0}` stands only at the end of a pattern")]
    TailInside(char),
    /// A `[` without its `]`, or with nothing between them.
    #[error("`[` needs digits and a `]` behind it")]
    BadSet,
    /// A range such as `5-1`.
    #[error("`{0}-{1}` runs backwards")]
    Backwards(char, char),
    /// No regular expression.
    #[error("not a regular expression: {0}")]
    BadExpression(String),
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let kind = if text.is_empty() {
            return Err(PatternError::Empty);
        } else if let Some(expression) = text.strip_prefix("re:") {
            Kind::Expression(expression_of(expression)?)
        } else if let Some(digits) = text.strip_prefix('_') {
            let (places, tail) = digits_of(digits)?;
            Kind::Digits(places, tail)
        } else {
            Kind::Exact
        };
        Ok(Pattern { text: text.to_owned(), kind })
    }

    /// The one value that it takes, if it is no pattern of several.
    pub fn exact(&self) -> Option<&str> {
        matches!(self.kind, Kind::Exact).then_some(self.text.as_str())
    }

    /// Whether the pattern takes the value, all of it.
    pub fn takes(&self, value: &str) -> bool {
        match &self.kind {
            Kind::Exact => value == self.text,
            Kind::Expression(expression) => expression.is_match(value),
            Kind::Digits(places, tail) => {
                let mut chars = value.chars();
                let fits = places.iter().all(|place| chars.next().is_some_and(|c| place.takes(c)));
                fits && match tail {
                    Tail::Nothing => chars.next().is_none(),
                    Tail::Something => chars.next().is_some(),
                    Tail::Anything => true,
                }
            }
        }
    }
}

impl Place {
    fn takes(&self, c: char) -> bool {
        match self {
            Place::Only(only) => c == *only,
            Place::OneOf(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)),
        }
    }
}

fn expression_of(text: &str) -> Result<Regex, PatternError> {
    // Compiled alone first: what stands in a group here need not be an expression by itself.
    let checked = regex::RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
    let whole = checked.and_then(|_| {
        let whole = format!(r"\A(?:{text})\z");
        regex::RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).build()
    });
    whole.map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default();
        PatternError::BadExpression(why.trim_start_matches("error: ").to_owned())
    })
}

fn digits_of(text: &str) -> Result<(Vec<Place>, Tail), PatternError> {
    let mut places = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let place = match c {
            'X' | 'x' => Place::OneOf(vec![('0', '9')]),
            'Z' | 'z' => Place::OneOf(vec![('1', '9')]),
            'N' | 'n' => Place::OneOf(vec![('2', '9')]),
            '[' => {
                let rest = chars.as_str();
                let (set, after) = rest.split_once(']').ok_or(PatternError::BadSet)?;
                chars = after.chars();
                Place::OneOf(set_of(set)?)
            }
            '.' | '!' if !chars.as_str().is_empty() => return Err(PatternError::TailInside(c)),
            '.' => return Ok((places, Tail::Something)),
            '!' => return Ok((places, Tail::Anything)),
            // Separators for the eye, as in Asterisk.
            '-' | ' ' => continue,
            _ => Place::Only(c),
        };
        places.push(place);
    }
    if places.is_empty() { Err(PatternError::Empty) } else { Ok((places, Tail::Nothing)) }
}

/// The ranges of `1-5` or `02468` or `1-37`.
fn set_of(set: &str) -> Result<Vec<(char, char)>, PatternError> {
    let chars: Vec<char> = set.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = chars.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        let mut range = (*first, *first);
        if let ['-', last, after @ ..] = rest {
            range.1 = *last;
            rest = after;
        }
        if range.0 > range.1 {
            return Err(PatternError::Backwards(range.0, range.1));
        }
        ranges.push(range);
    }
    if ranges.is_empty() { Err(PatternError::BadSet) } else { Ok(ranges) }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_takes_what_it_describes_and_nothing_else() {
        for (pattern, takes, leaves) in [
            ("sales", &["sales"][..], &["Sales", "sales2", "presales", ""][..]),
            (
                "_49305557XX",
                &["4930555700", "4930555799"],
                &["493055570", "49305557000", "493055570a"],
            ),
            ("_ZN", &["12", "99"], &["02", "11", "1"]),
            ("_zn", &["12"], &["zn", "02"]),
            ("_[1-37]0", &["10", "20", "30", "70"], &["40", "00", "-0"]),
            ("_0[02468]", &["00", "08"], &["01"]),
            ("_00.", &["001", "00abc", "0012345"], &["00", "01"]),
            ("_00!", &["00", "0012345"], &["0", "01"]),
            ("_!", &["", "anybody"], &[]),
            ("_.", &["anybody"], &[""]),
            ("_+49 30-5X", &["+493051"], &["493051", "+49 30-51"]),
            ("_*97", &["*97"], &["97"]),
            ("re:4\\d+", &["41", "4999"], &["4", "541", "41a", "41\n"]),
            ("re:a|b", &["a", "b"], &["ab", "ax", "xb"]),
            ("re:(?i)sales", &["SALES"], &["SALE"]),
        ] {
            let read = Pattern::parse(pattern).expect(pattern);
            assert_eq!(read.to_string(), pattern);
            for value in takes {
                assert!(read.takes(value), "{pattern} should take {value:?}");
            }
            for value in leaves {
                assert!(!read.takes(value), "{pattern} should leave {value:?}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, why) in [
            ("", "an empty pattern takes nothing"),
            ("_", "an empty pattern takes nothing"),
            ("_- ", "an empty pattern takes nothing"),
            ("_1.2", "`.` stands only at the end of a pattern"),
            ("_!X", "`!` stands only at the end of a pattern"),
            ("_[12", "`[` needs digits and a `]` behind it"),
            ("_[]", "`[` needs digits and a `]` behind it"),
            ("_[5-1]", "`5-1` runs backwards"),
            ("re:(", "not a regular expression: unclosed group"),
            ("re:a)(b", "not a regular expression: unopened group"),
        ] {
            let error = Pattern::parse(pattern).expect_err(pattern);
            assert_eq!(error.to_string(), why, "{pattern}");
        }
        let huge = Pattern::parse("re:(?:[a-z]{100}){1000}").expect_err("too large");
        assert!(matches!(huge, PatternError::BadExpression(_)), "{huge}");
    }
}
