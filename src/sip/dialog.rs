//! A dialog: what two user agents know of each other once they have met (RFC 3261 §12).
//!
//! It numbers our requests and checks the order of theirs, addresses requests through the route set
//! (loose and strict routers, §16.12.1), and follows the peer's Contact. What the dialog is *for*, the
//! INVITE session and the subscriptions of REFERs, is the work of `sip::endpoint`.

use std::net::{IpAddr, SocketAddr};

use super::endpoint::{Peer, Transport};
use super::header::CSeq;
use super::message::{Method, Request, Response};
use super::text::BadValue;
use super::uri::{Host, NameAddr, Uri};
use crate::ids::CallId;

/// The routes that we keep of a Record-Route. A call through more proxies than that is not one we
/// can be asked to remember.
const ROUTES_MAX: usize = 16;
/// How far a request of ours may travel (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: &str = "70";
/// The port of a URI that names none (RFC 3261 §19.1.2).
const DEFAULT_PORT: u16 = 5060;

/// One dialog, seen from our side.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: CallId,
    /// Our From, or their To: with our tag.
    local: String,
    /// Their From, or our To: with their tag.
    remote: String,
    remote_tag: String,
    local_seq: u32,
    remote_seq: Option<u32>,
    remote_target: Uri,
    route_set: Vec<NameAddr>,
    /// Where the peer was last heard.
    peer: Peer,
}

/// A request of the peer that is older than another one that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl Dialog {
    /// The dialog that an INVITE opens with us (RFC 3261 §12.1.1). `peer` is where it came from.
    pub fn from_invite(invite: &Request, local_tag: &str, peer: Peer) -> Result<Self, BadValue> {
        let headers = &invite.headers;
        let call_id = headers.call_id().ok_or(BadValue("no usable Call-ID"))?;
        let from = headers.from().ok_or(BadValue("no usable From"))?;
        let cseq = headers.cseq().ok_or(BadValue("no usable CSeq"))?;
        let contact = headers.contact().ok_or(BadValue("no usable Contact"))?;
        let route_set = routes(headers.list("Record-Route")?)?;
        let to = headers.get("To").unwrap_or_default();
        Ok(Dialog {
            call_id,
            local: format!("{to};tag={local_tag}"),
            remote: headers.get("From").unwrap_or_default().to_owned(),
            // RFC 2543 agents send no tag; it is then taken for an empty one.
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            local_seq: 0,
            remote_seq: Some(cseq.number),
            remote_target: target(contact.uri),
            route_set,
            peer,
        })
    }

    /// The dialog that a 2xx to our INVITE opens (RFC 3261 §12.1.2, §13.2.2.4). `peer` is where the
    /// response came from, or where the INVITE went to. A 2xx without a Contact breaks the rules, but
    /// it has to be acknowledged all the same: it goes where the INVITE went.
    pub fn from_response(
        invite: &Request,
        response: &Response,
        peer: Peer,
    ) -> Result<Self, BadValue> {
        let headers = &response.headers;
        let call_id = invite.headers.call_id().ok_or(BadValue("no usable Call-ID"))?;
        let cseq = invite.headers.cseq().ok_or(BadValue("no usable CSeq"))?;
        let to = headers.to().ok_or(BadValue("no usable To"))?;
        let mut route_set = routes(headers.list("Record-Route")?)?;
        route_set.reverse();
        Ok(Dialog {
            call_id,
            local: invite.headers.get("From").unwrap_or_default().to_owned(),
            remote: headers.get("To").unwrap_or_default().to_owned(),
            remote_tag: to.tag().unwrap_or_default().to_owned(),
            local_seq: cseq.number,
            remote_seq: None,
            remote_target: headers
                .contact()
                .map_or_else(|| invite.uri.clone(), |it| target(it.uri)),
            route_set,
            peer,
        })
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    /// The peer's tag; empty if it has none.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// The number of our last request.
    pub fn local_seq(&self) -> u32 {
        self.local_seq
    }

    /// Who we are in this dialog: name-addr without our tag, for Referred-By.
    pub fn local_identity(&self) -> String {
        let Ok(mut local) = self.local.parse::<NameAddr>() else { return String::new() };
        local.params.remove("tag");
        local.to_string()
    }

    /// The next request within the dialog (RFC 3261 §12.2.1.1), without Via, Contact and body.
    pub fn request(&mut self, method: Method) -> Request {
        // Below 2^31 (RFC 3261 §8.1.1.5); we begin low, so no call lives to see the end.
        self.local_seq += 1;
        self.numbered(method, self.local_seq)
    }

    /// The ACK of a 2xx to the INVITE with that number (RFC 3261 §13.2.2.4).
    pub fn ack(&self, invite_seq: u32) -> Request {
        self.numbered(Method::Ack, invite_seq)
    }

    /// Where the next request goes: to the address of the first route, or else of the peer's Contact.
    ///
    /// A name cannot be resolved here, where nothing waits. Then the request goes where the peer was
    /// last heard, which for a proxy that recorded itself by name is that proxy.
    pub fn next_hop(&self) -> Peer {
        let uri = self.route_set.first().map_or(&self.remote_target, |route| &route.uri);
        let Some(sip) = uri.as_sip() else { return self.peer };
        let Host::Ip(ip) = *sip.host() else { return self.peer };
        let transport = match sip.param("transport").as_deref() {
            Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            Some(name) if name.eq_ignore_ascii_case("udp") => Transport::Udp,
            // RFC 3263 §4.1 would have UDP; what carried the dialog so far is known to work.
            _ => self.peer.transport,
        };
        Peer { transport, address: SocketAddr::new(ip, sip.port().unwrap_or(DEFAULT_PORT)) }
    }

    /// Whether a request from that address may speak for the peer: it is where the peer was met, where
    /// its Contact points to, or one of the proxies between us.
    pub fn may_come_from(&self, ip: IpAddr) -> bool {
        let names = |uri: &Uri| uri.as_sip().is_some_and(|sip| *sip.host() == Host::Ip(ip));
        self.peer.address.ip() == ip
            || names(&self.remote_target)
            || self.route_set.iter().any(|route| names(&route.uri))
    }

    /// Checks the order of a request of the peer, and remembers its number (RFC 3261 §12.2.2).
    pub fn accept_seq(&mut self, number: u32) -> Result<(), OutOfOrder> {
        if self.remote_seq.is_some_and(|last| number <= last) {
            return Err(OutOfOrder);
        }
        self.remote_seq = Some(number);
        Ok(())
    }

    /// The peer has spoken, from that address.
    pub fn heard_from(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Follows the peer to the Contact of a re-INVITE or of the 2xx to ours (RFC 3261 §12.2).
    pub fn refresh_target(&mut self, contact: Option<NameAddr>) {
        if let Some(contact) = contact {
            self.remote_target = target(contact.uri);
        }
    }

    fn numbered(&self, method: Method, seq: u32) -> Request {
        let (uri, routes) = self.addressed();
        let cseq = CSeq { number: seq, method: method.clone() };
        let mut request = Request::new(method, uri);
        let headers = &mut request.headers;
        for route in routes {
            headers.push("Route", route.to_string());
        }
        headers.push("Max-Forwards", MAX_FORWARDS);
        headers.push("From", self.local.as_str());
        headers.push("To", self.remote.as_str());
        headers.push("Call-ID", self.call_id.as_str());
        headers.push("CSeq", cseq.to_string());
        request
    }

    /// The Request-URI and the Routes. A strict router (RFC 2543) finds itself in the Request-URI, and
    /// the target behind the other routes.
    fn addressed(&self) -> (Uri, Vec<NameAddr>) {
        let loose = |uri: &Uri| uri.as_sip().is_some_and(|sip| sip.is_loose_router());
        match self.route_set.split_first() {
            Some((first, rest)) if !loose(&first.uri) => {
                let uri = first.uri.as_sip().map_or(first.uri.clone(), |sip| sip.to_request_uri());
                let target = NameAddr::new(self.remote_target.clone());
                (uri, rest.iter().cloned().chain([target]).collect())
            }
            _ => (self.remote_target.clone(), self.route_set.clone()),
        }
    }
}

/// A Contact's URI as a Request-URI may have it (RFC 3261 §19.1.5).
fn target(contact: Uri) -> Uri {
    contact.as_sip().map(|sip| sip.to_request_uri()).unwrap_or(contact)
}

/// Keeps a route set bounded.
fn routes(record_route: Vec<NameAddr>) -> Result<Vec<NameAddr>, BadValue> {
    match record_route.len() <= ROUTES_MAX {
        true => Ok(record_route),
        false => Err(BadValue("more Record-Routes than a call passes")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::super::wire::{Parsed, parse_datagram};
    use super::*;

    #[test]
    fn route_set_of_the_callee_is_the_record_route_as_it_came() {
        let mut dialog = answered("<sip:p2.example.com;lr>, <sip:192.0.2.1;lr>");
        let bye = dialog.request(Method::Bye);

        let routes: Vec<_> = bye.headers.all("Route").collect();
        assert_eq!(routes, ["<sip:p2.example.com;lr>", "<sip:192.0.2.1;lr>"]);
        assert_eq!(bye.uri.to_string(), "sip:caller@192.0.2.9:5070");
        assert_eq!(bye.headers.get("To"), Some("<sip:caller@example.com>;tag=theirs"));
        assert_eq!(bye.headers.get("From"), Some("<sip:us@example.com>;tag=ours"));
    }

    /// RFC 3261 §12.2.1.1: its example, in which the first proxy is a strict router.
    #[test]
    fn strict_router_takes_the_place_of_the_request_uri() {
        let mut dialog = answered("<sip:192.0.2.1:5062>, <sip:p2.example.com;lr>");
        let bye = dialog.request(Method::Bye);

        assert_eq!(bye.uri.to_string(), "sip:192.0.2.1:5062");
        let routes: Vec<_> = bye.headers.all("Route").collect();
        assert_eq!(routes, ["<sip:p2.example.com;lr>", "<sip:caller@192.0.2.9:5070>"]);
        assert_eq!(dialog.next_hop(), udp("192.0.2.1:5062"));
    }

    #[test]
    fn route_set_of_the_caller_is_reversed() {
        let invite = request("");
        let mut response = invite.response(super::super::StatusCode::of(200));
        response.headers.set("To", "<sip:us@example.com>;tag=theirs");
        response.headers.push("Record-Route", "<sip:192.0.2.1;lr>, <sip:192.0.2.2;lr>");
        response.headers.push("Contact", "<sip:us@192.0.2.3>");
        let dialog = Dialog::from_response(&invite, &response, udp("192.0.2.7:5060")).unwrap();

        assert_eq!(dialog.next_hop(), udp("192.0.2.2:5060"));
        let ack = dialog.ack(7);
        assert_eq!(ack.headers.get("CSeq"), Some("7 ACK"));
        assert_eq!(ack.uri.to_string(), "sip:us@192.0.2.3");
    }

    #[test]
    fn next_hop_is_the_contact_or_where_the_peer_was_heard() {
        let mut dialog = answered("");
        assert_eq!(dialog.next_hop(), udp("192.0.2.9:5070"));

        dialog.refresh_target(Some("<sip:caller@192.0.2.8;transport=tcp>".parse().unwrap()));
        let tcp = Peer { transport: Transport::Tcp, ..udp("192.0.2.8:5060") };
        assert_eq!(dialog.next_hop(), tcp);

        dialog.refresh_target(Some("<sip:caller@phone.example.com?X-Note=1>".parse().unwrap()));
        assert_eq!(dialog.request(Method::Bye).uri.to_string(), "sip:caller@phone.example.com");
        assert_eq!(dialog.next_hop(), udp("192.0.2.7:5060"));
    }

    #[test]
    fn request_that_is_not_newer_is_out_of_order() {
        let mut dialog = answered("");
        assert_eq!(dialog.accept_seq(314159), Err(OutOfOrder));
        assert_eq!(dialog.accept_seq(314161), Ok(()));
        assert_eq!(dialog.accept_seq(314160), Err(OutOfOrder));
        assert_eq!(dialog.accept_seq(314162), Ok(()));
    }

    #[test]
    fn endless_record_route_is_refused() {
        let invite = request(&vec!["<sip:192.0.2.1;lr>"; ROUTES_MAX + 1].join(","));
        assert!(Dialog::from_invite(&invite, "ours", udp("192.0.2.7:5060")).is_err());
    }

    #[test]
    fn identity_for_referred_by_has_no_tag() {
        assert_eq!(answered("").local_identity(), "<sip:us@example.com>");
    }

    fn answered(record_route: &str) -> Dialog {
        Dialog::from_invite(&request(record_route), "ours", udp("192.0.2.7:5060")).unwrap()
    }

    fn request(record_route: &str) -> Request {
        let record_route = match record_route {
            "" => String::new(),
            value => format!("Record-Route: {value}\r\n"),
        };
        let text = format!(
            "INVITE sip:us@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK776asdhds\r\n\
             Max-Forwards: 70\r\n\
             {record_route}\
             To: <sip:us@example.com>\r\n\
             From: <sip:caller@example.com>;tag=theirs\r\n\
             Call-ID: a84b4c76e66710\r\n\
             CSeq: 314159 INVITE\r\n\
             Contact: <sip:caller@192.0.2.9:5070>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        match parse_datagram(text.as_bytes()) {
            Parsed::Message(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn udp(address: &str) -> Peer {
        Peer { transport: Transport::Udp, address: address.parse().unwrap() }
    }
}
