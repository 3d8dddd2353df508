//! A worker as a task on the paused clock, with phones on the simulated network.

mod allocation;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::task::JoinHandle;

use super::*;
use crate::ids::LegId;
use crate::media::FRAME_TIME;
use crate::media::codec::Codec;
use crate::media::offer::{Agreed, PayloadTypes};
use crate::media::sdp::Direction;
use crate::media::session::{Config, Session, StreamStart};
use crate::net::ring::Reader;
use crate::net::sim::{Conditions, SimNetwork};
use crate::net::{MediaSocket, now};

/// µ-law for nothing, and for very loud.
const QUIET: u8 = 0xff;
const LOUD: u8 = 0x80;

const OURS: &str = "10.0.0.1";
const CALLER: &str = "10.0.0.2:4000";
const HUMAN: &str = "10.0.0.3:4000";

#[tokio::test(start_paused = true)]
async fn bridged_parties_hear_each_other_and_not_themselves() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let audio = Audio::spawn_task();
    let (call, _ears) = audio.open_call(Rate::Narrow, Wiring::BRIDGED, None).unwrap();
    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);
    let human = Phone::joins(&network, &call, LegId::Human(0), HUMAN, QUIET);

    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(call);

    // The first packets leave before anything has come, and a jitter buffer waits a little.
    let (heard_by_caller, heard_by_human) = (caller.hang_up().await, human.hang_up().await);
    assert!(heard_by_caller.iter().all(|packet| !packet.is_loud()));
    assert!(heard_by_human.iter().skip(10).all(Packet::is_loud));
    assert!(heard_by_human.len() >= 45, "{} packets", heard_by_human.len());
}

#[tokio::test(start_paused = true)]
async fn packets_leave_every_20_ms_and_count_on() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, _ears) = audio.open_call(Rate::Narrow, Wiring::CONVERSING, None).unwrap();
    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, QUIET);

    tokio::time::sleep(Duration::from_secs(2)).await;
    call.wire(Wiring::HOLDING);
    tokio::time::sleep(Duration::from_secs(2)).await;

    let packets = caller.hang_up().await;
    assert!(packets.len() >= 190, "{} packets", packets.len());
    for pair in packets.windows(2) {
        assert_eq!(pair[1].at - pair[0].at, Duration::from_millis(20));
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
    }
}

/// Loss, jitter and repetition change what is heard, never when a packet leaves.
#[tokio::test(start_paused = true)]
async fn poor_network_does_not_change_the_pace() {
    for seed in 0..5 {
        let network = SimNetwork::new(seed, Conditions::POOR);
        let ours: IpAddr = OURS.parse().unwrap();
        for phone in [CALLER, HUMAN].map(|address| address.parse::<SocketAddr>().unwrap().ip()) {
            network.set_conditions(ours, phone, Conditions::PERFECT);
        }
        let audio = Audio::spawn_task();
        let (call, _ears) = audio.open_call(Rate::Narrow, Wiring::BRIDGED, None).unwrap();
        let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);
        let human = Phone::joins(&network, &call, LegId::Human(0), HUMAN, LOUD);

        tokio::time::sleep(Duration::from_secs(10)).await;

        for packets in [caller.hang_up().await, human.hang_up().await] {
            let gaps = packets.windows(2).map(|pair| pair[1].at - pair[0].at);
            assert!(gaps.into_iter().all(|gap| gap == Duration::from_millis(20)), "seed {seed}");
            let loud = packets.iter().filter(|packet| packet.is_loud()).count();
            assert!(loud > packets.len() * 8 / 10, "seed {seed}: {loud} of {}", packets.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_over_the_phases() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let start = now();
    let mut open = Vec::new();
    for number in 0..8 {
        let (call, ears) = audio.open_call(Rate::Narrow, Wiring::HOLDING, None).unwrap();
        let address = format!("10.0.1.{number}:4000");
        let phone = Phone::joins(&network, &call, LegId::Caller, &address, QUIET);
        open.push((call, ears, phone));
    }

    tokio::time::sleep(Duration::from_millis(500)).await;

    let mut calls_at = [0; 20];
    for (_call, _ears, phone) in open {
        let packets = phone.hang_up().await;
        calls_at[((packets[0].at - start).as_millis() % 20) as usize] += 1;
    }
    let expected = std::array::from_fn(|millis| if millis % 5 == 0 { 2 } else { 0 });
    assert_eq!(calls_at, expected);
}

#[tokio::test(start_paused = true)]
async fn stopped_clip_is_silent_within_a_frame_and_counts_what_was_heard() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::CONVERSING, None).unwrap();
    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, QUIET);
    tokio::time::sleep(Duration::from_millis(200)).await;

    call.play(ClipId(7), vec![20_000; 16_000].into());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let stopped = now();
    call.stop();
    tokio::time::sleep(Duration::from_millis(500)).await;

    assert_eq!(ears.mouth.next().await, Some(MouthEvent::Started { clip: ClipId(7) }));
    let Some(MouthEvent::Ended { clip, played, whole }) = ears.mouth.next().await else {
        panic!("the clip has not ended");
    };
    assert_eq!((clip, whole), (ClipId(7), false));
    let packets = caller.hang_up().await;
    let loud = packets.iter().filter(|packet| packet.is_loud()).count();
    let heard = played as usize / 160;
    assert!((24..=26).contains(&heard), "{played} samples in 500 ms");
    assert!(loud.abs_diff(heard) <= 1, "{loud} loud packets, {heard} counted");
    let late = Duration::from_millis(25);
    assert!(packets.iter().all(|packet| packet.at <= stopped + late || !packet.is_loud()));
}

#[tokio::test(start_paused = true)]
async fn agent_hears_every_frame_and_the_end_of_a_turn_after_it_was_unwired() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::CONVERSING, None).unwrap();
    let _caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);

    tokio::time::sleep(Duration::from_secs(1)).await;
    let heard = drain(&mut ears.heard);
    assert!((49..=51).contains(&heard.len()), "{} frames in a second", heard.len());
    assert!(heard.iter().skip(10).all(|heard| heard.frame.samples()[80] > 10_000));

    call.wire(Wiring::HOLDING);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let heard = drain(&mut ears.heard);
    assert!((49..=52).contains(&heard.len()), "{} frames of silence", heard.len());
    assert!(heard.iter().skip(2).all(|heard| heard.frame.samples()[80] == 0));
}

#[tokio::test(start_paused = true)]
async fn stuck_listener_loses_frames_and_nobody_waits_for_it() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::CONVERSING, None).unwrap();
    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);

    tokio::time::sleep(Duration::from_secs(4)).await;

    assert!((148..=151).contains(&ears.heard.lost()), "{} lost", ears.heard.lost());
    assert_eq!(drain(&mut ears.heard).len(), 50);
    assert!(caller.hang_up().await.len() >= 195);
}

/// A listener needs the silence behind a voice to know that the turn is over, also from a phone that sends
/// none; after that, and before the first packet, there is nothing to listen to.
#[tokio::test(start_paused = true)]
async fn listener_is_left_alone_while_nothing_comes() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::CONVERSING, None).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(drain(&mut ears.heard).len(), 0);

    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!((20..=26).contains(&drain(&mut ears.heard).len()));
    let _ = caller.hang_up().await;
    let mut heard = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        heard += drain(&mut ears.heard).len();
    }
    assert!((198..=203).contains(&heard), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn dropped_handle_closes_the_sockets_and_ends_the_ears() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::BRIDGED, None).unwrap();
    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);
    let human = Phone::joins(&network, &call, LegId::Human(3), HUMAN, LOUD);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = (caller.hang_up().await, human.hang_up().await);

    drop(call);

    let mut removed = Vec::new();
    while let Some(event) = ears.events.next().await {
        if let AudioEvent::Removed { leg, stats } = event {
            removed.push((leg, stats.received > 40));
        }
    }
    assert_eq!(removed, [(LegId::Caller, true), (LegId::Human(3), true)]);
    assert_eq!(ears.mouth.next().await, None);
    assert_eq!(network.bound(), []);
}

#[tokio::test(start_paused = true)]
async fn removed_leg_frees_its_socket_and_the_other_plays_on() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, _ears) = audio.open_call(Rate::Narrow, Wiring::BRIDGED, None).unwrap();
    let caller = Phone::joins(&network, &call, LegId::Caller, CALLER, LOUD);
    let human = Phone::joins(&network, &call, LegId::Human(0), HUMAN, LOUD);
    tokio::time::sleep(Duration::from_secs(1)).await;

    call.remove_leg(LegId::Human(0));
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert!(human.hang_up().await.len() <= 51);
    assert!(caller.hang_up().await.len() >= 97);
    // Of us, the caller's socket is left.
    let ours: IpAddr = OURS.parse().unwrap();
    assert_eq!(network.bound().iter().filter(|address| address.ip() == ours).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn worker_that_stands_still_refuses_commands_and_still_closes() {
    let audio = Audio::spawn_task();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::HOLDING, None).unwrap();

    // Nothing here waits, so the worker does not run in between.
    let taken = (0..INBOX_COMMANDS * 2).filter(|_| call.wire(Wiring::HOLDING)).count();

    assert_eq!(taken, INBOX_COMMANDS - 1);
    assert!(audio.open_call(Rate::Narrow, Wiring::HOLDING, None).is_err());
    drop(call);
    assert_eq!(ears.events.next().await, None);
}

#[tokio::test]
async fn thread_beats_on_the_real_clock_and_ends_with_its_handles() {
    let audio = Audio::spawn_threads(1).unwrap();
    let (call, mut ears) = audio.open_call(Rate::Narrow, Wiring::CONVERSING, None).unwrap();

    // A tenth of a second of speech begins and ends.
    call.play(ClipId(1), [1; 800].into());
    for _ in 0..2 {
        assert!(ears.mouth.next().await.is_some());
    }

    assert!(audio.lateness().beats() >= 16);
    assert_eq!((audio.is_running(), audio.calls()), (true, 1));
    drop((audio, call));
    assert_eq!(ears.events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn figures_are_published_every_second() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let audio = Audio::spawn_task();
    let (call, _ears) = audio.open_call(Rate::Narrow, Wiring::HOLDING, None).unwrap();
    let _phone = Phone::joins(&network, &call, LegId::Caller, CALLER, QUIET);

    tokio::time::sleep(Duration::from_millis(2500)).await;

    let text = recorder.handle().render();
    for line in [
        "media_calls{worker=\"0\"} 1",
        "media_streams{worker=\"0\"} 1",
        "media_frames_skipped_total{worker=\"0\"} 0",
        "media_late_seconds{worker=\"0\",quantile=\"0.99\"} 0",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    drop(call);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(recorder.handle().render().contains("media_streams{worker=\"0\"} 0"));
}

/// Somebody with a phone that says one thing all the time, every 20 ms, and notes what comes.
struct Phone {
    talking: JoinHandle<Vec<Packet>>,
    hang_up: tokio::sync::oneshot::Sender<()>,
}

/// An RTP packet that came to a phone.
#[derive(Debug)]
struct Packet {
    at: Instant,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    middle: u8,
}

impl Packet {
    /// Whether the middle of the packet is loud: µ-law has its loudest values at 0x00 and 0x80.
    fn is_loud(&self) -> bool {
        self.middle & 0x7f < 0x20
    }
}

impl Phone {
    fn joins(network: &SimNetwork, call: &CallAudio, leg: LegId, address: &str, says: u8) -> Self {
        let remote: SocketAddr = address.parse().unwrap();
        let ours: IpAddr = OURS.parse().unwrap();
        let socket = network.host(ours).bind_media(SocketAddr::new(ours, 0)).unwrap();
        let phone = network.host(remote.ip()).bind(remote).unwrap();
        let (hang_up, hung_up) = tokio::sync::oneshot::channel();
        let talking = tokio::spawn(talk(phone, socket.local_addr(), says, hung_up));
        assert!(call.add_leg(leg, session(remote), socket));
        Phone { talking, hang_up }
    }

    async fn hang_up(self) -> Vec<Packet> {
        self.hang_up.send(()).unwrap();
        self.talking.await.unwrap()
    }
}

async fn talk(
    phone: Arc<dyn crate::net::Datagrams>,
    to: SocketAddr,
    says: u8,
    mut hung_up: tokio::sync::oneshot::Receiver<()>,
) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let mut sequence = 0u16;
    loop {
        tokio::select! {
            biased;
            readable = poll_fn(|cx| phone.poll_readable(cx)) => {
                readable.unwrap();
                let mut buf = [0; 1500];
                let (length, _) = phone.try_recv(&mut buf).unwrap();
                packets.push(read(&buf[..length]));
            }
            _ = &mut hung_up => return packets,
            _ = beat.tick() => {
                sequence += 1;
                let mut packet = vec![0x80, 0];
                packet.extend(sequence.to_be_bytes());
                packet.extend((u32::from(sequence) * 160).to_be_bytes());
                packet.extend(0x1234_5678u32.to_be_bytes());
                packet.extend([says; 160]);
                phone.try_send(&packet, to).unwrap();
            }
        }
    }
}

fn read(bytes: &[u8]) -> Packet {
    assert_eq!((bytes.len(), bytes[0]), (172, 0x80));
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (sequence, timestamp, ssrc) = (word(0) as u16, word(4), word(8));
    Packet { at: now(), sequence, timestamp, ssrc, middle: bytes[92] }
}

fn session(remote: SocketAddr) -> Session {
    let payload = PayloadTypes { send: 0, receive: 0 };
    let agreed = Agreed {
        codec: Codec::Pcmu,
        payload,
        telephone_event: Some(PayloadTypes { send: 101, receive: 101 }),
        remote,
        direction: Direction::SendRecv,
        ptime: Duration::from_millis(20),
    };
    let start = StreamStart { ssrc: 7, sequence: u16::MAX - 3, timestamp: u32::MAX - 500 };
    let silent_after = Duration::from_secs(5);
    Session::new(now(), Config { agreed, rate: Rate::Narrow, start, silent_after })
}

fn drain(heard: &mut Reader<HeardFrame>) -> Vec<HeardFrame> {
    std::iter::from_fn(|| heard.try_next()).collect()
}
