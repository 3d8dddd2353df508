//! Compares what was said with what was heard.

use std::fmt;

/// Errors in many texts.
#[derive(Debug, Default)]
pub struct Errors {
    pub texts: usize,
    words: usize,
    errors: usize,
    wrong: Vec<String>,
}

impl Errors {
    pub fn add(&mut self, name: &str, said: &str, heard: &str) {
        let errors = count_errors(said, heard);
        self.texts += 1;
        self.words += words(said).len();
        self.errors += errors;
        if errors > 0 {
            self.wrong.push(format!("\n  {name}: {said:?} was heard as {heard:?}"));
        }
    }

    /// Wrong words for each word that was said.
    pub fn rate(&self) -> f64 {
        self.errors as f64 / self.words.max(1) as f64
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Errors { texts, words, errors, wrong } = self;
        let percent = self.rate() * 100.0;
        write!(f, "{texts} texts, {words} words, {errors} wrong, {percent:.1} %")?;
        wrong.iter().try_for_each(|line| f.write_str(line))
    }
}

/// Words to insert, leave out or replace.
pub fn count_errors(said: &str, heard: &str) -> usize {
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let replaced = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[heard.len()]
}

fn words(text: &str) -> Vec<String> {
    const DIGITS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    text.replace('-', " ")
        .split_whitespace()
        .map(|word| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>())
        .map(|word| match word.parse::<usize>().ok().and_then(|digit| DIGITS.get(digit)) {
            Some(digit) => (*digit).to_owned(),
            None => word.to_lowercase(),
        })
        .filter(|word| !word.is_empty())
        .collect()
}
