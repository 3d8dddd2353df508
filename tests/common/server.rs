//! The built program as a child of the test.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::metrics::Metrics;
use super::place::{Machine, Place};
use super::plan::{self, Plan};
use super::{PROGRAM, wait_for};

/// How long it may take until it takes calls.
const START_TIME: Duration = Duration::from_secs(20);

/// How long its tables may take to become empty: a transaction over UDP is remembered for 32 s after
/// its end (RFC 3261 timers H and J), and a dialog that was left open by one of those as well.
const QUIET_TIME: Duration = Duration::from_secs(75);

/// How long an answer over HTTP may take.
const HTTP_TIME: Duration = Duration::from_secs(5);

/// How long it may take until it says in its log what it has been asked to do.
const LOG_TIME: Duration = Duration::from_secs(10);

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

/// What a server has that others have not.
#[derive(Default)]
pub struct Own<'a> {
    /// Pieces of `tandem.toml`, and what stands in their place.
    pub configuration: &'a [(&'a str, &'a str)],
    /// Variables of its environment.
    pub environment: &'a [(&'a str, &'a str)],
}

/// The program, running. It is killed when this is dropped, and its log is shown if a test failed.
pub struct Server {
    child: Child,
    place: Place,
    /// Where it takes calls, by UDP and TCP.
    pub sip: SocketAddr,
}

impl Server {
    /// Starts it with a plan, as small as a test needs it, and waits until it takes calls.
    pub fn start(plan: &Plan) -> Self {
        Self::start_on(plan, Machine::small())
    }

    /// The same at any size.
    pub fn start_on(plan: &Plan, machine: Machine) -> Self {
        Self::start_at(plan, Place::on(machine), &[])
    }

    /// The same for one that differs in a few things.
    pub fn start_with(plan: &Plan, own: &Own) -> Self {
        let mut place = Place::new();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        place.environment = own.environment.iter().map(owned).collect();
        Self::start_at(plan, place, own.configuration)
    }

    fn start_at(plan: &Plan, place: Place, changes: &[(&str, &str)]) -> Self {
        let mut config = plan.configuration(&place);
        for (piece, other) in changes {
            assert_eq!(config.matches(piece).count(), 1, "`{piece}` is one piece of tandem.toml");
            config = config.replace(piece, other);
        }
        place.write("tandem.toml", &config);
        place.write("lines.txt", plan::SCRIPT);
        place.write("dialplans/test.toml", &plan.dialplan());
        place.write("dialplans/persona.md", "You answer the phone of a small company.\n");
        place.write("dialplans/human.txt", include_str!("../../dialplans/phrases/human.txt"));
        Self::start_in(place)
    }

    /// Starts it in a folder with a `tandem.toml`, and waits until it takes calls.
    pub fn start_in(place: Place) -> Self {
        let (child, sip) = (launch(&place), place.sip);
        let mut server = Server { child, place, sip };
        server.wait_until_it_takes_calls();
        server
    }

    /// Kills it, with all its calls, and starts it again where it was.
    pub fn crash_and_start_again(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
        self.child = launch(&self.place);
        self.wait_until_it_takes_calls();
    }

    fn wait_until_it_takes_calls(&mut self) {
        let ready = wait_for(START_TIME, || {
            assert!(self.is_alive(), "the program has ended");
            self.get("/readyz").ok().filter(|(status, _)| *status == 200)
        });
        assert!(ready.is_some(), "the program takes no calls");
    }

    /// A file of the folder it runs in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended.
    pub fn wait_until_ended(&mut self, patience: Duration) {
        let ended = wait_for(patience, || (!self.is_alive()).then_some(()));
        assert!(ended.is_some(), "the program does not end");
    }

    /// Sends it a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        super::signal(name, self.process());
    }

    /// Puts a file of its folder in the place of what is there.
    pub fn write(&self, name: &str, text: &str) {
        self.place.write(name, text);
    }

    /// Waits until it has logged this.
    pub fn wait_for_log(&self, text: &str) {
        let told = wait_for(LOG_TIME, || self.log().contains(text).then_some(()));
        assert!(told.is_some(), "the log does not say `{text}`");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
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

    /// What another process finds in the store about a call: `tandem context CALL-ID --json`. An error is
    /// what it says instead.
    pub fn context(&self, call_id: &str) -> Result<serde_json::Value, String> {
        let asked = Command::new(PROGRAM)
            .args(["context", call_id, "--json", "--config", "tandem.toml"])
            .current_dir(self.path("."))
            .output()
            .expect("the built program");
        match asked.status.success() {
            true => Ok(serde_json::from_slice(&asked.stdout).expect("JSON")),
            false => Err(String::from_utf8_lossy(&asked.stderr).into_owned()),
        }
    }

    /// One request to the desk: the status and the body of its answer.
    pub fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let desk = self.place.desk;
        let mut stream = TcpStream::connect_timeout(&desk, HTTP_TIME)?;
        stream.set_read_timeout(Some(HTTP_TIME))?;
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

fn launch(place: &Place) -> Child {
    let log = File::options().create(true).append(true).open(place.path("log"));
    let log = log.expect("a file in our own folder");
    Command::new(PROGRAM)
        .args(["run", "--config", "tandem.toml"])
        .current_dir(place.path("."))
        .env("TANDEM_LOG", place.machine.log)
        .envs(place.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the built program")
}
