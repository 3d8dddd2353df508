//! One call's listening as a machine: frames in, what to recognise and what to tell out.
//!
//! Recognition begins when a turn is *probably* over and counts when it *is* over, so that most of its
//! time passes in the silence that ends a turn anyway:
//!
//! ```text
//!   voice ......|  pause  |            end of turn |
//!               |<------------ 600 ms ------------>|
//!               |<200 ms->|<---- recognition --->| |
//!                         Recognize                Conclude: the words are there
//!                         (Forget, if the caller goes on)
//! ```

use std::time::{Duration, Instant};

use crate::ids::{CallId, Pii};
use crate::media::bridge::HeardFrame;
use crate::speech::activity::{Activity, ActivityKind};
use crate::speech::hearing::Hearing;
use crate::speech::tape::Tape;
use crate::speech::turns::{End, Event, Input, Turn, TurnTimes, Turns};
use crate::speech::{Listening, SpeechError, Urgency};

/// How a call is listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerSettings {
    /// What tells voice from silence.
    pub activity: ActivityKind,
    /// How long is long enough.
    pub times: TurnTimes,
}

/// What a call learns from listening. After a `Started` or `BargedIn` comes exactly one of `Heard`,
/// `Nothing` and `Deaf`; another `BargedIn` may come between.
#[derive(Clone, Debug, PartialEq)]
pub enum SpeechEvent {
    /// The caller began to speak while the agent was silent.
    Started,
    /// The caller spoke over the agent: the agent's voice should stop now.
    BargedIn,
    /// The caller's turn is over, in words.
    Heard(Utterance),
    /// The sound is over, and there were no words in it.
    Nothing,
    /// The caller said something, and we could not understand it for a reason of ours.
    Deaf(SpeechError),
}

/// A turn of the caller in words, with the times that say where its delay comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The words. Never empty.
    pub text: Pii<String>,
    /// How sure the recogniser is, 0 to 1.
    pub confidence: f32,
    /// When and how long the caller spoke, and why the turn ended.
    pub turn: EndedTurn,
    /// When the words were there: before the end of the turn if the first suspicion was right in time.
    pub ready: Instant,
    /// What recognition took, its queue included.
    pub took: Duration,
}

/// A turn that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedTurn {
    /// The caller's first and last sound.
    pub turn: Turn,
    /// When the turn was taken to be over.
    pub over: Instant,
    /// Why.
    pub end: End,
}

/// What the listener wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Tell the call.
    Tell(SpeechEvent),
    /// Begin to recognise this; at most one recognition is under suspicion at a time.
    Recognize(Listening),
    /// The recognition under suspicion is of no use.
    Forget,
    /// The recognition under suspicion is the turn's: wait for it and tell the call.
    Conclude(EndedTurn),
}

/// Listens to one call.
pub struct Listener {
    call: CallId,
    hearing: Hearing,
    activity: Activity,
    turns: Turns,
    tape: Tape,
    listens: bool,
    /// The recognition under suspicion, if one is under way.
    suspicion: Option<Urgency>,
    /// Turns that were recognised so far.
    concluded: u64,
}

impl Listener {
    /// Listens from the first frame on.
    pub fn new(call: CallId, settings: ListenerSettings) -> Self {
        Listener {
            call,
            hearing: Hearing::default(),
            activity: Activity::new(settings.activity),
            turns: Turns::new(settings.times),
            tape: Tape::default(),
            listens: true,
            suspicion: None,
            concluded: 0,
        }
    }

    /// Hears 20 ms.
    pub fn hear(&mut self, now: Instant, heard: &HeardFrame) -> Vec<Effect> {
        if !self.listens {
            return vec![];
        }
        let samples = self.hearing.hear(&heard.frame);
        self.tape.hear(&samples);
        let voiced = self.activity.hear(&samples);
        self.step(now, Input::Frame { voiced, agent_sounds: heard.agent_sounds })
    }

    /// Time passed without a frame.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Effect> {
        self.step(now, Input::Tick)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.turns.poll_timeout()
    }

    /// Stops listening (hold, transfer) or begins again. What the caller had said until now is
    /// recognised and told: it may be why the call is transferred.
    pub fn listen(&mut self, now: Instant, listens: bool) -> Vec<Effect> {
        if listens == self.listens {
            return vec![];
        }
        self.listens = listens;
        let effects = self.step(now, Input::Stop);
        self.hearing = Hearing::default();
        self.activity.forget();
        self.tape.clear();
        effects
    }

    /// The recognition under suspicion failed. Nobody has to know: the turn is recognised again when
    /// it is over.
    pub fn handle_failed_suspicion(&mut self) {
        self.suspicion = None;
    }

    fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let events = self.turns.on(now, input);
        events.into_iter().flat_map(|event| self.on(now, event)).collect()
    }

    fn on(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Started => self.begin(now, SpeechEvent::Started),
            Event::BargedIn => self.begin(now, SpeechEvent::BargedIn),
            Event::Pause => self.suspect(),
            Event::Resumed => self.forget(),
            Event::Ended(end) => self.conclude(now, end),
            Event::Faded => {
                self.tape.clear();
                let mut effects = self.forget();
                effects.push(Effect::Tell(SpeechEvent::Nothing));
                effects
            }
        }
    }

    fn begin(&mut self, now: Instant, event: SpeechEvent) -> Vec<Effect> {
        let began = self.turns.turn().map_or(now, |turn| turn.began);
        self.tape.begin(now.saturating_duration_since(began));
        vec![Effect::Tell(event)]
    }

    fn suspect(&mut self) -> Vec<Effect> {
        if !self.turns.is_speech() {
            return vec![];
        }
        let urgency = Urgency::early();
        self.suspicion = Some(urgency.clone());
        vec![Effect::Recognize(self.listening(urgency))]
    }

    fn forget(&mut self) -> Vec<Effect> {
        self.suspicion.take().map(|_| Effect::Forget).into_iter().collect()
    }

    fn conclude(&mut self, now: Instant, end: End) -> Vec<Effect> {
        let Some(turn) = self.turns.turn() else { return vec![] };
        let conclude = Effect::Conclude(EndedTurn { turn, over: now, end });
        let effects = match self.suspicion.take() {
            Some(urgency) => {
                urgency.raise();
                vec![conclude]
            }
            None => vec![Effect::Recognize(self.listening(Urgency::awaited())), conclude],
        };
        self.tape.clear();
        self.concluded += 1;
        effects
    }

    fn listening(&self, urgency: Urgency) -> Listening {
        Listening {
            call: self.call.clone(),
            turn: self.concluded,
            samples: self.tape.copy(),
            voiced: self.turns.turn().map_or(Duration::ZERO, |turn| turn.voiced),
            urgency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Frame, Rate};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Did {
        Started,
        Nothing,
        Recognize { turn: u64, awaited: bool, millis: usize },
        Forget,
        Conclude(End),
    }
    use Did::*;

    #[test]
    fn turn_is_recognised_on_suspicion_and_concluded_with_it() {
        check(
            &[(false, 1000), (true, 1000), (false, 700)],
            &[
                (1080, Started),
                // The lead, the voice and the pause.
                (2200, Recognize { turn: 0, awaited: false, millis: 300 + 1000 + 200 }),
                (2600, Conclude(End::Silence)),
            ],
        );
    }

    #[test]
    fn suspicion_is_forgotten_when_the_caller_goes_on() {
        check(
            &[(true, 400), (false, 300), (true, 300), (false, 600)],
            &[
                (80, Started),
                (600, Recognize { turn: 0, awaited: false, millis: 600 }),
                (720, Forget),
                (1200, Recognize { turn: 0, awaited: false, millis: 1200 }),
                (1600, Conclude(End::Silence)),
            ],
        );
    }

    #[test]
    fn noise_is_not_recognised() {
        check(&[(true, 100), (false, 700)], &[(80, Started), (700, Nothing)]);
    }

    #[test]
    fn second_turn_has_the_next_number_and_nothing_of_the_first() {
        check(
            &[(true, 400), (false, 600), (true, 400), (false, 200)],
            &[
                (80, Started),
                (600, Recognize { turn: 0, awaited: false, millis: 600 }),
                (1000, Conclude(End::Silence)),
                (1080, Started),
                (1600, Recognize { turn: 1, awaited: false, millis: 600 }),
            ],
        );
    }

    #[test]
    fn what_was_said_before_listening_stopped_is_recognised() {
        let (start, mut listener) = fresh();
        run(&mut listener, start, &[(true, 400)]);

        let effects = listener.listen(start + Duration::from_millis(400), false);
        let expected = [Recognize { turn: 0, awaited: true, millis: 400 }, Conclude(End::Cut)];
        assert_eq!(effects.iter().map(did).collect::<Vec<_>>(), expected);
        assert_eq!(run(&mut listener, start, &[(true, 1000), (false, 1000)]), []);
    }

    #[test]
    fn failed_suspicion_is_made_good_at_the_end_of_the_turn() {
        let (start, mut listener) = fresh();
        run(&mut listener, start, &[(true, 400), (false, 200)]);

        listener.handle_failed_suspicion();

        let effects = listener.handle_timeout(start + Duration::from_millis(1000));
        let expected = [Recognize { turn: 0, awaited: true, millis: 600 }, Conclude(End::Silence)];
        assert_eq!(effects.iter().map(did).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn concluding_raises_the_urgency_of_what_waits_already() {
        let (start, mut listener) = fresh();
        let mut urgency = None;
        feed(&mut listener, start, &[(true, 400), (false, 200)], |_, effect| {
            if let Effect::Recognize(listening) = effect {
                urgency = Some(listening.urgency);
            }
        });
        let urgency = urgency.expect("recognised on suspicion");
        assert!(!urgency.is_awaited());

        listener.handle_timeout(start + Duration::from_millis(1000));

        assert!(urgency.is_awaited());
    }

    #[track_caller]
    fn check(script: &[(bool, u64)], expected: &[(u64, Did)]) {
        let (start, mut listener) = fresh();
        assert_eq!(run(&mut listener, start, script), expected);
    }

    fn fresh() -> (Instant, Listener) {
        let call = CallId::new("a84b4c76e66710@example.com").expect("a good Call-ID");
        let settings =
            ListenerSettings { activity: ActivityKind::Energy, times: TurnTimes::default() };
        (Instant::now(), Listener::new(call, settings))
    }

    fn run(listener: &mut Listener, start: Instant, script: &[(bool, u64)]) -> Vec<(u64, Did)> {
        let mut done = Vec::new();
        feed(listener, start, script, |at, effect| done.push((at, did(&effect))));
        done
    }

    /// Feeds a loud or a silent stretch of so many milliseconds, one after the other.
    fn feed(
        listener: &mut Listener,
        start: Instant,
        script: &[(bool, u64)],
        mut wanted: impl FnMut(u64, Effect),
    ) {
        let mut at = 0;
        for (loud, millis) in script {
            let samples = if *loud { [3000; 320] } else { [0; 320] };
            let frame = Frame::from_samples(Rate::Wide, &samples);
            for _ in 0..millis / 20 {
                at += 20;
                let heard = HeardFrame { frame, agent_sounds: false };
                let effects = listener.hear(start + Duration::from_millis(at), &heard);
                effects.into_iter().for_each(|effect| wanted(at, effect));
            }
        }
    }

    fn did(effect: &Effect) -> Did {
        match effect {
            Effect::Tell(SpeechEvent::Started) => Started,
            Effect::Tell(SpeechEvent::Nothing) => Nothing,
            Effect::Tell(event) => panic!("{event:?}"),
            Effect::Recognize(listening) => Recognize {
                turn: listening.turn,
                awaited: listening.urgency.is_awaited(),
                millis: listening.samples.len() / 16,
            },
            Effect::Forget => Forget,
            Effect::Conclude(turn) => Conclude(turn.end),
        }
    }
}
