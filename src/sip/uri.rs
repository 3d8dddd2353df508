//! URIs of any scheme, and the name-addrs around them (RFC 3261 §19, §20.10; RFC 3966).

mod equivalence;
mod name_addr;
mod sip;
mod tel;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::text;
use super::text::BadValue;

pub use name_addr::NameAddr;
pub use sip::SipUri;
pub use tel::TelUri;

/// A URI of any scheme. Parse it with `text.parse::<Uri>()`.
///
/// `==` compares as written; [`Uri::is_equivalent`] compares as RFC 3261 §19.1.4 says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// `tel:` (RFC 3966).
    Tel(TelUri),
    /// Any other scheme, as it came.
    Other(String),
}

/// Where a URI or a Via points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, as it came; compare with [`Host::is_equivalent`].
    Name(String),
    /// An address; IPv6 is written in brackets.
    Ip(IpAddr),
}

/// The longest host name (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 255;

impl Uri {
    /// `sip:user@host:port`; the user is escaped as needed, and an empty one left out.
    pub fn sip(user: &str, host: Host, port: Option<u16>) -> Uri {
        Uri::Sip(SipUri::new(user, host, port))
    }

    /// The scheme, in lower case: `sip`, `sips`, `tel`, …
    pub fn scheme(&self) -> Cow<'_, str> {
        match self {
            Uri::Sip(uri) if uri.is_secure() => "sips".into(),
            Uri::Sip(_) => "sip".into(),
            Uri::Tel(_) => "tel".into(),
            Uri::Other(text) => {
                let scheme = text.split_once(':').map_or(text.as_str(), |(scheme, _)| scheme);
                scheme.to_ascii_lowercase().into()
            }
        }
    }

    /// The SIP URI, if it is one.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            Uri::Tel(_) | Uri::Other(_) => None,
        }
    }

    /// The same, to change it.
    pub fn as_sip_mut(&mut self) -> Option<&mut SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            Uri::Tel(_) | Uri::Other(_) => None,
        }
    }

    /// The user of a SIP URI or the number of a `tel:` URI, without escapes.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        match self {
            Uri::Sip(uri) => uri.user(),
            Uri::Tel(uri) => Some(uri.number().into()),
            Uri::Other(_) => None,
        }
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4, RFC 3966 §4).
    pub fn is_equivalent(&self, other: &Uri) -> bool {
        match (self, other) {
            (Uri::Sip(one), Uri::Sip(other)) => one.is_equivalent(other),
            (Uri::Tel(one), Uri::Tel(other)) => one.is_equivalent(other),
            (Uri::Other(one), Uri::Other(other)) => one == other,
            _ => false,
        }
    }
}

impl Host {
    /// Whether both are the same host.
    pub fn is_equivalent(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
            _ => self == other,
        }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::Ip(ip) => Some(*ip),
        }
    }

    /// Reads `host` or `host:port`, blanks around the colon allowed (as they are in a Via).
    pub(super) fn with_port(text: &str) -> Result<(Host, Option<u16>), BadValue> {
        let (host, port) = match text.find(']') {
            Some(end) if text.starts_with('[') => text.split_at(end + 1),
            _ => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.trim_ascii_start() {
            "" => None,
            port => {
                let digits = port.strip_prefix(':').map(str::trim_ascii_start);
                Some(digits.and_then(text::number).ok_or(BadValue("malformed port"))?)
            }
        };
        Ok((host.trim_ascii_end().parse()?, port))
    }
}

impl FromStr for Uri {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (scheme, rest) = text.split_once(':').ok_or(BadValue("URI without a scheme"))?;
        if scheme.eq_ignore_ascii_case("sip") {
            return SipUri::read(false, rest).map(Uri::Sip);
        }
        if scheme.eq_ignore_ascii_case("sips") {
            return SipUri::read(true, rest).map(Uri::Sip);
        }
        if scheme.eq_ignore_ascii_case("tel") {
            return TelUri::read(rest).map(Uri::Tel);
        }
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is_opaque = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_scheme || !is_opaque || rest.contains(['<', '>', '"']) {
            return Err(BadValue("malformed URI"));
        }
        Ok(Uri::Other(text.to_owned()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Sip(uri) => uri.fmt(f),
            Uri::Tel(uri) => uri.fmt(f),
            Uri::Other(text) => f.write_str(text),
        }
    }
}

impl FromStr for Host {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("malformed host");
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|ip| ip.parse::<Ipv6Addr>().ok());
            return address.map(|ip| Host::Ip(ip.into())).ok_or(BAD);
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Ip(ip.into()));
        }
        // An underscore is against the grammar, but there are hosts and sites that have one.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if text.is_empty() || text.len() > HOST_BYTES_MAX || !text.bytes().all(is_name) {
            return Err(BAD);
        }
        Ok(Host::Name(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Host::Ip(ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_we_do_not_know_is_kept_as_it_came() {
        let uri: Uri = "NobodyKnows:totally?opaque;content".parse().unwrap();

        assert_eq!(uri, Uri::Other("NobodyKnows:totally?opaque;content".into()));
        assert_eq!(uri.scheme(), "nobodyknows");
        assert_eq!(uri.to_string(), "NobodyKnows:totally?opaque;content");
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for bad in ["", ":", "sip", "sip:", "1a:b", "a b:c", "http:", "http:a b", "<sip:a@b>"] {
            assert!(bad.parse::<Uri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_and_port_are_told_apart() {
        let read = |text| Host::with_port(text).map(|(host, port)| (host.to_string(), port));

        assert_eq!(read("a.example.com"), Ok(("a.example.com".into(), None)));
        assert_eq!(read("192.0.2.1 : 5070"), Ok(("192.0.2.1".into(), Some(5070))));
        assert_eq!(read("[2001:DB8::9:1]:5070"), Ok(("[2001:db8::9:1]".into(), Some(5070))));
        assert_eq!(read("[2001:db8::9:1]"), Ok(("[2001:db8::9:1]".into(), None)));
        for bad in
            ["", ":5060", "a:", "a:+1", "a:65536", "[::1", "[::g]", "2001:db8::1", "a b", "a%41"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
