//! Requests, responses and their headers, with one common view of both (RFC 3261 §7).
//!
//! Headers keep the bytes they came with and their order. Names are canonical from ingest on (compact
//! forms and odd capitals are gone), values are unfolded and trimmed; comma-separated lists are split
//! only by those who ask for a list.

mod headers;
mod method;
mod status;

use std::fmt;
use std::sync::Arc;

use super::text;
use super::uri::Uri;

pub use headers::{HeaderName, Headers};
pub use method::Method;
pub use status::StatusCode;

/// A message body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type as it came, parameters included; empty if there was none. It is not repeated in
    /// the headers.
    pub content_type: String,
    /// The bytes; binary bodies are kept as they are.
    pub bytes: Arc<[u8]>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// All header fields but Content-Length, which is computed when the message is written, and
    /// Content-Type, which is the body's.
    pub headers: Headers,
    /// The body, if Content-Length says there is one.
    pub body: Option<Body>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase.
    pub reason: String,
    /// All header fields but Content-Length and Content-Type, as in a request.
    pub headers: Headers,
    /// The body, if Content-Length says there is one.
    pub body: Option<Body>,
}

/// Either of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Body {
    /// A body of that type.
    pub fn new(content_type: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        Body { content_type: content_type.to_owned(), bytes: bytes.into() }
    }

    /// Whether the body has that media type; case and parameters do not matter.
    pub fn is(&self, media_type: &str) -> bool {
        let without_params = self.content_type.split(';').next().unwrap_or_default();
        without_params.trim_ascii().eq_ignore_ascii_case(media_type)
    }
}

impl Request {
    /// A request with no header field and no body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Request { method, uri, headers: Headers::default(), body: None }
    }

    /// A response to this request: its Via (all), From, To, Call-ID and CSeq, and the status's own
    /// reason phrase (RFC 3261 §8.2.6). 100 gets its Timestamp too. The To tag is the sender's to add.
    pub fn response(&self, status: StatusCode) -> Response {
        let mut response = Response::new(status);
        for via in self.headers.all("Via") {
            response.headers.push("Via", via);
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            if let Some(value) = self.headers.get(name) {
                response.headers.push(name, value);
            }
        }
        if let Some(timestamp) = self.headers.get("Timestamp").filter(|_| status.code() == 100) {
            response.headers.push("Timestamp", timestamp);
        }
        response
    }

    /// The whole request as it goes on the wire, Content-Length included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start_line = format!("{} {} SIP/2.0", self.method, self.uri);
        write(&start_line, &self.headers, self.body.as_ref())
    }
}

impl Response {
    /// A response with the status's own reason phrase, no header field and no body.
    pub fn new(status: StatusCode) -> Self {
        let reason = status.reason().to_owned();
        Response { status, reason, headers: Headers::default(), body: None }
    }

    /// The whole response as it goes on the wire, Content-Length included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start_line = format!("SIP/2.0 {} {}", self.status, self.reason);
        write(&start_line, &self.headers, self.body.as_ref())
    }
}

impl Message {
    /// The headers of either.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    /// The body of either.
    pub fn body(&self) -> Option<&Body> {
        match self {
            Message::Request(request) => request.body.as_ref(),
            Message::Response(response) => response.body.as_ref(),
        }
    }

    /// The whole message as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Message::Response(response)
    }
}

/// Room for the line ends, Content-Length and Content-Type of a message beside what we count.
const SLACK: usize = 96;

fn write(start_line: &str, headers: &Headers, body: Option<&Body>) -> Vec<u8> {
    let content = body.map_or(&[][..], |body| &body.bytes);
    let fields: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut out = Vec::with_capacity(start_line.len() + fields + content.len() + SLACK);

    push_line(&mut out, start_line);
    for (name, value) in headers.iter() {
        // A name that is no token could only be one that somebody made up to be misread.
        let ours =
            ["Content-Length", "Content-Type"].iter().any(|it| it.eq_ignore_ascii_case(name));
        if !ours && text::is_token(name) {
            push_field(&mut out, name, value);
        }
    }
    if let Some(body) = body.filter(|body| !body.content_type.is_empty()) {
        push_field(&mut out, "Content-Type", &body.content_type);
    }
    push_field(&mut out, "Content-Length", &content.len().to_string());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(content);
    out
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    push_line(out, value);
}

/// Writes a line and its end. A line end *within* it would begin a header field of somebody else's
/// choice; it becomes a space.
fn push_line(out: &mut Vec<u8>, line: &str) {
    let start = out.len();
    out.extend_from_slice(line.as_bytes());
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_with_the_length_of_its_body() {
        let mut request = invite();
        request.headers.push("content-length", "7");
        request.headers.push("Content-Type", "text/plain");
        request.body = Some(Body::new("application/octet-stream", *b"\0\xff\r\n"));

        assert_eq!(
            request.to_bytes(),
            b"INVITE sip:demo@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\n\
              Timestamp: 54\r\nContent-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\n\0\xff\r\n"
        );
    }

    #[test]
    fn no_value_can_bring_a_header_field_of_its_own() {
        let mut request = invite();
        request.method = Method::Other("X\r\nEvil: 1".into());
        request.uri = Uri::Other("x:\r\nEvil: 2".into());
        request.headers.push("Subject", "hello\r\nEvil: 3\r\n\r\nbody");
        request.headers.push("X\r\nEvil", "4");
        request.headers.push("X: 1\nEvil", "5");
        request.body = Some(Body::new("text/plain\r\nEvil: 6", *b""));

        let bytes = request.to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.lines().all(|line| !line.starts_with("Evil")), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1);
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_response_has_what_the_request_must_find_in_it() {
        let mut request = invite();
        request.headers.push("Via", "SIP/2.0/UDP b");
        request.headers.push("CSeq", "1 INVITE");

        let names = |code| {
            let response = request.response(StatusCode::of(code));
            response.headers.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };

        assert_eq!(names(100), ["Via", "Via", "From", "CSeq", "Timestamp"]);
        assert_eq!(names(486), ["Via", "Via", "From", "CSeq"]);
        assert!(
            request
                .response(StatusCode::of(486))
                .to_bytes()
                .starts_with(b"SIP/2.0 486 Busy Here\r\n")
        );
    }

    #[test]
    fn a_media_type_is_compared_without_case_and_parameters() {
        let body = Body::new("Application/SDP ; charset=utf-8", *b"v=0");
        assert!(body.is("application/sdp") && !body.is("application/sd"));
    }

    fn invite() -> Request {
        let uri = "sip:demo@example.com".parse().unwrap();
        let mut request = Request::new(Method::Invite, uri);
        request.headers.push("Via", "SIP/2.0/UDP a");
        request.headers.push("From", "<sip:a@b>;tag=1");
        request.headers.push("Timestamp", "54");
        request
    }
}
