//! The same task on real TCP connections of this machine.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::net::signaling::streams::CONNECTIONS_PER_HOST;
use crate::net::udp::Udp;

#[tokio::test]
async fn invite_in_two_segments_is_one_call() {
    let (mut agent, address) = agent();
    let mut peer = TcpStream::connect(address).await.unwrap();
    let invite = request("INVITE", address);
    let (head, tail) = invite.split_at(100);

    peer.write_all(head.as_bytes()).await.unwrap();
    peer.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(agent.events.try_recv().is_err());
    peer.write_all(tail.as_bytes()).await.unwrap();

    let Event::Invited { dialog, source, .. } = agent.next().await else { panic!("no call") };
    assert_eq!(source.transport, Transport::Tcp);
    agent.signaling.reject(dialog, StatusCode::of(486), Headers::default()).unwrap();
    assert_eq!(statuses(&mut peer, 2).await, ["100", "486"]);
}

#[tokio::test]
async fn two_messages_in_one_segment_are_two() {
    let (_agent, address) = agent();
    let mut peer = TcpStream::connect(address).await.unwrap();
    let two =
        request("OPTIONS", address) + &request("OPTIONS", address).replace("z9hG4bK1", "z9hG4bK2");

    peer.write_all(two.as_bytes()).await.unwrap();

    assert_eq!(statuses(&mut peer, 2).await, ["200", "200"]);
}

/// A trunk has one connection for all its calls.
#[tokio::test]
async fn burst_on_one_connection_is_served_whole() {
    let (_agent, address) = agent();
    let mut peer = TcpStream::connect(address).await.unwrap();

    peer.write_all(request("OPTIONS", address).repeat(400).as_bytes()).await.unwrap();

    assert_eq!(statuses(&mut peer, 400).await, ["200"; 400]);
}

/// RFC 5626 §4.4.1: a double CRLF is answered by a single one, between messages too.
#[tokio::test]
async fn keep_alive_is_answered() {
    let (_agent, address) = agent();
    let mut peer = TcpStream::connect(address).await.unwrap();

    peer.write_all(b"\r\n\r\n").await.unwrap();

    let mut pong = [0; 2];
    peer.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_ends_the_connection() {
    let (_agent, address) = agent();
    let mut peer = TcpStream::connect(address).await.unwrap();
    let endless = request("OPTIONS", address).replace("Content-Length: 0", "Content-Length: x");

    peer.write_all(endless.as_bytes()).await.unwrap();

    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("SIP/2.0 400 "), "{answer}");
}

#[tokio::test]
async fn call_over_tcp_connects_once_and_is_answered() {
    let (mut a, _) = agent();
    let (mut b, address) = agent();

    let calling = a.invite(Transport::Tcp, &address.to_string());
    let Event::Invited { dialog, .. } = b.next().await else { panic!("no call") };
    b.signaling.answer(dialog, sdp(), Headers::default()).unwrap();

    let answered = a.next().await;
    assert!(matches!(answered, Event::Answered { dialog, .. } if dialog == calling));
    assert!(matches!(b.next().await, Event::Acknowledged { .. }));
    b.signaling.hang_up(dialog, None).unwrap();
    let ended = a.next().await;
    assert!(matches!(ended, Event::Ended { dialog, .. } if dialog == calling), "{ended:?}");
}

#[tokio::test]
async fn peer_that_refuses_to_connect_fails_the_call_at_once() {
    let (mut agent, _) = agent();
    // A port that was just free, and where nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

    let calling = agent.invite(Transport::Tcp, &nobody.to_string());

    let failed = agent.next().await;
    assert!(
        matches!(failed, Event::Failed { dialog, status, .. }
            if dialog == calling && status == StatusCode::of(503)),
        "{failed:?}"
    );
}

#[tokio::test]
async fn connection_that_dies_fails_what_was_under_way() {
    let (mut agent, _) = agent();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let calling = agent.invite(Transport::Tcp, &listener.local_addr().unwrap().to_string());
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut first = [0; 6];
    peer.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"INVITE");

    drop(peer);

    let failed = agent.next().await;
    assert!(matches!(failed, Event::Failed { dialog, .. } if dialog == calling), "{failed:?}");
}

/// Who connects and says nothing, or a byte now and then, holds its place for half a minute. The clock
/// is paused: it jumps when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn connection_without_a_message_is_closed() {
    let (_agent, address) = agent();
    let mut peer = TcpStream::connect(address).await.unwrap();
    let start = tokio::time::Instant::now();
    for byte in b"INVIT" {
        peer.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    let mut rest = Vec::new();
    // The bytes that were not read may make it a reset.
    peer.read_to_end(&mut rest).await.ok();
    assert_eq!((rest.len(), start.elapsed().as_secs()), (0, 32));
}

#[tokio::test]
async fn host_with_too_many_connections_gets_no_more() {
    let (_agent, address) = agent();
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS_PER_HOST {
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(b"\r\n\r\n").await.unwrap();
        peer.read_exact(&mut [0; 2]).await.unwrap();
        peers.push(peer);
    }

    let mut one_more = TcpStream::connect(address).await.unwrap();
    assert_eq!(one_more.read(&mut [0; 2]).await.unwrap(), 0);

    peers.pop();
    let answered = async {
        loop {
            let mut next = TcpStream::connect(address).await.unwrap();
            // One that was refused is closed, or reset.
            next.write_all(b"\r\n\r\n").await.ok();
            if next.read_exact(&mut [0; 2]).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("there is room again");
}

/// Its queue fills, and it is dropped; nobody else waits for it.
#[tokio::test]
async fn peer_that_does_not_read_is_dropped() {
    let (_agent, address) = agent();
    let mut greedy = TcpStream::connect(address).await.unwrap();
    let options = request("OPTIONS", address).repeat(100);

    let writing = async { while greedy.write_all(options.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), writing).await.expect("it is dropped");

    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(request("OPTIONS", address).as_bytes()).await.unwrap();
    assert_eq!(statuses(&mut other, 1).await, ["200"]);
}

fn agent() -> (Agent, SocketAddr) {
    let listening = listen(Transport::Tcp, "127.0.0.1:0");
    let (signaling, events) = Signaling::spawn(&Udp, listening).unwrap();
    let address = signaling.sent_by(Transport::Tcp).unwrap();
    (Agent { signaling, events }, address)
}

fn request(method: &str, to: SocketAddr) -> String {
    format!(
        "{method} sip:demo@{to} SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1:5099;branch=z9hG4bK1\r\n\
         From: <sip:jan@127.0.0.1>;tag=1\r\n\
         To: <sip:demo@{to}>\r\n\
         Call-ID: 1@127.0.0.1\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:jan@127.0.0.1:5099;transport=tcp>\r\n\
         Max-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Reads responses without bodies until there are `count`, and returns their statuses.
async fn statuses(peer: &mut TcpStream, count: usize) -> Vec<String> {
    let mut text = String::new();
    while text.matches("\r\n\r\n").count() < count {
        let mut buf = [0; 4096];
        let read = peer.read(&mut buf).await.unwrap();
        assert_ne!(read, 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buf[..read]).unwrap());
    }
    text.split("\r\n\r\n")
        .filter(|part| !part.is_empty())
        .map(|part| first_word(part.as_bytes()))
        .collect()
}
