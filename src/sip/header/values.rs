//! The small typed values: CSeq, Replaces, Reason, Retry-After, Warning, and a token with parameters.

use std::fmt;
use std::str::FromStr;

use super::super::message::{Method, StatusCode};
use super::super::params::Params;
use super::super::text;
use super::super::text::BadValue;

/// A sequence number and its method (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl FromStr for CSeq {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, method) =
            text.split_once([' ', '\t']).ok_or(BadValue("CSeq without a method"))?;
        let number = text::number(number).filter(|&number| number < 1 << 31);
        let number = number.ok_or(BadValue("CSeq number out of range"))?;
        let method =
            Method::new(method.trim_ascii_start()).ok_or(BadValue("malformed CSeq method"))?;
        Ok(CSeq { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// `Replaces` (RFC 3891), also as it stands, unescaped, in a Refer-To.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The Call-ID of the dialog to replace.
    pub call_id: String,
    /// Its tag on the side of who receives this.
    pub to_tag: String,
    /// The other one.
    pub from_tag: String,
    /// Only if it is not answered yet.
    pub early_only: bool,
}

impl FromStr for Replaces {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (call_id, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let params = Params::of_header(params)?;
        let tag = |name| match params.get(name) {
            Some(tag) if text::is_token(tag) => Ok(tag.to_owned()),
            _ => Err(BadValue("Replaces without its tags")),
        };
        let call_id = call_id.trim_ascii_end();
        if call_id.is_empty() || call_id.contains(char::is_whitespace) {
            return Err(BadValue("Replaces without a Call-ID"));
        }
        Ok(Replaces {
            call_id: call_id.to_owned(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.contains("early-only"),
        })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        f.write_str(if self.early_only { ";early-only" } else { "" })
    }
}

/// A word with parameters: `Event`, `Subscription-State`, `Session-Expires`, a media type, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What stands before the first `;`: a token, or two with a slash between them.
    pub value: String,
    /// What follows.
    pub params: Params,
}

impl Token {
    /// Whether the word is this one; case does not matter.
    pub fn is(&self, value: &str) -> bool {
        self.value.eq_ignore_ascii_case(value)
    }
}

impl FromStr for Token {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (value, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let value = match value.trim_ascii_end().split_once('/') {
            Some((one, other)) => format!("{}/{}", one.trim_ascii_end(), other.trim_ascii_start()),
            None => value.trim_ascii_end().to_owned(),
        };
        if !value.splitn(2, '/').all(text::is_token) {
            return Err(BadValue("malformed token"));
        }
        Ok(Token { value, params: Params::of_header(params)? })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, self.params)
    }
}

/// `Reason` (RFC 3326): why a request was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, …
    pub protocol: String,
    /// The cause.
    pub cause: Option<u16>,
    /// The text, unquoted.
    pub text: Option<String>,
}

impl Reason {
    /// A status of SIP as the cause, with a text for people.
    pub fn sip(cause: u16, text: &str) -> Self {
        Reason { protocol: "SIP".into(), cause: Some(cause), text: Some(text.into()) }
    }
}

impl FromStr for Reason {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Token { value: protocol, params } = text.parse()?;
        let cause = params.get("cause").and_then(text::number);
        let text = params.unquoted("text").map(|text| text.into_owned());
        Ok(Reason { protocol, cause, text })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", text::quote(text)),
            None => Ok(()),
        }
    }
}

/// `Retry-After` (RFC 3261 §20.33). Comment and parameters are for people and are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// In how many seconds; a number too large to hold is the largest.
    pub seconds: u32,
}

impl FromStr for RetryAfter {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        if digits.is_empty()
            || !matches!(rest.trim_ascii_start().bytes().next(), None | Some(b';' | b'('))
        {
            return Err(BadValue("malformed Retry-After"));
        }
        Ok(RetryAfter { seconds: text::number(digits).unwrap_or(u32::MAX) })
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seconds.fmt(f)
    }
}

/// `Warning` (RFC 3261 §20.43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// 3xx of the table in §27.2.
    pub code: u16,
    /// Who says so: host or pseudonym.
    pub agent: String,
    /// The text, unquoted.
    pub text: String,
}

impl FromStr for Warning {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("malformed Warning");
        let (code, rest) = text.split_once(' ').ok_or(BAD)?;
        let (agent, text) = rest.trim_ascii_start().split_once(' ').ok_or(BAD)?;
        let code = text::number(code).filter(|code| (100..1000).contains(code)).ok_or(BAD)?;
        match text::take_quoted(text.trim_ascii_start()) {
            Some((text, "")) => Ok(Warning { code, agent: agent.to_owned(), text }),
            _ => Err(BAD),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.agent, text::quote(&self.text))
    }
}

/// The status line at the head of a `message/sipfrag` body (RFC 3420): how a REFER goes (RFC 3515 §2.4.5).
pub fn sipfrag_status(body: &[u8]) -> Option<(StatusCode, String)> {
    let line = body.split(|&byte| byte == b'\r' || byte == b'\n').find(|line| !line.is_empty())?;
    let line = String::from_utf8_lossy(line);
    let rest = line.strip_prefix("SIP/2.0 ")?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = (code.len() == 3).then(|| text::number(code).and_then(StatusCode::new))??;
    Some((status, reason.trim_ascii().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_written() {
        same::<CSeq>("4711 INVITE");
        same::<Replaces>("98732@h;to-tag=1;from-tag=2;early-only");
        same::<Token>("terminated;reason=noresource");
        same::<Token>("application/sdp;charset=utf-8");
        same::<Reason>("SIP;cause=200;text=\"Call completed elsewhere\"");
        same::<Reason>("Q.850;cause=16");
        same::<RetryAfter>("18000");
        same::<Warning>("304 pbx.example.com \"no common \\\"codec\\\"\"");
        assert_eq!("5 (in a meeting);x".parse(), Ok(RetryAfter { seconds: 5 }));
        assert_eq!("99999999999".parse(), Ok(RetryAfter { seconds: u32::MAX }));
        assert_eq!("application / sdp".parse::<Token>().unwrap().value, "application/sdp");
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in ["", "1", "INVITE", "2147483648 INVITE", "-1 INVITE", "1 INV ITE", "+1 INVITE"] {
            assert!(bad.parse::<CSeq>().is_err(), "{bad}");
        }
        for bad in [
            "a",
            "a;to-tag=1",
            "a;from-tag=1;to-tag=",
            ";to-tag=1;from-tag=2",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert!(bad.parse::<Replaces>().is_err(), "{bad}");
        }
        for bad in ["", ";x", "a b", "a;;", "a/b/c", "/b"] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
        for bad in ["", "soon", "5 minutes", "-5"] {
            assert!(bad.parse::<RetryAfter>().is_err(), "{bad}");
        }
        for bad in ["", "304", "304 h", "304 h text", "1812 h \"x\"", "304 h \"x"] {
            assert!(bad.parse::<Warning>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_outcome_of_a_refer_is_read_from_its_fragment() {
        let read = |text: &str| {
            sipfrag_status(text.as_bytes()).map(|(status, reason)| (status.code(), reason))
        };

        assert_eq!(read("SIP/2.0 200 OK\r\nServer: x\r\n"), Some((200, "OK".into())));
        assert_eq!(
            read("SIP/2.0 503 Service Unavailable"),
            Some((503, "Service Unavailable".into()))
        );
        assert_eq!(read("\r\nSIP/2.0 100"), Some((100, String::new())));
        for bad in ["", "200 OK", "SIP/2.0 99 x", "SIP/2.0 4294967496 x", "INVITE sip:a SIP/2.0"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[track_caller]
    fn same<T: FromStr<Err = BadValue> + fmt::Display>(text: &str) {
        let value: T = text.parse().unwrap_or_else(|bad| panic!("{text}: {bad}"));
        assert_eq!(value.to_string(), text);
    }
}
