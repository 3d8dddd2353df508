//! What an agent does: think about what it heard, say sentences as they come, know what was heard of them.
//!
//! ```text
//!            heard                       first sentence
//!   Idle -----------> Thinking ---------------------------> Answering
//!   A A |                 | too late, failed, no words         | |
//!   | | |                 V                                    | |
//!   | | |             Falling back (the dialplan's line)       | |
//!   | | |                 |          all of it was heard       | |
//!   | | '-- say ------+   '------------------------------------' |
//!   | |               V          |                               |
//!   | |            Saying -------'                               |
//!   | '---------------'                                          |
//!   '------ interrupted: the mouth tells what it had played -----'
//! ```
//!
//! In the code, Idle is no [`Turn`]; Thinking is a turn with a thought and no sentence; Answering has both;
//! Saying and Falling back have no thought. A turn that was stopped closes on its own, while the next one
//! is already being made: only the mouth knows how much of it was heard.
//!
//! Nothing waits without a deadline: the model has one to its first word, as long again to its first
//! sentence, and one between sentences; the voice and the mouth have theirs in
//! [`utterance`](super::utterance).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::ModelRequest;
use crate::agent::driver::{AgentEvent, Order};
use crate::agent::persona::Persona;
use crate::agent::prompt::{self, History};
use crate::agent::spoken::{Filter, spoken};
use crate::agent::utterance::Utterance;
use crate::media::Rate;
use crate::net::audio::{ClipId, MouthEvent};
use crate::speech::sentences::Sentences;

/// How many sentences of an answer are said. The rules ask for two; nobody listens to ten.
const SENTENCES_MAX: usize = 5;

/// How long a model may pause between two sentences before its answer counts as complete.
const STALL_MAX: Duration = Duration::from_secs(5);

/// The most bytes of what was heard that wait for their turn to be answered.
const PENDING_BYTES_MAX: usize = 4000;

/// What an agent is, for the length of a call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is.
    pub persona: Arc<Persona>,
    /// The code of its language: `en`.
    pub language: String,
    /// What it says when the model is late or fails. Empty: nothing.
    pub fallback_line: String,
    /// How long the model may take to its first word, and again to its first sentence.
    pub deadline: Duration,
    /// The rate of the sound at the mouth.
    pub rate: Rate,
}

/// Now, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For deadlines.
    pub at: Instant,
    /// For people.
    pub wall: Timestamp,
}

/// One question to the model. Never used twice in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskId(pub u64);

/// What can happen to an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The call wants something.
    Ordered(Order),
    /// The model goes on with its answer.
    Wrote {
        /// Which answer.
        ask: AskId,
        /// The next piece of it.
        text: String,
    },
    /// The model's answer is complete.
    Finished {
        /// Which answer.
        ask: AskId,
    },
    /// The model failed.
    Failed {
        /// Which answer.
        ask: AskId,
        /// How, in one line.
        what: String,
    },
    /// The voice has made a clip.
    Voiced {
        /// Which.
        clip: ClipId,
        /// How long it is.
        samples: u32,
    },
    /// The voice could not make a clip, or the mouth did not take it.
    Unvoiced {
        /// Which.
        clip: ClipId,
    },
    /// The mouth tells how far it is.
    Mouth(MouthEvent),
    /// A deadline may have passed.
    Tick,
}

/// What an agent wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the model; its answer is known by this number.
    Ask(AskId, ModelRequest),
    /// Drop the question: its answer is no longer wanted.
    StopAsking,
    /// Make a clip of these words.
    Voice {
        /// Which.
        clip: ClipId,
        /// The words.
        text: String,
        /// Whether they stand in the dialplan, so that their sound can be kept for the next call.
        is_fixed: bool,
    },
    /// Play the clip that has just been made.
    Play(ClipId),
    /// Silence the mouth, and drop the clip that is being made.
    StopMouth,
    /// Tell the call.
    Tell(AgentEvent),
}

/// An agent in a call.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    history: History,
    turn: Option<Turn>,
    /// Turns that were stopped and whose last clips the mouth has not accounted for.
    closing: Vec<Utterance>,
    /// What was heard and has not been thought about.
    pending: String,
    asks: u64,
    clips: u64,
    effects: Vec<Effect>,
}

/// What is being thought and said.
#[derive(Debug)]
struct Turn {
    utterance: Utterance,
    thought: Option<Thought>,
}

/// An answer that the model is still writing.
#[derive(Debug)]
struct Thought {
    ask: AskId,
    filter: Filter,
    sentences: Sentences,
    said: usize,
    has_begun: bool,
    until: Instant,
}

impl Machine {
    /// An agent that has neither heard nor said anything.
    pub fn new(settings: Settings) -> Self {
        Machine {
            settings,
            history: History::default(),
            turn: None,
            closing: vec![],
            pending: String::new(),
            asks: 0,
            clips: 0,
            effects: vec![],
        }
    }

    /// Takes one step.
    pub fn on(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        match event {
            Event::Ordered(order) => self.ordered(now, order),
            Event::Wrote { ask, text } => self.wrote(now, ask, &text),
            Event::Finished { ask } => self.finished(now, ask),
            Event::Failed { ask, what } => self.failed(ask, what),
            Event::Voiced { clip, samples } => self.voiced(now, clip, samples),
            Event::Unvoiced { clip } => self.utterances().for_each(|said| said.failed(clip)),
            Event::Mouth(event) => self.mouth(now, event),
            Event::Tick => self.tick(now),
        }
        self.go_on(now);
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] has something to do; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        let turn = self.turn.as_ref();
        let thought = turn.and_then(|turn| turn.thought.as_ref()).map(|thought| thought.until);
        let said = turn.map(|turn| &turn.utterance).into_iter().chain(&self.closing);
        said.filter_map(Utterance::poll_timeout).chain(thought).min()
    }

    fn ordered(&mut self, now: Moment, order: Order) {
        match order {
            Order::Heard { text } => {
                // A line of the call is said to its end; the question waits behind it.
                if self.turn.as_ref().is_some_and(|turn| turn.utterance.line.is_none()) {
                    self.stop(now);
                }
                // The conversation has bounds of its own, and keeps what came last.
                if self.pending.len() > PENDING_BYTES_MAX {
                    self.remember_pending();
                }
                self.pending.push(' ');
                self.pending.push_str(text.trim());
            }
            Order::Say { line, text } => {
                self.stop(now);
                self.remember_pending();
                let mut utterance = Utterance::new(Some(line));
                self.clips += 1;
                utterance.add(ClipId(self.clips), text, true);
                utterance.complete();
                self.turn = Some(Turn { utterance, thought: None });
            }
            Order::Interrupt => {
                self.stop(now);
                // The caller goes on speaking: the answer is to all of it.
                self.remember_pending();
            }
            Order::Note { text } => self.history.note(&text),
            // The driver's own: nothing of it can be heard.
            Order::Prepare { .. } => (),
        }
    }

    /// Ends the turn, in the middle if need be.
    fn stop(&mut self, now: Moment) {
        let Some(Turn { mut utterance, thought }) = self.turn.take() else { return };
        if thought.is_some() {
            self.effects.push(Effect::StopAsking);
        }
        if !utterance.is_empty() {
            self.effects.push(Effect::StopMouth);
        }
        utterance.stop(now.at);
        self.closing.push(utterance);
    }

    fn wrote(&mut self, now: Moment, ask: AskId, text: &str) {
        let deadline = self.settings.deadline;
        let Some(thought) = self.thought(ask) else { return };
        // It has begun: its first sentence is better than our line, and so worth a little longer.
        if !std::mem::replace(&mut thought.has_begun, true) {
            thought.until += deadline;
        }
        let text = thought.filter.push(text);
        for sentence in thought.sentences.push(&text) {
            self.add_sentence(now, &sentence);
        }
    }

    fn finished(&mut self, now: Moment, ask: AskId) {
        let Some(thought) = self.thought(ask) else { return };
        let text = thought.filter.finish();
        let mut rest = thought.sentences.push(&text);
        rest.extend(thought.sentences.finish());
        for sentence in rest {
            self.add_sentence(now, &sentence);
        }
        self.end_of_answer("the language model said nothing that can be spoken");
    }

    fn failed(&mut self, ask: AskId, what: String) {
        if self.thought(ask).is_some() {
            self.end_of_answer(&what);
        }
    }

    /// A complete sentence of the answer. What comes after the last that is wanted is dropped.
    fn add_sentence(&mut self, now: Moment, sentence: &str) {
        let Some(sentence) = spoken(sentence) else { return };
        let Some(Turn { utterance, thought }) = &mut self.turn else { return };
        let Some(thinking) = thought else { return };
        self.clips += 1;
        utterance.add(ClipId(self.clips), sentence, false);
        thinking.said += 1;
        thinking.until = now.at + STALL_MAX;
        if thinking.said == SENTENCES_MAX {
            *thought = None;
            utterance.complete();
            self.effects.push(Effect::StopAsking);
        }
    }

    /// No more sentences will come. If none did, the fallback line is said, and `what` tells why.
    fn end_of_answer(&mut self, what: &str) {
        let Some(Turn { utterance, thought }) = &mut self.turn else { return };
        if utterance.is_empty() {
            self.effects.push(Effect::Tell(AgentEvent::FellBack { what: what.to_owned() }));
            self.clips += 1;
            utterance.add(ClipId(self.clips), self.settings.fallback_line.clone(), true);
        }
        utterance.complete();
        *thought = None;
    }

    fn voiced(&mut self, now: Moment, clip: ClipId, samples: u32) {
        let hertz = u64::from(self.settings.rate.hertz());
        let time = Duration::from_millis(u64::from(samples) * 1000 / hertz);
        if self.utterances().any(|said| said.voiced(now.at, clip, samples, time)) {
            self.effects.push(Effect::Play(clip));
        }
    }

    fn mouth(&mut self, now: Moment, event: MouthEvent) {
        match event {
            MouthEvent::Started { clip } => {
                if self.utterances().any(|said| said.started(now.wall, clip)) {
                    self.effects.push(Effect::Tell(AgentEvent::Speaking));
                }
            }
            MouthEvent::Ended { clip, played, whole } => {
                self.utterances().for_each(|said| said.ended(now.wall, clip, played, whole));
            }
        }
    }

    fn tick(&mut self, now: Moment) {
        let thought = self.turn.as_ref().and_then(|turn| turn.thought.as_ref());
        if thought.is_some_and(|thought| thought.until <= now.at) {
            self.effects.push(Effect::StopAsking);
            self.end_of_answer("the language model was late");
        }
        self.utterances().for_each(|said| said.handle_timeout(now.at));
    }

    /// What follows from every step: what is over is told, the next sentence is made, the next question
    /// is asked.
    fn go_on(&mut self, now: Moment) {
        let (over, closing) = std::mem::take(&mut self.closing)
            .into_iter()
            .partition(|utterance| utterance.over(now).is_some());
        self.closing = closing;
        for utterance in over {
            self.tell_said(now, &utterance);
        }

        if let Some(mut turn) = self.turn.take() {
            if let Some((clip, text, is_fixed)) = turn.utterance.next_to_make(now.at) {
                self.effects.push(Effect::Voice { clip, text, is_fixed });
            }
            match turn.utterance.over(now) {
                Some(_) => self.tell_said(now, &turn.utterance),
                None => self.turn = Some(turn),
            }
        }

        // What was heard of the last answer belongs before the next question.
        if self.turn.is_none() && self.closing.is_empty() && self.remember_pending() {
            self.ask(now);
        }
    }

    fn ask(&mut self, now: Moment) {
        self.asks += 1;
        let ask = AskId(self.asks);
        let Settings { persona, language, deadline, .. } = &self.settings;
        let request = prompt::request(persona, language, &self.history);
        let thought = Thought {
            ask,
            filter: Filter::default(),
            sentences: Sentences::default(),
            said: 0,
            has_begun: false,
            until: now.at + *deadline,
        };
        self.effects.push(Effect::Ask(ask, request));
        self.turn = Some(Turn { utterance: Utterance::new(None), thought: Some(thought) });
    }

    fn tell_said(&mut self, now: Moment, utterance: &Utterance) {
        let Some(said) = utterance.over(now) else { return };
        self.history.said(&said.heard, said.interrupted);
        let line = utterance.line;
        if said.is_mute {
            self.effects.push(Effect::Tell(AgentEvent::Mute { line }));
        } else if line.is_some() || said.began.is_some() {
            self.effects.push(Effect::Tell(AgentEvent::Said {
                line,
                heard: said.heard,
                interrupted: said.interrupted,
                began: said.began.unwrap_or(now.wall),
                ended: said.ended.unwrap_or(now.wall),
            }));
        }
        // Otherwise the answer was dropped before a sound of it: for the call it never was.
    }

    /// Moves what was heard into the conversation. Whether there was anything.
    fn remember_pending(&mut self) -> bool {
        let pending = std::mem::take(&mut self.pending);
        let pending = pending.trim();
        if !pending.is_empty() {
            self.history.heard(pending);
        }
        !pending.is_empty()
    }

    /// The thought of this number, if it is still wanted. What a dropped question brings is not.
    fn thought(&mut self, ask: AskId) -> Option<&mut Thought> {
        self.turn.as_mut()?.thought.as_mut().filter(|thought| thought.ask == ask)
    }

    fn utterances(&mut self) -> impl Iterator<Item = &mut Utterance> {
        self.turn.iter_mut().map(|turn| &mut turn.utterance).chain(&mut self.closing)
    }
}

#[cfg(test)]
mod tests;
