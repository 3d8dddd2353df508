//! What a REFER asks for: whom to call, and what to tell them (RFC 3515 §2.1, RFC 3892, RFC 3261 §19.1.5).

use crate::sip::uri::SipUri;
use crate::sip::{Headers, NameAddr, Request, StatusCode, Uri};

/// Header fields that a URI may not choose: they say who we are, where we are and what we can do, or
/// belong to the message itself (RFC 3261 §19.1.5).
const NOT_THEIRS: [&str; 23] = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Allow",
    "Authorization",
    "body",
    "Call-ID",
    "Contact",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "From",
    "Max-Forwards",
    "Organization",
    "Proxy-Authorization",
    "Record-Route",
    "Referred-By",
    "Route",
    "Supported",
    "To",
    "User-Agent",
    "Via",
];

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Request-URI and To.
    pub uri: Uri,
    /// What the INVITE carries on: the headers of the Refer-To, and this REFER's Referred-By.
    pub headers: Headers,
}

/// Reads a REFER. The error is the status that refuses it.
pub fn target(refer: &Request) -> Result<Target, StatusCode> {
    let refer_to = refer.headers.typed::<NameAddr>("Refer-To").ok().flatten();
    let uri = refer_to.ok_or(StatusCode::of(400))?.uri;
    let Uri::Sip(sip) = &uri else { return Err(StatusCode::of(416)) };
    if sip.is_secure() {
        return Err(StatusCode::of(416));
    }
    // We call people; what else a REFER could make us send is not for a phone.
    if sip.param("method").is_some_and(|method| method != "INVITE") {
        return Err(StatusCode::of(403));
    }
    let mut headers = Headers::default();
    carry(sip, &mut headers);
    if let Some(referrer) = refer.headers.get("Referred-By") {
        headers.push("Referred-By", referrer);
    }
    Ok(Target { uri: sip.to_request_uri(), headers })
}

fn carry(sip: &SipUri, headers: &mut Headers) {
    for (name, value) in sip.headers() {
        let is_theirs = !NOT_THEIRS.iter().any(|ours| ours.eq_ignore_ascii_case(&name));
        // Escapes may hide a line end, which would end the header field.
        if is_theirs && !value.chars().any(char::is_control) && !name.chars().any(char::is_control)
        {
            headers.push(name.into_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    #[test]
    fn headers_of_the_refer_to_become_those_of_the_invite() {
        let target = target(&refer(
            "<sip:sarah@192.0.2.3:5070?X-Tandem-Call-ID=a%40b&User-to-User=6162%3Bencoding%3Dhex>",
        ))
        .expect("sound");
        assert_eq!(target.uri.to_string(), "sip:sarah@192.0.2.3:5070");
        let headers: Vec<_> = target.headers.iter().collect();
        assert_eq!(
            headers,
            [
                ("X-Tandem-Call-ID", "a@b"),
                ("User-to-User", "6162;encoding=hex"),
                ("Referred-By", "<sip:billing@192.0.2.1>"),
            ]
        );
    }

    #[test]
    fn uri_cannot_say_who_we_are() {
        let target = target(&refer(
            "<sip:sarah@192.0.2.3?From=%3Csip:boss%40example.com%3E&call-id=1&Referred-By=x\
             &body=evil&Subject=a%0d%0aEvil:%201&Priority=urgent>",
        ))
        .expect("sound");
        let names: Vec<_> = target.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Priority", "Referred-By"]);
    }

    #[test]
    fn what_a_phone_cannot_call_is_refused() {
        for (refer_to, status) in [
            ("<tel:+4930555123>", 416),
            ("<sips:sarah@192.0.2.3>", 416),
            ("<sip:sarah@192.0.2.3;method=BYE>", 403),
            ("<sip:sarah@", 400),
            ("", 400),
        ] {
            assert_eq!(target(&refer(refer_to)), Err(StatusCode::of(status)), "{refer_to}");
        }
        assert!(target(&refer("sip:sarah@192.0.2.3;method=INVITE")).is_ok());
    }

    fn refer(refer_to: &str) -> Request {
        let mut request = Request::new(Method::Refer, "sip:phone@192.0.2.9".parse().unwrap());
        request.headers.push("Refer-To", refer_to);
        request.headers.push("Referred-By", "<sip:billing@192.0.2.1>");
        request
    }
}
