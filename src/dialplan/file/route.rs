//! `[[route]]`.

use crate::dialplan::Action;
use crate::dialplan::pattern::Pattern;
use crate::dialplan::route::Condition;
use crate::files::{At, Place, Table};

/// A rule whose names have not been looked up.
#[derive(Debug)]
pub struct RouteDraft {
    /// Its name.
    pub name: String,
    /// What must hold, without the hours.
    pub conditions: Vec<Condition>,
    /// Where the trunk among the conditions is named.
    pub trunk: Option<Place>,
    /// The hours in which it holds.
    pub hours: Option<At<String>>,
    /// What to do.
    pub action: At<Action>,
}

/// Reads a rule; its place is that of its name.
pub fn read(mut table: Table<'_>) -> Option<At<RouteDraft>> {
    table.require(&["name", "match", "do"]);
    let name = table.text("name");
    let conditions = table.table("match").map(|conditions| read_match(conditions));
    let hours = table.text("when");
    let actions = table.list("do", action);
    let action = actions.and_then(|actions| the_one(actions, &table));
    table.finish();

    let (conditions, trunk) = conditions?;
    let At { value: name, place } = name?;
    Some(At { value: RouteDraft { name, conditions, trunk, hours, action: action? }, place })
}

/// The conditions, in the order in which they are looked at, and the place of the trunk's name.
fn read_match(mut table: Table<'_>) -> (Vec<Condition>, Option<Place>) {
    let is_empty = table.is_empty();
    let any = table.flag("any");
    let trunk = table.text("trunk");
    let to = table.parsed("to", Pattern::parse);
    let from = table.parsed("from", Pattern::parse);
    let headers = table.table("header").map(|mut headers| headers.texts()).unwrap_or_default();

    let place = trunk.as_ref().map(|trunk| trunk.place.clone());
    let mut conditions = Vec::new();
    conditions.extend(to.map(|to| Condition::To(to.value)));
    conditions.extend(from.map(|from| Condition::From(from.value)));
    conditions.extend(trunk.map(|trunk| Condition::Trunk(trunk.value)));
    for (name, value) in headers {
        match Pattern::parse(&value.value) {
            Ok(pattern) => conditions.push(Condition::Header { name: name.value, value: pattern }),
            Err(why) => {
                table.error(&format!("header.{}", name.value), why.to_string(), &value.place);
            }
        }
    }

    let any_true = any.as_ref().is_some_and(|any| any.value);
    if let Some(any) = any.as_ref().filter(|any| !any.value) {
        table.error("any", "is only ever true", &any.place);
    } else if any_true && !conditions.is_empty() {
        let why = "takes every call, so nothing may stand beside it";
        table.error("any", why, &table.place);
    } else if is_empty {
        let why = "is empty: a rule for every call says `any = true`";
        table.error("", why, &table.place);
    }
    table.finish();
    (conditions, place)
}

fn action(text: &str) -> Result<Action, String> {
    let wrong = || format!("`{text}` must be agent:NAME or reject:STATUS");
    match text.split_once(':').ok_or_else(wrong)? {
        ("agent", name) if !name.is_empty() => Ok(Action::Agent(name.to_owned())),
        ("reject", status) => match status.parse() {
            Ok(status @ 400..=699) => Ok(Action::Reject(status)),
            _ => Err(format!("`{status}` must be a status from 400 to 699")),
        },
        _ => Err(wrong()),
    }
}

/// A call is taken by an agent or refused, and either is the end of the rule.
fn the_one(actions: Vec<At<Action>>, table: &Table<'_>) -> Option<At<Action>> {
    let mut actions = actions.into_iter();
    let first = actions.next();
    if let Some(second) = actions.next() {
        let why = "comes after an action that ends the rule";
        table.error("do", why, &second.place);
    }
    first
}
