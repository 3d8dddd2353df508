//! Two phones on the loopback of this machine, in real time, with a media thread.

use super::*;
use crate::net::udp::Udp;

/// Short, since it passes in real time.
const BRISK: Manners = Manners { patience: Some(Duration::from_millis(800)), ..CALLER };

#[tokio::test]
async fn two_phones_talk_over_udp() {
    talk(Transport::Udp).await;
}

#[tokio::test]
async fn two_phones_talk_over_tcp() {
    talk(Transport::Tcp).await;
}

async fn talk(transport: Transport) {
    let audio = Audio::spawn_threads(1).expect("a thread");
    let sarah = plugged_in(transport, &audio, "sarah", &["can you hear me"]);
    let mut jan = plugged_in(transport, &audio, "jan", &["billing good morning"]);
    let uri = match (sarah.uri(), transport) {
        (Uri::Sip(uri), Transport::Tcp) => Uri::Sip(uri.with_param("transport", "tcp")),
        (uri, _) => uri,
    };
    let (reporter, sarahs_story) = story();
    let called = script(CALLED, &["billing good morning"]).await;
    let answering = spawn_answer(sarah, ring(0), called, reporter);

    let (mut reporter, told) = story();
    let calls = script(BRISK, &["can you hear me"]).await;
    let recorded = jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    let (sarah, theirs) = answering.await.expect("no panic");

    assert!(told_by(&told).contains(&"heard: billing good morning".to_owned()));
    assert!(told_by(&sarahs_story).contains(&"heard: can you hear me".to_owned()));
    assert_eq!(theirs.expect("a call").summary.ended_by, Side::Them);
    assert_voice(&recorded.said);
    assert_voice(&recorded.heard);
    jan.close().await;
    sarah.close().await;
}

fn plugged_in(transport: Transport, audio: &Audio, name: &str, hears: &[&str]) -> Phone {
    let ears = Ears::Words(Arc::new(ScriptedRecognizer::new(hears.iter().copied())));
    let listen = vec![(transport, "127.0.0.1:0".parse().expect("an address"))];
    let settings = PhoneSettings { listen, ..settings("127.0.0.1", name) };
    Phone::open(Arc::new(Udp), audio.clone(), ears, settings).expect("a phone")
}
