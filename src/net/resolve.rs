//! Where a URI leads: the address of the next hop.
//!
//! An address in the URI is taken as it is; a name is looked up as a host, IPv4 first. The ports are those of
//! RFC 3261 §19.1.2.

use std::net::SocketAddr;
use std::time::Duration;

use crate::sip::uri::Host;
use crate::sip::{Peer, Transport, Uri};

/// A name server that needs longer is as good as none: the caller is waiting.
const LOOKUP_TIME: Duration = Duration::from_secs(3);

/// The next hop of a SIP URI, by `transport` unless the URI names another; `None` if it has none we
/// could reach: another scheme, an unknown transport, a name that does not resolve in time.
pub async fn resolve(uri: &Uri, transport: Transport) -> Option<Peer> {
    let Uri::Sip(uri) = uri else { return None };
    let transport = match uri.param("transport").as_deref() {
        None => transport,
        Some(name) if name.eq_ignore_ascii_case("udp") => Transport::Udp,
        Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        Some(_) => return None,
    };
    // A sips URI must not travel in the clear (RFC 3261 §26.2.2).
    if uri.is_secure() {
        return None;
    }
    let port = uri.port().unwrap_or(5060);
    let address = match uri.host() {
        Host::Ip(ip) => SocketAddr::new(*ip, port),
        Host::Name(name) => lookup(name, port).await?,
    };
    Some(Peer { transport, address })
}

async fn lookup(name: &str, port: u16) -> Option<SocketAddr> {
    let found = tokio::time::timeout(LOOKUP_TIME, tokio::net::lookup_host((name, port))).await;
    prefer_ipv4(found.ok()?.ok()?)
}

/// The first IPv4 address, and only without one the first at all. A host with both is usually reached by
/// IPv6 first, but we may have no socket for it: `0.0.0.0` is what we listen on unless told otherwise.
fn prefer_ipv4(found: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    let found: Vec<SocketAddr> = found.collect();
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_both_families_the_older_is_taken() {
        for (found, taken) in [
            (&["[2001:db8::1]:5060", "192.0.2.1:5060", "192.0.2.2:5060"][..], "192.0.2.1:5060"),
            (&["192.0.2.1:5060", "[2001:db8::1]:5060"], "192.0.2.1:5060"),
            (&["[2001:db8::1]:5060", "[2001:db8::2]:5060"], "[2001:db8::1]:5060"),
        ] {
            let found = found.iter().map(|address| address.parse().unwrap());
            assert_eq!(prefer_ipv4(found), taken.parse().ok());
        }
        assert_eq!(prefer_ipv4(std::iter::empty()), None);
    }
}
