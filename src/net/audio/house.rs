//! Keeps house for a media worker: frees what the worker has no more use for, and publishes its
//! figures once a second, so that its tick need do neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::call::{Call, Leg};
use super::figures::Figures;
use super::lateness::Lateness;
use super::schedule::Class;
use crate::net::ring::{Reader, Writer, ring};

/// Room for what is to be freed. When the housekeeper is kept from running for so long that it fills,
/// the worker frees the rest itself.
const WASTE: usize = 1024;

/// How often figures are published.
const PUBLISH: Duration = Duration::from_secs(1);

/// The part of a worker's time above which it is overloaded: the kernel stops a real-time thread for
/// 50 ms after 950 ms in a second, so the alarm comes well before.
const LOAD_ALARM: f64 = 0.7;

/// What a worker has no more use for. Freeing memory and closing sockets is not done in a tick.
pub(super) enum Waste {
    /// The samples of a clip that is over.
    Clip(#[expect(dead_code, reason = "only dropped")] Arc<[i16]>),
    /// A leg that was removed, with its socket.
    Leg(#[expect(dead_code, reason = "only dropped")] Box<Leg>),
    /// A call that was closed, with the legs that were left.
    Call(#[expect(dead_code, reason = "only dropped")] Box<Call>),
}

/// Starts the task that keeps house for a worker. It ends when the worker has gone.
pub(super) fn spawn(worker: usize, figures: Arc<Figures>) -> Writer<Waste> {
    let (writer, waste) = ring(WASTE);
    tokio::spawn(keep(waste, Publisher::new(worker, figures)));
    writer
}

async fn keep(mut waste: Reader<Waste>, mut publisher: Publisher) {
    let mut beat = tokio::time::interval(PUBLISH);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // The order is fixed, so that a run in the simulation follows from its seed.
        tokio::select! {
            biased;
            _ = beat.tick() => publisher.publish(),
            gone = waste.next() => match gone {
                Some(gone) => drop(gone),
                None => break,
            },
        }
    }
    publisher.publish();
}

/// Which figure a counter shows.
type Pick = fn(&Figures) -> &AtomicU64;

/// Writes a worker's figures to the metrics.
struct Publisher {
    worker: String,
    figures: Arc<Figures>,
    counters: Vec<(Counter, Pick)>,
    calls: Gauge,
    legs: Gauge,
    load: Gauge,
    late: Histogram,
    late_before: Lateness,
    skipped_before: u64,
    busy_before: u64,
    overloaded: bool,
}

impl Publisher {
    fn new(number: usize, figures: Arc<Figures>) -> Self {
        let worker = number.to_string();
        let counter = |name: &'static str| counter!(name, "worker" => worker.clone());
        let counters: Vec<(Counter, Pick)> = vec![
            (counter("media_packets_received_total"), |figures| &figures.received),
            (counter("media_packets_sent_total"), |figures| &figures.sent),
            (counter("media_send_failures_total"), |figures| &figures.send_failures),
            (counter("media_heard_lost_total"), |figures| &figures.heard_lost),
            (counter("media_events_lost_total"), |figures| &figures.events_lost),
            (counter("media_digits_refused_total"), |figures| &figures.digits_refused),
            (counter("media_commands_lost_total"), |figures| &figures.commands_lost),
            (counter("media_frames_skipped_total"), |figures| &figures.skipped),
        ];
        Publisher {
            figures,
            counters,
            calls: gauge!("media_calls", "worker" => worker.clone()),
            legs: gauge!("media_streams", "worker" => worker.clone()),
            load: gauge!("media_load_ratio", "worker" => worker.clone()),
            late: histogram!("media_late_seconds", "worker" => worker.clone()),
            late_before: Lateness::default(),
            skipped_before: 0,
            busy_before: 0,
            overloaded: false,
            worker,
        }
    }

    fn publish(&mut self) {
        for (counter, figure) in &self.counters {
            counter.absolute(figure(&self.figures).load(Ordering::Relaxed));
        }
        self.calls.set(self.figures.calls() as f64);
        self.legs.set(self.figures.legs.load(Ordering::Relaxed) as i64 as f64);
        self.publish_lateness();
        self.publish_load();
        self.publish_class();
    }

    fn publish_lateness(&mut self) {
        let late = self.figures.late.read();
        for (late, count) in late.since(&self.late_before) {
            self.late.record_many(late.as_secs_f64(), count as usize);
        }
        self.late_before = late;
        let skipped = self.figures.skipped.load(Ordering::Relaxed);
        let frames = skipped - self.skipped_before;
        if frames > 0 {
            warn!(worker = self.worker, frames, "the media thread stood still: audio has gaps");
        }
        self.skipped_before = skipped;
    }

    fn publish_load(&mut self) {
        let busy = self.figures.busy_nanos.load(Ordering::Relaxed);
        let load = (busy - self.busy_before) as f64 / PUBLISH.as_nanos() as f64;
        self.busy_before = busy;
        self.load.set(load);
        let overloaded = load > LOAD_ALARM;
        if overloaded && !self.overloaded {
            warn!(worker = self.worker, load, "the media thread is overloaded");
        }
        self.overloaded = overloaded;
    }

    fn publish_class(&self) {
        let granted = self.figures.class.load(Ordering::Relaxed);
        for class in [Class::Fifo, Class::Nice, Class::Normal] {
            let name = class.to_string();
            let is_it = granted == class as u64 + 1;
            gauge!("media_scheduling", "worker" => self.worker.clone(), "class" => name)
                .set(if is_it { 1.0 } else { 0.0 });
        }
    }
}
