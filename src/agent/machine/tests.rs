//! Scripts of events against lists of effects. Clips and questions are numbered from 1.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::agent::Role;
use crate::agent::driver::LineId;

const FALLBACK: &str = "I am sorry, one moment.";

/// A machine and its clock.
struct Script {
    machine: Machine,
    now: Moment,
}

/// What a test compares: effects in one line each, without the request.
fn line(effect: &Effect) -> String {
    match effect {
        Effect::Ask(AskId(n), _) => format!("ask {n}"),
        Effect::StopAsking => "stop asking".to_owned(),
        Effect::Voice { clip, text, is_fixed } => {
            format!("voice {}{} {text}", clip.0, if *is_fixed { "!" } else { "" })
        }
        Effect::Play(clip) => format!("play {}", clip.0),
        Effect::StopMouth => "stop mouth".to_owned(),
        Effect::Tell(AgentEvent::Speaking) => "speaking".to_owned(),
        Effect::Tell(AgentEvent::Said { line, heard, interrupted, .. }) => {
            let line = line.map(|line| line.0);
            format!("said {line:?} {heard:?}{}", if *interrupted { " cut" } else { "" })
        }
        Effect::Tell(AgentEvent::FellBack { what }) => format!("fell back: {what}"),
        Effect::Tell(AgentEvent::Mute { line }) => format!("mute {:?}", line.map(|line| line.0)),
    }
}

impl Script {
    fn new() -> Self {
        let persona = Persona::parse(Path::new("p.md"), "You sell bicycles.").expect("right");
        let settings = Settings {
            persona: Arc::new(persona),
            language: "en".to_owned(),
            fallback_line: FALLBACK.to_owned(),
            deadline: Duration::from_millis(1500),
            rate: Rate::Narrow,
        };
        let now = Moment { at: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        Script { machine: Machine::new(settings), now }
    }

    #[track_caller]
    fn on(&mut self, event: Event, expected: &[&str]) -> &mut Self {
        let effects: Vec<_> = self.machine.on(self.now, event).iter().map(line).collect();
        assert_eq!(effects, expected);
        self
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now.at += Duration::from_millis(millis);
        self
    }

    #[track_caller]
    fn hear(&mut self, text: &str, expected: &[&str]) -> &mut Self {
        self.on(Event::Ordered(Order::Heard { text: text.to_owned() }), expected)
    }

    #[track_caller]
    fn say(&mut self, line: u32, text: &str, expected: &[&str]) -> &mut Self {
        self.on(Event::Ordered(Order::Say { line: LineId(line), text: text.to_owned() }), expected)
    }

    #[track_caller]
    fn interrupt(&mut self, expected: &[&str]) -> &mut Self {
        self.on(Event::Ordered(Order::Interrupt), expected)
    }

    #[track_caller]
    fn wrote(&mut self, ask: u64, text: &str, expected: &[&str]) -> &mut Self {
        self.on(Event::Wrote { ask: AskId(ask), text: text.to_owned() }, expected)
    }

    #[track_caller]
    fn finished(&mut self, ask: u64, expected: &[&str]) -> &mut Self {
        self.on(Event::Finished { ask: AskId(ask) }, expected)
    }

    /// The voice has made one second of speech.
    #[track_caller]
    fn voiced(&mut self, clip: u64, expected: &[&str]) -> &mut Self {
        self.on(Event::Voiced { clip: ClipId(clip), samples: 8000 }, expected)
    }

    #[track_caller]
    fn started(&mut self, clip: u64, expected: &[&str]) -> &mut Self {
        self.on(Event::Mouth(MouthEvent::Started { clip: ClipId(clip) }), expected)
    }

    #[track_caller]
    fn ended(&mut self, clip: u64, played: u32, expected: &[&str]) -> &mut Self {
        let whole = played == 8000;
        self.on(Event::Mouth(MouthEvent::Ended { clip: ClipId(clip), played, whole }), expected)
    }

    /// The turns that the model is shown with the next question.
    fn shown(&mut self, text: &str) -> Vec<(Role, String)> {
        let order = Order::Heard { text: text.to_owned() };
        let effects = self.machine.on(self.now, Event::Ordered(order));
        let asked = effects.into_iter().find_map(|effect| match effect {
            Effect::Ask(_, request) => Some(request.messages),
            _ => None,
        });
        let messages = asked.expect("a question").split_off(1);
        messages.into_iter().map(|message| (message.role, message.content)).collect()
    }
}

#[test]
fn sentences_go_to_the_voice_as_they_complete_and_are_played_in_order() {
    Script::new()
        .hear("When are you open?", &["ask 1"])
        .wrote(1, "We open", &[])
        .wrote(1, " at nine. And", &["voice 1 We open at nine."])
        .wrote(1, " we close at six. Bye", &[])
        .voiced(1, &["play 1", "voice 2 And we close at six."])
        .started(1, &["speaking"])
        .finished(1, &[])
        .voiced(2, &["play 2", "voice 3 Bye"])
        .voiced(3, &["play 3"])
        .ended(1, 8000, &[])
        .started(2, &[])
        .ended(2, 8000, &[])
        .ended(3, 8000, &["said None \"We open at nine. And we close at six. Bye\""]);
}

#[test]
fn a_line_is_said_word_for_word_and_told_by_its_number() {
    Script::new()
        .say(7, "Hello. How can I *help*?", &["voice 1! Hello. How can I *help*?"])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .ended(1, 8000, &["said Some(7) \"Hello. How can I *help*?\""]);
}

#[test]
fn a_model_without_a_sentence_in_time_is_replaced_by_the_fallback_line() {
    let mut script = Script::new();
    script.hear("Hello?", &["ask 1"]);
    assert_eq!(script.machine.poll_timeout(), Some(script.now.at + Duration::from_millis(1500)));
    // It has begun, and gets as long again.
    script
        .after(1400)
        .wrote(1, "Well", &[])
        .after(1599)
        .on(Event::Tick, &[])
        .after(1)
        .on(
            Event::Tick,
            &[
                "stop asking",
                "fell back: the language model was late",
                "voice 1! I am sorry, one moment.",
            ],
        )
        .wrote(1, ", yes. ", &[])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .ended(1, 8000, &["said None \"I am sorry, one moment.\""]);
}

#[test]
fn a_model_that_fails_before_its_first_sentence_is_replaced_at_once() {
    Script::new().hear("Hello?", &["ask 1"]).wrote(1, "Wel", &[]).on(
        Event::Failed { ask: AskId(1), what: "cannot be reached".to_owned() },
        &["fell back: cannot be reached", "voice 1! I am sorry, one moment."],
    );
}

#[test]
fn a_model_that_fails_later_leaves_the_sentences_it_had() {
    Script::new()
        .hear("Hello?", &["ask 1"])
        .wrote(1, "Yes. We are", &["voice 1 Yes."])
        .on(Event::Failed { ask: AskId(1), what: "cut".to_owned() }, &[])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .ended(1, 8000, &["said None \"Yes.\""]);
}

#[test]
fn a_model_that_stalls_between_sentences_has_said_all() {
    Script::new()
        .hear("Hello?", &["ask 1"])
        .wrote(1, "Yes. We", &["voice 1 Yes."])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .ended(1, 8000, &[])
        .after(5000)
        .on(Event::Tick, &["stop asking", "said None \"Yes.\""]);
}

#[test]
fn a_model_that_writes_a_tool_call_is_not_read_aloud() {
    Script::new()
        .hear("A person!", &["ask 1"])
        .wrote(1, "{\"name\": \"transfer\", \"arguments\": {}}. Done. ", &[])
        .finished(
            1,
            &[
                "fell back: the language model said nothing that can be spoken",
                "voice 1! I am sorry, one moment.",
            ],
        );
}

#[test]
fn an_endless_answer_is_cut_after_five_sentences() {
    let mut script = Script::new();
    script
        .hear("Tell me all.", &["ask 1"])
        .wrote(1, "One. Two. Three. Four. Five. Six. Seven. ", &["stop asking", "voice 1 One."])
        .wrote(1, "Eight. ", &[])
        .finished(1, &[]);
    for clip in 1..=4 {
        script.machine.on(script.now, Event::Voiced { clip: ClipId(clip), samples: 8000 });
    }
    script.voiced(5, &["play 5"]);
}

#[test]
fn an_interruption_stops_thought_and_voice_and_keeps_what_was_heard() {
    let mut script = Script::new();
    script
        .hear("When are you open?", &["ask 1"])
        .wrote(
            1,
            "We open at nine in the morning. And we ",
            &["voice 1 We open at nine in the morning."],
        )
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .interrupt(&["stop asking", "stop mouth"])
        .wrote(1, "close at six. ", &[])
        .ended(1, 4200, &["said None \"We open at nine\" cut"]);
    assert_eq!(
        script.shown("And on Saturday?"),
        [
            (Role::User, "When are you open?".to_owned()),
            (Role::Assistant, "We open at nine\u{2014}".to_owned()),
            (Role::User, "And on Saturday?".to_owned()),
        ]
    );
}

#[test]
fn an_interrupted_thought_never_was_and_the_next_question_has_both_parts() {
    let mut script = Script::new();
    script.hear("When are", &["ask 1"]).interrupt(&["stop asking"]);
    assert_eq!(script.shown("you open?"), [(Role::User, "When are you open?".to_owned())]);
}

#[test]
fn the_next_question_waits_until_the_mouth_tells_what_was_heard_of_the_last_answer() {
    Script::new()
        .hear("One?", &["ask 1"])
        .wrote(1, "First answer here. ", &["voice 1 First answer here."])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .hear("Two?", &["stop asking", "stop mouth"])
        .ended(1, 3000, &["said None \"First\" cut", "ask 2"]);
}

#[test]
fn a_mouth_that_never_tells_holds_the_next_question_up_for_300_ms() {
    let mut script = Script::new();
    script
        .hear("One?", &["ask 1"])
        .wrote(1, "First. ", &["voice 1 First."])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .hear("Two?", &["stop asking", "stop mouth"]);
    assert_eq!(script.machine.poll_timeout(), Some(script.now.at + Duration::from_millis(300)));
    script.after(300).on(Event::Tick, &["said None \"\" cut", "ask 2"]);
}

#[test]
fn what_is_heard_during_a_line_is_answered_after_it() {
    Script::new()
        .say(1, "Good morning.", &["voice 1! Good morning."])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .hear("Are you open?", &[])
        .ended(1, 8000, &["said Some(1) \"Good morning.\"", "ask 1"]);
}

#[test]
fn a_line_takes_the_place_of_an_answer_at_once() {
    Script::new()
        .hear("One?", &["ask 1"])
        .wrote(1, "An answer to it. ", &["voice 1 An answer to it."])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .say(
            3,
            "Let me transfer you.",
            &["stop asking", "stop mouth", "voice 2! Let me transfer you."],
        )
        .voiced(2, &["play 2"])
        .ended(1, 4500, &["said None \"An answer\" cut"])
        .started(2, &["speaking"])
        .ended(2, 8000, &["said Some(3) \"Let me transfer you.\""]);
}

#[test]
fn a_line_that_is_stopped_before_its_first_sample_is_told_all_the_same() {
    Script::new()
        .say(1, "Hello.", &["voice 1! Hello."])
        .interrupt(&["stop mouth", "said Some(1) \"\" cut"])
        .voiced(1, &[]);
}

#[test]
fn a_voice_that_fails_is_told_as_mute() {
    let unvoiced = |clip| Event::Unvoiced { clip: ClipId(clip) };
    Script::new()
        .say(1, "Hello.", &["voice 1! Hello."])
        .on(unvoiced(1), &["mute Some(1)"])
        .hear("Hello?", &["ask 1"])
        .wrote(1, "Yes. Well. ", &["voice 2 Yes."])
        .on(unvoiced(2), &["voice 3 Well."])
        .on(unvoiced(3), &[])
        .finished(1, &["mute None"]);
}

#[test]
fn a_voice_that_never_answers_is_given_up_after_five_seconds() {
    Script::new()
        .say(1, "Hello.", &["voice 1! Hello."])
        .after(5000)
        .on(Event::Tick, &["mute Some(1)"])
        .voiced(1, &[]);
}

#[test]
fn a_mouth_that_never_ends_is_given_up_two_seconds_late() {
    Script::new()
        .say(1, "Hello.", &["voice 1! Hello."])
        .voiced(1, &["play 1"])
        .started(1, &["speaking"])
        .after(2999)
        .on(Event::Tick, &[])
        .after(1)
        .on(Event::Tick, &["said Some(1) \"\""]);
}

#[test]
fn a_note_is_known_from_the_next_question_on() {
    let mut script = Script::new();
    script.on(Event::Ordered(Order::Note { text: "Nobody answered.".to_owned() }), &[]);
    let order = Order::Heard { text: "And now?".to_owned() };
    let effects = script.machine.on(script.now, Event::Ordered(order));
    let [Effect::Ask(_, request)] = &effects[..] else { panic!("{effects:?}") };
    assert!(request.messages[0].content.ends_with("- Nobody answered."));
}

#[test]
fn an_interruption_of_nothing_changes_nothing() {
    let mut script = Script::new();
    script.interrupt(&[]).hear(" ", &[]).finished(9, &[]).ended(9, 1, &[]).on(Event::Tick, &[]);
    assert_eq!(script.machine.poll_timeout(), None);
}

/// One of the things that can happen, most of them with numbers that mean something.
fn any_event() -> impl Strategy<Value = Event> {
    let words = ["Yes. ", "We open at nine. And ", "<think>", "{", "no end", ""];
    let words = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    let clip = (1..12_u64).prop_map(ClipId);
    let ask = (1..4_u64).prop_map(AskId);
    let order = prop_oneof![
        words.clone().prop_map(|text| Order::Heard { text }),
        words.clone().prop_map(|text| Order::Say { line: LineId(0), text }),
        Just(Order::Interrupt),
        words.clone().prop_map(|text| Order::Note { text }),
    ];
    prop_oneof![
        order.prop_map(Event::Ordered),
        (ask.clone(), words).prop_map(|(ask, text)| Event::Wrote { ask, text }),
        ask.clone().prop_map(|ask| Event::Finished { ask }),
        ask.prop_map(|ask| Event::Failed { ask, what: "gone".to_owned() }),
        (clip.clone(), 0..20_000_u32).prop_map(|(clip, samples)| Event::Voiced { clip, samples }),
        clip.clone().prop_map(|clip| Event::Unvoiced { clip }),
        clip.clone().prop_map(|clip| Event::Mouth(MouthEvent::Started { clip })),
        (clip, 0..20_000_u32, any::<bool>()).prop_map(|(clip, played, whole)| {
            Event::Mouth(MouthEvent::Ended { clip, played, whole })
        }),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever happens in whatever order, and even if the model, the voice and the mouth then fall
    /// silent for ever: the agent comes to rest, and every line is told exactly once.
    #[test]
    fn an_agent_comes_to_rest_and_tells_of_every_line_once(
        events in proptest::collection::vec((any_event(), 0..3000_u64), 0..60),
    ) {
        let Script { mut machine, mut now } = Script::new();
        let (mut lines, mut told) = (0, Vec::new());
        for (event, millis) in events {
            now.at += Duration::from_millis(millis);
            let event = match event {
                Event::Ordered(Order::Say { text, .. }) => {
                    lines += 1;
                    Event::Ordered(Order::Say { line: LineId(lines), text })
                }
                event => event,
            };
            told.extend(machine.on(now, event));
        }
        for _ in 0..200 {
            let Some(deadline) = machine.poll_timeout() else { break };
            now.at = deadline.max(now.at);
            told.extend(machine.on(now, Event::Tick));
        }
        prop_assert_eq!(machine.poll_timeout(), None);
        prop_assert!(machine.turn.is_none() && machine.closing.is_empty() && machine.pending.is_empty());

        let mut lines_told: Vec<u32> = told
            .iter()
            .filter_map(|effect| match effect {
                Effect::Tell(AgentEvent::Said { line, .. } | AgentEvent::Mute { line }) => *line,
                _ => None,
            })
            .map(|line| line.0)
            .collect();
        lines_told.sort_unstable();
        prop_assert_eq!(lines_told, (1..=lines).collect::<Vec<_>>());
    }
}
