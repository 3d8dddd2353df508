//! We dial the human and join the two.

use super::{answered, asks_for_a_person, bridge_only, ends, greeted, let_go};
use crate::phone::State;
use crate::program::US;
use crate::tones::Voice;
use crate::world::{Stage, World, millis, secs};
use tandem::context::Outcome;

/// Sarah declines, the caller says yes to another try, and then she answers.
pub fn declined_caller_is_back_and_tries_again(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").declines_after(secs(2), 603);
    asks_for_a_person(&mut world, &caller);
    let_go_after_ringing(&mut world, &sarah);
    world.agent_speaks(&caller);

    let sarah = sarah.answers_after(secs(2));
    world.says(&caller, "yes please do");
    world.agent_speaks(&caller);
    answered(&mut world, &sarah, secs(15));
    world.talk(&caller, &sarah);
    let call_id = caller.call_id();
    ends(&mut world, &caller);

    world.run_for(secs(1));
    let transfers = world.context(&call_id).transfers;
    let outcomes: Vec<_> = transfers.iter().filter_map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Declined, Outcome::Connected]);
    world
}

#[track_caller]
fn let_go_after_ringing(world: &mut World, human: &crate::phone::Phone) {
    world.until("the phone rings", secs(10), |_| human.lines() > 0);
    let_go(world, human);
}

/// Sarah's phone rings and rings; after 20 s the caller is back with the agent.
pub fn unanswered_caller_is_back_with_the_agent(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").only_rings();
    asks_for_a_person(&mut world, &caller);
    world.until("it rings", secs(10), |_| sarah.lines() > 0);
    world.run_for(secs(10));
    assert!(caller.hears(Voice::Hold));
    let_go(&mut world, &sarah);
    assert_eq!(sarah.status(), 487);
    world.agent_speaks(&caller);
    assert_eq!(caller.state(), Some(State::Up));
    ends(&mut world, &caller);
    world
}

/// Nobody is at Sarah's address: after 4 s without any answer the caller is back with the agent.
pub fn unreachable_human_is_given_up_early(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    asks_for_a_person(&mut world, &caller);
    world.until("hold music", secs(2), |_| caller.hears(Voice::Hold));
    world.run_for(secs(4));
    world.agent_speaks(&caller);
    ends(&mut world, &caller);
    world
}

/// A mobile phone is found after six seconds; its network says 100 at once, and that is an answer.
pub fn human_who_is_found_late_is_reached(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").found_after(secs(6), secs(2));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(15));
    world.talk(&caller, &sarah);
    ends(&mut world, &caller);
    world
}

/// The human holds, with no music of their own: the caller hears ours until the human is back.
pub fn caller_whom_the_human_holds_hears_music(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(1));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    sarah.holds();
    world.until("music", secs(5), |_| caller.hears(Voice::Hold));
    world.run_for(secs(3));
    assert!(caller.hears(Voice::Hold));
    sarah.resumes();
    world.until("no music", secs(5), |_| !caller.hears(Voice::Hold));
    world.talk(&caller, &sarah);
    ends(&mut world, &caller);
    world
}

/// Sarah is busy, so Jan is tried.
pub fn busy_human_is_followed_by_the_next(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah", "jan"]));
    let sarah = world.phone("sarah").declines_after(millis(200), 486);
    let jan = world.phone("jan").answers_after(secs(4));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &jan, secs(20));
    world.talk(&caller, &jan);
    assert!(sarah.is_idle());
    ends(&mut world, &jan);
    assert!(caller.is_idle());
    world
}

/// The human hangs up first: the caller gets a BYE.
pub fn human_hangs_up(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(2));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    ends(&mut world, &sarah);
    assert!(caller.is_idle());
    world
}

/// The caller hangs up while the human's phone rings, which stops at once.
pub fn phone_stops_ringing_when_the_caller_hangs_up(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").only_rings();
    asks_for_a_person(&mut world, &caller);
    world.until("it rings", secs(10), |_| sarah.lines() > 0);
    world.run_for(secs(3));
    caller.hangs_up();
    if !stage.is_poor() {
        world.run_for(millis(100));
        assert!(sarah.is_idle());
    }
    let_go(&mut world, &sarah);
    let_go(&mut world, &caller);
    assert_eq!(sarah.status(), 487);
    world
}

/// The caller hangs up while the answer of the human is on its way: it is acknowledged and ended.
pub fn answer_that_crosses_our_cancel_is_ended(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(3));
    world.is_slow(sarah.ip, US, millis(200));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    ends(&mut world, &caller);
    assert!(!sarah.hears(Voice::Caller));
    world
}

/// The key 0 asks for a person without a word.
pub fn key_zero_asks_for_a_person(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(2));
    caller.presses('0');
    world.agent_speaks(&caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    let call_id = caller.call_id();
    ends(&mut world, &caller);
    let escalations = world.context(&call_id).escalations;
    assert_eq!(escalations[0].details, "Key: 0");
    world
}

/// The caller holds while it speaks with the human, and comes back.
pub fn bridged_caller_holds_and_resumes(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, bridge_only(&["sarah"]));
    let sarah = world.phone("sarah").answers_after(secs(1));
    asks_for_a_person(&mut world, &caller);
    answered(&mut world, &sarah, secs(10));
    world.talk(&caller, &sarah);
    caller.holds();
    world.run_for(secs(3));
    caller.resumes();
    world.run_for(secs(3));
    world.talk(&caller, &sarah);
    ends(&mut world, &caller);
    world
}
