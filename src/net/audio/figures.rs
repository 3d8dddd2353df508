//! The figures of a media worker: counted plainly in its tick, and shared as atomics after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::lateness;
use super::schedule::Class;

/// What a worker counts in its tick, without atomics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Legs added, less those removed.
    pub(super) legs: i64,
    /// Datagrams that came.
    pub(super) received: u64,
    sent: u64,
    send_failures: u64,
    heard_lost: u64,
    events_lost: u64,
    digits_refused: u64,
}

impl Counts {
    pub(super) fn sent(&mut self, left: bool) {
        *(if left { &mut self.sent } else { &mut self.send_failures }) += 1;
    }

    pub(super) fn heard(&mut self, taken: bool) {
        self.heard_lost += u64::from(!taken);
    }

    pub(super) fn told(&mut self, taken: bool) {
        self.events_lost += u64::from(!taken);
    }

    pub(super) fn digits(&mut self, taken: bool) {
        self.digits_refused += u64::from(!taken);
    }
}

/// The figures of a worker since its start.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) late: lateness::Histogram,
    calls: AtomicU64,
    /// May go below zero for a moment in between; wraps.
    pub(super) legs: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) send_failures: AtomicU64,
    pub(super) heard_lost: AtomicU64,
    pub(super) events_lost: AtomicU64,
    pub(super) digits_refused: AtomicU64,
    pub(super) commands_lost: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) busy_nanos: AtomicU64,
    /// 0: not known yet; else the class, counted from 1.
    pub(super) class: AtomicU64,
}

impl Figures {
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn call_opened(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn call_closed(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn command_lost(&self) {
        self.commands_lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, frames: u32) {
        if frames > 0 {
            self.skipped.fetch_add(u64::from(frames), Ordering::Relaxed);
        }
    }

    pub(super) fn busy(&self, time: Duration) {
        self.busy_nanos.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn scheduled(&self, class: Class) {
        self.class.store(class as u64 + 1, Ordering::Relaxed);
    }

    /// Takes over what was counted since the last time.
    pub(super) fn add(&self, counts: &mut Counts) {
        let Counts { legs, received, sent, send_failures, heard_lost, events_lost, digits_refused } =
            std::mem::take(counts);
        for (figure, count) in [
            (&self.legs, legs as u64),
            (&self.received, received),
            (&self.sent, sent),
            (&self.send_failures, send_failures),
            (&self.heard_lost, heard_lost),
            (&self.events_lost, events_lost),
            (&self.digits_refused, digits_refused),
        ] {
            if count != 0 {
                figure.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}
