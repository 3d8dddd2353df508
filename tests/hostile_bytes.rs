//! Bytes from a stranger, of which nothing is expected: no panic, and nothing that reads differently when
//! it is passed on.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tandem::sip::NameAddr;
use tandem::sip::Uri;
use tandem::sip::header::{
    CSeq, Reason, Replaces, RetryAfter, Token, Via, Warning, sipfrag_status,
};
use tandem::sip::wire::{Parsed, StreamFramer, parse_datagram, parse_frame};

/// How many inputs each property is tried with.
const CASES: u32 = 2_000;

/// Wherever a datagram is cut off, it is refused or taken, and nothing worse.
#[test]
fn a_message_may_end_anywhere() {
    for bytes in messages() {
        for end in 0..bytes.len() {
            survives(&bytes[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..600)) {
        survives(&bytes);
    }

    /// Bytes that a parser has something to do with.
    #[test]
    fn any_text_behind_a_sound_start_is_survived(text in "([ -~\u{e9}]{0,20}(\r\n)?[;,<>\"\\\\@:%?= \t\r\n]{0,3}){0,12}") {
        for start in ["", "INVITE sip:a@b SIP/2.0\r\nVia: ", "SIP/2.0 200 OK\r\nTo: ", "OPTIONS sip:", "SIP/2.0 "] {
            survives(format!("{start}{text}\r\n\r\n").as_bytes());
        }
        sipfrag_status(text.as_bytes());
    }

    #[test]
    fn a_uri_is_written_as_it_was_read(text in "(sips?|tel|x):([a-z0-9*#+.-]|%[0-9A-Fa-f]{2}|[;=:?&@,/]|\\[::1\\]){0,24}") {
        if let Ok(uri) = text.parse::<Uri>() {
            prop_assert_eq!(uri.to_string().parse(), Ok(uri.clone()));
            prop_assert!(uri.is_equivalent(&uri));
            let address = NameAddr::new(uri);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn a_value_is_written_as_it_was_read(
        start in prop::sample::select(vec!["", "<sip:a@b>", "a <tel:1>", "SIP/2.0/UDP h", "1 INVITE", "304 h ", "SIP", "5", "c;to-tag=1"]),
        text in "([;=,<> /\"\\\\-]|[a-z0-9]{1,4}|\"[ -~]{0,6}\"){0,10}",
    ) {
        let text = format!("{start}{text}");
        reads_back::<NameAddr>(&text);
        reads_back::<Via>(&text);
        reads_back::<CSeq>(&text);
        reads_back::<Reason>(&text);
        reads_back::<Replaces>(&text);
        reads_back::<RetryAfter>(&text);
        reads_back::<Token>(&text);
        reads_back::<Warning>(&text);
    }

    /// No display name, parameter or URI header can say more than itself.
    #[test]
    fn nothing_breaks_out_of_an_address(name in any::<String>(), value in any::<String>()) {
        let Ok(Uri::Sip(uri)) = "sip:a@b".parse() else { panic!("a URI") };
        let uri = uri.with_param("p", &value).with_header("Subject", &value);
        let mut address = NameAddr::new(Uri::Sip(uri)).with_tag("1");
        address.display_name = Some(name.replace(['\r', '\n'], " ")).filter(|name| !name.is_empty());
        address.params.set("q", &value);

        let text = address.to_string();
        prop_assert!(!text.contains(['\r', '\n']));
        let read: NameAddr = text.parse().expect("what we write can be read");
        let sip = read.uri.as_sip().expect("a SIP URI");
        prop_assert_eq!(sip.header("Subject").unwrap_or_default(), value.as_str());
        prop_assert_eq!(sip.param("p").unwrap_or_default(), value.as_str());
        prop_assert_eq!(read.params.unquoted("q").unwrap(), value.replace(['\r', '\n'], " "));
        prop_assert_eq!(read, address);
    }

    /// A known message with a few bytes changed, doubled, or lost.
    #[test]
    fn any_damage_to_a_message_is_survived(
        message in any::<Index>(),
        damage in vec((any::<Index>(), 0..4u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = message.get(&messages()).clone();
        for (at, kind, byte) in damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b"\r\n \t:;,<>\"@%"[usize::from(byte) % 12]),
                2 => bytes.extend_from_within(at..),
                _ => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len() - 1).max(at))),
            }
        }
        survives(&bytes);
    }
}

/// Reads `bytes` in every way there is. What is taken for a message must read the same again when it is
/// written, and what is replied must be a message itself.
#[track_caller]
fn survives(bytes: &[u8]) {
    let mut framer = StreamFramer::new();
    framer.push(bytes);
    while let Some(frame) = framer.next_frame() {
        drop(frame);
    }
    let _ = parse_frame(bytes);
    match parse_datagram(bytes) {
        Parsed::Message(message) => {
            let written = message.to_bytes();
            let text = String::from_utf8_lossy(&written).into_owned();
            assert_eq!(parse_frame(&written), Parsed::Message(message), "{text}");
        }
        Parsed::Bad(bad) => {
            let reply = bad.reply.map(|reply| reply.to_bytes());
            assert!(reply.is_none_or(|reply| reply.starts_with(b"SIP/2.0 ")));
        }
        Parsed::KeepAlive => (),
    }
}

#[track_caller]
fn reads_back<T>(text: &str)
where
    T: std::str::FromStr + std::fmt::Display + std::fmt::Debug + PartialEq,
    T::Err: std::fmt::Debug + PartialEq,
{
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>(), Ok(value), "{text}");
    }
}

/// Every message in `tests/data`.
fn messages() -> Vec<Vec<u8>> {
    let folders = ["rfc4475", "own"].map(|folder| format!("tests/data/{folder}"));
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("the folder is there"))
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("it can be read")).collect()
}
