//! Phones that somebody else wrote: Debian's baresip calls, says what a person once said or presses a key, and
//! comes to another baresip, all at the same time, with real recognition and the real voice.
//!
//! What both phones sent, received and heard, and what another process finds in the store, is one story; and
//! when all is over, nothing is left of it in the program.

#![cfg(all(feature = "whisper", feature = "flite", feature = "sqlite"))]

#[path = "baresip/checks.rs"]
mod checks;
mod common;
#[path = "baresip/control.rs"]
mod control;
#[path = "baresip/phone.rs"]
mod phone;
#[path = "baresip/sound.rs"]
mod sound;
#[path = "baresip/trace.rs"]
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use checks::Told;
use common::place::{OWN_DIALPLAN, Place};
use common::plan::{Agent, NO_MODEL, Plan};
use common::server::Server;
use common::{has_file, has_tool, wait_for};
use phone::{Phone, free_ports};

/// How long the server may take until its record of a call tells what happened.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long the caller and the human talk.
const TALK_SECS: u64 = 3;

/// What they say to each other, again and again: somebody reads a book.
const CALLERS_WORDS: &str = "ill-disposed";
const HUMANS_WORDS: &str = "amiable";

/// A caller, and the human that they come to.
struct Story {
    /// Whom the caller calls: the agent of this story.
    name: &'static str,
    transport: &'static str,
    /// Who holds the call and comes back: the caller while the agent is there, the human while the caller is.
    holds: Option<Side>,
    asks: Asks,
    /// How this agent hands over.
    method: &'static [&'static str],
    human: Human,
    /// The ways to the human that the call's record tells of, method and outcome.
    ways: &'static [(&'static str, &'static str)],
    hangs_up: Side,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Caller,
    Human,
}

/// How the caller asks for a person.
enum Asks {
    /// In the words of a recording, again until they are understood, as one of them tells.
    Says { recording: &'static str, word: &'static str },
    /// By a key.
    Presses(&'static str),
}

/// What the human's phone does.
#[derive(Clone, Copy, PartialEq)]
enum Human {
    Answers,
    RefusesFirst,
}

const PLAIN: Story = Story {
    name: "",
    transport: "udp",
    holds: None,
    asks: Asks::Presses("0"),
    method: &["refer", "bridge"],
    human: Human::Answers,
    ways: &[("refer", "connected")],
    hangs_up: Side::Human,
};

const STORIES: [Story; 5] = [
    Story {
        name: "referred",
        asks: Asks::Says { recording: "number-representative", word: "representative" },
        ..PLAIN
    },
    Story {
        name: "referred-tcp",
        transport: "tcp",
        asks: Asks::Says { recording: "waiting", word: "representative" },
        ..PLAIN
    },
    Story {
        name: "bridged",
        asks: Asks::Says { recording: "waiting", word: "representative" },
        method: &["bridge"],
        holds: Some(Side::Human),
        ways: &[("bridge", "connected")],
        ..PLAIN
    },
    Story { name: "holds", holds: Some(Side::Caller), ..PLAIN },
    Story {
        name: "refused",
        human: Human::RefusesFirst,
        ways: &[("refer", "busy"), ("bridge", "connected")],
        hangs_up: Side::Caller,
        ..PLAIN
    },
];

/// The key that asks for a person, beside the words that do.
const KEY_RULE: &str = r#"
[[triggers.person.rule]]
id = "key"
when = { key = "0" }
reason = "customer_request"
"#;

#[test]
fn baresip_asks_for_a_person_talks_with_one_and_leaves_nothing() {
    if !has_tool("baresip", &["-h"]) || !files().iter().all(|file| has_file(file)) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ports = STORIES.map(|_| free_ports());
    let mut server = start(&ports);

    thread::scope(|scope| {
        let (server, folder) = (&server, folder.path());
        let told = STORIES.iter().zip(ports);
        let told = told.map(|(story, port)| scope.spawn(move || story.tell(server, port, folder)));
        let told: Vec<_> = told.collect();
        let failed = told.into_iter().filter_map(|story| story.join().err()).count();
        assert_eq!(failed, 0, "stories failed: each says why");
    });

    let metrics = server.wait_until_quiet();
    assert_eq!(metrics.sum("sip_dropped_total").unwrap_or_default(), 0.0, "{metrics}");
    assert!(server.is_alive());
    assert_eq!(server.complaints(), [""; 0]);
}

/// Models and recordings.
fn files() -> Vec<PathBuf> {
    let spoken = STORIES.iter().filter_map(|story| match story.asks {
        Asks::Says { recording, .. } => Some(recording),
        Asks::Presses(_) => None,
    });
    let recordings = spoken.chain([CALLERS_WORDS, HUMANS_WORDS]).map(sound::file);
    let models = ["ggml-tiny.en-q8_0.bin", "ggml-silero-v6.2.0.bin"].map(model);
    recordings.chain(models).collect()
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// Starts the server: real recognition, the real voice, and no language model, since who asks for a person
/// needs none.
fn start(human_ports: &[u16]) -> Server {
    let place = Place::new();
    let agents = STORIES.iter().zip(human_ports).map(|(story, port)| story.agent(*port));
    let plan = Plan { store: "sqlite:tandem.db", network: "127.0.0.0/8", agents: agents.collect() };
    place.write("tandem.toml", &configuration(&place, plan.store));
    place.write("dialplans/test.toml", &(plan.dialplan() + KEY_RULE));
    place.write("dialplans/persona.md", "You answer the phone of a small company.\n");
    place.write("dialplans/human.txt", include_str!("../dialplans/phrases/human.txt"));
    Server::start_in(place)
}

/// `tandem.toml`: what is not here has its default.
fn configuration(place: &Place, store: &str) -> String {
    let speech = format!("model = {:?}", model("ggml-tiny.en-q8_0.bin"));
    place.configuration(&speech, NO_MODEL, store) + OWN_DIALPLAN
}

impl Story {
    fn agent(&self, human_port: u16) -> Agent {
        let (name, method) = (self.name.to_owned(), self.method);
        Agent { name, ring_ms: 0, method, ring_secs: 20, human_port }
    }

    /// Whether the caller's phone calls the human in the end.
    fn is_referred(&self) -> bool {
        self.ways.last() == Some(&("refer", "connected"))
    }

    /// Runs it from the first INVITE to the last BYE.
    fn tell(&self, server: &Server, human_port: u16, folder: &Path) {
        let [callers, humans] = ["caller", "human"].map(|name| {
            let folder = folder.join(format!("{}-{name}", self.name));
            fs::create_dir(&folder).expect("a folder in our own folder");
            folder
        });
        let words = [CALLERS_WORDS, HUMANS_WORDS].map(sound::recording);
        let callers_words = sound::again_and_again(&callers, "words", &words[0]);
        let humans_words = sound::again_and_again(&humans, "words", &words[1]);
        let silence = sound::again_and_again(&callers, "silence", &[0]);
        let mut human = Phone::human(&humans, human_port, self.answer_mode(), &humans_words);
        let mut caller = Phone::caller(&callers, self.transport, &silence);

        let call = self.call(server, &mut caller);
        let _shown = ShownOnFailure { server, call: &call };
        if self.holds == Some(Side::Caller) {
            caller.holds();
            wait_for_record(server, &call, |read| read["on_hold"] == true);
            caller.comes_back();
            wait_for_record(server, &call, |read| read["on_hold"] == false);
        }
        self.ask(&mut caller, &callers);
        if self.human == Human::RefusesFirst {
            refuse_then_accept(&mut human);
        }
        let joined = self.wait_until_joined(server, &mut caller, &mut human, &call);
        caller.says(&callers_words);
        self.talk(&caller, &mut human);
        self.hang_up(&mut caller, &mut human, &joined);
        wait_for_record(server, &call, |read| read["state"] == "disconnected");

        let told = Told {
            call: &call,
            record: server.context(&call).expect("a record"),
            callers_messages: caller.quits(),
            humans_messages: human.quits(),
        };
        checks::check_heard(&words[0], &human.heard(), &caller.heard());
        checks::check_heard(&words[1], &caller.heard(), &human.heard());
        told.check(self);
    }

    fn answer_mode(&self) -> &'static str {
        match self.human {
            Human::Answers => "auto",
            Human::RefusesFirst => "manual",
        }
    }

    /// Calls, and waits until the greeting has been said. Returns the key of the call.
    fn call(&self, server: &Server, caller: &mut Phone) -> String {
        caller.does("dial", &format!("sip:{}@{}", self.name, server.sip));
        let call = caller.waits_for("CALL_ESTABLISHED", |_| true);
        wait_for_record(server, &format!("{call}/transcript"), |read| read["turns_total"] == 1);
        call
    }

    fn ask(&self, caller: &mut Phone, folder: &Path) {
        match self.asks {
            Asks::Says { recording, .. } => {
                let recording = sound::recording(recording);
                caller.says(&sound::again_and_again(folder, "request", &recording));
            }
            Asks::Presses(key) => drop(caller.does("sndcode", key)),
        }
    }

    /// Waits until the caller is with the human. Returns the Call-ID of the caller's dialog then.
    fn wait_until_joined(
        &self,
        server: &Server,
        caller: &mut Phone,
        human: &mut Phone,
        call: &str,
    ) -> String {
        if self.is_referred() {
            let joined = caller.waits_for("CALL_ESTABLISHED", |id| id != call);
            human.waits_for("CALL_ESTABLISHED", |id| id == joined);
            caller.waits_for("CALL_CLOSED", |id| id == call);
            // From here on they talk without us.
            wait_for_record(server, call, |read| read["state"] == "disconnected");
            joined
        } else {
            human.waits_for("CALL_ESTABLISHED", |id| id != call);
            wait_for_record(server, call, |read| read["state"] == "connected");
            call.to_owned()
        }
    }

    /// The two hear each other.
    fn talk(&self, caller: &Phone, human: &mut Phone) {
        human.hears_for(TALK_SECS);
        if self.holds == Some(Side::Human) {
            human.holds();
            human.comes_back();
        }
        caller.hears_for(1);
    }

    /// One side hangs up, and the other side hears of it.
    fn hang_up(&self, caller: &mut Phone, human: &mut Phone, joined: &str) {
        match self.hangs_up {
            Side::Caller => {
                let answered = human.waits_for("CALL_ESTABLISHED", |_| true);
                caller.does("hangup", "");
                human.waits_for("CALL_CLOSED", |id| id == answered);
            }
            Side::Human => {
                human.does("hangup", "");
                caller.waits_for("CALL_CLOSED", |id| id == joined);
            }
        }
    }
}

/// The human takes the second call only: the one by which the caller, who was kept, is brought again.
fn refuse_then_accept(human: &mut Phone) {
    let first = human.waits_for("CALL_INCOMING", |_| true);
    human.does("hangup", "");
    human.waits_for("CALL_INCOMING", |id| id != first);
    human.does("accept", "");
}

/// Waits until the desk tells so of a call.
fn wait_for_record(server: &Server, path: &str, is_so: impl Fn(&Value) -> bool) {
    let read = || server.json(&format!("/v1/calls/{path}"));
    let is_so = wait_for(PATIENCE, || read().ok().filter(&is_so));
    assert!(is_so.is_some(), "this stays so: {:#?}", read());
}

/// Shows what the desk knows of a call if its story fails.
struct ShownOnFailure<'a> {
    server: &'a Server,
    call: &'a str,
}

impl Drop for ShownOnFailure<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            for part in ["", "/transcript"] {
                let read = self.server.json(&format!("/v1/calls/{}{part}", self.call));
                eprintln!("── {}{part} ──\n{read:#?}", self.call);
            }
        }
    }
}
