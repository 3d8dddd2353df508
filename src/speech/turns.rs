//! Whose turn it is: when the caller begins to speak, pauses, goes on, and has finished.
//!
//! ```text
//!            voice for `onset`; over the
//!            agent's voice for `barge_in`                silence for `pause`
//!   Quiet  ------------------------------->  Speaking  --------------------->  Pausing
//!    A A A       Started | BargedIn           |  |  A          Pause            |  |
//!    | | |                                    |  |  '------- voice -------------'  |
//!    | | |                                    |  |           Resumed               |
//!    | | '--- `longest` has passed -----------'  |                                 |
//!    | |          Ended(Longest)                 |                                 |
//!    | '----- stopped listening -----------------+---------------------------------+
//!    |            Ended(Cut)                                                       |
//!    '------- silence for `end_of_turn` -------------------------------------------'
//!                 Ended(Silence) | Faded
//! ```
//!
//! Voice is counted with a leak: each frame with voice adds its length, each frame without takes as
//! much away. So a click does not begin a turn, and a consonant in between does not restart the count.
//! Over the agent's voice the longer count applies: "mhm" is a listener's noise, not an interruption.

use std::time::{Duration, Instant};

use crate::media::FRAME_TIME;

/// How long is long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnTimes {
    /// Voice that begins a turn while the agent is silent.
    pub onset: Duration,
    /// Voice over the agent's own that interrupts it; a shorter sound does not.
    pub barge_in: Duration,
    /// Silence after which the turn is probably over, so that recognition may begin.
    pub pause: Duration,
    /// Silence after which the turn is over.
    pub end_of_turn: Duration,
    /// A turn ends here, whatever is said: a recogniser takes 30 s at once, and the turn has a little
    /// before it.
    pub longest: Duration,
    /// A turn with less voice than this was a noise.
    pub voiced_min: Duration,
}

impl Default for TurnTimes {
    fn default() -> Self {
        TurnTimes {
            onset: Duration::from_millis(80),
            barge_in: Duration::from_millis(240),
            pause: Duration::from_millis(200),
            end_of_turn: Duration::from_millis(600),
            longest: Duration::from_secs(29),
            voiced_min: Duration::from_millis(120),
        }
    }
}

/// What can happen to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// 20 ms were heard.
    Frame {
        /// Whether there is a voice in it.
        voiced: bool,
        /// Whether the agent sounds at the same time.
        agent_sounds: bool,
    },
    /// Time has passed without a frame: no sound reaches us (the call was rewired).
    Tick,
    /// Nobody listens any more.
    Stop,
}

/// What happened to the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller began to speak while the agent was silent.
    Started,
    /// The caller spoke over the agent, long enough to mean it. Begins a turn if none is under way.
    BargedIn,
    /// The turn is probably over.
    Pause,
    /// It was not: the caller goes on.
    Resumed,
    /// The turn is over.
    Ended(End),
    /// The turn is over and had too little voice to be speech.
    Faded,
}

/// Why a turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The caller is silent.
    Silence,
    /// It was as long as a turn may be; the next one may go on in the middle of a word.
    Longest,
    /// Listening stopped.
    Cut,
}

/// The turn under way, or the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When its first frame with voice began.
    pub began: Instant,
    /// When its last frame with voice ended.
    pub ended: Instant,
    /// How much of it was voice.
    pub voiced: Duration,
}

/// Follows the turns of one call.
#[derive(Debug)]
pub struct Turns {
    times: TurnTimes,
    state: State,
    /// Voice counted with a leak, at most `barge_in`.
    level: Duration,
    /// The same over the agent's voice alone; starts again whenever the agent is silent.
    level_over_agent: Duration,
    /// Whether the interruption under way has been told.
    interrupted: bool,
    turn: Option<Turn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Quiet,
    Speaking { until: Instant },
    Pausing { until: Instant },
}

impl Turns {
    /// Waits for the first turn.
    pub fn new(times: TurnTimes) -> Self {
        Turns {
            times,
            state: State::Quiet,
            level: Duration::ZERO,
            level_over_agent: Duration::ZERO,
            interrupted: false,
            turn: None,
        }
    }

    /// The turn under way or, right after its end, the one that ended; `None` before the first voice.
    pub fn turn(&self) -> Option<Turn> {
        self.turn
    }

    /// Whether a turn is under way.
    pub fn is_in_turn(&self) -> bool {
        self.state != State::Quiet
    }

    /// Whether the turn has enough voice to be speech.
    pub fn is_speech(&self) -> bool {
        self.turn.is_some_and(|turn| turn.voiced >= self.times.voiced_min)
    }

    /// When a [`Input::Tick`] has something to do, if no frame comes before; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        let turn = self.turn?;
        match self.state {
            State::Quiet => None,
            State::Speaking { until } => Some((turn.ended + self.times.pause).min(until)),
            State::Pausing { until } => Some((turn.ended + self.times.end_of_turn).min(until)),
        }
    }

    /// Takes one step: at most two events come of it.
    pub fn on(&mut self, now: Instant, input: Input) -> Vec<Event> {
        match input {
            Input::Frame { voiced, agent_sounds } => {
                self.count(now, voiced, agent_sounds);
                let interrupts = self.interrupts();
                self.step(now, voiced, agent_sounds, interrupts)
            }
            Input::Tick => self.step(now, false, false, false),
            Input::Stop => self.stop(),
        }
    }

    fn count(&mut self, now: Instant, voiced: bool, agent_sounds: bool) {
        let leak = |level: Duration| match voiced {
            true => (level + FRAME_TIME).min(self.times.barge_in),
            false => level.saturating_sub(FRAME_TIME),
        };
        self.level = leak(self.level);
        self.level_over_agent = match agent_sounds {
            true => leak(self.level_over_agent),
            false => Duration::ZERO,
        };
        if !voiced {
            return;
        }
        // In quiet, voice after the count has leaked away is the beginning of something new.
        let fresh = self.state == State::Quiet && self.level <= FRAME_TIME;
        let began = now.checked_sub(FRAME_TIME).unwrap_or(now);
        match &mut self.turn {
            Some(turn) if !fresh => {
                turn.ended = now;
                turn.voiced += FRAME_TIME;
            }
            turn => *turn = Some(Turn { began, ended: now, voiced: FRAME_TIME }),
        }
    }

    /// Whether this very frame completes an interruption: true once, until the agent is silent again
    /// or the voice has leaked away.
    fn interrupts(&mut self) -> bool {
        let told = self.interrupted;
        self.interrupted = match self.level_over_agent {
            Duration::ZERO => false,
            level => told || level >= self.times.barge_in,
        };
        self.interrupted && !told
    }

    #[rustfmt::skip]
    fn step(&mut self, now: Instant, voiced: bool, agent_sounds: bool, interrupts: bool) -> Vec<Event> {
        use {Event::*, State::*};

        let Some(turn) = self.turn else { return vec![] };
        let times = self.times;
        let silence = now.saturating_duration_since(turn.ended);
        let begins = voiced && !agent_sounds && self.level >= times.onset;
        let paused = silence >= times.pause;
        let over = silence >= times.end_of_turn;

        let (next, events) = match self.state {
            Quiet if interrupts                             => (Speaking { until: turn.began + times.longest }, vec![BargedIn]),
            Quiet if begins                                 => (Speaking { until: turn.began + times.longest }, vec![Started]),
            Quiet                                           => (Quiet, vec![]),
            Speaking { until } | Pausing { until }
                if now >= until                             => (Quiet, vec![self.over(End::Longest)]),
            Speaking { until } if interrupts                => (Speaking { until }, vec![BargedIn]),
            Speaking { until } if paused                    => (Pausing { until }, vec![Pause]),
            Speaking { until }                              => (Speaking { until }, vec![]),
            Pausing { until } if interrupts                 => (Speaking { until }, vec![Resumed, BargedIn]),
            Pausing { until } if voiced                     => (Speaking { until }, vec![Resumed]),
            Pausing { .. } if over                          => (Quiet, vec![self.over(End::Silence)]),
            Pausing { until }                               => (Pausing { until }, vec![]),
        };
        self.enter(next);
        events
    }

    fn stop(&mut self) -> Vec<Event> {
        let events = match self.is_in_turn() {
            true => vec![self.over(End::Cut)],
            false => vec![],
        };
        self.enter(State::Quiet);
        self.level = Duration::ZERO;
        self.level_over_agent = Duration::ZERO;
        self.interrupted = false;
        events
    }

    fn over(&self, end: End) -> Event {
        if self.is_speech() { Event::Ended(end) } else { Event::Faded }
    }

    /// Leaving a turn forgets the count: only new voice begins the next one.
    fn enter(&mut self, next: State) {
        if next == State::Quiet && self.state != State::Quiet {
            self.level = Duration::ZERO;
        }
        self.state = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: Input = Input::Frame { voiced: true, agent_sounds: false };
    const SILENCE: Input = Input::Frame { voiced: false, agent_sounds: false };
    const VOICE_OVER_AGENT: Input = Input::Frame { voiced: true, agent_sounds: true };
    const AGENT: Input = Input::Frame { voiced: false, agent_sounds: true };

    #[test]
    fn turn_pauses_after_200_ms_and_ends_after_600_ms_of_silence() {
        check(
            &[(VOICE, 1000), (SILENCE, 1000)],
            &[(80, Event::Started), (1200, Event::Pause), (1600, Event::Ended(End::Silence))],
        );
    }

    #[test]
    fn caller_who_goes_on_after_a_pause_is_still_in_the_same_turn() {
        check(
            &[(VOICE, 400), (SILENCE, 300), (VOICE, 400), (SILENCE, 700)],
            &[
                (80, Event::Started),
                (600, Event::Pause),
                (720, Event::Resumed),
                (1300, Event::Pause),
                (1700, Event::Ended(End::Silence)),
            ],
        );
    }

    #[test]
    fn click_does_not_begin_a_turn() {
        check(&[(VOICE, 60), (SILENCE, 1000), (VOICE, 60), (SILENCE, 1000)], &[]);
    }

    #[test]
    fn short_sound_fades_without_being_speech() {
        let events = &[(80, Event::Started), (280, Event::Pause), (680, Event::Faded)];
        check(&[(VOICE, 80), (SILENCE, 1000)], events);
    }

    #[test]
    fn backchannel_over_the_agent_does_not_interrupt() {
        check(&[(AGENT, 500), (VOICE_OVER_AGENT, 220), (AGENT, 2000)], &[]);
    }

    #[test]
    fn speech_over_the_agent_interrupts_after_240_ms_and_once() {
        check(
            &[(AGENT, 500), (VOICE_OVER_AGENT, 900), (VOICE, 300), (SILENCE, 700)],
            &[(740, Event::BargedIn), (1900, Event::Pause), (2300, Event::Ended(End::Silence))],
        );
    }

    /// A consonant without voice in the middle costs its own length twice, and no more.
    #[test]
    fn gap_in_an_interruption_does_not_restart_its_count() {
        check(
            &[(VOICE_OVER_AGENT, 160), (AGENT, 40), (VOICE_OVER_AGENT, 200)],
            &[(320, Event::BargedIn)],
        );
    }

    /// The agent begins to answer while the caller still speaks: that is an interruption too.
    #[test]
    fn agent_that_begins_in_the_callers_turn_is_interrupted() {
        check(
            &[(VOICE, 400), (VOICE_OVER_AGENT, 400), (VOICE, 100), (VOICE_OVER_AGENT, 300)],
            &[(80, Event::Started), (640, Event::BargedIn), (1140, Event::BargedIn)],
        );
    }

    #[test]
    fn word_over_the_end_of_the_agents_sentence_begins_a_turn() {
        check(&[(VOICE_OVER_AGENT, 200), (VOICE, 200)], &[(220, Event::Started)]);
    }

    /// The next turn needs an onset of its own: the count does not survive the cut.
    #[test]
    fn endless_speech_is_cut_and_goes_on_as_the_next_turn() {
        check(
            &[(VOICE, 30_000)],
            &[(80, Event::Started), (29_000, Event::Ended(End::Longest)), (29_080, Event::Started)],
        );
    }

    /// After the last frame of a rewired call only the clock moves.
    #[test]
    fn turn_ends_although_no_frame_comes_any_more() {
        let start = Instant::now();
        let mut turns = Turns::new(TurnTimes::default());
        run(&mut turns, start, &[(VOICE, 500)]);

        let pause = turns.poll_timeout().expect("in a turn");
        assert_eq!(pause - start, Duration::from_millis(700));
        assert_eq!(turns.on(pause, Input::Tick), [Event::Pause]);
        let end = turns.poll_timeout().expect("in a pause");
        assert_eq!(end - start, Duration::from_millis(1100));
        assert_eq!(turns.on(end, Input::Tick), [Event::Ended(End::Silence)]);
        assert_eq!(turns.poll_timeout(), None);
    }

    #[test]
    fn turn_is_cut_when_listening_stops() {
        let start = Instant::now();
        let mut turns = Turns::new(TurnTimes::default());
        run(&mut turns, start, &[(SILENCE, 200), (VOICE, 500)]);

        let stopped = start + Duration::from_millis(720);
        assert_eq!(turns.on(stopped, Input::Stop), [Event::Ended(End::Cut)]);
        assert_eq!(turns.on(stopped, Input::Stop), []);
        let turn = turns.turn().expect("just ended");
        assert_eq!(turn.began - start, Duration::from_millis(200));
        assert_eq!(turn.ended - start, Duration::from_millis(700));
        assert_eq!(turn.voiced, Duration::from_millis(500));
    }

    /// Feeds `(what, for how many milliseconds)` and compares what happened with its millisecond.
    #[track_caller]
    fn check(script: &[(Input, u64)], expected: &[(u64, Event)]) {
        let mut turns = Turns::new(TurnTimes::default());
        assert_eq!(run(&mut turns, Instant::now(), script), expected);
    }

    fn run(turns: &mut Turns, start: Instant, script: &[(Input, u64)]) -> Vec<(u64, Event)> {
        let mut happened = Vec::new();
        let mut at = 0;
        for (input, millis) in script {
            for _ in 0..millis / 20 {
                at += 20;
                let events = turns.on(start + Duration::from_millis(at), *input);
                happened.extend(events.into_iter().map(|event| (at, event)));
            }
        }
        happened
    }
}
