//! From the peer's packets to frames of the call.

use std::time::{Duration, Instant};

use super::super::codec::{Codec, Decoder};
use super::super::conceal::Concealer;
use super::super::jitter::{Jitter, Steer, Take};
use super::super::resample::Doubler;
use super::super::rtp::Packet;
use super::super::{FRAME_SAMPLES_MAX, Frame, Rate};

/// A frame whose samples are this small on average is quiet: nobody hears a little more or less of
/// it. About 45 dB below the loudest.
const QUIET: u32 = 180;

/// One direction of a session.
#[derive(Debug)]
pub(super) struct Incoming {
    rate: Rate,
    codec: Codec,
    jitter: Jitter,
    decoder: Decoder,
    concealer: Concealer,
    doubler: Doubler,
    /// Decoded, and not yet pulled: less than a frame, since packets need not be frames.
    ready: [i16; 2 * FRAME_SAMPLES_MAX],
    ready_len: usize,
    quiet: bool,
    concealed: Duration,
    /// Of the codecs before this one.
    late_before: u64,
}

impl Incoming {
    pub(super) fn new(now: Instant, codec: Codec, rate: Rate) -> Self {
        Incoming {
            rate,
            codec,
            jitter: Jitter::new(now, codec),
            decoder: Decoder::new(codec),
            concealer: Concealer::new(codec.rate()),
            doubler: Doubler::default(),
            ready: [0; 2 * FRAME_SAMPLES_MAX],
            ready_len: 0,
            quiet: true,
            concealed: Duration::ZERO,
            late_before: 0,
        }
    }

    pub(super) fn insert(&mut self, now: Instant, packet: &Packet<'_>) {
        self.jitter.insert(now, packet);
    }

    pub(super) fn pause(&mut self, packet: &Packet<'_>) {
        self.jitter.pause(packet);
    }

    /// The peer speaks another codec from now on.
    pub(super) fn switch(&mut self, now: Instant, codec: Codec) {
        let (concealed, late) = (self.concealed, self.late());
        *self = Incoming { concealed, late_before: late, ..Incoming::new(now, codec, self.rate) };
    }

    /// The next 20 ms.
    pub(super) fn pull(&mut self, now: Instant) -> Frame {
        let len = self.codec.rate().frame_samples();
        match self.jitter.steer(now, self.codec.units_of(self.ready_len), self.quiet) {
            Steer::Keep => (),
            Steer::Hold => self.conceal(len),
            Steer::Skipped => self.concealer.break_off(),
        }
        while self.ready_len < len {
            self.take(len);
        }

        let samples = &self.ready[..len];
        self.quiet = is_quiet(samples);
        let mut frame = Frame::from_samples(self.codec.rate(), samples);
        self.ready.copy_within(len..self.ready_len, 0);
        self.ready_len -= len;

        if self.rate != self.codec.rate() {
            let mut doubled = Frame::silence(self.rate);
            self.doubler.double(frame.samples(), doubled.samples_mut());
            frame = doubled;
        }
        frame
    }

    /// Makes more samples ready, at most a frame.
    fn take(&mut self, frame_len: usize) {
        let rest = &mut self.ready[self.ready_len..];
        let more = match self.jitter.take() {
            Take::Payload(payload) => {
                let len = self.decoder.decode(payload, rest);
                self.concealer.hear(&mut rest[..len]);
                len
            }
            Take::Lost(units) => {
                let len = self.codec.samples_of(units).min(frame_len);
                return self.conceal(len);
            }
            Take::Pause(units) => {
                let len = self.codec.samples_of(units).min(frame_len);
                self.concealer.rest(&mut rest[..len]);
                len
            }
            Take::Idle => {
                let len = frame_len - self.ready_len;
                self.concealer.rest(&mut rest[..len]);
                len
            }
        };
        self.ready_len += more;
    }

    fn conceal(&mut self, len: usize) {
        self.concealer.conceal(&mut self.ready[self.ready_len..][..len]);
        self.ready_len += len;
        self.concealed += Duration::from_secs(1) * len as u32 / self.codec.rate().hertz();
    }

    pub(super) fn late(&self) -> u64 {
        self.late_before + self.jitter.late()
    }

    pub(super) fn concealed(&self) -> Duration {
        self.concealed
    }

    pub(super) fn depth(&self) -> Duration {
        self.jitter.depth()
    }
}

fn is_quiet(samples: &[i16]) -> bool {
    let sum: u32 = samples.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
    sum <= QUIET * samples.len() as u32
}
