//! The built program whose store is refused: at the start, and while a call goes on.

#![cfg(feature = "sqlite")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::caller::Caller;
use common::plan::{Agent, Plan};
use common::server::Server;
use common::sipp::Phone;
use common::{PROGRAM, free_port, has_tool, wait_for};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::runtime::Runtime;

/// The file of the store, in the server's folder.
const FILE: &str = "tandem.db";

/// How long readiness may take to follow the store: it is tried again after 2 s at most, and waits 1 s
/// for whoever writes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody else writes the file and does not let go of it (a backup, a forgotten shell) while a caller
/// is briefed for a human, handed over, and gone.
#[test]
fn a_call_outlives_a_store_that_cannot_be_written_and_is_whole_in_it_afterwards() {
    if !has_tool("sipp", &["-v"]) {
        return;
    }
    let (mut server, human) = start();
    // It rings long enough to take the store away before the agent answers.
    let mut caller = Caller::calls(&server, "desk", &["--say", "may I speak to a person"]);
    let call_id = caller.call_id();
    let desk = format!("/v1/calls/{call_id}");
    caller.wait_for("ringing");
    let invited = wait_for(PATIENCE, || server.context(&call_id).ok());
    let invited = invited.expect("the beginning of the call is in the store");

    let lock = Lock::take(&server.path(FILE));
    caller.wait_for("target_answered");
    caller.wait_for("referrer_left");
    caller.hang_up();
    let human = human.finish().expect("the human was called once, with the key of the briefing");
    assert!(human.contains(&format!("X-Tandem-Call-ID: {call_id}\r\n")), "{human}");

    wait_for_readiness(&server, 503, "the context store does not write");
    let known = server.json(&desk).expect("the desk shows what is in memory");
    check_story(&known);
    assert_eq!(server.context(&call_id), Ok(invited), "somebody wrote in spite of the lock");
    assert!(server.metrics().sum("store_backlog_entries") > Some(0.0));

    lock.release();
    wait_for_readiness(&server, 200, "ready");
    assert_eq!(server.context(&call_id), Ok(known), "what was known is not what is kept");
    let metrics = server.metrics();
    assert_eq!(metrics.sum("store_backlog_entries"), Some(0.0));
    assert_eq!(metrics.sum("store_lost_entries_total"), None, "{metrics}");
    assert!(server.is_alive());
    let [complaint] = &server.complaints()[..] else { panic!("{:?}", server.complaints()) };
    assert!(
        complaint.contains("the context store fails; entries are kept in memory"),
        "{complaint}"
    );
}

/// What was written survives a kill, and a call that it cut off has an end when the program is back.
#[test]
fn a_call_that_a_crash_cuts_off_is_closed_at_the_next_start() {
    let agent = Agent { ring_ms: 0, ..agent(free_port()) };
    let mut server = Server::start(&Plan { agents: vec![agent], ..plan() });
    let mut caller = Caller::calls(&server, "desk", &["--dtmf", "5"]);
    let call_id = caller.call_id();
    caller.wait_for("pressed");
    let kept = || server.context(&call_id).ok().filter(|call| call["keys"][0]["digit"] == "5");
    let before = wait_for(PATIENCE, kept).expect("the key is in the store");

    server.crash_and_start_again();

    let closed = || server.context(&call_id).ok().filter(|call| call["state"] == "disconnected");
    let after = wait_for(PATIENCE, closed).expect("the call is closed in the store");
    assert_eq!(after["ending"]["reason"], "interrupted", "{after:#}");
    for kept in ["began", "answered", "keys", "agent", "caller"] {
        assert_eq!(after[kept], before[kept], "{after:#}");
    }
    let listed = server.json("/v1/calls?state=live").expect("the desk");
    assert_eq!(listed, json!({ "calls": [], "complete": true }));
}

/// An agent that hands over by REFER, and the phone of its human.
fn start() -> (Server, Phone) {
    let human_port = free_port();
    let server = Server::start(&Plan { agents: vec![agent(human_port)], ..plan() });
    let human = Phone::waits("human_answers.xml", human_port, 1, server.path("human"));
    human.wait_until_it_listens(human_port).expect("a phone");
    (server, human)
}

fn plan() -> Plan {
    Plan { store: "sqlite:tandem.db", network: "127.0.0.1/32", agents: vec![] }
}

fn agent(human_port: u16) -> Agent {
    let name = "desk".to_owned();
    Agent { name, ring_ms: 4000, method: &["refer"], ring_secs: 5, human_port }
}

/// The whole call is known: what fired, what the human was told, and how it ended.
fn check_story(call: &Value) {
    assert_eq!(call["state"], "disconnected", "{call:#}");
    assert_eq!(call["escalation"]["reason"], "customer_request", "{call:#}");
    assert_eq!(call["briefing"]["trigger_turn"], call["escalation"]["turn"], "{call:#}");
    let transfers = call["transfers"].as_array().expect("a list");
    let transfers: Vec<_> = transfers.iter().map(|one| (&one["method"], &one["outcome"])).collect();
    assert_eq!(transfers, [(&json!("refer"), &json!("connected"))], "{call:#}");
    assert_eq!(call["ending"]["reason"], "transferred", "{call:#}");
}

#[track_caller]
fn wait_for_readiness(server: &Server, status: u16, words: &str) {
    let answer = || server.get("/readyz").expect("the desk answers");
    let ready = wait_for(PATIENCE, || {
        let (told, text) = answer();
        (told == status && text.contains(words)).then_some(())
    });
    assert!(ready.is_some(), "not {status} `{words}`, but {:?}", answer());
}

/// The one lock on the file with which it can be written, held by somebody else.
struct Lock {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Lock {
    fn take(file: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = runtime.block_on(options.connect()).expect("the store's file");
        let taken = runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut connection));
        taken.expect("the lock");
        Lock { runtime, connection }
    }

    fn release(mut self) {
        let rolled_back = sqlx::query("ROLLBACK").execute(&mut self.connection);
        self.runtime.block_on(rolled_back).expect("the end of the lock");
    }
}

/// What cannot be had at the start ends the program, with one line that names it.
#[test]
fn a_store_that_cannot_be_opened_is_refused_at_the_start() {
    for file in ["nowhere/tandem.db", "notes.txt", "."] {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("[store]\nurl = \"sqlite:{file}\"\n");
        fs::write(folder.path().join("tandem.toml"), text).expect("written");
        fs::write(folder.path().join("notes.txt"), "no database ".repeat(99)).expect("written");

        let mut command = Command::new(PROGRAM);
        let ended = command.arg("run").current_dir(folder.path()).output().expect("it starts");

        let told = String::from_utf8(ended.stderr).expect("text");
        let expected = format!("error: cannot open the store `{file}`: ");
        assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}");
        assert_eq!((ended.status.code(), ended.stdout), (Some(1), vec![]), "{told}");
    }
}
