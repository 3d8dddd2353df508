//! What a media thread must never do in its tick, counted: allocate, and free.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;

use super::*;
use crate::net::audio::handle;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread how often it is called.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it came; a counter without a
// destructor may be touched at any time of a thread's life, and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Two legs, sound both ways, clips that begin, end and are stopped, keys, a listener that is stuck.
#[tokio::test(start_paused = true)]
async fn tick_neither_allocates_nor_frees() {
    let (WorkerHandle { inbox, figures }, mut worker) = make_worker(0);
    let wiring = Wiring::CONVERSING;
    let (call, mut ears) =
        handle::open(0, inbox, figures, Rate::Narrow, wiring, Some(vec![500; 8000].into()))
            .unwrap();
    for (leg, address) in [(LegId::Caller, CALLER), (LegId::Human(0), HUMAN)] {
        let remote = address.parse().unwrap();
        let socket = Canned { remote, sent: Cell::new(0), received: Cell::new(0) };
        assert!(call.add_leg(leg, session(remote), Box::new(socket)));
    }
    let clip: Arc<[i16]> = vec![9000; 1600].into();
    let start = now();

    let mut in_ticks = 0;
    for beat in 0..500u32 {
        match beat {
            50 | 60 | 350 => assert!(call.play(ClipId(beat.into()), clip.clone())),
            80 => assert!(call.wire(Wiring::INTRODUCING)),
            200 => assert!(call.wire(Wiring::HOLDING)),
            300 => assert!(call.wire(Wiring::BRIEFING)),
            352 => assert!(call.stop()),
            400 => assert!(call.send_digits(LegId::Human(0), "5#")),
            _ => (),
        }
        let at = start + beat * FRAME_TIME;
        worker.settle(at, 0);
        let before = CALLS.get();
        worker.tick(at, 0);
        in_ticks += CALLS.get() - before;
    }

    assert_eq!(in_ticks, 0);
    // All of that really happened.
    call.measure();
    worker.settle(start, 0);
    let events = std::iter::from_fn(|| ears.events.try_next());
    let received = events.filter_map(|event| match event {
        AudioEvent::Measured { stats, .. } => Some(stats.received),
        _ => None,
    });
    assert!(received.min().is_some_and(|least| least > 400));
    assert_eq!(std::iter::from_fn(|| ears.mouth.try_next()).count(), 6);
    assert!(ears.heard.lost() > 50);
}

/// A socket that has one packet for each tick, loud; every tenth is missing.
struct Canned {
    remote: SocketAddr,
    sent: Cell<u32>,
    received: Cell<u32>,
}

impl MediaSocket for Canned {
    fn local_addr(&self) -> SocketAddr {
        self.remote
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        // One for each packet that left: a packet a tick.
        let number = self.received.get();
        if number > self.sent.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.received.set(number + 1);
        if number % 10 == 9 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf[..172].fill(LOUD);
        buf[..2].copy_from_slice(&[0x80, 0]);
        buf[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        buf[4..8].copy_from_slice(&(number * 160).to_be_bytes());
        buf[8..12].copy_from_slice(&[1, 2, 3, 4]);
        Ok((172, self.remote))
    }

    fn try_send(&self, _bytes: &[u8], _to: SocketAddr) -> io::Result<()> {
        self.sent.set(self.sent.get() + 1);
        Ok(())
    }
}
