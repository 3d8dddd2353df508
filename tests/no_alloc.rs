//! A media tick never calls the allocator: not to take memory, and not to give it back.
//!
//! The allocator is counted for this thread only, since the test harness has others.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem::media::bridge::{Bridge, Inputs};
use tandem::media::codec::Codec;
use tandem::media::mouth::ClipId;
use tandem::media::offer::{Agreed, PayloadTypes};
use tandem::media::sdp::Direction;
use tandem::media::session::{Config, Session, StreamStart};
use tandem::media::{FRAME_TIME, Frame, Rate, Wiring};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down has no counter any more, and is not the one that we count.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A minute of a call between two legs and an agent who speaks, with losses, keys, hold and
/// rewiring.
#[test]
fn ticks_of_a_call_do_not_allocate() {
    for rate in [Rate::Narrow, Rate::Wide] {
        let start = Instant::now();
        let address: SocketAddr = "192.0.2.1:4000".parse().expect("address");
        let mut phone = session(start, address, Rate::Narrow);
        let mut caller = session(start, address, rate);
        let mut human = session(start, address, rate);
        let hold: Arc<[i16]> = vec![500; 4000].into();
        let mut bridge = Bridge::new(rate, Wiring::CONVERSING, Some(hold));
        let clips: Vec<Arc<[i16]>> = (0..50).map(|_| vec![1000; 3000].into()).collect();
        let mut spent = Vec::with_capacity(clips.len());
        let voice = Frame::from_samples(Rate::Narrow, &[700; 160]);

        let before = CALLS.get();
        for tick in 0..3000u32 {
            let now = start + FRAME_TIME * tick;
            phone.push(now, &voice);
            while let Some((_, packet)) = phone.poll_transmit() {
                if tick % 13 != 0 {
                    caller.handle_datagram(now, address, packet);
                    human.handle_datagram(now, address, packet);
                }
            }
            let (from_caller, from_human) = (caller.pull(now), human.pull(now));
            let out = bridge.tick(Inputs { caller: Some(&from_caller), human: Some(&from_human) });
            caller.push(now, &out.caller);
            human.push(now, &out.human);
            for session in [&mut caller, &mut human] {
                while session.poll_transmit().is_some() {}
                while session.poll_event().is_some() {}
            }
            while bridge.poll_event().is_some() {}
            spent.extend(std::iter::from_fn(|| bridge.poll_spent()));

            // What its call tells a worker comes between two ticks, and is held to the same.
            match tick % 60 {
                10 => assert!(
                    bridge.play(ClipId(tick.into()), Arc::clone(&clips[tick as usize / 60]))
                ),
                25 => bridge.stop(),
                30 => bridge.wire(Wiring::INTRODUCING),
                40 => assert!(phone.send_digits("1w2")),
                45 => caller.renegotiate(now, agreed(address, Direction::RecvOnly)),
                50 => caller.renegotiate(now, agreed(address, Direction::SendRecv)),
                55 => bridge.wire(Wiring::HOLDING),
                _ => (),
            }
        }
        assert_eq!(CALLS.get() - before, 0, "calls of the allocator at {rate:?}");
        assert!(caller.stats().lost > 100 && caller.stats().received > 2000, "nothing was tested");
    }
}

fn agreed(remote: SocketAddr, direction: Direction) -> Agreed {
    Agreed {
        codec: Codec::Pcma,
        payload: PayloadTypes { send: 8, receive: 8 },
        telephone_event: Some(PayloadTypes { send: 101, receive: 101 }),
        remote,
        direction,
        ptime: Duration::from_millis(20),
    }
}

fn session(now: Instant, remote: SocketAddr, rate: Rate) -> Session {
    let start = StreamStart { ssrc: 1, sequence: 1, timestamp: 1 };
    let agreed = agreed(remote, Direction::SendRecv);
    Session::new(now, Config { agreed, rate, start, silent_after: Duration::from_secs(10) })
}
