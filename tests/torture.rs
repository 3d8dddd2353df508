//! Messages meant to break a parser: RFC 4475, all of it, and our own findings, one file each in
//! `tests/data/`.
//!
//! The table says for each file what must become of it. Where RFC 4475 leaves a choice, the reason for
//! ours stands beside it. What needs more than a parser (416, 420, 415, an unknown branch) is accepted
//! here and refused above.

use std::fs;
use std::path::PathBuf;

use tandem::sip::Message;
use tandem::sip::NameAddr;
use tandem::sip::Uri;
use tandem::sip::header::Via;
use tandem::sip::wire::{
    FIELD_BYTES_MAX, FIELDS_MAX, MESSAGE_BYTES_MAX, Parsed, URI_BYTES_MAX, parse_datagram,
};

/// What must become of a message.
enum Outcome {
    /// It is a message, and these are facts about it.
    Accepted(&'static [(&'static str, &'static str)]),
    /// It is answered with this.
    Refused(u16, &'static str),
    /// Nothing is said to it.
    Dropped,
}
use Outcome::*;

#[rustfmt::skip]
const RFC_4475: [(&str, Outcome); 49] = [
    // 3.1.1 Valid messages.
    ("wsinv",      Accepted(&[("uri", "sip:vivekg@chair-dnrc.example.com;unknownparam"), ("cseq", "9 INVITE"), ("max-forwards", "68"),
                              ("to.uri", "sip:vivekg@chair-dnrc.example.com"), ("to.tag", "1918181833n"),
                              ("from.name", r#"J Rosenberg \""#), ("vias", "UDP TCP UDP"), ("branch", "390skdjuw"), ("body", "150"),
                              ("contact.name", r#"Quoted string """#), ("NewFangledHeader", "newfangled value continued newfangled value"),
                              ("UnknownHeaderWithUnusualValue", ";;,,;;,;"), ("Subject", "")])),
    ("intmeth",    Accepted(&[("method", "!interesting-Method0123456789_*+`.%indeed'~"), ("to.name", "BEL:\u{7} NUL:\0 DEL:\u{7f}"),
                              ("from.name", "token1~` token2'+_ token3*%!.-"), ("from.tag", "_token~1'+`*%!-."), ("max-forwards", "255"),
                              ("call-id", r#"intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{"#), ("branch", "z9hG4bK-.!%66*_+`'~"),
                              ("uri.host", "example.com"), ("extensionHeader-!.%*+_`'~", "\u{feff}大停電")])),
    ("esc01",      Accepted(&[("uri.user", "sips:user@example.com"), ("uri.host", "example.net"), ("to.user", "user"),
                              ("from.user", "I have spaces"), ("contact.user", "caller"), ("contact.lr", "yes")])),
    ("escnull",    Accepted(&[("to.user", "null-\0-null"), ("from.user", "null-\0-null"), ("contacts", "2"),
                              ("contact.uri", "sip:%00@host5.example.com")])),
    ("esc02",      Accepted(&[("method", "RE%47IST%45R"), ("to.name", "%Z%45"), ("contacts", "2"), ("C%6Fntact", "<sip:alias2@host2.example.com>")])),
    ("lwsdisp",    Accepted(&[("from.name", "caller"), ("from.uri", "sip:caller@example.com")])),
    ("longreq",    Accepted(&[("vias", "TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP TCP"),
                              ("cseq", "3882340 INVITE"), ("body", "150")])),
    ("dblreq",     Accepted(&[("method", "REGISTER"), ("body", "none")])),
    ("semiuri",    Accepted(&[("uri.user", "user;par=u@example.net"), ("uri.host", "example.com")])),
    ("transports", Accepted(&[("vias", "UDP SCTP TLS UNKNOWN TCP")])),
    ("mpart01",    Accepted(&[("method", "MESSAGE"), ("body", "553")])),
    ("unreason",   Accepted(&[("status", "200"), ("reason", "= 2**3 * 5**2 но сто девяносто девять - простое")])),
    ("noreason",   Accepted(&[("status", "100"), ("reason", "")])),
    // 3.1.2 Invalid messages.
    ("badinv01",   Refused(400, "Malformed Via")),
    ("clerr",      Refused(400, "Content-Length Beyond End of Message")),
    ("ncl",        Refused(400, "Malformed Content-Length")),
    ("scalar02",   Refused(400, "Malformed CSeq")),
    ("scalarlg",   Dropped),
    ("quotbal",    Refused(400, "Malformed To")),
    ("ltgtruri",   Refused(400, "Malformed Request-URI")),
    ("lwsruri",    Refused(400, "Malformed Request-Line")),
    ("lwsstart",   Refused(400, "Malformed Request-Line")),
    ("trws",       Refused(400, "Malformed Request-Line")),
    ("escruri",    Refused(400, "Header Fields in Request-URI")),
    // Who does not use Date need not refuse one.
    ("baddate",    Accepted(&[("Date", "Fri, 01 Jan 2010 16:00:00 EST")])),
    ("regbadct",   Refused(400, "Malformed Contact")),
    ("badaspec",   Refused(400, "Malformed To")),
    // Trunks send such names. What we write ourselves is quoted.
    ("baddn",      Accepted(&[("from.name", "Bell, Alexander"), ("to.name", "Watson, Thomas"), ("from", r#""Bell, Alexander" <sip:a.g.bell@example.com>;tag=43"#)])),
    ("badvers",    Refused(505, "Version Not Supported")),
    ("mismatch01", Refused(400, "CSeq Method Mismatch")),
    ("mismatch02", Refused(400, "CSeq Method Mismatch")),
    ("bigcode",    Dropped),
    // 3.2 Transaction layer: such a branch does not identify.
    ("badbranch",  Accepted(&[("branch", "z9hG4bK"), ("branch is unique", "no")])),
    // 3.3 Application layer.
    ("insuf",      Refused(400, "Missing From")),
    ("unkscm",     Accepted(&[("uri.scheme", "nobodyknowsthisscheme")])),
    ("novelsc",    Accepted(&[("uri.scheme", "soap.beep"), ("uri", "soap.beep://192.0.2.103:3002")])),
    ("unksm2",     Accepted(&[("to.uri", "isbn:2983792873"), ("from.uri", "http://www.example.com"), ("contact.uri", "name:John_Smith")])),
    ("bext01",     Accepted(&[("Require", "nothingSupportsThis, nothingSupportsThisEither"), ("Proxy-Require", "noProxiesSupportThis, norDoAnyProxiesSupportThis")])),
    ("invut",      Accepted(&[("content-type", "application/unknownformat"), ("body", "40")])),
    ("regaut01",   Accepted(&[("Authorization", r#"NoOneKnowsThisScheme opaque-data=here"#)])),
    ("multi01",    Refused(400, "Multiple CSeq")),
    ("mcl01",      Refused(400, "Multiple Content-Length")),
    // Two hops: not ours to take, which the transaction layer sees.
    ("bcast",      Accepted(&[("status", "200"), ("vias", "UDP UDP")])),
    ("zeromf",     Accepted(&[("max-forwards", "0")])),
    ("cparam01",   Accepted(&[("contact.uri", "sip:+19725552222@gw1.example.net"), ("contact", "<sip:+19725552222@gw1.example.net>;unknownparam")])),
    ("cparam02",   Accepted(&[("contact.uri", "sip:+19725552222@gw1.example.net;unknownparam"), ("contact", "<sip:+19725552222@gw1.example.net;unknownparam>")])),
    ("regescrt",   Accepted(&[("contact.uri", "sip:user@example.com?Route=%3Csip:sip.example.com%3E"), ("contact.?Route", "<sip:sip.example.com>")])),
    ("sdp01",      Accepted(&[("Accept", "text/nobodyKnowsThis"), ("body", "150")])),
    // 3.4 Backward compatibility with RFC 2543.
    ("inv2543",    Accepted(&[("from.tag", "none"), ("branch", "none"), ("content-type", "application/sdp"), ("body", "105"), ("max-forwards", "none")])),
];

#[rustfmt::skip]
const OWN: [(&str, Outcome); 20] = [
    ("compact",    Accepted(&[("vias", "UDP TCP"), ("call-id", "compact@192.0.2.7"), ("Supported", "replaces, timer"), ("Session-Expires", "1800"),
                              ("Event", "refer"), ("Refer-To", "<sip:jan@example.com>"), ("Referred-By", "<sip:sarah@example.com>"),
                              ("Allow-Events", "dialog"), ("Subject", "all in one letter"), ("content-type", "text/plain"), ("body", "5")])),
    ("folds",      Accepted(&[("vias", "UDP"), ("branch", "z9hG4bKfolds"), ("from.name", "Caller of many lines"), ("from.tag", "1cfolds"),
                              ("cseq", "1 INVITE"), ("Supported", "replaces, timer"), ("body", "none")])),
    ("binary",     Accepted(&[("content-type", "application/octet-stream"), ("body", "16")])),
    ("tel",        Accepted(&[("uri.scheme", "tel"), ("uri.user", "+49-30-555123"), ("contact.uri", "tel:+4930555987")])),
    ("latin1",     Accepted(&[("from.name", "M\u{fffd}ller"), ("from.tag", "1clatin1")])),
    ("sipsv6",     Accepted(&[("uri.scheme", "sips"), ("uri.host", "[2001:db8::1]"), ("vias", "UDP")])),
    ("trailing",   Accepted(&[("body", "5")])),
    ("nolength",   Accepted(&[("body", "10")])),
    ("attended",   Accepted(&[("refer-to.?Replaces", "a1@h;to-tag=2;from-tag=3"), ("refer-to.?X-Tandem-Call-ID", "c@h")])),
    ("lowercase",  Accepted(&[("method", "OPTIONS")])),
    // The answer of a call is not lost for a field that nobody needs.
    ("oddanswer",  Accepted(&[("status", "200"), ("reason", "OK"), ("Session-Expires", "1800"), ("contact.uri", "sip:demo@192.0.2.9")])),
    ("barelf",     Refused(400, "Bare CR or LF in Header Field")),
    ("nocseq",     Refused(400, "Missing CSeq")),
    ("bigcseq",    Refused(400, "Malformed CSeq")),
    ("twotargets", Refused(400, "Multiple Refer-To")),
    ("twotos",     Dropped),
    ("novia",      Dropped),
    ("badack",     Dropped),
    ("http",       Dropped),
    ("stun",       Dropped),
];

#[test]
fn every_message_of_rfc_4475_gets_what_it_deserves() {
    check("rfc4475", &RFC_4475);
}

#[test]
fn every_message_we_met_ourselves_gets_what_it_deserves() {
    check("own", &OWN);
}

#[test]
fn what_is_too_much_is_refused_with_the_reason() {
    let options = |uri: &str, fields: &str, body: usize| {
        format!(
            "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n{fields}\r\n{}",
            "x".repeat(body)
        )
    };
    let user = |bytes| format!("sip:{}@b", "x".repeat(bytes - "sip:@b".len()));
    let field = |bytes| format!("X-A: {}\r\n", "x".repeat(bytes));
    let fields = |count| "X-A: y\r\n".repeat(count - 5);
    let filled = MESSAGE_BYTES_MAX - options("sip:a", "", 0).len();

    for (message, outcome) in [
        (options(&user(URI_BYTES_MAX), "", 0), Accepted(&[])),
        (options(&user(URI_BYTES_MAX + 1), "", 0), Refused(414, "Request-URI Too Long")),
        (options("sip:a", &field(FIELD_BYTES_MAX), 0), Accepted(&[])),
        (options("sip:a", &field(FIELD_BYTES_MAX + 1), 0), Refused(400, "Header Field Too Long")),
        (options("sip:a", &fields(FIELDS_MAX), 0), Accepted(&[])),
        (options("sip:a", &fields(FIELDS_MAX + 1), 0), Refused(400, "Too Many Header Fields")),
        (options("sip:a", "", filled), Accepted(&[])),
        (options("sip:a", "", filled + 1), Refused(513, "Message Too Large")),
        (
            options("sip:a", "l: 99999999999999999999\r\n", 0),
            Refused(400, "Malformed Content-Length"),
        ),
        (options("sip:a", "l: 65536\r\n", 0), Refused(513, "Message Too Large")),
    ] {
        check_one(&message[..80], message.as_bytes(), &outcome);
    }
}

#[test]
fn line_ends_alone_keep_a_connection_alive() {
    for bytes in [&b""[..], b"\r\n", b"\r\n\r\n"] {
        assert_eq!(parse_datagram(bytes), Parsed::KeepAlive);
    }
}

/// The same messages read by somebody else's parser.
#[test]
fn another_parser_reads_the_same() {
    let cases = [("rfc4475", &RFC_4475[..]), ("own", &OWN[..])];
    for (folder, table) in cases {
        let accepted = table.iter().filter(|(_, outcome)| matches!(outcome, Accepted(_)));
        // Theirs demands UTF-8 of a display name, capitals of a version, and a colon of every field.
        let only_ours = ["latin1", "lowercase", "oddanswer"];
        for (name, _) in accepted.filter(|(name, _)| !only_ours.contains(name)) {
            let bytes = read(folder, name);
            let Parsed::Message(ours) = parse_datagram(&bytes) else { panic!("{name}") };
            let theirs = sipx_sip::parse_datagram(bytes.into(), &sipx_sip::Limits::datagram())
                .unwrap_or_else(|error| panic!("{name}: {error}"));

            assert_eq!(ours.body().map_or(&[][..], |body| &body.bytes), theirs.body(), "{name}");
            for (field, theirs) in [
                ("Call-ID", theirs.headers().value(&sipx_sip::HeaderName::CallId)),
                ("From", theirs.headers().value(&sipx_sip::HeaderName::From)),
                ("CSeq", theirs.headers().value(&sipx_sip::HeaderName::CSeq)),
            ] {
                let theirs = theirs.unwrap_or_else(|| panic!("{name}: {field}"));
                let theirs = String::from_utf8_lossy(&theirs);
                assert_eq!(
                    words(ours.headers().get(field).unwrap()),
                    words(&theirs),
                    "{name}: {field}"
                );
            }
        }
    }
}

fn check(folder: &str, table: &[(&str, Outcome)]) {
    let mut names: Vec<_> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut there = files(folder);
    names.sort();
    there.sort();
    assert_eq!(names, there, "every file has its line, every line its file");

    for (name, outcome) in table {
        check_one(name, &read(folder, name), outcome);
    }
}

fn check_one(name: &str, bytes: &[u8], outcome: &Outcome) {
    match (parse_datagram(bytes), outcome) {
        (Parsed::Message(message), Accepted(facts)) => {
            for (what, expected) in *facts {
                assert_eq!(fact(&message, what), *expected, "{name}: {what}");
            }
        }
        (Parsed::Bad(bad), Refused(status, reason)) => {
            assert_eq!((bad.status.code(), &*bad.reason), (*status, *reason), "{name}");
            let reply = bad.reply.unwrap_or_else(|| panic!("{name}: no reply"));
            assert!(reply.headers.via().is_some(), "{name}: a reply that finds no way back");
            let status_line = format!("SIP/2.0 {status} {reason}\r\n");
            assert!(reply.to_bytes().starts_with(status_line.as_bytes()), "{name}");
        }
        (Parsed::Bad(bad), Dropped) => assert_eq!(bad.reply, None, "{name}"),
        (parsed, _) => panic!("{name}: {parsed:?}"),
    }
}

/// One fact about a message as text; `none` for what is not there.
fn fact(message: &Message, what: &str) -> String {
    let headers = message.headers();
    let (head, part) = what.split_once('.').unwrap_or((what, ""));
    let address = |address: Option<NameAddr>| address.map(|it| address_fact(&it, part));
    let found = match (head, message) {
        ("method", Message::Request(request)) => Some(request.method.to_string()),
        ("uri", Message::Request(request)) => Some(uri_fact(&request.uri, part)),
        ("status", Message::Response(response)) => Some(response.status.to_string()),
        ("reason", Message::Response(response)) => Some(response.reason.clone()),
        ("from", _) => address(headers.from()),
        ("to", _) => address(headers.to()),
        ("contact", _) => address(headers.contact()),
        ("refer-to", _) => address(headers.typed("Refer-To").unwrap()),
        ("contacts", _) => Some(headers.list::<NameAddr>("Contact").unwrap().len().to_string()),
        ("cseq", _) => headers.cseq().map(|cseq| cseq.to_string()),
        ("call-id", _) => headers.call_id().map(|id| id.to_string()),
        ("max-forwards", _) => headers.max_forwards().map(|hops| hops.to_string()),
        ("branch", _) => headers.via().unwrap().branch().map(str::to_owned),
        ("branch is unique", _) => Some(yes(headers.via().unwrap().has_unique_branch())),
        ("vias", _) => {
            let vias: Vec<Via> = headers.list("Via").unwrap();
            Some(vias.into_iter().map(|via| via.transport).collect::<Vec<_>>().join(" "))
        }
        ("body", _) => message.body().map(|body| body.bytes.len().to_string()),
        ("content-type", _) => message.body().map(|body| body.content_type.clone()),
        _ => headers.get(what).map(str::to_owned),
    };
    found.unwrap_or_else(|| "none".into())
}

fn address_fact(address: &NameAddr, part: &str) -> String {
    match part {
        "" => address.to_string(),
        "name" => address.display_name.clone().unwrap_or_else(|| "none".into()),
        "tag" => address.tag().unwrap_or("none").into(),
        "uri" => address.uri.to_string(),
        part => uri_fact(&address.uri, part),
    }
}

fn uri_fact(uri: &Uri, part: &str) -> String {
    match (part, uri.as_sip()) {
        ("", _) => uri.to_string(),
        ("scheme", _) => uri.scheme().into(),
        ("user", _) => uri.user().unwrap().into(),
        ("host", Some(sip)) => sip.host().to_string(),
        ("lr", Some(sip)) => yes(sip.is_loose_router()),
        (part, Some(sip)) => sip.header(part.trim_start_matches('?')).unwrap().into(),
        (part, None) => panic!("{part} of {uri}"),
    }
}

fn yes(it: bool) -> String {
    if it { "yes" } else { "no" }.into()
}

/// The words of a value: how much blank is between them is nobody's business.
fn words(value: &str) -> Vec<&str> {
    value.split_whitespace().collect()
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    let path = format!("tests/data/{folder}/{name}.dat");
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The name of every file of a folder.
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("tests/data/{folder}")).expect("the folder is there");
    let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries.map(|entry| stem(entry.expect("it can be read").path())).collect()
}
