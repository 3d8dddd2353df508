//! What comes to a simulated phone, and what it does then.

use std::net::SocketAddr;
use std::time::Duration;

use tandem::sip::wire::{Parsed, parse_datagram};
use tandem::sip::{Message, Method, Request, Response, StatusCode};

use super::line::{Line, Sending, State, branch, contact, has_tag, sequence, to_of};
use super::sip::{Act, Inner};
use super::speak::sdp;
use super::{Called, Referred, now};

impl Inner {
    pub fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        if self.gone {
            return;
        }
        match parse_datagram(datagram) {
            Parsed::Message(Message::Request(request)) => self.on_request(from, request),
            Parsed::Message(Message::Response(response)) => self.on_response(response),
            Parsed::KeepAlive => (),
            Parsed::Bad(bad) => panic!("{} was sent a bad message: {}", self.name, bad.reason),
        }
    }

    pub(super) fn on_response(&mut self, response: Response) {
        let (number, method) = sequence(&response.headers);
        let branch = branch(response.headers.get("Via").expect("a Via"));
        let same = |sending: &Sending| {
            !sending.is_final && sending.branch == branch && sending.method == method
        };
        let pending = self.sendings.iter().position(same);
        let code = response.status.code();
        if method == "INVITE" && code >= 200 {
            self.acknowledge(&response, number, &branch, pending.is_some());
        }
        let Some(index) = pending else { return };
        if code < 200 {
            let line = self.sendings[index].line;
            if method == "INVITE" {
                self.sendings[index].again_at = None;
                self.sendings[index].until = now() + Duration::from_secs(180);
                self.progress(line, code);
                if self.lines[line].leaving {
                    self.cancel(line);
                }
            }
            return;
        }
        let Sending { line, .. } = self.sendings.remove(index);
        if method == "BYE" {
            self.over(line);
        }
    }

    /// A final response to an INVITE of ours, for the first time or again.
    pub(super) fn acknowledge(
        &mut self,
        response: &Response,
        number: u32,
        branch: &str,
        is_new: bool,
    ) {
        let call_id = response.headers.get("Call-ID").expect("a Call-ID");
        let Some(index) = self.lines.iter().rposition(|line| line.call_id == call_id) else {
            return;
        };
        let code = response.status.code();
        if !is_new {
            let peer = self.lines[index].peer;
            let again = match &self.lines[index].ack {
                Some((acked, ack)) if code < 300 && *acked == number => Some(ack.clone()),
                _ => self.acks.get(branch).cloned(),
            };
            if let Some(ack) = again {
                self.send(&ack, peer);
            }
            return;
        }
        if code >= 300 {
            let remote = to_of(response);
            let ack = self.compose(index, "ACK", number, branch, &[], None, Some(&remote));
            self.acks.insert(branch.to_owned(), ack.clone());
            self.send(&ack, self.lines[index].peer);
            let line = &mut self.lines[index];
            if line.state == State::Early {
                self.progress(index, code);
                self.over(index);
            }
            return;
        }
        let since = self.since();
        let line = &mut self.lines[index];
        line.remote = to_of(response);
        let (target, peer) = contact(response.headers.get("Contact").expect("a Contact"));
        (line.target, line.peer) = (target, peer);
        let answer = response.body.as_ref().expect("an answer");
        line.sound.agree(&answer.bytes, line.wanted);
        let was_early = line.state == State::Early;
        if was_early {
            line.state = State::Up;
            line.up_at = Some(since);
        }
        let branch = self.branch();
        let ack = self.compose(index, "ACK", number, &branch, &[], None, None);
        self.lines[index].ack = Some((number, ack.clone()));
        self.send(&ack, peer);
        if was_early {
            self.progress(index, code);
            if self.lines[index].leaving {
                self.request(index, Method::Bye, &[], None);
            }
        }
    }

    pub(super) fn on_request(&mut self, from: SocketAddr, request: Request) {
        let via = branch(request.headers.get("Via").expect("a Via"));
        let method = request.method.as_str().to_owned();
        if let Some(answer) = self.answers.get(&(via.clone(), method.clone())) {
            let answer = answer.clone();
            return self.send(&answer, from);
        }
        let call_id = request.headers.get("Call-ID").unwrap_or_default();
        let open = |line: &Line| line.call_id == call_id && line.state != State::Over;
        let number = self.lines.iter().rposition(open);
        let in_dialog = has_tag(request.headers.get("To").unwrap_or_default());
        match (method.as_str(), number) {
            ("ACK", _) => {
                let (acked, _) = sequence(&request.headers);
                let lines = &self.lines;
                self.sendings.retain(|sending| {
                    let same = lines[sending.line].call_id == call_id;
                    !(sending.is_final && same && sending.sequence == acked)
                });
            }
            ("INVITE", None) if !in_dialog => self.invited(from, request),
            ("INVITE", Some(number)) if in_dialog => self.reinvited(number, &request),
            ("CANCEL", Some(number)) => {
                self.reply(number, &request, 200);
                if let Some(invite) = self.lines[number].invited.take() {
                    let response = self.respond(number, &invite, 487, None);
                    self.send_final(number, &invite, response);
                    self.over(number);
                }
            }
            ("BYE", Some(number)) => {
                self.reply(number, &request, 200);
                self.over(number);
            }
            ("REFER", Some(number)) => self.referred(number, &request),
            ("OPTIONS", Some(number)) => {
                if let Some(status) = self.manners.options {
                    self.reply(number, &request, status);
                }
            }
            (_, Some(number)) => self.reply(number, &request, 200),
            (_, None) => {
                let mut response = request.response(StatusCode::of(481));
                if !in_dialog {
                    let to = format!("{};tag=none", request.headers.get("To").unwrap_or_default());
                    response.headers.set("To", to);
                }
                self.keep(&request, response.to_bytes(), from);
            }
        }
    }

    pub(super) fn invited(&mut self, from: SocketAddr, invite: Request) {
        let call_id = invite.headers.get("Call-ID").expect("a Call-ID").to_owned();
        let tag = self.count();
        let local = format!("{};tag={}-{tag}", invite.headers.get("To").expect("a To"), self.name);
        let remote = invite.headers.get("From").expect("a From").to_owned();
        let (target, _) = contact(invite.headers.get("Contact").expect("a Contact"));
        let number = self.open(call_id, local, remote, (target, from));
        self.lines[number].invite = Some(invite.clone());
        self.lines[number].invited = Some(invite.clone());
        let is_found = !matches!(self.manners.called, Called::Found(..));
        let status = if is_found { 180 } else { 100 };
        let response = self.respond(number, &invite, status, None);
        self.keep(&invite, response, from);
        match self.manners.called {
            Called::Found(after, answers_after) => {
                self.later(after, Act::Ring(number));
                self.later(after + answers_after, Act::Answer(number));
            }
            Called::Answers(after) => self.later(after, Act::Answer(number)),
            Called::Declines(after, status) => self.later(after, Act::Decline(number, status)),
            Called::Rings => (),
        }
    }

    pub(super) fn reinvited(&mut self, number: usize, invite: &Request) {
        let line = &mut self.lines[number];
        line.descriptions += 1;
        self.answer(number, invite);
    }

    /// 200 with our description, again and again until its ACK.
    pub(super) fn answer(&mut self, number: usize, invite: &Request) {
        let line = &mut self.lines[number];
        line.state = State::Up;
        line.status = 200;
        let offer = invite.body.as_ref().expect("an offer");
        let direction = line.sound.agree(&offer.bytes, line.wanted);
        let body = sdp(line.sound.describe(line.descriptions, direction));
        let response = self.respond(number, invite, 200, Some(body));
        self.send_final(number, invite, response);
    }

    pub(super) fn referred(&mut self, number: usize, refer: &Request) {
        let refer_to = refer.headers.get("Refer-To").expect("a Refer-To").to_owned();
        match self.manners.referred {
            Referred::Refuses(status) => self.reply(number, refer, status),
            Referred::Claims(statuses) => {
                self.reply(number, refer, 202);
                for (after, status) in statuses {
                    self.later(*after, Act::Notify(number, *status));
                }
            }
            Referred::Outruns(status) => {
                self.notify(number, status);
                self.reply(number, refer, 202);
            }
            Referred::Follows => {
                self.reply(number, refer, 202);
                self.notify(number, 100);
                let (uri, _) = contact(&refer_to);
                let (uri, fields) = uri.split_once('?').unwrap_or((&uri, ""));
                let fields: Vec<(String, String)> = fields
                    .split('&')
                    .filter_map(|field| field.split_once('='))
                    .map(|(name, value)| (name.to_owned(), unescape(value)))
                    .collect();
                let call_id = format!("referred-{}@{}", self.lines.len(), self.ip);
                let line = self.dial(uri, call_id, &fields);
                self.lines[line].follows = Some(number);
            }
        }
    }

    /// A response to an INVITE of ours.
    pub(super) fn progress(&mut self, number: usize, status: u16) {
        self.lines[number].status = status;
        if let Some(of) = self.lines[number].follows.filter(|_| status > 100) {
            self.notify(of, status);
        }
    }
}

/// `%40` is `@`: header fields within a URI are escaped (RFC 3261 §19.1.1).
fn unescape(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.unwrap_or(b'0') as char);
                let code = u8::from_str_radix(&digits.iter().collect::<String>(), 16);
                bytes.push(code.expect("two hexadecimal digits"));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).expect("text")
}
