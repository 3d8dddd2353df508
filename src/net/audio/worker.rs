//! A worker: the calls of one thread, and the two ways to run it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::mpsc;

use super::ClipId;
use super::beat::{Beat, PHASES};
use super::call::{Call, Leg, Workbench};
use super::figures::Figures;
use super::house::Waste;
use super::schedule;
use crate::ids::LegId;
use crate::media::Wiring;
use crate::media::offer::Agreed;
use crate::net::now;
use crate::net::ring::Writer;

/// Commands that are obeyed between two ticks; the rest waits 5 ms. A call is set up by some five.
const COMMANDS_PER_BEAT: usize = 128;

/// What a worker is told.
pub(super) enum Command {
    /// Takes a call in.
    Open(Box<Call>),
    /// Does something to the call with that number.
    Do(u64, Order),
}

/// What a call task wants done to its audio.
pub(super) enum Order {
    AddLeg(Box<Leg>),
    RemoveLeg(LegId),
    Renegotiate(LegId, Agreed),
    Wire(Wiring),
    Hold(Arc<[i16]>),
    Play(ClipId, Arc<[i16]>),
    Stop,
    SendDigits(LegId, Box<str>),
    Measure,
}

/// The calls of one thread. It reads no clock: a beat has a time and a phase.
pub(super) struct Worker {
    phases: [Vec<Call>; PHASES],
    inbox: mpsc::Receiver<Command>,
    bench: Workbench,
    figures: Arc<Figures>,
}

impl Worker {
    pub(super) fn new(
        inbox: mpsc::Receiver<Command>,
        waste: Writer<Waste>,
        figures: Arc<Figures>,
    ) -> Self {
        Worker { phases: Default::default(), inbox, bench: Workbench::new(waste), figures }
    }

    /// 20 ms of every call of one phase. No allocation, no lock, no log line.
    pub(super) fn tick(&mut self, now: Instant, phase: usize) {
        for call in &mut self.phases[phase] {
            call.tick(now, &mut self.bench);
        }
    }

    /// What can wait until the packets of a phase have left: wakes listeners, lets go of closed
    /// calls, obeys commands. Returns false when nobody is left who could command.
    pub(super) fn settle(&mut self, now: Instant, phase: usize) -> bool {
        self.let_go(phase);
        self.phases[phase].iter_mut().for_each(Call::wake);
        let alive = self.obey(now);
        self.bench.waste.wake();
        self.figures.add(&mut self.bench.counts);
        alive
    }

    /// Sends away the calls of a phase whose handles are gone.
    fn let_go(&mut self, phase: usize) {
        let calls = &mut self.phases[phase];
        let mut index = 0;
        while index < calls.len() {
            if calls[index].is_closed() {
                calls.swap_remove(index).close(&mut self.bench);
            } else {
                index += 1;
            }
        }
    }

    fn obey(&mut self, now: Instant) -> bool {
        // Not `try_recv`: that one waits for a sender which was stopped half-way through its send.
        let mut nobody = Context::from_waker(Waker::noop());
        for _ in 0..COMMANDS_PER_BEAT {
            match self.inbox.poll_recv(&mut nobody) {
                Poll::Ready(Some(Command::Open(call))) => {
                    self.phases[phase_of(call.number)].push(*call);
                }
                Poll::Ready(Some(Command::Do(number, order))) => self.order(now, number, order),
                Poll::Ready(None) => return self.phases.iter().any(|calls| !calls.is_empty()),
                Poll::Pending => return true,
            }
        }
        true
    }

    fn order(&mut self, now: Instant, number: u64, order: Order) {
        let mut calls = self.phases[phase_of(number)].iter_mut();
        // A call that is gone has dropped its handles, so nobody misses the order.
        let Some(call) = calls.find(|call| call.number == number) else { return };
        call.obey(now, order, &mut self.bench);
        call.wake();
    }

    /// Runs on this thread, as urgently as the system allows, until the last handle is gone.
    pub(super) fn run_thread(mut self) {
        self.figures.scheduled(schedule::hurry());
        let mut beat = Beat::new(now());
        while self.run_beat(&mut beat) {
            let wait = beat.deadline().saturating_duration_since(now());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
        }
    }

    /// Runs as a task on tokio's clock, until the last handle is gone.
    pub(super) async fn run_task(mut self) {
        let mut beat = Beat::new(now());
        while self.run_beat(&mut beat) {
            tokio::time::sleep_until(beat.deadline().into()).await;
        }
    }

    fn run_beat(&mut self, beat: &mut Beat) -> bool {
        let began = now();
        self.tick(began, beat.phase());
        let alive = self.settle(began, beat.phase());
        let ended = now();
        self.figures.late.record(began.saturating_duration_since(beat.deadline()));
        self.figures.busy(ended - began);
        self.figures.skipped(beat.pass(ended));
        alive
    }
}

/// Calls are spread evenly over the phases, by their number.
fn phase_of(number: u64) -> usize {
    (number % PHASES as u64) as usize
}
