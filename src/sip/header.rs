//! Header fields with a type. Each parses from one canonical value (`FromStr`) and writes itself
//! (`Display`).
//!
//! `headers.typed::<NameAddr>("Refer-To")?` is the first value, `headers.list::<NameAddr>("Route")?` all
//! of them, comma-separated ones split. The shorthands (`via`, `cseq`, …) answer `None` for a missing or
//! a broken field; in what `wire` lets through, those that RFC 3261 §8.1.1 demands are there and sound.
//!
//! | header field | type |
//! |---|---|
//! | From, To, Contact, Route, Record-Route, Refer-To, Referred-By, P-Asserted-Identity, Diversion, History-Info, Call-Info | [`NameAddr`] |
//! | Via | [`Via`] |
//! | CSeq, Replaces, Reason, Retry-After, Warning | of the same name |
//! | Event, Subscription-State, Accept, Content-Type, Session-Expires, User-to-User | [`Token`] |
//! | Supported, Require, Allow | [`Headers::tokens`] |

mod values;
mod via;

use std::str::FromStr;

use super::message::Headers;
use super::text;
use super::text::BadValue;
use super::uri::NameAddr;
use crate::ids::CallId;

pub use values::{CSeq, Reason, Replaces, RetryAfter, Token, Warning, sipfrag_status};
pub use via::{BRANCH_COOKIE, Via};

impl Headers {
    /// The first value of a header; `Ok(None)` if there is none.
    pub fn typed<T: FromStr<Err = BadValue>>(&self, name: &str) -> Result<Option<T>, BadValue> {
        self.get(name).map(str::parse).transpose()
    }

    /// Every value of a list header, split at commas.
    pub fn list<T: FromStr<Err = BadValue>>(&self, name: &str) -> Result<Vec<T>, BadValue> {
        self.all(name).flat_map(text::split_list).map(str::parse).collect()
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via> {
        text::split_list(self.get("Via")?).next()?.parse().ok()
    }

    /// Replaces the topmost Via: what a server does that notes where a request came from.
    pub fn set_via(&mut self, via: &Via) {
        self.replace_first("Via", via.to_string());
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr> {
        self.get("From")?.parse().ok()
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr> {
        self.get("To")?.parse().ok()
    }

    /// Adds a tag to the To field, if it has none (RFC 3261 §8.2.6.2). The rest stays as it came.
    pub fn tag_to(&mut self, tag: &str) {
        if self.to().is_some_and(|to| to.tag().is_none())
            && let Some(to) = self.get("To")
        {
            let tagged = format!("{to};tag={tag}");
            self.replace_first("To", tagged);
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> Option<CallId> {
        self.get("Call-ID").and_then(CallId::new)
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq> {
        self.get("CSeq")?.parse().ok()
    }

    /// Max-Forwards.
    pub fn max_forwards(&self) -> Option<u8> {
        text::number(self.get("Max-Forwards")?)
    }

    /// The first Contact; `None` also for `*`.
    pub fn contact(&self) -> Option<NameAddr> {
        text::split_list(self.get("Contact")?).next()?.parse().ok()
    }

    /// Whether a list of tokens (`Supported`, `Require`, `Allow`) has this one; case does not matter.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|it| it.eq_ignore_ascii_case(token))
    }

    /// The tokens of a list header.
    pub fn tokens<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(text::split_list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_run_over_commas_and_fields_alike() {
        let mut headers = Headers::default();
        headers.push("Route", "<sip:a;lr>, \"x, y\" <sip:b;lr>");
        headers.push("Supported", "100rel, timer");
        headers.push("Route", "<sip:c>");

        let routes: Vec<NameAddr> = headers.list("Route").unwrap();
        let uris: Vec<_> = routes.iter().map(|route| route.uri.to_string()).collect();

        assert_eq!(uris, ["sip:a;lr", "sip:b;lr", "sip:c"]);
        assert!(headers.has_token("Supported", "TIMER") && !headers.has_token("Supported", "time"));
        assert_eq!(headers.list::<NameAddr>("Record-Route"), Ok(vec![]));
        headers.push("Route", "<sip:d");
        assert!(headers.list::<NameAddr>("Route").is_err());
    }

    #[test]
    fn only_the_first_via_of_a_line_is_replaced() {
        let mut headers = Headers::default();
        headers.push("Via", "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2");

        let mut via = headers.via().unwrap();
        via.params.set("received", "192.0.2.1");
        headers.set_via(&via);

        assert_eq!(
            headers.get("Via").unwrap(),
            "SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.1, SIP/2.0/UDP b;branch=z9hG4bK2"
        );
    }

    #[test]
    fn a_to_gets_a_tag_once_and_is_not_rewritten() {
        let mut headers = Headers::default();
        headers.push("To", "\"\\\u{7}\"   sip:a@b".replace("   sip:a@b", "   <sip:a@b>"));
        headers.tag_to("1");
        headers.tag_to("2");

        assert_eq!(headers.get("To"), Some("\"\\\u{7}\"   <sip:a@b>;tag=1"));
    }
}
