//! Which call goes where, and what happens to it: the dialplan as immutable values.
//!
//! [`file`] reads the folder, [`lint`] proves that nothing in it leads nowhere, [`route`] finds the rule
//! that takes a call, and [`explain`](explain::explain) says why. A call keeps the dialplan it began with.

mod build;
pub mod explain;
pub mod file;
pub mod hours;
mod inherit;
pub mod lines;
pub mod lint;
pub mod pattern;
pub mod route;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::persona::Persona;
use crate::context::Reason;
use crate::escalation::Rule;
use crate::escalation::phrases::Phrases;
use crate::files::{Folder, Report};
use crate::sip::{Subnet, Transport, Uri};

/// Everything that the files of the dialplan folder say.
#[derive(Clone, Debug, Default)]
pub struct Dialplan {
    /// Whom we exchange calls with, by name.
    pub trunks: BTreeMap<String, Trunk>,
    /// In the order of priority.
    pub routes: Vec<Route>,
    /// The agents, by name.
    pub agents: BTreeMap<String, Arc<Agent>>,
    /// The rule sets, by name; order is precedence.
    pub triggers: BTreeMap<String, Arc<[Rule]>>,
    /// The ways to a human, by name, `inherits` resolved.
    pub transfers: BTreeMap<String, Arc<Transfer>>,
    /// The people, by name.
    pub humans: BTreeMap<String, Human>,
}

/// A peer that sends us calls and takes ours.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Whom we believe, and the order of failover.
    pub peers: Vec<SocketAddr>,
    /// How we speak with it.
    pub transport: Transport,
    /// Further sources that speak for it.
    pub networks: Vec<Subnet>,
    /// Without any answer for that long, the next peer is tried.
    pub try_time: Duration,
    /// Whether its side follows a REFER.
    pub refer_supported: bool,
    /// The URI that a Refer-To names, with `{number}` for the target's user; `None`: the target's own URI.
    pub refer_to: Option<String>,
    /// How long we wait for a REFER's last NOTIFY.
    pub refer_time: Duration,
    /// Which header we believe when it says who calls.
    pub identity: Identity,
}

/// Which header of a trunk's INVITE says who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// P-Asserted-Identity (RFC 3325), and From where there is none.
    PAssertedIdentity,
    /// From alone.
    From,
}

/// One rule: which calls, and what to do with them.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which calls; all of it must hold.
    pub when: route::Match,
    /// What to do.
    pub action: Action,
}

/// What is done with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This agent answers it.
    Agent(String),
    /// It is refused with this status, 400 to 699.
    Reject(u16),
}

/// An agent, and everything it says word for word.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Who it is.
    pub persona: Arc<Persona>,
    /// Its first words; they say that a machine speaks, unless the dialplan has it otherwise.
    pub greeting: String,
    /// A BCP 47 tag.
    pub language: String,
    /// How long the caller hears it ring before it answers.
    pub ring_time: Duration,
    /// When a human is needed.
    pub rules: Arc<[Rule]>,
    /// The transfer of rules that name none.
    pub transfer: String,
    /// Said when the model is late or gone.
    pub fallback_line: String,
    /// Said when a turn could not be recognised.
    pub not_understood: String,
    /// Said when no human was reached; offers to try again.
    pub nobody_reached: String,
    /// How a caller takes up that offer.
    pub yes: Arc<Phrases>,
}

/// A way to a human.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Its name.
    pub name: String,
    /// Whom, in the order they are tried.
    pub targets: Vec<Target>,
    /// How, in the order it is tried.
    pub methods: Vec<Method>,
    /// How long a phone rings before it counts as unanswered.
    pub ring_time: Duration,
    /// Which of our headers the human's side gets: `User-to-User`, `Call-Info`, `X-Tandem-Call-ID`.
    pub headers: Vec<String>,
    /// The transition line of each reason that has one of its own.
    pub say: BTreeMap<Reason, String>,
    /// The transition line of every other reason.
    pub say_default: String,
    /// Hold music: samples at 8 kHz; `None`: the built-in one.
    pub music: Option<Arc<[i16]>>,
}

/// Somebody to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A person of the dialplan.
    Human(String),
    /// A SIP or tel URI.
    Uri(Uri),
}

/// How a human is brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The caller's side is asked to call the human itself (RFC 3515).
    Refer,
    /// We call the human and join the two.
    Bridge,
}

/// A person.
#[derive(Clone, Debug)]
pub struct Human {
    /// The name that is spoken.
    pub name: String,
    /// Their phone.
    pub uri: Uri,
    /// The trunk that leads to a `tel:` URI of theirs; `None`: the trunk the caller came by.
    pub trunk: Option<String>,
}

/// Reads and proves a dialplan; `None` if anything in it is wrong, which the report tells.
pub fn load(folder: &Folder, report: &Report) -> Option<Dialplan> {
    let draft = file::read(folder, report)?;
    lint::prove(&draft, report);
    if report.has_errors() { None } else { build::build(&draft) }
}

impl Dialplan {
    /// The trunk that a packet from this address comes by: one of its peers, or else an address of one
    /// of its networks; of several networks the narrowest.
    pub fn trunk_of(&self, source: SocketAddr) -> Option<&Trunk> {
        // A socket that listens on `::` sees IPv4 addresses in their IPv6 clothes.
        let (ip, port) = (source.ip().to_canonical(), source.port());
        let trunks = || self.trunks.values();
        let speaks_from = |peer: &SocketAddr| peer.ip() == ip && peer.port() == port;
        // A peer's calls may leave from another port than the one it listens on (TCP, NAT).
        let is_at = |peer: &SocketAddr| peer.ip() == ip;
        let of_network = || {
            let all = trunks().flat_map(|trunk| trunk.networks.iter().map(move |net| (net, trunk)));
            let holding = all.filter(|(network, _)| network.contains(ip));
            holding.max_by_key(|(network, _)| network.prefix).map(|(_, trunk)| trunk)
        };
        trunks()
            .find(|trunk| trunk.peers.iter().any(speaks_from))
            .or_else(|| trunks().find(|trunk| trunk.peers.iter().any(is_at)))
            .or_else(of_network)
    }
}

impl Trunk {
    /// Whether nobody comes by it but programs on this machine.
    pub fn is_this_machine(&self) -> bool {
        let is_loopback = |network: &Subnet| {
            let prefix_min = if network.address.is_ipv4() { 8 } else { 128 };
            network.address.is_loopback() && network.prefix >= prefix_min
        };
        self.peers.iter().all(|peer| peer.ip().is_loopback())
            && self.networks.iter().all(is_loopback)
    }
}

impl Method {
    /// The word of the dialplan.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Refer => "refer",
            Method::Bridge => "bridge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str, prefix: u8) -> Subnet {
        Subnet { address: text.parse().expect(text), prefix }
    }

    fn trunk(name: &str, peers: &[&str], networks: Vec<Subnet>) -> Trunk {
        Trunk {
            name: name.to_owned(),
            peers: peers.iter().map(|peer| peer.parse().expect(peer)).collect(),
            transport: Transport::Udp,
            networks,
            try_time: Duration::from_secs(4),
            refer_supported: true,
            refer_to: None,
            refer_time: Duration::from_secs(30),
            identity: Identity::PAssertedIdentity,
        }
    }

    #[test]
    fn trunk_is_this_machine_if_all_of_it_is_loopback() {
        for (peers, networks, expected) in [
            (&[][..], vec![network("127.0.0.0", 8), network("::1", 128)], true),
            (&["127.0.0.1:5080"], vec![], true),
            (&["127.0.0.1:5080"], vec![network("10.0.0.0", 8)], false),
            (&["10.0.0.1:5060"], vec![network("127.0.0.0", 8)], false),
            (&[], vec![network("127.0.0.0", 7)], false),
            (&[], vec![network("::1", 64)], false),
        ] {
            let trunk = trunk("a", peers, networks);
            assert_eq!(trunk.is_this_machine(), expected, "{trunk:?}");
        }
    }

    #[test]
    fn trunk_is_known_by_its_peer_and_else_by_the_narrowest_network() {
        let trunks = [
            trunk("a", &["10.0.0.10:5060"], vec![network("10.0.0.0", 8)]),
            trunk("b", &["10.0.0.10:5080", "10.0.0.11:5060"], vec![network("10.0.1.0", 24)]),
            trunk("c", &[], vec![network("2001:db8::", 32)]),
        ];
        let trunks = trunks.into_iter().map(|trunk| (trunk.name.clone(), trunk)).collect();
        let dialplan = Dialplan { trunks, ..Dialplan::default() };
        for (source, name) in [
            ("10.0.0.10:5060", Some("a")),
            ("10.0.0.10:5080", Some("b")),
            ("10.0.0.10:40000", Some("a")),
            ("10.0.0.11:40000", Some("b")),
            ("10.0.1.1:5060", Some("b")),
            ("10.0.2.1:5060", Some("a")),
            ("[::ffff:10.0.1.1]:5060", Some("b")),
            ("[2001:db8::5]:5060", Some("c")),
            ("192.0.2.1:5060", None),
        ] {
            let found = dialplan.trunk_of(source.parse().expect(source));
            assert_eq!(found.map(|trunk| trunk.name.as_str()), name, "{source}");
        }
    }
}
