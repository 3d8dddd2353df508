//! What holds in every world, whatever the story and the weather.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tandem::context::{Entry, Fact, Speaker};
use tandem::net::sim::Captured;
use tandem::sip::Message;
use tandem::sip::wire::{Parsed, parse_datagram};

use crate::phone::{Connection, Phone};
use crate::program::{BEGINNING, US};
use crate::tones::Voice;
use crate::world::{World, millis, name_of, secs};

/// How long nothing may come to a caller that is connected. In a poor network one packet of twenty is
/// lost, and one may take 100 ms.
const FLOW_GAP: Duration = millis(400);
/// How long a caller who waits may hear nobody.
const SILENCE: Duration = secs(3);

/// Looks at a world whose calls should be over.
#[track_caller]
pub fn check(world: &mut World) {
    world.forget();
    nothing_is_left(world);
    every_invite_was_answered(world);
    every_dialog_ended(world);
    for call in world.program.store.calls() {
        let entries = journal(world, call.as_str());
        briefing_comes_first(world, call.as_str(), &entries);
        caller_hears_somebody(world, call.as_str(), &entries);
    }
}

/// No transactions, dialogs, ports, calls or tasks.
#[track_caller]
fn nothing_is_left(world: &World) {
    let calls = &world.program.calls;
    let tables = calls.signaling.tables();
    assert_eq!(tables.dialogs(), 0, "dialogs are left");
    assert_eq!(tables.transactions(), 0, "transactions are left");
    assert_eq!(calls.ports.count().0, 0, "ports are in use");
    assert_eq!(world.program.audio.calls(), 0, "audio is left");
    assert_eq!(*calls.registry.calls.borrow(), 0, "calls are left");
    assert_eq!(world.extra_tasks(), 0, "tasks are left");
}

/// RFC 3261 §17: every INVITE that came to somebody has a final response.
#[track_caller]
fn every_invite_was_answered(world: &World) {
    let captured = world.network.captured();
    let mut invites: BTreeMap<String, (&Captured, bool)> = BTreeMap::new();
    for message in &captured {
        let (method, branch, is_final) = match parse_datagram(&message.bytes) {
            Parsed::Message(Message::Request(request)) => {
                (request.method.to_string(), branch(&request.headers), false)
            }
            Parsed::Message(Message::Response(response)) => {
                let sequence = response.headers.get("CSeq").unwrap_or_default();
                let method = sequence.split(' ').nth(1).unwrap_or_default().to_owned();
                (method, branch(&response.headers), !response.status.is_provisional())
            }
            _ => continue,
        };
        if method == "INVITE" {
            invites.entry(branch).or_insert((message, false)).1 |= is_final;
        }
    }
    for (invite, is_answered) in invites.values() {
        let to = world.phones.iter().find(|phone| phone.ip == invite.to.ip());
        let nobody = to.is_none_or(Phone::is_gone) && invite.to.ip() != US;
        let (from, to) = (name_of(invite.from.ip()), name_of(invite.to.ip()));
        assert!(*is_answered || nobody, "an INVITE of {from} to {to} has no final response");
    }
}

fn branch(headers: &tandem::sip::Headers) -> String {
    let via = headers.get("Via").unwrap_or_default();
    let branch = via.split_once("branch=").map_or("", |(_, rest)| rest);
    branch.split(';').next().unwrap_or_default().to_owned()
}

/// Every phone that is still there has no line that is up.
#[track_caller]
fn every_dialog_ended(world: &World) {
    for phone in world.phones.iter().filter(|phone| !phone.is_gone()) {
        assert!(phone.is_idle(), "a dialog of {} has not ended", phone.name);
    }
}

/// An entry of a journal, and when it was made, since the world began.
struct At(Duration, Fact);

fn journal(world: &World, call: &str) -> Vec<At> {
    let entries: Vec<Entry> = world.read_store(call);
    entries.into_iter().map(|entry| At(since_beginning(entry.at), entry.fact)).collect()
}

fn since_beginning(at: Timestamp) -> Duration {
    let beginning: Timestamp = BEGINNING.parse().expect("a time");
    Duration::try_from(at.duration_since(beginning)).unwrap_or_default()
}

/// C13: what the human must know is written before the caller is told, and before anybody is dialled.
#[track_caller]
fn briefing_comes_first(world: &World, call: &str, entries: &[At]) {
    let escalated = entries.iter().position(|at| matches!(at.1, Fact::Escalated { .. }));
    let Some(escalated) = escalated else { return };
    let briefed = entries.iter().position(|at| matches!(at.1, Fact::Briefed { .. }));
    let briefed = briefed.expect("an escalated call has a briefing");
    let tried = entries.iter().position(|at| matches!(at.1, Fact::TransferTried { .. }));
    assert!(tried.is_none_or(|tried| briefed < tried), "{call}: dialled before it was briefed");
    if world.program.store.was_troubled() {
        return;
    }
    let written = world.program.store.written(call);
    let written = written.iter().find(|(_, fact)| matches!(fact, Fact::Briefed { .. }));
    let written = written.expect("the briefing is in the store").0 - world.epoch;
    let told = entries[escalated..].iter().find_map(|at| match &at.1 {
        Fact::Said { turn } if turn.speaker == Speaker::Agent && !turn.interrupted => {
            Some(since_beginning(turn.began))
        }
        _ => None,
    });
    if let Some(told) = told {
        // Journals have microseconds.
        assert!(written <= told + Duration::from_micros(1), "{call}: told before it was written");
    }
}

/// A caller who is connected hears somebody: packets flow; whoever waits for a human hears music; and
/// whoever has spoken to the agent gets an answer. Silence is right only when it is the caller's turn,
/// or the human's.
#[track_caller]
fn caller_hears_somebody(world: &World, call: &str, entries: &[At]) {
    let connections = world.phones.iter().map(|phone| (phone, phone.connections()));
    for (phone, connections) in connections.filter(|(phone, _)| !phone.is_gone()) {
        let with_us = |it: &&Connection| it.call_id == call && it.peer == US;
        let Some(connection) = connections.iter().rfind(with_us) else { continue };
        let (Some(up), Some(over)) = (connection.up, connection.over) else { continue };
        packets_flow(phone, connection, up, over);
        let hearing = phone.hearing();
        for (from, until) in waits(entries, over) {
            if connection.holds.is_empty() {
                nobody_is_silent(phone, &hearing, from, until);
            }
        }
    }
}

#[track_caller]
fn packets_flow(phone: &Phone, connection: &Connection, up: Duration, over: Duration) {
    // The first may be late: the ACK may be lost, and we speak when it is there.
    let mut last = match connection.arrivals.iter().find(|at| **at >= up) {
        Some(first) if *first - up < secs(10) => *first,
        _ if over - up < secs(10) => return,
        _ => panic!("{} hears nothing", phone.name),
    };
    let arrivals = connection.arrivals.iter().filter(|at| **at <= over);
    for &at in arrivals {
        let gap = at.saturating_sub(last);
        let held = connection
            .holds
            .iter()
            .any(|(from, until)| last <= until.unwrap_or(over) + secs(1) && *from <= at);
        assert!(gap <= FLOW_GAP || held, "nothing came to {} from {last:?} to {at:?}", phone.name);
        last = at;
    }
}

/// The times in which a caller waits for somebody to speak: since it has spoken to the agent, until the
/// agent has; and since a human is needed, until one is there or the caller is told.
fn waits(entries: &[At], over: Duration) -> Vec<(Duration, Duration)> {
    let mut waits = Vec::new();
    let mut since: Option<Duration> = None;
    let mut transferring = false;
    for At(at, fact) in entries {
        match fact {
            Fact::Said { turn } if turn.speaker == Speaker::Caller => {
                since = since.or(Some(*at));
            }
            Fact::Escalated { .. } => {
                since = since.or(Some(*at));
                transferring = true;
            }
            Fact::TransferTried { .. } => {
                since = since.or(Some(*at));
                transferring = true;
            }
            // Written when it is over.
            Fact::Said { turn } if turn.speaker == Speaker::Agent && !transferring => {
                waits.extend(since.take().map(|from| (from, *at)));
            }
            Fact::TransferEnded { .. } => transferring = false,
            Fact::Connected { .. } | Fact::Ended { .. } => {
                waits.extend(since.take().map(|from| (from, (*at).min(over))));
                // With a human the two speak as they like.
                return waits;
            }
            _ => (),
        }
    }
    waits
}

#[track_caller]
fn nobody_is_silent(phone: &Phone, hearing: &[Vec<Voice>], from: Duration, until: Duration) {
    let window = |at: Duration| (at.as_millis() / 20) as usize;
    let mut silent_since = from;
    for n in window(from)..window(until) {
        let at = millis(20) * n as u32;
        if hearing.get(n).is_some_and(|voices| !voices.is_empty()) {
            silent_since = at;
        }
        let silent = at.saturating_sub(silent_since);
        assert!(silent <= SILENCE, "{} hears nobody from {silent_since:?}", phone.name);
    }
}
