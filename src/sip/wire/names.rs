//! One spelling for each header name (RFC 3261 §7.3.1, §7.3.3 and the registry).

use std::borrow::Cow;

use super::super::message::HeaderName;

/// The one-letter names and what they stand for.
const COMPACT: [(u8, &str); 20] = [
    (b'a', "Accept-Contact"),
    (b'b', "Referred-By"),
    (b'c', "Content-Type"),
    (b'd', "Request-Disposition"),
    (b'e', "Content-Encoding"),
    (b'f', "From"),
    (b'i', "Call-ID"),
    (b'j', "Reject-Contact"),
    (b'k', "Supported"),
    (b'l', "Content-Length"),
    (b'm', "Contact"),
    (b'n', "Identity-Info"),
    (b'o', "Event"),
    (b'r', "Refer-To"),
    (b's', "Subject"),
    (b't', "To"),
    (b'u', "Allow-Events"),
    (b'v', "Via"),
    (b'x', "Session-Expires"),
    (b'y', "Identity"),
];

/// The names that usually come, most usual first. Any other is kept as it came.
const KNOWN: [&str; 74] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Content-Length",
    "Content-Type",
    "Allow",
    "Supported",
    "User-Agent",
    "Route",
    "Record-Route",
    "Require",
    "Server",
    "P-Asserted-Identity",
    "Accept",
    "Session-Expires",
    "Min-SE",
    "Expires",
    "Date",
    "Reason",
    "Event",
    "Subscription-State",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "Diversion",
    "History-Info",
    "User-to-User",
    "Call-Info",
    "Privacy",
    "Proxy-Require",
    "Unsupported",
    "Warning",
    "Retry-After",
    "RSeq",
    "RAck",
    "Authorization",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Authentication-Info",
    "Subject",
    "Timestamp",
    "Organization",
    "Priority",
    "Allow-Events",
    "Accept-Encoding",
    "Accept-Language",
    "Accept-Contact",
    "Reject-Contact",
    "Request-Disposition",
    "Alert-Info",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "MIME-Version",
    "Error-Info",
    "In-Reply-To",
    "Reply-To",
    "Join",
    "Identity",
    "Identity-Info",
    "P-Preferred-Identity",
    "P-Early-Media",
    "P-Access-Network-Info",
    "P-Charging-Vector",
    "Path",
    "Service-Route",
    "Session-ID",
    "Refer-Sub",
    "Target-Dialog",
];

/// The canonical spelling of a header name; one we do not know stays as it is.
pub fn canonical(name: &str) -> HeaderName {
    if let [letter] = name.as_bytes() {
        let letter = letter.to_ascii_lowercase();
        if let Some((_, full)) = COMPACT.iter().find(|(compact, _)| *compact == letter) {
            return Cow::Borrowed(full);
        }
    }
    match KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_oddly_written_names_have_one_spelling() {
        for (name, spelling) in [
            ("v", "Via"),
            ("L", "Content-Length"),
            ("call-id", "Call-ID"),
            ("CSEQ", "CSeq"),
            ("www-authenticate", "WWW-Authenticate"),
            ("x-Tandem-call-id", "x-Tandem-call-id"),
            ("z", "z"),
        ] {
            assert_eq!(canonical(name), spelling);
        }
    }

    #[test]
    fn no_known_name_is_copied() {
        let all = KNOWN.iter().chain(COMPACT.iter().map(|(_, full)| full));
        for name in all {
            assert!(matches!(canonical(&name.to_uppercase()), Cow::Borrowed(it) if it == *name));
        }
    }
}
