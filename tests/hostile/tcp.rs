//! The same over TCP, where a message has no end of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::common::server::Server;
use crate::common::{LOOPBACK, wait_for};
use crate::held::HeldCall;
use crate::{STRANGER, start};

/// Connections that begin messages and never end them keep nobody out, and do not stay.
#[test]
fn tcp_flood_of_beginnings_keeps_nobody_out() {
    const CONNECTIONS: usize = 300;
    /// A host's share.
    const PLACES: f64 = 256.0;
    let mut server = start();
    let begun = [
        "INVITE sip:desk@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx\r\n"
            .into(),
        "\r\n\r\n\r\n".into(),
        "INVITE sip:desk@127.0.0.1 SIP/2.0\r\nContent-Length: 65000\r\n\r\nv=0".into(),
        format!("OPTIONS sip:desk@127.0.0.1 SIP/2.0\r\nSubject: {}", "x".repeat(8000)),
        "\0\0\0\0".repeat(500),
    ];
    let flood = begun.iter().cycle().take(CONNECTIONS).map(|text| {
        let mut stream = connect(STRANGER, &server);
        // The program may have hung up on it already, as it should on some of them.
        let _ = stream.write_all(text.as_bytes());
        stream
    });
    let flood: Vec<TcpStream> = flood.collect();

    let mut honest = connect(LOOPBACK, &server);
    honest.write_all(options(0).as_bytes()).expect("it listens");
    let mut answer = [0; 12];
    honest.read_exact(&mut answer).expect("an answer in spite of the flood");
    assert_eq!(&answer, b"SIP/2.0 200 ");
    let open = server.metrics().sum("sip_connections").expect("a gauge");
    assert!(open <= PLACES + 1.0, "{open} connections");
    HeldCall::begin(&server).goes_on_and_ends();

    // The flood does not let go; the program does.
    drop(honest);
    let closed = || (server.metrics().sum("sip_connections") == Some(0.0)).then_some(());
    assert!(wait_for(Duration::from_secs(60), closed).is_some(), "left: {}", server.metrics());
    drop(flood);
    server.wait_until_quiet();
    assert!(server.is_alive());
    assert_eq!(server.complaints(), [""; 0]);
}

/// What cannot be cut into messages ends its connection, answered if there is whom to answer (RFC 3261
/// §18.3, §21.5.7).
#[test]
fn boundless_messages_end_their_connection() {
    let server = start();
    let endless = format!("X-Endless: {}\r\n", "x".repeat(1000)).repeat(500);
    for (bytes, answer) in
        [(options(1_000_000), "SIP/2.0 513 "), (options(u128::MAX), "SIP/2.0 400 "), (endless, "")]
    {
        let mut stream = connect(LOOPBACK, &server);
        // It need not wait for the end of what has none.
        let _ = stream.write_all(bytes.as_bytes());
        let mut answered = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answered);
        let answered = String::from_utf8_lossy(&answered);
        assert!(answered.starts_with(answer), "{answered}");
        assert!(!answer.is_empty() || answered.is_empty(), "{answered}");
    }
    HeldCall::begin(&server).goes_on_and_ends();
    server.wait_until_quiet();
    assert_eq!(server.complaints(), [""; 0]);
}

fn options(content_length: u128) -> String {
    format!(
        "OPTIONS sip:desk@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKhonest;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:a@127.0.0.1>;tag=1\r\n\
         To: <sip:desk@127.0.0.1>\r\n\
         Call-ID: honest\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: {content_length}\r\n\r\n"
    )
}

/// A connection from an address of our choice.
fn connect(from: Ipv4Addr, server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of loopback");
    socket.connect(&server.sip.into()).expect("a place in the backlog");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    stream
}
