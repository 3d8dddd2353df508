//! Where a URI leads: the address of the next hop.
//!
//! An address in the URI is taken as it is; a name is looked up as a host. The ports are those of
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
    found.ok()?.ok()?.next()
}
