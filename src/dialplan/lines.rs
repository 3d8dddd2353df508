//! What callers hear word for word: lines of the dialplan, and behind them those of `lines.toml`.
//! Nothing that a caller hears is in the code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::context::Reason;
use crate::files::{At, Report, Source, Table};

use super::file::reason;

/// The lines that the program brings along.
static BUILT_IN: LazyLock<(AgentLines, TransferLines)> = LazyLock::new(|| {
    let source = Source::new("built-in lines.toml", include_str!("lines.toml"));
    let report = Report::default();
    let mut root = Table::parse(&source, &report).expect("the built-in lines are TOML");
    let agent = root.table("agent").map(AgentLines::read);
    let transfer = root.table("transfer").map(TransferLines::read);
    agent.zip(transfer).expect("the built-in lines have both tables")
});

/// Lines of an agent.
#[derive(Clone, Debug, Default)]
pub struct AgentLines {
    /// Tells that a machine speaks.
    pub ai: Option<At<String>>,
    /// The model is late or gone.
    pub fallback: Option<At<String>>,
    /// No words could be made out.
    pub not_understood: Option<At<String>>,
    /// No human could be reached.
    pub nobody_reached: Option<At<String>>,
}

/// Lines before a transfer.
#[derive(Clone, Debug, Default)]
pub struct TransferLines {
    /// By reason.
    pub by_reason: BTreeMap<Reason, At<String>>,
    /// For every other reason.
    pub default: Option<At<String>>,
}

impl AgentLines {
    /// The lines that the program brings along. All are there.
    pub fn built_in() -> &'static AgentLines {
        &BUILT_IN.0
    }

    /// Reads `[agent.NAME.say]`.
    pub fn read(mut table: Table<'_>) -> Self {
        let lines = AgentLines {
            ai: table.text("ai"),
            fallback: table.text("fallback"),
            not_understood: table.text("not_understood"),
            nobody_reached: table.text("nobody_reached"),
        };
        table.finish();
        lines
    }

    /// These lines, and where one is missing, that of `others`.
    pub fn or(&self, others: &AgentLines) -> AgentLines {
        let either =
            |one: &Option<At<String>>, other: &Option<At<String>>| one.clone().or(other.clone());
        AgentLines {
            ai: either(&self.ai, &others.ai),
            fallback: either(&self.fallback, &others.fallback),
            not_understood: either(&self.not_understood, &others.not_understood),
            nobody_reached: either(&self.nobody_reached, &others.nobody_reached),
        }
    }

    /// All that are there, with their keys.
    pub fn all(&self) -> Vec<(&'static str, &At<String>)> {
        let all = [
            ("ai", &self.ai),
            ("fallback", &self.fallback),
            ("not_understood", &self.not_understood),
            ("nobody_reached", &self.nobody_reached),
        ];
        all.into_iter().filter_map(|(key, line)| Some((key, line.as_ref()?))).collect()
    }
}

impl TransferLines {
    /// The lines that the program brings along. The default is there.
    pub fn built_in() -> &'static TransferLines {
        &BUILT_IN.1
    }

    /// Reads `[transfer.NAME.say]`: `default`, and any reason.
    pub fn read(mut table: Table<'_>) -> Self {
        let mut lines = TransferLines { default: table.text("default"), ..Self::default() };
        for (key, line) in table.texts() {
            match reason(&key.value) {
                Ok(reason) => {
                    lines.by_reason.insert(reason, line);
                }
                Err(why) => table.error(&key.value, why, &key.place),
            }
        }
        lines
    }

    /// These lines, and where one is missing, that of the transfer that they are inherited from.
    pub fn or(&self, inherited: &TransferLines) -> TransferLines {
        let mut by_reason = inherited.by_reason.clone();
        by_reason.extend(self.by_reason.clone());
        TransferLines { by_reason, default: self.default.clone().or(inherited.default.clone()) }
    }

    /// These lines, and behind them the built-in ones. A dialplan with a default of its own has a line
    /// for every reason, so that its callers hear nothing in another voice or language.
    pub fn or_built_in(&self) -> TransferLines {
        if self.default.is_some() { self.clone() } else { self.or(Self::built_in()) }
    }

    /// All that are there, with their keys.
    pub fn all(&self) -> Vec<(&'static str, &At<String>)> {
        let by_reason = self.by_reason.iter().map(|(reason, line)| (reason.name(), line));
        by_reason.chain(self.default.iter().map(|line| ("default", line))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_lines_are_complete() {
        assert_eq!(AgentLines::built_in().all().len(), 4);
        assert!(TransferLines::built_in().default.is_some());
    }

    /// X7 of the requirements, word for word.
    #[test]
    fn caller_who_asks_for_a_person_hears_that_they_are_connected() {
        let lines = TransferLines::built_in();
        let line = |reason| lines.by_reason.get(&reason).map(|line| line.value.as_str());
        let asked = line(Reason::CustomerRequest).expect("a line of its own");
        let words =
            "Of course, I'll connect you with a team member right away. Let me transfer you now.";
        assert!(asked.starts_with(words), "{asked}");
        assert_eq!(
            lines.default.as_ref().map(|line| line.value.as_str()),
            Some(
                "I want to make sure you get the best help possible. \
                 Let me connect you with a specialist who can assist further."
            )
        );
        let specialist = line(Reason::ComplexIssue).expect("a line of its own");
        assert!(specialist.starts_with("Let me connect you with a specialist who can help."));
    }

    #[test]
    fn a_default_of_the_dialplan_silences_the_built_in_lines() {
        let default = TransferLines::built_in().default.clone();
        let own = TransferLines { default, ..TransferLines::default() };
        assert!(own.or_built_in().by_reason.is_empty());
        assert!(!TransferLines::default().or_built_in().by_reason.is_empty());
    }
}
