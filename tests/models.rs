//! Whole calls with the built program as it is shipped: people on recordings call it, Whisper hears them,
//! flite answers, and a small language model thinks. What a phone in the terminal heard, what the store
//! kept and what others were told must be one story.

#![cfg(all(feature = "whisper", feature = "flite", feature = "sqlite"))]

mod common;
#[path = "models/line.rs"]
mod line;
#[path = "models/record.rs"]
mod record;
#[path = "models/recordings.rs"]
mod recordings;
#[path = "models/shop.rs"]
mod shop;
#[path = "models/voices.rs"]
mod voices;
#[path = "../src/speech/real/words.rs"]
mod words;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::caller::Caller;
use common::{has_tool, wait_for};
use line::{Line, Wishes};
use record::Record;
use recordings::{Recording, recordings};
use serde_json::{Value, json};
use shop::Shop;
use voices::{SECOND, Voices, silence, write};
use words::Errors;

/// How many people call at the same time: two cores recognise them, for us and for their phones.
const CALLERS: usize = 4;

/// How many of the eight people who ask for a person may be misheard.
const MISHEARD_MAX: usize = 1;

/// How many words of all may come out wrong for two texts to be the same one: the smallest Whisper hears
/// "our representatives" for "a representative", and "an eye assistant" in our own voice. Of two texts that
/// have nothing to do with each other nearly all are wrong.
const WRONG_WORDS_MAX: f64 = 0.4;

/// How long a busy machine may take to the end of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

#[test]
fn people_who_ask_for_a_person_are_heard_briefed_and_referred() {
    let Some((line, people)) = open(&["person"], &Wishes::default()) else { return };
    let (misheard, errors) = (Mutex::new(vec![]), Mutex::new(Errors::default()));

    each(&people, |person| {
        let (mut caller, call_id) = call(&line, &[person.file()]);
        let end = caller.wait_for_one_of(&["target_answered", "hung_up"]);
        let is_heard = end["event"] == "target_answered";
        if is_heard {
            caller.hang_up();
        }
        let record = Record::of(&line, &call_id);
        if is_heard {
            assert_eq!(caller.all("referred")[0]["to"], line.human_uri());
            record.check_referred();
        } else {
            misheard.lock().expect("no panic").push(&person.name);
        }
        let mut errors = errors.lock().expect("no panic");
        errors.add(&person.name, &person.words, &record.said_by("caller").join(" "));
        // What came last is not among it: the phone was with the human before that turn was over.
        errors.add("the greeting", record.said_by("agent")[0], &caller.heard()[0]);
    });

    check(errors.into_inner().expect("no panic"));
    let misheard = misheard.into_inner().expect("no panic");
    assert!(misheard.len() <= MISHEARD_MAX, "{misheard:?}");
    let rung = line.close().matches("INVITE sip:human@").count();
    assert_eq!(rung, people.len() - misheard.len(), "calls of the human's phone");
}

#[test]
fn people_who_ask_for_nobody_stay_with_the_agent() {
    let Some((line, people)) = open(&["ordinary", "trap"], &Wishes::default()) else { return };
    let errors = Mutex::new(Errors::default());

    let calls: Vec<&[Recording]> = people.chunks(3).collect();
    each(&calls, |people| {
        let files: Vec<String> = people.iter().map(Recording::file).collect();
        let (mut caller, call_id) = call(&line, &files);
        caller.wait_for_answers(files.len());
        caller.hang_up();

        let record = Record::of(&line, &call_id);
        let Record { call, .. } = &record;
        assert_eq!(
            (&call["escalations"], &call["transfers"]),
            (&json!([]), &json!([])),
            "{call:#}"
        );
        assert_eq!(call["ending"]["by"], "caller", "{call:#}");
        assert!(caller.all("referred").is_empty());
        let words: Vec<&str> = people.iter().map(|one| &*one.words).collect();
        let heard = record.said_by("caller").join(" ");
        errors.lock().expect("no panic").add(&people[0].name, &words.join(" "), &heard);
    });

    check(errors.into_inner().expect("no panic"));
    assert_eq!(line.close(), "", "the human was called");
}

/// One server for both, since a small machine has room for one model.
#[test]
fn an_agent_says_what_the_model_writes_and_has_its_own_lines_without_one() {
    let wishes = Wishes { model: true, ..Wishes::default() };
    let Some((line, people)) = open(&["ordinary", "person"], &wishes) else { return };
    a_question_is_answered_by_the_model_and_written_down_as_it_was_said(&line, &people);
    a_model_that_is_killed_costs_its_answers_and_no_call(&line, &people);
}

fn a_question_is_answered_by_the_model_and_written_down_as_it_was_said(
    line: &Line,
    people: &[Recording],
) {
    let asked = named(people, "folder");
    // One who goes on listening for as long as a busy machine may think.
    let patient = line.server.path("patient.wav");
    write(&patient, &[asked.samples(), silence(60_000)]);
    let (mut caller, call_id) = call(line, &[patient.display().to_string()]);
    caller.wait_for_answers(1);
    // An answer comes sentence by sentence, and is written down after the last.
    let is_whole = || Record::now(line, &call_id).said_by("agent").len() > 1;
    wait_for(ANSWER_TIME, || is_whole().then_some(())).expect("an answer in the transcript");
    caller.hang_up();

    let record = Record::of(line, &call_id);
    assert_eq!(record.call["degraded"], json!([]), "{:#}", record.call);
    let said = record.said_by("agent");
    let mut errors = Errors::default();
    errors.add("the caller", &asked.words, &record.said_by("caller").join(" "));
    errors.add("the agent", &said.join(" "), &caller.heard().join(" "));
    check(errors);
    assert!(said.len() >= 2 && !said.contains(&&*fallback()), "{said:?}");
    let answered = line.server.metrics().of("llm_requests_total", "outcome=\"ok\"");
    assert!(answered >= Some(1.0), "{}", line.server.metrics());
}

fn a_model_that_is_killed_costs_its_answers_and_no_call(line: &Line, people: &[Recording]) {
    let lines = [file(people, "sender"), file(people, "representative")];

    let (mut caller, call_id) = call(line, &lines);
    caller.wait_for("answered");
    let killed = line.kill_model();
    caller.wait_for_answers(1);
    line.wait_for_model(false);
    line.give_model_back();
    caller.wait_for("target_answered");
    caller.hang_up();

    let record = Record::of(line, &call_id);
    record.check_referred();
    assert_eq!(record.call["degraded"][0]["part"], "model", "{:#}", record.call);
    let said = record.said_by("agent");
    assert_eq!(said.iter().filter(|said| **said == fallback()).count(), 1, "{said:?}");
    let mut errors = Errors::default();
    errors.add("the agent", &said[..2].join(" "), &caller.heard()[..2].join(" "));
    check(errors);
    line.wait_for_model(true);
    assert_ne!(line.model_process(), Some(killed));
}

/// A caller goes on while the agent answers, and asks for a person.
#[test]
fn an_agent_that_is_spoken_over_stops_and_what_was_not_heard_is_not_written_down() {
    let Some((line, people)) = open(&["ordinary", "person"], &Wishes::default()) else { return };
    let [speech, both] = ["speech.wav", "both.wav"].map(|name| line.server.path(name));
    write(&speech, &[samples(&people, "folder"), silence(1500), samples(&people, "waiting")]);

    let [speech, recording] = [&speech, &both].map(|file| file.display().to_string());
    let lines = ["--play", &speech, "--record", &recording];
    let mut caller = Caller::calls(&line.server, "demo", &lines);
    let call_id = caller.call_id();
    caller.wait_for("target_answered");
    caller.hang_up();

    let voices = Voices::read(&both);
    let [_, interrupts] = voices.beginnings(2 * SECOND)[..] else { panic!("two sentences") };
    let sounds = |from: usize, to: usize| voices.heard[from..to].iter().any(|voice| *voice);
    assert!(sounds(interrupts - SECOND / 2, interrupts), "there was nothing to interrupt");
    assert!(!sounds(interrupts + SECOND, interrupts + 2 * SECOND), "the agent went on");

    let record = Record::of(&line, &call_id);
    record.check_referred();
    let turns = &record.turns;
    let cut: Vec<&Value> = turns.iter().filter(|turn| turn["interrupted"] == true).collect();
    let [cut] = cut[..] else { panic!("{turns:#?}") };
    assert_eq!(cut["speaker"], "agent");
    let (heard, whole) = (cut["text"].as_str().expect("words"), fallback());
    let rest = whole.strip_prefix(heard);
    assert!(!heard.is_empty() && rest.is_some_and(|rest| !rest.is_empty()), "`{heard}`");
}

#[test]
fn the_screen_pops_before_the_phone_rings_and_all_tell_one_story() {
    let shop = Shop::open();
    let wishes = Wishes { webhook: Some(shop.webhook()), ..Wishes::default() };
    let Some((line, people)) = open(&["person"], &wishes) else { return };

    let (mut caller, call_id) = call(&line, &[file(&people, "representative")]);
    let popped = shop.next();
    caller.wait_for("target_answered");
    caller.hang_up();

    let record = Record::of(&line, &call_id);
    record.check_referred();
    let Record { call, turns } = &record;
    let asked = call["transfers"][0]["began"].as_str().expect("a time");
    assert!(popped.at < asked.parse().expect("a time"), "at {}: {call:#}", popped.at);
    let pop = popped.verified();
    assert_eq!(pop["call_id"], *call_id);
    assert_eq!(pop["conversation"]["summary"], call["briefing"]["summary"]);
    assert_eq!(pop["conversation"]["escalation_reason"], "customer_request");
    assert!(shop.is_quiet(), "the screen pops twice");

    let desk = |path| line.server.json(&format!("/v1/calls/{call_id}{path}")).expect("the desk");
    assert_eq!((&desk(""), &desk("/briefing")), (call, &call["briefing"]));
    let log = line.server.log();
    assert!(log.contains("escalated"), "the log tells no story");
    for words in turns.iter().map(|turn| turn["text"].as_str().expect("words")) {
        assert!(!log.contains(words), "`{words}` is in the log");
    }
    let human = line.close();
    assert!(human.contains(&format!("X-Tandem-Call-ID: {call_id}\r\n")), "{human}");
}

/// A line, and the people of these kinds. `None` if something is missing here, and the test is skipped.
fn open(kinds: &[&str], wishes: &Wishes) -> Option<(Line, Vec<Recording>)> {
    let people = recordings(kinds)?;
    has_tool("sipp", &["-v"]).then(|| Line::open(wishes))?.map(|line| (line, people))
}

/// A caller who plays these files, one after the other, and the key of the call.
fn call(line: &Line, files: &[String]) -> (Caller, String) {
    let lines: Vec<&str> = files.iter().flat_map(|file| ["--play", file]).collect();
    let mut caller = Caller::calls(&line.server, "demo", &lines);
    let call_id = caller.call_id();
    (caller, call_id)
}

/// Does something with each, a few at the same time.
fn each<'a, T: Sync>(all: &'a [T], act: impl Fn(&'a T) + Sync) {
    let left = Mutex::new(all.iter());
    let next = || left.lock().expect("no panic").next();
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while let Some(one) = next() {
                    act(one)
                }
            });
        }
    });
}

#[track_caller]
fn check(errors: Errors) {
    eprintln!("{errors}");
    assert!(errors.rate() <= WRONG_WORDS_MAX, "{errors}");
}

fn file(people: &[Recording], name: &str) -> String {
    named(people, name).file()
}

fn samples(people: &[Recording], name: &str) -> Vec<i16> {
    named(people, name).samples()
}

fn named<'a>(people: &'a [Recording], name: &str) -> &'a Recording {
    people.iter().find(|one| one.name == name).expect("a recording of that name")
}

/// What the agent says when it has no answer.
fn fallback() -> String {
    let lines: toml::Table = include_str!("../src/dialplan/lines.toml").parse().expect("TOML");
    lines["agent"]["fallback"].as_str().expect("a line").to_owned()
}
