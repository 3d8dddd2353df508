//! Who said what, and when.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The one who called.
    Caller,
    /// The AI.
    Agent,
    /// The one who took over.
    Human,
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Speaker::Caller => "Caller",
            Speaker::Agent => "Agent",
            Speaker::Human => "Human",
        })
    }
}

/// One party's uninterrupted speech.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Counted from 1 through the whole call.
    pub number: u32,
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said. Of the agent: what the caller really heard of it.
    pub text: String,
    /// When the first sound of it was on the wire.
    pub began: Timestamp,
    /// When the last was.
    pub ended: Timestamp,
    /// Of a recognised turn: how sure the recogniser was, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Of the agent's turn: the caller spoke over it and it stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// All turns so far, in the order in which they began to be heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// The turns.
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// Puts a turn in its place. Turns are told when they end, so one that was spoken over another can
    /// come late; one that is told again (it turned out to be shorter) takes the place of the first.
    pub fn add(&mut self, turn: Turn) {
        self.turns.retain(|told| told.number != turn.number);
        let key = (turn.began, turn.number);
        let place = self.turns.partition_point(|told| (told.began, told.number) <= key);
        self.turns.insert(place, turn);
    }

    /// The turn of that number.
    pub fn turn(&self, number: u32) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.number == number)
    }

    /// The turns whose numbers are from `from` to `to`, both included; `None` is no bound.
    pub fn range(&self, from: Option<u32>, to: Option<u32>) -> impl Iterator<Item = &Turn> {
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(u32::MAX));
        self.turns.iter().filter(move |turn| (from..=to).contains(&turn.number))
    }

    /// What this party said, in order.
    pub fn said_by(&self, speaker: Speaker) -> impl DoubleEndedIterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.speaker == speaker)
    }

    /// The whole conversation as text, one line a turn.
    pub fn transcript(&self) -> String {
        let lines = self.turns.iter().map(|turn| format!("{}: {}\n", turn.speaker, turn.text));
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Speaker::*;

    fn turn(number: u32, speaker: Speaker, began_ms: i64, text: &str) -> Turn {
        let began = Timestamp::from_millisecond(began_ms).unwrap();
        let (ended, text) = (began, text.to_owned());
        Turn { number, speaker, text, began, ended, confidence: None, interrupted: false }
    }

    #[test]
    fn a_turn_that_comes_late_takes_its_place_in_time() {
        let mut conversation = Conversation::default();

        conversation.add(turn(1, Agent, 0, "Hello."));
        conversation.add(turn(3, Caller, 4000, "A person, please."));
        conversation.add(turn(2, Agent, 2000, "I can"));

        let expected = "Agent: Hello.\nAgent: I can\nCaller: A person, please.\n";
        assert_eq!(conversation.transcript(), expected);
    }

    #[test]
    fn a_turn_told_again_replaces_the_first() {
        let mut conversation = Conversation::default();

        conversation.add(turn(1, Agent, 0, "Hello and welcome."));
        conversation.add(turn(1, Agent, 0, "Hello"));

        assert_eq!(conversation.transcript(), "Agent: Hello\n");
    }

    #[test]
    fn a_range_has_both_its_ends() {
        let mut conversation = Conversation::default();
        for number in 1..=5 {
            conversation.add(turn(number, Caller, i64::from(number), "word"));
        }
        let numbers = |from, to| -> Vec<u32> {
            conversation.range(from, to).map(|turn| turn.number).collect()
        };

        assert_eq!(numbers(Some(2), Some(4)), [2, 3, 4]);
        assert_eq!(numbers(Some(4), None), [4, 5]);
        assert_eq!(numbers(None, Some(1)), [1]);
        assert!(numbers(Some(4), Some(2)).is_empty());
    }
}
