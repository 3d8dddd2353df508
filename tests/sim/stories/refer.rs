//! The caller's side is asked to call the human itself (RFC 3515), and does what phones do.

use tandem::context::Outcome;

use super::{answered, asks_for_a_person, ends, greeted, let_go};
use crate::phone::{Phone, Referred, State};
use crate::program::Setup;
use crate::tones::Voice;
use crate::world::{Stage, World, millis, secs};

/// The caller asks for a person and its phone has these manners; Sarah answers after 3 s.
fn referred(stage: Stage, referred: Referred) -> (World, Phone, Phone) {
    let (mut world, caller) = greeted(stage, Setup::default());
    let caller = caller.when_referred(referred);
    let sarah = world.phone("sarah").answers_after(secs(3));
    asks_for_a_person(&mut world, &caller);
    (world, caller, sarah)
}

/// Sarah is dialled by us, and the two hear each other through us.
#[track_caller]
fn bridged(mut world: World, caller: &Phone, sarah: &Phone, within: u64) -> World {
    let call_id = caller.call_id();
    answered(&mut world, sarah, secs(within));
    assert_eq!(sarah.was_told("X-Tandem-Call-ID").as_deref(), Some(call_id.as_str()));
    world.talk(caller, sarah);
    ends(&mut world, caller);
    world
}

#[track_caller]
fn outcomes(world: &mut World, call_id: &str, expected: &[(&str, Outcome)]) {
    world.run_for(secs(1));
    let transfers = world.context(call_id).transfers;
    let outcomes = transfers.iter().map(|it| (it.method.as_str(), it.outcome));
    let expected: Vec<_> =
        expected.iter().map(|&(method, outcome)| (method, Some(outcome))).collect();
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
}

/// The usual: the phone follows, and we let go when it has arrived.
pub fn refer_is_followed(stage: Stage) -> World {
    let (mut world, caller, sarah) = referred(stage, Referred::Follows);
    let call_id = caller.call_ids().remove(0);
    answered(&mut world, &sarah, secs(15));
    assert_eq!(sarah.was_told("X-Tandem-Call-ID").as_deref(), Some(call_id.as_str()));
    // The line with us ends, the line with Sarah does not.
    world.until("we let go", secs(10), |world| {
        world.program.calls.signaling.tables().dialogs() == 0
    });
    world.talk(&caller, &sarah);
    assert_eq!(caller.state(), Some(State::Up));
    outcomes(&mut world, &call_id, &[("refer", Outcome::Connected)]);
    ends(&mut world, &caller);
    world
}

pub fn declined_refer_becomes_a_bridge(stage: Stage) -> World {
    let (world, caller, sarah) = referred(stage, Referred::Refuses(603));
    let mut world = bridged(world, &caller, &sarah, 15);
    let expected = [("refer", Outcome::ReferRejected), ("bridge", Outcome::Connected)];
    outcomes(&mut world, &caller.call_id(), &expected);
    world
}

pub fn phone_without_refer_is_bridged(stage: Stage) -> World {
    let (world, caller, sarah) = referred(stage, Referred::Refuses(405));
    bridged(world, &caller, &sarah, 15)
}

/// 202, and then NOTIFY 503: the caller is still ours.
pub fn refer_that_fails_later_becomes_a_bridge(stage: Stage) -> World {
    const SAID: &[(std::time::Duration, u16)] = &[(millis(50), 100), (millis(2000), 503)];
    let (world, caller, sarah) = referred(stage, Referred::Claims(SAID));
    let mut world = bridged(world, &caller, &sarah, 20);
    let expected = [("refer", Outcome::Unreachable), ("bridge", Outcome::Connected)];
    outcomes(&mut world, &caller.call_id(), &expected);
    world
}

/// 202 and never a NOTIFY, but the caller is there: Sarah is dialled.
pub fn refer_without_notify_is_bridged_when_the_caller_is_there(stage: Stage) -> World {
    let (mut world, caller, sarah) = referred(stage, Referred::Claims(&[]));
    world.run_for(secs(20));
    assert_eq!(sarah.lines(), 0);
    assert!(caller.hears(Voice::Hold));
    let mut world = bridged(world, &caller, &sarah, 30);
    let expected = [("refer", Outcome::ReferTimeout), ("bridge", Outcome::Connected)];
    outcomes(&mut world, &caller.call_id(), &expected);
    world
}

/// 202, never a NOTIFY, and the caller's phone is gone: perhaps Sarah has been called already, so we
/// do not call her again.
pub fn refer_without_notify_dials_nobody_when_the_caller_is_gone(stage: Stage) -> World {
    let (mut world, caller, sarah) = referred(stage, Referred::Claims(&[]));
    world.run_for(secs(5));
    caller.vanishes();
    world.run_for(secs(45));
    assert_eq!(sarah.lines(), 0);
    let call_id = caller.call_id();
    outcomes(&mut world, &call_id, &[("refer", Outcome::ReferTimeout)]);
    assert!(world.context(&call_id).ending.is_some());
    world
}

/// The same, but the phone is there and knows the dialog no more.
pub fn refer_without_notify_dials_nobody_when_the_dialog_is_gone(stage: Stage) -> World {
    let (mut world, caller, sarah) = referred(stage, Referred::Claims(&[]));
    let caller = caller.answers_options(Some(481));
    world.run_for(secs(45));
    assert_eq!(sarah.lines(), 0);
    let call_id = caller.call_id();
    outcomes(&mut world, &call_id, &[("refer", Outcome::ReferTimeout)]);
    ends(&mut world, &caller);
    world
}

/// RFC 6665 §4.4.1: the NOTIFY may come before the 202.
pub fn notify_before_the_202_counts(stage: Stage) -> World {
    let (mut world, caller, sarah) = referred(stage, Referred::Outruns(200));
    let_go(&mut world, &caller);
    assert_eq!(sarah.lines(), 0);
    outcomes(&mut world, &caller.call_id(), &[("refer", Outcome::Connected)]);
    world
}

/// The caller gives up while its phone is being referred.
pub fn caller_hangs_up_while_referred(stage: Stage) -> World {
    const SAID: &[(std::time::Duration, u16)] = &[(millis(50), 100), (millis(500), 180)];
    let (mut world, caller, sarah) = referred(stage, Referred::Claims(SAID));
    world.run_for(secs(3));
    ends(&mut world, &caller);
    assert_eq!(sarah.lines(), 0);
    world
}
