//! What `/metrics` says, read back (the Prometheus text format).

use std::fmt;

/// One reading of all figures.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Reads the text. Comments are not for us.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let (name, labels) = key.split_once('{').unwrap_or((key, ""));
            let labels = labels.trim_end_matches('}').to_owned();
            Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
        });
        Metrics { samples: samples.collect() }
    }

    /// The sum of a figure over its labels; `None` if nobody has counted it yet.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.of(name, "")
    }

    /// The same, of those that have this label (`direction="sent"`).
    pub fn of(&self, name: &str, label: &str) -> Option<f64> {
        let is_it = |sample: &&Sample| sample.name == name && sample.labels.contains(label);
        self.samples
            .iter()
            .filter(is_it)
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Sample { name, labels, value } in &self.samples {
            writeln!(f, "{name}{{{labels}}} {value}")?;
        }
        Ok(())
    }
}
