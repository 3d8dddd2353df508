//! REFER out, and its NOTIFYs (RFC 3515, RFC 6665).

use super::phone::{Line, Phone, field, starts};
use super::world::{ms, sdp};
use crate::sip::endpoint::{ActionError, Event};
use crate::sip::message::Headers;

const TARGET: &str = "<sip:sarah@192.0.2.3>";

#[test]
fn refer_is_followed_to_its_end() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    let mut headers = Headers::default();
    headers.push("X-Tandem-Call-ID", "call@192.0.2.9");
    phone.us.refer(phone.now, dialog, TARGET, &headers).unwrap();
    let refer = phone.hears().remove(0);

    assert_eq!(refer.lines().next(), Some("REFER sip:phone@192.0.2.9:5070 SIP/2.0"));
    assert_eq!(field(&refer, "Refer-To"), Some(TARGET));
    assert_eq!(field(&refer, "Referred-By"), Some("<sip:us@192.0.2.1>"));
    assert_eq!(field(&refer, "X-Tandem-Call-ID"), Some("call@192.0.2.9"));
    assert_eq!(field(&refer, "Contact"), Some("<sip:192.0.2.1:5060>"));

    phone.says(&answer(&refer, "202 Accepted"));
    assert_eq!(starts(&phone.says(&notify(&tag, 2, "refer", "active", "100 Trying"))), ["200"]);
    let done = notify(&tag, 3, "refer;id=1", "terminated;reason=noresource", "200 OK");
    assert_eq!(starts(&phone.says(&done)), ["200"]);
    assert_eq!(told(&phone), ["answered 202", "progress 100", "done 200"]);
    assert_eq!(phone.us.counts().subscriptions, 0);

    // The dialog is ours to end; RFC 3261 §15 wants that of the referrer.
    phone.us.hang_up(phone.now, dialog, None).unwrap();
    assert_eq!(starts(&phone.hears()), ["BYE"]);
}

/// Field note 10: a NOTIFY may outrun the 202, even the last one.
#[test]
fn notify_that_outruns_the_202_is_told() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let refer = phone.hears().remove(0);
    assert_eq!(starts(&phone.says(&notify(&tag, 2, "refer", "terminated", "200 OK"))), ["200"]);
    phone.says(&answer(&refer, "202 Accepted"));
    assert_eq!(told(&phone), ["done 200", "answered 202"]);
}

/// Field note 10: RFC 6665 made it a 200; neither is success.
#[test]
fn any_2xx_to_refer_is_an_answer_and_no_success() {
    for status in ["200 OK", "202 Accepted", "299 Whatever"] {
        let mut phone = Phone::new();
        let (dialog, _) = phone.connects();
        phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
        let refer = phone.hears().remove(0);
        phone.says(&answer(&refer, status));
        assert_eq!(told(&phone), [format!("answered {}", &status[..3])]);
        assert_eq!(phone.us.counts().subscriptions, 1);
    }
}

/// Field note 13: the call stays as it was.
#[test]
fn refused_refer_leaves_the_call_as_it_was() {
    for status in ["603 Decline", "405 Method Not Allowed", "503 Service Unavailable"] {
        let mut phone = Phone::new();
        let (dialog, tag) = phone.connects();
        phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
        let refer = phone.hears().remove(0);
        phone.says(&answer(&refer, status));
        assert_eq!(told(&phone), [format!("answered {}", &status[..3])]);
        assert_eq!((phone.us.counts().subscriptions, phone.us.counts().dialogs), (0, 1));

        let late = notify(&tag, 2, "refer", "terminated", "200 OK");
        assert_eq!(starts(&phone.says(&late)), ["481"], "there is no subscription any more");
    }
}

/// Field note 13: nor does it end a call that nobody answers the REFER.
#[test]
fn unanswered_refer_leaves_the_call_as_it_was() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let sent = phone.waits(ms(60_000));
    assert_eq!(sent.len(), 11, "it, ten repetitions, and no BYE");
    assert_eq!(told(&phone), ["answered 408"]);
    assert_eq!((phone.us.counts().subscriptions, phone.us.counts().dialogs), (0, 1));
}

#[test]
fn peer_that_knows_no_such_dialog_ends_the_call() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let refer = phone.hears().remove(0);
    assert_eq!(starts(&phone.says(&answer(&refer, "481 Gone"))), ["BYE"]);
    assert_eq!(told(&phone), ["answered 481", "ended"]);
}

/// Field note 6: the REFER waits until the caller's 200 is acknowledged.
#[test]
fn refer_before_the_ack_waits_for_it() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let tag = super::phone::to_tag(&phone.hears()[0]);
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let again = phone.us.refer(phone.now, dialog, TARGET, &Headers::default());
    assert_eq!(again, Err(ActionError::Busy));
    assert!(phone.hears().is_empty(), "nothing leaves before the ACK");

    let mut ack = Line::new("ACK", "ack", &tag);
    ack.seq = 1;
    assert_eq!(starts(&phone.says(&ack.text())), ["REFER"]);
}

/// The caller's phone leaves before its last NOTIFY: the outcome is told all the same.
#[test]
fn notify_after_the_peers_bye_is_told() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let refer = phone.hears().remove(0);
    phone.says(&answer(&refer, "202 Accepted"));
    assert_eq!(starts(&phone.says(&Line::new("BYE", "bye", &tag).text())), ["200"]);
    assert_eq!((phone.us.counts().dialogs, phone.us.counts().calls), (1, 0));
    let done = notify(&tag, 3, "refer", "terminated", "200 OK");
    assert_eq!(starts(&phone.says(&done)), ["200"]);
    assert_eq!(told(&phone), ["answered 202", "ended", "done 200"]);
    assert_eq!(phone.us.counts().dialogs, 0);
}

/// … but it is not waited for without end.
#[test]
fn subscription_outlives_the_peers_bye_for_32_s() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let refer = phone.hears().remove(0);
    phone.says(&answer(&refer, "202 Accepted"));
    phone.says(&Line::new("BYE", "bye", &tag).text());
    phone.waits(ms(32_000));
    assert_eq!(phone.us.counts().dialogs, 0);
}

/// Who hangs up wants to hear no more of the transfer.
#[test]
fn subscription_ends_with_our_own_bye() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    let refer = phone.hears().remove(0);
    phone.says(&answer(&refer, "202 Accepted"));
    phone.us.hang_up(phone.now, dialog, None).unwrap();
    let bye = phone.hears().remove(0);
    let late = notify(&tag, 3, "refer", "terminated", "200 OK");
    assert_eq!(starts(&phone.says(&late)), ["481"]);
    phone.says(&answer(&bye, "200 OK"));
    assert_eq!(phone.us.counts().dialogs, 0);
    assert_eq!(told(&phone), ["answered 202"]);
}

#[test]
fn progress_is_that_of_the_last_refer() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    for number in 1..=4 {
        phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
        let refer = phone.hears().remove(0);
        assert_eq!(field(&refer, "CSeq"), Some(format!("{number} REFER").as_str()));
        phone.says(&answer(&refer, "202 Accepted"));
    }
    let fifth = phone.us.refer(phone.now, dialog, TARGET, &Headers::default());
    assert_eq!(fifth, Err(ActionError::Full));
    let told_before = told(&phone).len();
    phone.says(&notify(&tag, 2, "refer;id=1", "terminated", "503 Service Unavailable"));
    phone.says(&notify(&tag, 3, "refer;id=4", "terminated", "200 OK"));
    assert_eq!(told(&phone)[told_before..], ["done 200"]);
}

#[test]
fn notify_with_something_else_in_it_is_refused() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    phone.us.refer(phone.now, dialog, TARGET, &Headers::default()).unwrap();
    phone.hears();
    let text = notify(&tag, 2, "refer", "active", "100 Trying");
    let text = text.replace("message/sipfrag;version=2.0", "text/plain");
    assert_eq!(starts(&phone.says(&text)), ["400"]);
}

/// The events that a REFER brings.
fn told(phone: &Phone) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::ReferAnswered { status, .. } => Some(format!("answered {status}")),
        Event::ReferProgress { status, terminated: false, .. } => {
            Some(format!("progress {status}"))
        }
        Event::ReferProgress { status, .. } => Some(format!("done {status}")),
        Event::Ended { .. } => Some("ended".to_owned()),
        _ => None,
    };
    phone.events.iter().filter_map(told).collect()
}

/// A response to a request of ours.
pub fn answer(request: &str, status: &str) -> String {
    let names = ["Via", "From", "To", "Call-ID", "CSeq"];
    let copied = request.lines().filter(|line| {
        names.iter().any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
    });
    let head: String = copied.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 {status}\r\n{head}Content-Length: 0\r\n\r\n")
}

fn notify(tag: &str, seq: u32, event: &str, state: &str, status: &str) -> String {
    let mut line = Line::new("NOTIFY", "notify", tag);
    line.seq = seq;
    let fields = format!(
        "Event: {event}\r\nSubscription-State: {state}\r\n\
         Content-Type: message/sipfrag;version=2.0\r\n"
    );
    line.fields = fields;
    let text = line.text();
    let body = format!("SIP/2.0 {status}\r\n");
    let text = text.replace("z9hG4bKnotify", &format!("z9hG4bKnotify{seq}"));
    let length = format!("Content-Length: {}", body.len());
    text.replace("Content-Length: 0", &length) + &body
}
