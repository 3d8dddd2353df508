//! The whole program, phones included, on the simulated network and a clock that stands still.
//!
//! A story reads like the story. It is played once in a quiet network and compared with its *ladder*
//! (`ladders/NAME.ladder`; `UPDATE_LADDERS=1` writes them), and again by the sweep, in networks that
//! lose, delay, repeat and reorder, with as many seeds as `TANDEM_SWEEP_SEEDS` says (20). What must
//! always hold is looked at after each (`invariants`). A seed that fails says how to play it alone.

mod flows;
mod invariants;
mod ladder;
mod phone;
mod program;
mod store;
mod stories;
mod tones;
mod world;

use stories::{agent, bridge, refer, trouble};
use world::{Stage, World};

/// How many seeds a sweep has when nobody says.
const SEEDS: u64 = 20;

/// Each story by its name, as a test of its ladder and a test of its sweep.
macro_rules! stories {
    ($($file:ident::$story:ident,)*) => {
        mod tells {
            $(#[test]
            fn $story() {
                super::tell(stringify!($story), super::$file::$story);
            })*
        }
        /// Played twice with one seed, a story is the same to the last packet: so a seed that fails
        /// can be played alone.
        #[test]
        fn seed_is_played_the_same_again() {
            $(for seed in 1..4 {
                let draw = || ladder::draw(&$file::$story(Stage::poor(seed)));
                ladder::same(stringify!($story), &draw(), &draw());
            })*
        }
        mod sweep {
            $(#[test]
            fn $story() {
                super::sweep_over(stringify!($story), super::$file::$story);
            })*
        }
    };
}

stories! {
    agent::caller_hangs_up,
    agent::program_hangs_up,
    agent::caller_cancels_while_it_rings,
    agent::cancel_that_crosses_our_answer_is_followed_by_a_bye,
    agent::caller_holds_and_resumes,
    agent::late_model_is_covered_by_a_line,
    agent::caller_interrupts_the_agent,
    agent::caller_too_many_is_told_when_to_come_back,
    agent::call_id_used_again_is_a_new_call,
    agent::call_id_that_is_taken_is_refused,
    agent::two_callers_do_not_hear_each_other,
    refer::refer_is_followed,
    refer::declined_refer_becomes_a_bridge,
    refer::phone_without_refer_is_bridged,
    refer::refer_that_fails_later_becomes_a_bridge,
    refer::refer_without_notify_is_bridged_when_the_caller_is_there,
    refer::refer_without_notify_dials_nobody_when_the_caller_is_gone,
    refer::refer_without_notify_dials_nobody_when_the_dialog_is_gone,
    refer::notify_before_the_202_counts,
    refer::caller_hangs_up_while_referred,
    bridge::declined_caller_is_back_and_tries_again,
    bridge::unanswered_caller_is_back_with_the_agent,
    bridge::unreachable_human_is_given_up_early,
    bridge::busy_human_is_followed_by_the_next,
    bridge::human_who_is_found_late_is_reached,
    bridge::caller_whom_the_human_holds_hears_music,
    bridge::human_hangs_up,
    bridge::phone_stops_ringing_when_the_caller_hangs_up,
    bridge::answer_that_crosses_our_cancel_is_ended,
    bridge::key_zero_asks_for_a_person,
    bridge::bridged_caller_holds_and_resumes,
    trouble::caller_hangs_up_during_the_transition_line,
    trouble::store_that_fails_does_not_stop_the_call,
    trouble::slow_store_does_not_hold_the_caller_up,
    trouble::caller_who_vanished_from_the_agent_is_let_go,
    trouble::phone_stops_ringing_for_a_caller_who_vanished,
    trouble::caller_whose_human_vanished_is_back_with_the_agent,
    trouble::caller_who_vanished_is_let_go_when_the_human_hangs_up,
}

type Story = fn(Stage) -> World;

/// Whether ladders are to be written instead of compared.
fn written_anew() -> bool {
    std::env::var_os("UPDATE_LADDERS").is_some_and(|value| value == "1")
}

/// Plays a story in a quiet network and compares its ladder.
fn tell(name: &str, story: Story) {
    let mut world = story(Stage::calm());
    invariants::check(&mut world);
    ladder::check(&world, name);
}

/// Plays a story with many seeds in a poor network.
fn sweep_over(name: &str, story: Story) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("TANDEM_SWEEP_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("TANDEM_SWEEP_SEEDS").unwrap_or(SEEDS) + 1,
    };
    for seed in seeds {
        let replay = Replay { name, seed };
        let mut world = story(Stage::poor(seed));
        invariants::check(&mut world);
        drop(replay);
    }
}

/// Says how to play a seed alone, if it fails.
struct Replay<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Replay { name, seed } = self;
            eprintln!(
                "seed {seed} fails; alone: TANDEM_SWEEP_SEED={seed} cargo test --no-default-features --test sim -- --exact sweep::{name}"
            );
        }
    }
}
