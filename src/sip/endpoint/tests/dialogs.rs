//! What a peer may ask within a dialog, and who is taken for the peer (RFC 3261 §12.2.2, §15.1.2).

use super::phone::{Line, Phone, STRANGER, field, starts, to_tag};
use super::world::{ms, sdp};
use crate::sip::endpoint::{Event, Subnet};
use crate::sip::message::{Headers, StatusCode};

#[test]
fn request_within_a_dialog_gets_the_status_that_fits() {
    for (method, seq, fields, status) in [
        ("BYE", 1, "", "500"),
        ("INFO", 2, "", "200"),
        ("OPTIONS", 2, "", "200"),
        ("REFER", 2, "Refer-To: <sip:c@192.0.2.3>\r\n", "405"),
        ("UPDATE", 2, "", "405"),
        ("DANCE", 2, "", "501"),
        ("INFO", 2, "Require: nothing\r\n", "420"),
        ("NOTIFY", 2, "Event: refer\r\nSubscription-State: active\r\n", "481"),
        ("NOTIFY", 2, "Event: presence\r\nSubscription-State: active\r\n", "489"),
        ("BYE", 2, "", "200"),
    ] {
        let mut phone = Phone::new();
        let (_, tag) = phone.connects();
        let mut line = Line::new(method, "b2", &tag);
        (line.seq, line.fields) = (seq, fields.to_owned());
        assert_eq!(starts(&phone.says(&line.text())), [status], "{method} {seq} {fields}");
    }
}

#[test]
fn request_with_the_tags_of_another_dialog_is_refused() {
    let mut phone = Phone::new();
    let (_, tag) = phone.connects();
    for (ours, theirs) in
        [(tag.as_str(), "somebody"), ("0123456789abcdef", "theirs"), ("x", "theirs")]
    {
        let bye =
            Line::new("BYE", "b2", ours).text().replace("tag=theirs", &format!("tag={theirs}"));
        assert_eq!(starts(&phone.says(&bye)), ["481"]);
        phone.waits(ms(40_000));
    }
    assert_eq!(phone.us.counts().dialogs, 1);
}

#[test]
fn strangers_bye_and_reinvite_change_nothing() {
    let mut phone = Phone::new();
    let (_, tag) = phone.connects();
    let told = phone.events.len();
    let bye = Line::new("BYE", "b2", &tag);
    let mut invite = Line::invite();
    (invite.branch, invite.to_tag, invite.seq) = ("b3", tag.clone(), 7);

    assert_eq!(starts(&phone.says_from(STRANGER, &bye.text())), ["403"]);
    assert_eq!(starts(&phone.says_from(STRANGER, &invite.text())), ["403"]);
    assert_eq!((phone.events.len(), phone.us.counters().strangers), (told, 2));

    // The phone itself is not held up by the numbers that the stranger used.
    let mut bye = Line::new("BYE", "b4", &tag);
    bye.seq = 2;
    assert_eq!(starts(&phone.says(&bye.text())), ["200"]);
}

#[test]
fn trusted_network_may_speak_for_a_dialog() {
    let cluster =
        Subnet { address: STRANGER.parse::<std::net::SocketAddr>().unwrap().ip(), prefix: 24 };
    let mut phone = Phone::with(|settings| settings.trusted = vec![cluster]);
    let (_, tag) = phone.connects();
    let bye = Line::new("BYE", "b2", &tag).text();
    assert_eq!(starts(&phone.says_from(STRANGER, &bye)), ["200"]);
}

#[test]
fn bye_before_the_answer_ends_the_invite() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    let ringing = StatusCode::of(180);
    phone.us.ring(phone.now, dialog, ringing, None, &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    assert_eq!(starts(&phone.says(&Line::new("BYE", "b2", &tag).text())), ["200", "487"]);
    assert!(matches!(phone.events.last(), Some(Event::Cancelled { .. })));
}

#[test]
fn info_is_told_with_its_body() {
    let mut phone = Phone::new();
    let (_, tag) = phone.connects();
    let mut info = Line::new("INFO", "b2", &tag).with("Content-Type: application/dtmf-relay");
    info.body = "Signal=5\r\n";
    phone.says(&info.text());
    let Some(Event::Info { body: Some(body), .. }) = phone.events.last() else {
        panic!("not told")
    };
    assert_eq!(
        (body.content_type.as_str(), &*body.bytes),
        ("application/dtmf-relay", &b"Signal=5\r\n"[..])
    );
}

#[test]
fn allow_lists_what_is_served() {
    let mut phone = Phone::new();
    let (_, tag) = phone.connects();
    let answer = phone.says(&Line::new("OPTIONS", "options", &tag).text()).remove(0);
    let allowed: Vec<_> = field(&answer, "Allow").unwrap().split(", ").collect();
    let all = [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "NOTIFY",
        "INFO",
        "REFER",
        "UPDATE",
        "PRACK",
        "SUBSCRIBE",
        "MESSAGE",
        "REGISTER",
        "PUBLISH",
    ];
    for method in all {
        let mut phone = Phone::new();
        let (_, tag) = phone.connects();
        let heard = phone.says(&Line::new(method, "b2", &tag).text());
        let is_served = !["405", "501"].contains(starts(&heard).first().unwrap_or(&""));
        assert_eq!(is_served, allowed.contains(&method), "{method}");
    }
    assert_eq!(field(&answer, "Supported"), Some(""), "no extension works yet");
}

#[test]
fn request_to_a_named_contact_goes_where_the_peer_was_heard() {
    let mut phone = Phone::new();
    let named = |text: String| {
        text.replace("Contact: <sip:phone@192.0.2.9:5070>", "Contact: <sip:phone@example.com>")
    };
    phone.says(&named(Line::invite().text()));
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    let mut ack = Line::new("ACK", "ack", &tag);
    ack.seq = 1;
    phone.says(&ack.text());
    // Its network gave it another port meanwhile.
    phone.says_from("192.0.2.9:6666", &Line::new("INFO", "b2", &tag).text());
    phone.us.hang_up(phone.now, dialog, None).unwrap();
    let bye = phone.us.poll_transmit().unwrap();
    assert_eq!(bye.to.address, "192.0.2.9:6666".parse().unwrap());
    assert!(bye.bytes.starts_with(b"BYE sip:phone@example.com SIP/2.0"));
}

#[test]
fn ack_of_something_else_acknowledges_nothing() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    let mut ack = Line::new("ACK", "ack", &tag);
    phone.says(&ack.text());
    ack.seq = 1;
    phone.says(&ack.text().replace("tag=theirs", "tag=other"));
    phone.says(&ack.text().replace("call@", "other@"));
    assert_eq!(phone.events.len(), 1, "{:?}", phone.events);
    assert_eq!(starts(&phone.waits(ms(500))), ["200"]);

    phone.says(&ack.text());
    assert!(matches!(phone.events.last(), Some(Event::Acknowledged { .. })));
}

#[test]
fn dialog_that_was_hung_up_is_silent() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    phone.us.hang_up(phone.now, dialog, None).unwrap();
    assert_eq!(starts(&phone.says(&Line::new("INFO", "b2", &tag).text())), ["200"]);
    let mut bye = Line::new("BYE", "b3", &tag);
    bye.seq = 3;
    assert_eq!(starts(&phone.says(&bye.text())), ["200"]);
    assert_eq!(phone.events.len(), 1, "{:?}", phone.events);
    assert_eq!(phone.us.counts().dialogs, 0);
}
