//! REFER: the phone is sent to somebody else (RFC 3515, RFC 5589).

use super::switchboard::Switchboard;
use super::*;
use crate::sip::Event;

#[tokio::test(start_paused = true)]
async fn refer_is_followed_to_the_human_who_is_told_whose_call_it_is() {
    let network = SimNetwork::new(11, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.3", "sarah", &["thank you"]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &["sarah speaking"]);
    let mut server = Switchboard::open(&network, "10.0.0.2");
    let refer_to = format!("<{}?X-Tandem-Call-ID=journal-key>", sarah.uri());
    let (reporter, sarahs_story) = story();
    let called = script(CALLED, &["sarah speaking"]).await;
    let answering = spawn_answer(sarah, ring(2), called, reporter);
    let uri = server.uri();
    let served = tokio::spawn(async move {
        let progress = server.transfers(&refer_to).await;
        server.ends().await;
        progress
    });

    let (mut reporter, told) = story();
    let calls = script(HASTY, &["transfer me", "thank you"]).await;
    let recorded = jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");

    assert_eq!(served.await.expect("no panic"), [(100, false), (180, false), (200, true)]);
    assert_eq!(
        told_by(&told),
        [
            "dialling sip:us@10.0.0.2:49152",
            "answered, PCMU",
            "said: transfer me",
            "REFER to sip:sarah@10.0.0.3:49152 received",
            "human rings (180)",
            "human answered, PCMU",
            "transferred: the first call is over",
            "heard: sarah speaking",
            "said: thank you",
            "we hung up (all is said)",
            "talked",
        ]
    );
    assert_eq!(recorded.summary.transferred_to.as_deref(), Some("sip:sarah@10.0.0.3:49152"));
    answering.await.expect("no panic").1.expect("a call");
    assert!(told_by(&sarahs_story).contains(&"heard: thank you".to_owned()));
    let invite = invite_to(&network, "10.0.0.3");
    assert!(invite.contains("\r\nX-Tandem-Call-ID: journal-key\r\n"), "{invite}");
    assert!(invite.contains("\r\nReferred-By: <sip:us@10.0.0.2:49152>\r\n"), "{invite}");
}

#[tokio::test(start_paused = true)]
async fn refer_is_refused_with_603_when_asked_to() {
    let network = SimNetwork::new(12, Conditions::PERFECT);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let mut server = Switchboard::open(&network, "10.0.0.2");
    let uri = server.uri();
    let served = tokio::spawn(async move {
        let progress = server.transfers("<sip:sarah@10.0.0.3>").await;
        server.hangs_up();
        progress
    });
    let (mut reporter, told) = story();
    let calls = Script { refuses_refer: true, ..script(HASTY, &["transfer me"]).await };
    jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    assert_eq!(served.await.expect("no panic"), [(603, true)]);
    let told = told_by(&told);
    assert_eq!(told[3..5], ["REFER refused (603)", "the other hung up"]);
}

#[tokio::test(start_paused = true)]
async fn target_that_is_busy_leaves_the_call_where_it_was() {
    let network = SimNetwork::new(13, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.3", "sarah", &[]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let mut server = Switchboard::open(&network, "10.0.0.2");
    let (uri, refer_to) = (server.uri(), format!("<{}>", sarah.uri()));
    let pickup = Pickup::Decline(Duration::from_secs(1), StatusCode::of(486));
    let answering = spawn_answer(sarah, pickup, script(CALLED, &[]).await, story().0);
    let served = tokio::spawn(async move {
        let progress = server.transfers(&refer_to).await;
        server.ends().await;
        progress
    });
    let (mut reporter, told) = story();
    let calls = script(HASTY, &["transfer me", "hello again"]).await;
    let recorded = jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");

    assert_eq!(served.await.expect("no panic"), [(100, false), (180, false), (486, true)]);
    let told = told_by(&told);
    assert_eq!(
        told[3..8],
        [
            "REFER to sip:sarah@10.0.0.3:49152 received",
            "human rings (180)",
            "human not reached (486 Busy Here)",
            "said: hello again",
            "we hung up (all is said)",
        ]
    );
    assert_eq!(recorded.summary.transferred_to, None);
    assert!(answering.await.expect("no panic").1.is_err());
}

/// Field note 7: the referrer may hang up right after our 202; the surviving call lives on.
#[tokio::test(start_paused = true)]
async fn referrer_that_leaves_at_once_does_not_take_the_call_along() {
    let network = SimNetwork::new(14, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.3", "sarah", &[]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &["sarah speaking"]);
    let mut server = Switchboard::open(&network, "10.0.0.2");
    let (uri, refer_to) = (server.uri(), format!("<{}>", sarah.uri()));
    let called = script(CALLED, &["sarah speaking"]).await;
    let answering = spawn_answer(sarah, ring(2), called, story().0);
    let served = tokio::spawn(async move {
        server.answers().await;
        server.refers(&refer_to);
        while !matches!(server.next().await, Event::ReferAnswered { .. }) {}
        server.hangs_up();
        // The signalling stays until the BYE is answered.
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let (mut reporter, told) = story();
    let calls = script(HASTY, &[]).await;
    jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    answering.await.expect("no panic").1.expect("a call");
    served.abort();
    let told = told_by(&told);
    assert!(told.contains(&"human answered, PCMU".to_owned()), "{told:?}");
    assert!(told.contains(&"heard: sarah speaking".to_owned()), "{told:?}");
}

/// Whatever the network loses, delays and repeats: every call ends, and the transfer is told to its end.
#[tokio::test(start_paused = true)]
async fn refer_is_followed_through_a_bad_network() {
    let bad =
        Conditions { loss: 0.05, duplicate: 0.05, reorder: 0.05, delay: ms(10), jitter: ms(20) };
    for seed in 0..8 {
        let network = SimNetwork::new(seed, bad);
        let sarah = phone(&network, "10.0.0.3", "sarah", &["thank you"]);
        let mut jan = phone(&network, "10.0.0.1", "jan", &["sarah speaking"]);
        let mut server = Switchboard::open(&network, "10.0.0.2");
        let (uri, refer_to) = (server.uri(), format!("<{}>", sarah.uri()));
        let called = script(CALLED, &["sarah speaking"]).await;
        let answering = spawn_answer(sarah, ring(2), called, story().0);
        let served = tokio::spawn(async move {
            let progress = server.transfers(&refer_to).await;
            server.ends().await;
            progress
        });
        let calls = script(HASTY, &["transfer me", "thank you"]).await;
        let recorded = jan.call(&uri, &calls, &mut story().0, &never()).await;
        let recorded = recorded.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        assert!(recorded.summary.transferred_to.is_some(), "seed {seed}");
        let progress = served.await.expect("no panic");
        assert_eq!(progress.last(), Some(&(200, true)), "seed {seed}: {progress:?}");
        let (sarah, theirs) = answering.await.expect("no panic");
        assert!(theirs.is_ok(), "seed {seed}");
        jan.close().await;
        sarah.close().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(network.bound(), [], "seed {seed}: nothing is left open");
    }
}

/// The INVITE that reached a host.
fn invite_to(network: &SimNetwork, ip: &str) -> String {
    let ip: std::net::IpAddr = ip.parse().expect("an address");
    let captured = network.captured();
    let invite = captured
        .iter()
        .find(|captured| captured.to.ip() == ip && captured.bytes.starts_with(b"INVITE "));
    String::from_utf8_lossy(&invite.expect("an INVITE").bytes).into_owned()
}
