//! Descriptions as phones and trunks write them.

use proptest::prelude::*;

use super::*;

fn parse(lines: &str) -> Result<Description, SdpError> {
    Description::parse(lines.trim_start().replace('\n', "\r\n").as_bytes())
}

fn stream(lines: &str) -> Stream {
    let mut description = parse(lines).expect("readable");
    assert_eq!(description.streams.len(), 1);
    description.streams.remove(0)
}

const PHONE: &str = "
v=0
o=alice 2890844526 2890844527 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
a=sendonly
m=audio 49170 RTP/AVP 0 8 96 101
a=rtpmap:0 PCMU/8000
a=rtpmap:96 opus/48000/2
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:49180
a=ptime:30
a=maxptime:60
";

#[test]
fn what_a_phone_says_is_understood() {
    let stream = stream(PHONE);
    assert_eq!(stream.address, Some("192.0.2.1".parse().expect("address")));
    assert_eq!((stream.port, stream.rtcp_port), (49_170, Some(49_180)));
    assert_eq!(stream.direction, Direction::SendOnly);
    assert_eq!((stream.ptime, stream.ptime_max), (Some(30), Some(60)));
    assert_eq!(stream.codec(0), Some(Codec::Pcmu));
    assert_eq!(stream.codec(8), Some(Codec::Pcma), "static, without an rtpmap");
    assert_eq!(stream.codec(96), None);
    assert_eq!(stream.telephone_event(8000), Some(101));
    assert_eq!(stream.telephone_event(48_000), None);
    assert_eq!(stream.maps[2].parameters.as_deref(), Some("0-15"));
    assert!(stream.is_audio() && !stream.is_held_by_address());
}

#[test]
fn what_a_stream_says_goes_over_what_the_session_says() {
    let stream = stream(
        "
v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
a=inactive
a=ptime:20
m=audio 4000 RTP/AVP 8
c=IN IP6 2001:db8::7
a=sendrecv
a=ptime:40
",
    );
    assert_eq!(stream.address, Some("2001:db8::7".parse().expect("address")));
    assert_eq!((stream.direction, stream.ptime), (Direction::SendRecv, Some(40)));
}

/// A payload type that is remapped is what its rtpmap says, and nothing else.
#[test]
fn rtpmap_goes_over_the_static_meaning() {
    let stream = stream(
        "
v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
m=audio 4000 RTP/AVP 0 8 100
a=rtpmap:0 G729/8000
a=rtpmap:8 PCMA/16000
a=rtpmap:100 pcma/8000
",
    );
    assert_eq!((stream.codec(0), stream.codec(8)), (None, None));
    assert_eq!(stream.codec(100), Some(Codec::Pcma));
}

#[test]
fn broken_rtpmap_harms_nobody_else() {
    for broken in ["0", "900 PCMU/8000", "0 /8000", "0 PCMU/x", ""] {
        let text = format!("v=0\nm=audio 4000 RTP/AVP 0 8\na=rtpmap:{broken}\n");
        assert_eq!(stream(&text).codec(8), Some(Codec::Pcma), "{broken}");
    }
}

/// Addresses that would send sound to a crowd, or that we would have to look up, are none.
#[test]
fn only_one_host_is_an_address() {
    let cases = [
        ("IN IP4 0.0.0.0", Some("0.0.0.0")),
        ("IN IP4 192.0.2.1", Some("192.0.2.1")),
        ("IN IP4 224.2.1.1/127", None),
        ("IN IP4 224.2.1.1", None),
        ("IN IP4 255.255.255.255", None),
        ("IN IP4 phone.example.com", None),
        ("IN IP6 ff02::1", None),
        ("IN IP6 ::1", Some("::1")),
    ];
    for (connection, expected) in cases {
        let text = format!("v=0\no=- 1 1 IN IP4 a.b\ns=-\nc={connection}\nm=audio 4 RTP/AVP 8\n");
        let expected = expected.map(|address| address.parse().expect("address"));
        assert_eq!(stream(&text).address, expected, "{connection}");
    }
}

#[test]
fn several_streams_keep_their_order() {
    let description = parse(
        "
v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=image 0 udptl t38
m=audio 4000 RTP/AVP 8
m=video 4002 RTP/AVP 99
a=rtpmap:99 H264/90000
",
    )
    .expect("readable");
    let media: Vec<_> = description.streams.iter().map(|s| (s.media.as_str(), s.port)).collect();
    assert_eq!(media, [("image", 0), ("audio", 4000), ("video", 4002)]);
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in [PHONE.to_owned(), PHONE.replace("IP4 192.0.2.1", "IP6 2001:db8::1")] {
        let description = parse(&text).expect("readable");
        assert_eq!(Description::parse(description.write().as_bytes()), Ok(description));
    }
}

#[test]
fn nonsense_is_refused() {
    let cases = [
        ("", SdpError::Malformed),
        ("v=1\n", SdpError::Malformed),
        ("v=0\nm=audio 70000 RTP/AVP 0\n", SdpError::Malformed),
        ("v=0\nm=audio 4000 RTP/AVP\n", SdpError::Malformed),
        ("v=0\nm=audio 4000 RTP/AVP  \n", SdpError::Malformed),
        (&"v=0\r\n".repeat(4000), SdpError::TooLarge),
        (&format!("v=0\n{}", "m=audio 4 RTP/AVP 0\n".repeat(17)), SdpError::TooLarge),
        (&format!("v=0\nm=audio 4 RTP/AVP {}\n", "0 ".repeat(65)), SdpError::TooLarge),
        (&format!("v=0\nm=audio 4 RTP/AVP 0\n{}", "a=x\n".repeat(257)), SdpError::TooLarge),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text), Err(error), "{:.40}", text);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Description::parse(&bytes);
    }

    /// Lines that look right, in any order and with anything in them; what is read can be written
    /// and read.
    #[test]
    fn no_lines_make_it_panic(
        lines in prop::collection::vec(
            prop_oneof![
                Just("m=audio 4000 RTP/AVP 0 8 101".to_owned()),
                Just("c=IN IP4 192.0.2.1".to_owned()),
                "[voscbtam]=[ -~]{0,30}",
                "a=(rtpmap|fmtp|ptime|rtcp|maxptime):[0-9 a-zA-Z/.-]{0,20}",
                "m=(audio|video) [0-9]{1,5} RTP/AVP [0-9 ]{1,12}",
            ],
            0..20,
        ),
    ) {
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{}\r\n", lines.join("\r\n"));
        if let Ok(description) = Description::parse(text.as_bytes()) {
            prop_assert!(Description::parse(description.write().as_bytes()).is_ok());
        }
    }
}
