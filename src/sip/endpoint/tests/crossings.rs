//! CANCEL and BYE, and what they meet on the wire (RFC 3261 §9, §15; RFC 5407).

use super::world::{Side, World, ms, peer, sdp};
use crate::sip::endpoint::Transport;
use crate::sip::message::{Headers, StatusCode};

#[test]
fn cancel_after_ringing_ends_in_487() {
    let mut world = World::new();
    let a = world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.ring(now, b, StatusCode::of(180), None, &Headers::default()).unwrap();
    world.run(ms(50));
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.ladder()[3..], ["A CANCEL", "B 200 CANCEL", "B 487 INVITE", "A ACK"]);
    assert_eq!(world.told(Side::A), ["Ringing 180", "Failed 487"]);
    assert_eq!(world.told(Side::B), ["Invited", "Cancelled"]);
    world.assert_no_repetition();
    world.assert_empty();
}

/// RFC 3261 §9.1: no CANCEL leaves before a 1xx came.
#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let mut world = World::new();
    let a = world.dial();
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();

    assert_eq!(
        world.ladder(),
        ["A INVITE", "B 100 INVITE", "A CANCEL", "B 200 CANCEL", "B 487 INVITE", "A ACK"]
    );
    assert_eq!(world.told(Side::A), ["Failed 487"]);
    world.assert_empty();
}

/// Field note 2: CANCEL has the branch, Request-URI, To and number of its INVITE.
#[test]
fn cancel_is_made_of_its_invite() {
    let mut world = World::new();
    let a = world.dial();
    let invite = text_of_next(&mut world);
    let now = world.now;
    world.a.handle_datagram(now, peer(Side::B, Transport::Udp), &trying(&invite));
    world.a.hang_up(now, a, None).unwrap();
    let cancel = text_of_next(&mut world);

    assert_eq!(cancel.lines().next(), Some("CANCEL sip:b@192.0.2.2 SIP/2.0"));
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(field(&cancel, name), field(&invite, name), "{name}");
    }
    assert!(!field(&cancel, "To").unwrap().contains("tag="));
    assert_eq!(field(&cancel, "CSeq"), Some("1 CANCEL"));
}

/// The 200 was on its way when we cancelled: ACK it, then say BYE.
#[test]
fn cancel_that_crosses_a_200_ends_in_ack_and_bye() {
    let mut world = World::new();
    let a = world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.answer(now, b, sdp("answer"), &Headers::default()).unwrap();
    world.run(ms(5));
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();

    assert_eq!(
        world.ladder()[2..],
        ["B 200 INVITE", "A CANCEL", "A ACK", "A BYE", "B 200 CANCEL", "B 200 BYE"]
    );
    assert_eq!(world.told(Side::A), ["Failed 487"]);
    assert_eq!(world.told(Side::B), ["Invited", "Acknowledged -", "Ended -"]);
    world.assert_empty();
}

/// RFC 3261 §9.1: a CANCEL that changes nothing is not waited for longer than 64·T1.
#[test]
fn cancel_without_any_effect_gives_up() {
    let mut world = World::new();
    let a = world.dial();
    world.run(ms(50));
    world.lose(1000, |text| !text.starts_with("SIP/2.0 100"));
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run(ms(33_000));

    assert_eq!(world.told(Side::A), ["Failed 487"]);
    assert_eq!(world.a.counts().dialogs, 0);
    assert_eq!(world.a.counts().client_transactions, 0);
}

/// RFC 3261 §15: who answered may not say BYE before the ACK.
#[test]
fn callee_that_hangs_up_at_once_waits_for_the_ack() {
    let mut world = World::new();
    world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.answer(now, b, sdp("answer"), &Headers::default()).unwrap();
    world.b.hang_up(now, b, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.ladder()[2..], ["B 200 INVITE", "A ACK", "B BYE", "A 200 BYE"]);
    assert_eq!(world.told(Side::B), ["Invited"]);
    world.assert_empty();
}

#[test]
fn callee_that_hangs_up_and_gets_no_ack_says_bye_after_32_s() {
    let mut world = World::new();
    world.lose(100, |text| text.starts_with("ACK"));
    world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.answer(now, b, sdp("answer"), &Headers::default()).unwrap();
    world.b.hang_up(now, b, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.told(Side::B), ["Invited"], "who hung up is told nothing more");
    assert_eq!(world.told(Side::A), ["Answered 200", "Ended -"]);
    world.assert_empty();
}

#[test]
fn callee_that_hangs_up_unanswered_refuses_with_480() {
    let mut world = World::new();
    world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.hang_up(now, b, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.told(Side::A), ["Failed 480"]);
    world.assert_empty();
}

/// Field note 3, RFC 5407 §3.1.2: the BYE overtakes the ACK.
#[test]
fn bye_that_overtakes_the_ack_ends_the_call() {
    let mut world = World::new();
    world.lose(1, |text| text.starts_with("ACK"));
    let a = world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.answer(now, b, sdp("answer"), &Headers::default()).unwrap();
    world.run(ms(30));
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.told(Side::B), ["Invited", "Ended -"]);
    assert_eq!(world.times("200 INVITE"), [0], "the BYE stops the repeating");
    world.assert_empty();
}

/// RFC 5407 §3.2.1: both hang up at once, and both are answered.
#[test]
fn two_byes_that_cross_are_both_answered() {
    let mut world = World::new();
    let (a, b) = world.connect();
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.b.hang_up(now, b, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.ladder()[4..], ["A BYE", "B BYE", "B 200 BYE", "A 200 BYE"]);
    assert_eq!(world.told(Side::A), ["Answered 200"]);
    world.assert_empty();
}

#[test]
fn cancel_that_comes_after_the_final_response_changes_nothing() {
    let mut world = World::new();
    let a = world.dial();
    world.run(ms(50));
    let (now, b) = (world.now, world.dialog_of_b());
    world.b.reject(now, b, StatusCode::of(486), &Headers::default()).unwrap();
    world.run(ms(5));
    let now = world.now;
    world.a.hang_up(now, a, None).unwrap();
    world.run_until_quiet();

    assert_eq!(world.told(Side::A), ["Failed 486"]);
    assert_eq!(world.told(Side::B), ["Invited"]);
    world.assert_empty();
}

fn text_of_next(world: &mut World) -> String {
    let transmit = world.a.poll_transmit().expect("something to send");
    String::from_utf8(transmit.bytes.to_vec()).unwrap()
}

/// A 100 to an INVITE.
fn trying(invite: &str) -> Vec<u8> {
    let (_, head) = invite.split_once("\r\n").unwrap();
    let kept = head.lines().filter(|line| {
        ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|name| line.starts_with(name))
    });
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 100 Trying\r\n{head}Content-Length: 0\r\n\r\n").into_bytes()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
