//! What a message costs between the socket and the machines: read, and written again.
//!
//! The INVITE is the size that a trunk sends: 1.2 kB, a dozen and a half fields, an offer.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tandem::sip::wire::{Parsed, parse_datagram};

const OFFER: &str = "v=0\r\no=- 20518 0 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 49170 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n\
    a=sendrecv\r\n";

fn sip_parse(criterion: &mut Criterion) {
    let bytes = invite();
    let Parsed::Message(message) = parse_datagram(&bytes) else { panic!("the INVITE is sound") };

    let mut group = criterion.benchmark_group("sip");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("read_invite", |bencher| {
        bencher.iter(|| parse_datagram(black_box(&bytes)))
    });
    group.bench_function("write_invite", |bencher| bencher.iter(|| black_box(&message).to_bytes()));
    group.finish();
}

fn invite() -> Vec<u8> {
    format!(
        "INVITE sip:demo@203.0.113.5:5060;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK776asdhds1a2b3c4d;rport\r\n\
         Via: SIP/2.0/UDP 192.0.2.33:5060;branch=z9hG4bK887jhdf;received=192.0.2.33\r\n\
         Record-Route: <sip:198.51.100.7:5060;lr;ftag=1928301774>\r\n\
         Max-Forwards: 68\r\n\
         From: \"Caller\" <sip:+4930555987@trunk.example.com>;tag=1928301774\r\n\
         To: <sip:demo@203.0.113.5>\r\n\
         Call-ID: a84b4c76e66710b2c3d4e5f6@192.0.2.33\r\n\
         CSeq: 314159 INVITE\r\n\
         Contact: <sip:+4930555987@192.0.2.33:5060;transport=udp>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY, PRACK\r\n\
         Supported: 100rel, timer, replaces\r\n\
         Session-Expires: 1800;refresher=uac\r\n\
         Min-SE: 90\r\n\
         P-Asserted-Identity: <sip:+4930555987@trunk.example.com>\r\n\
         Privacy: none\r\n\
         User-Agent: Trunk gateway 7.4\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
    .into_bytes()
}

criterion_group!(benches, sip_parse);
criterion_main!(benches);
