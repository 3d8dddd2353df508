//! A story as a ladder: the message flow between named parties with its times, and who hears whom.
//!
//! A change in behaviour is a change in a file. `UPDATE_LADDERS=1 cargo test --test sim` writes the
//! files anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tandem::net::sim::Captured;
use tandem::sip::wire::{Parsed, parse_datagram};
use tandem::sip::{Body, Headers, Message};

use crate::phone::Phone;
use crate::tones::Voice;
use crate::world::{World, name_of};
use crate::written_anew;

/// From one party's line to the next.
const COLUMN: usize = 30;
/// The time, in front.
const MARGIN: usize = 10;
/// Windows of 20 ms: a voice that comes or goes for less than 200 ms is not told.
const STEADY: usize = 10;
/// The order of the parties, as far as a story has them.
const PARTIES: [&str; 5] = ["second", "caller", "tandem", "sarah", "jan"];

/// Compares the story with its file, or writes the file.
pub fn check(world: &World, name: &str) {
    if written_anew() {
        fs::write(path_of(name), draw(world)).expect("the ladder can be written");
    } else {
        compare(world, name);
    }
}

/// Compares the story with its file.
pub fn compare(world: &World, name: &str) {
    let (path, drawn) = (path_of(name), draw(world));
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == drawn,
        "{name} is not told as before; UPDATE_LADDERS=1 accepts it\n{}",
        difference(&known, &drawn)
    );
}

fn path_of(name: &str) -> PathBuf {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/sim/ladders"].iter().collect();
    folder.join(format!("{name}.ladder"))
}

/// Compares two plays of one story.
pub fn same(name: &str, one: &str, other: &str) {
    assert!(
        one == other,
        "{name} is told in two ways; UPDATE_LADDERS=1 accepts the second of a file\n{}",
        difference(one, other)
    );
}

/// Draws what has happened so far.
pub fn draw(world: &World) -> String {
    let captured = world.network.captured();
    let mut parties: Vec<&str> = PARTIES.to_vec();
    let takes_part = |name: &str| {
        captured.iter().any(|it| name_of(it.from.ip()) == name || name_of(it.to.ip()) == name)
    };
    parties.retain(|name| takes_part(name));
    let column = |name: &str| parties.iter().position(|it| *it == name).expect("takes part");

    let mut lines: Vec<(Duration, usize, String)> = Vec::new();
    for message in &captured {
        let (from, to) = (column(name_of(message.from.ip())), column(name_of(message.to.ip())));
        let text = arrow(parties.len(), from, to, &label(message));
        lines.push((message.sent, 0, text));
    }
    for phone in &world.phones {
        if !parties.contains(&phone.name) {
            continue;
        }
        for (at, note) in hearing(phone) {
            lines.push((at, 1, note_line(parties.len(), column(phone.name), &note)));
        }
    }
    lines.sort_by_key(|(at, kind, _)| (*at, *kind));

    let mut drawn = heading(&parties);
    for (at, _, text) in lines {
        let line = format!("{:>8.3}  {text}", at.as_secs_f64());
        writeln!(drawn, "{}", line.trim_end()).expect("a string takes everything");
    }
    drawn
}

fn heading(parties: &[&str]) -> String {
    let mut line = vec![b' '; MARGIN + COLUMN * parties.len()];
    for (number, name) in parties.iter().enumerate() {
        let start = MARGIN + number * COLUMN;
        line[start..start + name.len()].copy_from_slice(name.as_bytes());
    }
    let line = String::from_utf8(line).expect("names are ASCII");
    format!("{}\n", line.trim_end())
}

/// `|-- INVITE --->|` between two columns, the lines of the others beside it.
fn arrow(count: usize, from: usize, to: usize, label: &str) -> String {
    let mut line = lifelines(count);
    let (left, right) = (from.min(to) * COLUMN + 1, from.max(to) * COLUMN - 1);
    for place in &mut line[left..=right] {
        *place = '-';
    }
    if to > from {
        line[right] = '>';
    } else {
        line[left] = '<';
    }
    let label = format!(" {label} ");
    write_at(&mut line, left + 2, &label);
    line.into_iter().collect()
}

fn note_line(count: usize, column: usize, note: &str) -> String {
    let mut line = lifelines(count);
    let at = column * COLUMN;
    line.resize(line.len().max(at + note.chars().count() + 3), ' ');
    write_at(&mut line, at, &format!("* {note}"));
    line.into_iter().collect()
}

fn lifelines(count: usize) -> Vec<char> {
    let mut line = vec![' '; (count - 1) * COLUMN + 1];
    for number in 0..count {
        line[number * COLUMN] = '|';
    }
    line
}

fn write_at(line: &mut Vec<char>, at: usize, text: &str) {
    for (n, letter) in text.chars().enumerate() {
        if line.len() <= at + n {
            line.resize(at + n + 1, ' ');
        }
        line[at + n] = letter;
    }
}

/// `INVITE`, `INVITE sendonly` for a hold, `180 Ringing`, `200 OK (BYE)`, `NOTIFY 503`.
fn label(message: &Captured) -> String {
    let mut label = match parse_datagram(&message.bytes) {
        Parsed::Message(Message::Request(request)) => {
            let mut label = request.method.as_str().to_owned();
            match label.as_str() {
                "INVITE" if has_to_tag(&request.headers) => {
                    write!(label, " {}", direction(request.body.as_ref())).expect("a string");
                }
                "NOTIFY" => {
                    let body = request.body.map(|body| body.bytes).unwrap_or_default();
                    let body = String::from_utf8_lossy(&body);
                    write!(label, " {}", body.trim().trim_start_matches("SIP/2.0 "))
                        .expect("a string");
                }
                _ => (),
            }
            label
        }
        Parsed::Message(Message::Response(response)) => {
            let sequence = response.headers.get("CSeq").unwrap_or_default();
            let method = sequence.split(' ').nth(1).unwrap_or_default();
            let of = if method == "INVITE" { String::new() } else { format!(" ({method})") };
            format!("{} {}{of}", response.status, response.reason)
        }
        Parsed::KeepAlive => "keep-alive".to_owned(),
        Parsed::Bad(_) => "something unreadable".to_owned(),
    };
    if message.delay.is_none() {
        label.push_str(" (lost)");
    }
    label
}

fn has_to_tag(headers: &Headers) -> bool {
    headers.get("To").is_some_and(|to| to.contains(";tag="))
}

fn direction(body: Option<&Body>) -> String {
    let text =
        body.map(|body| String::from_utf8_lossy(&body.bytes).into_owned()).unwrap_or_default();
    let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let found =
        directions.into_iter().find(|it| text.lines().any(|line| line == format!("a={it}")));
    found.unwrap_or("sendrecv").to_owned()
}

/// Each change of whom a phone hears, at the time of the change.
fn hearing(phone: &Phone) -> Vec<(Duration, String)> {
    let windows = phone.hearing();
    let mut changes = Vec::new();
    let mut known: Vec<Voice> = vec![];
    for (n, voices) in windows.iter().enumerate() {
        let steady = windows[n..].iter().take(STEADY).all(|next| next == voices);
        if *voices != known && steady && n + STEADY <= windows.len() {
            known.clone_from(voices);
            let at = Duration::from_millis(20) * n as u32;
            changes.push((at, format!("hears {}", list(voices))));
        }
    }
    changes
}

fn list(voices: &[Voice]) -> String {
    let names: Vec<String> = voices.iter().map(Voice::to_string).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") }
}

/// The lines that only one of the two has, in their places.
fn difference(known: &str, drawn: &str) -> String {
    let (known, drawn): (Vec<&str>, Vec<&str>) = (known.lines().collect(), drawn.lines().collect());
    let mut lengths = BTreeMap::new();
    let length = |lengths: &BTreeMap<(usize, usize), usize>, i, j| {
        lengths.get(&(i, j)).copied().unwrap_or(0)
    };
    for i in (0..known.len()).rev() {
        for j in (0..drawn.len()).rev() {
            let common = if known[i] == drawn[j] {
                length(&lengths, i + 1, j + 1) + 1
            } else {
                length(&lengths, i + 1, j).max(length(&lengths, i, j + 1))
            };
            lengths.insert((i, j), common);
        }
    }
    let (mut i, mut j, mut told) = (0, 0, String::new());
    while i < known.len() || j < drawn.len() {
        let (mark, line) = match (known.get(i), drawn.get(j)) {
            (Some(old), Some(new)) if old == new => {
                (i, j) = (i + 1, j + 1);
                (' ', *new)
            }
            (Some(old), new)
                if new.is_none() || length(&lengths, i + 1, j) >= length(&lengths, i, j + 1) =>
            {
                i += 1;
                ('-', *old)
            }
            (_, Some(new)) => {
                j += 1;
                ('+', *new)
            }
            _ => break,
        };
        writeln!(told, "{mark} {line}").expect("a string takes everything");
    }
    told
}
