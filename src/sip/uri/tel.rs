//! `tel:` (RFC 3966). Carriers put it into Request-URIs and identities.

use std::fmt;

use super::super::params::Params;
use super::super::text::BadValue;

/// A `tel:` URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TelUri {
    pub(super) number: String,
    pub(super) params: Params,
}

impl TelUri {
    /// Reads what follows `tel:`.
    pub(super) fn read(text: &str) -> Result<Self, BadValue> {
        let (number, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let (is_digit, digits): (fn(u8) -> bool, _) = match number.strip_prefix('+') {
            Some(global) => (|byte| byte.is_ascii_digit(), global),
            None => (|byte| byte.is_ascii_hexdigit() || b"*#".contains(&byte), number),
        };
        let sound = digits.bytes().all(|byte| is_digit(byte) || is_separator(byte));
        if !sound || !digits.bytes().any(is_digit) {
            return Err(BadValue("malformed telephone number"));
        }
        Ok(TelUri { number: number.to_owned(), params: Params::of_uri(params)? })
    }

    /// The number as written, visual separators included.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The parameters (`phone-context`, `ext`, `isub`, …).
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// `visual-separator`: there for people only.
pub(super) fn is_separator(byte: u8) -> bool {
    b"-.()".contains(&byte)
}

impl fmt::Display for TelUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tel:{}{}", self.number, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Uri;
    use super::*;

    #[test]
    fn numbers_and_their_parameters_are_kept_as_they_came() {
        let uri = tel("tel:+49-30-555.123;ext=7;phone-context=+49");

        assert_eq!(uri.number(), "+49-30-555.123");
        assert_eq!(uri.params().get("ext"), Some("7"));
        assert_eq!(uri.to_string(), "tel:+49-30-555.123;ext=7;phone-context=+49");
        assert_eq!(tel("TEL:*31#;phone-context=example.com").number(), "*31#");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in
            ["tel:", "tel:+", "tel:-", "tel:sarah", "tel:+a1", "tel:1 2", "tel:1;;", "tel:1@h"]
        {
            assert!(bad.parse::<Uri>().is_err(), "{bad}");
        }
    }

    #[track_caller]
    fn tel(text: &str) -> TelUri {
        match text.parse().expect("a URI") {
            Uri::Tel(uri) => uri,
            other => panic!("{other:?} is not tel"),
        }
    }
}
