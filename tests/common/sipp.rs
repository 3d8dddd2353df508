//! SIPp as a phone: one process, one scenario file, one verdict.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{LOOPBACK, free_port, signal, wait_for};

/// How long a scenario may take. The longest waits for a REFER's last NOTIFY, or for a human who does not
/// answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// SIPp, running. It is killed when this is dropped.
pub struct Phone {
    child: Child,
    scenario: &'static str,
    /// Where it writes what it counted and what went wrong.
    folder: PathBuf,
}

/// What makes a call.
pub struct Caller<'a> {
    pub scenario: &'static str,
    pub args: &'a [&'a str],
    pub server: SocketAddr,
    /// Whom it calls, and the first part of its Call-ID.
    pub called: &'a str,
    /// What it says: µ-law.
    pub voice: &'a [u8],
}

/// The Call-ID of the one call that a caller makes.
pub fn call_id(called: &str) -> String {
    format!("{called}-1@{LOOPBACK}")
}

impl Phone {
    /// A phone that waits for `calls` calls on a port.
    pub fn waits(scenario: &'static str, port: u16, calls: u32, folder: PathBuf) -> Self {
        let (port, calls) = (port.to_string(), calls.to_string());
        Self::start(scenario, &["-p", &port, "-m", &calls], folder)
    }

    /// A phone that calls.
    pub fn calls(caller: &Caller, folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("a folder in our own folder");
        fs::write(folder.join("caller.ulaw"), caller.voice).expect("a file in our own folder");
        let server = caller.server.to_string();
        let port = free_port().to_string();
        let call_id = format!("{}-%u@%s", caller.called);
        let own = ["-s", caller.called, "-cid_str", &call_id, "-p", &port, "-m", "1"];
        let args = [&[server.as_str()], &own[..], caller.args].concat();
        Self::start(caller.scenario, &args, folder)
    }

    fn start(scenario: &'static str, args: &[&str], folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("a folder in our own folder");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp-scenarios").join(scenario);
        let ip = LOOPBACK.to_string();
        let child = Command::new("sipp")
            .args(args)
            .arg("-sf")
            .arg(file)
            .args(["-i", &ip, "-mi", &ip, "-nostdin"])
            .args(["-trace_counts", "-fd", "1", "-trace_err", "-trace_msg"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp");
        Phone { child, scenario, folder }
    }

    /// Waits until its socket is there.
    pub fn wait_until_it_listens(&self, port: u16) -> Result<(), String> {
        let local = format!(":{port:04X} ");
        let listens = wait_for(PATIENCE, || {
            let sockets = fs::read_to_string("/proc/net/udp").expect("Linux");
            sockets.contains(&local).then_some(())
        });
        listens.ok_or_else(|| format!("{}: does not listen\n{}", self.scenario, self.trace()))
    }

    /// Waits for its end: every call went as the scenario says, and no message came or went twice. Returns
    /// the messages.
    pub fn finish(mut self) -> Result<String, String> {
        let status = wait_for(PATIENCE, || self.child.try_wait().expect("our child"));
        let failed = match status {
            Some(status) if status.success() => self.repeated_messages(),
            Some(status) => Some(format!("{status}")),
            None => Some("not finished in time".into()),
        };
        match failed {
            None => Ok(self.file("_messages.log").unwrap_or_default()),
            Some(why) => Err(format!("{}: {why}\n{}", self.scenario, self.trace())),
        }
    }

    /// Ends a phone that should not have been called.
    pub fn dismiss(self) -> Result<String, String> {
        // "No new calls, and exit": what SIPp understands by SIGUSR1.
        signal("USR1", self.child.id());
        self.finish()
    }

    /// Which messages SIPp sent or received more than once, by its own counts.
    fn repeated_messages(&self) -> Option<String> {
        let Some(counts) = self.file("_counts.csv") else {
            return Some("it counted nothing".into());
        };
        let mut lines = counts.lines().filter(|line| !line.is_empty());
        let (Some(header), Some(last)) = (lines.next(), lines.next_back()) else {
            return Some("it counted nothing".into());
        };
        let columns = header.split(';').zip(last.split(';'));
        let repeated = columns.filter(|(name, count)| name.ends_with("_Retrans") && *count != "0");
        let repeated: Vec<String> =
            repeated.map(|(name, count)| format!("{name}: {count}")).collect();
        (!repeated.is_empty()).then(|| repeated.join(", "))
    }

    /// What it says went wrong, and every message.
    fn trace(&self) -> String {
        let parts = ["_errors.log", "_messages.log"].map(|end| self.file(end).unwrap_or_default());
        parts.concat()
    }

    fn file(&self, end: &str) -> Option<String> {
        let files = fs::read_dir(&self.folder).ok()?.flatten().map(|entry| entry.path());
        let file = files.into_iter().find(|path| path.to_string_lossy().ends_with(end))?;
        fs::read(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
