//! Phones that call each other: on the network in memory, where time stands still until everybody waits,
//! and on the loopback of this machine.

mod refer;
mod sockets;
mod switchboard;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::switchboard::Switchboard;
use super::report::{Side, Told, What};
use super::script::{CALLED, CALLER, Line, Script, prepare};
use super::talk::Manners;
use super::{Ears, Phone, PhoneError, PhoneSettings, Pickup, Recorded, Reporter};
use crate::ids::CallId;
use crate::media::codec::Codec;
use crate::net::sim::{Conditions, SimNetwork};
use crate::net::{Audio, Network};
use crate::sip::{Peer, StatusCode, Transport, Uri};
use crate::speech::activity::ActivityKind;
use crate::speech::listener::ListenerSettings;
use crate::speech::scripted::{ScriptedRecognizer, ScriptedSynthesizer};

/// Leaves after two seconds in which nobody speaks.
const HASTY: Manners = Manners { patience: Some(Duration::from_secs(2)), ..CALLER };

#[tokio::test(start_paused = true)]
async fn two_phones_talk_in_turns_until_all_is_said() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.2", "sarah", &["can you hear me"]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &["billing good morning", ""]);
    let uri = sarah.uri();

    let (reporter, sarahs_story) = story();
    let called = script(CALLED, &["billing good morning"]).await;
    let answering = spawn_answer(sarah, ring(2), called, reporter);
    let (mut reporter, told) = story();
    let calls = script(HASTY, &["can you hear me"]).await;
    let recorded = jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    let (sarah, theirs) = answering.await.expect("no panic");
    let theirs = theirs.expect("a call");

    assert_eq!(
        told_by(&told),
        [
            "dialling sip:sarah@10.0.0.2:49152",
            "ringing (180 Ringing)",
            "answered, PCMU",
            "heard: billing good morning",
            "said: can you hear me",
            "we hung up (all is said)",
            "talked",
        ]
    );
    assert_eq!(
        told_by(&sarahs_story),
        [
            "called by sip:jan@10.0.0.1:49152",
            "answered, PCMU",
            "said: billing good morning",
            "heard: can you hear me",
            "the other hung up",
            "talked",
        ]
    );
    assert_eq!((recorded.summary.ended_by, theirs.summary.ended_by), (Side::Us, Side::Them));
    assert_eq!(recorded.summary.turns, 1);
    assert_voice(&recorded.said);
    assert_voice(&recorded.heard);
    assert_eq!(recorded.said.len(), recorded.heard.len());
    // Jan answers when Sarah's turn is over: 600 ms, and what the two jitter buffers take.
    let [answer] = theirs.summary.answer_times[..] else { panic!("{:?}", theirs.summary) };
    assert!((ms(600)..ms(900)).contains(&answer), "{answer:?}");

    jan.close().await;
    sarah.close().await;
    // The media workers see at their next beat that nobody needs them.
    tokio::time::sleep(ms(100)).await;
    assert_eq!(network.bound(), [], "nothing is left open");
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_and_keys_arrive() {
    let network = SimNetwork::new(2, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.2", "sarah", &[]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let uri = sarah.uri();
    let (reporter, sarahs_story) = story();
    let answering = spawn_answer(sarah, ring(0), script(CALLED, &[]).await, reporter);

    let lines = [Line::Digits("0#".into()), Line::Text("one two three".into())];
    let lines = prepare(&lines, Some(&ScriptedSynthesizer)).await.expect("sound");
    let calls = Script { lines, manners: HASTY, refuses_refer: false };
    let (mut reporter, told) = story();
    jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    answering.await.expect("no panic").1.expect("a call");

    let times: Vec<_> = told
        .try_iter()
        .filter(|told| matches!(told.what, What::Pressed { .. } | What::Said { .. }))
        .map(|told| told.at.as_secs())
        .collect();
    assert_eq!(times, [4, 8], "four seconds of silence before each");
    let theirs = told_by(&sarahs_story);
    assert_eq!(theirs[2..], ["key: 0", "key: #", "the other hung up", "talked"]);
}

/// Without a recogniser it is still told that somebody spoke.
#[tokio::test(start_paused = true)]
async fn who_hears_no_words_hears_speech() {
    let network = SimNetwork::new(3, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.2", "sarah", &[]);
    let host = network.host("10.0.0.1".parse().expect("an address"));
    let settings = settings("10.0.0.1", "jan");
    let mut jan = Phone::open(host, Audio::spawn_task(), Ears::Speech, settings).expect("opened");
    let uri = sarah.uri();
    let words = ["one two three four five six seven eight nine ten"];
    let answering = spawn_answer(sarah, ring(0), script(CALLED, &words).await, story().0);

    let (mut reporter, told) = story();
    let calls = script(HASTY, &[]).await;
    jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    answering.await.expect("no panic").1.expect("a call");
    assert!(told_by(&told).contains(&"heard: (speech 0.6 s)".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn busy_human_is_an_error_of_one_line() {
    let network = SimNetwork::new(4, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.2", "sarah", &[]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let uri = sarah.uri();
    let pickup = Pickup::Decline(Duration::from_secs(1), StatusCode::of(486));
    let answering = spawn_answer(sarah, pickup, script(CALLED, &[]).await, story().0);

    let calls = script(CALLER, &[]).await;
    let refused = jan.call(&uri, &calls, &mut story().0, &never()).await.unwrap_err();
    assert_eq!(refused.to_string(), "486 Busy Here (sip:sarah@10.0.0.2:49152)");
    let declined = answering.await.expect("no panic").1.unwrap_err();
    assert_eq!(declined.to_string(), "declined with 486");
}

#[tokio::test(start_paused = true)]
async fn giving_up_stops_the_ringing() {
    let network = SimNetwork::new(5, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.2", "sarah", &[]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let uri = sarah.uri();
    let answering = spawn_answer(sarah, ring(60), script(CALLED, &[]).await, story().0);

    let stop = CancellationToken::new();
    let later = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        later.cancel();
    });
    let calls = script(CALLER, &[]).await;
    let given_up = jan.call(&uri, &calls, &mut story().0, &stop).await.unwrap_err();
    assert!(matches!(given_up, PhoneError::GivenUp), "{given_up}");
    let (_, theirs) = answering.await.expect("no panic");
    assert!(matches!(theirs.unwrap_err(), PhoneError::CallerGone));
}

#[tokio::test(start_paused = true)]
async fn stop_in_a_call_says_goodbye() {
    let network = SimNetwork::new(6, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.2", "sarah", &[]);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let uri = sarah.uri();
    let answering = spawn_answer(sarah, ring(0), script(CALLED, &[]).await, story().0);
    let stop = CancellationToken::new();
    let later = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        later.cancel();
    });
    let calls = script(CALLER, &[]).await;
    let recorded = jan.call(&uri, &calls, &mut story().0, &stop).await.expect("answered");
    assert_eq!(recorded.summary.talked.as_secs(), 3);
    let theirs = answering.await.expect("no panic").1.expect("a call");
    assert_eq!(theirs.summary.ended_by, Side::Them);
}

/// A hold is answered as RFC 3264 §8.4 wants it, and told.
#[tokio::test(start_paused = true)]
async fn hold_and_resume_are_told() {
    let network = SimNetwork::new(8, Conditions::PERFECT);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let mut server = Switchboard::open(&network, "10.0.0.2");
    let uri = server.uri();
    let served = tokio::spawn(async move {
        server.answers().await;
        let held = server.turns("a=sendrecv", "a=sendonly").await;
        let back = server.turns("a=sendonly", "a=sendrecv").await;
        server.hangs_up();
        (held, back)
    });
    let (mut reporter, told) = story();
    let calls = script(CALLER, &[]).await;
    jan.call(&uri, &calls, &mut reporter, &never()).await.expect("answered");
    let (held, back) = served.await.expect("no panic");
    assert!(held.contains("a=recvonly") && back.contains("a=sendrecv"), "{held}\n{back}");
    assert_eq!(told_by(&told)[2..5], ["on hold", "back from hold", "the other hung up"]);
}

/// RFC 3261 §13.3.1: an INVITE without an offer gets ours, and its ACK should have brought the answer.
#[tokio::test(start_paused = true)]
async fn call_without_an_offer_gets_ours_and_ends_without_an_answer() {
    let network = SimNetwork::new(9, Conditions::PERFECT);
    let sarah = phone(&network, "10.0.0.3", "sarah", &[]);
    let mut server = Switchboard::open(&network, "10.0.0.2");
    let uri = sarah.uri();
    let address = sarah.signaling.sent_by(Transport::Udp).expect("an address");
    let (reporter, told) = story();
    let answering = spawn_answer(sarah, ring(1), script(CALLED, &[]).await, reporter);

    let peer = Peer { transport: Transport::Udp, address };
    let offer = server.calls_without_an_offer(&uri, peer).await;

    assert!(offer.contains("m=audio") && offer.contains("a=sendrecv"), "{offer}");
    let (_, recorded) = answering.await.expect("no panic");
    assert!(recorded.expect("a call").summary.is_broken);
    let told = told_by(&told);
    assert_eq!(told[1..], ["we hung up (no usable session description)", "talked"]);
}

/// Nobody is there: SIP gives up after 32 s (timer B).
#[tokio::test(start_paused = true)]
async fn nobody_answers() {
    let network = SimNetwork::new(7, Conditions::PERFECT);
    let mut jan = phone(&network, "10.0.0.1", "jan", &[]);
    let calls = script(CALLER, &[]).await;
    let nobody: Uri = "sip:nobody@10.0.0.9".parse().expect("a URI");
    let failed = jan.call(&nobody, &calls, &mut story().0, &never()).await.unwrap_err();
    assert_eq!(failed.to_string(), "408 Request Timeout (sip:nobody@10.0.0.9)");
    let elsewhere: Uri = "tel:+4930555123".parse().expect("a URI");
    let failed = jan.call(&elsewhere, &calls, &mut story().0, &never()).await.unwrap_err();
    assert_eq!(failed.to_string(), "nowhere to call under tel:+4930555123");
}

fn phone(network: &SimNetwork, ip: &str, name: &str, hears: &[&str]) -> Phone {
    let host = network.host(ip.parse().expect("an address"));
    open(host, Audio::spawn_task(), ip, name, hears)
}

fn open(network: Arc<dyn Network>, audio: Audio, ip: &str, name: &str, hears: &[&str]) -> Phone {
    let ears = Ears::Words(Arc::new(ScriptedRecognizer::new(hears.iter().copied())));
    Phone::open(network, audio, ears, settings(ip, name)).expect("a phone")
}

fn settings(ip: &str, name: &str) -> PhoneSettings {
    PhoneSettings {
        name: name.into(),
        listen: vec![(Transport::Udp, format!("{ip}:0").parse().expect("an address"))],
        media_ports: 40_000..=40_099,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        listening: ListenerSettings { activity: ActivityKind::Energy, ..Default::default() },
        seed: name.len() as u64,
    }
}

async fn script(manners: Manners, texts: &[&str]) -> Script {
    let lines: Vec<_> = texts.iter().map(|&text| Line::Text(text.into())).collect();
    let lines = prepare(&lines, Some(&ScriptedSynthesizer)).await.expect("sound");
    Script { lines, manners, refuses_refer: false }
}

fn ring(seconds: u64) -> Pickup {
    Pickup::Answer(Duration::from_secs(seconds))
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

type Answered = tokio::task::JoinHandle<(Phone, Result<Recorded, PhoneError>)>;

fn spawn_answer(mut phone: Phone, pickup: Pickup, script: Script, reporter: Reporter) -> Answered {
    let mut reporter = reporter;
    tokio::spawn(async move {
        let result = phone.answer(pickup, &script, &mut reporter, &never()).await;
        (phone, result)
    })
}

/// Keeps what is told.
fn story() -> (Reporter, Receiver<Told>) {
    let (sender, told) = channel();
    let reporter = Box::new(move |told: &Told| {
        // A test that does not look has dropped the other end.
        sender.send(told.clone()).ok();
    });
    (reporter, told)
}

/// The lines of a story, without what differs from run to run.
fn told_by(story: &Receiver<Told>) -> Vec<String> {
    let lines = story.try_iter().map(|told| match told.what {
        What::Dialling { uri, call_id } => {
            assert!(CallId::new(&call_id).is_some());
            format!("dialling {uri}")
        }
        What::Summary(_) => "talked".into(),
        what => what.to_string(),
    });
    lines.collect()
}

#[track_caller]
fn assert_voice(samples: &[i16]) {
    assert!(samples.iter().any(|sample| sample.abs() > 3000), "{} samples", samples.len());
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
