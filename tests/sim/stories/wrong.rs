//! Worlds in which something is wrong on purpose: they show that it would be seen.

use tandem::net::sim::Conditions;

use super::{asks_for_a_person, bridge_only, ends, greeted};
use crate::invariants;
use crate::program::{Setup, US};
use crate::world::{Stage, millis, secs};

#[test]
#[should_panic = "dialogs are left"]
fn call_that_does_not_end_is_seen() {
    let (mut world, _caller) = greeted(Stage::calm(), Setup::default());
    invariants::check(&mut world);
}

#[test]
#[should_panic = "nothing came to caller"]
fn gap_in_the_callers_sound_is_seen() {
    let (mut world, caller) = greeted(Stage::calm(), Setup::default());
    world.network.set_conditions(US, caller.ip, Conditions::CUT);
    world.run_for(millis(500));
    world.network.set_conditions(US, caller.ip, Conditions::LOCAL);
    world.run_for(secs(1));
    ends(&mut world, &caller);
    invariants::check(&mut world);
}

#[test]
#[should_panic = "hears nobody from"]
fn caller_who_waits_in_silence_is_seen() {
    let silent = Setup { hold: [0; 8000].into(), ..bridge_only(&["sarah"]) };
    let (mut world, caller) = greeted(Stage::calm(), silent);
    let _sarah = world.phone("sarah").only_rings();
    asks_for_a_person(&mut world, &caller);
    world.run_for(secs(10));
    ends(&mut world, &caller);
    invariants::check(&mut world);
}

#[test]
#[should_panic = "is not told as before"]
fn story_that_is_told_in_another_way_is_seen() {
    let setup = Setup { ring_time: millis(700), ..Setup::default() };
    let (mut world, caller) = greeted(Stage::calm(), setup);
    ends(&mut world, &caller);
    crate::ladder::compare(&world, "caller_hangs_up");
}
