//! The time that calls take on the cores, and how long a caller waits for the ring.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::common::report::quantile;
use crate::load::{Load, Outcome};
use crate::prober::Prober;
use crate::process::Cpu;
use crate::program::server::Server;

/// For how long the program is watched while nobody calls.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// How much longer than planned it may take until the last call is over.
const PATIENCE: Duration = Duration::from_secs(20);

/// What calls of no length cost.
pub struct Cost {
    /// While nobody called, a second.
    idle: Cpu,
    /// While they came and went.
    spent: Cpu,
    pub outcome: Outcome,
    /// Of calls among the load: from the INVITE to the first 180 or 200, in milliseconds, sorted.
    delays: Vec<f64>,
}

impl Cost {
    /// Watches the program before and during so many calls. Their pace is far below what it takes, so that none
    /// may fail.
    pub fn measure(server: &Server, called: &str, calls: u32, rate: u32) -> Result<Self> {
        let hold = Duration::ZERO;
        let load = Load { server: server.sip, called, calls, rate, hold, patience: PATIENCE };
        let before = Cpu::of(server.process())?;
        sleep(IDLE_TIME);
        let begun = Cpu::of(server.process())?;
        let prober = Prober::start(server.sip, called);
        let outcome = load.run()?;
        let delays = prober.finish();
        let spent = Cpu::of(server.process())?.since(&begun);
        let whole = outcome.failed == 0.0 && outcome.successful == f64::from(calls);
        ensure!(whole, "{} calls failed\n{}", outcome.failed, outcome.errors);
        Ok(Cost { idle: begun.since(&before), spent, outcome, delays })
    }

    /// Of all threads, in milliseconds a call.
    pub fn whole_ms(&self) -> f64 {
        self.per_call(|cpu| cpu.all)
    }

    /// Of the media threads, in milliseconds a call.
    pub fn media_ms(&self) -> f64 {
        self.per_call(|cpu| cpu.media)
    }

    /// Of all others, in milliseconds a call.
    pub fn signalling_ms(&self) -> f64 {
        self.whole_ms() - self.media_ms()
    }

    /// The part of one core that the program has when nobody calls.
    pub fn idle_part(&self) -> f64 {
        self.idle.all.as_secs_f64() / IDLE_TIME.as_secs_f64()
    }

    /// Post-dial delay: what this part of the callers did not wait longer for than that.
    pub fn delay_ms(&self, part: f64) -> f64 {
        quantile(&self.delays, part)
    }

    fn per_call(&self, time: fn(&Cpu) -> Duration) -> f64 {
        let idle = time(&self.idle).as_secs_f64() / IDLE_TIME.as_secs_f64();
        let spent = time(&self.spent).as_secs_f64() - idle * self.outcome.took.as_secs_f64();
        spent * 1000.0 / (self.outcome.successful + self.delays.len() as f64)
    }
}
