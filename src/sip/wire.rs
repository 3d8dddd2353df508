//! Between bytes and messages: framing, unfolding, compact names, limits (RFC 3261 §7, §18.3).
//!
//! What leaves here as a [`Message`] is canonical: one spelling for each header name, one line for each
//! value, a body of the length that was declared. A broken request keeps enough to be told so; a broken
//! response, and what is no SIP at all, is met with silence.

mod head;
mod names;
mod stream;

use std::borrow::Cow;

use super::header::{CSeq, Via};
use super::message::{Body, Headers, Message, Method, Request, Response, StatusCode};
use super::text;
use super::uri::{NameAddr, Uri};
use crate::ids::CallId;

use head::{Head, StartLine};
pub use stream::{Frame, StreamFramer};

/// The largest message we read, head and body: what fits into a datagram.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// The most header fields of a message. A request that came through 34 proxies has about fifty.
pub const FIELDS_MAX: usize = 200;
/// The longest header field, name excepted, unfolded.
pub const FIELD_BYTES_MAX: usize = 8_192;
/// The longest Request-URI.
pub const URI_BYTES_MAX: usize = 2_048;

/// What a datagram, or a frame of a stream, turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and moves once")]
pub enum Parsed {
    /// A sound message. A request has what RFC 3261 §8.1.1 demands (Max-Forwards excepted), a response
    /// what is needed to match it; each of these is there once, and its typed view does not fail. In a
    /// request that holds for Contact, Route and Record-Route too, if they are there.
    Message(Message),
    /// Nothing but line ends: somebody keeps a NAT open (RFC 5626 §4.4.1).
    KeepAlive,
    /// Not a message we can use.
    Bad(Box<Bad>),
}

/// What is wrong with a message, and what may be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// 400, 414, 505, 513.
    pub status: StatusCode,
    /// What is wrong; the reason phrase of the reply too. Holds nothing of the message itself.
    pub reason: Cow<'static, str>,
    /// The answer, when it was a request (never ACK) with a Via to answer along: its Via, From, To,
    /// Call-ID and CSeq as far as they are there. `None`: say nothing. Add a To tag before it is sent.
    pub reply: Option<Response>,
}

/// Reads a datagram: Content-Length may be absent, and what follows the body is dropped.
pub fn parse_datagram(bytes: &[u8]) -> Parsed {
    parse(bytes, Length::Optional)
}

/// Reads a frame of a stream, as [`StreamFramer`] cut it: Content-Length has to be there.
pub fn parse_frame(bytes: &[u8]) -> Parsed {
    parse(bytes, Length::Required)
}

/// Whether Content-Length may be absent (RFC 3261 §18.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Optional,
    Required,
}

/// The first thing that is wrong with a message.
type Problem = (StatusCode, Cow<'static, str>);

const BAD_REQUEST: StatusCode = StatusCode::of(400);

fn bad_request(reason: impl Into<Cow<'static, str>>) -> Problem {
    (BAD_REQUEST, reason.into())
}

fn too_large() -> Problem {
    (StatusCode::of(513), "Message Too Large".into())
}

fn parse(bytes: &[u8], length: Length) -> Parsed {
    // RFC 3261 §7.5: line ends before a message mean nothing.
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let Some(start) = start else { return Parsed::KeepAlive };
    let whole = &bytes[start..];
    let bytes = &whole[..whole.len().min(MESSAGE_BYTES_MAX)];

    let end = head::end(bytes, 0);
    // Names and display names in Latin-1 do come. What is not UTF-8 there reads as `�`.
    let text = &bytes[..end.unwrap_or(bytes.len())];
    let text = str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed);
    let Head { start_line, mut headers, problem } = head::read(&text);
    let problem = match (problem, end) {
        (None, _) if whole.len() > MESSAGE_BYTES_MAX => Some(too_large()),
        (None, None) => Some(bad_request("Header Section Without End")),
        (problem, _) => problem,
    };
    let content = &bytes[end.unwrap_or(bytes.len())..];
    let body = match problem {
        Some(problem) => Err(problem),
        None => take_body(&mut headers, content, length),
    };

    match start_line {
        // Without a word of SIP in its first line it may be anything; answering would help an attacker.
        StartLine::Garbage => silence(bad_request("Not SIP")),
        StartLine::Request(method, uri) => {
            match body.and_then(|body| Ok((sound_request(&method, uri, &headers)?, body))) {
                Ok((uri, body)) => Parsed::Message(Request { method, uri, headers, body }.into()),
                Err(problem) => refusal(&method, &headers, problem),
            }
        }
        StartLine::Response(status, reason) => {
            match body.and_then(|body| Ok((sound_response(status, &headers)?, body))) {
                Ok((status, body)) => {
                    Parsed::Message(Response { status, reason, headers, body }.into())
                }
                Err(problem) => silence(problem),
            }
        }
    }
}

/// Takes Content-Length and Content-Type out of the headers, and the body they describe out of what
/// follows the head.
fn take_body(
    headers: &mut Headers,
    content: &[u8],
    length: Length,
) -> Result<Option<Body>, Problem> {
    let declared = match headers.get("Content-Length") {
        Some(value) => {
            let value = text::number::<usize>(value);
            value.ok_or_else(|| bad_request("Malformed Content-Length"))?
        }
        None if length == Length::Required => return Err(bad_request("Missing Content-Length")),
        None => content.len(),
    };
    if declared > MESSAGE_BYTES_MAX {
        return Err(too_large());
    }
    let bytes = content.get(..declared);
    let bytes = bytes.ok_or_else(|| bad_request("Content-Length Beyond End of Message"))?;
    let content_type = headers.get("Content-Type").unwrap_or_default().to_owned();
    headers.remove("Content-Length");
    headers.remove("Content-Type");
    Ok((!bytes.is_empty()).then(|| Body { content_type, bytes: bytes.into() }))
}

/// What a request must have beyond what any message must have. Returns its Request-URI.
fn sound_request(
    method: &Method,
    uri: Result<Uri, Problem>,
    headers: &Headers,
) -> Result<Uri, Problem> {
    let uri = uri?;
    let cseq = check_mandatory(headers)?;
    if cseq.method != *method {
        return Err(bad_request("CSeq Method Mismatch"));
    }
    if headers.contains("Max-Forwards") && headers.max_forwards().is_none() {
        return Err(bad_request("Malformed Max-Forwards"));
    }
    for name in ["Contact", "Route", "Record-Route"] {
        let is_any = name == "Contact" && headers.get(name) == Some("*");
        if !is_any && headers.list::<NameAddr>(name).is_err() {
            return Err(bad_request(format!("Malformed {name}")));
        }
    }
    Ok(uri)
}

/// The status of a response that can be matched.
fn sound_response(status: Option<StatusCode>, headers: &Headers) -> Result<StatusCode, Problem> {
    check_mandatory(headers)?;
    status.ok_or_else(|| bad_request("Malformed Status-Line"))
}

/// The fields without which a message belongs to no transaction and no dialog. Each is there once, which
/// was seen to when the head was read.
fn check_mandatory(headers: &Headers) -> Result<CSeq, Problem> {
    let has_sound_tag = |address: &NameAddr| address.tag().is_none_or(text::is_token);
    let is_one_word = |id: &CallId| !id.as_str().contains(char::is_whitespace);

    let via = headers.via().is_some();
    let from = headers.from().is_some_and(|from| has_sound_tag(&from));
    let to = headers.to().is_some_and(|to| has_sound_tag(&to));
    let call_id = headers.call_id().is_some_and(|id| is_one_word(&id));
    let cseq = headers.cseq();
    let sound =
        [("Via", via), ("From", from), ("To", to), ("Call-ID", call_id), ("CSeq", cseq.is_some())];
    if let Some((name, _)) = sound.iter().find(|(_, sound)| !sound) {
        let fault = if headers.contains(name) { "Malformed" } else { "Missing" };
        return Err(bad_request(format!("{fault} {name}")));
    }
    cseq.ok_or_else(|| bad_request("Missing CSeq"))
}

/// A broken request, with the reply to it if one is possible and allowed.
fn refusal(method: &Method, headers: &Headers, (status, reason): Problem) -> Parsed {
    let mut reply = Response::new(status);
    reply.reason = reason.to_string();
    for (n, via) in headers.all("Via").enumerate() {
        let via = if n == 0 { sound_via(via) } else { Some(via) };
        if let Some(via) = via {
            reply.headers.push("Via", via);
        }
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        if let Some(value) = headers.get(name) {
            reply.headers.push(name, value);
        }
    }
    let may_answer = *method != Method::Ack && reply.headers.via().is_some();
    Parsed::Bad(Box::new(Bad { status, reason, reply: may_answer.then_some(reply) }))
}

/// A Via as it is, or, when only its parameters are broken, without them: its sent-by can still be
/// answered.
fn sound_via(via: &str) -> Option<&str> {
    let is_sound =
        |via: &str| text::split_list(via).next().is_some_and(|it| it.parse::<Via>().is_ok());
    let without_params = || via.split([';', ',']).next().map(str::trim_ascii_end);
    Some(via).filter(|via| is_sound(via)).or_else(|| without_params().filter(|via| is_sound(via)))
}

fn silence((status, reason): Problem) -> Parsed {
    Parsed::Bad(Box::new(Bad { status, reason, reply: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "v: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b\r\nVia: SIP/2.0/UDP c\r\n\
        f: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nSubject: x\r\nCall-ID: 1@a\r\n";

    #[test]
    fn a_broken_request_is_told_so_along_the_way_it_came() {
        let bad = bad(&format!("OPTIONS sip:a SIP/2.0\r\n{FIELDS}\r\n"));

        assert_eq!(bad.reason, "Missing CSeq");
        assert_eq!(
            String::from_utf8(bad.reply.unwrap().to_bytes()).unwrap(),
            "SIP/2.0 400 Missing CSeq\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b\r\n\
             Via: SIP/2.0/UDP c\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1@a\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_broken_ack_and_a_broken_response_are_met_with_silence() {
        for start in
            ["ACK sip:a SIP/2.0", "ACK  sip:a SIP/2.0", "ACK sip:a SIP/3.0", "SIP/2.0 200 OK"]
        {
            assert_eq!(bad(&format!("{start}\r\n{FIELDS}\r\n")).reply, None, "{start}");
        }
    }

    #[test]
    fn only_the_broken_part_of_a_via_is_left_out_of_the_reply() {
        let bad = bad(
            "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a:5070;;,\r\nVia: SIP/2.0/UDP b\r\n\r\n",
        );

        let reply = bad.reply.unwrap();
        assert_eq!(
            reply.headers.all("Via").collect::<Vec<_>>(),
            ["SIP/2.0/UDP a:5070", "SIP/2.0/UDP b"]
        );
    }

    #[test]
    fn only_a_datagram_may_leave_its_length_to_its_end() {
        let text = format!("OPTIONS sip:a SIP/2.0\r\n{FIELDS}CSeq: 1 OPTIONS\r\n\r\nhello");

        let Parsed::Message(message) = parse_datagram(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(&*message.body().unwrap().bytes, b"hello");
        let Parsed::Bad(bad) = parse_frame(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(bad.reason, "Missing Content-Length");
    }

    #[track_caller]
    fn bad(text: &str) -> Bad {
        match parse_datagram(text.as_bytes()) {
            Parsed::Bad(bad) => *bad,
            parsed => panic!("{parsed:?}"),
        }
    }
}
