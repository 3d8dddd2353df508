//! What is wrong in a file, and where.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it is shown to people.
    pub file: Arc<str>,
    /// Counted from 1; 0 is the file as a whole.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
}

/// A value and the place where it is written.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// A file's text, under the name by which it is shown.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name.
    pub name: Arc<str>,
    /// What it says.
    pub text: Arc<str>,
}

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is served with it.
    Error,
    /// It works, though hardly as meant.
    Warning,
}

/// Something that should be otherwise. It prints as one line: `error: what: why (file:line:column)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: the path of a key.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
    /// Where.
    pub place: Place,
}

/// Collects mistakes while reading goes on.
#[derive(Debug, Default)]
pub struct Report {
    mistakes: RefCell<Vec<Mistake>>,
}

impl Place {
    /// A file as a whole.
    pub fn of(file: &str) -> Self {
        Place { file: file.into(), line: 0, column: 0 }
    }
}

impl<T> At<T> {
    /// Another value in the same place.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> At<U> {
        At { value: to(self.value), place: self.place }
    }
}

impl Source {
    /// A text under a name.
    pub fn new(name: &str, text: &str) -> Self {
        Source { name: name.into(), text: text.into() }
    }

    /// The place of a byte of the text.
    pub fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.name.clone(),
            line: 1 + before.matches('\n').count() as u32,
            column: 1 + before[line_start..].chars().count() as u32,
        }
    }
}

impl Report {
    /// Notes an error.
    pub fn error(&self, what: impl Into<String>, why: impl Into<String>, place: &Place) {
        self.note(Severity::Error, what.into(), why.into(), place);
    }

    /// Notes a warning.
    pub fn warning(&self, what: impl Into<String>, why: impl Into<String>, place: &Place) {
        self.note(Severity::Warning, what.into(), why.into(), place);
    }

    fn note(&self, severity: Severity, what: String, why: String, place: &Place) {
        self.mistakes.borrow_mut().push(Mistake { severity, what, why, place: place.clone() });
    }

    /// Whether there is an error among the mistakes.
    pub fn has_errors(&self) -> bool {
        self.mistakes.borrow().iter().any(|mistake| mistake.severity == Severity::Error)
    }

    /// All mistakes, in the order of files and lines.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by(|one, other| one.place.cmp(&other.place));
        mistakes.dedup();
        mistakes
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { severity, what, why, place } = self;
        write!(f, "{severity}: {what}: {why} ({place})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_lines_and_characters() {
        let source = Source::new("a.toml", "one\nzwölf = 12\n");
        for (offset, shown) in
            [(0, "a.toml:1:1"), (4, "a.toml:2:1"), (13, "a.toml:2:9"), (99, "a.toml:3:1")]
        {
            assert_eq!(source.place(offset).to_string(), shown, "byte {offset}");
        }
    }

    #[test]
    fn mistakes_come_in_the_order_of_the_file() {
        let source = Source::new("a.toml", "a\nb\n");
        let report = Report::default();
        report.warning("b", "is odd", &source.place(2));
        assert!(!report.has_errors());
        report.error("a", "is wrong", &source.place(0));
        assert!(report.has_errors());

        let lines: Vec<_> = report.into_mistakes().iter().map(Mistake::to_string).collect();
        assert_eq!(lines, ["error: a: is wrong (a.toml:1:1)", "warning: b: is odd (a.toml:2:1)"]);
    }
}
