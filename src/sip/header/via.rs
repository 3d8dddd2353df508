//! Via: the way a request came and its responses go back (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::super::params::Params;
use super::super::text;
use super::super::text::BadValue;
use super::super::uri::Host;

/// What the branch of every transaction since RFC 3261 begins with (§8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, …: upper case.
    pub transport: String,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, …
    pub params: Params,
}

impl Via {
    /// Our own top Via, with `branch` and an empty `rport` (RFC 3581 §3).
    pub fn new(transport: &str, host: Host, port: Option<u16>, branch: &str) -> Self {
        let mut params = Params::default();
        params.set("branch", branch);
        params.set_flag("rport");
        Via { transport: transport.to_ascii_uppercase(), host, port, params }
    }

    /// The branch. Only one that [identifies](Self::has_unique_branch) names a transaction.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Whether the branch alone identifies the transaction: it has the cookie, and something behind it.
    /// Otherwise it is matched as in RFC 2543 (RFC 3261 §17.2.3).
    pub fn has_unique_branch(&self) -> bool {
        let behind = |branch: &str| {
            let cookie = branch.get(..BRANCH_COOKIE.len());
            cookie.is_some_and(|start| start.eq_ignore_ascii_case(BRANCH_COOKIE))
                && branch.len() > BRANCH_COOKIE.len()
        };
        self.branch().is_some_and(behind)
    }

    /// The address in `received`. Some senders put IPv6 into brackets.
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received")?.trim_matches(['[', ']']).parse().ok()
    }

    /// Whether the client asked for symmetric response routing: `rport` is there, empty or filled.
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The port in `rport`, if filled.
    pub fn rport(&self) -> Option<u16> {
        text::number(self.params.get("rport")?)
    }

    /// Notes where the request really came from: `received` when it differs from sent-by or `rport` is
    /// asked for, and `rport` when asked for (RFC 3261 §18.2.1, RFC 3581 §4). What a sender claimed
    /// there itself is gone after it.
    pub fn stamp(&mut self, source: SocketAddr) {
        if self.wants_rport() {
            self.params.set("rport", &source.port().to_string());
        }
        match self.wants_rport() || self.host.ip() != Some(source.ip()) {
            true => self.params.set("received", &source.ip().to_string()),
            false => self.params.remove("received"),
        }
    }
}

impl FromStr for Via {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("malformed Via");
        let mut protocol = text.splitn(3, '/').map(str::trim_ascii);
        let (name, version) = (protocol.next(), protocol.next());
        // Any version will do: whoever is told 505 must be told so along this Via.
        if name.is_none_or(|name| !name.eq_ignore_ascii_case("SIP"))
            || version.is_none_or(str::is_empty)
        {
            return Err(BAD);
        }
        let rest = protocol.next().ok_or(BAD)?;
        let (transport, rest) = rest.split_once([' ', '\t']).ok_or(BAD)?;
        let (sent_by, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = Host::with_port(sent_by.trim_ascii())?;
        if !text::is_token(transport) {
            return Err(BAD);
        }
        let params = Params::of_header(params)?;
        Ok(Via { transport: transport.to_ascii_uppercase(), host, port, params })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_however_it_is_spaced() {
        let via =
            via("SIP  / 2.0  / tcp     [2001:db8::1] : 5070  ; branch  =   z9hG4bK9ikj8 ;rport");

        assert_eq!(via.transport, "TCP");
        assert_eq!(via.host.to_string(), "[2001:db8::1]");
        assert_eq!(via.port, Some(5070));
        assert_eq!(via.branch(), Some("z9hG4bK9ikj8"));
        assert!(via.wants_rport() && via.rport().is_none());
        assert_eq!(via.to_string(), "SIP/2.0/TCP [2001:db8::1]:5070;branch=z9hG4bK9ikj8;rport");
    }

    #[test]
    fn malformed_vias_are_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 a",
            "SIP//UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP a:b",
            "SIP/2.0/UDP a;;",
            "SIP/2.0/U\"P a",
            "SIP/2.0/UDP ;branch=1",
        ] {
            assert!(bad.parse::<Via>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_cookie_alone_identifies_nothing() {
        for (text, unique) in [
            ("SIP/2.0/UDP a;branch=z9hG4bK1", true),
            ("SIP/2.0/UDP a;branch=Z9HG4BK1", true),
            ("SIP/2.0/UDP a;branch=z9hG4bK", false),
            ("SIP/2.0/UDP a;branch=1", false),
            ("SIP/2.0/UDP a", false),
        ] {
            assert_eq!(via(text).has_unique_branch(), unique, "{text}");
        }
    }

    #[test]
    fn the_source_is_noted_where_it_must_be() {
        let source = "192.0.2.1:5061".parse().unwrap();
        for (text, stamped) in [
            ("SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.1"),
            ("SIP/2.0/UDP 192.0.2.1;received=9.9.9.9", "SIP/2.0/UDP 192.0.2.1"),
            ("SIP/2.0/UDP a:5070", "SIP/2.0/UDP a:5070;received=192.0.2.1"),
            ("SIP/2.0/UDP 192.0.2.1;rport", "SIP/2.0/UDP 192.0.2.1;rport=5061;received=192.0.2.1"),
        ] {
            let mut via = via(text);
            via.stamp(source);
            assert_eq!(via.to_string(), stamped);
        }

        let mut stamped = via("SIP/2.0/UDP a;rport");
        stamped.stamp("[2001:db8::1]:7".parse().unwrap());
        assert_eq!(stamped.received(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(stamped.rport(), Some(7));
    }

    #[track_caller]
    fn via(text: &str) -> Via {
        text.parse().expect("a Via")
    }
}
