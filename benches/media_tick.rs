//! What 20 ms of media cost: one leg, and a whole call of two legs and an agent.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tandem::media::bridge::{Bridge, Inputs};
use tandem::media::codec::Codec;
use tandem::media::conceal::Concealer;
use tandem::media::mouth::ClipId;
use tandem::media::offer::{Agreed, PayloadTypes};
use tandem::media::sdp::Direction;
use tandem::media::session::{Config, Session, StreamStart};
use tandem::media::{FRAME_TIME, Frame, Rate, Wiring};

const PEER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 4000);

fn session(now: Instant, rate: Rate) -> Session {
    let agreed = Agreed {
        codec: Codec::Pcma,
        payload: PayloadTypes { send: 8, receive: 8 },
        telephone_event: Some(PayloadTypes { send: 101, receive: 101 }),
        remote: PEER,
        direction: Direction::SendRecv,
        ptime: Duration::from_millis(20),
    };
    let start = StreamStart { ssrc: 1, sequence: 1, timestamp: 1 };
    Session::new(now, Config { agreed, rate, start, silent_after: Duration::from_secs(10) })
}

/// A voice that is not silence: the concealer searches its pitch.
fn voice(rate: Rate) -> Frame {
    let samples: Vec<i16> = (0..rate.frame_samples()).map(|n| (n as i16 % 57 - 28) * 200).collect();
    Frame::from_samples(rate, &samples)
}

/// A leg that hears itself: one packet sent, one received, one frame each way. One in `lost_one_in`
/// is lost.
fn leg(criterion: &mut Criterion, name: &str, rate: Rate, lost_one_in: u32) {
    let start = Instant::now();
    let mut session = session(start, rate);
    let voice = voice(rate);
    let mut packet = Vec::with_capacity(200);
    let mut tick = 0;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let now = start + FRAME_TIME * tick;
            session.push(now, black_box(&voice));
            packet.clear();
            if let Some((_, bytes)) = session.poll_transmit() {
                packet.extend_from_slice(bytes);
            }
            if tick % lost_one_in != 1 {
                session.handle_datagram(now, PEER, &packet);
            }
            tick += 1;
            black_box(session.pull(now))
        });
    });
}

/// Two legs, the bridge between them and an agent who speaks.
fn call(criterion: &mut Criterion) {
    let start = Instant::now();
    let rate = Rate::Narrow;
    let mut legs = [session(start, rate), session(start, rate)];
    let mut bridge = Bridge::new(rate, Wiring::INTRODUCING, None);
    let clip: Arc<[i16]> = vec![1000; 8000].into();
    let mut packet = Vec::with_capacity(200);
    let mut tick = 0;
    criterion.bench_function("call of two legs and an agent, 20 ms", |bencher| {
        bencher.iter(|| {
            let now = start + FRAME_TIME * tick;
            if tick % 50 == 0 {
                bridge.play(ClipId(tick.into()), Arc::clone(&clip));
            }
            tick += 1;
            let [caller, human] = legs.each_mut().map(|leg| leg.pull(now));
            let out = bridge.tick(Inputs { caller: Some(&caller), human: Some(&human) });
            for (leg, frame) in legs.iter_mut().zip([&out.caller, &out.human]) {
                leg.push(now, frame);
                packet.clear();
                if let Some((_, bytes)) = leg.poll_transmit() {
                    packet.extend_from_slice(bytes);
                }
                leg.handle_datagram(now, PEER, &packet);
            }
            while bridge.poll_event().is_some() {}
            while bridge.poll_spent().is_some() {}
            black_box(out)
        });
    });
}

/// A frame that is heard and one that is made up for it, in turn: the pitch is searched each time.
fn conceal(criterion: &mut Criterion) {
    let voice = voice(Rate::Narrow);
    let mut concealer = Concealer::new(Rate::Narrow);
    criterion.bench_function("one frame heard and one concealed", |bencher| {
        bencher.iter(|| {
            let mut frame = voice;
            concealer.hear(frame.samples_mut());
            concealer.conceal(frame.samples_mut());
            black_box(frame)
        });
    });
}

fn media(criterion: &mut Criterion) {
    leg(criterion, "leg, 20 ms", Rate::Narrow, u32::MAX);
    leg(criterion, "leg with 3 % loss, 20 ms", Rate::Narrow, 33);
    leg(criterion, "narrow leg of a wide call, 20 ms", Rate::Wide, u32::MAX);
    conceal(criterion);
    call(criterion);
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = media
}
criterion_main!(benches);
