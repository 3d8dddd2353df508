//! Which rule takes a call, why, and what can happen after: the dialplan in plain words.

use std::fmt::Write as _;
use std::time::Duration;

use super::route::{Finding, Query};
use super::{Action, Agent, Dialplan, Human, Target, Transfer};
use crate::escalation::{Condition, Rule};

/// Explains what the dialplan does with a call. The answer says too whether anything takes it.
pub fn explain(dialplan: &Dialplan, query: &Query<'_>) -> (String, bool) {
    let mut text = String::new();
    for route in &dialplan.routes {
        let findings = route.when.findings(query);
        let failing = findings.iter().find(|finding| !finding.holds);
        let verdict = match failing {
            Some(finding) => format!("no, {}", found(finding)),
            None if findings.is_empty() => "takes every call".to_owned(),
            None => {
                let all: Vec<String> = findings.iter().map(found).collect();
                format!("takes the call: {}", all.join(", "))
            }
        };
        line(&mut text, 0, &format!("route {}: {verdict}", route.name));
        if failing.is_none() {
            action(&mut text, dialplan, &route.action);
            return (text, true);
        }
    }
    line(&mut text, 0, "no route takes the call: it is refused with 404");
    (text, false)
}

fn found(finding: &Finding<'_>) -> String {
    match finding.condition.to_string().split_once(" = ") {
        // The pattern is the number itself.
        Some((_, wanted)) if wanted == finding.found => finding.condition.to_string(),
        _ => format!("{} ({})", finding.condition, finding.found),
    }
}

fn action(text: &mut String, dialplan: &Dialplan, action: &Action) {
    match action {
        Action::Reject(status) => line(text, 1, &format!("it is refused with {status}")),
        Action::Agent(name) => {
            if let Some(agent) = dialplan.agents.get(name) {
                agent_answers(text, dialplan, agent);
            }
        }
    }
}

fn agent_answers(text: &mut String, dialplan: &Dialplan, agent: &Agent) {
    let when = match agent.ring_time {
        Duration::ZERO => "at once".to_owned(),
        time => format!("after {time:?}"),
    };
    line(text, 1, &format!("agent {} answers {when}: \"{}\"", agent.name, agent.greeting));
    for rule in agent.rules.iter() {
        let transfer = rule.transfer.as_ref().unwrap_or(&agent.transfer);
        line(
            text,
            1,
            &format!("{} -> {}, transfer {transfer}", condition(rule), rule.reason.name()),
        );
    }
    let of_rules = agent.rules.iter().filter_map(|rule| rule.transfer.as_ref());
    let mut names: Vec<&String> = Vec::new();
    for name in std::iter::once(&agent.transfer).chain(of_rules) {
        if !names.contains(&name) {
            names.push(name);
            if let Some(transfer) = dialplan.transfers.get(name) {
                transfer_tries(text, dialplan, transfer);
            }
        }
    }
    line(text, 1, &format!("nobody reached: \"{}\"", agent.nobody_reached));
}

fn condition(rule: &Rule) -> String {
    let when = match &rule.when {
        Condition::Phrases(_) => "the caller asks for a person".to_owned(),
        Condition::Topics(topics) => {
            let names: Vec<&str> = topics.names().collect();
            format!("the caller speaks of {}", names.join(", "))
        }
        Condition::Key(key) => format!("the caller presses {key}"),
    };
    format!("{}: {when}", rule.id)
}

fn transfer_tries(text: &mut String, dialplan: &Dialplan, transfer: &Transfer) {
    let methods: Vec<&str> = transfer.methods.iter().map(|method| method.as_str()).collect();
    let targets: Vec<String> =
        transfer.targets.iter().map(|target| target_named(dialplan, target)).collect();
    let (methods, targets) = (methods.join(", then "), targets.join(", then "));
    let ring = transfer.ring_time;
    line(text, 1, &format!("transfer {}: {methods} to {targets}, ringing {ring:?}", transfer.name));
    for (reason, say) in &transfer.say {
        line(text, 2, &format!("{}: \"{say}\"", reason.name()));
    }
    line(text, 2, &format!("default: \"{}\"", transfer.say_default));
}

fn target_named(dialplan: &Dialplan, target: &Target) -> String {
    match target {
        Target::Uri(uri) => uri.to_string(),
        Target::Human(name) => match dialplan.humans.get(name) {
            Some(Human { uri, .. }) => format!("human:{name} ({uri})"),
            None => format!("human:{name}"),
        },
    }
}

fn line(text: &mut String, depth: usize, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:depth$}{words}", "", depth = depth * 2);
}
