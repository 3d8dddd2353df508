//! Makes the values out of a draft in which every name is somebody's.

use std::sync::Arc;
use std::time::Duration;

use super::file::{AgentDraft, Draft, Named, RouteDraft, TransferDraft};
use super::lines::AgentLines;
use super::route::{Condition, Match};
use super::{Agent, Dialplan, Route, Transfer, inherit};
use crate::escalation::Rule;
use crate::files::At;

/// How long a human's phone rings where the dialplan says nothing.
const RING_TIME: Duration = Duration::from_secs(20);
/// The header fields that the human's side gets where the dialplan says nothing: what joins the legs,
/// and nothing about the caller or our addresses.
const HEADERS: [&str; 2] = ["X-Tandem-Call-ID", "User-to-User"];

/// The values; `None` if something is missing, which [`lint`](super::lint) has told.
pub fn build(draft: &Draft) -> Option<Dialplan> {
    let mut dialplan = Dialplan::default();
    for (name, trunk) in &draft.trunks {
        dialplan.trunks.insert(name.clone(), trunk.value.clone()?);
    }
    for (name, human) in &draft.humans {
        dialplan.humans.insert(name.clone(), human.value.as_ref()?.human.clone());
    }
    for (name, rules) in &draft.triggers {
        let rules = rules.value.iter().flatten().map(|rule| Rule {
            id: rule.value.id.clone(),
            when: rule.value.when.clone(),
            reason: rule.value.reason,
            transfer: rule.value.transfer.as_ref().map(|name| name.value.clone()),
        });
        dialplan.triggers.insert(name.clone(), rules.collect());
    }
    for (name, transfer) in &draft.transfers {
        let transfer = transfer_of(name, transfer.value.as_ref()?, &draft.transfers)?;
        dialplan.transfers.insert(name.clone(), Arc::new(transfer));
    }
    for (name, agent) in &draft.agents {
        let agent = agent_of(name, agent.value.as_ref()?, &dialplan)?;
        dialplan.agents.insert(name.clone(), Arc::new(agent));
    }
    for route in &draft.routes {
        dialplan.routes.push(route_of(&route.value, draft)?);
    }
    Some(dialplan)
}

fn route_of(route: &RouteDraft, draft: &Draft) -> Option<Route> {
    let mut conditions = route.conditions.clone();
    if let Some(At { value: name, .. }) = &route.hours {
        let hours = draft.hours.get(name)?.value.clone()?;
        conditions.push(Condition::Open { name: name.clone(), hours });
    }
    let (name, action) = (route.name.clone(), route.action.value.clone());
    Some(Route { name, when: Match { conditions }, action })
}

fn agent_of(name: &str, agent: &AgentDraft, dialplan: &Dialplan) -> Option<Agent> {
    let lines = agent.lines.or(AgentLines::built_in());
    let line = |line: &Option<At<String>>| line.as_ref().map(|line| line.value.clone());
    let greeting = match line(&lines.ai).filter(|_| agent.says_ai) {
        Some(ai) => with_notice(&agent.greeting.value, &ai),
        None => agent.greeting.value.clone(),
    };
    Some(Agent {
        name: name.to_owned(),
        persona: agent.persona.clone(),
        greeting,
        language: agent.language.value.clone(),
        ring_time: agent.ring_time,
        rules: dialplan.triggers.get(&agent.triggers.as_ref()?.value)?.clone(),
        transfer: agent.transfer.as_ref()?.value.clone(),
        fallback_line: line(&lines.fallback)?,
        not_understood: line(&lines.not_understood)?,
        nobody_reached: line(&lines.nobody_reached)?,
        yes: agent.yes.clone(),
    })
}

/// A greeting with the notice that a machine speaks. It comes before a closing question, because
/// callers answer what they heard last.
fn with_notice(greeting: &str, notice: &str) -> String {
    let greeting = greeting.trim();
    if !greeting.ends_with('?') {
        return format!("{greeting} {notice}");
    }
    let mut ends = greeting.match_indices([' ']).map(|(index, _)| index);
    let question = ends.rfind(|index| greeting[..*index].ends_with(['.', '!', '?', ':']));
    match question {
        Some(index) => format!("{} {notice}{}", &greeting[..index], &greeting[index..]),
        None => format!("{notice} {greeting}"),
    }
}

fn transfer_of(
    name: &str,
    transfer: &TransferDraft,
    all: &Named<TransferDraft>,
) -> Option<Transfer> {
    let whole = inherit::resolve(transfer, all).ok()?;
    let lines = whole.lines.or_built_in();
    let say = lines.by_reason.into_iter().map(|(reason, line)| (reason, line.value));
    Some(Transfer {
        name: name.to_owned(),
        targets: whole.targets?.into_iter().map(|target| target.value).collect(),
        methods: whole.methods?.into_iter().map(|method| method.value).collect(),
        ring_time: whole.ring_time.unwrap_or(RING_TIME),
        headers: whole.headers.unwrap_or_else(|| HEADERS.map(str::to_owned).to_vec()),
        say: say.collect(),
        say_default: lines.default?.value,
        music: whole.music,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_comes_before_the_closing_question() {
        for (greeting, heard) in [
            (
                "Billing, good morning. How can I help?",
                "Billing, good morning. AI. How can I help?",
            ),
            ("Good morning.", "Good morning. AI."),
            ("How can I help?", "AI. How can I help?"),
            ("Hi! Is it you? Who is it?", "Hi! Is it you? AI. Who is it?"),
        ] {
            assert_eq!(with_notice(greeting, "AI."), heard);
        }
    }
}
