//! Whether humans can be reached by the ways that a dialplan names.

use std::collections::BTreeSet;

use crate::dialplan::file::{AgentDraft, Draft, RouteDraft, TransferDraft};
use crate::dialplan::route::Condition;
use crate::dialplan::{Action, Method, Target, Trunk, inherit};
use crate::files::{At, Place, Report};
use crate::sip::Uri;

/// Notes targets that cannot be reached, and routes whose trunk does not take the only method.
pub fn prove(draft: &Draft, report: &Report) {
    for (name, transfer) in &draft.transfers {
        let Some(transfer) = &transfer.value else { continue };
        for At { value: target, place } in transfer.targets.iter().flatten() {
            if let Some(why) = unreachable(draft, target) {
                report.error(format!("transfer.{name}.target"), why, place);
            }
        }
    }

    let mut told = BTreeSet::new();
    for At { value: route, .. } in &draft.routes {
        let Action::Agent(name) = &route.action.value else { continue };
        let Some(agent) = draft.agents.get(name).and_then(|agent| agent.value.as_ref()) else {
            continue;
        };
        for transfer in transfers_of(draft, agent) {
            let found = draft.transfers.get(transfer).and_then(|transfer| transfer.value.as_ref());
            let whole = found.and_then(|found| inherit::resolve(found, &draft.transfers).ok());
            for trunk in whole.iter().flat_map(|_| trunks_of(draft, route)) {
                methods(transfer, whole.as_ref(), trunk, &route.action.place, &mut told, report);
            }
        }
    }
}

/// Why a target is nobody we could dial.
fn unreachable(draft: &Draft, target: &Target) -> Option<String> {
    let (uri, own_trunk) = match target {
        Target::Uri(uri) => (uri, None),
        Target::Human(name) => {
            let human = &draft.humans.get(name)?.value.as_ref()?.human;
            (&human.uri, human.trunk.as_deref())
        }
    };
    let Uri::Tel(_) = uri else { return None };
    match own_trunk {
        Some(trunk) => {
            let trunk = draft.trunks.get(trunk)?.value.as_ref()?;
            let nowhere = trunk.peers.is_empty();
            nowhere.then(|| format!("{uri} leads nowhere: trunk `{}` has no `peers`", trunk.name))
        }
        // It goes by the trunk that the caller came by, whichever that is.
        None if draft.trunks.is_empty() => {
            Some(format!("{uri} leads nowhere: a number needs a trunk, and there is none"))
        }
        None => None,
    }
}

/// The names of the transfers that an agent may use: its own, and those of its rules.
fn transfers_of<'a>(draft: &'a Draft, agent: &'a AgentDraft) -> BTreeSet<&'a str> {
    let own = agent.transfer.iter();
    let triggers = agent.triggers.as_ref().and_then(|triggers| draft.triggers.get(&triggers.value));
    let rules = triggers.into_iter().flat_map(|triggers| triggers.value.iter().flatten());
    let of_rules = rules.filter_map(|rule| rule.value.transfer.as_ref());
    own.chain(of_rules).map(|name| name.value.as_str()).collect()
}

/// The trunks by which the calls of a route come.
fn trunks_of<'a>(draft: &'a Draft, route: &RouteDraft) -> Vec<&'a Trunk> {
    let named = route.conditions.iter().find_map(|condition| match condition {
        Condition::Trunk(name) => Some(name),
        _ => None,
    });
    let all = draft.trunks.values().filter_map(|trunk| trunk.value.as_ref());
    all.filter(|trunk| named.is_none_or(|named| *named == trunk.name)).collect()
}

/// A trunk that does not follow a REFER leaves the other methods.
fn methods(
    name: &str,
    transfer: Option<&TransferDraft>,
    trunk: &Trunk,
    route: &Place,
    told: &mut BTreeSet<(Place, String)>,
    report: &Report,
) {
    let methods = transfer.and_then(|transfer| transfer.methods.as_deref()).unwrap_or_default();
    let refer = methods.iter().find(|method| method.value == Method::Refer);
    let Some(refer) = refer.filter(|_| !trunk.refer_supported) else { return };
    // Once for those who inherit it, and whichever route they are reached by.
    if !told.insert((refer.place.clone(), trunk.name.clone())) {
        return;
    }
    let what = format!("transfer.{name}.method");
    let without = format!("callers of trunk `{}` cannot be referred", trunk.name);
    if methods.iter().all(|method| method.value == Method::Refer) {
        let why = format!("no human can be reached: {without}, by the route at {route}");
        report.error(what, why, &refer.place);
    } else {
        report.warning(what, format!("{without}: the next method is used at once"), &refer.place);
    }
}
