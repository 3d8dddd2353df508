//! What calls that last take in memory, and what they leave.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::load::Load;
use crate::process::own_kib;
use crate::program::server::Server;
use crate::program::wait_for;

/// How fast they come.
const RATE: u32 = 200;

/// How long all of them are there: until the last one's memory has been touched, and looked at.
const TOGETHER: Duration = Duration::from_secs(15);

/// How often memory is looked at until it does not grow, and by how much it may still.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const GROWTH_MAX: f64 = 1.002;

/// KiB of each call.
pub struct Memory {
    pub held: f64,
    /// When the calls are gone and nothing is left in any table.
    pub released: f64,
}

impl Memory {
    pub fn measure(server: &Server, called: &str, calls: u32, direction: &str) -> Result<Self> {
        let before = own_kib(server.pid())?;
        let mut load =
            Load { server: server.sip, called, calls, rate: RATE, hold: TOGETHER, direction };
        load.hold += load.time();
        let calling = load.start()?;
        let all = Some(f64::from(calls));
        let there =
            wait_for(load.time(), || (server.metrics().sum("media_streams") == all).then_some(()));
        ensure!(there.is_some(), "not all calls are there:\n{}", server.metrics());
        let held = settled(server, TOGETHER / 2)?;
        let still = server.metrics().sum("calls");
        ensure!(still == all, "not all calls have lasted: {still:?}");
        let outcome = calling.finish()?;
        ensure!(outcome.failed == 0.0, "{} calls failed\n{}", outcome.failed, outcome.errors);
        server.wait_until_quiet();
        let left = own_kib(server.pid())?;
        let each = |kib: f64| (kib - before) / f64::from(calls);
        Ok(Memory { held: each(held), released: each(left) })
    }
}

/// The memory when it has stopped to grow, but at the latest after `patience`.
fn settled(server: &Server, patience: Duration) -> Result<f64> {
    let began = Instant::now();
    let mut kib = own_kib(server.pid())?;
    loop {
        sleep(LOOK_EVERY);
        let now = own_kib(server.pid())?;
        if now < kib * GROWTH_MAX || began.elapsed() > patience {
            return Ok(now.max(kib));
        }
        kib = now;
    }
}
