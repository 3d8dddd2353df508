//! Who may ask the desk.
//!
//! With a token: whoever shows it (RFC 6750). Without one the desk is on loopback, where every page
//! that a browser on this machine has open can reach it: a name that a stranger's DNS points to
//! 127.0.0.1 (DNS rebinding) and a script of another origin are turned away by `Host` and `Origin`.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Decides who is let in.
#[derive(Clone)]
pub enum Guard {
    /// Whoever shows the token.
    Token(TokenDigest),
    /// Whoever is on this machine, and is no stranger's page.
    Loopback,
}

/// A token as a digest, so that comparing it takes the same time however much of it is right.
#[derive(Clone)]
pub struct TokenDigest(Hmac<Sha256>);

/// What a request says about who sent it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token is missing or wrong.
    Unauthorized,
    /// It comes from a page that is not the desk's.
    Foreign,
}

impl Guard {
    /// A guard who asks for this token.
    pub fn token(token: &str) -> Self {
        Guard::Token(TokenDigest(digest(token)))
    }

    /// Whether this request is let in.
    pub fn admit(&self, credentials: Credentials<'_>) -> Result<(), Refusal> {
        match self {
            Guard::Token(expected) => {
                let shown = credentials.authorization.and_then(bearer);
                let right = shown.is_some_and(|token| expected.is(token));
                right.then_some(()).ok_or(Refusal::Unauthorized)
            }
            Guard::Loopback => {
                let host = credentials.host.filter(|host| is_loopback(host));
                let host = host.ok_or(Refusal::Foreign)?;
                let own = credentials.origin.is_none_or(|origin| is_origin_of(origin, host));
                own.then_some(()).ok_or(Refusal::Foreign)
            }
        }
    }
}

impl TokenDigest {
    fn is(&self, token: &str) -> bool {
        let shown = digest(token).finalize().into_bytes();
        self.0.clone().verify(&shown).is_ok()
    }
}

fn digest(token: &str) -> Hmac<Sha256> {
    let mut digest = Hmac::new_from_slice(b"tandem desk").expect("a key may have any length");
    digest.update(token.as_bytes());
    digest
}

/// The token of an `Authorization` header; the scheme's name has no case (RFC 9110 §11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
}

/// Whether a `Host` header names this machine by what no DNS answer can change.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    origin.strip_prefix("http://").is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_and_must_be_right() {
        let guard = Guard::token("correct horse");
        for (authorization, let_in) in [
            (Some("Bearer correct horse"), true),
            (Some("bearer correct horse"), true),
            (Some("Bearer correct hors"), false),
            (Some("Bearer correct horses"), false),
            (Some("Basic correct horse"), false),
            (Some("Bearer "), false),
            (Some("correct horse"), false),
            (None, false),
        ] {
            let admitted = guard.admit(Credentials { authorization, ..Default::default() });
            assert_eq!(admitted.is_ok(), let_in, "{authorization:?}");
        }
    }

    #[test]
    fn without_a_token_a_strangers_page_is_turned_away() {
        let guard = Guard::Loopback;
        for (host, origin, let_in) in [
            (Some("127.0.0.1:8080"), None, true),
            (Some("localhost:8080"), None, true),
            (Some("[::1]:8080"), None, true),
            (Some("LOCALHOST"), Some("http://localhost"), true),
            (Some("127.0.0.1:8080"), Some("http://127.0.0.1:8080"), true),
            (None, None, false),
            (Some("desk.evil.example:8080"), None, false),
            (Some("127.0.0.1.evil.example"), None, false),
            (Some("localhost.evil.example"), None, false),
            (Some("10.0.0.1:8080"), None, false),
            (Some("[::1"), Some("http://evil.example"), false),
            (Some("127.0.0.1:8080"), Some("http://evil.example"), false),
            (Some("127.0.0.1:8080"), Some("http://127.0.0.1:3000"), false),
            (Some("127.0.0.1:8080"), Some("null"), false),
        ] {
            let admitted = guard.admit(Credentials { host, origin, authorization: None });
            assert_eq!(admitted.is_ok(), let_in, "{host:?} {origin:?}");
        }
    }
}
