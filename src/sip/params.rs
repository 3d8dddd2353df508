//! The `;name=value` parameters of URIs and header fields (RFC 3261 §25.1, `generic-param`).
//!
//! They are kept raw, as they stand on the wire, so that what is only carried is carried unchanged.

use std::borrow::Cow;
use std::fmt;

use super::text;
use super::text::BadValue;

/// Parameters in the order of the wire. Names are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Reads what follows a header field's value: nothing, or `;a=b;c`, with blanks allowed anywhere.
    pub fn of_header(text: &str) -> Result<Self, BadValue> {
        Self::read(text, |value| match value.strip_prefix('"') {
            Some(_) => text::take_quoted(value).is_some_and(|(_, rest)| rest.is_empty()),
            None => value.bytes().all(|byte| byte > b' ' && !b"\",;<>\\\x7f".contains(&byte)),
        })
    }

    /// Reads what follows a URI's host: nothing, or `;a=b;c`, without blanks.
    pub(super) fn of_uri(text: &str) -> Result<Self, BadValue> {
        if text.contains([' ', '\t', '"']) {
            return Err(BadValue("blank or quote in URI parameters"));
        }
        Self::read(text, |value| text::is_escaped_with(value, URI_PARAM))
    }

    fn read(text: &str, is_value: impl Fn(&str) -> bool) -> Result<Self, BadValue> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(Params::default());
        }
        let text = text.strip_prefix(';').ok_or(BadValue("text where parameters should be"))?;
        let param = |param| {
            let (name, value) = match text::find_outside(param, b'=') {
                Some(at) => {
                    (param[..at].trim_ascii_end(), Some(param[at + 1..].trim_ascii_start()))
                }
                None => (param, None),
            };
            if !is_name(name) || !value.is_none_or(&is_value) {
                return Err(BadValue("malformed parameter"));
            }
            Ok((name.to_owned(), value.map(str::to_owned)))
        };
        text::split(text, b';').map(param).collect::<Result<_, _>>().map(Params)
    }

    /// The raw value of a parameter; `Some("")` for one without a value (`lr`).
    pub fn get(&self, name: &str) -> Option<&str> {
        let param = self.0.iter().find(|(param, _)| param.eq_ignore_ascii_case(name))?;
        Some(param.1.as_deref().unwrap_or_default())
    }

    /// The value of a header field's parameter without quotes.
    pub fn unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(text::unquote)
    }

    /// Whether the parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds or replaces `name=value` of a header field; a value that is neither token nor host is quoted.
    pub fn set(&mut self, name: &str, value: &str) {
        let plain = |byte| text::is_token_byte(byte) || b":[]".contains(&byte);
        let value = match !value.is_empty() && value.bytes().all(plain) {
            true => value.to_owned(),
            false => text::quote(value),
        };
        self.put(name, Some(value));
    }

    /// Adds or replaces a parameter without a value.
    pub fn set_flag(&mut self, name: &str) {
        self.put(name, None);
    }

    /// Adds or replaces a parameter of a URI; an empty value writes the name alone.
    pub(super) fn set_escaped(&mut self, name: &str, value: &str) {
        let value = (!value.is_empty()).then(|| text::escape(value, URI_PARAM));
        self.put(&text::escape(name, b""), value);
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(param, _)| param.eq_ignore_ascii_case(name)) {
            Some(param) => param.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(param, _)| !param.eq_ignore_ascii_case(name));
    }

    /// All parameters, raw.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

/// What may stand unescaped in a URI parameter beside the unreserved (`param-unreserved`).
const URI_PARAM: &[u8] = b"[]/:&+$";

/// A token, or the little more that the name of a URI parameter may have.
fn is_name(name: &str) -> bool {
    let extra =
        |byte| text::is_token_byte(byte) || URI_PARAM.contains(&byte) || b"()".contains(&byte);
    !name.is_empty() && name.bytes().all(extra)
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.iter() {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_blanks_and_quotes_and_written_without_loss() {
        let params = Params::of_header(r#" ; tag  = 19 ;lr; x="a;b\"=c" ;host=[::1]:5"#).unwrap();

        assert_eq!(params.get("TAG"), Some("19"));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.unquoted("x").unwrap(), r#"a;b"=c"#);
        assert_eq!(params.get("none"), None);
        assert_eq!(params.to_string(), r#";tag=19;lr;x="a;b\"=c";host=[::1]:5"#);
    }

    #[test]
    fn malformed_parameters_are_refused() {
        for bad in [";;", ";", "tag=1", ";=1", ";a b", ";a=b c", ";a=\"b", ";a=\"b\"c", ";a=<b>"] {
            assert!(Params::of_header(bad).is_err(), "{bad}");
        }
        for bad in [";;lr", "; lr", ";a=\"b\"", ";a=%4", ";a=b@c"] {
            assert!(Params::of_uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_value_can_break_out_of_its_parameter() {
        let mut params = Params::default();
        params.set("text", "a\";b=c\r\nVia: d");
        params.set_escaped("x", "a;b=c\r\n>");

        assert_eq!(params.to_string(), ";text=\"a\\\";b=c  Via: d\";x=a%3Bb%3Dc%0D%0A%3E");
    }
}
