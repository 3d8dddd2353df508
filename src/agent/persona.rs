//! A persona: who an agent is, what it knows, how it speaks. Markdown, written by those who run the shop.
//!
//! The text goes to the model as it is, without its HTML comments, which are for other authors.

use std::path::{Path, PathBuf};

/// The most bytes of a persona. The model reads it again at every turn, and a small model forgets the
/// beginning of a long one. With all that stands beside it in a prompt it must fit into the model's
/// context, which [`prompt`](super::prompt) reckons.
pub const PERSONA_BYTES_MAX: usize = 12 * 1024;

/// A persona, ready for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// The Markdown, without comments. Never empty.
    text: String,
}

/// What is wrong with a persona's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonaError {
    /// Longer than [`PERSONA_BYTES_MAX`].
    #[error("{}: a persona has at most {PERSONA_BYTES_MAX} bytes, this one has {bytes}", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// It says nothing.
    #[error("{}: the persona is empty", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A comment is not closed, so the rest of the file would be lost.
    #[error("{}:{line}: this comment is not closed", file.display())]
    OpenComment {
        /// The file.
        file: PathBuf,
        /// Where it begins, counted from 1.
        line: usize,
    },
    /// A control character, which shows that the file is not text.
    #[error("{}:{line}: a control character", file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// Where, counted from 1.
        line: usize,
    },
}

impl Persona {
    /// Reads the content of `file`, which is named in errors.
    pub fn parse(file: &Path, content: &str) -> Result<Self, PersonaError> {
        let named = || file.to_owned();
        if content.len() > PERSONA_BYTES_MAX {
            return Err(PersonaError::TooLong { file: named(), bytes: content.len() });
        }
        let content = content.trim_start_matches('\u{feff}');
        let is_text = |line: &str| !line.chars().any(|c| c.is_control() && c != '\t');
        if let Some(index) = content.lines().position(|line| !is_text(line)) {
            return Err(PersonaError::NotText { file: named(), line: index + 1 });
        }
        let text = without_comments(content)
            .map_err(|line| PersonaError::OpenComment { file: named(), line })?;
        if text.trim().is_empty() {
            return Err(PersonaError::Empty { file: named() });
        }
        Ok(Persona { text: text.trim().to_owned() })
    }

    /// The Markdown.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The text without `<!-- … -->`, or the line of a comment that does not end.
fn without_comments(content: &str) -> Result<String, usize> {
    let mut text = String::new();
    let mut rest = content;
    while let Some((before, comment)) = rest.split_once("<!--") {
        text.push_str(before);
        let Some((_, after)) = comment.split_once("-->") else {
            let before = &content[..content.len() - comment.len()];
            return Err(before.matches('\n').count() + 1);
        };
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content: &str) -> Result<Persona, String> {
        Persona::parse(Path::new("personas/a.md"), content).map_err(|error| error.to_string())
    }

    #[test]
    fn text_is_taken_as_it_is_without_comments() {
        let persona = parse("\u{feff}# You\n<!-- for\nauthors -->You are short.\n").expect("right");
        assert_eq!(persona.text(), "# You\nYou are short.");
    }

    #[test]
    fn mistakes_name_the_file_and_the_line() {
        assert_eq!(parse(" \n<!-- -->"), Err("personas/a.md: the persona is empty".into()));
        assert_eq!(parse("a\nb <!-- c"), Err("personas/a.md:2: this comment is not closed".into()));
        assert_eq!(parse("a\n\u{0}"), Err("personas/a.md:2: a control character".into()));
        let long = "x".repeat(PERSONA_BYTES_MAX + 1);
        assert!(
            parse(&long)
                .is_err_and(|error| error.ends_with("at most 12288 bytes, this one has 12289"))
        );
    }

    #[test]
    fn the_demo_persona_is_right() {
        let content = include_str!("../../dialplans/personas/demo.md");
        assert!(parse(content).is_ok());
    }
}
