//! What an INVITE says about its call, and the plan that the dialplan has for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::call::machine::Who;
use crate::call::plan::{Lines, Plan, Target, TransferPlan};
use crate::dialplan::{self, Dialplan, Human, Identity, Method, Trunk};
use crate::ids::CallId;
use crate::sip::uri::Host;
use crate::sip::{Headers, NameAddr, Peer, Request, Transport, Uri};

/// How long we wait for a REFER's last NOTIFY where no trunk says otherwise.
const REFER_TIME: Duration = Duration::from_secs(30);

/// How long a next hop may say nothing where no trunk says otherwise. Timer B is longer than any
/// caller's patience.
const TRY_TIME: Duration = Duration::from_secs(4);

/// An INVITE, read.
#[derive(Clone, Debug)]
pub struct Invited {
    /// Whose call it is.
    pub who: Who,
    /// The caller, as the From of the human's leg has it; nobody, if the caller wants that.
    pub identity: NameAddr,
}

impl Invited {
    /// Reads an INVITE; `None` if it lacks what names a call. The caller is who P-Asserted-Identity
    /// says (RFC 3325), if a trunk of ours says so, and else who From says.
    pub fn read(request: &Request, trunk: Option<&Trunk>) -> Option<Self> {
        let call_id = CallId::new(request.headers.get("Call-ID")?)?;
        let believed = trunk.filter(|trunk| trunk.identity == Identity::PAssertedIdentity);
        let asserted = believed.and_then(|_| request.headers.get("P-Asserted-Identity"));
        let asserted = asserted.and_then(|value| value.parse::<NameAddr>().ok());
        let from = request.headers.get("From")?.parse::<NameAddr>().ok()?;
        let said = asserted.unwrap_or(from);
        let said = NameAddr { params: Default::default(), ..said };
        let caller = number(&said.uri)?;
        let caller_name = said.display_name.clone();
        let identity = if wants_privacy(&request.headers) { anonymous() } else { said };
        let called = number(&request.uri)?;
        let trunk = trunk.map(|trunk| trunk.name.clone());
        Some(Invited { who: Who { call_id, caller, caller_name, called, trunk }, identity })
    }
}

/// Whether the caller is not to be named to the other side: `id` (RFC 3325 §9.3), and what RFC 3323 §4.2 has
/// for those who hide their address altogether. Its list has semicolons, and commas from some.
fn wants_privacy(headers: &Headers) -> bool {
    let values = headers.tokens("Privacy").flat_map(|list| list.split(';'));
    let hides = ["id", "user", "header"];
    values.map(str::trim).any(|value| hides.iter().any(|hidden| value.eq_ignore_ascii_case(hidden)))
}

/// Nobody (RFC 3323 §4.1.1.3).
fn anonymous() -> NameAddr {
    let uri = Uri::sip("anonymous", Host::Name("anonymous.invalid".into()), None);
    NameAddr { display_name: Some("Anonymous".to_owned()), ..NameAddr::new(uri) }
}

/// The number or user of a URI; of one without a user (`sip:pbx.example.com`), the whole URI.
fn number(uri: &Uri) -> Option<String> {
    match uri.user() {
        Some(user) => Some(user.into_owned()),
        None => Some(uri.to_string()),
    }
}

/// The plan of a call that `agent` takes by the rule `route`; `None` if the dialplan has no such agent.
/// `hold` is what waiting callers hear where the dialplan names nothing.
pub fn plan(
    dialplan: &Dialplan,
    hold: &Arc<[i16]>,
    route: &str,
    agent: &str,
    caller: (Option<&Trunk>, Peer),
) -> Option<Plan> {
    let agent = dialplan.agents.get(agent)?;
    let transfers = dialplan.transfers.iter();
    let transfers: BTreeMap<String, Arc<TransferPlan>> = transfers
        .map(|(name, transfer)| {
            (name.clone(), Arc::new(transfer_plan(dialplan, transfer, hold, caller)))
        })
        .collect();
    Some(Plan {
        route: route.to_owned(),
        agent: agent.name.clone(),
        persona: agent.persona.clone(),
        language: agent.language.clone(),
        ring_time: agent.ring_time,
        greeting: agent.greeting.clone(),
        rules: agent.rules.clone(),
        transfer: transfers.get(&agent.transfer)?.clone(),
        transfers,
        lines: Lines {
            nobody_reached: agent.nobody_reached.clone(),
            not_understood: agent.not_understood.clone(),
            fallback: agent.fallback_line.clone(),
        },
        yes: agent.yes.clone(),
    })
}

fn transfer_plan(
    dialplan: &Dialplan,
    transfer: &dialplan::Transfer,
    hold: &Arc<[i16]>,
    caller: (Option<&Trunk>, Peer),
) -> TransferPlan {
    let (trunk, _) = caller;
    let refers = trunk.is_none_or(|trunk| trunk.refer_supported);
    let methods = transfer.methods.iter().copied();
    TransferPlan {
        name: transfer.name.clone(),
        methods: methods.filter(|method| refers || *method != Method::Refer).collect(),
        targets: transfer
            .targets
            .iter()
            .filter_map(|to| target(dialplan, transfer, to, caller))
            .collect(),
        ring_time: transfer.ring_time,
        refer_time: trunk.map_or(REFER_TIME, |trunk| trunk.refer_time),
        hold: transfer.music.as_ref().unwrap_or(hold).clone(),
        say: transfer.say.clone(),
        say_default: transfer.say_default.clone(),
    }
}

/// Somebody to reach, by the trunk that leads there: the human's own, or the one the caller came by.
/// A `tel:` URI leads to nobody without one (RFC 3966 names a number, not a place).
fn target(
    dialplan: &Dialplan,
    transfer: &dialplan::Transfer,
    to: &dialplan::Target,
    (came_by, source): (Option<&Trunk>, Peer),
) -> Option<Target> {
    let (name, uri, human) = match to {
        dialplan::Target::Human(human) => {
            let of: &Human = dialplan.humans.get(human)?;
            (format!("human:{human}"), of.uri.clone(), Some(of))
        }
        dialplan::Target::Uri(uri) => (uri.to_string(), uri.clone(), None),
    };
    let own =
        human.and_then(|human| human.trunk.as_deref()).and_then(|name| dialplan.trunks.get(name));
    let trunk = own.or(came_by);
    let mut peers = match (&uri, own) {
        (Uri::Tel(_), _) if trunk?.peers.is_empty() => vec![source.address],
        (Uri::Tel(_), _) => trunk?.peers.clone(),
        (_, Some(own)) => own.peers.clone(),
        _ => vec![],
    }
    .into_iter();
    let (next_hop, failover) = (peers.next(), peers.collect());
    let refer_to = match came_by.and_then(|trunk| trunk.refer_to.as_deref()) {
        Some(template) => template.replace("{number}", &uri.user()?).parse().ok()?,
        None => uri.clone(),
    };
    let transport =
        trunk.filter(|_| next_hop.is_some()).map_or(Transport::Udp, |trunk| trunk.transport);
    let try_time = trunk.map_or(TRY_TIME, |trunk| trunk.try_time);
    let headers = transfer.headers.clone();
    Some(Target { name, uri, refer_to, next_hop, failover, try_time, transport, headers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    /// What the human's phone shows of a caller, and who the caller is.
    fn shown(privacy: &[&str]) -> (String, String, Option<String>) {
        let uri = "sip:billing@192.0.2.1".parse().expect("a URI");
        let mut request = Request::new(Method::Invite, uri);
        request.headers.push("Call-ID", "a@b");
        request.headers.push("From", "\"Sue\" <sip:+4930555123@pbx.example.com>;tag=1");
        for value in privacy {
            request.headers.push("Privacy", *value);
        }
        let Invited { who, identity } = Invited::read(&request, None).expect("a call");
        (identity.to_string(), who.caller, who.caller_name)
    }

    #[test]
    fn a_caller_who_wants_privacy_is_named_in_the_briefing_alone() {
        let anonymous = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
        let named = "\"Sue\" <sip:+4930555123@pbx.example.com>";
        for (privacy, from) in [
            (&["id"][..], anonymous),
            (&["ID"], anonymous),
            (&["critical;id"], anonymous),
            (&["session; user"], anonymous),
            (&["header, critical"], anonymous),
            (&["critical", "id"], anonymous),
            (&["none"], named),
            (&["session;critical"], named),
            (&["idle"], named),
            (&[], named),
        ] {
            let (identity, caller, name) = shown(privacy);
            assert_eq!(identity, from, "{privacy:?}");
            assert_eq!((caller.as_str(), name.as_deref()), ("+4930555123", Some("Sue")));
        }
    }
}
