//! The built program as it is shipped: its own dialplan, real recognition, a real voice, and a real
//! language model where one is wanted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::place::{OWN_DIALPLAN, Place};
use crate::common::plan::NO_MODEL;
use crate::common::server::Server;
use crate::common::sipp::Phone;
use crate::common::{at, free_port, has_file, signal, wait_for};

/// The language model of the tests.
const MODEL: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m";

/// Its file: in `models/`, and as a link in the folder of a server, where it can be taken away.
const MODEL_FILE: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

/// How long its server may take to load it.
const LOAD_TIME: Duration = Duration::from_secs(60);

/// A server, and the phone of the human that its dialplan names.
pub struct Line {
    pub server: Server,
    human: Phone,
    human_port: u16,
}

/// What differs from line to line.
#[derive(Default)]
pub struct Wishes {
    /// Whether agents think.
    pub model: bool,
    /// `[desk] webhook`, as TOML.
    pub webhook: Option<String>,
}

impl Line {
    /// Opens it; `None` if this machine has no models, and the test is skipped.
    pub fn open(wishes: &Wishes) -> Option<Self> {
        let ears = ["ggml-tiny.en-q8_0.bin", "ggml-silero-v6.2.0.bin"];
        let mut needed: Vec<PathBuf> = ears.iter().map(|name| models().join(name)).collect();
        if wishes.model {
            needed.extend([models().join("venv/bin/python"), model_file()]);
        }
        if !needed.iter().all(|file| has_file(file)) {
            return None;
        }
        let place = Place::new();
        let human_port = free_port();
        write_dialplan(&place, human_port);
        place.write("tandem.toml", &configuration(&place, wishes));
        if wishes.model {
            lend_model(&place);
        }
        let server = Server::start_in(place);
        let human = Phone::waits("human_answers.xml", human_port, 100, server.path("human"));
        human.wait_until_it_listens(human_port).expect("the human's phone");
        let line = Line { server, human, human_port };
        if wishes.model {
            line.wait_for_model(true);
        }
        Some(line)
    }

    /// Where callers are referred to.
    pub fn human_uri(&self) -> String {
        format!("sip:human@{}", at(self.human_port))
    }

    /// Waits until the program knows that the language model answers, or that it does not.
    #[track_caller]
    pub fn wait_for_model(&self, ready: bool) {
        let value = f64::from(u8::from(ready));
        let is_so = || self.server.metrics().sum("llm_ready") == Some(value);
        let known = wait_for(LOAD_TIME, || is_so().then_some(()));
        known.unwrap_or_else(|| panic!("`llm_ready` does not become {value}"));
    }

    /// The process with the language model: the child of the one that watches over it for us.
    pub fn model_process(&self) -> Option<u32> {
        let watcher = child_of(self.server.process())?;
        child_of(watcher)
    }

    /// Kills it, and takes its file away, so that it cannot be started again. Returns which process it was.
    #[track_caller]
    pub fn kill_model(&self) -> u32 {
        fs::remove_file(self.server.path(MODEL_FILE)).expect("a link in our own folder");
        let process = self.model_process().expect("a process with the model");
        signal("KILL", process);
        process
    }

    /// Gives the model's file back.
    pub fn give_model_back(&self) {
        let link = self.server.path(MODEL_FILE);
        symlink(model_file(), link).expect("a link in our own folder");
    }

    /// Ends the human's phone, and returns every message of its calls: each was answered and ended.
    #[track_caller]
    pub fn close(self) -> String {
        self.human.dismiss().unwrap_or_else(|why| panic!("the human's phone: {why}"))
    }
}

fn lend_model(place: &Place) {
    symlink(model_file(), place.path(MODEL_FILE)).expect("a link in our own folder");
}

/// A process that this one has started, by what Linux tells of all: `PID (name) state PARENT …`.
fn child_of(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.find(|process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1) == Some(&parent.to_string())
    })
}

fn models() -> PathBuf {
    root().join("models")
}

fn model_file() -> PathBuf {
    models().join(MODEL_FILE)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `dialplans/` has, with the human's phone at a port of its own.
fn write_dialplan(place: &Place, human_port: u16) {
    let shipped = |name: &str| {
        fs::read_to_string(root().join("dialplans").join(name)).expect("a file of the repository")
    };
    for name in ["personas/demo.md", "phrases/human.txt"] {
        place.write(&format!("dialplans/{name}"), &shipped(name));
    }
    let demo = shipped("demo.toml");
    let [before, after] = demo.split("\"sip:human@127.0.0.1:5070\"").collect::<Vec<_>>()[..] else {
        panic!("the dialplan names the human's phone once")
    };
    let human = at(human_port);
    place.write("dialplans/demo.toml", &format!("{before}\"sip:human@{human}\"{after}"));
}

/// `tandem.toml`: where things are; what is not here has its default.
fn configuration(place: &Place, wishes: &Wishes) -> String {
    let speech = format!("model = \"{}/models/ggml-tiny.en-q8_0.bin\"", root().display());
    let llm = if wishes.model { thinking(free_port()) } else { NO_MODEL.to_owned() };
    let webhook = wishes.webhook.as_deref().map(|webhook| format!("webhook = {webhook}\n"));
    let configuration = place.configuration(&speech, &llm, "sqlite:tandem.db");
    configuration + &webhook.unwrap_or_default() + OWN_DIALPLAN
}

/// The small model beside us. It may take its time: how quick it is says nothing about us.
fn thinking(port: u16) -> String {
    let program = root().join("tools/llama-server");
    format!(
        r#"url = "http://127.0.0.1:{port}/v1"
model = "{MODEL}"
spawn = ["{}", "--model", "{MODEL_FILE}", "--port", "{port}"]
deadline_ms = 60000"#,
        program.display()
    )
}
