//! Something fails, or somebody leaves at a bad moment.

use super::{answered, asks_for_a_person, bridge_only, ends, greeted};
use crate::phone::Referred;
use crate::program::Setup;
use crate::tones::Voice;
use crate::world::{Stage, World, millis, secs};
use tandem::context::{Fact, Health, Outcome};

/// The caller hangs up during the transition line: nobody is asked or dialled.
pub fn caller_hangs_up_during_the_transition_line(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, Setup::default());
    let caller = caller.when_referred(Referred::Follows);
    let sarah = world.phone("sarah").answers_after(secs(1));
    world.says(&caller, "let me talk to a person please");
    world.until("the line begins", secs(5), |_| caller.hears(Voice::Agent));
    world.run_for(millis(600));
    ends(&mut world, &caller);
    world.run_for(secs(10));
    assert_eq!(sarah.lines(), 0);
    world
}

/// The store fails in the middle of a call. The call goes on, and when the store is back, everything is
/// in it.
pub fn store_that_fails_does_not_stop_the_call(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(1));
    world.program.store.fails(true);
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    assert_ne!(world.program.recorder.health(), Health::Good);
    assert!(world.program.store.failures() > 0);
    let call_id = caller.call_id();
    ends(&mut world, &caller);
    assert!(world.context(&call_id).briefing.is_some(), "the memory has it");

    world.program.store.fails(false);
    let within = secs(60);
    world.until("the store is back", within, |world| {
        world.program.recorder.health() == Health::Good
    });
    let written = world.program.store.written(&call_id);
    let has = |what: fn(&Fact) -> bool| written.iter().any(|(_, fact)| what(fact));
    assert!(has(|fact| matches!(fact, Fact::Briefed { .. })));
    assert!(has(|fact| matches!(fact, Fact::Connected { .. })));
    assert!(has(Fact::ends_call));
    world
}

/// The store takes two seconds for everything: the caller is not kept waiting for it.
pub fn slow_store_does_not_hold_the_caller_up(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(1));
    world.program.store.is_slow(secs(2));
    world.says(&caller, "let me talk to a person please");
    // The end of the turn, the recogniser, 250 ms for the store, the network.
    let within = if stage.is_poor() { millis(2500) } else { millis(1200) };
    world.until("the agent speaks", within, |_| caller.hears(Voice::Agent));
    assert_eq!(world.program.recorder.health(), Health::Late);
    world.agent_speaks(&caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    ends(&mut world, &caller);
    world.run_for(secs(5));
    assert_eq!(world.program.recorder.health(), Health::Good);
    world
}

/// The caller's phone loses its network while it speaks with the agent, and nobody says BYE: the silence
/// is noticed, and the call ends.
pub fn caller_who_vanished_from_the_agent_is_let_go(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, Setup::default());
    let call_id = caller.call_id();
    caller.vanishes();
    let gone = |world: &World| *world.program.calls.registry.calls.borrow() == 0;
    world.until("the call is over", secs(50), gone);
    assert_eq!(world.context(&call_id).ending.expect("it has ended").by, "caller");
    world
}

/// The caller's phone loses its network while the human's phone rings: that stops, and nobody answers a
/// call without a caller.
pub fn phone_stops_ringing_for_a_caller_who_vanished(stage: Stage) -> World {
    let setup = Setup { human_ring_time: secs(60), ..bridge_only(&["sarah"]) };
    let (mut world, caller) = greeted(stage, setup);
    let sarah = world.phone("sarah").only_rings();
    asks_for_a_person(&mut world, &caller);
    world.until("it rings", secs(10), |_| sarah.lines() > 0);
    let call_id = caller.call_id();
    caller.vanishes();
    world.until("the phone stops ringing", secs(50), |_| sarah.is_idle());
    assert_eq!(sarah.status(), 487);
    let outcome = world.context(&call_id).transfers.last().and_then(|it| it.outcome);
    assert_eq!(outcome, Some(Outcome::CallerAbandoned));
    world
}

/// The human's phone loses its network: the caller is back with the agent, and may try again.
pub fn caller_whose_human_vanished_is_back_with_the_agent(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(1));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    sarah.vanishes();
    world.until("the agent is back", secs(50), |_| caller.hears(Voice::Agent));
    world.agent_speaks(&caller);
    let call_id = caller.call_id();
    ends(&mut world, &caller);
    let transfers = world.context(&call_id).transfers;
    assert_eq!(transfers.last().and_then(|it| it.outcome), Some(Outcome::TargetDropped));
    world
}

/// The caller's phone loses its network in the middle of a conversation with the human; the human hangs
/// up, and nothing is left.
pub fn caller_who_vanished_is_let_go_when_the_human_hangs_up(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(1));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    caller.vanishes();
    world.run_for(secs(5));
    ends(&mut world, &sarah);
    world
}
