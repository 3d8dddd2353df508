//! The life of a call as scripts of events against lists of effects.

use std::path::Path;

use super::*;
use crate::agent::persona::Persona;
use crate::call::plan::{Lines, Target};
use crate::context::Reason;
use crate::dialplan::Method;
use crate::escalation::phrases::Phrases;
use crate::escalation::{Condition, Rule};
use crate::ids::CallId;
use crate::sip::{Liveness, StatusCode};

/// A call on a clock of its own.
struct Story {
    call: Call,
    start: Instant,
}

fn target() -> Target {
    transfer::tests::target("sarah")
}

fn plan(methods: &[Method]) -> Plan {
    let transfer = Arc::new(TransferPlan {
        name: "cold".into(),
        methods: methods.to_vec(),
        targets: vec![target()],
        ring_time: Duration::from_secs(20),
        refer_time: Duration::from_secs(30),
        hold: [1, -1].into(),
        say: [(Reason::CustomerRequest, "Of course.".to_owned())].into(),
        say_default: "One moment.".into(),
    });
    let phrases = Phrases::parse("speak to a human\n").expect("a phrase file");
    let rule = |id: &str, when| Rule {
        id: id.into(),
        when,
        reason: Reason::CustomerRequest,
        transfer: None,
    };
    Plan {
        route: "all".into(),
        agent: "demo".into(),
        persona: Arc::new(Persona::parse(Path::new("demo.md"), "You help.").expect("a persona")),
        language: "en".into(),
        ring_time: Duration::ZERO,
        greeting: "Hello.".into(),
        rules: [rule("explicit", Condition::Phrases(phrases)), rule("zero", Condition::Key('0'))]
            .into(),
        transfer: transfer.clone(),
        transfers: [("cold".to_owned(), transfer)].into(),
        lines: Lines {
            nobody_reached: "Nobody is free. Shall I try again?".into(),
            not_understood: "Sorry?".into(),
            fallback: "One moment please.".into(),
        },
        yes: Arc::new(Phrases::parse("yes\n").expect("a phrase file")),
    }
}

impl Story {
    /// A call that has been answered, and the greeting said.
    fn conversing(methods: &[Method]) -> Story {
        let mut story = Story::invited(plan(methods));
        story.at(0, Event::Invited);
        story.at(0, Event::Acknowledged);
        story.at(1, said(1, "Hello."));
        story
    }

    fn invited(plan: Plan) -> Story {
        let who = Who {
            call_id: CallId::new("a84b4c76e66710@192.0.2.7").expect("a Call-ID"),
            caller: "+4930555".into(),
            caller_name: None,
            called: "demo".into(),
            trunk: None,
        };
        Story { call: Call::new(Timestamp::UNIX_EPOCH, Arc::new(plan), who), start: Instant::now() }
    }

    /// What the call wants done when this happens at that second, without the journal's part.
    fn at(&mut self, second: u64, event: Event) -> Vec<Effect> {
        let mut effects = self.all_at(second, event);
        effects.retain(|effect| !matches!(effect, Effect::Record(_)));
        effects
    }

    fn all_at(&mut self, second: u64, event: Event) -> Vec<Effect> {
        let passed = Duration::from_secs(second);
        let at = Timestamp::UNIX_EPOCH + passed;
        self.call.on(Now { now: self.start + passed, at }, event)
    }

    /// A call in which a human speaks with the caller.
    fn bridged() -> Story {
        let (mut story, _) = Story::transferring(&[Method::Bridge]);
        story.at(8, Event::CallerSounds(true));
        story.at(9, Event::Transfer(transfer::Event::Answered(0)));
        story.at(9, Event::HumanSounds(0, true));
        story
    }

    /// A call in which the caller has asked for a person, and the line has been said.
    fn transferring(methods: &[Method]) -> (Story, Vec<Effect>) {
        let mut story = Story::conversing(methods);
        story.at(4, heard("I want to speak to a human"));
        story.at(4, Event::Saved);
        let begun = story.at(7, said(2, "Of course."));
        (story, begun)
    }
}

fn heard(text: &str) -> Event {
    let spoken = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    Event::Heard { text: text.into(), confidence: 0.9, spoken }
}

fn said(line: u32, text: &str) -> Event {
    let (began, ended) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let line = Some(LineId(line));
    Event::Agent(AgentEvent::Said { line, heard: text.into(), interrupted: false, began, ended })
}

fn say(line: u32, text: &str) -> Effect {
    Effect::Agent(Order::Say { line: LineId(line), text: text.into() })
}

#[test]
fn caller_is_greeted_when_the_ack_is_there() {
    let mut story = Story::invited(plan(&[Method::Refer]));
    assert_eq!(story.at(0, Event::Invited), [Effect::Ring, Effect::Answer]);
    assert_eq!(
        story.at(0, Event::Acknowledged),
        [Effect::Wire(Wiring::CONVERSING), Effect::Listen(true), say(1, "Hello.")]
    );
}

#[test]
fn call_that_shall_ring_is_answered_when_it_has_rung() {
    let mut story = Story::invited(Plan { ring_time: Duration::from_secs(3), ..plan(&[]) });
    assert_eq!(story.at(0, Event::Invited), [Effect::Ring]);
    assert_eq!(story.at(2, Event::Tick), []);
    assert_eq!(story.at(3, Event::Tick), [Effect::Answer]);
}

#[test]
fn what_asks_for_nobody_goes_to_the_agent() {
    let mut story = Story::conversing(&[Method::Refer]);
    let text = "what are your opening hours".to_owned();
    assert_eq!(story.at(3, heard(&text)), [Effect::Agent(Order::Heard { text })]);
}

/// C13 and T6: the briefing is on its way to the disk before anything is said, nothing is asked back,
/// and the transfer begins when the line has been heard to its end.
#[test]
fn request_for_a_person_is_saved_then_announced_then_done() {
    let mut story = Story::conversing(&[Method::Refer]);

    let effects = story.all_at(4, heard("I want to speak to a human"));
    let names: Vec<_> = effects.iter().map(Effect::name).collect();
    assert_eq!(names, ["record", "record", "save", "agent", "summarise"]);
    let Effect::Save(briefing) = &effects[2] else { panic!("{effects:?}") };
    assert_eq!(briefing.trigger_text.as_deref(), Some("I want to speak to a human"));

    assert_eq!(story.at(4, Event::Saved), [say(2, "Of course.")]);
    // The caller speaks over the line: it is said all the same.
    assert_eq!(story.at(5, Event::BargedIn), []);
    assert_eq!(
        story.at(7, said(2, "Of course.")),
        [
            Effect::Hold([1, -1].into()),
            Effect::Wire(Wiring::HOLDING),
            Effect::Listen(false),
            Effect::Refer(target())
        ]
    );
}

#[test]
fn key_zero_asks_for_a_person_too() {
    let mut story = Story::conversing(&[Method::Refer]);
    assert_eq!(story.at(4, Event::Digit('5')), []);
    let effects = story.at(5, Event::Digit('0'));
    assert!(
        matches!(&effects[0], Effect::Save(briefing) if briefing.trigger_text.is_none()),
        "{effects:?}"
    );
}

#[test]
fn store_and_voice_that_hang_keep_nobody_waiting() {
    let mut story = Story::conversing(&[Method::Bridge]);
    story.at(4, heard("speak to a human"));
    assert_eq!(story.at(5, Event::Tick), [say(2, "Of course.")]);
    let effects = story.at(30, Event::Tick);
    assert_eq!(effects.last(), Some(&Effect::Dial(0, target())));
}

#[test]
fn caller_gets_the_bye_only_after_the_last_notify() {
    let (mut story, begun) = Story::transferring(&[Method::Refer]);
    assert_eq!(begun.last(), Some(&Effect::Refer(target())));
    let accepted = transfer::Event::ReferAnswered(StatusCode::of(202));
    assert_eq!(story.at(7, Event::Transfer(accepted)), []);
    let done = transfer::Event::ReferProgress { status: StatusCode::of(200), reason: "OK".into() };
    assert_eq!(story.at(9, Event::Transfer(done)), [Effect::HangUpCaller, Effect::End]);
    assert!(story.call.is_over());
}

#[test]
fn human_and_caller_are_joined_and_end_together() {
    let (mut story, _) = Story::transferring(&[Method::Bridge]);
    let answered = Event::Transfer(transfer::Event::Answered(0));
    assert_eq!(story.at(9, answered), [Effect::Wire(Wiring::BRIDGED)]);
    let gone = Event::HumanGone { human: 0, reason: None };
    assert_eq!(story.at(60, gone), [Effect::HangUpCaller, Effect::End]);
}

#[test]
fn caller_whom_nobody_took_is_back_with_the_agent_and_may_say_yes() {
    let (mut story, _) = Story::transferring(&[Method::Bridge]);
    let busy = transfer::Event::Failed(0, StatusCode::of(486), "Busy Here".into());
    let effects = story.at(9, Event::Transfer(busy));
    assert_eq!(effects[0], Effect::Wire(Wiring::CONVERSING));
    assert!(matches!(&effects[1], Effect::Agent(Order::Note { .. })));
    assert_eq!(effects[2..], [say(3, "Nobody is free. Shall I try again?"), Effect::Listen(true)]);

    assert!(matches!(story.at(14, heard("yes please"))[0], Effect::Save(_)));
    assert_eq!(story.at(14, Event::Saved), [say(4, "One moment.")]);
    let effects = story.at(16, said(4, "One moment."));
    assert_eq!(effects.last(), Some(&Effect::Dial(1, target())));
}

#[test]
fn offer_to_try_again_stands_for_one_turn() {
    let (mut story, _) = Story::transferring(&[Method::Bridge]);
    story.at(
        9,
        Event::Transfer(transfer::Event::Failed(0, StatusCode::of(486), "Busy Here".into())),
    );
    story.at(14, heard("what time is it"));
    let text = "yes".to_owned();
    assert_eq!(story.at(18, heard(&text)), [Effect::Agent(Order::Heard { text })]);
}

/// A phone whose cable was cut says no BYE; one that is only silent, or answers nothing that it is asked
/// but is heard, keeps its call.
#[test]
fn caller_who_neither_sounds_nor_answers_is_let_go() {
    let ask = [Effect::Probe(LegId::Caller)];
    let unanswered = || Event::Probed(LegId::Caller, Liveness::Unanswered);
    let mut story = Story::conversing(&[Method::Bridge]);
    story.at(1, Event::CallerSounds(true));
    assert_eq!(story.at(9, Event::CallerSounds(false)), ask);
    assert_eq!(story.at(9, Event::Probed(LegId::Caller, Liveness::Alive)), []);
    assert_eq!(story.at(69, Event::Tick), ask);
    story.at(70, Event::CallerSounds(true));
    assert_eq!(story.at(101, unanswered()), []);
    assert_eq!(story.at(130, Event::Tick), []);

    assert_eq!(story.at(140, Event::CallerSounds(false)), ask);
    assert_eq!(story.at(172, unanswered()), [Effect::HangUpCaller, Effect::End]);
    let ending = story.call.context().ending.clone().expect("it is over");
    assert_eq!(ending.by, "caller");
}

/// Who holds sends no sound that is missed, so the dialog is asked each minute.
#[test]
fn caller_who_holds_and_vanishes_is_let_go() {
    let mut story = Story::conversing(&[Method::Bridge]);
    story.at(1, Event::CallerSounds(true));
    story.at(10, Event::Held(true));
    assert_eq!(story.at(69, Event::Tick), []);
    assert_eq!(story.at(70, Event::Tick), [Effect::Probe(LegId::Caller)]);
    story.at(102, Event::Probed(LegId::Caller, Liveness::Unanswered));
    assert!(story.call.is_over());
}

/// What comes from a caller who holds is music: the agent is deaf and mute until the caller is back.
#[test]
fn agent_does_not_talk_to_hold_music() {
    let mut story = Story::conversing(&[Method::Bridge]);
    let deaf = [Effect::Listen(false), Effect::Agent(Order::Interrupt)];
    assert_eq!(story.at(3, Event::Held(true)), deaf);
    assert_eq!(story.at(9, Event::Held(false)), [Effect::Listen(true)]);
}

#[test]
fn caller_whose_human_vanished_is_back_with_the_agent() {
    let mut story = Story::bridged();
    assert_eq!(story.at(20, Event::HumanSounds(0, false)), [Effect::Probe(LegId::Human(0))]);
    assert_eq!(story.at(20, Event::HumanSounds(1, false)), []);
    let effects = story.at(52, Event::Probed(LegId::Human(0), Liveness::Unanswered));
    assert_eq!(effects[..2], [Effect::HangUpHuman(0, None), Effect::Wire(Wiring::CONVERSING)]);
    assert!(effects.contains(&Effect::Listen(true)), "{effects:?}");
    assert!(effects.contains(&say(3, "Nobody is free. Shall I try again?")), "{effects:?}");
    assert_eq!(story.at(53, Event::HumanGone { human: 0, reason: None }), []);
}

/// A human who holds has no music to send, as a rule.
#[test]
fn caller_whom_the_human_holds_hears_music() {
    let mut story = Story::bridged();
    assert_eq!(story.at(12, Event::HumanHeld(0, true)), [Effect::Wire(Wiring::HOLDING)]);
    assert_eq!(story.at(20, Event::HumanHeld(0, false)), [Effect::Wire(Wiring::BRIDGED)]);
}

/// The human may be somebody's menu.
#[test]
fn keys_pass_the_bridge() {
    let mut story = Story::bridged();
    assert_eq!(story.at(12, Event::Digit('1')), [Effect::Press(LegId::Human(0), '1')]);
    assert_eq!(story.at(13, Event::HumanDigit(0, '#')), [Effect::Press(LegId::Caller, '#')]);
}

/// The second attempt's human learns of the first, and of what was said since.
#[test]
fn another_try_is_briefed_anew() {
    let (mut story, _) = Story::transferring(&[Method::Bridge]);
    let busy = transfer::Event::Failed(0, StatusCode::of(486), "Busy Here".into());
    story.at(9, Event::Transfer(busy));
    let effects = story.at(14, heard("yes"));
    let Effect::Save(briefing) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(briefing.trigger_text.as_deref(), Some("I want to speak to a human"));
    assert!(!briefing.actions_taken.is_empty(), "{briefing:?}");
    assert_eq!(story.at(14, Event::Saved), [say(4, "One moment.")]);
}

/// The REFER was given up, and then the caller's side has reached the human all the same.
#[test]
fn refer_that_succeeds_late_ends_the_call() {
    let told = |status| transfer::Event::ReferProgress {
        status: StatusCode::of(status),
        reason: "OK".into(),
    };
    let (mut story, _) = Story::transferring(&[Method::Refer]);
    story.at(7, Event::Transfer(transfer::Event::ReferAnswered(StatusCode::of(202))));
    story.at(8, Event::Held(true));
    assert_eq!(story.at(37, Event::Tick), [Effect::Probe(LegId::Caller)]);
    let back = story.at(38, Event::Probed(LegId::Caller, Liveness::Alive));
    assert!(back.contains(&Effect::Listen(false)), "{back:?}");
    assert_eq!(story.at(45, Event::Transfer(told(180))), []);
    assert_eq!(story.at(50, Event::Transfer(told(200))), [Effect::HangUpCaller, Effect::End]);
}

#[test]
fn caller_who_hangs_up_leaves_no_leg_behind() {
    let gone = || Event::CallerGone { reason: None };

    let (mut story, _) = Story::transferring(&[Method::Bridge]);
    let effects = story.at(9, gone());
    assert!(matches!(&effects[..], [Effect::HangUpHuman(0, Some(_)), Effect::End]), "{effects:?}");
    assert!(story.call.is_over());

    let (mut story, _) = Story::transferring(&[Method::Bridge]);
    story.at(9, Event::Transfer(transfer::Event::Answered(0)));
    assert_eq!(story.at(11, gone()), [Effect::HangUpHuman(0, None), Effect::End]);

    let mut story = Story::conversing(&[Method::Refer]);
    assert_eq!(story.at(2, gone()), [Effect::End]);
    assert_eq!(story.at(3, gone()), []);
}

#[test]
fn turns_are_counted_through_both_speakers() {
    let mut story = Story::conversing(&[Method::Refer]);
    story.at(3, heard("what are your opening hours"));
    let numbers: Vec<_> =
        story.call.context().conversation.turns.iter().map(|turn| turn.number).collect();
    assert_eq!(numbers, [1, 2]);
}
