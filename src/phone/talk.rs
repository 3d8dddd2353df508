//! Turn taking: when the phone says its next line, and when it has said enough.
//!
//! ```text
//!            answered             the other's turn is over, or it is silent for long
//!  Waiting ------------> Listening -----------------------------------------> Speaking
//!              |           A  A  <------------------------------------------------'
//!              |           |  |            the line is said
//!              |           |  | called there, or not
//!              |   Away ---+--'
//!              |    A      | referred: it is somebody else's turn to answer
//!              |    '------'
//!              |  no line is left and nobody speaks for long, or the time is up
//!              '---------------------------------------------------------------> Over
//! ```

use std::time::{Duration, Instant};

/// When to speak, and when to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether the first line is said at once, as one who is called does, or after the other's greeting.
    pub opens: bool,
    /// After that much silence the next line is said, although the other has not spoken.
    pub silence: Duration,
    /// After the last line, that much silence ends the call; `None`: the other has to hang up.
    pub patience: Option<Duration>,
    /// The longest conversation, from the answer.
    pub time_max: Duration,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The call was answered.
    Answered,
    /// The other began to speak.
    TheyBegan,
    /// The other's turn is over.
    TheyEnded,
    /// Our line has been said.
    Said,
    /// We are being sent elsewhere: nobody listens for a while.
    Referred,
    /// We are there, or back where we were.
    Settled,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say the line with that number, from 0.
    Say(usize),
    /// Hang up.
    HangUp(Why),
}

/// Why we hang up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Everything is said, and nobody speaks.
    Done,
    /// The conversation has lasted as long as it may.
    TimeUp,
}

/// One call's turn taking.
#[derive(Debug)]
pub struct Talk {
    manners: Manners,
    lines: usize,
    next: usize,
    they_speak: bool,
    time_up: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Nobody has spoken since, unless the other does now.
    Listening {
        since: Instant,
    },
    Speaking,
    Away,
    Over,
}

impl Talk {
    /// A call with `lines` lines that nobody has answered yet.
    pub fn new(manners: Manners, lines: usize) -> Self {
        Talk { manners, lines, next: 0, they_speak: false, time_up: None, state: State::Waiting }
    }

    /// Takes one step.
    pub fn on(&mut self, now: Instant, input: Input) -> Option<Effect> {
        match input {
            Input::TheyBegan => self.they_speak = true,
            Input::TheyEnded | Input::Settled => self.they_speak = false,
            Input::Answered => self.time_up = Some(now + self.manners.time_max),
            Input::Said | Input::Referred | Input::Tick => (),
        }
        if self.state != State::Over && self.time_up.is_some_and(|time_up| time_up <= now) {
            return self.hang_up(Why::TimeUp);
        }
        match (self.state, input) {
            (State::Over, _) => None,
            (_, Input::Referred) => self.turn(State::Away),
            (State::Waiting, Input::Answered) if self.manners.opens => self.say_next(now),
            (State::Waiting, Input::Answered)
            | (State::Speaking, Input::Said)
            | (State::Away, Input::Settled) => self.turn(State::Listening { since: now }),
            (State::Listening { .. }, Input::TheyEnded) => self.say_next(now),
            (State::Listening { .. }, Input::Tick)
                if self.silence_ends().is_some_and(|end| end <= now) =>
            {
                match self.next < self.lines {
                    true => self.say_next(now),
                    false => self.hang_up(Why::Done),
                }
            }
            _ => None,
        }
    }

    /// Whether the other is speaking, or has spoken and is not understood yet.
    pub fn they_speak(&self) -> bool {
        self.they_speak
    }

    /// When a [`Tick`](Input::Tick) does something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            _ => [self.silence_ends(), self.time_up].into_iter().flatten().min(),
        }
    }

    fn silence_ends(&self) -> Option<Instant> {
        let State::Listening { since } = self.state else { return None };
        let wait = match self.next < self.lines {
            true => Some(self.manners.silence),
            false => self.manners.patience,
        };
        wait.filter(|_| !self.they_speak).map(|wait| since + wait)
    }

    /// Says the next line, or goes on listening if none is left.
    fn say_next(&mut self, now: Instant) -> Option<Effect> {
        if self.next == self.lines {
            return self.turn(State::Listening { since: now });
        }
        self.state = State::Speaking;
        self.next += 1;
        Some(Effect::Say(self.next - 1))
    }

    fn hang_up(&mut self, why: Why) -> Option<Effect> {
        self.state = State::Over;
        Some(Effect::HangUp(why))
    }

    fn turn(&mut self, state: State) -> Option<Effect> {
        self.state = state;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Effect::{HangUp, Say};
    use super::Input::{Answered, Referred, Said, Settled, TheyBegan, TheyEnded, Tick};
    use super::*;

    const CALLER: Manners = Manners {
        opens: false,
        silence: Duration::from_secs(4),
        patience: Some(Duration::from_secs(10)),
        time_max: Duration::from_secs(60),
    };

    #[test]
    fn lines_follow_the_others_turns() {
        check(
            CALLER,
            2,
            &[
                (0, Answered, None),
                (1, TheyBegan, None),
                (9, Tick, None),
                (10, TheyEnded, Some(Say(0))),
                (12, Said, None),
                (13, TheyBegan, None),
                (14, TheyEnded, Some(Say(1))),
                (16, Said, None),
                (25, Tick, None),
                (26, Tick, Some(HangUp(Why::Done))),
                (27, TheyEnded, None),
            ],
        );
    }

    #[test]
    fn silence_is_broken_after_a_while() {
        check(CALLER, 1, &[(0, Answered, None), (3, Tick, None), (4, Tick, Some(Say(0)))]);
    }

    #[test]
    fn answer_to_the_last_line_makes_patience_begin_anew() {
        check(
            CALLER,
            1,
            &[
                (0, Answered, None),
                (4, Tick, Some(Say(0))),
                (5, Said, None),
                (14, TheyBegan, None),
                (30, Tick, None),
                (31, TheyEnded, None),
                (40, Tick, None),
                (41, Tick, Some(HangUp(Why::Done))),
            ],
        );
    }

    /// The other's voice that began during our line is its turn, not silence.
    #[test]
    fn who_is_spoken_over_waits_for_the_end_of_it() {
        check(
            CALLER,
            2,
            &[
                (0, Answered, None),
                (4, Tick, Some(Say(0))),
                (5, TheyBegan, None),
                (6, Said, None),
                (12, Tick, None),
                (13, TheyEnded, Some(Say(1))),
            ],
        );
    }

    #[test]
    fn who_is_called_speaks_first_and_may_wait_for_the_other_to_hang_up() {
        let human = Manners { opens: true, patience: None, ..CALLER };
        check(
            human,
            1,
            &[
                (0, Answered, Some(Say(0))),
                (2, Said, None),
                (59, Tick, None),
                (60, Tick, Some(HangUp(Why::TimeUp))),
            ],
        );
    }

    #[test]
    fn nothing_is_said_to_nobody_while_a_transfer_is_under_way() {
        check(
            CALLER,
            1,
            &[
                (0, Answered, None),
                (1, Referred, None),
                (2, TheyEnded, None),
                (20, Tick, None),
                (21, Settled, None),
                (25, Tick, Some(Say(0))),
            ],
        );
    }

    #[track_caller]
    fn check(manners: Manners, lines: usize, script: &[(u64, Input, Option<Effect>)]) {
        let start = Instant::now();
        let mut talk = Talk::new(manners, lines);
        for (second, input, expected) in script {
            let effect = talk.on(start + Duration::from_secs(*second), *input);
            assert_eq!(effect, *expected, "at {second} s, {input:?}");
        }
    }
}
