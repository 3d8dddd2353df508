//! SIPp as load: so many calls at such a pace.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::program::{LOOPBACK, free_port, wait_for};

/// What each call does.
const SCENARIO: &str = include_str!("call.xml");

/// How long SIPp may take to end when its time is over.
const END_TIME: Duration = Duration::from_secs(10);

/// How much of what went wrong is shown.
const ERRORS_SHOWN: usize = 2000;

/// So many calls at such a pace.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub server: SocketAddr,
    /// Whom they call.
    pub called: &'a str,
    pub calls: u32,
    /// New calls a second.
    pub rate: u32,
    /// From the ACK to the BYE.
    pub hold: Duration,
    /// How much longer than its calls SIPp may take; then it ends, and the calls with it.
    pub patience: Duration,
}

/// Calls under way. They are cut off when this is dropped.
pub struct Calling {
    child: Child,
    folder: TempDir,
    time: Duration,
    began: Instant,
}

/// What became of them.
pub struct Outcome {
    pub successful: f64,
    pub failed: f64,
    pub retransmissions: f64,
    /// From the first INVITE to SIPp's end.
    pub took: Duration,
    /// What went wrong, in SIPp's words.
    pub errors: String,
}

impl Load<'_> {
    /// How long it takes if nobody waits.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.calls) / f64::from(self.rate)) + self.hold
    }

    /// Begins to call.
    pub fn start(&self) -> Result<Calling> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("call.xml"), SCENARIO)?;
        let (ip, port) = (LOOPBACK.to_string(), free_port().to_string());
        let [calls, rate] = [self.calls, self.rate].map(|number| number.to_string());
        let hold = self.hold.as_millis().to_string();
        let time = self.time() + self.patience;
        let timeout = time.as_secs().max(1).to_string();
        let child = Command::new("sipp")
            .arg(self.server.to_string())
            .args(["-sf", "call.xml", "-s", self.called])
            // Answers an OPTIONS, by which the program sees whether a silent caller is still there.
            .args(["-i", &ip, "-mi", &ip, "-p", &port, "-nostdin", "-aa"])
            // Every call at its time: beside its pace, SIPp limits how many there may be at once.
            .args(["-r", &rate, "-m", &calls, "-l", &calls, "-d", &hold, "-timer_resol", "1"])
            // Room for what comes while it is not scheduled.
            .args(["-buff_size", "4194304"])
            .args(["-timeout", &timeout, "-timeout_error", "-deadcall_wait", "0"])
            .args(["-trace_stat", "-stf", "counts.csv", "-fd", "1"])
            .args(["-trace_err", "-error_file", "errors.log"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("`sipp` cannot be started")?;
        Ok(Calling { child, folder, time, began: Instant::now() })
    }

    /// Calls, and waits until all is over.
    pub fn run(&self) -> Result<Outcome> {
        self.start()?.finish()
    }
}

impl Calling {
    /// Waits for the end of the last call.
    pub fn finish(mut self) -> Result<Outcome> {
        let ended = wait_for(self.time + END_TIME, || self.child.try_wait().ok().flatten());
        let took = self.began.elapsed();
        ensure!(ended.is_some(), "sipp does not end\n{}", self.errors());
        let Some(counts) = self.file("counts.csv") else {
            bail!("sipp counted nothing\n{}", self.errors())
        };
        Ok(Outcome {
            successful: last(&counts, "SuccessfulCall(C)")?,
            failed: last(&counts, "FailedCall(C)")?,
            retransmissions: last(&counts, "Retransmissions(C)")?,
            took,
            errors: self.errors(),
        })
    }

    fn errors(&self) -> String {
        let errors = self.file("errors.log").unwrap_or_default();
        errors.chars().take(ERRORS_SHOWN).collect()
    }

    fn file(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.folder.path().join(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last value of a column.
fn last(counts: &str, name: &str) -> Result<f64> {
    let column = counts.lines().next().and_then(|names| names.split(';').position(|it| it == name));
    let line = counts.lines().rfind(|line| !line.is_empty());
    let value = line.zip(column).and_then(|(line, column)| line.split(';').nth(column));
    let value = value.and_then(|value| value.parse().ok());
    value.with_context(|| format!("sipp does not count `{name}`:\n{counts}"))
}
