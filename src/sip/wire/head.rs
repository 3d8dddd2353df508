//! The head of a message: its first line and its header fields, unfolded and canonical (RFC 3261 §7.3.1).

use std::borrow::Cow;

use super::super::message::{Headers, Method, StatusCode};
use super::super::text;
use super::super::uri::Uri;
use super::{FIELD_BYTES_MAX, FIELDS_MAX, Problem, URI_BYTES_MAX, bad_request, names};

/// The one version that there is.
const VERSION: &str = "SIP/2.0";

/// Header fields that decide what a message means and may be there only once. A second one would let
/// two elements on its way read two different messages.
const SINGLE: [&str; 17] = [
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Content-Length",
    "Content-Type",
    "Event",
    "Expires",
    "Min-SE",
    "RAck",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "RSeq",
    "Session-Expires",
    "Subscription-State",
];

/// What a response is matched and cut by.
const ESSENTIAL: [&str; 6] = ["Via", "From", "To", "Call-ID", "CSeq", "Content-Length"];

/// Room for the header fields of a usual message.
const FIELDS_USUAL: usize = 24;

/// What [`read`] found.
pub struct Head {
    pub start_line: StartLine,
    pub headers: Headers,
    /// The first thing that is wrong. What could be read is there all the same, for the reply.
    pub problem: Option<Problem>,
}

/// The first line of a message.
pub enum StartLine {
    Request(Method, Result<Uri, Problem>),
    /// `None`: a status code that is none.
    Response(Option<StatusCode>, String),
    /// Neither, and nothing that was meant to be one.
    Garbage,
}

/// Where the head ends and the body begins. The first `from` bytes are known to hold no end.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    loop {
        let window = bytes.get(at..at + 4)?;
        // How far the last byte allows the end to be.
        at += match window[3] {
            b'\r' => 1,
            b'\n' if window == b"\r\n\r\n" => return Some(at + 4),
            b'\n' => 2,
            _ => 4,
        };
    }
}

/// Reads the head of a message.
pub fn read(text: &str) -> Head {
    let mut lines = lines(text);
    let first = lines.next().unwrap_or_default();
    let (start_line, mut problem) = start_line(&first);
    if problem.is_none() && has_bare_line_end(&first) {
        problem = Some(bad_request("Bare CR or LF in Start-Line"));
    }
    let is_response = matches!(start_line, StartLine::Response(..));
    let mut headers = Headers::with_capacity(FIELDS_USUAL);
    for (n, line) in lines.enumerate() {
        if n == FIELDS_MAX {
            problem.get_or_insert(bad_request("Too Many Header Fields"));
            break;
        }
        if let Err(fault) = push_field(&mut headers, &line)
            && (!is_response || is_essential(&line))
        {
            problem.get_or_insert(fault);
        }
    }
    Head { start_line, headers, problem }
}

/// Whether a fault in this line spoils a response. Nobody can be told about one, and to lose an answered
/// call is worse than to lose a field, so the others are left out.
fn is_essential(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    ESSENTIAL.contains(&&*names::canonical(name.trim_ascii_end()))
}

/// The value of each field of that canonical name.
pub fn values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    lines(text).skip(1).filter_map(move |line| {
        let (field, value) = line.split_once(':')?;
        (names::canonical(field.trim_ascii_end()) == name).then(|| value.trim_ascii().to_owned())
    })
}

/// The lines of the head, each unfolded: a line that begins with a blank continues the one above it.
fn lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = text;
    let mut next = move |folded: bool| {
        if rest.is_empty() || (folded && !rest.starts_with([' ', '\t'])) {
            return None;
        }
        let line = first_line(rest);
        rest = rest[line.len()..].strip_prefix("\r\n").unwrap_or_default();
        // The empty line is the end of the head.
        (folded || !line.is_empty()).then_some(line)
    };
    std::iter::from_fn(move || {
        let mut line = Cow::Borrowed(next(false)?);
        while let Some(more) = next(true) {
            let line = line.to_mut();
            line.truncate(line.trim_ascii_end().len());
            line.push(' ');
            line.push_str(more.trim_ascii());
        }
        Some(line)
    })
}

/// What stands before the first CRLF; all of it where there is none.
fn first_line(text: &str) -> &str {
    let is_end = |&(at, _): &(usize, _)| text[..at].ends_with('\r');
    let end = text.match_indices('\n').find(is_end);
    end.map_or(text, |(at, _)| &text[..at - 1])
}

/// Some elements end a line at these alone: what they would read as a header field must not pass us.
fn has_bare_line_end(line: &str) -> bool {
    line.contains('\n') || line.contains('\r')
}

fn start_line(line: &str) -> (StartLine, Option<Problem>) {
    // The version is the one word of it that is compared without case (RFC 3261 §7.1).
    let is_version = |word: &str| word.eq_ignore_ascii_case(VERSION);
    let mut words = line.splitn(4, ' ');
    let words = [words.next(), words.next(), words.next(), words.next()];
    if let [Some(version), Some(code), ..] = words
        && is_version(version)
    {
        let reason = line.get(VERSION.len() + code.len() + 2..).unwrap_or_default();
        let code = (code.len() == 3).then(|| text::number(code).and_then(StatusCode::new));
        return (StartLine::Response(code.flatten(), reason.to_owned()), None);
    }
    let is_any_version = |text: &str| text.to_ascii_uppercase().contains("SIP/");
    let problem = match words {
        [_, _, Some(version), None] if is_version(version) => None,
        [_, _, Some(version), None] if is_any_version(version) => {
            Some((StatusCode::of(505), "Version Not Supported".into()))
        }
        // One blank between the three, none before or behind: RFC 4475 §3.1.2.8 to §3.1.2.10.
        _ if is_any_version(line) => Some(bad_request("Malformed Request-Line")),
        _ => return (StartLine::Garbage, None),
    };
    match words[0].and_then(Method::new) {
        Some(method) => {
            (StartLine::Request(method, request_uri(words[1].unwrap_or_default())), problem)
        }
        None => (StartLine::Garbage, None),
    }
}

fn request_uri(text: &str) -> Result<Uri, Problem> {
    if text.len() > URI_BYTES_MAX {
        return Err((StatusCode::of(414), "Request-URI Too Long".into()));
    }
    let uri: Uri = text.parse().map_err(|_| bad_request("Malformed Request-URI"))?;
    // Meant for a request that somebody forms from the URI, not for one that has it (RFC 3261 §19.1.1).
    match uri.as_sip().is_some_and(|uri| uri.headers().next().is_some()) {
        true => Err(bad_request("Header Fields in Request-URI")),
        false => Ok(uri),
    }
}

fn push_field(headers: &mut Headers, line: &str) -> Result<(), Problem> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let (name, value) = (name.trim_ascii_end(), value.trim_ascii());
    if !text::is_token(name) || name.len() == line.len() {
        return Err(bad_request("Malformed Header Field"));
    }
    if has_bare_line_end(line) {
        return Err(bad_request("Bare CR or LF in Header Field"));
    }
    if value.len() > FIELD_BYTES_MAX {
        return Err(bad_request("Header Field Too Long"));
    }
    let name = names::canonical(name);
    if SINGLE.contains(&name.as_ref()) && headers.contains(&name) {
        return Err(bad_request(format!("Multiple {name}")));
    }
    headers.push(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_lines_become_one() {
        let head = "A:\r\n 1,\r\n\t 2  \r\n \r\n 3\r\nB: 4\r\n\r\n";
        assert_eq!(lines(head).collect::<Vec<_>>(), ["A: 1, 2 3", "B: 4"]);
        assert_eq!(lines("A: 1\r\n 2").collect::<Vec<_>>(), ["A: 1 2"]);
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn the_end_is_found_across_reads() {
        let bytes = b"A: 1\r\n\r\nbody";
        for from in 0..=8 {
            let known = end(&bytes[..from], 0).is_none();
            assert_eq!(end(bytes, if known { from } else { 0 }), Some(8), "{from}");
        }
        assert_eq!(end(b"A: 1\r\n\r", 0), None);
        assert_eq!(end(b"", 7), None);
    }
}
