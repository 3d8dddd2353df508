//! Bytes to a SIP message: no panic, and what is accepted reads the same when it is written again.
//!
//! `cargo +nightly fuzz run sip_message fuzz/corpus/sip_message tests/data/rfc4475 tests/data/own`

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem::sip::wire::{Frame, Parsed, StreamFramer, parse_datagram, parse_frame};

fuzz_target!(|bytes: &[u8]| {
    if let Parsed::Message(message) = parse_datagram(bytes) {
        assert_eq!(parse_frame(&message.to_bytes()), Parsed::Message(message));
    }

    // Read as a stream in two halves, every frame is one that the parser can judge.
    let mut framer = StreamFramer::new();
    for half in [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] {
        framer.push(half);
        while let Some(frame) = framer.next_frame() {
            if let Frame::Message(frame) | Frame::Lost(frame) = frame {
                let _ = parse_frame(&frame);
            }
        }
    }
});
