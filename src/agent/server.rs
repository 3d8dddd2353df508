//! Runs the language model's server beside us (`[llm] spawn`), and watches whether it answers.
//!
//! A call survives the server's death: its agent says the fallback line until the server is back. The
//! server has a process group of its own, so that the terminal's Ctrl-C does not take the model away from
//! calls that are being drained; the group is ended with us.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::net::http;

/// The first pause before a restart. It doubles from one failure to the next.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A server that lived this long had started well: the pauses begin anew.
const LIVED_WELL: Duration = Duration::from_secs(60);

/// How long the server may take to end when asked to.
const END_MAX: Duration = Duration::from_secs(5);

/// From probe to probe while the server is not ready.
const PROBE_SOON: Duration = Duration::from_millis(500);

/// From probe to probe while it is.
const PROBE_LATER: Duration = Duration::from_secs(5);

/// How long one probe may take.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// The most bytes of one line of its log that we repeat.
const LOG_LINE_BYTES_MAX: u64 = 1000;

/// A server that is watched and, if there is a command for it, kept running.
#[derive(Debug)]
pub struct Server {
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
    keeper: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts `command` (program and arguments; empty: somebody else runs the server) and watches the
    /// interface at `url`, the base of the OpenAI-compatible one.
    pub fn start(command: &[String], url: &str) -> Self {
        let stop = CancellationToken::new();
        let (told, ready) = watch::channel(false);
        let probe =
            Probe { url: url.trim_end_matches('/').to_owned(), is_ours: !command.is_empty() };
        let probe = probe.run(told, stop.clone());
        tokio::spawn(probe.instrument(info_span!("llm_probe")));
        let keeper = command.split_first().map(|(program, arguments)| {
            let keeper = Keeper {
                program: program.clone(),
                arguments: arguments.to_vec(),
                stop: stop.clone(),
                pauses: Pauses::new(PAUSE_MIN),
            };
            tokio::spawn(keeper.run().instrument(info_span!("llm_server")))
        });
        Server { ready, stop, keeper }
    }

    /// Whether the server answers, as it changes. False while it loads its model.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Ends the server and waits until it is gone.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(keeper) = self.keeper.take() {
            // It ends by itself; it can only have panicked, and then the child was killed.
            let _ = keeper.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Keeps the process running.
struct Keeper {
    program: String,
    arguments: Vec<String>,
    stop: CancellationToken,
    pauses: Pauses,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let started = Instant::now();
            match self.spawn() {
                Ok(mut child) => {
                    let ended = tokio::select! {
                        biased;
                        () = self.stop.cancelled() => None,
                        status = child.wait() => Some(status),
                    };
                    match ended {
                        None => return end(child).await,
                        Some(Ok(status)) => warn!(%status, "the language model's server ended"),
                        Some(Err(error)) => warn!(%error, "the language model's server is lost"),
                    }
                }
                Err(error) => warn!(%error, program = self.program, "the server does not start"),
            }
            let pause = self.pauses.after(started.elapsed());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = sleep(pause) => (),
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        info!(program = self.program, process = child.id(), "started the language model's server");
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(repeat_log(stderr).in_current_span());
        }
        Ok(child)
    }
}

/// Asks the process and its children to end; after [`END_MAX`] they are not asked any more.
async fn end(mut child: Child) {
    let Some(id) = child.id() else { return };
    signal_group("TERM", id).await;
    if timeout(END_MAX, child.wait()).await.is_err() {
        warn!("the language model's server does not end, and is killed");
        signal_group("KILL", id).await;
    }
    if let Err(error) = child.kill().await {
        warn!(%error, "the language model's server cannot be killed");
    }
}

/// Sends a signal to a process group. The shell's own `kill` is on every system that has a shell.
async fn signal_group(signal: &str, group: u32) {
    let script = format!("kill -{signal} -{group}");
    let mut command = Command::new("sh");
    let sent = command.args(["-c", &script]).stderr(Stdio::null()).status().await;
    if let Err(error) = sent {
        debug!(%error, "no shell to send a signal with");
    }
}

/// Repeats what the server logs, in lines of bounded length.
async fn repeat_log(stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LOG_LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => debug!(line = %String::from_utf8_lossy(&line).trim_end(), "server"),
        }
    }
}

/// How long to wait before each restart.
#[derive(Debug)]
struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    fn new(first: Duration) -> Self {
        Pauses { first, next: first }
    }

    /// The pause after a server that lived this long.
    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= LIVED_WELL {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

/// Looks whether a server answers.
struct Probe {
    /// The base of its interface, without a slash at the end.
    url: String,
    /// Whether we run it.
    is_ours: bool,
}

impl Probe {
    /// Looks again and again.
    async fn run(self, told: watch::Sender<bool>, stop: CancellationToken) {
        let client = match http::client(&self.url, self.is_ours).timeout(PROBE_MAX).build() {
            Ok(client) => client,
            Err(error) => return warn!(%error, "the server cannot be watched"),
        };
        loop {
            let is_ready = self.is_ready(&client).await;
            metrics::gauge!("llm_ready").set(if is_ready { 1.0 } else { 0.0 });
            let changed =
                told.send_if_modified(|ready| std::mem::replace(ready, is_ready) != is_ready);
            if changed {
                info!(is_ready, "the language model's server");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(if is_ready { PROBE_LATER } else { PROBE_SOON }) => (),
            }
        }
    }

    /// `/health` tells whether the model is loaded, where it exists (llama.cpp, vLLM); `/v1/models` exists
    /// everywhere, and answers early. A hosted server that wants a key for it is there all the same; from a
    /// server of ours such an answer means that somebody else has its port.
    async fn is_ready(&self, client: &reqwest::Client) -> bool {
        let url = &self.url;
        let health = match url.strip_suffix("/v1") {
            Some(root) => client.get(format!("{root}/health")).send().await.ok(),
            None => None,
        };
        match health.map(|response| response.status().as_u16()) {
            Some(200..300) => true,
            Some(500..600) => false,
            _ => {
                let models = client.get(format!("{url}/models")).send().await;
                models.is_ok_and(|response| match response.status().as_u16() {
                    200..300 => true,
                    401 | 403 => !self.is_ours,
                    _ => false,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_begin_anew_after_a_good_life() {
        let mut pauses = Pauses::new(PAUSE_MIN);
        let seconds: Vec<_> = (0..7).map(|_| pauses.after(Duration::ZERO).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses.after(LIVED_WELL), PAUSE_MIN);
    }

    /// Lines of a file, once it has `count` of them.
    async fn lines_of(file: &Path, count: usize) -> Vec<String> {
        let lines = async {
            loop {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                let lines: Vec<_> = text.lines().map(str::to_owned).collect();
                if lines.len() >= count {
                    return lines;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), lines).await.expect("the process writes its lines")
    }

    fn keeper(script: &str, stop: &CancellationToken) -> Keeper {
        Keeper {
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            stop: stop.clone(),
            pauses: Pauses::new(Duration::from_millis(1)),
        }
    }

    #[tokio::test]
    async fn a_server_that_ends_is_started_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("starts");
        let stop = CancellationToken::new();
        let keeper = keeper(&format!("echo start >> {}; exit 3", file.display()), &stop);
        let task = tokio::spawn(keeper.run());
        assert!(lines_of(&file, 3).await.len() >= 3);
        stop.cancel();
        task.await.expect("it ends when told to");
    }

    #[tokio::test]
    async fn the_server_and_its_children_end_with_us() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ids");
        let stop = CancellationToken::new();
        let script = format!("sleep 300 & echo $! > {0}; echo $$ >> {0}; wait", file.display());
        let task = tokio::spawn(keeper(&script, &stop).run());
        let ids = lines_of(&file, 2).await;
        let alive = |id: &String| {
            let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // An ended process whose new parent has not yet looked is a zombie.
            !state.is_empty() && !state.contains(") Z ")
        };
        assert!(ids.iter().all(alive));
        stop.cancel();
        task.await.expect("it ends when told to");
        for _ in 0..100 {
            if !ids.iter().any(alive) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("a process is left of {ids:?}");
    }

    /// A hosted server may want a key; one of ours does not, so somebody else has its port.
    #[tokio::test]
    async fn a_server_that_wants_a_key_is_ready_unless_it_is_ours() {
        for refusal in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            let url = serve(Router::new().fallback(move || async move { refusal })).await;
            let client = reqwest::Client::new();
            for is_ours in [false, true] {
                let probe = Probe { url: url.clone(), is_ours };
                assert_eq!(probe.is_ready(&client).await, !is_ours, "{refusal}");
            }
        }
    }

    /// Serves on loopback, and returns the base of the interface.
    async fn serve(router: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn a_server_is_ready_when_its_model_is() {
        let status = Arc::new(AtomicU16::new(503));
        let answer = status.clone();
        let health = move || async move {
            StatusCode::from_u16(answer.load(Ordering::SeqCst)).expect("a status of the test")
        };
        let router =
            Router::new().route("/health", get(health)).route("/v1/models", get(|| async { "{}" }));
        let url = serve(router).await;

        let client = reqwest::Client::new();
        let probe = Probe { url: url.clone(), is_ours: true };
        assert!(!probe.is_ready(&client).await);
        status.store(404, Ordering::SeqCst);
        assert!(probe.is_ready(&client).await, "a server without /health");
        status.store(200, Ordering::SeqCst);
        assert!(probe.is_ready(&client).await);

        let server = Server::start(&[], &url);
        let mut ready = server.ready();
        let seen = timeout(Duration::from_secs(5), ready.wait_for(|ready| *ready)).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()));
        server.stop().await;
        assert!(ready.changed().await.is_err(), "the watching ends with the server");
    }
}
