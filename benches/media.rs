//! How many G.711 streams a media thread carries, and how evenly their packets leave.
//!
//! ```text
//! cargo bench --bench media -- --streams 400 --secs 10 --json target/bench/media.json
//! ```
//!
//! Everything is real: a media thread, its sockets, packets over loopback both ways. The pace is taken
//! where a packet is handed to the socket: the gap to the one before it in its stream, less 20 ms. The
//! delay of a bridged call is that of sound: once a second a caller says something loud, and what counts is
//! when it leaves towards the other side, jitter buffer and mixing included. The
//! cost is the time that the kernel says the media thread has had, which is the thread's alone: the
//! phones at the other end run on a thread of their own, and compete for the same cores.

#![allow(missing_docs, clippy::print_stdout)]

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use common::report::{self, quantile};
use tandem::ids::LegId;
use tandem::media::codec::Codec;
use tandem::media::offer::{Agreed, PayloadTypes};
use tandem::media::sdp::Direction;
use tandem::media::session::{Config, Session, StreamStart};
use tandem::media::{FRAME_TIME, Rate, Wiring};
use tandem::net::audio::{Audio, ClipId};
use tandem::net::udp::Udp;
use tandem::net::{MediaSocket, Network};

/// What the first second brings (page faults, cold caches) is not what a server sees.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Parser)]
struct Args {
    /// Streams at once: callers who talk with the agent, and then as many legs in bridged calls.
    #[arg(long, default_value_t = 200)]
    streams: usize,
    /// How long each part is measured.
    #[arg(long, default_value_t = 5)]
    secs: u64,
    /// Where to write the figures.
    #[arg(long, default_value = "target/bench/media.json")]
    json: std::path::PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.streams >= 2 && args.secs > 0, "nothing to measure: at least 2 streams, 1 second");
    let time = Duration::from_secs(args.secs);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();

    let talking = measure(args.streams, Wiring::CONVERSING, 1, time)?;
    let bridged = measure(args.streams, Wiring::BRIDGED, 2, time)?;

    println!("{:>28} {:>12} {:>12}", "", "terminated", "bridged");
    let row = |name: &str, figure: fn(&Measured) -> f64| {
        let [talking, bridged] =
            [&talking, &bridged].map(|measured| report::shown(figure(measured)));
        println!("{name:>28} {talking:>12} {bridged:>12}");
    };
    row("streams", |measured| measured.streams as f64);
    row("load of the thread, %", |measured| measured.load * 100.0);
    row("cpu per stream's frame, µs", Measured::frame_micros);
    row("pacing error p50, ms", |measured| measured.pacing_millis(0.50));
    row("pacing error p99, ms", |measured| measured.pacing_millis(0.99));
    row("pacing error max, ms", |measured| measured.pacing_millis(1.0));
    row("memory per call, KiB", |measured| measured.kib_per_call);

    row("delay of sound p50, ms", |measured| quantile(&measured.delays, 0.50) / 1000.0);
    row("delay of sound p99, ms", |measured| quantile(&measured.delays, 0.99) / 1000.0);

    let calls = bridged.streams as f64 / 2.0;
    report::write(
        &args.json,
        &[
            ("streams", talking.streams as f64),
            ("streams_per_core", (talking.streams as f64 / talking.load).round()),
            ("frame_cpu_us", talking.frame_micros()),
            ("pacing_ms_p50", talking.pacing_millis(0.50)),
            ("pacing_ms_p99", talking.pacing_millis(0.99)),
            ("pacing_ms_max", talking.pacing_millis(1.0)),
            ("relay_cpu_pct_per_100_calls", bridged.load * 100.0 / calls * 100.0),
            ("relay_delay_us_p50", quantile(&bridged.delays, 0.50)),
            ("relay_delay_us_p99", quantile(&bridged.delays, 0.99)),
            ("kib_per_bridged_call", bridged.kib_per_call),
        ],
    )
}

struct Measured {
    streams: usize,
    /// The part of one core that the media thread had.
    load: f64,
    /// How far each gap was from 20 ms, in microseconds, sorted.
    errors: Vec<u32>,
    /// From a caller's mouth to the other side's wire, in microseconds, sorted.
    delays: Vec<u32>,
    kib_per_call: f64,
}

impl Measured {
    fn frame_micros(&self) -> f64 {
        self.load * FRAME_TIME.as_micros() as f64 / self.streams as f64
    }

    fn pacing_millis(&self, part: f64) -> f64 {
        quantile(&self.errors, part) / 1000.0
    }
}

/// Runs calls of `legs` legs each until there are `streams`, and measures them for `time`.
fn measure(streams: usize, wiring: Wiring, legs: usize, time: Duration) -> Result<Measured> {
    let audio = Audio::spawn_threads(1)?;
    let far = UdpSocket::bind("127.0.0.1:0")?;
    far.set_nonblocking(true)?;
    let notes = Arc::new(Mutex::new(Notes::default()));
    let clock = Instant::now();
    let speech = speech(time + WARM_UP * 5);
    let memory = resident_kib()?;

    let mut calls = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..streams / legs {
        let (call, mut ears) = audio.open_call(Rate::Narrow, wiring, None)?;
        tokio::spawn(async move { while ears.heard.next().await.is_some() {} });
        let said_at = Arc::new(AtomicU64::new(0));
        for leg in [LegId::Caller, LegId::Human(0)].into_iter().take(legs) {
            let (socket, address) = Paced::open(leg, clock, &said_at, &notes, time)?;
            call.add_leg(leg, session(far.local_addr()?, address.port()), Box::new(socket));
            let says = (leg == LegId::Caller).then(|| said_at.clone());
            targets.push(Target { address, says });
        }
        call.play(ClipId(0), speech.clone());
        calls.push(call);
        // A worker's inbox has room for some hundred calls at once, no more.
        std::thread::sleep(Duration::from_millis(1));
    }

    let phones = Phones::start(far, targets, clock);
    std::thread::sleep(WARM_UP);
    let kib_per_call = (resident_kib()? - memory) / calls.len() as f64;
    let (cpu, start) = (thread_time("media-0")?, Instant::now());
    std::thread::sleep(time);
    let load = (thread_time("media-0")? - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    phones.stop();

    drop((calls, audio));
    // The sockets hand in their notes when they are closed, off the media thread.
    std::thread::sleep(Duration::from_millis(500));
    let mut notes = std::mem::take(&mut *notes.lock().expect("nobody panics with it"));
    notes.errors.sort_unstable();
    notes.delays.sort_unstable();
    let Notes { errors, delays } = notes;
    Ok(Measured { streams: streams / legs * legs, load, errors, delays, kib_per_call })
}

fn session(remote: SocketAddr, ssrc: u16) -> Session {
    let agreed = Agreed {
        codec: Codec::Pcmu,
        payload: PayloadTypes { send: 0, receive: 0 },
        telephone_event: None,
        remote,
        direction: Direction::SendRecv,
        ptime: FRAME_TIME,
    };
    let start = StreamStart { ssrc: ssrc.into(), sequence: 0, timestamp: 0 };
    let silent_after = Duration::from_secs(60);
    Session::new(Instant::now(), Config { agreed, rate: Rate::Narrow, start, silent_after })
}

/// A media socket that notes when packets are handed to it, and hears what is loud.
struct Paced {
    socket: Box<dyn MediaSocket>,
    clock: Instant,
    /// When the other side of the call said something loud, in microseconds of the clock; 0: it did not.
    hears: Option<Arc<AtomicU64>>,
    last: Cell<Option<Instant>>,
    notes: RefCell<Notes>,
    all: Arc<Mutex<Notes>>,
}

/// What sockets note, in microseconds.
#[derive(Default)]
struct Notes {
    errors: Vec<u32>,
    delays: Vec<u32>,
}

impl Paced {
    fn open(
        leg: LegId,
        clock: Instant,
        said_at: &Arc<AtomicU64>,
        all: &Arc<Mutex<Notes>>,
        time: Duration,
    ) -> Result<(Self, SocketAddr)> {
        let socket = Udp.bind_media("127.0.0.1:0".parse()?)?;
        let address = socket.local_addr();
        let frames = (time + WARM_UP * 10).as_millis() / FRAME_TIME.as_millis();
        let errors = Vec::with_capacity(frames as usize);
        let delays = Vec::with_capacity(errors.capacity() / 50);
        let hears = (leg != LegId::Caller).then(|| said_at.clone());
        let notes = RefCell::new(Notes { errors, delays });
        let (last, all) = (Cell::new(None), all.clone());
        Ok((Paced { socket, clock, hears, last, notes, all }, address))
    }

    fn note(&self, bytes: &[u8]) {
        let (now, mut notes) = (Instant::now(), self.notes.borrow_mut());
        if let Some(last) = self.last.replace(Some(now)) {
            push(&mut notes.errors, (now - last).abs_diff(FRAME_TIME));
        }
        let Some(hears) = self.hears.as_ref().filter(|_| is_loud(bytes)) else { return };
        let said_at = Duration::from_micros(hears.swap(0, Ordering::Relaxed));
        if !said_at.is_zero() {
            push(&mut notes.delays, now - self.clock - said_at);
        }
    }
}

/// The room was made beforehand: nothing is allocated in a tick.
fn push(values: &mut Vec<u32>, time: Duration) {
    if values.len() < values.capacity() {
        values.push(time.as_micros() as u32);
    }
}

impl MediaSocket for Paced {
    fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv(buf)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.note(bytes);
        self.socket.try_send(bytes, to)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        let Notes { errors, delays } = std::mem::take(self.notes.get_mut());
        let skip = (WARM_UP.as_millis() / FRAME_TIME.as_millis()) as usize;
        let mut all = self.all.lock().expect("nobody panics with it");
        all.errors.extend(errors.iter().skip(skip));
        all.delays.extend(delays);
    }
}

/// One stream's socket at our side, and where its phone notes when it said something loud.
struct Target {
    address: SocketAddr,
    says: Option<Arc<AtomicU64>>,
}

/// The far ends of all streams, on a thread: each sends a packet every 20 ms, and takes what comes.
struct Phones {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Phones {
    fn start(socket: UdpSocket, targets: Vec<Target>, clock: Instant) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = std::thread::spawn(move || talk(&socket, &targets, clock, &is_over));
        Phones { over, thread }
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the phones do not panic");
    }
}

fn talk(socket: &UdpSocket, targets: &[Target], clock: Instant, is_over: &AtomicBool) {
    let mut buf = [0; 1500];
    let mut deadline = Instant::now();
    for sequence in 0u16.. {
        let is_loud = sequence % 50 == 49;
        let [quiet, loud] = [QUIET, LOUD].map(|payload| packet(sequence, payload));
        // Spread over the frame, as real callers are.
        for part in targets.chunks(targets.len().div_ceil(20)) {
            for Target { address, says } in part {
                let says = says.as_ref().filter(|_| is_loud);
                if let Some(said_at) = says {
                    said_at.store(clock.elapsed().as_micros() as u64, Ordering::Relaxed);
                }
                // What the kernel does not take is lost, as on any network.
                socket.send_to(if says.is_some() { &loud } else { &quiet }, address).ok();
                while socket.recv_from(&mut buf).is_ok() {}
            }
            deadline += FRAME_TIME / 20;
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
        if is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// µ-law for silence, and for very loud.
const QUIET: u8 = 0xff;
const LOUD: u8 = 0x80;

fn packet(sequence: u16, payload: u8) -> [u8; 172] {
    let mut packet = [payload; 172];
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
    packet
}

fn is_loud(packet: &[u8]) -> bool {
    packet.get(92).is_some_and(|middle| middle & 0x7f < 0x20)
}

/// Something loud for the agent to say, for as long as it is listened to.
fn speech(time: Duration) -> Arc<[i16]> {
    (0..time.as_millis() as usize * 8).map(|n| ((n % 80) as i16 - 40) * 200).collect()
}

/// How long a thread of ours has run on a core so far.
fn thread_time(name: &str) -> Result<Duration> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            let times = std::fs::read_to_string(task.join("schedstat"))?;
            let nanos = times.split(' ').next().context("an empty schedstat")?.parse()?;
            return Ok(Duration::from_nanos(nanos));
        }
    }
    anyhow::bail!("no thread `{name}`")
}

fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("an empty VmRSS")?.parse()?)
}
