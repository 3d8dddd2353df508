//! `tandem call --json` as a child of the test: somebody who calls, and tells what happens.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::server::Server;
use super::{PROGRAM, signal, wait_for};

/// How long the next thing to happen may take. The longest is a conversation before a transfer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A phone in a call. It is killed when this is dropped, and its story is shown if a test failed.
pub struct Caller {
    child: Child,
    folder: TempDir,
}

impl Caller {
    /// Calls an agent of the server, with its engines; `lines` is what the caller says, as arguments.
    pub fn calls(server: &Server, agent: &str, lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let output =
            |name| File::create(folder.path().join(name)).expect("a file in our own folder");
        let child = Command::new(PROGRAM)
            .args(["call", &format!("sip:{agent}@{}", server.sip), "--json"])
            .args(["--config", "tandem.toml"])
            .args(lines)
            .current_dir(server.path("."))
            .stdin(Stdio::null())
            .stdout(output("story"))
            .stderr(output("errors"))
            .spawn()
            .expect("the built program");
        Caller { child, folder }
    }

    /// What has happened so far, one object for each thing.
    pub fn story(&self) -> Vec<Value> {
        let text = self.file("story");
        // The last line may not be complete yet.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    }

    /// The things of this name that have happened so far.
    pub fn all(&self, event: &str) -> Vec<Value> {
        let mut story = self.story();
        story.retain(|told| told["event"] == event);
        story
    }

    /// What the other side was heard to say so far, turn by turn.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.all("heard");
        heard.iter().map(|told| told["words"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until something has happened, and returns the first of that name.
    #[track_caller]
    pub fn wait_for(&mut self, event: &str) -> Value {
        self.wait_for_one_of(&[event])
    }

    /// Waits until one of these has happened, and returns the first that did.
    #[track_caller]
    pub fn wait_for_one_of(&mut self, events: &[&str]) -> Value {
        let is_one = |told: &&Value| events.iter().any(|event| told["event"] == *event);
        self.wait_until(&format!("{events:?}"), |story| story.iter().find(is_one).cloned())
    }

    /// Waits until the other side was heard after our n-th line: it has answered.
    #[track_caller]
    pub fn wait_for_answers(&mut self, lines: usize) {
        self.wait_until(&format!("{lines} answers"), |story| {
            let mut said = (0..story.len()).filter(|&place| story[place]["event"] == "said");
            let rest = &story[said.nth(lines - 1)?..];
            rest.iter().any(|told| told["event"] == "heard").then_some(())
        });
    }

    #[track_caller]
    fn wait_until<T>(&mut self, what: &str, look: impl Fn(&[Value]) -> Option<T>) -> T {
        let found = wait_for(PATIENCE, || {
            // Looked at first: what a phone told before its end is told.
            let is_over = self.child.try_wait().expect("our child").is_some();
            let found = look(&self.story());
            assert!(found.is_some() || !is_over, "the call is over without {what}");
            found
        });
        found.unwrap_or_else(|| panic!("no {what} in time"))
    }

    /// The key of the call.
    #[track_caller]
    pub fn call_id(&mut self) -> String {
        self.wait_for("dialling")["call_id"].as_str().expect("a Call-ID").to_owned()
    }

    /// Hangs up, as Ctrl-C does, and waits for the end.
    #[track_caller]
    pub fn hang_up(&mut self) {
        signal("TERM", self.child.id());
        self.wait_until_over();
    }

    /// Waits until the call has come to a good end.
    #[track_caller]
    pub fn wait_until_over(&mut self) {
        let status = wait_for(PATIENCE, || self.child.try_wait().expect("our child"));
        assert!(status.expect("the call does not end").success(), "the phone has failed");
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("── the caller's story ──\n{}{}", self.file("story"), self.file("errors"));
        }
    }
}
