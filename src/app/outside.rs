//! What the program is from outside: what to dial, under which address others find the desk, and whether
//! calls may come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::driver::Links;
use crate::config::Config;
use crate::dialplan::route::Condition;
use crate::dialplan::{Action, Dialplan, Route, Trunk};
use crate::ids::CallId;
use crate::net::{Network, Signaling, advertised_ip, http};
use crate::sip::Transport;

/// An address on which calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// How.
    pub transport: Transport,
    /// What the configuration says: perhaps every address of this machine.
    pub listen: SocketAddr,
    /// What peers know it by.
    pub known_as: SocketAddr,
}

/// What to dial. `folder` is where the dialplan is.
pub fn greeting(reached: &[Reached], dialplan: &Dialplan, folder: &str) -> String {
    let number = example(dialplan);
    let near = example_route(dialplan).and_then(|route| near_trunk(dialplan, route));
    let mut text = String::from("Tandem takes calls.\n");
    for reached in reached {
        let address = if near.is_some() { reached.nearby() } else { reached.known_as };
        let parameter = if reached.transport == Transport::Tcp { ";transport=tcp" } else { "" };
        text += &format!("  dial   sip:{number}@{address}{parameter}\n");
    }
    let listens_to_others = reached.iter().any(|reached| !reached.known_as.ip().is_loopback());
    if let Some(Trunk { name, .. }) = near.filter(|_| listens_to_others) {
        text += &format!(
            "         from this machine only: [trunk.{name}] networks lets others in ({folder})\n"
        );
    }
    text
}

/// What stands before the paths of the desk, which listens at `bound`.
pub fn origin(config: &Config, bound: SocketAddr, network: &dyn Network) -> String {
    if let Some(url) = &config.desk.url {
        return url.clone();
    }
    let external = config.sip.external_ip.filter(|ip| ip.is_ipv4() == bound.is_ipv4());
    let ip = match external.filter(|_| bound.ip().is_unspecified()) {
        Some(external) => external,
        None => advertised_ip(network, bound.ip()),
    };
    format!("http://{}", SocketAddr::new(ip, bound.port()))
}

/// The address of a call's context at the desk. None, if the desk is only for this machine and calls are
/// not: a link that nobody can follow tells strangers about us and helps nobody.
pub fn links(config: &Config, origin: String) -> Links {
    let leads_there = !http::is_loopback(&origin) || config.sip.is_this_machine();
    Arc::new(move |call_id: &CallId| {
        let name = utf8_percent_encode(call_id.as_str(), NON_ALPHANUMERIC);
        leads_there.then(|| format!("{origin}/v1/calls/{name}"))
    })
}

/// Why no new call should come here, for those who balance load.
pub fn not_ready(
    draining: &Arc<AtomicBool>,
    signaling: &Signaling,
) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
    let (draining, signaling) = (draining.clone(), signaling.clone());
    Arc::new(move || {
        let reasons = [
            (draining.load(Ordering::Relaxed), "draining"),
            (!signaling.is_running(), "the signalling has ended"),
        ];
        let reasons = reasons.into_iter().filter(|(holds, _)| *holds);
        reasons.map(|(_, reason)| reason.to_owned()).collect()
    })
}

/// Somebody who can be called.
pub fn example(dialplan: &Dialplan) -> &str {
    example_route(dialplan).and_then(|route| route.when.exact_number()).unwrap_or("anybody")
}

/// A route that leads to an agent; one that names a number, if there is one.
fn example_route(dialplan: &Dialplan) -> Option<&Route> {
    let answered = |route: &&Route| matches!(route.action, Action::Agent(_));
    let answered = || dialplan.routes.iter().filter(answered);
    answered().find(|route| route.when.exact_number().is_some()).or_else(|| answered().next())
}

/// The trunk that a route asks for, if only this machine can come by it.
fn near_trunk<'a>(dialplan: &'a Dialplan, route: &Route) -> Option<&'a Trunk> {
    let trunk = route.when.conditions.iter().find_map(|condition| match condition {
        Condition::Trunk(name) => dialplan.trunks.get(name),
        _ => None,
    });
    trunk.filter(|trunk| trunk.is_this_machine())
}

impl Reached {
    /// Where a phone on this machine calls from loopback. A call to our outer address comes from there.
    fn nearby(&self) -> SocketAddr {
        let loopback: IpAddr = match self.listen.ip() {
            ip if !ip.is_unspecified() => return self.known_as,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        SocketAddr::new(loopback, self.known_as.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::signaling::Listen;
    use crate::net::udp::Udp;

    /// Where a call's page is, for the human's phone.
    fn link(sip: &str, desk: &str, url: Option<&str>) -> Option<String> {
        let mut config = Config::default();
        config.sip.listen = vec![(Transport::Udp, sip.parse().expect("an address"))];
        config.sip.external_ip = Some([192, 0, 2, 7].into());
        config.desk.url = url.map(str::to_owned);
        let origin = origin(&config, desk.parse().expect("an address"), &Udp);
        links(&config, origin)(&CallId::new("a@b").expect("a Call-ID"))
    }

    #[test]
    fn a_link_leads_others_to_the_desk_or_is_none() {
        let url = Some("https://desk.example.com/tandem");
        for (sip, desk, url, expected) in [
            ("0.0.0.0:5060", "10.0.0.5:8080", None, Some("http://10.0.0.5:8080")),
            ("0.0.0.0:5060", "0.0.0.0:8080", None, Some("http://192.0.2.7:8080")),
            ("0.0.0.0:5060", "127.0.0.1:8080", None, None),
            ("0.0.0.0:5060", "127.0.0.1:8080", url, url),
            ("0.0.0.0:5060", "127.0.0.1:8080", Some("http://localhost:8080"), None),
            ("127.0.0.1:5060", "127.0.0.1:8080", None, Some("http://127.0.0.1:8080")),
        ] {
            let expected = expected.map(|origin| format!("{origin}/v1/calls/a%40b"));
            assert_eq!(link(sip, desk, url), expected, "{sip} {desk} {url:?}");
        }
    }

    #[test]
    fn readiness_ends_with_the_signalling() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listen = Listen {
            addresses: vec![(Transport::Udp, ([127, 0, 0, 1], 0).into())],
            external_ip: None,
            user_agent: "test".into(),
            calls_max: 1,
            trusted: vec![],
            takes_refer: false,
            seed: 1,
        };
        let (signaling, _events) =
            runtime.block_on(async { Signaling::spawn(&Udp, listen) }).expect("loopback is there");
        let draining = Arc::new(AtomicBool::new(false));
        let not_ready = not_ready(&draining, &signaling);
        assert_eq!(not_ready(), [""; 0]);

        draining.store(true, Ordering::Relaxed);
        // The task ends with its runtime, as with a panic of its own.
        drop(runtime);
        assert_eq!(not_ready(), ["draining", "the signalling has ended"]);
    }
}
