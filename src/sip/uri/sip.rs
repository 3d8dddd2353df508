//! `sip:` and `sips:` (RFC 3261 §19.1).
//!
//! The parts are kept escaped, as on the wire: `%00`, bytes that are no UTF-8 and an escaped `;` in a
//! user all survive being carried. Accessors give them without escapes.

use std::borrow::Cow;
use std::fmt;

use super::super::params::Params;
use super::super::text;
use super::super::text::BadValue;
use super::{Host, Uri};

/// What may stand unescaped in a user, in a password and in a header, beside the unreserved.
const USER: &[u8] = b"&=+$,;?/";
/// The same in what we read: a dialled `#` is rarely escaped by those who dial it.
const USER_READ: &[u8] = b"&=+$,;?/#";
const PASSWORD: &[u8] = b"&=+$,";
const HEADER: &[u8] = b"[]/?:+$";

/// A `sip:` or `sips:` URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SipUri {
    pub(super) secure: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: Host,
    pub(super) port: Option<u16>,
    pub(super) params: Params,
    pub(super) headers: Vec<(String, String)>,
}

impl SipUri {
    /// `sip:user@host:port`; the user is escaped as needed, and an empty one left out.
    pub fn new(user: &str, host: Host, port: Option<u16>) -> Self {
        SipUri {
            secure: false,
            user: (!user.is_empty()).then(|| text::escape(user, USER)),
            password: None,
            host,
            port,
            params: Params::default(),
            headers: Vec::new(),
        }
    }

    /// Reads what follows `sip:` or `sips:`.
    pub(super) fn read(secure: bool, text: &str) -> Result<Self, BadValue> {
        // A user may hold `?` and `;`, nothing may hold `@`: so it is the first thing to look for.
        let (userinfo, rest) = match text.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, text),
        };
        let (user, password) = match userinfo.map(|it| it.split_once(':').ok_or(it)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        if user.is_some_and(|user| user.is_empty() || !text::is_escaped_with(user, USER_READ))
            || password.is_some_and(|password| !text::is_escaped_with(password, PASSWORD))
        {
            return Err(BadValue("malformed user in URI"));
        }

        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, read_headers(headers)?),
            None => (rest, Vec::new()),
        };
        let (host, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        if host.contains([' ', '\t']) {
            return Err(BadValue("blank in URI"));
        }
        let (host, port) = Host::with_port(host)?;
        Ok(SipUri {
            secure,
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            host,
            port,
            params: Params::of_uri(params)?,
            headers,
        })
    }

    /// Whether the scheme is `sips`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The user, without escapes. For a `user=phone` it may have parameters of its own (`;isub=…`).
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(text::unescape)
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The URI's parameters, escaped as on the wire.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A parameter without escapes; empty for one without a value. A name may come with escapes too.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let is_it = |raw: &str| text::unescape(raw).eq_ignore_ascii_case(name);
        let (_, value) = self.params.iter().find(|(raw, _)| is_it(raw))?;
        Some(text::unescape(value.unwrap_or_default()))
    }

    /// The `lr` of a loose router (RFC 3261 §16.12.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The headers behind `?`, without escapes.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.headers.iter().map(|(name, value)| (text::unescape(name), text::unescape(value)))
    }

    /// The first of these headers with that name (compared without case), without escapes.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut headers = self.headers();
        headers.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Adds or replaces a parameter; an empty value writes `;name` alone.
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        self.params.set_escaped(name, value);
        self
    }

    /// Adds `?name=value` with all escapes it needs (RFC 3261 §19.1.1).
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((text::escape(name, b""), text::escape(value, HEADER)));
        self
    }

    /// Without its headers, and without the parameter a Request-URI may not have (`method`): what to
    /// dial for a Contact or a Refer-To (RFC 3261 §19.1.1, §19.1.5).
    pub fn to_request_uri(&self) -> Uri {
        let mut uri = self.clone();
        uri.headers.clear();
        uri.params.remove("method");
        Uri::Sip(uri)
    }
}

/// Reads `name=value&name=value`. Phones leave `@`, `;` and `=` in a Replaces unescaped; nothing is
/// ambiguous about it here, and refusing it would refuse a transfer.
fn read_headers(text: &str) -> Result<Vec<(String, String)>, BadValue> {
    let header = |header: &str| {
        let (name, value) = header.split_once('=').unwrap_or((header, ""));
        let sound = text::is_escaped_with(value, b"[]/?:+$@;=,");
        if name.is_empty() || !text::is_escaped_with(name, HEADER) || !sound {
            return Err(BadValue("malformed header in URI"));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    text.split('&').map(header).collect()
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        for (n, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}={value}", if n == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_and_written_as_it_came() {
        let text =
            "sips:al%20ice;x=1?:p&w@[2001:db8::1]:5071;transport=tcp;lr;x=%3B?Subject=a%20b&P=";
        let uri = sip(text);

        assert!(uri.is_secure());
        assert_eq!(uri.user().unwrap(), "al ice;x=1?");
        assert_eq!(uri.host().to_string(), "[2001:db8::1]");
        assert_eq!(uri.port(), Some(5071));
        assert_eq!(uri.param("transport").unwrap(), "tcp");
        assert_eq!(uri.param("X").unwrap(), ";");
        assert!(uri.is_loose_router());
        assert_eq!(uri.header("subject").unwrap(), "a b");
        assert_eq!(uri.header("p").unwrap(), "");
        assert_eq!(uri.to_string(), text);
    }

    #[test]
    fn malformed_uris_are_refused() {
        for bad in [
            "sip:",
            "sip:@h",
            "sip:u@",
            "sip:u@h:",
            "sip:u@h:70000",
            "sip:u@h ;lr",
            "sip:u@h; lr",
            "sip:u@h;;lr",
            "sip:u@h?",
            "sip:u@h?=x",
            "sip:u%4@h",
            "sip:u<@h",
            "sip:u@h@i",
            "sip:u v@h",
            "sip:u@h;a=\"b\"",
            "sip:u@h?a=<b>",
            "sip:é@h",
        ] {
            assert!(bad.parse::<Uri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_for_the_target_of_a_transfer_are_escaped() {
        let uri = SipUri::new("sarah", Host::Name("pbx.example.com".into()), None)
            .with_param("transport", "udp")
            .with_header("X-Tandem-Call-ID", "a84b@pc;33&x=y")
            .with_header("Replaces", "1@h;to-tag=2;from-tag=3\r\n");

        assert_eq!(
            uri.to_string(),
            "sip:sarah@pbx.example.com;transport=udp?X-Tandem-Call-ID=a84b%40pc%3B33%26x%3Dy\
             &Replaces=1%40h%3Bto-tag%3D2%3Bfrom-tag%3D3%0D%0A"
        );
        assert_eq!(uri.header("x-tandem-call-id").unwrap(), "a84b@pc;33&x=y");
        assert_eq!(uri.to_request_uri().to_string(), "sip:sarah@pbx.example.com;transport=udp");
    }

    #[test]
    fn a_dialled_hash_is_read_unescaped_and_written_escaped() {
        assert_eq!(sip("sip:*31#@h").user().unwrap(), "*31#");
        let host = Host::Name("h".into());
        assert_eq!(SipUri::new("*31#", host, None).to_string(), "sip:*31%23@h");
    }

    #[test]
    fn replaces_left_unescaped_by_a_phone_is_read_all_the_same() {
        let uri = sip("sip:bob@h?Replaces=a@h;to-tag=1;from-tag=2");

        assert_eq!(uri.header("Replaces").unwrap(), "a@h;to-tag=1;from-tag=2");
    }

    #[track_caller]
    fn sip(text: &str) -> SipUri {
        match text.parse().expect("a URI") {
            Uri::Sip(uri) => uri,
            other => panic!("{other:?} is not sip"),
        }
    }
}
