//! Two sessions and the line between them.

use proptest::prelude::*;

use super::super::codec::{Codec, Decoder, Encoder};
use super::super::offer::PayloadTypes;
use super::super::rtp::Datagram;
use super::*;

const PEER: &str = "192.0.2.1:4000";
const STRANGER: &str = "198.51.100.66:5555";

fn agreed() -> Agreed {
    Agreed {
        codec: Codec::Pcma,
        payload: PayloadTypes { send: 8, receive: 8 },
        telephone_event: Some(PayloadTypes { send: 101, receive: 101 }),
        remote: PEER.parse().expect("address"),
        direction: Direction::SendRecv,
        ptime: Duration::from_millis(20),
    }
}

fn session(start: Instant, agreed: Agreed, rate: Rate) -> Session {
    let stream = StreamStart { ssrc: 7, sequence: 65_530, timestamp: u32::MAX - 500 };
    let silent_after = Duration::from_secs(10);
    Session::new(start, Config { agreed, rate, start: stream, silent_after })
}

/// A talker and a listener, each at the other's address, and the time.
struct Pair {
    start: Instant,
    ticks: u32,
    talker: Session,
    listener: Session,
}

impl Pair {
    fn new(agreed: Agreed, rate: Rate) -> Self {
        let start = Instant::now();
        let talker = session(start, agreed, rate);
        let listener = session(start, agreed, rate);
        Pair { start, ticks: 0, talker, listener }
    }

    fn now(&self) -> Instant {
        self.start + FRAME * self.ticks
    }

    /// 20 ms of a frame: the packets that leave reach the listener 3 ms later, unless the n-th is
    /// lost.
    fn say(&mut self, frame: &Frame, mut is_lost: impl FnMut(u64) -> bool) -> Frame {
        let now = self.now();
        self.talker.push(now, frame);
        let mut n = self.talker.stats().sent;
        while let Some((_, packet)) = self.talker.poll_transmit() {
            if !is_lost(n) {
                let source = PEER.parse().expect("address");
                self.listener.handle_datagram(now + Duration::from_millis(3), source, packet);
            }
            n += 1;
        }
        self.ticks += 1;
        self.listener.pull(now + Duration::from_millis(5))
    }

    fn events(&mut self) -> Vec<SessionEvent> {
        std::iter::from_fn(|| self.listener.poll_event()).collect()
    }
}

const FRAME: Duration = super::super::FRAME_TIME;

/// A tone that A-law changes a little; the n-th frame of it.
fn tone(rate: Rate, n: u32) -> Frame {
    let size = rate.frame_samples();
    let at = |i: usize| {
        let seconds = (n as usize * size + i) as f64 / f64::from(rate.hertz());
        (8000.0 * (std::f64::consts::TAU * 200.0 * seconds).sin()) as i16
    };
    Frame::from_samples(rate, &(0..size).map(at).collect::<Vec<_>>())
}

/// What is left of samples after A-law.
fn through_alaw(samples: &[i16]) -> Vec<i16> {
    let mut payload = vec![0; samples.len()];
    Encoder::new(Codec::Pcma).encode(samples, &mut payload);
    let mut out = vec![0; samples.len()];
    Decoder::new(Codec::Pcma).decode(&payload, &mut out);
    out
}

/// The packets of one push: marker, payload type, sequence, timestamp, payload bytes.
fn packets(session: &mut Session, now: Instant) -> Vec<(bool, u8, u16, u32, usize)> {
    session.push(now, &Frame::silence(Rate::Narrow));
    let mut packets = Vec::new();
    while let Some((_, bytes)) = session.poll_transmit() {
        let Datagram::Rtp(packet) = Datagram::parse(bytes) else { panic!("not RTP") };
        let Packet { marker, payload_type, sequence, timestamp, payload, .. } = packet;
        packets.push((marker, payload_type, sequence, timestamp, payload.len()));
    }
    packets
}

#[test]
fn every_sample_arrives_in_order_whatever_the_ptime() {
    for ptime in [10, 20, 30, 40, 60] {
        let mut pair =
            Pair::new(Agreed { ptime: Duration::from_millis(ptime), ..agreed() }, Rate::Narrow);
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        for n in 0..100 {
            let frame = tone(Rate::Narrow, n);
            said.extend_from_slice(frame.samples());
            heard.extend_from_slice(pair.say(&frame, |_| false).samples());
        }
        // After the packets that the latch takes to be sure, and the wait of the buffer.
        let said = through_alaw(&said);
        let first = heard.iter().position(|&sample| sample != 0).expect("sound");
        let heard = &heard[first + 80..];
        let found = said.windows(heard.len()).any(|said| said == heard);
        assert!(found, "ptime {ptime}");
        assert_eq!(pair.listener.stats().concealed, Duration::ZERO);
    }
}

#[test]
fn wideband_call_has_narrow_legs() {
    let mut pair = Pair::new(agreed(), Rate::Wide);
    let heard: Vec<Frame> = (0..20).map(|n| pair.say(&tone(Rate::Wide, n), |_| false)).collect();
    let loudest = heard[10..].iter().flat_map(|frame| frame.samples()).map(|s| s.abs()).max();
    assert!((7700..8300).contains(&loudest.expect("samples")), "{loudest:?}");
}

/// Timestamps go on through hold, keys and silence; a pause ends with a marker; sequence numbers
/// have no hole.
#[test]
fn our_stream_is_one_for_the_life_of_the_leg() {
    let start = Instant::now();
    let mut session = session(start, agreed(), Rate::Narrow);
    let began = u32::MAX - 500;
    let at = |n: u32| (start + FRAME * n, began.wrapping_add(n * 160));

    let (now, timestamp) = at(0);
    assert_eq!(packets(&mut session, now), [(true, 8, 65_530, timestamp, 160)]);
    let (now, timestamp) = at(1);
    assert_eq!(packets(&mut session, now), [(false, 8, 65_531, timestamp, 160)]);

    let held = Agreed { direction: Direction::RecvOnly, ..agreed() };
    session.renegotiate(now, held);
    for n in 2..10 {
        assert_eq!(packets(&mut session, at(n).0), []);
    }
    let ulaw = PayloadTypes { send: 0, receive: 0 };
    session.renegotiate(now, Agreed { codec: Codec::Pcmu, payload: ulaw, ..agreed() });
    let (now, timestamp) = at(10);
    assert_eq!(packets(&mut session, now), [(true, 0, 65_532, timestamp, 160)]);

    assert!(session.send_digits("7"));
    let (_, pressed) = at(11);
    for n in 11..18 {
        let sequence = 65_533u16.wrapping_add(n as u16 - 11);
        assert_eq!(packets(&mut session, at(n).0), [(n == 11, 101, sequence, pressed, 4)]);
    }
    let (now, timestamp) = at(18);
    assert_eq!(packets(&mut session, now), [(true, 0, 4, timestamp, 160)]);
}

/// What waits for a long packet does not come out as many short ones.
#[test]
fn change_of_ptime_loses_no_sequence_number() {
    let start = Instant::now();
    let ptime = |ms| Agreed { ptime: Duration::from_millis(ms), ..agreed() };
    let mut session = session(start, ptime(60), Rate::Narrow);
    assert_eq!(packets(&mut session, start), []);
    assert_eq!(packets(&mut session, start + FRAME), []);
    session.renegotiate(start + FRAME, ptime(10));
    let sent = packets(&mut session, start + FRAME * 2);
    let sequences: Vec<_> = sent.iter().map(|packet| packet.2).collect();
    assert_eq!(sequences, [65_530, 65_531]);
    assert_eq!(packets(&mut session, start + FRAME * 3)[0].2, 65_532);
}

/// A session is made by a call's task and lives on a media thread.
#[test]
fn session_may_move_to_a_media_thread() {
    fn may_move<T: Send>() {}
    may_move::<Session>();
}

#[test]
fn stall_of_the_driver_shows_in_the_timestamps() {
    let start = Instant::now();
    let mut session = session(start, agreed(), Rate::Narrow);
    let first = packets(&mut session, start)[0];
    let second = packets(&mut session, start + Duration::from_millis(40))[0];
    assert_eq!(second.3.wrapping_sub(first.3), 160, "a little late is caught up");
    let third = packets(&mut session, start + Duration::from_millis(1040))[0];
    assert_eq!(third.3.wrapping_sub(first.3), 1040 * 8);
    assert!(third.0, "the first after a pause");
}

#[test]
fn keys_reach_the_other_side_once_each() {
    let mut pair = Pair::new(agreed(), Rate::Narrow);
    for n in 0..10 {
        pair.say(&tone(Rate::Narrow, n), |_| false);
    }
    assert_eq!(pair.events(), [SessionEvent::Flowing]);
    assert!(pair.talker.send_digits("0*#D"));
    let mut keys = String::new();
    for n in 0..60 {
        // Every third packet is lost.
        pair.say(&tone(Rate::Narrow, n), |n| n % 3 == 0);
        for event in pair.events() {
            let SessionEvent::Digit(key) = event else { panic!("{event:?}") };
            keys.push(key);
        }
    }
    assert_eq!(keys, "0*#D");
}

/// Nobody speaks while keys are pressed: that is no loss and nothing is made up for it.
#[test]
fn keys_are_not_taken_for_loss() {
    let mut pair = Pair::new(agreed(), Rate::Narrow);
    for n in 0..10 {
        pair.say(&tone(Rate::Narrow, n), |_| false);
    }
    assert!(pair.talker.send_digits("123"));
    for n in 0..100 {
        pair.say(&tone(Rate::Narrow, n), |_| false);
    }
    let stats = pair.listener.stats();
    assert_eq!((stats.lost, stats.concealed), (0, Duration::ZERO));
}

#[test]
fn peer_without_telephone_events_gets_no_keys() {
    let mut session =
        session(Instant::now(), Agreed { telephone_event: None, ..agreed() }, Rate::Narrow);
    assert!(!session.send_digits("1"));
}

#[test]
fn losses_are_counted_and_concealed() {
    let mut pair = Pair::new(agreed(), Rate::Narrow);
    for n in 0..500 {
        pair.say(&tone(Rate::Narrow, n), |n| n > 10 && n % 20 == 0);
    }
    let stats = pair.listener.stats();
    assert_eq!(stats.lost, 24);
    assert_eq!(stats.concealed, FRAME * 24);
    assert_eq!((stats.late, stats.duplicates), (0, 0));
}

#[test]
fn silence_is_told_once_and_so_is_its_end() {
    let mut pair = Pair::new(agreed(), Rate::Narrow);
    for n in 0..5 {
        pair.say(&tone(Rate::Narrow, n), |_| false);
    }
    assert_eq!(pair.events(), [SessionEvent::Flowing]);
    for n in 0..1000 {
        pair.say(&tone(Rate::Narrow, n), |_| true);
    }
    assert_eq!(pair.events(), [SessionEvent::Silent(Duration::from_secs(10))]);
    pair.say(&tone(Rate::Narrow, 0), |_| false);
    assert_eq!(pair.events(), [SessionEvent::Flowing]);
}

/// Who is on hold, or holds us, is not missed; its time begins when the hold ends.
#[test]
fn who_is_on_hold_is_not_silent() {
    for hold in [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        let start = Instant::now();
        let mut session = session(start, Agreed { direction: hold, ..agreed() }, Rate::Narrow);
        let at = |secs| start + Duration::from_secs(secs);
        session.pull(at(60));
        assert_eq!(session.poll_event(), None, "{hold:?}");
        session.renegotiate(at(60), agreed());
        session.pull(at(69));
        assert_eq!(session.poll_event(), None, "{hold:?}");
        session.pull(at(70));
        let silent = SessionEvent::Silent(Duration::from_secs(10));
        assert_eq!(session.poll_event(), Some(silent), "{hold:?}");
    }
}

/// Somebody sprays the port before and during the call: nothing of it is heard, and nothing goes
/// there.
#[test]
fn stranger_is_neither_heard_nor_sent_to() {
    let mut pair = Pair::new(agreed(), Rate::Narrow);
    let stranger: SocketAddr = STRANGER.parse().expect("address");
    let mut loud = [0x2A; 172];
    loud[..12].copy_from_slice(&[0x80, 8, 0, 1, 0, 0, 0, 0, 9, 9, 9, 9]);
    for n in 0..50u32 {
        loud[3] = n as u8 * 2;
        pair.listener.handle_datagram(pair.now(), stranger, &loud);
        let heard = pair.say(&tone(Rate::Narrow, n), |_| false);
        assert!(heard.samples().iter().all(|sample| sample.abs() < 9000), "frame {n}");
    }
    // The talker's first packet is strange as well.
    assert_eq!(pair.listener.stats().strange_sources, 51);
    pair.listener.push(pair.now(), &Frame::silence(Rate::Narrow));
    let (target, _) = pair.listener.poll_transmit().expect("a packet");
    assert_eq!(target, PEER.parse().expect("address"));
}

#[test]
fn peer_that_moved_without_a_word_is_found_after_a_reinvite() {
    let mut pair = Pair::new(agreed(), Rate::Narrow);
    for n in 0..5 {
        pair.say(&tone(Rate::Narrow, n), |_| false);
    }
    let rebound: SocketAddr = STRANGER.parse().expect("address");
    let later = pair.now() + Duration::from_secs(5);
    let send = |session: &mut Session, sequence: u8| {
        let bytes = [0x80, 8, 0, sequence, 0, 0, 0, 0, 9, 9, 9, 9, 0xD5];
        session.handle_datagram(later, rebound, &bytes);
        session.push(later, &Frame::silence(Rate::Narrow));
        session.poll_transmit().expect("a packet").0
    };
    send(&mut pair.listener, 1);
    assert_ne!(send(&mut pair.listener, 2), rebound);
    pair.listener.renegotiate(later, agreed());
    send(&mut pair.listener, 3);
    assert_eq!(send(&mut pair.listener, 4), rebound);
}

#[test]
fn nothing_is_sent_to_nowhere() {
    let start = Instant::now();
    let remote = "0.0.0.0:4000".parse().expect("address");
    let mut session = session(start, Agreed { remote, ..agreed() }, Rate::Narrow);
    assert_eq!(packets(&mut session, start), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever order up to 30 ms of jitter makes of the packets, and whatever comes twice: the ear
    /// gets exactly what the mouth said.
    #[test]
    fn shuffled_line_sounds_like_a_perfect_one(
        delays in prop::collection::vec((0u64..30, any::<bool>()), 100),
    ) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let source = PEER.parse().expect("address");
        let mut talker = session(start, agreed(), Rate::Narrow);
        let mut listener = session(start, agreed(), Rate::Narrow);

        let mut line = Vec::new();
        let mut said = Vec::new();
        for (n, (delay, twice)) in delays.into_iter().enumerate() {
            let frame = tone(Rate::Narrow, n as u32);
            said.extend_from_slice(frame.samples());
            let sent_at = n as u64 * 20;
            talker.push(at(sent_at), &frame);
            let packet = talker.poll_transmit().expect("a packet").1.to_vec();
            // The first two let the latch lock, and the third starts the buffer.
            let delay = if n < 3 { 0 } else { delay };
            line.extend(twice.then(|| (sent_at + delay + 3, packet.clone())));
            line.push((sent_at + delay, packet));
        }
        line.sort_by_key(|(arrives_at, _)| *arrives_at);
        let mut line = line.into_iter().peekable();

        let mut heard = Vec::new();
        for tick in 0..100 {
            let now = tick * 20 + 5;
            while let Some((arrives_at, packet)) = line.next_if(|(at, _)| *at <= now) {
                listener.handle_datagram(at(arrives_at), source, &packet);
            }
            heard.extend_from_slice(listener.pull(at(now)).samples());
        }
        let said = through_alaw(&said);
        let first = heard.iter().position(|&sample| sample != 0).expect("sound");
        let heard = &heard[first + 80..];
        prop_assert!(said.windows(heard.len()).any(|said| said == heard));
        prop_assert_eq!((listener.stats().late, listener.stats().concealed), (0, Duration::ZERO));
    }

    /// Whatever comes and whenever: a frame comes out every 20 ms, and nothing panics.
    #[test]
    fn no_datagrams_make_it_panic(
        datagrams in prop::collection::vec(
            (
                0u8..30,
                prop::sample::select(vec![0u8, 8, 13, 101, 0x88, 0xE5, 200]),
                any::<(u16, u32)>(),
                0u32..2,
                prop::collection::vec(any::<u8>(), 0..400),
                any::<bool>(),
            ),
            0..120,
        ),
        wide in any::<bool>(),
    ) {
        let start = Instant::now();
        let rate = if wide { Rate::Wide } else { Rate::Narrow };
        let mut session = session(start, agreed(), rate);
        let source = PEER.parse().expect("address");
        let (mut now, mut last, mut due) = (start, (0u16, 0u32), start);
        for (ms, payload_type, random, ssrc, payload, jumps) in datagrams {
            now += Duration::from_millis(ms.into());
            // Most streams are nearly in order, or nothing would be let in.
            last = if jumps { random } else { (last.0.wrapping_add(1), last.1.wrapping_add(160)) };
            let mut bytes = vec![0x80, payload_type];
            bytes.extend(last.0.to_be_bytes());
            bytes.extend(last.1.to_be_bytes());
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend(payload);
            session.handle_datagram(now, source, &bytes);
            while due <= now {
                prop_assert_eq!(session.pull(due).rate(), rate);
                session.push(due, &Frame::silence(rate));
                due += FRAME;
            }
        }
    }
}
