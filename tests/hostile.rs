//! What nobody should send, sent to the built program over real sockets while a call is up: it is refused
//! with the right status or met with silence, the call goes on, and nothing is left afterwards.

mod common;
#[path = "hostile/held.rs"]
mod held;
#[path = "hostile/tcp.rs"]
mod tcp;

use std::net::Ipv4Addr;

use common::peer::{Peer, Request};
use common::plan::{Agent, Plan};
use common::server::Server;
use common::{LOOPBACK, free_port};
use held::HeldCall;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// An address that the trunk's network does not have.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Who takes calls: one agent at once, one after a while, so that there is something to cancel.
fn start() -> Server {
    let agent = |name: &str, ring_ms| Agent {
        name: name.to_owned(),
        ring_ms,
        method: &["bridge"],
        ring_secs: 5,
        human_port: free_port(),
    };
    Server::start(&Plan {
        store: "memory:",
        network: "127.0.0.1/32",
        agents: vec![agent("desk", 0), agent("slow", 1500)],
    })
}

/// One server for all of it, since its tables need half a minute to become empty.
#[test]
fn bad_input_harms_no_call_and_leaves_nothing() {
    let mut server = start();
    let held = HeldCall::begin(&server);

    noise_is_met_with_silence(&server);
    cut_requests_are_refused_or_ignored(&server);
    requests_in_odd_clothes_are_understood(&server);
    wrong_requests_get_their_status(&server);
    bad_offers_leave_a_call_as_it_was(&held);
    strangers_cannot_speak_for_a_call(&server, &held);
    strangers_cannot_cancel(&server);
    strangers_cannot_call(&server);
    bent_requests_break_nothing(&server);

    held.goes_on_and_ends();
    server.wait_until_quiet();
    assert!(server.is_alive());
    assert_eq!(server.complaints(), [""; 0]);
}

/// An answer to nothing that was asked.
const RESPONSE: &[u8] = b"SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\n\
    From: <sip:a@127.0.0.1>;tag=1\r\n\
    To: <sip:b@127.0.0.1>;tag=2\r\n\
    Call-ID: nobody\r\n\
    CSeq: 1 INVITE\r\n\
    Content-Length: 0\r\n\r\n";

/// What is no request has no answer, and the next request has its own.
fn noise_is_met_with_silence(server: &Server) {
    let peer = Peer::new(LOOPBACK, server.sip);
    let noise: [(&str, Vec<u8>); 10] = [
        ("nothing", vec![]),
        ("a keep-alive", b"\r\n\r\n".to_vec()),
        ("zeros", vec![0; 1200]),
        ("the largest datagram", vec![b'A'; 65_507]),
        ("every byte", (0..=255).collect()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a response to nobody", RESPONSE.to_vec()),
        ("a STUN binding request", [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat()),
        ("RTP", [&[0x80, 0, 0, 1][..], &[0xff; 168]].concat()),
        (
            "an ACK to nothing",
            peer.write(&Request::new("ACK", "desk", "ack-to-nothing")).into_bytes(),
        ),
    ];
    for (n, (name, bytes)) in noise.iter().enumerate() {
        peer.send(bytes);
        let options = Request::new("OPTIONS", "desk", &format!("after-noise-{n}"));
        peer.request(&options);
        let first = peer.receive();
        assert_eq!(first.header("Call-ID"), Some(&*options.call_id), "after {name}");
        assert_eq!(first.status(), Some(200), "after {name}");
    }
}

/// Every beginning of a request: a datagram that ends too soon is a bad request (RFC 3261 §18.3) if it can
/// be answered at all.
fn cut_requests_are_refused_or_ignored(server: &Server) {
    let peer = Peer::new(LOOPBACK, server.sip);
    let whole = peer.write(&Request::new("INVITE", "desk", "cut").offering(4000));
    for length in 1..whole.len() {
        peer.send(&whole.as_bytes()[..length]);
        let options = Request::new("OPTIONS", "desk", &format!("after-cut-{length}"));
        peer.request(&options);
        loop {
            let message = peer.receive();
            if message.header("Call-ID") == Some(&*options.call_id) {
                break assert_eq!(message.status(), Some(200), "after {length} bytes");
            }
            assert_eq!(message.status(), Some(400), "to the first {length} bytes");
        }
    }
}

/// Folded lines, compact names and lower case are as good as any (RFC 3261 §7.3).
fn requests_in_odd_clothes_are_understood(server: &Server) {
    let peer = Peer::new(LOOPBACK, server.sip);
    type Dress = fn(String) -> String;
    let clothes: [(&str, Dress); 4] = [
        ("folded", |text| text.replace("From: ", "From:\r\n \t ").replace(";rport", "\r\n ;rport")),
        ("compact", |text| {
            let names = [
                ("Via", "v"),
                ("From", "f"),
                ("To", "t"),
                ("Call-ID", "i"),
                ("Contact", "m"),
                ("Content-Type", "c"),
                ("Content-Length", "l"),
            ];
            names.iter().fold(text, |text, (long, short)| {
                text.replace(&format!("\r\n{long}: "), &format!("\r\n{short}: "))
            })
        }),
        ("lowercase", |text| {
            let names = ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Type"];
            names.iter().fold(text, |text, name| text.replace(name, &name.to_lowercase()))
        }),
        ("spacious", |text| text.replace("To: ", "To  :   ").replace("CSeq: 1 ", "CSeq : 1    ")),
    ];
    for (name, dress) in clothes {
        let invite = Request::new("INVITE", "desk", &format!("dressed-{name}")).offering(4000);
        peer.send(dress(peer.write(&invite)).as_bytes());
        let answer = peer.answer(&invite);
        assert_eq!(answer.status(), Some(200), "{name}");
        peer.send(dress(peer.write(&invite.inside("ACK", &answer, 1))).as_bytes());
        let bye = invite.inside("BYE", &answer, 2);
        peer.send(dress(peer.write(&bye)).as_bytes());
        assert_eq!(peer.answer(&bye).status(), Some(200), "{name}");
    }
}

/// Each fault has its status, and the header field that goes with it.
fn wrong_requests_get_their_status(server: &Server) {
    let peer = Peer::new(LOOPBACK, server.sip);
    let invite = |name: &str| Request::new("INVITE", "desk", name);
    let sdp = "Content-Type: application/sdp";
    let faults: Vec<(Request, u16, &str)> = vec![
        (invite("no-user").to("sip:nobody@127.0.0.1"), 404, ""),
        (
            invite("binary").field("Content-Type: application/octet-stream").body("\0\u{1}\u{ff}"),
            415,
            "Accept",
        ),
        (invite("no-sdp").field(sdp).body("\0\0\0\0"), 400, ""),
        (
            invite("no-sound")
                .field(sdp)
                .body("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"),
            488,
            "Warning",
        ),
        (invite("zipped").offering(4000).field("Content-Encoding: gzip"), 415, "Accept-Encoding"),
        (invite("needs").offering(4000).field("Require: levitation"), 420, "Unsupported"),
        (invite("scheme").to("mailto:desk@127.0.0.1"), 416, ""),
        (Request::new("REGISTER", "desk", "register"), 405, "Allow"),
        (Request::new("DANCE", "desk", "dance"), 501, ""),
        (Request::new("BYE", "desk", "no-dialog").in_no_dialog(), 481, ""),
        (Request::new("CANCEL", "desk", "wrong-branch"), 481, ""),
        (invite("long-uri").to(&format!("sip:{}@127.0.0.1", "x".repeat(5000))), 414, ""),
        (invite(&"long-call-id".repeat(100)), 400, ""),
        (invite("long-offer").field(sdp).body(&"a=x:y\r\n".repeat(8000)), 400, ""),
        // Long, and nothing wrong with it.
        (Request::new("OPTIONS", "desk", "long-body").body(&"x".repeat(60_000)), 200, ""),
        (invite("long-field").field(&format!("Subject: {}", "x".repeat(9000))), 400, ""),
        ((0..300).fold(invite("many-fields"), |request, _| request.field("X-Field: x")), 400, ""),
    ];
    for (request, status, field) in faults {
        peer.request(&request);
        let answer = peer.answer(&request);
        assert_eq!(answer.status(), Some(status), "{}", request.call_id);
        assert!(field.is_empty() || answer.header(field).is_some(), "{}: {field}", request.call_id);
        peer.acknowledge_failure(&request, &answer);
    }

    let rewritten: [(&str, &str, &str, u16); 4] = [
        ("version", "SIP/2.0\r\n", "SIP/7.0\r\n", 505),
        ("number", "CSeq: 1 ", "CSeq: 99999999999 ", 400),
        ("method", "1 OPTIONS", "1 INVITE", 400),
        ("length", "Content-Length: 0", "Content-Length: 4000", 400),
    ];
    for (name, from, to, status) in rewritten {
        let options = Request::new("OPTIONS", "desk", &format!("wrong-{name}"));
        peer.send(peer.write(&options).replacen(from, to, 1).as_bytes());
        let answer = peer.receive();
        assert_eq!(answer.header("Call-ID"), Some(&*options.call_id), "{name}");
        assert_eq!(answer.status(), Some(status), "{name}");
    }
}

/// RFC 3261 §14.2: a re-INVITE that is refused changes nothing.
fn bad_offers_leave_a_call_as_it_was(held: &HeldCall) {
    let sdp = "Content-Type: application/sdp";
    let no_codec = "v=0\r\no=- 1 9 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 3\r\n";
    let inside = |seq| held.invite.inside("INVITE", &held.answer, seq);
    for (offer, status) in [
        (inside(20).field(sdp).body("\0\0\0\0"), 400),
        (inside(21).field(sdp).body(no_codec), 488),
        (inside(22).field("Content-Type: text/html").body("<p>"), 415),
        (inside(23).field("Require: levitation"), 420),
    ] {
        held.peer.request(&offer);
        let answer = held.peer.answer(&offer);
        assert_eq!(answer.status(), Some(status), "CSeq {}", offer.seq);
        held.peer.acknowledge_failure(&offer, &answer);
        held.is_heard();
    }
    // What is older than what has come is out of order (RFC 3261 §12.2.2).
    let late = held.invite.inside("BYE", &held.answer, 3);
    held.peer.request(&late);
    assert_eq!(held.peer.answer(&late).status(), Some(500));
    held.is_up(30);
}

/// A stranger who knows the Call-ID and the tags of a call cannot end it, move it or press its keys.
fn strangers_cannot_speak_for_a_call(server: &Server, held: &HeldCall) {
    let stranger = Peer::new(STRANGER, server.sip);
    for (seq, method) in
        [(50, "BYE"), (51, "INVITE"), (52, "INFO"), (53, "NOTIFY"), (54, "OPTIONS")]
    {
        let spoof = held.invite.inside(method, &held.answer, seq);
        let spoof = if method == "INVITE" { spoof.offering(4002) } else { spoof };
        stranger.request(&spoof);
        let answer = stranger.answer(&spoof);
        assert_eq!(answer.status(), Some(403), "{method}");
        stranger.acknowledge_failure(&spoof, &answer);
    }
    // Wrong tags from the right place.
    let wrong =
        Request { to_tag: Some("guessed".into()), ..held.invite.inside("BYE", &held.answer, 55) };
    held.peer.request(&wrong);
    assert_eq!(held.peer.answer(&wrong).status(), Some(481));
    held.is_up(60);
}

/// A CANCEL cannot be challenged, so a stranger's is not heard, even with the right branch; one with a wrong
/// branch cancels nothing; the right one from the right place does.
fn strangers_cannot_cancel(server: &Server) {
    let (peer, stranger) = (Peer::new(LOOPBACK, server.sip), Peer::new(STRANGER, server.sip));
    let invite = Request::new("INVITE", "slow", "not-cancelled").offering(4000);
    peer.request(&invite);
    assert_eq!(peer.receive().status(), Some(100));
    assert_eq!(peer.receive().status(), Some(180));

    // The Via, with its branch, is that of the INVITE, word for word.
    let cancel = Request::new("CANCEL", "slow", "not-cancelled");
    stranger.send(peer.write(&cancel).as_bytes());
    let wrong = Request { branch: "guessed".into(), ..cancel };
    peer.request(&wrong);
    assert_eq!(peer.answer(&wrong).status(), Some(481));

    let answer = peer.answer(&invite);
    assert_eq!(answer.status(), Some(200));
    peer.request(&invite.inside("ACK", &answer, 1));
    let bye = invite.inside("BYE", &answer, 2);
    peer.request(&bye);
    assert_eq!(peer.answer(&bye).status(), Some(200));
}

/// A rule that names a trunk takes the calls of that trunk alone.
fn strangers_cannot_call(server: &Server) {
    let stranger = Peer::new(STRANGER, server.sip);
    let invite = Request::new("INVITE", "desk", "stranger").offering(4000);
    stranger.request(&invite);
    let answer = stranger.answer(&invite);
    assert_eq!(answer.status(), Some(404));
    stranger.acknowledge_failure(&invite, &answer);
}

/// A sound request with a few bytes exchanged, again and again: whatever it is now, it ends nothing. From
/// a stranger, so that none of them becomes a call.
fn bent_requests_break_nothing(server: &Server) {
    const ROUNDS: u64 = 2000;
    let seed = std::env::var("TANDEM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    eprintln!("TANDEM_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (stranger, peer) = (Peer::new(STRANGER, server.sip), Peer::new(LOOPBACK, server.sip));
    for round in 0..ROUNDS {
        let name = format!("bent-{round}");
        let whole = stranger.write(&Request::new("INVITE", "desk", &name).offering(4000));
        let mut bytes = whole.into_bytes();
        for _ in 0..random.random_range(1..=8) {
            let place = random.random_range(0..bytes.len());
            bytes[place] = random.random();
        }
        stranger.send(&bytes);
        // Not faster than it reads: what a full buffer drops proves nothing.
        if round % 50 == 49 {
            let options = Request::new("OPTIONS", "desk", &format!("after-{name}"));
            peer.request(&options);
            assert_eq!(peer.answer(&options).status(), Some(200), "after {name}");
        }
    }
}
