//! REFER in: a phone follows it (RFC 3515, RFC 6665).

use super::phone::{Line, Phone, field, starts};
use super::refer::answer;
use super::world::ms;
use crate::sip::endpoint::{ActionError, Event};
use crate::sip::message::StatusCode;

const REFER_TO: &str = "Refer-To: <sip:sarah@192.0.2.3?X-Tandem-Call-ID=call%40192.0.2.9>";

#[test]
fn refer_is_accepted_and_its_referrer_told_until_the_last_word() {
    let (mut phone, tag) = follower();
    assert!(phone.says(&refer(&tag, 2).text()).is_empty(), "our user decides");
    let Some(Event::Referred { dialog, request }) = phone.events.last().cloned() else {
        panic!("{:?}", phone.events)
    };
    assert_eq!(request.headers.get("Refer-To"), REFER_TO.strip_prefix("Refer-To: "));

    phone.us.accept_refer(phone.now, dialog).unwrap();
    let sent = phone.hears();
    assert_eq!(starts(&sent), ["202", "NOTIFY"]);
    assert_eq!(field(&sent[0], "Contact"), Some("<sip:192.0.2.1:5060>"));
    assert_notify(&sent[1], "active;expires=180", "SIP/2.0 100 Trying\r\n");
    phone.says(&answer(&sent[1], "200 OK"));

    for (status, state, line) in [
        (180, "active;expires=180", "SIP/2.0 180 Ringing\r\n"),
        (200, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n"),
    ] {
        phone.us.notify_refer(phone.now, dialog, StatusCode::of(status)).unwrap();
        let notify = phone.hears().remove(0);
        assert_notify(&notify, state, line);
        phone.says(&answer(&notify, "200 OK"));
    }
    let more = phone.us.notify_refer(phone.now, dialog, StatusCode::of(180));
    assert_eq!(more, Err(ActionError::WrongState { state: "established" }));
    assert_eq!(starts(&phone.says(&Line::new("BYE", "bye", &tag).seq(9).text())), ["200"]);
    assert_eq!(phone.us.counts().dialogs, 0);
}

#[test]
fn refused_refer_leaves_the_call_as_it_was() {
    let (mut phone, tag) = follower();
    phone.says(&refer(&tag, 2).text());
    let dialog = phone.invited();
    let bad = phone.us.reject_refer(phone.now, dialog, StatusCode::of(202));
    assert_eq!(bad, Err(ActionError::BadStatus(StatusCode::of(202))));
    phone.us.reject_refer(phone.now, dialog, StatusCode::of(603)).unwrap();
    assert_eq!(starts(&phone.hears()), ["603"]);
    assert_eq!(phone.us.counts().calls, 1);
    phone.says(&refer(&tag, 3).text());
    assert!(phone.us.accept_refer(phone.now, dialog).is_ok(), "the next one has its own chance");
}

#[test]
fn refer_that_cannot_be_followed_is_refused_by_the_stack() {
    let (mut phone, tag) = follower();
    let mut without = Line::new("REFER", "none", &tag);
    without.seq = 2;
    assert_eq!(starts(&phone.says(&without.text())), ["400"]);
    let twice = refer(&tag, 3).with("Refer-To: <sip:jan@192.0.2.4>");
    assert_eq!(starts(&phone.says(&twice.text())), ["400"]);
    phone.says(&refer(&tag, 4).text());
    assert_eq!(starts(&phone.says(&refer(&tag, 5).text())), ["491"], "one at a time");
    let mut outside = refer("", 6);
    outside.branch = "outside";
    assert_eq!(starts(&phone.says(&outside.text())), ["481"]);
}

/// Who does not follow REFERs says so, and does not offer it.
#[test]
fn refer_is_405_unless_asked_for() {
    let mut phone = Phone::new();
    let (_, tag) = phone.connects();
    let refused = phone.says(&refer(&tag, 2).text()).remove(0);
    assert!(refused.starts_with("SIP/2.0 405"), "{refused}");
    assert!(!field(&refused, "Allow").unwrap().contains("REFER"));

    let (mut phone, _) = follower();
    let options = phone.says(&Line::new("OPTIONS", "options", "").text()).remove(0);
    assert!(field(&options, "Allow").unwrap().contains("REFER"));
}

/// Field note 7: the referrer may hang up right after its 202, and is told all the same.
#[test]
fn last_word_comes_after_the_referrers_bye() {
    let (mut phone, tag) = follower();
    phone.says(&refer(&tag, 2).text());
    let dialog = phone.invited();
    phone.us.accept_refer(phone.now, dialog).unwrap();
    let notify = phone.hears().remove(1);
    phone.says(&answer(&notify, "200 OK"));
    assert_eq!(starts(&phone.says(&Line::new("BYE", "bye", &tag).seq(3).text())), ["200"]);

    phone.us.notify_refer(phone.now, dialog, StatusCode::of(486)).unwrap();
    assert_notify(&phone.hears()[0], "terminated;reason=noresource", "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(phone.us.counts().dialogs, 0);
}

/// Neither a REFER nor its subscription is held for ever.
#[test]
fn forgotten_refer_ends_by_itself() {
    let (mut phone, tag) = follower();
    phone.says(&refer(&tag, 2).text());
    assert_eq!(starts(&phone.waits(ms(30_000))), ["480"]);

    phone.says(&refer(&tag, 3).text());
    let dialog = phone.invited();
    phone.us.accept_refer(phone.now, dialog).unwrap();
    let notify = phone.hears().remove(1);
    phone.says(&answer(&notify, "200 OK"));
    let last = phone.waits(ms(180_000)).remove(0);
    assert_notify(&last, "terminated;reason=noresource", "SIP/2.0 408 Request Timeout\r\n");
}

/// In a call with a phone that follows REFERs; and our tag.
fn follower() -> (Phone, String) {
    let mut phone = Phone::with(|settings| settings.takes_refer = true);
    let (_, tag) = phone.connects();
    (phone, tag)
}

fn refer(tag: &str, seq: u32) -> Line {
    let branch = ["a", "b", "c", "d", "e", "f", "g"][seq as usize];
    Line::new("REFER", branch, tag).seq(seq).with(REFER_TO)
}

#[track_caller]
fn assert_notify(notify: &str, state: &str, line: &str) {
    assert!(notify.starts_with("NOTIFY sip:phone@192.0.2.9:5070 SIP/2.0"), "{notify}");
    assert!(field(notify, "Event").is_some_and(|event| event.starts_with("refer;id=")), "{notify}");
    assert_eq!(field(notify, "Subscription-State"), Some(state));
    assert_eq!(field(notify, "Content-Type"), Some("message/sipfrag;version=2.0"));
    assert_eq!(notify.split_once("\r\n\r\n").unwrap().1, line);
}
