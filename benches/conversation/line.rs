//! The caller's end of a call's RTP: a packet every 20 ms by the real clock, and a note of each that comes.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tandem::media::FRAME_TIME;
use tandem::media::codec::g711::{ULAW, encode_ulaw};
use tandem::media::rtp::{Datagram, Packet, Stream};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::recordings::{HERTZ, Recording};

/// Samples of a packet.
const FRAME: usize = HERTZ / 50;

/// The payload type of µ-law (RFC 3551 §6).
const PCMU: u8 = 0;

/// The mean level from which a packet has a voice in it: 44 dB below the loudest. A silent agent sends
/// zeros.
const VOICE_LEVEL: u32 = 200;

/// A word has a voice in so many packets of so many.
const WORD_VOICED: usize = 3;
const WORD: usize = 5;

/// A pacer that is later than this was held up by the machine, and what it measured is worth nothing.
const LATE_MAX: Duration = Duration::from_millis(200);

/// How often it is looked whether a line is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A low real-time priority, as the program's own media threads have.
const PHONE_PRIORITY: u8 = 10;

/// Does something on a thread that the system lets run whenever it wants to, if it may: a phone has a
/// processor of its own. Its threads are as urgent, and so are its processes, so it starts none.
pub fn as_a_phone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let urgently = || {
        let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        let priority = ThreadPriorityValue::try_from(PHONE_PRIORITY).expect("at most 99");
        let priority = ThreadPriority::Crossplatform(priority);
        // Without the right to it, this needs a machine with little else to do.
        set_thread_priority_and_policy(thread_native_id(), priority, fifo).ok();
        work()
    };
    thread::scope(|scope| scope.spawn(urgently).join().expect("a phone does not panic"))
}

/// One call's RTP.
pub struct Line {
    socket: UdpSocket,
    peer: SocketAddr,
    stream: Stream,
    due: Instant,
    ear: Ear,
}

/// The thread that notes what comes.
struct Ear {
    heard: Arc<Mutex<Vec<Heard>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A packet that came.
#[derive(Clone, Copy)]
struct Heard {
    at: Instant,
    is_voice: bool,
}

/// When the voice of something that was played began and ended: when the packets left that have its first
/// and its last sample.
#[derive(Clone, Copy, Debug)]
pub struct Spoken {
    pub began: Instant,
    pub ended: Instant,
}

impl Line {
    /// The RTP between this socket and that peer, from now on.
    pub fn new(socket: UdpSocket, peer: SocketAddr) -> Result<Self> {
        let stream = Stream::new(std::process::id(), 0, 0);
        let ear = Ear::open(socket.try_clone()?)?;
        Ok(Line { socket, peer, stream, due: Instant::now(), ear })
    }

    /// Says a recording to its end.
    pub fn say(&mut self, recording: &Recording) -> Result<Spoken> {
        let (mut began, mut ended) = (None, None);
        for (n, frame) in recording.samples.chunks(FRAME).enumerate() {
            let (from, to) = (n * FRAME, n * FRAME + frame.len());
            let left = self.pass(frame)?;
            if recording.voice.start < to {
                began.get_or_insert(left);
            }
            if from < recording.voice.end {
                ended = Some(left);
            }
        }
        let (Some(began), Some(ended)) = (began, ended) else { anyhow::bail!("nothing was said") };
        Ok(Spoken { began, ended })
    }

    /// Plays something that is no speech.
    pub fn play(&mut self, samples: &[i16]) -> Result<()> {
        samples.chunks(FRAME).try_for_each(|frame| self.pass(frame).map(drop))
    }

    /// Is silent for so long.
    pub fn wait(&mut self, time: Duration) -> Result<()> {
        let frames = time.as_millis() / FRAME_TIME.as_millis();
        (0..frames).try_for_each(|_| self.pass(&[]).map(drop))
    }

    /// Is silent until `look` finds something on the line; `None` when it does not in time.
    pub fn wait_for<T>(
        &mut self,
        patience: Duration,
        look: impl Fn(&Self) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(found) = look(self) {
                return Ok(Some(found));
            }
            self.pass(&[])?;
        }
        Ok(None)
    }

    /// When the first sound came after `since`, whatever it is.
    pub fn first_sound(&self, since: Instant) -> Option<Instant> {
        self.after(since).iter().find(|heard| heard.is_voice).map(|heard| heard.at)
    }

    /// When the first word came after `since`: a voice that goes on.
    pub fn first_word(&self, since: Instant) -> Option<Instant> {
        let heard = self.after(since);
        let is_word =
            |word: &&[Heard]| word.iter().filter(|heard| heard.is_voice).count() >= WORD_VOICED;
        let word = heard.windows(WORD).filter(|word| word[0].is_voice).find(is_word)?;
        Some(word[0].at)
    }

    /// When the last voice came of what sounded at `since`, once silence has followed it for so long. `since`
    /// itself, if nothing sounded.
    pub fn fell_silent(&self, since: Instant, silence: Duration) -> Option<Instant> {
        let mut last = since;
        for heard in self.after(since) {
            if heard.at - last >= silence {
                return Some(last);
            }
            if heard.is_voice {
                last = heard.at;
            }
        }
        None
    }

    fn after(&self, since: Instant) -> Vec<Heard> {
        let heard = self.ear.heard.lock().expect("nobody panics with it");
        let first = heard.partition_point(|heard| heard.at <= since);
        heard[first..].to_vec()
    }

    /// 20 ms: sends a packet, with silence for what is not there, and waits until the next one is due. Returns
    /// when it left.
    fn pass(&mut self, samples: &[i16]) -> Result<Instant> {
        let timestamp = self.stream.timestamp();
        let mut packet = self.stream.sound(PCMU, timestamp).to_vec();
        packet.extend(samples.iter().map(|&sample| encode_ulaw(sample)));
        packet.resize(packet.len() + FRAME - samples.len(), encode_ulaw(0));
        self.stream.advance(FRAME as u32);

        let left = Instant::now();
        ensure!(left < self.due + LATE_MAX, "this machine is too busy to measure anything on");
        self.socket.send_to(&packet, self.peer)?;
        self.due += FRAME_TIME;
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
        Ok(left)
    }
}

impl Ear {
    fn open(socket: UdpSocket) -> Result<Self> {
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        let (heard, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (notes, stop) = (Arc::clone(&heard), is_over.clone());
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                listen(&socket, &notes);
            }
        });
        Ok(Ear { heard, is_over, thread: Some(thread) })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it would have panicked with has been told.
            let _ = thread.join();
        }
    }
}

/// Takes a packet, or nothing for a while.
fn listen(socket: &UdpSocket, heard: &Mutex<Vec<Heard>>) {
    let mut bytes = [0; 1500];
    let Ok(length) = socket.recv(&mut bytes) else { return };
    let at = Instant::now();
    if let Datagram::Rtp(packet) = Datagram::parse(&bytes[..length]) {
        let is_voice = is_voice(&packet);
        heard.lock().expect("nobody panics with it").push(Heard { at, is_voice });
    }
}

fn is_voice(packet: &Packet<'_>) -> bool {
    let sum: u32 =
        packet.payload.iter().map(|&code| u32::from(ULAW[usize::from(code)].unsigned_abs())).sum();
    packet.payload_type == PCMU && sum > VOICE_LEVEL * packet.payload.len() as u32
}
