//! What is offered, and what is answered, as texts.

use proptest::prelude::*;

use super::*;

fn negotiation() -> Negotiation {
    Negotiation::new(Local {
        address: "198.51.100.7".parse().expect("address"),
        port: 16_384,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        session_id: 42,
    })
}

/// A description of a phone from its lines below the session's.
fn phone(lines: &[&str]) -> Vec<u8> {
    let head = "v=0\r\no=phone 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    format!("{head}{}\r\n", lines.join("\r\n")).into_bytes()
}

/// The lines from the first stream on.
fn streams(body: &str) -> Vec<&str> {
    body.split_terminator("\r\n").skip_while(|line| !line.starts_with("m=")).collect()
}

fn version(body: &str) -> &str {
    body.split_whitespace().nth(3).expect("an origin")
}

#[track_caller]
fn check(offer: &[&str], answer: &[&str]) -> Agreed {
    let mut negotiation = negotiation();
    let Answer { body, agreed } = negotiation.answer(&phone(offer)).expect("an answer");
    assert_eq!(streams(&body), answer);
    agreed
}

#[test]
fn answer_takes_our_codec_and_their_numbers() {
    let agreed = check(
        &["m=audio 4000 RTP/AVP 0 8 96", "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-16"],
        &[
            "m=audio 16384 RTP/AVP 8 96",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:96 telephone-event/8000",
            "a=fmtp:96 0-15",
            "a=ptime:20",
            "a=sendrecv",
        ],
    );
    let both = |number| PayloadTypes { send: number, receive: number };
    assert_eq!(
        agreed,
        Agreed {
            codec: Codec::Pcma,
            payload: both(8),
            telephone_event: Some(both(96)),
            remote: "192.0.2.1:4000".parse().expect("address"),
            direction: Direction::SendRecv,
            ptime: Duration::from_millis(20),
        }
    );
}

#[test]
fn whole_answer_reads_as_it_should() {
    let body = negotiation().answer(&phone(&["m=audio 4000 RTP/AVP 0"])).expect("an answer").body;
    assert_eq!(
        body.replace("\r\n", "\n"),
        "v=0\no=- 42 1 IN IP4 198.51.100.7\ns=-\nc=IN IP4 198.51.100.7\nt=0 0\n\
         m=audio 16384 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n"
    );
}

#[test]
fn codec_under_another_number_is_answered_under_it() {
    let agreed = check(
        &["m=audio 4000 RTP/AVP 100", "a=rtpmap:100 PCMA/8000"],
        &["m=audio 16384 RTP/AVP 100", "a=rtpmap:100 PCMA/8000", "a=ptime:20", "a=sendrecv"],
    );
    assert_eq!(agreed.payload, PayloadTypes { send: 100, receive: 100 });
    assert_eq!(agreed.telephone_event, None);
}

/// RFC 3264 §6: as many streams as were offered, in their order, those that we do not take with
/// port 0.
#[test]
fn other_streams_are_refused_in_their_place() {
    let agreed = check(
        &[
            "m=video 5000 RTP/AVP 99",
            "a=rtpmap:99 H264/90000",
            "m=audio 4002 RTP/SAVP 8",
            "m=audio 4000 RTP/AVP 8",
            "m=image 6000 udptl t38",
        ],
        &[
            "m=video 0 RTP/AVP 99",
            "m=audio 0 RTP/SAVP 8",
            "m=audio 16384 RTP/AVP 8",
            "a=rtpmap:8 PCMA/8000",
            "a=ptime:20",
            "a=sendrecv",
            "m=image 0 udptl t38",
        ],
    );
    assert_eq!(agreed.remote.port(), 4000);
}

/// RFC 3264 §6.1 and §8.4, RFC 6337: each way of holding, and what we may do then.
#[test]
fn every_way_of_holding_is_answered() {
    #[rustfmt::skip]
    let cases: [(&[&str], &str, Direction); 8] = [
        (&["a=sendrecv"],                      "a=sendrecv", Direction::SendRecv),
        (&["a=sendonly"],                      "a=recvonly", Direction::RecvOnly),
        (&["a=recvonly"],                      "a=sendonly", Direction::SendOnly),
        (&["a=inactive"],                      "a=inactive", Direction::Inactive),
        (&["c=IN IP4 0.0.0.0"],                "a=recvonly", Direction::RecvOnly),
        (&["c=IN IP6 ::"],                     "a=recvonly", Direction::RecvOnly),
        (&["c=IN IP4 0.0.0.0", "a=sendonly"],  "a=recvonly", Direction::RecvOnly),
        (&["c=IN IP4 0.0.0.0", "a=inactive"],  "a=inactive", Direction::Inactive),
    ];
    for (hold, answered, direction) in cases {
        let mut negotiation = negotiation();
        negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer");

        let offer = phone(&[&["m=audio 4000 RTP/AVP 8"], hold].concat());
        let Answer { body, agreed } = negotiation.answer(&offer).expect("an answer");
        assert_eq!(streams(&body).last(), Some(&answered), "{hold:?}");
        assert_eq!(agreed.direction, direction, "{hold:?}");

        let resumed = negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer");
        assert_eq!(resumed.agreed.direction, Direction::SendRecv, "{hold:?}");
    }
}

#[test]
fn version_grows_with_what_is_said_and_only_then() {
    let mut negotiation = negotiation();
    let plain = phone(&["m=audio 4000 RTP/AVP 8"]);
    let held = phone(&["m=audio 4000 RTP/AVP 8", "a=sendonly"]);
    let mut versions = Vec::new();
    for offer in [&plain, &plain, &held, &held, &plain] {
        let body = negotiation.answer(offer).expect("an answer").body;
        versions.push(version(&body).to_owned());
    }
    assert_eq!(versions, ["1", "1", "2", "2", "3"]);
}

/// A re-INVITE without a body: we offer, the codec in force first, with the numbers of this
/// session.
#[test]
fn offer_in_a_session_keeps_what_is_in_force() {
    let mut negotiation = negotiation();
    let offer = phone(&[
        "m=video 5000 RTP/AVP 99",
        "m=audio 4000 RTP/AVP 0 96",
        "a=rtpmap:96 telephone-event/8000",
    ]);
    negotiation.answer(&offer).expect("an answer");
    assert_eq!(
        streams(&negotiation.offer(Direction::SendRecv)),
        [
            "m=video 0 RTP/AVP 99",
            "m=audio 16384 RTP/AVP 0 8 96",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:96 telephone-event/8000",
            "a=fmtp:96 0-15",
            "a=ptime:20",
            "a=sendrecv",
        ]
    );
}

#[test]
fn codec_in_force_stays_if_it_is_offered_again() {
    let mut negotiation = negotiation();
    negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 0"])).expect("an answer");
    let again = negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8 0"])).expect("an answer");
    assert_eq!(again.agreed.codec, Codec::Pcmu);
    let other = negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer");
    assert_eq!(other.agreed.codec, Codec::Pcma);
}

/// RFC 3264 §5.1: we send with the numbers of the answer and receive with those of our offer.
#[test]
fn answer_to_our_offer_is_accepted_with_its_numbers() {
    let mut negotiation = negotiation();
    negotiation.offer(Direction::SendRecv);
    let answer =
        phone(&["m=audio 4000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/8000", "a=ptime:30"]);
    let agreed = negotiation.accept(&answer).expect("agreement");
    assert_eq!(agreed.codec, Codec::Pcmu);
    assert_eq!(agreed.telephone_event, Some(PayloadTypes { send: 97, receive: 101 }));
    assert_eq!(agreed.ptime, Duration::from_millis(30));
    assert_eq!(negotiation.agreed(), Some(&agreed));
}

/// We hold the peer; whatever it answers, it is not heard. A re-INVITE of its own does not end our
/// hold.
#[test]
fn our_hold_holds() {
    let mut negotiation = negotiation();
    let body = negotiation.offer(Direction::SendOnly);
    assert_eq!(streams(&body).last(), Some(&"a=sendonly"));
    let agreed = negotiation.accept(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("agreement");
    assert_eq!(agreed.direction, Direction::SendOnly);
    let refreshed = negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer");
    assert_eq!(refreshed.agreed.direction, Direction::SendOnly);
}

#[test]
fn refused_offer_leaves_what_was() {
    let mut negotiation = negotiation();
    let before = negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer").agreed;
    assert_eq!(before.direction, Direction::SendRecv);
    negotiation.offer(Direction::SendOnly);
    negotiation.withdraw();
    assert_eq!(negotiation.agreed(), Some(&before));
    let after = negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer");
    assert_eq!(after.agreed, before);
    assert_eq!(version(&after.body), "3", "the refused offer was a description as well");
}

#[test]
fn what_cannot_be_agreed_on_says_why() {
    #[rustfmt::skip]
    let cases: [(&[&str], OfferError, Option<u16>); 8] = [
        (&["m=audio 4000 RTP/AVP 18 101", "a=rtpmap:101 telephone-event/8000"], OfferError::NoCommonCodec, Some(305)),
        (&["m=video 4000 RTP/AVP 99"],                     OfferError::NoSound,           Some(304)),
        (&["m=audio 0 RTP/AVP 8"],                         OfferError::NoSound,           Some(304)),
        (&["m=audio 4000 RTP/SAVP 8"],                     OfferError::NoCommonTransport, Some(302)),
        (&["m=audio 4000 RTP/AVP 8", "c=IN IP6 ::1"],      OfferError::NoCommonAddress,   Some(301)),
        (&["m=audio 4000 RTP/AVP 8", "c=IN IP4 224.1.1.1"], OfferError::NoCommonAddress,  Some(301)),
        (&["m=audio 4000 RTP/AVP 8", "c=IN IP4 a.example"], OfferError::NoCommonAddress,  Some(301)),
        (&["m=audio x RTP/AVP 8"],                         OfferError::Unreadable(SdpError::Malformed), None),
    ];
    for (offer, error, warning) in cases {
        let mut negotiation = negotiation();
        let before =
            negotiation.answer(&phone(&["m=audio 4000 RTP/AVP 8"])).expect("an answer").agreed;
        assert_eq!(negotiation.answer(&phone(offer)), Err(error), "{offer:?}");
        assert_eq!(error.warning().map(|(code, _)| code), warning);
        assert_eq!(error.status(), if warning.is_some() { 488 } else { 400 });
        assert_eq!(negotiation.agreed(), Some(&before));
    }
}

#[test]
fn answers_that_do_not_answer_are_refused() {
    let answers: [(&[&str], OfferError); 5] = [
        (&["m=audio 4000 RTP/SAVP 8"], OfferError::NoCommonTransport),
        (&["m=audio 0 RTP/AVP 8"], OfferError::NoSound),
        (&["m=video 4000 RTP/AVP 99"], OfferError::NoSound),
        (&["m=audio 4000 RTP/AVP 18"], OfferError::NoCommonCodec),
        (&["a=sendrecv"], OfferError::Mismatch),
    ];
    for (answer, error) in answers {
        let mut negotiation = negotiation();
        negotiation.offer(Direction::SendRecv);
        assert_eq!(negotiation.accept(&phone(answer)), Err(error), "{answer:?}");
    }
    let unasked = negotiation().accept(&phone(&["m=audio 4000 RTP/AVP 8"]));
    assert_eq!(unasked, Err(OfferError::Mismatch));
}

#[test]
fn packet_time_is_the_peers_within_reason() {
    let cases = [("ptime:10", 10), ("ptime:60", 60), ("ptime:30.0", 30), ("maxptime:10", 10)];
    let silly = [("ptime:0", 20), ("ptime:25", 20), ("ptime:200", 20), ("ptime:x", 20)];
    for (attribute, expected) in cases.into_iter().chain(silly) {
        let attribute = format!("a={attribute}");
        let offer = phone(&["m=audio 4000 RTP/AVP 8", &attribute]);
        let agreed = negotiation().answer(&offer).expect("an answer").agreed;
        assert_eq!(agreed.ptime, Duration::from_millis(expected), "{attribute}");
    }
}

proptest! {
    /// What we write, another of us can read: any two agree, or know why not.
    #[test]
    fn two_of_us_agree(direction in prop::sample::select(vec![
        Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive,
    ])) {
        let (mut caller, mut callee) = (negotiation(), negotiation());
        let Answer { body, agreed } = callee.answer(caller.offer(direction).as_bytes()).expect("an answer");
        let accepted = caller.accept(body.as_bytes()).expect("agreement");
        prop_assert_eq!(accepted.direction, direction);
        prop_assert_eq!(agreed.direction, direction.reversed());
        prop_assert_eq!(accepted.codec, agreed.codec);
    }

    #[test]
    fn no_bytes_make_it_panic(lines in prop::collection::vec("[mca]=[ -~]{0,40}", 0..12)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut negotiation = negotiation();
        let _ = negotiation.answer(&phone(&lines));
        negotiation.offer(Direction::SendRecv);
        let _ = negotiation.accept(&phone(&lines));
    }
}
