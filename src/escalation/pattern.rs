//! One line of a phrase file, turned into a regular expression over normalised words.
//!
//! Every piece of the expression begins with the blank (and the comma) before its word, so that pieces
//! join, repeat and vanish without leaving two blanks behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::escalation::words::Words;

/// Between two words of a phrase: a recogniser puts a comma where the speaker breathes.
const GAP: &str = "(?: ,)? ";

/// Up to three further words (`...`), as few as possible.
const WORDS_BETWEEN: &str = "(?:(?: ,)? [^ .,]+){0,3}?";

/// The most bytes of one line's expression; lists within lists multiply.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// What a line of a phrase file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A remark, or empty.
    Nothing,
    /// A list of words; it went into the [`Lists`].
    List,
    /// A phrase that counts anywhere.
    Anywhere(String),
    /// A phrase that counts as a whole sentence.
    Whole(String),
    /// Words that never count.
    Never(String),
}

/// Why a line is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The file is larger than a phrase file may be.
    #[error("the file is too long")]
    FileTooLong,
    /// Nothing in the file can ever match.
    #[error("the file has no phrase")]
    NoPhrase,
    /// The phrases are too many, or lists within lists multiply too far.
    #[error("the phrases are too many, or their lists multiply too far")]
    TooManyPhrases,
    /// A list is used before, or without, its definition.
    #[error("the list `{{{name}}}` is not defined above")]
    UnknownList {
        /// Its name.
        name: String,
    },
    /// A list has two definitions.
    #[error("the list `{{{name}}}` is defined twice")]
    ListTwice {
        /// Its name.
        name: String,
    },
    /// A bracket of any kind stays open.
    #[error("this bracket is not closed")]
    NotClosed,
    /// A closing bracket without an opening one.
    #[error("nothing is open that could be closed")]
    NotOpen,
    /// Nothing stands between two bars.
    #[error("an alternative is empty")]
    EmptyAlternative,
    /// All of the phrase is optional: it would match everything.
    #[error("a phrase needs a word that is not optional")]
    NothingRequired,
    /// The end of a clause in the middle of a phrase.
    #[error("a full stop stands only at the end of a phrase")]
    StopInside,
    /// A character that means nothing here.
    #[error("a phrase cannot have `{character}` here")]
    Unexpected {
        /// Which.
        character: char,
    },
}

/// A mistake with its column, counted from 1.
type Mistake = (u32, PatternError);

/// The word lists of a file so far, each as an expression.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    lists: BTreeMap<String, List>,
}

#[derive(Clone, Debug)]
struct List {
    pattern: String,
    has_word: bool,
    words: BTreeSet<String>,
}

impl Lists {
    /// None yet.
    pub fn new() -> Self {
        Lists::default()
    }

    /// The expression of a list.
    pub fn pattern(&self, name: &str) -> Option<&str> {
        self.lists.get(name).map(|list| list.pattern.as_str())
    }

    /// The single words that a list's line has.
    pub fn words(&self, name: &str) -> BTreeSet<String> {
        self.lists.get(name).map(|list| list.words.clone()).unwrap_or_default()
    }
}

/// Reads one line. A list goes into `lists`, anything else comes back.
pub fn parse_line(line: &str, lists: &mut Lists) -> Result<Line, Mistake> {
    let mut reader = Reader { chars: line.chars().collect(), at: 0, lists };
    reader.skip_blanks();
    match reader.peek() {
        None | Some('#') => Ok(Line::Nothing),
        Some('=') => reader.after_mark().map(Line::Whole),
        Some('!') => reader.after_mark().map(Line::Never),
        Some('{') => match reader.list_name()? {
            Some(name) => reader.list(name),
            None => reader.phrase().map(Line::Anywhere),
        },
        Some(_) => reader.phrase().map(Line::Anywhere),
    }
}

/// A piece of a phrase, or a whole one.
struct Piece {
    pattern: String,
    /// Whether it cannot match without a word.
    has_word: bool,
}

struct Reader<'a> {
    chars: Vec<char>,
    at: usize,
    lists: &'a mut Lists,
}

impl Reader<'_> {
    fn after_mark(&mut self) -> Result<String, Mistake> {
        self.at += 1;
        self.phrase()
    }

    /// The name before an equals sign; `None` (and nothing read) when the line is a phrase.
    fn list_name(&mut self) -> Result<Option<String>, Mistake> {
        let start = self.at;
        let name = self.name()?;
        self.skip_blanks();
        if self.peek() == Some('=') {
            self.at += 1;
            return Ok(Some(name));
        }
        self.at = start;
        Ok(None)
    }

    fn list(&mut self, name: String) -> Result<Line, Mistake> {
        if self.lists.lists.contains_key(&name) {
            return Err((1, PatternError::ListTwice { name }));
        }
        let start = self.at;
        let Piece { pattern, has_word } = self.alternatives(None)?;
        let text: String = self.chars[start..].iter().collect();
        let words = Words::new(&text.replace('|', " ")).iter().map(str::to_owned).collect();
        self.lists.lists.insert(name, List { pattern, has_word, words });
        Ok(Line::List)
    }

    /// A whole phrase, up to the end of the line.
    fn phrase(&mut self) -> Result<String, Mistake> {
        let start = self.column();
        let phrase = join(self.pieces()?);
        match self.peek() {
            Some(character) => Err((self.column(), unexpected(character))),
            None if !phrase.has_word => Err((start, PatternError::NothingRequired)),
            None => Ok(phrase.pattern),
        }
    }

    /// Alternatives up to `close`, or to the end of the line.
    fn alternatives(&mut self, close: Option<char>) -> Result<Piece, Mistake> {
        let opened = self.column().saturating_sub(1);
        let mut alternatives = Vec::new();
        loop {
            let pieces = self.pieces()?;
            let column = self.column();
            if pieces.is_empty() {
                return Err((column, PatternError::EmptyAlternative));
            }
            alternatives.push(join(pieces));
            match self.peek() {
                Some('|') => self.at += 1,
                found if found == close => {
                    self.at += usize::from(close.is_some());
                    break;
                }
                None => return Err((opened, PatternError::NotClosed)),
                Some(character) => return Err((column, unexpected(character))),
            }
        }
        let has_word = alternatives.iter().all(|alternative| alternative.has_word);
        let patterns: Vec<_> =
            alternatives.into_iter().map(|alternative| alternative.pattern).collect();
        Ok(Piece { pattern: format!("(?:{})", patterns.join("|")), has_word })
    }

    /// Pieces up to something that is none: a bar, a closing bracket, the end.
    fn pieces(&mut self) -> Result<Vec<Piece>, Mistake> {
        let mut pieces = Vec::new();
        loop {
            self.skip_blanks();
            let column = self.column();
            match self.peek() {
                Some('(') => {
                    self.at += 1;
                    let pattern = format!("{}?", self.alternatives(Some(')'))?.pattern);
                    pieces.push(Piece { pattern, has_word: false });
                }
                Some('[') => {
                    self.at += 1;
                    pieces.push(self.alternatives(Some(']'))?);
                }
                Some('{') => {
                    let name = self.name()?;
                    let Some(List { pattern, has_word, .. }) = self.lists.lists.get(&name) else {
                        return Err((column, PatternError::UnknownList { name }));
                    };
                    pieces.push(Piece { pattern: pattern.clone(), has_word: *has_word });
                }
                Some('.') => pieces.push(self.dots()?),
                Some(c) if is_word(c) => pieces.push(self.word()),
                _ => return Ok(pieces),
            }
            if pieces.iter().map(|piece| piece.pattern.len()).sum::<usize>() > LINE_BYTES_MAX {
                return Err((column, PatternError::TooManyPhrases));
            }
        }
    }

    /// `...`, or the full stop at the end of a phrase.
    fn dots(&mut self) -> Result<Piece, Mistake> {
        let column = self.column();
        let start = self.at;
        while self.peek() == Some('.') {
            self.at += 1;
        }
        let count = self.at - start;
        self.skip_blanks();
        match (count, self.peek()) {
            (3, _) => Ok(Piece { pattern: WORDS_BETWEEN.to_owned(), has_word: false }),
            (1, None | Some('|' | ')' | ']')) => {
                Ok(Piece { pattern: " [.,]".to_owned(), has_word: false })
            }
            (1, Some(_)) => Err((column, PatternError::StopInside)),
            _ => Err((column, unexpected('.'))),
        }
    }

    /// One written word, which may stand for two (`don't`).
    fn word(&mut self) -> Piece {
        let start = self.at;
        while self.peek().is_some_and(is_word) {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        let pattern = match text.as_str() {
            // After a list: `{job}'s`.
            "'s" | "’s" => " 's".to_owned(),
            text => Words::new(text)
                .iter()
                .map(|word| format!("{GAP}{}", regex::escape(word)))
                .collect(),
        };
        Piece { has_word: !pattern.is_empty(), pattern }
    }

    /// A name in braces.
    fn name(&mut self) -> Result<String, Mistake> {
        let column = self.column();
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        match self.peek() {
            Some('}') if !name.is_empty() => {
                self.at += 1;
                Ok(name)
            }
            Some(character) => Err((self.column(), unexpected(character))),
            None => Err((column, PatternError::NotClosed)),
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn column(&self) -> u32 {
        self.at as u32 + 1
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\'' | '’' | '-')
}

fn unexpected(character: char) -> PatternError {
    match character {
        ')' | ']' | '}' => PatternError::NotOpen,
        character => PatternError::Unexpected { character },
    }
}

fn join(pieces: Vec<Piece>) -> Piece {
    Piece {
        has_word: pieces.iter().any(|piece| piece.has_word),
        pattern: pieces.into_iter().map(|piece| piece.pattern).collect(),
    }
}
