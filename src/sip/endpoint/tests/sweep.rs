//! Hundreds of calls on bad wires: whatever is lost, doubled or overtaken, every call ends, both sides
//! agree that it did, and nothing is left.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{Faults, Side, World, ms, sdp};
use crate::ids::DialogId;
use crate::sip::endpoint::{ActionError, Event, Transport};
use crate::sip::message::{Headers, StatusCode};

/// Seeds of one run, unless `TANDEM_SWEEP_SEEDS` wants more.
const SEEDS: u64 = 400;

#[test]
fn every_call_ends_on_every_wire() {
    let seeds = std::env::var("TANDEM_SWEEP_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS) {
        let faults = match seed % 4 {
            0 => Faults::default(),
            1 => Faults { loss: 10, twice: 0, jitter_ms: 5 },
            2 => Faults { loss: 5, twice: 20, jitter_ms: 300 },
            _ => Faults { loss: 40, twice: 10, jitter_ms: 1_000 },
        };
        let world = std::panic::catch_unwind(|| story(seed, faults));
        assert!(world.is_ok(), "seed {seed} with {faults:?}");
    }
}

/// One call with random people at both ends.
fn story(seed: u64, faults: Faults) {
    let mut people = StdRng::seed_from_u64(seed ^ 0x5eed);
    let transport = if seed % 8 == 4 { Transport::Tcp } else { Transport::Udp };
    let mut world = World::with_seed(seed, transport);
    world.faults = faults;
    let a = world.dial();
    let patience = people.random_range(0..20_000);
    let mut moods = [People::new(&mut people), People::new(&mut people)];

    let mut seen = 0;
    let hang_up_at = world.now + ms(patience);
    while world.now < hang_up_at {
        world.run(ms(50));
        react(&mut world, &mut seen, &mut moods);
    }
    let now = world.now;
    match world.a.hang_up(now, a, None) {
        Ok(()) | Err(ActionError::Gone) => (),
        Err(error) => panic!("{error}"),
    }
    while let Some((side, event)) = world.next_event(&mut seen) {
        respond(&mut world, side, event, &mut moods);
    }
    // The callee does not learn of a caller that left while every message of it was lost.
    if let Some(b) = last_dialog_of_b(&world) {
        let now = world.now;
        match world.b.hang_up(now, b, None) {
            Ok(()) | Err(ActionError::Gone) => (),
            Err(error) => panic!("{error}"),
        }
    }
    world.run_until_quiet();
    world.assert_empty();
    check_events(&world, a);
    if faults.loss == 0 && faults.jitter_ms == 0 {
        world.assert_no_repetition();
    }
}

/// How somebody behaves.
struct People {
    answers: bool,
    rings: bool,
    refuses: bool,
    offers_again: bool,
    leaves_first: bool,
    refers: bool,
    probes: bool,
}

impl People {
    fn new(rng: &mut StdRng) -> Self {
        People {
            answers: rng.random_bool(0.8),
            rings: rng.random_bool(0.5),
            refuses: rng.random_bool(0.5),
            offers_again: rng.random_bool(0.3),
            leaves_first: rng.random_bool(0.3),
            refers: rng.random_bool(0.3),
            probes: rng.random_bool(0.3),
        }
    }
}

fn react(world: &mut World, seen: &mut usize, moods: &mut [People; 2]) {
    while let Some((side, event)) = world.events.get(*seen).cloned() {
        *seen += 1;
        respond(world, side, event, moods);
    }
}

fn respond(world: &mut World, side: Side, event: Event, moods: &mut [People; 2]) {
    let mood = &mut moods[side as usize];
    let (now, none) = (world.now, Headers::default());
    let us = world.side(side);
    // What has ended meanwhile cannot be answered any more; nothing else may fail.
    let done = match event {
        Event::Invited { dialog, .. } if mood.answers => {
            let rung = match mood.rings {
                true => us.ring(now, dialog, StatusCode::of(180), None, &none),
                false => Ok(()),
            };
            rung.and_then(|()| us.answer(now, dialog, sdp("answer"), &none))
        }
        Event::Invited { dialog, .. } if mood.refuses => {
            us.reject(now, dialog, StatusCode::of(486), &none)
        }
        Event::Reinvited { dialog, .. } if mood.refuses => {
            us.reject(now, dialog, StatusCode::of(488), &none)
        }
        Event::Reinvited { dialog, .. } => us.answer(now, dialog, sdp("answer"), &none),
        Event::Answered { dialog, .. }
        | Event::Acknowledged { dialog, .. }
        | Event::ReinviteAnswered { dialog, .. }
        | Event::ReferAnswered { dialog, .. } => {
            if std::mem::take(&mut mood.offers_again) {
                us.reinvite(now, dialog, sdp("again"))
            } else if std::mem::take(&mut mood.refers) {
                // The other side is not one to be sent away: 405.
                us.refer(now, dialog, "<sip:sarah@192.0.2.3>", &none)
            } else if std::mem::take(&mut mood.probes) {
                us.probe(now, dialog)
            } else if std::mem::take(&mut mood.leaves_first) {
                us.hang_up(now, dialog, None)
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    };
    match done {
        Ok(()) | Err(ActionError::Gone | ActionError::Busy | ActionError::WrongState { .. }) => (),
        Err(error) => panic!("{error}"),
    }
}

fn last_dialog_of_b(world: &World) -> Option<DialogId> {
    world.events.iter().rev().find_map(|(_, event)| match event {
        Event::Invited { dialog, .. } => Some(*dialog),
        _ => None,
    })
}

/// What must hold of the events, whatever happened on the wire.
fn check_events(world: &World, a: DialogId) {
    let told = world.told(Side::A);
    let ends =
        told.iter().filter(|event| event.starts_with("Failed") || event.starts_with("Ended"));
    assert!(ends.count() <= 1, "a dialog ends once: {told:?}");
    let answered = told.iter().filter(|event| event.starts_with("Answered")).count();
    let failed = told.iter().filter(|event| event.starts_with("Failed")).count();
    assert_eq!(answered + failed, 1, "an INVITE of ours has one outcome: {told:?} {a}");

    let told = world.told(Side::B);
    let invited = told.iter().filter(|event| *event == "Invited").count();
    assert!(invited <= 1, "one INVITE is one call: {told:?}");
    let ends = told.iter().filter(|event| {
        ["Ended", "Cancelled", "Unacknowledged"].iter().any(|end| event.starts_with(end))
    });
    assert!(ends.count() <= 1, "a dialog ends once: {told:?}");
}
