//! The built program as a child of the test.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::metrics::Metrics;
use super::plan::{self, Machine, Plan};
use super::{at, free_port, wait_for};

/// How long it may take until it takes calls.
const START_TIME: Duration = Duration::from_secs(20);

/// How long its tables may take to become empty: a transaction over UDP is remembered for 32 s after
/// its end (RFC 3261 timers H and J), and a dialog that was left open by one of those as well.
const QUIET_TIME: Duration = Duration::from_secs(75);

/// How long an answer over HTTP may take.
const HTTP_TIME: Duration = Duration::from_secs(5);

/// How much of its log is shown when a test fails.
const LOG_LINES: usize = 400;

/// What must be 0 when nobody calls any more.
const TABLES: [&str; 7] = [
    "calls",
    "sip_calls",
    "sip_dialogs",
    "sip_server_transactions",
    "sip_client_transactions",
    "media_ports_in_use",
    "media_streams",
];

/// The program, running. It is killed when this is dropped, and its log is shown if a test failed.
pub struct Server {
    child: Child,
    folder: TempDir,
    /// Where it takes calls, by UDP and TCP.
    pub sip: SocketAddr,
    desk: SocketAddr,
}

impl Server {
    /// Starts it with a plan, as small as a test needs it, and waits until it takes calls.
    pub fn start(plan: &Plan) -> Self {
        let media_ports = media_ports();
        let log = "info,tandem=debug";
        Self::start_on(plan, &Machine { media_ports, calls_max: 2000, cps_max: 200, log })
    }

    /// Starts it with a plan on a machine of its own size, and waits until it takes calls.
    pub fn start_on(plan: &Plan, machine: &Machine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (sip, desk) = (at(free_port()), at(free_port()));
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file in our own folder");
        };
        fs::create_dir(folder.path().join("dialplans")).expect("a folder in our own folder");
        write("tandem.toml", &plan::configuration(sip.port(), desk.port(), machine));
        write("lines.txt", plan::SCRIPT);
        write("dialplans/test.toml", &plan.dialplan());
        write("dialplans/persona.md", "You answer the phone of a small company.\n");
        write("dialplans/human.txt", include_str!("../../dialplans/phrases/human.txt"));

        Self::start_in(folder, sip, desk, machine.log)
    }

    /// Starts it in a folder that has its `tandem.toml`, which says that it listens there; and waits until it
    /// takes calls.
    pub fn start_in(folder: TempDir, sip: SocketAddr, desk: SocketAddr, filter: &str) -> Self {
        let log = File::create(folder.path().join("log")).expect("a file in our own folder");
        let child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["run", "--config", "tandem.toml"])
            .current_dir(folder.path())
            .env("TANDEM_LOG", filter)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the built program");
        let mut server = Server { child, folder, sip, desk };
        let ready = wait_for(START_TIME, || {
            assert!(server.is_alive(), "the program has ended");
            server.get("/readyz").ok().filter(|(status, _)| *status == 200)
        });
        assert!(ready.is_some(), "the program takes no calls");
        server
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Lines of its log that say that it is at fault.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.log();
        let is_complaint = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
        log.lines().filter(is_complaint).map(str::to_owned).collect()
    }

    /// Its figures, now.
    pub fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics").expect("the desk answers");
        assert_eq!(status, 200, "{text}");
        Metrics::parse(&text)
    }

    /// What the desk says about a path, as JSON.
    pub fn json(&self, path: &str) -> io::Result<serde_json::Value> {
        match self.get(path)? {
            (200, text) => Ok(serde_json::from_str(&text)?),
            (status, text) => Err(io::Error::other(format!("{status}: {text}"))),
        }
    }

    /// Waits until nothing is left of any call, and returns the last figures.
    pub fn wait_until_quiet(&self) -> Metrics {
        let left = |metrics: &Metrics| -> Vec<String> {
            let value = |name| metrics.sum(name);
            let left = TABLES.iter().filter(|name| value(name) != Some(0.0));
            left.map(|name| format!("{name}: {:?}", value(name))).collect()
        };
        let quiet = wait_for(QUIET_TIME, || {
            let metrics = self.metrics();
            left(&metrics).is_empty().then_some(metrics)
        });
        quiet.unwrap_or_else(|| panic!("something is left: {:?}", left(&self.metrics())))
    }

    /// One request to the desk: the status and the body of its answer.
    fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.desk, HTTP_TIME)?;
        stream.set_read_timeout(Some(HTTP_TIME))?;
        let desk = self.desk;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {desk}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        status.zip(body).ok_or_else(|| io::Error::other("no HTTP"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let first = lines.len().saturating_sub(LOG_LINES);
            eprintln!("── the program's log ──\n{}", lines[first..].join("\n"));
        }
    }
}

/// A range of media ports of our own: below those that the system hands out, and another one for each
/// process that tests.
pub fn media_ports() -> (u16, u16) {
    const WIDTH: u16 = 400;
    let place = u16::try_from(std::process::id() % 40).expect("below 40");
    let first = 16_384 + place * WIDTH;
    (first, first + WIDTH - 2)
}
