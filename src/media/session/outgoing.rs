//! From frames of the call to packets for the peer.

use std::time::{Duration, Instant};

use super::super::codec::{Codec, Encoder};
use super::super::dtmf::{EVENT_BYTES, Finger};
use super::super::offer::Agreed;
use super::super::resample::Halver;
use super::super::rtp::{HEADER_BYTES, Stream};
use super::super::{FRAME_SAMPLES_MAX, FRAME_TIME, Frame};
use super::StreamStart;

/// The most time that a packet carries, and its payload.
const PTIME_MAX: Duration = Duration::from_millis(60);
const PAYLOAD_BYTES_MAX: usize = 480;
/// Packets that one frame may complete: two of 10 ms.
const PACKETS_MAX: usize = 2;
/// Samples that wait for their packet to be full, and a frame more.
const WAITING_MAX: usize = 4 * FRAME_SAMPLES_MAX;

/// A driver that is late by less than this catches up, and its frames are one after the other for
/// the peer as well. One that is later has left a hole in time, and the timestamps tell of it.
const STALL: Duration = Duration::from_millis(60);

/// One direction of a session.
#[derive(Debug)]
pub(super) struct Outgoing {
    codec: Codec,
    stream: Stream,
    encoder: Encoder,
    halver: Halver,
    finger: Finger,
    /// The timestamp at which the key that is being pressed went down.
    pressed_at: u32,
    waiting: [i16; WAITING_MAX],
    waiting_len: usize,
    outbox: Outbox,
    /// When the next frame is due.
    due: Instant,
}

impl Outgoing {
    pub(super) fn new(now: Instant, codec: Codec, start: StreamStart) -> Self {
        Outgoing {
            codec,
            stream: Stream::new(start.ssrc, start.sequence, start.timestamp),
            encoder: Encoder::new(codec),
            halver: Halver::default(),
            finger: Finger::new(),
            pressed_at: 0,
            waiting: [0; WAITING_MAX],
            waiting_len: 0,
            outbox: Outbox::new(),
            due: now,
        }
    }

    pub(super) fn press(&mut self, keys: &str) -> bool {
        self.finger.press(keys)
    }

    /// We speak another codec, or in packets of another length, from now on: in the same stream.
    pub(super) fn switch(&mut self, codec: Codec) {
        self.codec = codec;
        self.encoder = Encoder::new(codec);
        self.pause();
    }

    /// 20 ms go to the peer: as a key, if one is being pressed, otherwise as sound.
    pub(super) fn send(&mut self, now: Instant, agreed: &Agreed, frame: &Frame) {
        self.begin(now);
        let units = self.frame_units();
        let event = agreed.telephone_event.and_then(|types| {
            // 20 ms of any clock up to 48 kHz fit in 16 bits many times over.
            Some((types.send, self.finger.tick(units as u16)?))
        });
        let Some((payload_type, event)) = event else {
            self.listen(frame);
            self.stream.advance(units);
            self.pack(agreed);
            return;
        };
        // A key takes the place of sound.
        self.pause();
        if event.first {
            self.pressed_at = self.stream.timestamp();
        }
        let header = self.stream.event(event.first, payload_type, self.pressed_at);
        self.stream.advance(units);
        self.outbox.put(header, |payload| {
            payload[..EVENT_BYTES].copy_from_slice(&event.payload);
            EVENT_BYTES
        });
    }

    /// 20 ms pass in which nothing may be sent.
    pub(super) fn skip(&mut self, now: Instant, frame: &Frame) {
        self.begin(now);
        // The filter's memory stays with the call, so that it does not click when the peer is back.
        self.listen(frame);
        self.pause();
        self.stream.advance(self.frame_units());
    }

    pub(super) fn poll(&mut self) -> Option<&[u8]> {
        self.outbox.poll()
    }

    pub(super) fn sent(&self) -> u64 {
        self.outbox.sent
    }

    /// A hole in time becomes one in the timestamps.
    fn begin(&mut self, now: Instant) {
        self.outbox.clear();
        let late = now.saturating_duration_since(self.due);
        if late > STALL {
            let frames = (late.as_millis() / FRAME_TIME.as_millis()).min(u32::MAX.into()) as u32;
            self.pause();
            self.stream.advance(frames.wrapping_mul(self.frame_units()));
            self.due = now;
        }
        self.due += FRAME_TIME;
    }

    /// What waits for its packet to be full is not sent; the next sound is the first after a pause.
    fn pause(&mut self) {
        self.waiting_len = 0;
        self.stream.mark();
    }

    /// Takes a frame at the rate of the codec.
    fn listen(&mut self, frame: &Frame) {
        let len = self.codec.rate().frame_samples();
        let place = &mut self.waiting[self.waiting_len..][..len];
        if frame.rate() == self.codec.rate() {
            place.copy_from_slice(frame.samples());
        } else {
            self.halver.halve(frame.samples(), place);
        }
        self.waiting_len += len;
    }

    /// Makes packets of the sound that waits, as many as are full.
    fn pack(&mut self, agreed: &Agreed) {
        let ptime = agreed.ptime.clamp(FRAME_TIME / 2, PTIME_MAX);
        let len = ptime.as_millis() as usize * self.codec.rate().hertz() as usize / 1000;
        let mut packed = 0;
        while self.waiting_len - packed >= len {
            let units = self.codec.units_of(self.waiting_len - packed);
            let timestamp = self.stream.timestamp().wrapping_sub(units);
            let header = self.stream.sound(agreed.payload.send, timestamp);
            let samples = &self.waiting[packed..packed + len];
            self.outbox.put(header, |payload| self.encoder.encode(samples, payload));
            packed += len;
        }
        self.waiting.copy_within(packed..self.waiting_len, 0);
        self.waiting_len -= packed;
    }

    fn frame_units(&self) -> u32 {
        self.codec.units_of(self.codec.rate().frame_samples())
    }
}

/// The packets of one tick.
#[derive(Debug)]
struct Outbox {
    packets: [OutPacket; PACKETS_MAX],
    ready: usize,
    polled: usize,
    /// Of all ticks.
    sent: u64,
}

#[derive(Clone, Copy, Debug)]
struct OutPacket {
    bytes: [u8; HEADER_BYTES + PAYLOAD_BYTES_MAX],
    len: usize,
}

impl Outbox {
    fn new() -> Self {
        let empty = OutPacket { bytes: [0; HEADER_BYTES + PAYLOAD_BYTES_MAX], len: 0 };
        Outbox { packets: [empty; PACKETS_MAX], ready: 0, polled: 0, sent: 0 }
    }

    /// Packets that nobody fetched are too old now.
    fn clear(&mut self) {
        (self.ready, self.polled) = (0, 0);
    }

    fn put(&mut self, header: [u8; HEADER_BYTES], fill: impl FnOnce(&mut [u8]) -> usize) {
        let Some(packet) = self.packets.get_mut(self.ready) else { return };
        packet.bytes[..HEADER_BYTES].copy_from_slice(&header);
        packet.len = HEADER_BYTES + fill(&mut packet.bytes[HEADER_BYTES..]);
        self.ready += 1;
        self.sent += 1;
    }

    fn poll(&mut self) -> Option<&[u8]> {
        let packet = self.packets[..self.ready].get(self.polled)?;
        self.polled += 1;
        Some(&packet.bytes[..packet.len])
    }
}
