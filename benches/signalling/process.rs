//! What a process costs, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's unit of time in `/proc/PID/stat` (sysconf(_SC_CLK_TCK), 100 on every Linux that Rust knows).
const TICK: Duration = Duration::from_millis(10);

/// The time that a process has had on the cores so far.
#[derive(Clone, Copy)]
pub struct Cpu {
    /// All its threads, also those that have ended.
    pub all: Duration,
    /// The threads that carry media.
    pub media: Duration,
}

impl Cpu {
    pub fn of(pid: u32) -> Result<Self> {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).context("the program is gone")?;
        // The name of the program, in brackets, may have anything in it.
        let (_, fields) = stat.rsplit_once(") ").context("no /proc/PID/stat")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let all = TICK * ticks.sum::<Result<u32, _>>().context("no times in /proc/PID/stat")?;
        Ok(Cpu { all, media: threads(pid, "media-")? })
    }

    /// What came since `before`.
    pub fn since(&self, before: &Cpu) -> Self {
        Cpu { all: self.all - before.all, media: self.media - before.media }
    }
}

/// The time of all threads whose names begin so.
fn threads(pid: u32, name: &str) -> Result<Duration> {
    let mut time = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        // A thread may end while we look.
        let Ok(comm) = fs::read_to_string(task.join("comm")) else { continue };
        if comm.starts_with(name) {
            let times = fs::read_to_string(task.join("schedstat"))?;
            let nanos = times.split(' ').next().context("an empty schedstat")?.parse()?;
            time += Duration::from_nanos(nanos);
        }
    }
    Ok(time)
}

/// The memory that is a process's own and nobody else's, in KiB: pages that it has written to.
pub fn own_kib(pid: u32) -> Result<f64> {
    let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = sums.lines().find(|line| line.starts_with("Private_Dirty:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("no Private_Dirty")?.parse()?)
}
