//! A caller and the agent, and nobody else.

use std::sync::Arc;

use tandem::agent::scripted::{Answer, Scripted};
use tandem::context::Speaker;

use super::{AGENT, answered, dial, ends, greeted, let_go};
use crate::phone::State;
use crate::program::{FALLBACK, GREETING, Setup, US};
use crate::tones::Voice;
use crate::world::{Stage, World, millis, secs};

fn model(answers: &[&str]) -> Scripted {
    Scripted::new(answers.iter().map(|text| Answer::Text((*text).to_owned())).collect())
}

/// The caller hears the greeting, is answered, and hangs up.
pub fn caller_hangs_up(stage: Stage) -> World {
    let model = Some(Arc::new(model(&["We open at nine in the morning."])) as _);
    let (mut world, caller) = greeted(stage, Setup { model, ..Setup::default() });
    world.says(&caller, "when do you open");
    world.agent_speaks(&caller);
    let call_id = caller.call_id();
    ends(&mut world, &caller);

    world.run_for(secs(1));
    let context = world.context(&call_id);
    assert_eq!(context.ending.expect("it has ended").by, "caller");
    let turns = context.conversation.turns;
    let said: Vec<_> = turns.iter().map(|turn| (turn.speaker, turn.text.as_str())).collect();
    if !stage.is_poor() {
        let expected = [
            (Speaker::Agent, GREETING),
            (Speaker::Caller, "when do you open"),
            (Speaker::Agent, "We open at nine in the morning."),
        ];
        assert_eq!(said, expected);
    }
    world
}

/// The program ends: the caller gets a BYE.
pub fn program_hangs_up(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, Setup::default());
    world.shut_down();
    let_go(&mut world, &caller);
    world
}

/// It rings, and the caller gives up before the agent answers.
pub fn caller_cancels_while_it_rings(stage: Stage) -> World {
    let mut world = stage.set(Setup { ring_time: secs(60), ..Setup::default() });
    let caller = world.phone("caller");
    caller.dials(AGENT);
    world.run_for(secs(3));
    assert!(stage.is_poor() || caller.status() == 180);
    ends(&mut world, &caller);
    assert_eq!(caller.status(), 487);
    assert!(!caller.hears(Voice::Agent));
    world
}

/// The CANCEL crosses our 200: the caller acknowledges it and says BYE.
pub fn cancel_that_crosses_our_answer_is_followed_by_a_bye(stage: Stage) -> World {
    let mut world = stage.set(Setup { ring_time: secs(2), ..Setup::default() });
    let caller = world.phone("caller");
    world.is_slow(US, caller.ip, millis(300));
    caller.dials(AGENT);
    world.until("we answered", secs(20), |world| world.responses("200") > 0);
    ends(&mut world, &caller);
    world
}

/// The caller puts the agent on hold and comes back.
pub fn caller_holds_and_resumes(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, Setup::default());
    caller.holds();
    world.run_for(secs(4));
    let call_id = caller.call_id();
    assert!(world.context(&call_id).on_hold);
    // What comes from a PBX that holds us is for its caller, not for the agent.
    world.says(&caller, "you will speak to a person soon");
    world.run_for(secs(3));
    assert!(world.context(&call_id).escalations.is_empty());
    caller.resumes();
    world.run_for(secs(4));
    assert!(!world.context(&call_id).on_hold);

    world.says(&caller, "are you still there");
    world.agent_speaks(&caller);
    ends(&mut world, &caller);
    world
}

/// The model says nothing: the agent says so in time.
pub fn late_model_is_covered_by_a_line(stage: Stage) -> World {
    let model = Some(Arc::new(Scripted::new(vec![Answer::Silence])) as _);
    let (mut world, caller) = greeted(stage, Setup { model, ..Setup::default() });
    world.says(&caller, "when do you open");
    world.until("the fallback line", millis(3500), |_| caller.hears(Voice::Agent));
    world.agent_speaks(&caller);
    let call_id = caller.call_id();
    ends(&mut world, &caller);
    let context = world.context(&call_id);
    assert!(context.conversation.turns.iter().any(|turn| turn.text == FALLBACK));
    assert!(context.degraded.iter().any(|it| it.part == "model"));
    world
}

/// The caller speaks over the agent, which falls silent at once and knows what was heard.
pub fn caller_interrupts_the_agent(stage: Stage) -> World {
    let long =
        "This is a rather long answer with very many words that nobody wants to hear to the end.";
    let model = Some(Arc::new(model(&[long, "Yes."])) as _);
    let (mut world, caller) = greeted(stage, Setup { model, ..Setup::default() });
    world.says(&caller, "tell me everything");
    world.until("the agent speaks", secs(5), |_| caller.hears(Voice::Agent));
    world.run_for(millis(900));
    assert!(caller.hears(Voice::Agent));
    caller.says("stop it now I do not want to hear any of that");
    // 240 ms of voice are an interruption; the rest is the network, twice, and the last frames. In a
    // poor network the voice has gaps.
    let patience = if stage.is_poor() { millis(1500) } else { millis(480) };
    world.until("the agent is silent", patience, |_| caller.is_silent_for(millis(80)));
    assert!(caller.is_talking());
    world.until("the words are said", secs(5), |_| !caller.is_talking());
    world.agent_speaks(&caller);

    let call_id = caller.call_id();
    ends(&mut world, &caller);
    let turns = world.context(&call_id).conversation.turns;
    let cut = turns.iter().find(|turn| turn.interrupted).expect("a turn was interrupted");
    assert!(long.starts_with(cut.text.trim_end_matches(['.', ' ', '…'])), "{}", cut.text);
    assert!(cut.text.len() < long.len() / 2, "{}", cut.text);
    world
}

/// There is room for one call: the next caller is asked to come back.
pub fn caller_too_many_is_told_when_to_come_back(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, Setup { calls_max: 1, ..Setup::default() });
    let second = world.phone("second");
    second.dials(AGENT);
    let_go(&mut world, &second);
    assert_eq!(second.status(), 503);
    assert_eq!(world.responses_with("503", "Retry-After"), world.responses("503"));
    assert!(world.responses("503") > 0);

    ends(&mut world, &caller);
    world.run_for(secs(1));
    second.dials(AGENT);
    answered(&mut world, &second, secs(20));
    world.agent_speaks(&second);
    ends(&mut world, &second);
    world
}

/// A Call-ID that was used before: the journal is that of the new call.
pub fn call_id_used_again_is_a_new_call(stage: Stage) -> World {
    let mut world = stage.set(Setup::default());
    let caller = world.phone("caller");
    caller.dials_as(AGENT, "the-same@10.0.0.11");
    world.agent_speaks(&caller);
    caller.presses('5');
    world.run_for(secs(2));
    assert_eq!(world.context("the-same@10.0.0.11").keys.len(), 1);
    ends(&mut world, &caller);
    world.run_for(secs(2));

    caller.dials_as(AGENT, "the-same@10.0.0.11");
    world.agent_speaks(&caller);
    assert_eq!(caller.state(), Some(State::Up));
    let context = world.context("the-same@10.0.0.11");
    assert_eq!((context.keys.len(), context.ending), (0, None));
    ends(&mut world, &caller);
    world
}

/// A second phone comes with a Call-ID that a call of another has now. It names a journal, so the second
/// is refused, and the first does not notice.
pub fn call_id_that_is_taken_is_refused(stage: Stage) -> World {
    let mut world = stage.set(Setup::default());
    let caller = world.phone("caller");
    let second = world.phone("second");
    caller.dials_as(AGENT, "the-same@pbx");
    world.agent_speaks(&caller);
    second.dials_as(AGENT, "the-same@pbx");
    let_go(&mut world, &second);
    assert_eq!(second.status(), 482);
    assert_eq!(caller.state(), Some(State::Up));
    world.says(&caller, "am I still here");
    world.agent_speaks(&caller);
    ends(&mut world, &caller);
    world
}

/// Two callers at once, each with the agent of their own.
pub fn two_callers_do_not_hear_each_other(stage: Stage) -> World {
    let (mut world, caller) = greeted(stage, Setup::default());
    let second = world.phone("second");
    dial(&mut world, &second);
    caller.says("one two three");
    second.says("four five six seven");
    world.run_for(secs(4));
    let others = |phone: &crate::phone::Phone| {
        phone.hearing().iter().flatten().any(|voice| *voice != Voice::Agent)
    };
    assert!(!others(&caller) && !others(&second));
    caller.hangs_up();
    let_go(&mut world, &caller);
    world.run_for(secs(1));
    assert_eq!(second.state(), Some(State::Up));
    ends(&mut world, &second);
    world
}
