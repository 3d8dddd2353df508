//! Bytes from strangers: never a panic, never a table without a bound.

use proptest::prelude::*;

use super::phone::{Line, Phone};
use super::world::{invite, ms, sdp};
use crate::ids::DialogId;
use crate::sip::endpoint::{Counts, Transport};
use crate::sip::message::{Headers, StatusCode};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_bytes_break_an_endpoint_with_dialogs(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (mut phone, _) = busy();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        phone.says(&text);
        comes_to_rest(phone);
    }

    /// Sound messages with one thing wrong, in the middle of things.
    #[test]
    fn no_mutated_message_breaks_an_endpoint_with_dialogs(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..12),
    ) {
        let (mut phone, messages) = busy();
        for (message, place, byte, how) in picks {
            let mut bytes = message.get(&messages).clone().into_bytes();
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, byte),
                // Whole, but in an order that nobody planned.
                _ => (),
            }
            phone.says(&String::from_utf8_lossy(&bytes));
            phone.waits(ms(u64::from(byte) * 20));
        }
        comes_to_rest(phone);
    }
}

/// A stranger may open no more calls than settings allow, and may hold nothing for long.
#[test]
fn flood_of_invites_is_shed() {
    let mut phone = Phone::new();
    for number in 0..1_000 {
        let text = Line::invite().text();
        let text =
            text.replace("call@", &format!("{number}@")).replace("first", &number.to_string());
        phone.says(&text);
    }
    assert_eq!(phone.us.counts().calls, 3);
    assert_eq!(phone.events.len(), 3);
    phone.waits(ms(700_000));
    assert_eq!(phone.us.counts(), Counts::default());
}

/// An endpoint with a call in each state, and messages that fit them.
fn busy() -> (Phone, Vec<String>) {
    let mut phone = Phone::new();
    let mut messages = Vec::new();
    let none = Headers::default();

    let (connected, tag) = phone.connects();
    phone.us.refer(phone.now, connected, "<sip:sarah@192.0.2.3>", &none).unwrap();
    phone.us.reinvite(phone.now, connected, sdp("hold")).unwrap();
    for sent in phone.hears() {
        messages.push(super::refer::answer(&sent, "202 Accepted"));
        messages.push(super::refer::answer(&sent, "491 Request Pending"));
    }
    for method in ["BYE", "INFO", "OPTIONS", "NOTIFY", "INVITE", "CANCEL", "ACK", "REFER"] {
        let fields = "Event: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag";
        let mut line = Line::new(method, method, &tag).with(fields);
        line.body = "SIP/2.0 200 OK\r\n";
        messages.push(line.text());
    }
    let other = |line: Line| line.text().replace("call@", "other@");
    let mut ringing = Line::invite();
    ringing.branch = "ringing";
    phone.says(&other(ringing));
    let dialog = phone.invited();
    phone.us.ring(phone.now, dialog, StatusCode::of(180), None, &none).unwrap();
    let tag = super::phone::to_tag(&phone.hears()[0]);
    for (method, branch) in
        [("CANCEL", "ringing"), ("ACK", "ringing"), ("BYE", "bye2"), ("INVITE", "re2")]
    {
        messages.push(other(Line::new(method, branch, "")));
        messages.push(other(Line::new(method, branch, &tag)));
    }
    phone.us.invite(phone.now, DialogId::outgoing(7), invite(Transport::Udp)).unwrap();
    let sent = phone.hears().remove(0);
    for status in ["100 Trying", "180 Ringing", "200 OK", "302 Moved", "486 Busy"] {
        let with_tag =
            super::refer::answer(&sent, status).replace("\r\nCall-ID", ";tag=x\r\nCall-ID");
        messages.push(with_tag);
    }
    (phone, messages)
}

/// Everybody leaves, and nothing is left.
fn comes_to_rest(mut phone: Phone) {
    phone.waits(ms(1_000));
    let incoming = (0..16).map(DialogId::incoming);
    for dialog in incoming.chain([DialogId::outgoing(7)]) {
        // Gone is as good.
        let _ = phone.us.hang_up(phone.now, dialog, None);
    }
    phone.hears();
    phone.waits(ms(700_000));
    assert_eq!(phone.us.counts(), Counts::default());
}
