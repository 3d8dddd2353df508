//! One endpoint and a phone whose every line is written by hand.

use std::time::{Duration, Instant};

use super::world::sdp;
use crate::ids::DialogId;
use crate::sip::endpoint::*;
use crate::sip::message::Headers;

/// Where the phone is.
pub const PHONE: &str = "192.0.2.9:5070";
/// Somebody who has no business in its calls.
pub const STRANGER: &str = "198.51.100.66:5070";

pub struct Phone {
    pub now: Instant,
    pub us: Endpoint,
    pub events: Vec<Event>,
}

/// What a test says in its datagrams.
pub struct Line {
    pub method: &'static str,
    pub uri: &'static str,
    pub branch: &'static str,
    pub to_tag: String,
    pub seq: u32,
    /// Further fields, each with its line end.
    pub fields: String,
    pub body: &'static str,
}

impl Phone {
    pub fn new() -> Self {
        Phone::with(|_| ())
    }

    /// With other settings than usual.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            sent_by: vec![(Transport::Udp, "192.0.2.1:5060".parse().unwrap())],
            user_agent: "tandem".to_owned(),
            calls_max: 3,
            trusted: vec![],
            takes_refer: false,
            seed: 1,
        };
        change(&mut settings);
        Phone { now: Instant::now(), us: Endpoint::new(settings), events: vec![] }
    }

    /// Says something and returns what is said in return, at once.
    pub fn says(&mut self, text: &str) -> Vec<String> {
        self.says_from(PHONE, text)
    }

    /// The same, from another address.
    pub fn says_from(&mut self, source: &str, text: &str) -> Vec<String> {
        let source = Peer { transport: Transport::Udp, address: source.parse().unwrap() };
        self.us.handle_datagram(self.now, source, text.as_bytes());
        self.hears()
    }

    /// What has been said to it since.
    pub fn hears(&mut self) -> Vec<String> {
        self.events.extend(std::iter::from_fn(|| self.us.poll_event()));
        let sent = std::iter::from_fn(|| self.us.poll_transmit());
        sent.map(|transmit| String::from_utf8(transmit.bytes.to_vec()).unwrap()).collect()
    }

    /// Lets time pass.
    pub fn waits(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut heard = Vec::new();
        while let Some(next) = self.us.poll_timeout().filter(|next| *next <= end) {
            self.now = next;
            self.us.handle_timeout(next);
            heard.extend(self.hears());
        }
        self.now = end;
        heard
    }

    /// Calls, is answered and acknowledges: the dialog, and our tag.
    pub fn connects(&mut self) -> (DialogId, String) {
        self.says(&Line::invite().text());
        let dialog = self.invited();
        self.us.answer(self.now, dialog, sdp("answer"), &Headers::default()).unwrap();
        let tag = to_tag(&self.hears()[0]);
        let mut ack = Line::new("ACK", "ack", &tag);
        ack.seq = 1;
        assert!(self.says(&ack.text()).is_empty());
        (dialog, tag)
    }

    /// The dialog of the last INVITE.
    pub fn invited(&self) -> DialogId {
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Invited { dialog, .. } => Some(*dialog),
            _ => None,
        });
        last.expect("we were called")
    }
}

impl Line {
    pub fn new(method: &'static str, branch: &'static str, to_tag: &str) -> Self {
        let (fields, body) = (String::new(), "");
        let to_tag = to_tag.to_owned();
        Line { method, uri: "sip:us@192.0.2.1", branch, to_tag, seq: 2, fields, body }
    }

    /// A sound first INVITE.
    pub fn invite() -> Self {
        let mut line = Line::new("INVITE", "first", "");
        line.seq = 1;
        line.fields = "Content-Type: application/sdp\r\n".to_owned();
        line.body = "offer";
        line
    }

    /// The same with another number.
    pub fn seq(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    /// The same with one more field.
    pub fn with(mut self, field: &str) -> Self {
        self.fields += field;
        self.fields += "\r\n";
        self
    }

    pub fn text(&self) -> String {
        let Line { method, uri, branch, to_tag, seq, fields, body } = self;
        let to_tag = match to_tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        let length = body.len();
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONE};branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\n\
             To: <sip:us@192.0.2.1>{to_tag}\r\n\
             From: <sip:phone@192.0.2.9>;tag=theirs\r\n\
             Call-ID: call@192.0.2.9\r\n\
             CSeq: {seq} {method}\r\n\
             Contact: <sip:phone@{PHONE}>\r\n\
             {fields}Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// The status codes of responses, the methods of requests.
pub fn starts(messages: &[String]) -> Vec<&str> {
    messages
        .iter()
        .map(|text| text.strip_prefix("SIP/2.0 ").unwrap_or(text))
        .map(|text| text.split(' ').next().unwrap_or_default())
        .collect()
}

/// A header field of a message.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The tag in To.
pub fn to_tag(text: &str) -> String {
    let to = field(text, "To").expect("every message has one");
    to.split_once("tag=").expect("it has a tag").1.to_owned()
}
