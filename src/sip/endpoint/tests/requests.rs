//! What a stranger may ask, and what it is told (RFC 3261 §8.2, §9.2, §11, §17.2.3, §18.2.2).

use super::phone::{Line, PHONE, Phone, STRANGER, field, starts, to_tag};
use super::world::{ms, sdp};
use crate::sip::endpoint::{Counts, Event, Peer, Transport};
use crate::sip::message::{Headers, StatusCode};

#[test]
fn request_outside_of_a_dialog_gets_the_status_that_fits() {
    let line = |method: &'static str| Line::new(method, "b1", "");
    let unknown_tag = |method: &'static str| Line::new(method, "b1", "0123456789abcdef");
    let mut fax = Line::invite();
    fax.uri = "fax:+4930555";
    let mut sips = Line::invite();
    sips.uri = "sips:us@192.0.2.1";
    let mut isup = Line::invite();
    isup.fields = "Content-Type: application/ISUP\r\n".to_owned();

    for (line, status, name, value) in [
        (line("BYE"), "481", "", ""),
        (line("NOTIFY"), "481", "", ""),
        (line("INFO"), "481", "", ""),
        (line("CANCEL"), "481", "", ""),
        (unknown_tag("BYE"), "481", "", ""),
        (unknown_tag("INVITE"), "481", "", ""),
        (line("REGISTER"), "405", "Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO"),
        (line("REFER"), "405", "Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO"),
        (line("SUBSCRIBE"), "405", "Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO"),
        (line("UPDATE"), "405", "Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO"),
        (line("DANCE"), "501", "", ""),
        (fax, "416", "", ""),
        (sips, "416", "", ""),
        (isup, "415", "Accept", "application/sdp"),
        (Line::invite().with("Content-Encoding: gzip"), "415", "Accept-Encoding", "identity"),
        (Line::invite().with("Require: 100rel, nothing"), "420", "Unsupported", "100rel, nothing"),
        (line("OPTIONS"), "200", "Accept", "application/sdp"),
        (line("OPTIONS"), "200", "Accept-Encoding", "identity"),
    ] {
        let mut phone = Phone::new();
        let heard = phone.says(&line.text());
        assert_eq!(starts(&heard), [status], "{}", line.text());
        if !name.is_empty() {
            assert_eq!(field(&heard[0], name), Some(value));
        }
        assert!(heard[0].contains(";tag="), "a final response has a To tag");
        assert!(phone.events.is_empty());
        assert_eq!(phone.us.counts().dialogs, 0);

        phone.waits(ms(40_000));
        assert_eq!(phone.us.counts(), Counts::default());
    }
}

#[test]
fn body_that_may_be_ignored_is_ignored() {
    let mut line = Line::invite().with("Content-Disposition: signal;handling=optional");
    line.fields = line.fields.replace("application/sdp", "application/ISUP");
    let mut phone = Phone::new();
    assert_eq!(starts(&phone.says(&line.text())), ["100"]);
}

/// Field note 12: carriers dial telephone numbers.
#[test]
fn invite_to_a_tel_uri_is_a_call() {
    let mut line = Line::invite();
    line.uri = "tel:+4930555123";
    let mut phone = Phone::new();
    assert_eq!(starts(&phone.says(&line.text())), ["100"]);
}

/// Field note 21: nobody forwards what ends here.
#[test]
fn invite_with_max_forwards_0_that_ends_at_us_is_a_call() {
    let text = Line::invite().text().replace("Max-Forwards: 70", "Max-Forwards: 0");
    let mut phone = Phone::new();
    assert_eq!(starts(&phone.says(&text)), ["100"]);
    assert!(matches!(phone.events[..], [Event::Invited { .. }]));
}

/// Field note 1: compact forms mean the same, in every place.
#[test]
fn call_in_compact_forms_is_a_call_to_its_end() {
    let compact = |text: String| {
        let long = ["Via", "To", "From", "Call-ID", "Contact", "Content-Type", "Content-Length"];
        let short = ["v", "t", "f", "i", "m", "c", "l"];
        long.iter().zip(short).fold(text, |text, (long, short)| {
            text.replace(&format!("\r\n{long}: "), &format!("\r\n{short}: "))
        })
    };
    let mut phone = Phone::new();
    assert_eq!(starts(&phone.says(&compact(Line::invite().text()))), ["100"]);
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    let mut ack = Line::new("ACK", "ack", &tag);
    ack.seq = 1;
    phone.says(&compact(ack.text()));
    assert!(matches!(phone.events.last(), Some(Event::Acknowledged { .. })));
    assert_eq!(starts(&phone.says(&compact(Line::new("BYE", "bye", &tag).text()))), ["200"]);
    assert!(matches!(phone.events.last(), Some(Event::Ended { .. })));
}

/// RFC 3261 §17.2.3: the ACK of a failure is known by its branch, that of a 2xx by its dialog.
#[test]
fn repeated_invite_is_answered_by_its_transaction() {
    let mut phone = Phone::new();
    let invite = Line::invite().text();
    assert_eq!(starts(&phone.says(&invite)), ["100"]);
    assert_eq!(starts(&phone.says(&invite)), ["100"]);
    let dialog = phone.invited();
    phone.us.reject(phone.now, dialog, StatusCode::of(486), &Headers::default()).unwrap();
    phone.hears();
    let heard = phone.says(&invite);
    assert_eq!(starts(&heard), ["486"]);

    let mut ack = Line::new("ACK", "first", &to_tag(&heard[0]));
    ack.seq = 1;
    assert!(phone.says(&ack.text()).is_empty());
    assert!(phone.says(&invite).is_empty(), "confirmed: nothing is left to say");
    assert_eq!(phone.events.len(), 1, "one call, told once");
    phone.waits(ms(6_000));
    assert_eq!(phone.us.counts(), Counts::default());
}

/// RFC 3261 §8.2.2.2: a proxy forked one INVITE, and both branches end here.
#[test]
fn merged_request_is_refused_with_482() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let mut other = Line::invite();
    other.branch = "second";
    assert_eq!(starts(&phone.says(&other.text())), ["482"]);
    assert_eq!(phone.events.len(), 1);
}

/// Field note 20: a shed INVITE is remembered, so its repetitions cost nothing.
#[test]
fn call_too_many_is_shed_and_remembered() {
    let mut phone = Phone::with(|settings| settings.calls_max = 1);
    phone.connects();
    let text = Line::invite().text().replace("call@", "other@").replace("first", "other");
    for _ in 0..2 {
        let heard = phone.says(&text);
        assert_eq!(starts(&heard), ["503"]);
        assert_eq!(field(&heard[0], "Retry-After"), Some("5"));
    }
    let options = Line::new("OPTIONS", "b9", "").text().replace("call@", "third@");
    assert_eq!(starts(&phone.says(&options)), ["503"], "OPTIONS answers as an INVITE would be");
    assert_eq!(phone.us.counters().retransmissions_received, 1);
    assert_eq!(phone.us.counts().calls, 1);
}

#[test]
fn response_goes_where_the_via_says() {
    for (via, to) in [
        ("SIP/2.0/UDP 192.0.2.9:5080;branch=z9hG4bKfirst", "192.0.2.9:5080"),
        ("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKfirst", "192.0.2.9:5060"),
        ("SIP/2.0/UDP 10.1.1.1:5080;branch=z9hG4bKfirst", "192.0.2.9:5080"),
        ("SIP/2.0/UDP 10.1.1.1:5080;branch=z9hG4bKfirst;rport", PHONE),
        ("SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKfirst;maddr=198.51.100.1", "192.0.2.9:5060"),
    ] {
        let sent = format!("SIP/2.0/UDP {PHONE};branch=z9hG4bKfirst");
        let text = Line::invite().text().replace(&sent, via);
        let mut phone = Phone::new();
        let source = Peer { transport: Transport::Udp, address: PHONE.parse().unwrap() };
        phone.us.handle_datagram(phone.now, source, text.as_bytes());
        let sent = phone.us.poll_transmit().unwrap();
        assert_eq!(sent.to.address, to.parse().unwrap(), "{via}");
        let text = String::from_utf8(sent.bytes.to_vec()).unwrap();
        let is_stamped = text.contains("received=192.0.2.9");
        assert_eq!(is_stamped, via.contains("10.1.1.1"), "{text}");
        assert_eq!(text.contains("rport=5070"), via.contains("rport"));
    }
}

#[test]
fn answer_opens_the_dialog_as_it_should() {
    let mut phone = Phone::new();
    let routes = "Record-Route: <sip:192.0.2.20;lr>\r\nRecord-Route: <sip:192.0.2.21;lr>";
    phone.says(&Line::invite().with(routes).text());
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let ok = phone.hears().remove(0);

    assert_eq!(field(&ok, "Contact"), Some("<sip:192.0.2.1:5060>"));
    assert_eq!(field(&ok, "Allow"), Some("INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO"));
    assert_eq!(field(&ok, "Content-Type"), Some("application/sdp"));
    let routes: Vec<_> =
        ok.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
    assert_eq!(routes, ["<sip:192.0.2.20;lr>", "<sip:192.0.2.21;lr>"]);
    assert!(ok.ends_with("\r\n\r\nanswer"));
}

/// RFC 3261 §12.2.2.
/// Field note 23: the dialog of a stranger's BYE and re-INVITE goes on.
/// Field note 23: another address of the same trunk is no stranger.
/// Field note 23: a CANCEL cannot be challenged, so a stranger's is not even answered.
#[test]
fn strangers_cancel_is_ignored() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let mut cancel = Line::new("CANCEL", "first", "");
    cancel.seq = 1;
    assert!(phone.says_from(STRANGER, &cancel.text()).is_empty());
    assert_eq!(phone.us.counts().calls, 1);
    assert_eq!(starts(&phone.says(&cancel.text())), ["200", "487"]);
    assert!(matches!(phone.events.last(), Some(Event::Cancelled { .. })));
}

#[test]
fn reason_of_a_cancel_is_told() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let mut cancel = Line::new("CANCEL", "first", "").with("Reason: SIP;cause=200");
    cancel.seq = 1;
    phone.says(&cancel.text());
    let Some(Event::Cancelled { reason, .. }) = phone.events.last() else { panic!("not told") };
    assert_eq!(reason.as_deref(), Some("SIP;cause=200"));
}

/// RFC 3261 §15: a caller may leave an early dialog by BYE; the INVITE still gets its 487.
#[test]
fn bad_message_is_answered_if_it_can_be_and_forgotten() {
    for (text, statuses) in [
        (Line::invite().text().replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), &["505"][..]),
        (Line::invite().text().replace("CSeq: 1 INVITE", "CSeq: one INVITE"), &["400"]),
        (Line::new("ACK", "b1", "").text().replace("CSeq: 2", "CSeq: x"), &[]),
        ("SIP/2.0 200 OK\r\n\r\n".to_owned(), &[]),
        ("hello".to_owned(), &[]),
    ] {
        let mut phone = Phone::new();
        let heard = phone.says(&text);
        assert_eq!(starts(&heard), statuses, "{text}");
        assert_eq!(phone.us.counters().dropped, 1);
        assert_eq!(phone.us.counts(), Counts::default());
    }
}

#[test]
fn invite_that_nobody_answers_for_ten_minutes_is_given_up() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let heard = phone.waits(ms(600_000));
    assert_eq!(starts(&heard), ["480"]);
    assert!(matches!(phone.events.last(), Some(Event::Cancelled { reason: None, .. })));
}

/// RFC 2543 agents have neither a cookie in their branch nor a From tag.
#[test]
fn call_of_an_old_phone_is_a_call() {
    let old = |line: Line| {
        line.text().replace(";tag=theirs", "").replace("z9hG4bK", "").replace(";branch=first", "")
    };
    let mut phone = Phone::new();
    assert_eq!(starts(&phone.says(&old(Line::invite()))), ["100"]);
    assert_eq!(starts(&phone.says(&old(Line::invite()))), ["100"]);
    let dialog = phone.invited();
    phone.us.reject(phone.now, dialog, StatusCode::of(486), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    let mut ack = Line::new("ACK", "first", &tag);
    ack.seq = 1;
    phone.says(&old(ack));
    assert!(phone.waits(ms(4_000)).is_empty(), "the ACK has stopped the repeating");
}

/// Field note 9: what Allow lists works, and what works is listed.
/// RFC 3261 §9.2.
#[test]
fn answer_to_a_cancel_has_the_tag_of_its_invite() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let mut cancel = Line::new("CANCEL", "first", "");
    cancel.seq = 1;
    let heard = phone.says(&cancel.text());
    assert_eq!(to_tag(&heard[0]), to_tag(&heard[1]));
}

/// When no transaction can be remembered, a request costs one response and no memory.
#[test]
fn full_table_is_answered_with_503_and_forgotten() {
    let mut phone = Phone::new();
    phone.us.server_transactions_max = 1;
    phone.says(&Line::new("OPTIONS", "b1", "").text());
    for method in ["OPTIONS", "CANCEL", "BYE", "INVITE"] {
        let heard = phone.says(&Line::new(method, "b2", "").text());
        assert_eq!(starts(&heard), ["503"], "{method}");
        assert_eq!(field(&heard[0], "Retry-After"), Some("5"));
    }
    assert_eq!(phone.us.counts().server_transactions, 1);
}

/// A peer that names itself is answered where it was last heard.
/// RFC 3261 §13.3.1.4: only the peer's own ACK, of that INVITE, ends the repeating of the 200.
/// A user that has hung up is told nothing more, even while its BYE waits for the ACK.
/// RFC 3261 §18.2.2: over a stream, the Via's port does not count.
#[test]
fn response_over_a_stream_goes_back_on_its_connection() {
    let mut phone = Phone::with(|settings| {
        settings.sent_by = vec![(Transport::Tcp, "192.0.2.1:5060".parse().unwrap())];
    });
    let source = Peer { transport: Transport::Tcp, address: "192.0.2.9:49152".parse().unwrap() };
    let text = Line::invite().text().replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    phone.us.handle_datagram(phone.now, source, text.as_bytes());
    assert_eq!(phone.us.poll_transmit().unwrap().to, source);
    phone.hears();
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let ok = phone.hears().remove(0);
    assert_eq!(field(&ok, "Contact"), Some("<sip:192.0.2.1:5060;transport=tcp>"));
    // RFC 3261 §13.3.1.4: a 2xx is repeated over any transport, since a later hop may be UDP.
    assert_eq!(starts(&phone.waits(ms(500))), ["200"]);
}

#[test]
fn redirection_says_where_else_to_try() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    let mut headers = Headers::default();
    headers.push("Contact", "<sip:sarah@192.0.2.3>");
    phone.us.reject(phone.now, dialog, StatusCode::of(302), &headers).unwrap();
    let moved = phone.hears().remove(0);
    assert!(moved.starts_with("SIP/2.0 302 "));
    assert_eq!(field(&moved, "Contact"), Some("<sip:sarah@192.0.2.3>"));
}
