//! What calls that last take in memory, and what they leave.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::load::Load;
use crate::process::own_kib;
use crate::program::server::Server;
use crate::program::wait_for;

/// How fast they come.
const RATE: u32 = 400;

/// How long all of them are there: until the last one's memory has been touched, and looked at.
const TOGETHER: Duration = Duration::from_secs(8);

/// How much longer than planned it may take until the last one has hung up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often memory is looked at until it does not grow, and by how much it may still.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const GROWTH_MAX: f64 = 1.002;

/// KiB of each call.
pub struct Memory {
    pub held: f64,
    /// When the calls are gone and nothing is left in any table.
    pub released: f64,
    /// What the same calls once more have added to that. What only waits to be used again adds nothing; what
    /// has leaked is added every time.
    pub again: f64,
}

impl Memory {
    /// Holds so many calls at once, twice.
    pub fn measure(server: &Server, called: &str, calls: u32) -> Result<Self> {
        let hold = Duration::from_secs_f64(f64::from(calls) / f64::from(RATE)) + TOGETHER;
        let load = Load { server: server.sip, called, calls, rate: RATE, hold, patience: PATIENCE };
        let before = own_kib(server.process())?;
        let held = held_at_once(server, &load)?;
        let left = own_kib(server.process())?;
        held_at_once(server, &load)?;
        let at_last = own_kib(server.process())?;
        let each = |from: f64, to: f64| (to - from) / f64::from(calls);
        Ok(Memory {
            held: each(before, held),
            released: each(before, left),
            again: each(left, at_last),
        })
    }
}

/// The memory while all calls of this load are there. They are gone when this returns, and so is every trace
/// of them in the tables.
fn held_at_once(server: &Server, load: &Load) -> Result<f64> {
    let calling = load.start()?;
    let calls = || server.metrics().sum("calls");
    let all = Some(f64::from(load.calls));
    let there = wait_for(load.hold, || (calls() == all).then_some(()));
    ensure!(there.is_some(), "not all calls are there:\n{}", server.metrics());
    let kib = settled(server, TOGETHER / 2)?;
    let still = calls();
    ensure!(still == all, "of {} calls there are {still:?}", load.calls);
    let outcome = calling.finish()?;
    ensure!(outcome.failed == 0.0, "{} calls failed\n{}", outcome.failed, outcome.errors);
    server.wait_until_quiet();
    Ok(kib)
}

/// The memory when it has stopped to grow, but at the latest after `patience`.
fn settled(server: &Server, patience: Duration) -> Result<f64> {
    let began = Instant::now();
    let mut kib = own_kib(server.process())?;
    loop {
        sleep(LOOK_EVERY);
        let now = own_kib(server.process())?;
        if now < kib * GROWTH_MAX || began.elapsed() > patience {
            return Ok(now.max(kib));
        }
        kib = now;
    }
}
