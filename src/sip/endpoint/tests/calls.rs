//! Calls that go as they should, and calls that lose a message on the way.

use super::world::{Side, World, invite, ms, sdp};
use crate::ids::DialogId;
use crate::sip::endpoint::{ActionError, Transport};
use crate::sip::header::Reason;
use crate::sip::message::{Headers, StatusCode};

#[test]
fn call_is_answered_and_hung_up_by_the_caller() {
    let mut world = World::new();
    let a = world.dial();
    world.run(ms(50));
    let b = world.dialog_of_b();
    let now = world.now;
    world.b.ring(now, b, StatusCode::of(180), None, &Headers::default()).unwrap();
    world.run(ms(2000));
    let now = world.now;
    world.b.answer(now, b, sdp("answer"), &Headers::default()).unwrap();
    world.run(ms(2000));
    let (now, reason) = (world.now, reason());
    world.a.hang_up(now, a, Some(&reason)).unwrap();
    world.run_until_quiet();

    assert_eq!(
        world.ladder(),
        ["A INVITE", "B 100 INVITE", "B 180 INVITE", "B 200 INVITE", "A ACK", "A BYE", "B 200 BYE",]
    );
    assert_eq!(world.told(Side::A), ["Ringing 180", "Answered 200"]);
    let ended = "Ended SIP;cause=200;text=\"Call completed elsewhere\"";
    assert_eq!(world.told(Side::B), ["Invited", "Acknowledged -", ended]);
    world.assert_no_repetition();
    world.assert_empty();
}

#[test]
fn call_is_hung_up_by_the_callee_over_tcp() {
    let mut world = World::with_seed(7, Transport::Tcp);
    let (_, b) = world.connect();
    let now = world.now;
    world.b.hang_up(now, b, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.told(Side::A), ["Answered 200", "Ended -"]);
    world.assert_no_repetition();
    world.assert_empty();
}

#[test]
fn call_is_rejected() {
    let mut world = World::new();
    world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.reject(now, b, StatusCode::of(486), &Headers::default()).unwrap();
    world.run_until_quiet();

    assert_eq!(world.ladder(), ["A INVITE", "B 100 INVITE", "B 486 INVITE", "A ACK"]);
    assert_eq!(world.told(Side::A), ["Failed 486"]);
    world.assert_no_repetition();
    world.assert_empty();
}

#[test]
fn nobody_there_is_a_408_after_timer_b() {
    let mut world = World::new();
    world.lose(7, |text| text.starts_with("INVITE"));
    world.dial();
    world.run_until_quiet();

    assert_eq!(world.times("INVITE"), [0, 500, 1500, 3500, 7500, 15500, 31500]);
    assert_eq!(world.told(Side::A), ["Failed 408"]);
    world.assert_empty();
}

#[test]
fn unreachable_peer_is_a_503_at_once() {
    let mut world = World::new();
    world.lose(1, |text| text.starts_with("INVITE"));
    world.dial();
    world.run(ms(5));
    let now = world.now;
    let to = invite(Transport::Udp).to_peer;
    world.a.handle_transport_error(now, to);
    world.run_until_quiet();

    assert_eq!(world.told(Side::A), ["Failed 503"]);
    world.assert_empty();
}

/// A repeated INVITE is answered by its transaction, and nobody is told of it.
#[test]
fn lost_100_makes_the_invite_come_again_but_not_the_call() {
    let mut world = World::new();
    world.lose(1, |text| text.starts_with("SIP/2.0 100"));
    let a = world.dial();
    world.run(ms(600));
    assert_eq!(world.told(Side::B), ["Invited"]);
    assert_eq!(world.b.counters().retransmissions_received, 1);

    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();
    world.assert_empty();
}

/// RFC 3261 §13.3.1.4: the 200 is the dialog's to repeat, at T1, 2·T1 … T2.
#[test]
fn lost_200_is_repeated_until_the_ack() {
    let mut world = World::new();
    world.lose(3, |text| text.starts_with("SIP/2.0 200"));
    let (a, _) = world.connect();
    world.run(ms(10_000));
    assert_eq!(world.times("200 INVITE"), [0, 500, 1500, 3500]);
    assert_eq!(world.told(Side::B), ["Invited", "Acknowledged -"]);

    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();
    world.assert_empty();
}

#[test]
fn lost_ack_is_sent_again_for_the_repeated_200() {
    let mut world = World::new();
    world.lose(2, |text| text.starts_with("ACK"));
    let (_, b) = world.connect();
    world.run(ms(10_000));
    assert_eq!(world.times("ACK"), [0, 500, 1500]);
    assert_eq!(world.told(Side::A), ["Answered 200"]);
    assert_eq!(world.told(Side::B), ["Invited", "Acknowledged -"]);

    let now = world.now;
    world.b.hang_up(now, b, None).unwrap();
    world.run_until_quiet();
    world.assert_empty();
}

/// Field note 3: 64·T1 without an ACK ends in BYE.
#[test]
fn answer_that_is_never_acknowledged_ends_in_bye() {
    let mut world = World::new();
    world.lose(100, |text| text.starts_with("ACK"));
    world.connect();
    world.run_until_quiet();

    let sent = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(world.times("200 INVITE"), sent);
    let (bye, answer) = (at(&world, "BYE"), at(&world, "200 INVITE"));
    assert_eq!(bye - answer, 32_000);
    assert_eq!(world.told(Side::B), ["Invited", "Unacknowledged"]);
    assert_eq!(world.told(Side::A), ["Answered 200", "Ended -"]);
    world.assert_empty();
}

#[test]
fn lost_bye_is_repeated_and_a_lost_200_answered_again() {
    for lost in [|text: &str| text.starts_with("BYE"), is_200_of_bye] {
        let mut world = World::new();
        world.lose(2, lost);
        let (a, _) = world.connect();
        let now = world.now;
        world.a.hang_up(now, a, None).unwrap();
        world.run_until_quiet();

        assert_eq!(world.times("BYE"), [0, 500, 1500]);
        assert_eq!(world.told(Side::B), ["Invited", "Acknowledged -", "Ended -"]);
        world.assert_empty();
    }
}

#[test]
fn rejection_without_ack_is_repeated() {
    let mut world = World::new();
    world.lose(2, |text| text.starts_with("ACK"));
    world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.reject(now, b, StatusCode::of(603), &Headers::default()).unwrap();
    world.run_until_quiet();

    assert_eq!(world.times("603 INVITE"), [0, 500, 1500]);
    assert_eq!(world.times("ACK"), [0, 500, 1500]);
    assert_eq!(world.told(Side::A), ["Failed 603"]);
    world.assert_empty();
}

#[test]
fn call_on_hold_for_an_hour_has_no_timer_and_no_transaction() {
    let mut world = World::new();
    let (a, _) = world.connect();
    world.run(ms(3_600_000));
    assert_eq!(world.a.poll_timeout(), None);
    assert_eq!(world.b.poll_timeout(), None);
    let counts = world.b.counts();
    assert_eq!((counts.dialogs, counts.calls, counts.server_transactions), (1, 1, 0));

    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();
    world.assert_empty();
}

/// RFC 3261 §13.3.1.1: a long ringing is said again each minute.
#[test]
fn ringing_is_repeated_each_minute() {
    let mut world = World::new();
    let a = world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.ring(now, b, StatusCode::of(183), Some(sdp("early")), &Headers::default()).unwrap();
    world.run(ms(250_000));

    assert_eq!(world.times("183 INVITE"), [0, 60_000, 120_000, 180_000, 240_000]);
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();
    world.assert_empty();
}

#[test]
fn phone_that_only_says_trying_is_given_up() {
    let mut world = World::new();
    world.dial();
    world.run_until_quiet();

    assert_eq!(world.all_told(Side::A), ["Trying", "Failed 408"]);
    assert_eq!(world.told(Side::B), ["Invited", "Cancelled"]);
    assert_eq!(at(&world, "CANCEL"), 181_020);
    world.assert_empty();
}

#[test]
fn probe_tells_whether_the_peer_still_holds_the_dialog() {
    let mut world = World::new();
    let (a, b) = world.connect();
    let now = world.now;
    world.a.probe(now, a).unwrap();
    world.run(ms(50));
    assert_eq!(world.told(Side::A), ["Answered 200", "Probed Alive"]);

    // The peer's BYE is lost with all its repetitions: it is gone, and we do not know.
    world.lose(11, |text| text.starts_with("BYE"));
    let now = world.now;
    world.b.hang_up(now, b, None).unwrap();
    world.run(ms(40_000));
    let now = world.now;
    world.a.probe(now, a).unwrap();
    world.run_until_quiet();
    let ended = "Ended SIP;cause=481;text=\"Call/Transaction Does Not Exist\"";
    assert_eq!(world.told(Side::A)[2..], ["Probed Gone", ended]);
    world.assert_empty();
}

#[test]
fn probe_without_any_answer_leaves_the_dialog_to_its_user() {
    let mut world = World::new();
    let (a, _) = world.connect();
    world.lose(1000, |_| true);
    let now = world.now;
    world.a.probe(now, a).unwrap();
    world.run(ms(100_000));
    assert_eq!(world.told(Side::A)[1..], ["Probed Unanswered"]);
    assert_eq!(world.a.counts().dialogs, 1);
}

#[test]
fn state_that_does_not_allow_an_action_says_so() {
    let mut world = World::new();
    let a = world.dial();
    let none = Headers::default();
    let now = world.now;
    let unanswered = Err(ActionError::WrongState { state: "not answered by the peer" });
    assert_eq!(world.a.invite(now, a, invite(Transport::Udp)), Err(ActionError::Exists));
    assert_eq!(world.a.probe(now, a), unanswered);
    assert_eq!(world.a.refer(now, a, "<sip:c@192.0.2.3>", &none), unanswered);
    assert_eq!(world.a.reinvite(now, a, sdp("hold")), unanswered);
    assert_eq!(world.a.answer(now, a, sdp("answer"), &none), unanswered);
    assert_eq!(world.a.hang_up(now, DialogId::outgoing(99), None), Err(ActionError::Gone));

    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    let (ok, busy) = (StatusCode::of(200), StatusCode::of(486));
    assert_eq!(world.b.reject(now, b, ok, &none), Err(ActionError::BadStatus(ok)));
    assert_eq!(world.b.ring(now, b, busy, None, &none), Err(ActionError::BadStatus(busy)));
}

/// Nothing of what the user hands over may end a header field before its time.
#[test]
fn line_end_in_a_header_is_refused() {
    let mut world = World::new();
    let (a, _) = world.connect();
    let now = world.now;
    let mut headers = Headers::default();
    headers.push("X-Note", "one\r\nVia: two");
    let refused = Err(ActionError::BadHeader);
    assert_eq!(world.a.refer(now, a, "<sip:c@192.0.2.3>", &headers), refused);
    let none = Headers::default();
    assert_eq!(world.a.refer(now, a, "<sip:c@192.0.2.3>\r\nX: y", &none), refused);
    let mut headers = Headers::default();
    headers.push("Via", "SIP/2.0/UDP 192.0.2.66");
    assert_eq!(world.a.refer(now, a, "<sip:c@192.0.2.3>", &headers), refused);
}

fn at(world: &World, label: &str) -> u128 {
    world.wire.iter().find(|(_, _, sent)| sent == label).expect("it was sent").0
}

fn is_200_of_bye(text: &str) -> bool {
    text.starts_with("SIP/2.0 200") && text.contains("BYE\r\n")
}

fn reason() -> Reason {
    let text = Some("Call completed elsewhere".to_owned());
    Reason { protocol: "SIP".to_owned(), cause: Some(200), text }
}
