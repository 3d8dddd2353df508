//! A phone of one UDP socket that says word for word what it is told to say.

#![allow(dead_code, reason = "each of these tests uses its part")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// One socket and the server it talks to.
pub struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
}

/// What came.
pub struct Message(String);

/// A request; [`Peer::write`] turns it into text.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub uri: String,
    pub call_id: String,
    /// What follows the magic cookie.
    pub branch: String,
    pub from_tag: &'static str,
    pub to_tag: Option<String>,
    pub seq: u32,
    /// Further lines, each without its end.
    pub fields: Vec<String>,
    pub body: String,
}

impl Request {
    /// A request outside of any dialog. The Call-ID names what it is for.
    pub fn new(method: &'static str, user: &str, call_id: &str) -> Self {
        Request {
            method,
            uri: format!("sip:{user}@127.0.0.1"),
            call_id: call_id.to_owned(),
            branch: call_id.to_owned(),
            from_tag: "peer",
            to_tag: None,
            seq: 1,
            fields: vec![],
            body: String::new(),
        }
    }

    /// The same with an offer of sound at `port`.
    pub fn offering(self, port: u16) -> Self {
        let body = format!(
            "v=0\r\no=- 1 {seq} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n",
            seq = self.seq
        );
        self.field("Content-Type: application/sdp").body(&body)
    }

    pub fn field(mut self, line: &str) -> Self {
        self.fields.push(line.to_owned());
        self
    }

    pub fn body(self, body: &str) -> Self {
        Request { body: body.to_owned(), ..self }
    }

    /// The same to another Request-URI.
    pub fn to(self, uri: &str) -> Self {
        Request { uri: uri.to_owned(), ..self }
    }

    /// The same with the tag of a dialog that does not exist.
    pub fn in_no_dialog(self) -> Self {
        Request { to_tag: Some("nowhere".to_owned()), ..self }
    }

    /// The next request of the dialog that `answer` has opened.
    pub fn inside(&self, method: &'static str, answer: &Message, seq: u32) -> Self {
        Request {
            method,
            uri: answer.contact(),
            branch: format!("{}-{method}-{seq}", self.branch),
            to_tag: answer.to_tag(),
            seq,
            fields: vec![],
            body: String::new(),
            ..self.clone()
        }
    }
}

impl Peer {
    pub fn new(ip: impl Into<IpAddr>, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip.into(), 0)).expect("an address of loopback");
        Peer { socket, server }
    }

    pub fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).expect("loopback takes it");
    }

    pub fn request(&self, request: &Request) {
        self.send(self.write(request).as_bytes());
    }

    /// The ACK of a failed INVITE belongs to its transaction (RFC 3261 §17.1.1.3).
    pub fn acknowledge_failure(&self, invite: &Request, failure: &Message) {
        if invite.method == "INVITE" {
            let to_tag = failure.to_tag();
            let (fields, body) = (vec![], String::new());
            self.request(&Request { method: "ACK", to_tag, fields, body, ..invite.clone() });
        }
    }

    /// A request as it goes out from here.
    pub fn write(&self, request: &Request) -> String {
        let Request { method, uri, call_id, branch, from_tag, to_tag, seq, fields, body } = request;
        let me = self.socket.local_addr().expect("bound");
        let to_tag = to_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {me};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:peer@{me}>;tag={from_tag}\r\n\
             To: <sip:us@127.0.0.1>{to_tag}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {seq} {method}\r\n\
             Contact: <sip:peer@{me}>\r\n\
             {fields}\
             Content-Length: {length}\r\n\r\n{body}",
            length = body.len()
        )
    }

    /// The final response to a request.
    #[track_caller]
    pub fn answer(&self, to: &Request) -> Message {
        let seq = to.seq.to_string();
        let deadline = Instant::now() + ANSWER_TIME;
        while let Some(message) = self.receive_until(deadline) {
            let cseq = message.header("CSeq").unwrap_or_default().split_whitespace();
            let is_it =
                message.header("Call-ID") == Some(&to.call_id) && cseq.eq([&seq, to.method]);
            if is_it && message.status().is_some_and(|status| status >= 200) {
                return message;
            }
        }
        panic!("no answer to {} {}", to.method, to.call_id)
    }

    /// The next message, whatever it is.
    #[track_caller]
    pub fn receive(&self) -> Message {
        self.receive_until(Instant::now() + ANSWER_TIME).expect("a message in time")
    }

    fn receive_until(&self, deadline: Instant) -> Option<Message> {
        let left = deadline.checked_duration_since(Instant::now())?;
        // Zero would mean "for ever" to the system.
        self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
        let mut bytes = vec![0; 65_535];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(Message(String::from_utf8_lossy(&bytes[..length]).into_owned()))
    }
}

impl Message {
    /// The status code; `None` of a request.
    pub fn status(&self) -> Option<u16> {
        self.0.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// A 200 to a request within a dialog.
    pub fn ok(&self) -> String {
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| {
            let value = self.header(name).expect("every request has it");
            format!("{name}: {value}\r\n")
        });
        format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", copied.concat())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.0.lines().skip(1).take_while(|line| !line.is_empty());
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// What follows the empty line.
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    fn to_tag(&self) -> Option<String> {
        self.header("To")?.split_once(";tag=").map(|(_, tag)| tag.to_owned())
    }

    fn contact(&self) -> String {
        let contact = self.header("Contact").expect("a response that opens a dialog has one");
        contact.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned()
    }
}
