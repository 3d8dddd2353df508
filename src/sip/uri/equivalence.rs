//! When two URIs name the same resource (RFC 3261 §19.1.4, RFC 3966 §4).

use std::borrow::Cow;

use super::super::text;
use super::tel::is_separator;
use super::{SipUri, TelUri};

/// Parameters that differ even when only one of two URIs has them (RFC 3261 §19.1.4).
const PARAMS_ALWAYS_COMPARED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl SipUri {
    /// Whether both name the same resource (RFC 3261 §19.1.4).
    pub fn is_equivalent(&self, other: &SipUri) -> bool {
        self.secure == other.secure
            && same_exactly(&self.user, &other.user)
            && same_exactly(&self.password, &other.password)
            && self.host.is_equivalent(&other.host)
            && self.port == other.port
            && self.has_equivalent_params(other)
            && self.has_equivalent_headers(other)
    }

    /// A parameter in both must match; one in only one of them is ignored, unless it changes the meaning.
    fn has_equivalent_params(&self, other: &SipUri) -> bool {
        let common = self.params.iter().all(|(name, value)| {
            let value = text::unescape(value.unwrap_or_default());
            let other = other.param(&text::unescape(name));
            other.is_none_or(|other| value.eq_ignore_ascii_case(&other))
        });
        let alone = |name: &str| self.param(name).is_some() != other.param(name).is_some();
        common && !PARAMS_ALWAYS_COMPARED.iter().any(|name| alone(name))
    }

    /// Headers are never ignored, but their order is.
    fn has_equivalent_headers(&self, other: &SipUri) -> bool {
        let sorted = |uri: &SipUri| {
            let lowered = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                (name.to_ascii_lowercase(), value.into_owned())
            };
            let mut headers: Vec<_> = uri.headers().map(lowered).collect();
            headers.sort();
            headers
        };
        sorted(self) == sorted(other)
    }
}

impl TelUri {
    /// Whether both name the same resource: visual separators and case do not count (RFC 3966 §4).
    pub fn is_equivalent(&self, other: &TelUri) -> bool {
        let within = |one: &TelUri, other: &TelUri| {
            one.params.iter().all(|(name, value)| {
                let value = value.unwrap_or_default();
                other.params.get(name).is_some_and(|other| bare(other).eq(bare(value)))
            })
        };
        bare(&self.number).eq(bare(&other.number)) && within(self, other) && within(other, self)
    }
}

/// Users and passwords are compared with case. An escape equals what it stands for, unless that is a
/// reserved character (RFC 3261 §19.1.4).
fn same_exactly(one: &Option<String>, other: &Option<String>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other || normal(one) == normal(other),
        _ => one == other,
    }
}

/// `escaped` with each escape in capitals, or gone where it was never needed.
fn normal(escaped: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().filter(|_| first == b'%');
        let value = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        match value {
            Some(byte) if text::is_unreserved(byte) => bytes.push(byte),
            Some(byte) => bytes.extend(format!("%{byte:02X}").bytes()),
            None => bytes.push(first),
        }
        rest = if value.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// What of a number counts.
fn bare(number: &str) -> impl Iterator<Item = u8> {
    number.bytes().filter(|&byte| !is_separator(byte)).map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::Uri;

    /// The pairs of RFC 3261 §19.1.4.
    #[test]
    fn equivalence_is_that_of_the_standard() {
        for (one, other) in [
            ("sip:a@h;%6C%72;tr%61nsport=tc%70", "sip:a@h;lr;transport=tcp"),
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a%2fb@h", "sip:a%2Fb@h"),
        ] {
            assert!(uri(one).is_equivalent(&uri(other)), "{one} {other}");
            assert!(uri(other).is_equivalent(&uri(one)), "{other} {one}");
        }
        for (one, other) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:a%2Fb@h", "sip:a/b@h"),
            ("sip:bob@h", "sips:bob@h"),
        ] {
            assert!(!uri(one).is_equivalent(&uri(other)), "{one} {other}");
        }
    }

    #[test]
    fn separators_case_and_order_do_not_count() {
        let one = uri("tel:+1-201-555-0123;ext=1.2;isub=AB");

        assert!(one.is_equivalent(&uri("tel:+12015550123;isub=ab;ext=12")));
        assert!(!one.is_equivalent(&uri("tel:+12015550123;ext=12")));
        assert!(!one.is_equivalent(&uri("tel:12015550123;ext=12;isub=ab")));
    }

    #[track_caller]
    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }
}
