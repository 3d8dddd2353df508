//! Each scenario of `sipp-scenarios/` with SIPp against the built program, all at the same time.
//!
//! Beside what a scenario itself asks for: nothing is sent or received twice, by SIPp's counts and by
//! ours; the call's record tells the same story, and the log none of what is said; and when all is over, no
//! dialog, transaction, call or port is left.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use common::plan::{Agent, Plan, SCRIPT};
use common::server::Server;
use common::sipp::{Caller, Phone, call_id};
use common::{free_port, has_tool};

/// A caller, perhaps a human, and how their call is to end.
struct Story {
    /// Whom the caller calls: the agent of this story.
    name: &'static str,
    caller: &'static str,
    args: &'static [&'static str],
    human: Human,
    ring_ms: u32,
    /// The ways to a human that the call's record tells of, method and outcome; `None`: it never became a
    /// call.
    transfers: Option<&'static [(&'static str, &'static str)]>,
}

/// The human's phone.
enum Human {
    /// There is none.
    None,
    /// It runs this scenario, for so many calls.
    Phone(&'static str, u32),
    /// It must not ring.
    NotCalled,
}

const PLAIN: Story = Story {
    name: "",
    caller: "",
    args: &["-d", "500"],
    human: Human::None,
    ring_ms: 0,
    transfers: Some(&[]),
};

const STORIES: [Story; 16] = [
    Story { name: "hangs-up", caller: "caller_hangs_up.xml", ..PLAIN },
    Story {
        name: "hangs-up-tcp",
        caller: "caller_hangs_up.xml",
        args: &["-d", "500", "-t", "t1"],
        ..PLAIN
    },
    Story { name: "cancels", caller: "caller_cancels.xml", ring_ms: 20_000, ..PLAIN },
    Story {
        name: "repeats-invite",
        caller: "caller_repeats_invite.xml",
        args: &["-d", "500", "-nr"],
        ring_ms: 1000,
        ..PLAIN
    },
    Story { name: "holds", caller: "caller_holds.xml", ..PLAIN },
    Story { name: "without-codec", caller: "caller_without_codec.xml", transfers: None, ..PLAIN },
    Story { name: "asks-options", caller: "caller_asks_options.xml", transfers: None, ..PLAIN },
    Story {
        name: "follows-refer",
        caller: "caller_follows_refer.xml",
        human: Human::NotCalled,
        transfers: Some(&[("refer", "connected")]),
        ..PLAIN
    },
    Story {
        name: "declines-refer",
        caller: "caller_declines_refer.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_answers.xml", 1),
        transfers: Some(&[("refer", "refer_rejected"), ("bridge", "connected")]),
        ..PLAIN
    },
    Story {
        name: "knows-no-refer",
        caller: "caller_knows_no_refer.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_answers.xml", 1),
        transfers: Some(&[("refer", "refer_rejected"), ("bridge", "connected")]),
        ..PLAIN
    },
    Story {
        name: "refer-fails",
        caller: "caller_refer_fails.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_answers.xml", 1),
        transfers: Some(&[("refer", "unreachable"), ("bridge", "connected")]),
        ..PLAIN
    },
    Story {
        name: "refer-silent",
        caller: "caller_refer_silent.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_answers.xml", 1),
        transfers: Some(&[("refer", "refer_timeout"), ("bridge", "connected")]),
        ..PLAIN
    },
    Story {
        name: "refer-gone",
        caller: "caller_refer_gone.xml",
        human: Human::NotCalled,
        transfers: Some(&[("refer", "refer_timeout")]),
        ..PLAIN
    },
    Story {
        name: "leaves-early",
        caller: "caller_declines_refer.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_rings.xml", 1),
        transfers: Some(&[("refer", "refer_rejected"), ("bridge", "caller_abandoned")]),
        ..PLAIN
    },
    Story {
        name: "human-busy",
        caller: "caller_tries_again.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_busy_then_answers.xml", 2),
        transfers: Some(&[
            ("refer", "refer_rejected"),
            ("bridge", "busy"),
            ("refer", "refer_rejected"),
            ("bridge", "connected"),
        ]),
        ..PLAIN
    },
    Story {
        name: "human-silent",
        caller: "caller_tries_again.xml",
        args: &["-d", "2000"],
        human: Human::Phone("human_misses_then_answers.xml", 2),
        transfers: Some(&[
            ("refer", "refer_rejected"),
            ("bridge", "no_answer"),
            ("refer", "refer_rejected"),
            ("bridge", "connected"),
        ]),
        ..PLAIN
    },
];

/// What our side repeats on purpose: the 180 for the INVITE that comes twice, and the 200 whose ACK is
/// late (`caller_repeats_invite.xml`).
const REPEATED_SENT: f64 = 2.0;
/// What comes twice on purpose: that INVITE.
const REPEATED_RECEIVED: f64 = 1.0;

#[test]
fn scenarios_go_as_written_repeat_nothing_and_leave_nothing() {
    if !has_tool("sipp", &["-v"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ports = STORIES.map(|_| free_port());
    let agents = STORIES.iter().zip(ports).map(|(story, port)| story.agent(port));
    let mut server =
        Server::start(&Plan { store: "memory:", network: "127.0.0.0/8", agents: agents.collect() });

    let failures: Vec<String> = thread::scope(|scope| {
        let (server, folder) = (&server, folder.path());
        let told = STORIES.iter().zip(ports);
        let told = told.map(|(story, port)| scope.spawn(move || story.tell(server, port, folder)));
        let told: Vec<_> = told.collect();
        told.into_iter().filter_map(|story| story.join().expect("no panic").err()).collect()
    });

    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let metrics = server.wait_until_quiet();
    let repeated = |direction: &str| {
        let label = format!("direction=\"{direction}\"");
        metrics.of("sip_retransmissions_total", &label).unwrap_or_default()
    };
    assert_eq!((repeated("sent"), repeated("received")), (REPEATED_SENT, REPEATED_RECEIVED));
    assert_eq!(metrics.sum("sip_dropped_total").unwrap_or_default(), 0.0, "{metrics}");
    assert!(server.is_alive());
    assert_eq!(server.complaints(), [""; 0]);
    check_privacy(&server.log());
}

/// What belongs to a person is in no log: neither who calls nor what is said.
fn check_privacy(log: &str) {
    assert!(log.contains("escalated"), "the log tells no story");
    for words in SCRIPT.lines().chain(["sip:caller@", "sip:human@", "\"Caller\""]) {
        let told = log.lines().find(|line| line.contains(words));
        assert_eq!(told, None, "`{words}`");
    }
}

/// A file that nobody runs proves nothing.
#[test]
fn every_scenario_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp-scenarios");
    let names = fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("a file"));
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let files: BTreeSet<String> = names.filter(|name| name.ends_with(".xml")).collect();
    let run = STORIES.iter().flat_map(|story| [Some(story.caller), story.human.scenario()]);
    let run: BTreeSet<String> = run.flatten().map(str::to_owned).collect();
    assert_eq!(files, run);
}

impl Story {
    fn agent(&self, human_port: u16) -> Agent {
        Agent {
            name: self.name.to_owned(),
            ring_ms: self.ring_ms,
            method: &["refer", "bridge"],
            ring_secs: 5,
            human_port,
        }
    }

    /// Runs it from the first INVITE to the last BYE.
    fn tell(&self, server: &Server, human_port: u16, folder: &Path) -> Result<(), String> {
        let in_story = |why: String| format!("── {} ──\n{why}", self.name);
        let folder = folder.join(self.name);
        let human = self.human.scenario().map(|scenario| {
            let phone =
                Phone::waits(scenario, human_port, self.human.calls(), folder.join("human"));
            phone.wait_until_it_listens(human_port).map(|()| phone)
        });
        let human = human.transpose().map_err(in_story)?;
        let caller = Caller {
            scenario: self.caller,
            args: self.args,
            server: server.sip,
            called: self.name,
            voice: &voice(),
        };
        let call = Phone::calls(&caller, folder.join("caller")).finish().map_err(in_story)?;
        let ring = human.map(|phone| match self.human {
            Human::NotCalled => phone.dismiss(),
            Human::None | Human::Phone(..) => phone.finish(),
        });
        let ring = ring.transpose().map_err(in_story)?.unwrap_or_default();
        self.check_key(&call, &ring).map_err(in_story)?;
        self.check_record(server).map_err(in_story)
    }

    /// The key of the call's record reaches the human's side: in the Refer-To of each REFER, and in each
    /// INVITE of ours.
    fn check_key(&self, call: &str, ring: &str) -> Result<(), String> {
        let key = call_id(self.name);
        let in_refer = format!("?X-Tandem-Call-ID={}>", key.replace('@', "%40"));
        let in_invite = format!("X-Tandem-Call-ID: {key}\r\n");
        let ways = self.transfers.unwrap_or_default();
        for (method, text, field) in [("refer", call, in_refer), ("bridge", ring, in_invite)] {
            let told = text.matches(&field).count();
            let tried = ways.iter().filter(|(tried, _)| *tried == method).count();
            if told != tried {
                return Err(format!("`{}` {told} times instead of {tried}:\n{text}", field.trim()));
            }
        }
        Ok(())
    }

    /// The call's record says how the ways to a human ended.
    fn check_record(&self, server: &Server) -> Result<(), String> {
        let Some(transfers) = self.transfers else { return Ok(()) };
        let record = server.json(&format!("/v1/calls/{}", call_id(self.name).replace('@', "%40")));
        let record = record.map_err(|why| format!("no record: {why}"))?;
        let told = record["transfers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let told = told.iter().map(|one| (one["method"].as_str(), one["outcome"].as_str()));
        let told: Vec<_> = told.collect();
        let expected = transfers.iter().map(|&(method, outcome)| (Some(method), Some(outcome)));
        let expected: Vec<_> = expected.collect();
        if told == expected { Ok(()) } else { Err(format!("the record says {told:?}: {record:#}")) }
    }
}

impl Human {
    fn scenario(&self) -> Option<&'static str> {
        match self {
            Human::None => None,
            Human::Phone(scenario, _) => Some(scenario),
            Human::NotCalled => Some("human_not_called.xml"),
        }
    }

    fn calls(&self) -> u32 {
        match self {
            Human::Phone(_, calls) => *calls,
            Human::None | Human::NotCalled => 1,
        }
    }
}

/// What each caller says: half a second of silence, a second of sound, two seconds of silence, in µ-law.
/// The recogniser is scripted and voice activity goes by loudness, so a tone is speech enough.
fn voice() -> Vec<u8> {
    const SILENCE: u8 = 0xff;
    const LOUD: [u8; 2] = [0x90, 0x10];
    let silence = |tenths: usize| std::iter::repeat_n(SILENCE, 800 * tenths);
    // Ten samples up, ten down: 400 Hz.
    let sound = (0..8000).map(|n| LOUD[n / 10 % 2]);
    silence(5).chain(sound).chain(silence(20)).collect()
}
