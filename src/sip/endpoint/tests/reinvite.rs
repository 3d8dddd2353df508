//! re-INVITEs, both ways at once too (RFC 3261 §14, RFC 5407 §3.1).

use super::phone::{Line, Phone, field, starts, to_tag};
use super::refer::answer;
use super::world::{Side, World, ms, sdp};
use crate::sip::endpoint::{ActionError, Event};
use crate::sip::message::{Headers, StatusCode};

/// Field note 15: hold, and resume without any SDP.
#[test]
fn reinvite_of_the_peer_is_told_answered_and_acknowledged() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    for (seq, branch, body, held) in [(2, "r1", "sendonly", true), (3, "r2", "", false)] {
        let ok = reinvites(&mut phone, &tag, seq, branch, body);
        assert_eq!(starts(&ok), ["100"]);
        let Some(Event::Reinvited { body: offer, .. }) = phone.events.last() else { panic!() };
        assert_eq!(offer.is_some(), held);
        phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
        assert_eq!(starts(&phone.hears()), ["200"]);

        let mut ack = Line::new("ACK", "x", &tag).with("Content-Type: application/sdp");
        (ack.seq, ack.body) = (seq, if held { "" } else { "their answer" });
        phone.says(&ack.text());
        let Some(Event::Acknowledged { body, .. }) = phone.events.last() else { panic!() };
        assert_eq!(body.is_some(), !held);
    }
    assert!(phone.waits(ms(60_000)).is_empty());
    assert_eq!(phone.us.counts().dialogs, 1);
}

#[test]
fn rejected_reinvite_leaves_the_session_as_it_was() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    reinvites(&mut phone, &tag, 2, "r1", "offer");
    let mut headers = Headers::default();
    headers.push("Warning", "305 192.0.2.1 \"Incompatible media format\"");
    phone.us.reject(phone.now, dialog, StatusCode::of(488), &headers).unwrap();
    let refused = phone.hears().remove(0);
    assert!(refused.starts_with("SIP/2.0 488 "));
    assert!(field(&refused, "Warning").is_some());
    assert_eq!(phone.us.counts().calls, 1);
}

/// RFC 3261 §14.2.
#[test]
fn second_invite_before_the_answer_to_the_first_is_too_early() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    let ringing = StatusCode::of(180);
    phone.us.ring(phone.now, dialog, ringing, None, &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    let heard = reinvites(&mut phone, &tag, 2, "r1", "offer");
    assert_eq!(starts(&heard), ["500"]);
    let wait: u32 = field(&heard[0], "Retry-After").unwrap().parse().unwrap();
    assert!(wait <= 10);
}

#[test]
fn second_reinvite_before_the_answer_to_the_first_is_too_early() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    reinvites(&mut phone, &tag, 2, "r1", "offer");
    assert_eq!(starts(&reinvites(&mut phone, &tag, 3, "r2", "offer")), ["500"]);
    assert_eq!(phone.us.reinvite(phone.now, dialog, sdp("hold")), Err(ActionError::Busy));
}

#[test]
fn second_reinvite_of_ours_waits_for_the_first() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.reinvite(phone.now, dialog, sdp("hold")).unwrap();
    assert_eq!(phone.us.reinvite(phone.now, dialog, sdp("resume")), Err(ActionError::Busy));
}

/// RFC 3261 §12.2.1.2, and its 2xx is acknowledged each time that it comes.
#[test]
fn answer_to_our_reinvite_moves_the_remote_target() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.reinvite(phone.now, dialog, sdp("hold")).unwrap();
    let invite = phone.hears().remove(0);
    let contact = "Contact: <sip:new@192.0.2.9:5099>\r\nContent-Length";
    let ok = answer(&invite, "200 OK").replace("Content-Length", contact);
    let ack = phone.says(&ok);
    assert_eq!(ack[0].lines().next(), Some("ACK sip:new@192.0.2.9:5099 SIP/2.0"));
    assert_eq!(field(&ack[0], "CSeq"), Some("1 ACK"));
    assert_eq!(phone.says(&ok), ack);
    let answered = |event: &&Event| matches!(event, Event::ReinviteAnswered { .. });
    assert_eq!(phone.events.iter().filter(answered).count(), 1);
}

#[test]
fn reinvite_that_meets_ours_is_refused_with_491() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    phone.us.reinvite(phone.now, dialog, sdp("hold")).unwrap();
    assert_eq!(starts(&phone.hears()), ["INVITE"]);
    assert_eq!(starts(&reinvites(&mut phone, &tag, 2, "r1", "offer")), ["491"]);
}

/// RFC 3261 §14.1: who owns the Call-ID waits 2.1 to 4 s, the other 0 to 2 s.
#[test]
fn glare_is_solved_by_waiting() {
    for seed in 0..50 {
        let mut world = World::with_seed(seed, crate::sip::endpoint::Transport::Udp);
        let (a, b) = world.connect();
        let now = world.now;
        world.a.reinvite(now, a, sdp("of a")).unwrap();
        world.b.reinvite(now, b, sdp("of b")).unwrap();
        // Whoever is asked says yes.
        let mut seen = world.events.len();
        while let Some((side, event)) = world.next_event(&mut seen) {
            if let Event::Reinvited { dialog, .. } = event {
                let now = world.now;
                let none = Headers::default();
                world.side(side).answer(now, dialog, sdp("yes"), &none).unwrap();
            }
        }
        for side in [Side::A, Side::B] {
            assert!(world.told(side).contains(&"ReinviteAnswered yes".to_owned()), "seed {seed}");
        }
        let (of_a, of_b) = (sends(&world, Side::A), sends(&world, Side::B));
        assert!((2_100..=4_100).contains(&(of_a[1] - of_a[0])), "seed {seed}: {of_a:?}");
        assert!((0..=2_100).contains(&(of_b[1] - of_b[0])), "seed {seed}: {of_b:?}");

        let now = world.now;
        world.a.hang_up(now, a, None).unwrap();
        world.run_until_quiet();
        world.assert_empty();
    }
}

#[test]
fn refused_reinvite_of_ours_leaves_the_session_as_it_was() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.reinvite(phone.now, dialog, sdp("hold")).unwrap();
    let invite = phone.hears().remove(0);
    assert_eq!(starts(&phone.says(&answer(&invite, "488 No"))), ["ACK"]);
    assert!(matches!(phone.events.last(), Some(Event::ReinviteRefused { .. })));
    phone.us.reinvite(phone.now, dialog, sdp("hold")).expect("it may be tried again");
}

#[test]
fn reinvite_of_ours_without_an_answer_ends_the_call() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.reinvite(phone.now, dialog, sdp("hold")).unwrap();
    let sent = phone.waits(ms(32_000));
    assert_eq!(starts(&sent).last(), Some(&"BYE"));
    assert!(matches!(phone.events.last(), Some(Event::Ended { .. })));
}

/// A 100 and nothing more must not hold a session for ever.
#[test]
fn reinvite_of_ours_that_is_never_decided_ends_the_call() {
    let mut phone = Phone::new();
    let (dialog, _) = phone.connects();
    phone.us.reinvite(phone.now, dialog, sdp("hold")).unwrap();
    let invite = phone.hears().remove(0);
    phone.says(&answer(&invite, "100 Trying"));
    assert_eq!(starts(&phone.waits(ms(64_000))), ["BYE"]);
    phone.waits(ms(33_000));
    assert_eq!(phone.us.counts(), Default::default());
}

/// RFC 5407 §3.1.4: who sends a re-INVITE has seen our 2xx, so its ACK was lost or is late.
#[test]
fn reinvite_before_the_ack_stands_for_it() {
    let mut phone = Phone::new();
    phone.says(&Line::invite().text());
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    assert_eq!(starts(&reinvites(&mut phone, &tag, 2, "r1", "hold")), ["100"]);
    let [Event::Invited { .. }, Event::Acknowledged { .. }, Event::Reinvited { .. }] =
        &phone.events[..]
    else {
        panic!("{:?}", phone.events)
    };
    assert!(phone.waits(ms(20_000)).is_empty(), "the first 200 is not repeated");
}

/// … unless the ACK would have brought the answer that we need.
#[test]
fn reinvite_before_an_ack_with_an_answer_is_refused() {
    let mut phone = Phone::new();
    let mut invite = Line::invite();
    invite.body = "";
    phone.says(&invite.text());
    let dialog = phone.invited();
    phone.us.answer(phone.now, dialog, sdp("our offer"), &Headers::default()).unwrap();
    let tag = to_tag(&phone.hears()[0]);
    assert_eq!(starts(&reinvites(&mut phone, &tag, 2, "r1", "hold")), ["491"]);
}

/// RFC 3261 §15.1.2: a request that waits when the BYE comes still gets an answer.
#[test]
fn bye_refuses_the_reinvite_that_waits() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    reinvites(&mut phone, &tag, 2, "r1", "hold");
    let mut bye = Line::new("BYE", "bye", &tag);
    bye.seq = 3;
    assert_eq!(starts(&phone.says(&bye.text())), ["200", "487"]);

    let mut phone = Phone::new();
    let (_, tag) = phone.connects();
    reinvites(&mut phone, &tag, 2, "r1", "hold");
    phone.us.hang_up(phone.now, dialog, None).unwrap();
    assert_eq!(starts(&phone.hears()), ["487", "BYE"]);
}

/// RFC 3261 §12.2.2: the peer has moved, and our next request follows.
#[test]
fn answered_reinvite_moves_the_remote_target() {
    let mut phone = Phone::new();
    let (dialog, tag) = phone.connects();
    let mut line = reinvite(&tag, 2, "r1", "offer").text();
    line = line.replace("Contact: <sip:phone@192.0.2.9:5070>", "Contact: <sip:new@192.0.2.9:5099>");
    phone.says(&line);
    phone.us.answer(phone.now, dialog, sdp("answer"), &Headers::default()).unwrap();
    phone.hears();
    phone.us.hang_up(phone.now, dialog, None).unwrap();
    let mut ack = Line::new("ACK", "x", &tag);
    ack.seq = 2;
    let bye = phone.says(&ack.text()).remove(0);
    assert_eq!(bye.lines().next(), Some("BYE sip:new@192.0.2.9:5099 SIP/2.0"));
}

fn reinvites(
    phone: &mut Phone,
    tag: &str,
    seq: u32,
    branch: &'static str,
    body: &'static str,
) -> Vec<String> {
    phone.says(&reinvite(tag, seq, branch, body).text())
}

fn reinvite(tag: &str, seq: u32, branch: &'static str, body: &'static str) -> Line {
    let mut line = Line::invite();
    (line.to_tag, line.seq, line.branch, line.body) = (tag.to_owned(), seq, branch, body);
    line
}

/// When a side sent INVITEs, in milliseconds, its first call left out.
fn sends(world: &World, side: Side) -> Vec<u128> {
    let invites = world.wire.iter().filter(|(_, from, label)| *from == side && label == "INVITE");
    let times: Vec<_> = invites.map(|(at, ..)| *at).collect();
    times[usize::from(side == Side::A)..].to_vec()
}
