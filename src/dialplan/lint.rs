//! Proves that nothing in a dialplan leads nowhere: every route ends somewhere, every name is
//! somebody's, and every agent can bring a human in. What works, though hardly as meant, is a warning.

mod reach;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Draft, Named, RuleDraft, TransferDraft, twice};
use super::route::Condition;
use super::{Action, Target, inherit};
use crate::escalation;
use crate::files::nearest::nearest;
use crate::files::{At, Place, Report};

/// Notes everything that is wrong with a dialplan as a whole.
pub fn prove(draft: &Draft, report: &Report) {
    let mut lint = Lint { draft, report, used: Used::default() };
    lint.routes();
    lint.agents();
    lint.triggers();
    lint.transfers();
    lint.humans();
    lint.unused();
    reach::prove(draft, report);
    words::prove(draft, report);
}

struct Lint<'a> {
    draft: &'a Draft,
    report: &'a Report,
    used: Used<'a>,
}

/// The names that something leads to.
#[derive(Default)]
struct Used<'a> {
    hours: BTreeSet<&'a str>,
    agents: BTreeSet<&'a str>,
    triggers: BTreeSet<&'a str>,
    transfers: BTreeSet<&'a str>,
    humans: BTreeSet<&'a str>,
}

impl<'a> Lint<'a> {
    fn routes(&mut self) {
        let draft = self.draft;
        if draft.routes.is_empty() {
            let place = Place::of("dialplans");
            self.report.error("route", "there is none: every call would get 404", &place);
        }
        let mut names: BTreeMap<&str, &Place> = BTreeMap::new();
        let mut takes_all: Option<&str> = None;
        for At { value: route, place } in &draft.routes {
            let what = |key: &str| format!("route.{}.{key}", route.name);
            if let Some(first) = names.insert(&route.name, place) {
                let (what, why) = twice("route", &route.name, first);
                self.report.error(what, why, place);
            }
            if let Some(above) = takes_all {
                let why = format!("is never reached: `{above}` above takes every call");
                self.report.warning(format!("route.{}", route.name), why, place);
            }
            if let Action::Agent(name) = &route.action.value {
                self.find(&draft.agents, "agent", what("do"), name, &route.action.place);
                self.used.agents.insert(name);
            }
            for condition in &route.conditions {
                if let (Condition::Trunk(name), Some(place)) = (condition, &route.trunk) {
                    self.find(&draft.trunks, "trunk", what("match.trunk"), name, place);
                }
            }
            if let Some(At { value: name, place }) = &route.hours {
                self.find(&draft.hours, "hours", what("when"), name, place);
                self.used.hours.insert(name);
            }
            if route.conditions.is_empty() && route.hours.is_none() {
                takes_all = takes_all.or(Some(&route.name));
            }
        }
    }

    fn agents(&mut self) {
        let draft = self.draft;
        for (name, At { value: agent, place }) in &draft.agents {
            let Some(agent) = agent else { continue };
            let what = |key: &str| format!("agent.{name}.{key}");
            match &agent.transfer {
                Some(At { value: transfer, place }) => {
                    self.find(&draft.transfers, "transfer", what("transfer"), transfer, place);
                    self.used.transfers.insert(transfer);
                }
                None => {
                    let why = "is missing: an agent must have a way to a human";
                    self.report.error(what("transfer"), why, place);
                }
            }
            match &agent.triggers {
                Some(At { value: triggers, place }) => {
                    self.find(&draft.triggers, "triggers", what("triggers"), triggers, place);
                    self.used.triggers.insert(triggers);
                }
                None => {
                    let why = "is missing: nothing would bring a human in";
                    self.report.error(what("triggers"), why, place);
                }
            }
        }
    }

    fn triggers(&mut self) {
        let draft = self.draft;
        for (name, At { value: rules, place }) in &draft.triggers {
            let Some(rules) = rules else { continue };
            let what = format!("triggers.{name}");
            if rules.is_empty() {
                let why = "has no rule: nothing would bring a human in";
                self.report.error(what.clone(), why, place);
            } else if !rules.iter().any(|rule| hears_a_request(&rule.value)) {
                let why = "has no rule for callers who ask for a person";
                self.report.warning(what.clone(), why, place);
            }
            let mut ids: BTreeMap<&str, &Place> = BTreeMap::new();
            for At { value: rule, place } in rules {
                if let Some(first) = ids.insert(&rule.id, place) {
                    let (what, why) = twice(&what, &rule.id, first);
                    self.report.error(what, why, place);
                }
                if let Some(At { value: transfer, place }) = &rule.transfer {
                    let what = format!("{what}.{}.transfer", rule.id);
                    self.find(&draft.transfers, "transfer", what, transfer, place);
                    self.used.transfers.insert(transfer);
                }
            }
        }
    }

    fn transfers(&mut self) {
        let draft = self.draft;
        for (name, At { value: transfer, place }) in &draft.transfers {
            let Some(transfer) = transfer else { continue };
            let what = |key: &str| format!("transfer.{name}.{key}");
            if let Some(At { value: parent, place }) = &transfer.inherits {
                self.find(&draft.transfers, "transfer", what("inherits"), parent, place);
                self.used.transfers.insert(parent);
            }
            for At { value: target, place } in transfer.targets.iter().flatten() {
                if let Target::Human(human) = target {
                    self.find(&draft.humans, "human", what("target"), human, place);
                    self.used.humans.insert(human);
                }
            }
            match inherit::resolve(transfer, &draft.transfers) {
                Ok(whole) => self.whole_transfer(&what, &whole, place),
                Err(inherit::Broken::Circle) => {
                    self.report.error(what("inherits"), "leads back to itself", place);
                }
                // Told already, where the name is.
                Err(inherit::Broken::Unknown) => (),
            }
        }
    }

    fn whole_transfer(&self, what: &dyn Fn(&str) -> String, whole: &TransferDraft, place: &Place) {
        for (key, is_there) in
            [("target", whole.targets.is_some()), ("method", whole.methods.is_some())]
        {
            if !is_there {
                self.report.error(what(key), "is missing", place);
            }
        }
    }

    fn humans(&self) {
        for (name, human) in &self.draft.humans {
            let Some(human) = &human.value else { continue };
            if let (Some(trunk), Some(place)) = (&human.human.trunk, &human.trunk) {
                let what = format!("human.{name}.trunk");
                self.find(&self.draft.trunks, "trunk", what, trunk, place);
            }
        }
    }

    /// What nothing leads to was probably meant for something. Where there are errors, the name that
    /// would lead there may be among them.
    fn unused(&self) {
        if self.report.has_errors() {
            return;
        }
        let Lint { draft, used, .. } = self;
        self.unused_of("hours", &draft.hours, &used.hours);
        self.unused_of("agent", &draft.agents, &used.agents);
        self.unused_of("triggers", &draft.triggers, &used.triggers);
        self.unused_of("transfer", &draft.transfers, &used.transfers);
        self.unused_of("human", &draft.humans, &used.humans);
    }

    fn unused_of<T>(&self, kind: &str, all: &Named<T>, used: &BTreeSet<&str>) {
        for (name, At { place, .. }) in all {
            if !used.contains(name.as_str()) {
                self.report.warning(format!("{kind}.{name}"), "nothing uses it", place);
            }
        }
    }

    /// Notes a name that is nobody's.
    fn find<T>(&self, all: &Named<T>, kind: &str, what: String, name: &str, place: &Place) {
        if all.contains_key(name) {
            return;
        }
        let why = match nearest(name, all.keys()) {
            Some(near) => format!("there is no {kind} `{name}`, did you mean `{near}`?"),
            None => format!("there is no {kind} `{name}`"),
        };
        self.report.error(what, why, place);
    }
}

fn hears_a_request(rule: &RuleDraft) -> bool {
    matches!(rule.when, escalation::Condition::Phrases(_))
}
