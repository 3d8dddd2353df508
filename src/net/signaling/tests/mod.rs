//! Two signalling tasks that call each other on the simulated network, and one on real TCP.

mod tcp;

use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::mpsc;

use super::*;
use crate::net::sim::{Conditions, SimNetwork};
use crate::sip::{Liveness, NameAddr, Peer, Uri};

const A: &str = "10.0.0.1:5060";
const B: &str = "10.0.0.2:5060";

/// One user agent: its handle, and what it is told.
struct Agent {
    signaling: Signaling,
    events: mpsc::Receiver<Event>,
}

#[tokio::test(start_paused = true)]
async fn call_is_answered_hung_up_and_forgotten() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let [mut a, mut b] = [A, B].map(|address| Agent::on(&network, address));

    let (calling, called) = connect(&mut a, &mut b).await;
    a.signaling.hang_up(calling, None).unwrap();

    let ended = b.next().await;
    assert!(matches!(ended, Event::Ended { dialog, .. } if dialog == called), "{ended:?}");
    tokio::time::sleep(Duration::from_secs(40)).await;
    for agent in [&a, &b] {
        let tables = agent.signaling.tables();
        assert_eq!((tables.dialogs(), tables.transactions()), (0, 0));
    }
    let flow: Vec<String> = network.captured().iter().map(|sent| first_word(&sent.bytes)).collect();
    let expected = ["INVITE", "100", "180", "200", "ACK", "BYE", "200"];
    assert_eq!(flow, expected);
}

#[tokio::test(start_paused = true)]
async fn figures_are_those_of_the_stack() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let mut a = Agent::on(&network, A);
    // The INVITE is answered by nobody, and sent seven times in 32 s.
    a.invite(Transport::Udp, B);
    a.next().await;

    let text = recorder.handle().render();

    for line in [
        "sip_dialogs 0",
        "sip_server_transactions 0",
        "sip_client_transactions 0",
        "sip_requests_total{method=\"INVITE\"} 0",
        "sip_responses_total{class=\"2xx\"} 0",
        "sip_retransmissions_total{direction=\"sent\"} 6",
        "sip_dropped_total{why=\"bad\"} 0",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

/// Whatever the weather, a call comes about and ends, and nothing is left of it.
#[tokio::test(start_paused = true)]
async fn poor_network_only_delays_a_call() {
    for seed in 0..50 {
        let network = SimNetwork::new(seed, Conditions::POOR);
        let [mut a, mut b] = [A, B].map(|address| Agent::on(&network, address));
        let (calling, _) = connect(&mut a, &mut b).await;
        a.signaling.hang_up(calling, None).unwrap();
        let ended = b.next().await;
        assert!(matches!(ended, Event::Ended { .. }), "seed {seed}: {ended:?}");
        tokio::time::sleep(Duration::from_secs(70)).await;
        let left = [&a, &b].map(|agent| agent.signaling.tables().transactions());
        assert_eq!(left, [0, 0], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn same_seed_gives_the_same_messages_at_the_same_times() {
    let run = async |seed| {
        let network = SimNetwork::new(seed, Conditions::POOR);
        let [mut a, mut b] = [A, B].map(|address| Agent::on(&network, address));
        let (calling, _) = connect(&mut a, &mut b).await;
        a.signaling.hang_up(calling, None).unwrap();
        tokio::time::sleep(Duration::from_secs(70)).await;
        network.captured()
    };
    assert_eq!(run(5).await, run(5).await);
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_gone_fails_the_call_after_timer_b() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let mut a = Agent::on(&network, A);
    let start = tokio::time::Instant::now();

    let calling = a.invite(Transport::Udp, B);

    let failed = a.next().await;
    assert!(
        matches!(failed, Event::Failed { dialog, status, .. }
            if dialog == calling && status == StatusCode::of(408)),
        "{failed:?}"
    );
    assert_eq!(start.elapsed().as_secs(), 32);
}

/// A registry that takes nothing: half of the channel is for new calls, and what comes then is
/// refused at once. A dialog that exists is still told of everything.
#[tokio::test(start_paused = true)]
async fn registry_that_is_behind_costs_new_calls_and_no_dialog() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let [mut a, mut b] = [A, B].map(|address| Agent::on(&network, address));
    let (calling, called) = connect(&mut a, &mut b).await;

    let calls = EVENTS / 2 + 100;
    for _ in 0..calls {
        a.invite(Transport::Udp, B);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let mut refused = 0;
    while let Ok(event) = a.events.try_recv() {
        let (status, headers) = match event {
            Event::Failed { status, headers, .. } => (status, headers),
            Event::Trying { .. } => continue,
            other => panic!("{other:?}"),
        };
        assert_eq!(status, StatusCode::of(503));
        assert_eq!(headers.get("Retry-After"), Some("5"));
        refused += 1;
    }
    assert_eq!(refused, 100);
    a.signaling.hang_up(calling, None).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut invited = 0;
    let ended = loop {
        match b.next().await {
            Event::Invited { .. } => invited += 1,
            other => break other,
        }
    };
    assert_eq!(invited, EVENTS / 2);
    assert!(matches!(ended, Event::Ended { dialog, .. } if dialog == called), "{ended:?}");
}

/// More happens in dialogs than the channel holds: the task stops to read, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn full_channel_holds_back_the_network_and_loses_nothing() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let [mut a, mut b] = [A, B].map(|address| Agent::on(&network, address));
    let calls = EVENTS + 300;
    let mut calling = Vec::new();
    for _ in 0..calls {
        calling.push(connect(&mut a, &mut b).await.0);
    }

    for dialog in calling {
        a.signaling.hang_up(dialog, None).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(b.events.len(), EVENTS);

    for _ in 0..calls {
        let ended = b.next().await;
        assert!(matches!(ended, Event::Ended { .. }), "{ended:?}");
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    for agent in [&a, &b] {
        let tables = agent.signaling.tables();
        assert_eq!((tables.dialogs(), tables.transactions()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn order_for_a_dialog_that_is_gone_is_answered_by_its_failure() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let mut a = Agent::on(&network, A);
    let nobody = DialogId::incoming(99);
    let gone = StatusCode::of(481);

    a.signaling.refer(nobody, "<sip:sarah@10.0.0.3>".into(), Headers::default()).unwrap();
    a.signaling.reinvite(nobody, sdp()).unwrap();
    a.signaling.probe(nobody).unwrap();
    a.signaling.hang_up(nobody, None).unwrap();

    let event = a.next().await;
    assert!(matches!(event, Event::ReferAnswered { status, .. } if status == gone), "{event:?}");
    let event = a.next().await;
    assert!(matches!(event, Event::ReinviteRefused { status, .. } if status == gone), "{event:?}");
    let event = a.next().await;
    assert!(matches!(event, Event::Probed { found: Liveness::Gone, .. }), "{event:?}");
    assert!(a.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn dropped_handle_ends_the_task_and_frees_its_address() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let Agent { signaling, mut events } = Agent::on(&network, A);

    drop(signaling);

    assert!(events.recv().await.is_none());
    assert_eq!(network.bound(), []);
}

#[tokio::test(start_paused = true)]
async fn our_address_for_peers_is_a_real_one_or_the_one_we_are_told() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let host = network.host("10.0.0.1".parse().unwrap());
    let mut everywhere = listen(Transport::Udp, "0.0.0.0:5060");
    let (signaling, _events) = Signaling::spawn(&*host, everywhere.clone()).unwrap();
    assert_eq!(signaling.sent_by(Transport::Udp), Some(A.parse().unwrap()));
    assert_eq!(signaling.sent_by(Transport::Tcp), None);

    everywhere.addresses[0].1.set_port(5070);
    everywhere.external_ip = Some("203.0.113.7".parse().unwrap());
    let (signaling, _events) = Signaling::spawn(&*host, everywhere).unwrap();
    assert_eq!(signaling.sent_by(Transport::Udp), Some("203.0.113.7:5070".parse().unwrap()));
}

impl Agent {
    fn on(network: &SimNetwork, address: &str) -> Self {
        let at: SocketAddr = address.parse().unwrap();
        let host = network.host(at.ip());
        let (signaling, events) =
            Signaling::spawn(&*host, listen(Transport::Udp, address)).unwrap();
        Agent { signaling, events }
    }

    async fn next(&mut self) -> Event {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(100), self.events.recv());
            match event.await.expect("something happens").expect("the task lives") {
                Event::Trying { .. } => (),
                event => return event,
            }
        }
    }

    fn invite(&self, transport: Transport, to: &str) -> DialogId {
        let name = |uri: &str| NameAddr::new(uri.parse::<Uri>().unwrap());
        let to_uri = format!("sip:demo@{to}");
        let invite = Invite {
            uri: to_uri.parse().unwrap(),
            to_peer: Peer { transport, address: to.parse().unwrap() },
            from: name("sip:jan@10.0.0.1"),
            to: name(&to_uri),
            call_id: None,
            headers: Headers::default(),
            body: Some(sdp()),
        };
        let dialog = self.signaling.new_dialog();
        self.signaling.invite(dialog, invite).unwrap();
        dialog
    }
}

/// Lets `a` call `b` until both know that the call stands; the dialog's name on either side.
async fn connect(a: &mut Agent, b: &mut Agent) -> (DialogId, DialogId) {
    let calling = a.invite(Transport::Udp, B);
    let Event::Invited { dialog: called, .. } = b.next().await else { panic!("not invited") };
    let headers = Headers::default;
    b.signaling.ring(called, StatusCode::of(180), None, headers()).unwrap();
    b.signaling.answer(called, sdp(), headers()).unwrap();
    let answered = loop {
        match a.next().await {
            // It may be lost, or come twice.
            Event::Ringing { .. } => (),
            other => break other,
        }
    };
    assert!(matches!(answered, Event::Answered { dialog, .. } if dialog == calling));
    let acknowledged = b.next().await;
    assert!(matches!(acknowledged, Event::Acknowledged { .. }), "{acknowledged:?}");
    (calling, called)
}

fn listen(transport: Transport, address: &str) -> Listen {
    Listen {
        addresses: vec![(transport, address.parse().unwrap())],
        external_ip: None,
        user_agent: "tandem".into(),
        calls_max: 10_000,
        trusted: Vec::new(),
        takes_refer: false,
        seed: address.len() as u64 + u64::from(address.as_bytes()[7]),
    }
}

fn sdp() -> Body {
    let text = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                m=audio 4000 RTP/AVP 0\r\n";
    Body { content_type: "application/sdp".into(), bytes: text.as_bytes().into() }
}

/// The method of a request, the status of a response.
fn first_word(bytes: &[u8]) -> String {
    let line = String::from_utf8_lossy(bytes);
    let mut words = line.split(' ');
    let first = words.next().unwrap_or_default();
    if first == "SIP/2.0" { words.next().unwrap_or_default() } else { first }.to_owned()
}
