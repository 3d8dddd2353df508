//! What a simulated phone says: requests until they are answered, answers for when the question comes
//! again.

use std::net::SocketAddr;

use tandem::sip::{Body, Method, Request, StatusCode};

use super::line::{Sending, State, branch, sequence};
use super::now;
use super::sip::{GIVE_UP, Inner, T1};

impl Inner {
    /// RFC 3515 §2.4.5: a status line in a NOTIFY; a final one ends the subscription.
    pub(super) fn notify(&mut self, number: usize, status: u16) {
        if self.lines[number].state == State::Over {
            return;
        }
        let state =
            if status >= 200 { "terminated;reason=noresource" } else { "active;expires=60" };
        let headers = [
            ("Event".to_owned(), "refer".to_owned()),
            ("Subscription-State".to_owned(), state.to_owned()),
        ];
        let line = format!("SIP/2.0 {status} {}\r\n", StatusCode::of(status).reason());
        let body = Body::new("message/sipfrag;version=2.0", line.into_bytes());
        self.request(number, Method::Notify, &headers, Some(body));
    }

    pub(super) fn cancel(&mut self, number: usize) {
        let branch = self.lines[number].branch.clone();
        let heard = |sending: &Sending| sending.branch == branch && sending.again_at.is_none();
        // RFC 3261 §9.1: not before the first provisional response.
        if !self.sendings.iter().any(heard) {
            return;
        }
        let bytes = self.compose(number, "CANCEL", 1, &branch, &[], None, None);
        self.start(number, branch, "CANCEL", 1, bytes);
    }

    /// Sends a request until it is answered. Returns its branch.
    pub(super) fn request(
        &mut self,
        number: usize,
        method: Method,
        headers: &[(String, String)],
        body: Option<Body>,
    ) -> String {
        let (branch, method) = (self.branch(), method.as_str().to_owned());
        self.lines[number].sequence += 1;
        let sequence = self.lines[number].sequence;
        let bytes = self.compose(number, &method, sequence, &branch, headers, body, None);
        self.start(number, branch.clone(), &method, sequence, bytes);
        branch
    }

    pub(super) fn start(
        &mut self,
        line: usize,
        branch: String,
        method: &str,
        sequence: u32,
        bytes: Vec<u8>,
    ) {
        let to = self.lines[line].peer;
        self.send(&bytes, to);
        let (now, method) = (now(), method.to_owned());
        self.sendings.push(Sending {
            line,
            branch,
            method,
            sequence,
            is_final: false,
            bytes,
            to,
            gap: T1,
            again_at: Some(now + T1),
            until: now + GIVE_UP,
        });
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a SIP request")]
    pub(super) fn compose(
        &self,
        number: usize,
        method: &str,
        sequence: u32,
        branch: &str,
        headers: &[(String, String)],
        body: Option<Body>,
        remote: Option<&str>,
    ) -> Vec<u8> {
        let line = &self.lines[number];
        let method = Method::new(method).expect("a method");
        let uri = line.target.parse().expect("a URI");
        let mut request = Request::new(method.clone(), uri);
        let fields = &mut request.headers;
        fields.push("Via", format!("SIP/2.0/UDP {}:5060;branch={branch};rport", self.ip));
        fields.push("Max-Forwards", "70");
        fields.push("From", line.local.clone());
        fields.push("To", remote.unwrap_or(&line.remote));
        fields.push("Call-ID", line.call_id.clone());
        fields.push("CSeq", format!("{sequence} {}", method.as_str()));
        fields.push("Contact", format!("<sip:{}@{}:5060>", self.name, self.ip));
        for (name, value) in headers {
            fields.push(name.clone(), value.clone());
        }
        request.body = body;
        request.to_bytes()
    }

    pub(super) fn respond(
        &mut self,
        number: usize,
        request: &Request,
        status: u16,
        body: Option<Body>,
    ) -> Vec<u8> {
        let line = &mut self.lines[number];
        if request.method == Method::Invite {
            line.status = status;
        }
        let mut response = request.response(StatusCode::of(status));
        response.headers.set("To", line.local.clone());
        response.headers.push("Contact", format!("<sip:{}@{}:5060>", self.name, self.ip));
        response.body = body;
        response.to_bytes()
    }

    /// A response that is not repeated but when the request is.
    pub(super) fn reply(&mut self, number: usize, request: &Request, status: u16) {
        let response = self.respond(number, request, status, None);
        self.keep(request, response, self.lines[number].peer);
    }

    pub(super) fn keep(&mut self, request: &Request, response: Vec<u8>, to: SocketAddr) {
        let via = branch(request.headers.get("Via").expect("a Via"));
        self.send(&response, to);
        self.answers.insert((via, request.method.as_str().to_owned()), response);
    }

    /// The final response to an INVITE, again and again until its ACK.
    pub(super) fn send_final(&mut self, line: usize, invite: &Request, bytes: Vec<u8>) {
        let (number, _) = sequence(&invite.headers);
        let to = self.lines[line].peer;
        self.keep(invite, bytes.clone(), to);
        let now = now();
        self.sendings.push(Sending {
            line,
            branch: String::new(),
            method: "INVITE".to_owned(),
            sequence: number,
            is_final: true,
            bytes,
            to,
            gap: T1,
            again_at: Some(now + T1),
            until: now + GIVE_UP,
        });
    }

    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) {
        if !self.gone {
            self.socket.try_send(bytes, to).expect("the simulated network takes it");
        }
    }
}

/// A body that describes a session.
pub fn sdp(text: String) -> Body {
    Body::new("application/sdp", text.into_bytes())
}
