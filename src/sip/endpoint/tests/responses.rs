//! Responses to our INVITE: forks, failures, and what belongs to nothing (RFC 3261 §13.2.2).

use super::phone::{Phone, field, starts};
use super::refer::answer;
use super::world::{invite, ms};
use crate::ids::DialogId;
use crate::sip::endpoint::{Counts, Event, Transport};

#[test]
fn first_fork_that_answers_wins_and_the_others_are_hung_up() {
    let (mut phone, sent) = calling();
    phone.says(&fork(&sent, "180 Ringing", "one"));
    phone.says(&fork(&sent, "180 Ringing", "two"));
    let first = phone.says(&fork(&sent, "200 OK", "two"));
    assert_eq!(starts(&first), ["ACK"]);
    assert_eq!(first[0].lines().next(), Some("ACK sip:two@192.0.2.2 SIP/2.0"));

    let second = phone.says(&fork(&sent, "200 OK", "one"));
    assert_eq!(starts(&second), ["ACK", "BYE"]);
    assert!(second.iter().all(|text| field(text, "To").unwrap().ends_with("tag=one")));
    let answered = phone.events.iter().filter(|it| matches!(it, Event::Answered { .. })).count();
    assert_eq!(answered, 1);
}

#[test]
fn repeated_2xx_gets_the_same_ack_again() {
    let (mut phone, sent) = calling();
    let first = phone.says(&fork(&sent, "200 OK", "one"));
    for _ in 0..3 {
        assert_eq!(phone.says(&fork(&sent, "200 OK", "one")), first);
    }
    phone.us.hang_up(phone.now, DialogId::outgoing(1), None).unwrap();
    let bye = phone.hears().remove(0);
    phone.says(&answer(&bye, "200 OK"));
    assert_eq!(phone.us.counts().dialogs, 0);
    let late = phone.says(&fork(&sent, "200 OK", "one"));
    assert_eq!(late, first, "the ACK outlives the dialog, as the 2xx does");
    phone.waits(ms(33_000));
    assert_eq!(phone.us.counts(), Counts::default());
}

#[test]
fn fork_that_answers_after_the_call_is_over_is_hung_up() {
    let (mut phone, sent) = calling();
    phone.says(&fork(&sent, "200 OK", "one"));
    phone.us.hang_up(phone.now, DialogId::outgoing(1), None).unwrap();
    let bye = phone.hears().remove(0);
    phone.says(&answer(&bye, "200 OK"));
    assert_eq!(starts(&phone.says(&fork(&sent, "200 OK", "two"))), ["ACK", "BYE"]);
    phone.waits(ms(33_000));
    assert_eq!(phone.us.counts(), Counts::default());
}

#[test]
fn hundred_forks_do_not_fill_the_memory() {
    let (mut phone, sent) = calling();
    for fork_number in 0..100 {
        phone.says(&fork(&sent, "200 OK", &format!("fork{fork_number}")));
    }
    assert!(phone.us.counts().client_transactions <= 17);
    assert_eq!(phone.us.counters().dropped, 84);
}

#[test]
fn answer_takes_the_route_that_was_recorded() {
    let (mut phone, sent) = calling();
    let routes =
        "Record-Route: <sip:192.0.2.20;lr>\r\nRecord-Route: <sip:192.0.2.21;lr>\r\nContent-Length";
    let text = fork(&sent, "200 OK", "one").replace("Content-Length", routes);
    phone.says(&text);
    phone.us.hang_up(phone.now, DialogId::outgoing(1), None).unwrap();
    let bye = phone.hears().remove(0);
    let routes: Vec<_> = bye.lines().filter_map(|line| line.strip_prefix("Route: ")).collect();
    assert_eq!(routes, ["<sip:192.0.2.21;lr>", "<sip:192.0.2.20;lr>"]);
}

/// An answer whose route we refuse to remember is a failure, and leaves nothing behind.
#[test]
fn answer_with_an_endless_route_is_a_failure() {
    let (mut phone, sent) = calling();
    let routes = "Record-Route: <sip:192.0.2.20;lr>\r\n".repeat(17) + "Content-Length";
    let text = fork(&sent, "200 OK", "one").replace("Content-Length", &routes);
    assert!(phone.says(&text).is_empty());
    let Some(Event::Failed { status, .. }) = phone.events.last() else { panic!("not told") };
    assert_eq!(status.code(), 502);
    phone.waits(ms(33_000));
    assert_eq!(phone.us.counts(), Counts::default());
}

#[test]
fn every_failure_is_acknowledged_and_told_with_its_headers() {
    for status in ["302 Moved", "404 Not Found", "486 Busy Here", "503 Later", "603 Decline"] {
        let (mut phone, sent) = calling();
        let text = fork(&sent, status, "one").replace("\r\n\r\n", "\r\nRetry-After: 7\r\n\r\n");
        let ack = phone.says(&text).remove(0);
        assert_eq!(ack.lines().next(), Some("ACK sip:b@192.0.2.2 SIP/2.0"));
        assert_eq!(field(&ack, "Via"), field(&sent, "Via"));
        assert!(field(&ack, "To").unwrap().ends_with("tag=one"));
        let Some(Event::Failed { status: told, headers, .. }) = phone.events.last() else {
            panic!("not told")
        };
        assert_eq!(
            (told.to_string().as_str(), headers.get("Retry-After")),
            (&status[..3], Some("7"))
        );
        phone.waits(ms(33_000));
        assert_eq!(phone.us.counts(), Counts::default());
    }
}

/// The callee answered, nothing of it reached us, and it has given up on our ACK.
#[test]
fn bye_from_a_phone_that_we_only_heard_ringing_ends_the_call() {
    let (mut phone, sent) = calling();
    phone.says(&fork(&sent, "180 Ringing", "one"));
    let bye = format!(
        "BYE sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKbye\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=one\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n",
        field(&sent, "To").unwrap(),
        field(&sent, "From").unwrap(),
        field(&sent, "Call-ID").unwrap(),
    );
    assert_eq!(starts(&phone.says(&bye)), ["200", "CANCEL"]);
    phone.says(&fork(&sent, "487 Request Terminated", "one"));
    assert!(matches!(phone.events.last(), Some(Event::Failed { .. })));
}

#[test]
fn response_to_nothing_of_ours_is_dropped() {
    let (mut phone, sent) = calling();
    let text = fork(&sent, "200 OK", "one");
    let branch = field(&sent, "Via").unwrap().split_once("branch=").unwrap().1;
    let branch = branch.split(';').next().unwrap();
    for (what, other) in [
        (branch, "z9hG4bK0000000000000000"),
        (branch, "z9hG4bKsomething"),
        ("1 INVITE", "1 BYE"),
        ("1 INVITE", "1 CANCEL"),
    ] {
        assert!(phone.says(&text.replace(what, other)).is_empty());
    }
    assert_eq!(phone.us.counters().dropped, 4);
    assert!(phone.events.is_empty());
}

/// A 2xx without a sound route cannot be acknowledged, and must not harm.
#[test]
fn answer_without_contact_is_acknowledged_where_the_invite_went() {
    let (mut phone, sent) = calling();
    let text = fork(&sent, "200 OK", "one").replace("Contact: <sip:one@192.0.2.2>\r\n", "");
    let ack = phone.says(&text).remove(0);
    assert_eq!(ack.lines().next(), Some("ACK sip:b@192.0.2.2 SIP/2.0"));
}

/// An INVITE of ours, and its text.
fn calling() -> (Phone, String) {
    let mut phone = Phone::new();
    phone.us.invite(phone.now, DialogId::outgoing(1), invite(Transport::Udp)).unwrap();
    let sent = phone.hears().remove(0);
    (phone, sent)
}

/// A response of one fork, with a Contact of its own.
fn fork(invite: &str, status: &str, tag: &str) -> String {
    let to = field(invite, "To").unwrap();
    let contact = format!("Contact: <sip:{tag}@192.0.2.2>\r\nContent-Length");
    answer(invite, status)
        .replace(&format!("To: {to}"), &format!("To: {to};tag={tag}"))
        .replace("Content-Length", &contact)
}
