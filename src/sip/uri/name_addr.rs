//! `"Display name" <uri>;params` (RFC 3261 §20.10): From, To, Contact, Route, Refer-To, …

use std::fmt;
use std::str::FromStr;

use super::super::params::Params;
use super::super::text;
use super::super::text::BadValue;
use super::Uri;

/// A display name, a URI and its parameters. Parse it with `text.parse::<NameAddr>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, without quotes and escapes.
    pub display_name: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// The parameters of the header field (not of the URI).
    pub params: Params,
}

impl NameAddr {
    /// `<uri>`, with nothing around it.
    pub fn new(uri: Uri) -> Self {
        NameAddr { display_name: None, uri, params: Params::default() }
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// The same with a `tag`.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", tag);
        self
    }
}

impl FromStr for NameAddr {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let text = text.trim_ascii();
        let Some(open) = text::find_outside(text, b'<') else { return from_addr_spec(text) };
        let display_name = match text[..open].trim_ascii_end() {
            "" => None,
            name if name.starts_with('"') => match text::take_quoted(name) {
                Some((name, "")) => Some(name),
                _ => return Err(BadValue("text behind a quoted display name")),
            },
            // Only tokens may stand here, but names with commas and apostrophes do.
            name if name.contains(['"', '>']) => return Err(BadValue("malformed display name")),
            name => Some(name.to_owned()),
        };
        let (uri, rest) =
            text[open + 1..].split_once('>').ok_or(BadValue("`<` that is never closed"))?;
        Ok(NameAddr {
            display_name: display_name.filter(|name| !name.is_empty()),
            uri: uri.parse()?,
            params: Params::of_header(rest)?,
        })
    }
}

/// A URI without brackets: what follows `;` belongs to the header field, and a `?` or `,` would be
/// ambiguous (RFC 3261 §20).
fn from_addr_spec(text: &str) -> Result<NameAddr, BadValue> {
    let (uri, params) = text.split_at(text.find(';').unwrap_or(text.len()));
    if uri.contains(['?', ',', '"']) {
        return Err(BadValue("URI that needs angle brackets"));
    }
    let params = Params::of_header(params)?;
    Ok(NameAddr { display_name: None, uri: uri.trim_ascii_end().parse()?, params })
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.display_name {
            write!(f, "{} ", text::quote(name))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_an_address_are_read() {
        for (text, name, uri, tag) in [
            ("sip:a@b", None, "sip:a@b", None),
            ("sip:a@b ; tag = 1", None, "sip:a@b", Some("1")),
            ("<sip:a@b;lr>;tag=1", None, "sip:a@b;lr", Some("1")),
            ("caller<sip:a@b>", Some("caller"), "sip:a@b", None),
            ("A. G. Bell <sip:a@b>;tag=1", Some("A. G. Bell"), "sip:a@b", Some("1")),
            (r#""J \"R\" \\ <x>, y" <sip:a@b>"#, Some(r#"J "R" \ <x>, y"#), "sip:a@b", None),
            (r#""" <tel:+1>;x"#, None, "tel:+1", None),
        ] {
            let address: NameAddr = text.parse().unwrap_or_else(|bad| panic!("{text}: {bad}"));
            assert_eq!(address.display_name.as_deref(), name, "{text}");
            assert_eq!(address.uri.to_string(), uri, "{text}");
            assert_eq!(address.tag(), tag, "{text}");
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            "",
            "*",
            "<>",
            "a <sip:a@b",
            r#""a <sip:a@b>"#,
            r#""a" b <sip:a@b>"#,
            "<sip:a@b> x",
            "<sip:a@b>;;",
            "sip:a@b?x=y",
            "sip:a,b@c",
            "< sip:a@b >",
            r#"a"b" <sip:a@b>"#,
        ] {
            assert!(bad.parse::<NameAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_display_name_can_break_out_of_its_quotes() {
        let mut address = NameAddr::new("sip:a@b".parse().unwrap());
        address.display_name = Some("x\" <sip:evil@h>\r\nVia: y".into());

        assert_eq!(address.to_string(), "\"x\\\" <sip:evil@h>  Via: y\" <sip:a@b>");
    }
}
