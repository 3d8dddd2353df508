//! What callers must hear, and must not.

use std::sync::LazyLock;

use regex::Regex;

use crate::dialplan::file::Draft;
use crate::dialplan::inherit;
use crate::dialplan::lines::AgentLines;
use crate::files::{At, Report};

/// A caller is told who can help, never that nobody here can.
static NEGATIVE: LazyLock<Regex> = LazyLock::new(|| {
    let refusal = r"(?i)\b(cannot|can not|can['’]?t|unable to|not able to)\s+(handle|deal with|help( you)? with)\b";
    Regex::new(refusal).expect("a regular expression")
});

/// Notes lines that are missing, empty, negative, or ask where nothing may be asked.
pub fn prove(draft: &Draft, report: &Report) {
    for (name, agent) in &draft.agents {
        let Some(agent) = &agent.value else { continue };
        let what = |key: &str| format!("agent.{name}.{key}");
        spoken(what("greeting"), &agent.greeting, report);
        for (key, line) in agent.lines.all() {
            spoken(what(&format!("say.{key}")), line, report);
        }
        if let Some(line) = &agent.lines.nobody_reached
            && !line.value.contains('?')
        {
            let why = "asks nothing, so callers do not hear that they can try again";
            report.warning(what("say.nobody_reached"), why, &line.place);
        }
        let own = agent.lines.all();
        let missing = AgentLines::built_in().all().into_iter().map(|(key, _)| key);
        let missing: Vec<&str> = missing
            .filter(|key| agent.says_ai || *key != "ai")
            .filter(|key| own.iter().all(|(own, _)| own != key))
            .collect();
        if !is_english(&agent.language.value) && !missing.is_empty() {
            let keys = missing.join(", ");
            let why = format!("the built-in lines are English: write {keys}");
            report.warning(what("say"), why, &agent.language.place);
        }
    }

    for (name, transfer) in &draft.transfers {
        let Some(transfer) = &transfer.value else { continue };
        for (key, line) in transfer.lines.all() {
            let what = format!("transfer.{name}.say.{key}");
            spoken(what.clone(), line, report);
            if line.value.contains('?') {
                let why = "asks a question, and a caller who is being handed over is asked nothing";
                report.error(what, why, &line.place);
            }
        }
    }
    foreign_transfers(draft, report);
}

/// A line can be spoken, and says what will be done.
fn spoken(what: String, line: &At<String>, report: &Report) {
    if line.value.trim().is_empty() {
        report.error(what, "is empty, and a caller must be told", &line.place);
    } else if let Some(found) = NEGATIVE.find(&line.value) {
        let why = format!("`{}`: say what will be done instead", found.as_str());
        report.error(what, why, &line.place);
    }
}

/// An agent with another language hands over in that language.
fn foreign_transfers(draft: &Draft, report: &Report) {
    for agent in draft.agents.values().filter_map(|agent| agent.value.as_ref()) {
        let Some(At { value: name, place }) = &agent.transfer else { continue };
        let transfer = draft.transfers.get(name).and_then(|transfer| transfer.value.as_ref());
        let whole = transfer.and_then(|found| inherit::resolve(found, &draft.transfers).ok());
        let built_in = whole.is_some_and(|whole| whole.lines.default.is_none());
        if built_in && !is_english(&agent.language.value) {
            let why = "the built-in lines are English: write default";
            report.warning(format!("transfer.{name}.say"), why, place);
        }
    }
}

fn is_english(language: &str) -> bool {
    language.split('-').next().is_some_and(|primary| primary.eq_ignore_ascii_case("en"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Place;

    #[test]
    fn a_line_says_what_will_be_done_and_not_what_cannot() {
        for (line, right) in [
            ("I cannot handle this.", false),
            ("Sorry, I can’t help you with that.", false),
            ("We are UNABLE TO deal with refunds.", false),
            ("  ", false),
            ("Let me connect you with a specialist who can help.", true),
            ("Nobody could take your call just now.", true),
        ] {
            let report = Report::default();
            let line = At { value: line.to_owned(), place: Place::of("a.toml") };
            spoken("say".into(), &line, &report);
            assert_eq!(!report.has_errors(), right, "{}", line.value);
        }
    }
}
