//! Finding the rule that takes a call: first match wins, and all of a match must hold.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::hours::{Hours, Verdict};
use super::pattern::Pattern;
use super::{Dialplan, Route};

/// What is known of a call before it is answered.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The user of the Request-URI (or the number of a `tel:` one).
    pub to: &'a str,
    /// The user of the From (or P-Asserted-Identity) URI.
    pub from: &'a str,
    /// The trunk it came from.
    pub trunk: Option<&'a str>,
    /// The value of a header of the INVITE.
    pub headers: &'a dyn Fn(&str) -> Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Which calls a rule takes: those for which every condition holds. Without any it takes all.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// In the order in which they are looked at.
    pub conditions: Vec<Condition>,
}

impl Match {
    /// The one number that it is for, if it names one.
    pub fn exact_number(&self) -> Option<&str> {
        self.conditions.iter().find_map(|condition| match condition {
            Condition::To(pattern) => pattern.exact(),
            _ => None,
        })
    }
}

/// One thing that must hold.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Whom the call is for.
    To(Pattern),
    /// Who calls.
    From(Pattern),
    /// Which trunk it came by.
    Trunk(String),
    /// What a header says; a header that is not there does not hold.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Pattern,
    },
    /// What the clock says.
    Open {
        /// The name of the hours.
        name: String,
        /// The hours.
        hours: Arc<Hours>,
    },
}

/// A condition that was looked at.
#[derive(Debug)]
pub struct Finding<'a> {
    /// The condition.
    pub condition: &'a Condition,
    /// Whether it holds.
    pub holds: bool,
    /// What the call has in its place: its number, its trunk, the state of the hours.
    pub found: String,
}

impl Dialplan {
    /// The rule that takes the call; `None`: nobody does, and it gets 404.
    pub fn route(&self, query: &Query<'_>) -> Option<&Route> {
        self.routes.iter().find(|route| route.when.takes(query))
    }
}

impl Match {
    /// Whether all of it holds.
    pub fn takes(&self, query: &Query<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(query))
    }

    /// Every condition, and whether it holds.
    pub fn findings(&self, query: &Query<'_>) -> Vec<Finding<'_>> {
        let conditions = self.conditions.iter();
        conditions
            .map(|condition| Finding {
                condition,
                holds: condition.holds(query),
                found: condition.found(query),
            })
            .collect()
    }
}

impl Condition {
    fn holds(&self, query: &Query<'_>) -> bool {
        match self {
            Condition::To(pattern) => pattern.takes(query.to),
            Condition::From(pattern) => pattern.takes(query.from),
            Condition::Trunk(name) => query.trunk == Some(name),
            Condition::Header { name, value } => {
                (query.headers)(name).is_some_and(|found| value.takes(found.trim()))
            }
            Condition::Open { hours, .. } => hours.is_open(query.at),
        }
    }

    fn found(&self, query: &Query<'_>) -> String {
        match self {
            Condition::To(_) => query.to.to_owned(),
            Condition::From(_) => query.from.to_owned(),
            Condition::Trunk(_) => query.trunk.unwrap_or("none").to_owned(),
            Condition::Header { name, .. } => (query.headers)(name).unwrap_or("none".to_owned()),
            Condition::Open { hours, .. } => match hours.verdict(query.at) {
                Verdict::Open(opening) => format!("open, {opening}"),
                Verdict::ClosedOn(closure) => format!("closed, {closure}"),
                Verdict::Outside => "closed".to_owned(),
            },
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::To(pattern) => write!(f, "to = {pattern}"),
            Condition::From(pattern) => write!(f, "from = {pattern}"),
            Condition::Trunk(name) => write!(f, "trunk = {name}"),
            Condition::Header { name, value } => write!(f, "header.{name} = {value}"),
            Condition::Open { name, .. } => write!(f, "when = {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hours::{Opening, zone};
    use super::super::{Action, Dialplan};
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect(text)
    }

    fn dialplan() -> Dialplan {
        let office = Hours {
            zone: zone("Europe/Berlin").expect("known"),
            open: vec![Opening::parse("Mon-Fri 08:00-18:00").expect("right")],
            closed: vec![],
        };
        let open = Condition::Open { name: "office".into(), hours: Arc::new(office) };
        let header = |value| Condition::Header { name: "X-Tier".into(), value: pattern(value) };
        let route = |name: &str, conditions: Vec<Condition>| Route {
            name: name.into(),
            when: Match { conditions },
            action: Action::Reject(480),
        };
        let routes = vec![
            route("nuisance", vec![Condition::From(pattern("_0900."))]),
            route("gold", vec![Condition::To(pattern("_5XX")), header("gold")]),
            route(
                "day",
                vec![Condition::To(pattern("_5XX")), Condition::Trunk("pbx".into()), open],
            ),
            route("rest", vec![]),
        ];
        Dialplan { routes, ..Dialplan::default() }
    }

    #[test]
    fn the_first_rule_that_holds_altogether_takes_the_call() {
        let dialplan = dialplan();
        for (to, from, trunk, tier, at, taken) in [
            ("555", "030", Some("pbx"), None, "2026-11-20T12:00:00Z", "day"),
            ("555", "030", Some("pbx"), None, "2026-11-21T12:00:00Z", "rest"),
            ("555", "030", Some("other"), None, "2026-11-20T12:00:00Z", "rest"),
            ("555", "030", None, None, "2026-11-20T12:00:00Z", "rest"),
            ("555", "030", None, Some(" gold "), "2026-11-21T12:00:00Z", "gold"),
            ("555", "030", None, Some("golden"), "2026-11-21T12:00:00Z", "rest"),
            ("555", "09001", None, Some("gold"), "2026-11-21T12:00:00Z", "nuisance"),
            ("", "", None, None, "2026-11-21T12:00:00Z", "rest"),
        ] {
            let headers = |name: &str| tier.filter(|_| name == "X-Tier").map(str::to_owned);
            let query = Query { to, from, trunk, headers: &headers, at: at.parse().expect(at) };
            let route = dialplan.route(&query).expect("the last takes all");
            assert_eq!(route.name, taken, "{to} {from} {trunk:?} {tier:?} {at}");
        }
    }

    #[test]
    fn a_rule_says_what_it_found_instead() {
        let dialplan = dialplan();
        let at = "2026-11-21T12:00:00Z".parse().expect("Saturday");
        let query = Query { to: "555", from: "030", trunk: None, headers: &|_| None, at };
        let findings = dialplan.routes[2].when.findings(&query);
        let told: Vec<_> = findings
            .iter()
            .map(|finding| format!("{}: {} {}", finding.condition, finding.found, finding.holds))
            .collect();
        assert_eq!(
            told,
            ["to = _5XX: 555 true", "trunk = pbx: none false", "when = office: closed false"]
        );
    }

    #[test]
    fn a_dialplan_without_rules_takes_nothing() {
        let at = Timestamp::UNIX_EPOCH;
        let query = Query { to: "1", from: "2", trunk: None, headers: &|_| None, at };
        assert!(Dialplan::default().route(&query).is_none());
    }
}
