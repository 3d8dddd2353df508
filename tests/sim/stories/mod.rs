//! The stories. Each builds its world on the stage it is given, plays, and hands the world back, which
//! is then looked at as every world is.

pub mod agent;
pub mod bridge;
pub mod refer;
pub mod trouble;
pub mod wrong;

use std::time::Duration;

use tandem::dialplan::Method;

use crate::phone::{Phone, State};
use crate::program::Setup;
use crate::world::{Stage, World, secs};

/// Where the agent is.
pub const AGENT: &str = "sip:demo@10.0.0.1";

/// A world in which humans are only dialled.
fn bridge_only(humans: &[&'static str]) -> Setup {
    Setup { methods: vec![Method::Bridge], humans: humans.to_vec(), ..Setup::default() }
}

/// The caller calls and hears the greeting to its end.
#[track_caller]
fn greeted(stage: Stage, setup: Setup) -> (World, Phone) {
    let mut world = stage.set(setup);
    let caller = world.phone("caller");
    dial(&mut world, &caller);
    (world, caller)
}

#[track_caller]
fn dial(world: &mut World, caller: &Phone) {
    caller.dials(AGENT);
    world.agent_speaks(caller);
}

/// The caller asks for a person and hears the transition line to its end.
#[track_caller]
fn asks_for_a_person(world: &mut World, caller: &Phone) {
    world.says(caller, "let me talk to a person please");
    world.agent_speaks(caller);
}

/// The phone's last line is up.
#[track_caller]
fn answered(world: &mut World, phone: &Phone, within: Duration) {
    let what = format!("{} answers", phone.name);
    world.until(&what, within, |_| phone.state() == Some(State::Up));
}

/// Every line of the phone is over.
#[track_caller]
fn let_go(world: &mut World, phone: &Phone) {
    let what = format!("{} is let go", phone.name);
    world.until(&what, secs(40), |_| phone.is_idle());
}

/// The phone hangs up, and all others are let go.
#[track_caller]
fn ends(world: &mut World, phone: &Phone) {
    phone.hangs_up();
    for phone in world.phones.clone() {
        if !phone.is_gone() {
            let_go(world, &phone);
        }
    }
}
