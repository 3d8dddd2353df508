//! The commands that end by themselves, as people run them: the built binary, its output to the letter, its
//! exit status.

mod common;
#[path = "cli/machine.rs"]
mod machine;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::wait_for;

use tempfile::TempDir;

/// A dialplan without a mistake, which the tests break.
const RIGHT: &str = r#"schema = 1

[trunk.pbx]
networks = ["10.0.0.0/24"]

[[route]]
name = "all"
match = { trunk = "pbx" }
do = ["agent:a"]

[agent.a]
persona = "a.md"
greeting = "Hello. How can I help?"
triggers = "t"
transfer = "cold"

[[triggers.t.rule]]
id = "explicit"
when = { phrases = "human.txt" }
reason = "customer_request"

[transfer.cold]
mode = "cold"
target = "human:sarah"
method = ["refer", "bridge"]

[human.sarah]
name = "Sarah"
uri = "sip:sarah@10.0.0.10"
"#;

/// How long a command may take that ends by itself.
const END_TIME: Duration = Duration::from_secs(20);

/// What a command printed, and how it ended.
#[derive(Debug, PartialEq)]
struct Ended {
    out: String,
    err: String,
    status: i32,
}

/// A folder with a configuration and a dialplan of one file.
fn folder(dialplan: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let dialplans = folder.path().join("dialplans");
    fs::create_dir(&dialplans).expect("made");
    for (name, text) in
        [("a.toml", dialplan), ("a.md", "You are brief.\n"), ("human.txt", "speak to a human\n")]
    {
        fs::write(dialplans.join(name), text).expect("written");
    }
    fs::write(folder.path().join("tandem.toml"), "[dialplans]\nfolder = \"dialplans\"\n")
        .expect("written");
    folder
}

fn tandem(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).current_dir(folder).env_remove("TANDEM_DESK_TOKEN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let ended = wait_for(END_TIME, || child.try_wait().expect("a child of ours"));
    if ended.is_none() {
        child.kill().expect("a child of ours");
    }
    let output = child.wait_with_output().expect("its output");
    assert!(ended.is_some(), "{arguments:?} does not end: {output:?}");
    Ended {
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
        status: output.status.code().expect("it ends by itself"),
    }
}

/// Checks the right dialplan with one piece of it replaced, and compares all that is told.
#[track_caller]
fn check(piece: &str, broken: &str, told: &[&str], status: i32) {
    assert_eq!(RIGHT.matches(piece).count(), 1, "`{piece}` is one piece of the dialplan");
    let folder = folder(&RIGHT.replace(piece, broken));
    let ended = tandem(folder.path(), &["check"]);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines, told, "`{broken}` for `{piece}`");
    assert_eq!(ended.status, status);
}

#[test]
fn a_right_dialplan_is_counted() {
    let folder = folder(RIGHT);
    let out = "dialplans: 1 trunk, 1 route, 1 agent, 1 transfer, 1 human\n".to_owned();
    let right = Ended { out, err: String::new(), status: 0 };
    assert_eq!(tandem(folder.path(), &["check"]), right);
}

#[test]
fn without_any_file_the_built_in_demo_is_right() {
    let empty = tempfile::tempdir().expect("a folder");
    let ended = tandem(empty.path(), &["check"]);
    assert_eq!((ended.err.as_str(), ended.status), ("", 0));
    assert!(ended.out.starts_with("built-in: "), "{}", ended.out);
}

#[test]
fn the_shipped_files_are_without_a_mistake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ended = tandem(root, &["check"]);
    assert_eq!((ended.err.as_str(), ended.status), ("", 0));

    let office = tempfile::tempdir().expect("a folder");
    let folder = root.join("dialplans/examples/office");
    let text = format!(
        "[desk]\nurl = \"https://desk.example.com\"\n[dialplans]\nfolder = {:?}\n",
        folder.display().to_string()
    );
    fs::write(office.path().join("tandem.toml"), text).expect("written");
    let ended = tandem(office.path(), &["check"]);
    assert_eq!((ended.err.as_str(), ended.status), ("", 0));
    assert!(ended.out.ends_with(": 2 trunks, 5 routes, 2 agents, 3 transfers, 2 humans\n"));
}

#[test]
fn an_unknown_key_is_an_error() {
    check(
        "greeting = ",
        "greting = \"Hi\"\ngreeting = ",
        &["error: agent.a.greting: unknown key, did you mean `greeting`? (dialplans/a.toml:13:1)"],
        1,
    );
    // A key that a later version may have is no key of this one.
    check(
        "mode = \"cold\"",
        "mode = \"cold\"\nbriefing = { words_max = 60 }",
        &["error: transfer.cold.briefing: unknown key (dialplans/a.toml:24:1)"],
        1,
    );
}

#[test]
fn a_bad_value_says_what_it_may_be() {
    check(
        "method = [\"refer\", \"bridge\"]",
        "method = [\"refer\", \"replaces\"]\nring_secs = 500",
        &[
            "error: transfer.cold.method: must be refer or bridge, is `replaces` (dialplans/a.toml:25:20)",
            "error: transfer.cold.ring_secs: must be 5 to 120, is 500 (dialplans/a.toml:26:13)",
        ],
        1,
    );
    check(
        "mode = \"cold\"",
        "mode = \"warm\"",
        &["error: transfer.cold.mode: must be cold, is `warm` (dialplans/a.toml:23:8)"],
        1,
    );
    check(
        "{ trunk = \"pbx\" }",
        "{ trunk = \"pbx\", to = \"_1.2\" }",
        &["error: route.match.to: `.` stands only at the end of a pattern (dialplans/a.toml:8:31)"],
        1,
    );
    check(
        "10.0.0.0/24",
        "10.0.0.0/42",
        &["error: trunk.pbx.networks: `10.0.0.0/42` has more than 32 bits (dialplans/a.toml:4:13)"],
        1,
    );
}

#[test]
fn a_name_that_is_nobodys_is_told_where_it_is_used() {
    check(
        "agent:a",
        "agent:b",
        &["error: route.all.do: there is no agent `b` (dialplans/a.toml:9:7)"],
        1,
    );
    check(
        "human:sarah",
        "human:sara",
        &[
            "error: transfer.cold.target: there is no human `sara`, did you mean `sarah`? (dialplans/a.toml:24:10)",
        ],
        1,
    );
    check(
        "reason = \"customer_request\"",
        "reason = \"customer_request\"\ntransfer = \"cald\"",
        &[
            "error: triggers.t.explicit.transfer: there is no transfer `cald`, did you mean `cold`? (dialplans/a.toml:21:12)",
        ],
        1,
    );
    check(
        "\"human.txt\"",
        "\"humans.txt\"",
        &[
            "error: triggers.t.rule.when.phrases: `dialplans/humans.txt`: there is no such file (dialplans/a.toml:19:20)",
        ],
        1,
    );
}

#[test]
fn what_nothing_leads_to_is_a_warning() {
    check(
        "[human.sarah]",
        "[human.jan]\nname = \"Jan\"\nuri = \"tel:+4930555123\"\n[human.sarah]",
        &["warning: human.jan: nothing uses it (dialplans/a.toml:27:8)"],
        0,
    );
    check(
        "{ trunk = \"pbx\" }\ndo = [\"agent:a\"]",
        "{ any = true }\ndo = [\"agent:a\"]\n[[route]]\nname = \"late\"\nmatch = { to = \"1\" }\ndo = [\"reject:404\"]",
        &[
            "warning: route.late: is never reached: `all` above takes every call (dialplans/a.toml:11:8)",
        ],
        0,
    );
    check(
        "{ phrases = \"human.txt\" }",
        "{ key = \"0\" }",
        &[
            "warning: triggers.t: has no rule for callers who ask for a person (dialplans/a.toml:17:12)",
        ],
        0,
    );
}

#[test]
fn a_name_in_two_files_is_told_with_both_places() {
    let folder = folder(RIGHT);
    let second = "schema = 1\n[human.sarah]\nname = \"Sarah\"\nuri = \"sip:sarah@10.0.0.11\"\n";
    fs::write(folder.path().join("dialplans/b.toml"), second).expect("written");
    let ended = tandem(folder.path(), &["check"]);
    assert_eq!(
        ended.err,
        "error: human.sarah: defined twice, first at dialplans/a.toml:27:8 (dialplans/b.toml:2:8)\n"
    );
    assert_eq!(ended.status, 1);
}

#[test]
fn an_agent_must_have_a_way_to_a_human_that_leads_there() {
    check(
        "transfer = \"cold\"\n",
        "",
        &[
            "error: agent.a.transfer: is missing: an agent must have a way to a human (dialplans/a.toml:11:8)",
        ],
        1,
    );
    check(
        "sip:sarah@10.0.0.10",
        "sips:sarah@10.0.0.10",
        &[
            "error: human.sarah.uri: `sips:sarah@10.0.0.10` needs TLS, and there is only UDP and TCP (dialplans/a.toml:29:7)",
        ],
        1,
    );
    check(
        "uri = \"sip:sarah@10.0.0.10\"",
        "uri = \"tel:+4930555123\"\ntrunk = \"pbx\"",
        &[
            "error: transfer.cold.target: tel:+4930555123 leads nowhere: trunk `pbx` has no `peers` (dialplans/a.toml:24:10)",
        ],
        1,
    );
    check(
        "method = [\"refer\", \"bridge\"]",
        "method = [\"bridge\"]\ninherits = \"cold\"",
        &["error: transfer.cold.inherits: leads back to itself (dialplans/a.toml:22:11)"],
        1,
    );
}

#[test]
fn a_trunk_that_follows_no_refer_leaves_the_other_methods() {
    let refuses = "networks = [\"10.0.0.0/24\"]\nrefer = { supported = false }";
    check(
        "networks = [\"10.0.0.0/24\"]",
        refuses,
        &[
            "warning: transfer.cold.method: callers of trunk `pbx` cannot be referred: the next method is used at once (dialplans/a.toml:26:11)",
        ],
        0,
    );
    let only_refer = RIGHT
        .replace("networks = [\"10.0.0.0/24\"]", refuses)
        .replace("[\"refer\", \"bridge\"]", "[\"refer\"]");
    let ended = tandem(folder(&only_refer).path(), &["check"]);
    assert_eq!(
        ended.err,
        "error: transfer.cold.method: no human can be reached: callers of trunk `pbx` cannot be referred, \
         by the route at dialplans/a.toml:10:7 (dialplans/a.toml:26:11)\n"
    );
    assert_eq!(ended.status, 1);
}

#[test]
fn a_caller_who_is_handed_over_hears_no_question_and_no_refusal() {
    let say = "method = [\"refer\", \"bridge\"]\n[transfer.cold.say]\n";
    check(
        "method = [\"refer\", \"bridge\"]",
        &format!("{say}default = \"I cannot handle this.\"\ncustomer_request = \"Are you sure?\""),
        &[
            "error: transfer.cold.say.default: `cannot handle`: say what will be done instead (dialplans/a.toml:27:11)",
            "error: transfer.cold.say.customer_request: asks a question, and a caller who is being handed over is asked nothing (dialplans/a.toml:28:20)",
        ],
        1,
    );
    check(
        "method = [\"refer\", \"bridge\"]",
        &format!("{say}default = \"\"\ncustomer_wish = \"Now.\""),
        &[
            "error: transfer.cold.say.default: is empty, and a caller must be told (dialplans/a.toml:27:11)",
            "error: transfer.cold.say.customer_wish: no reason is called `customer_wish`: customer_request policy_required \
             sensitive_topic compliance_required sentiment_negative high_frustration low_confidence capability_limit \
             repeated_failure complex_issue max_turns_exceeded high_value_account (dialplans/a.toml:28:1)",
        ],
        1,
    );
}

#[test]
fn what_cannot_be_read_is_told_too() {
    check(
        "schema = 1\n",
        "schema = 2\n",
        &["error: schema: is 2, and this build reads schema 1 (dialplans/a.toml:1:1)"],
        1,
    );
    check(
        "name = \"all\"",
        "name = = \"all\"",
        &["error: syntax: extra `=`, expected nothing (dialplans/a.toml:7:8)"],
        1,
    );
    let folder = folder(RIGHT);
    fs::write(folder.path().join("dialplans/human.txt"), "speak to\n(a|the human\n")
        .expect("written");
    fs::write(
        folder.path().join("tandem.toml"),
        "[sip]\ncps_max = 0\n[dialplans]\nfolder = \"dialplans\"\n",
    )
    .expect("written");
    let ended = tandem(folder.path(), &["check"]);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(
        lines,
        [
            "error: triggers.t.rule.when.phrases: this bracket is not closed (dialplans/human.txt:2:1)",
            "error: sip.cps_max: must be 1 to 10000, is 0 (tandem.toml:2:11)",
        ]
    );
}

#[test]
fn route_says_which_rule_takes_a_call_and_what_comes_after() {
    let folder = folder(RIGHT);
    let asked = ["route", "sip:100@us", "--source", "10.0.0.7", "--at", "2026-11-20 17:00"];
    let ended = tandem(folder.path(), &asked);
    let (first, rest) = ended.out.split_once('\n').expect("lines");
    let asked = "sip:100@us from anonymous, by trunk pbx (10.0.0.7), Fri 2026-11-20 17:00 ";
    assert!(first.starts_with(asked), "{first}");
    assert_eq!(
        rest,
        r#"route all: takes the call: trunk = pbx
  agent a answers at once: "Hello. You are speaking with an AI assistant. How can I help?"
  explicit: the caller asks for a person -> customer_request, transfer cold
  transfer cold: refer, then bridge to human:sarah (sip:sarah@10.0.0.10), ringing 20s
    customer_request: "Of course, I'll connect you with a team member right away. Let me transfer you now. You won't need to repeat anything."
    capability_limit: "Let me connect you with a specialist who can help. You won't need to repeat anything."
    complex_issue: "Let me connect you with a specialist who can help. You won't need to repeat anything."
    default: "I want to make sure you get the best help possible. Let me connect you with a specialist who can assist further."
  nobody reached: "I'm sorry, nobody could take your call just now. Would you like me to try again?"
"#
    );
    assert_eq!((ended.err.as_str(), ended.status), ("", 0));
}

#[test]
fn route_says_that_a_stranger_is_refused() {
    let folder = folder(RIGHT);
    let ended = tandem(folder.path(), &["route", "sip:100@us", "--source", "192.0.2.1"]);
    let told = ended.out.split_once('\n').map(|(_, rest)| rest);
    assert_eq!(
        told,
        Some(
            "route all: no, trunk = pbx (none)\nno route takes the call: it is refused with 404\n"
        )
    );
    assert_eq!(ended.status, 1);
}

#[test]
fn misuse_ends_with_2_and_help_with_0() {
    let folder = folder(RIGHT);
    for arguments in [
        &["check", "--confg", "a"][..],
        &["route"],
        &["route", "sip:100@us", "--at", "Fry 17:00"],
        &["route", "sip:100@us", "--header", "no colon"],
    ] {
        let ended = tandem(folder.path(), arguments);
        assert_eq!((ended.out.as_str(), ended.status), ("", 2), "{arguments:?}");
        assert!(ended.err.starts_with("error: "), "{}", ended.err);
    }
    for command in ["check", "route"] {
        let ended = tandem(folder.path(), &[command, "--help"]);
        let first = ended.out.lines().next().unwrap_or_default();
        assert_eq!(first.matches(". ").count(), 0, "{first}: said twice");
        assert!(ended.out.contains("--config <FILE>"), "{}", ended.out);
        assert_eq!(ended.status, 0);
    }
}
