//! The task of one call's agent: hears text, thinks with the model, speaks through the agent's port.
//!
//! What to do is decided by [`Machine`]; the task owns the answer that streams in, the sentence that is
//! being made, and the mouth.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tracing::{Instrument, debug, info_span, warn};

use crate::agent::lines::{self, Lines, Sound};
use crate::agent::machine::{AskId, Effect, Event, Machine, Moment, Settings};
use crate::agent::stages::{Stage, Stages};
use crate::agent::{LanguageModel, ModelError};
use crate::ids::CallId;
use crate::media::Rate;
use crate::net::audio::{CallAudio, ClipId, MouthEvent};
use crate::net::ring;
use crate::speech::Synthesizer;

/// Room for orders while the task is busy. A call gives a few orders a minute, so a full inbox means a
/// stuck agent, and the call is told so.
const INBOX_ORDERS: usize = 32;

/// How many events a call should leave room for in the channel that it gives to [`spawn`]. An agent tells
/// a few things a turn; one whose call does not listen any more ends.
pub const AGENT_EVENTS: usize = 32;

/// A line that the call wants said word for word (greeting, transition, fallback). Numbered by the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId(pub u32);

/// What a call tells its agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// The caller's turn is complete: think and answer.
    Heard {
        /// The words.
        text: String,
    },
    /// Say this, word for word, after stopping whatever is being said or thought.
    Say {
        /// Its number, given back in [`AgentEvent::Said`].
        line: LineId,
        /// The words.
        text: String,
    },
    /// The caller speaks over the agent: stop speaking and thinking.
    Interrupt,
    /// Something the model must know from now on, in one sentence (a transfer failed and why).
    Note {
        /// The sentence.
        text: String,
    },
    /// This line may be said soon: make its sound now, so that it begins at once.
    Prepare {
        /// The words, as they will stand in [`Order::Say`].
        text: String,
    },
}

/// What an agent tells its call.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// The first sample of an answer or line is on its way to the caller.
    Speaking,
    /// An answer or line has ended: played whole, or interrupted. A line is always told, here or as
    /// [`AgentEvent::Mute`]; an answer that was dropped before its first sample is not.
    Said {
        /// The line, or `None` for an answer of the model.
        line: Option<LineId>,
        /// What the caller really heard of it; may be empty.
        heard: String,
        /// Whether it was cut short.
        interrupted: bool,
        /// When its first sample left.
        began: Timestamp,
        /// When its last sample left.
        ended: Timestamp,
    },
    /// The model was late or failed, and the fallback line is being said instead.
    FellBack {
        /// What failed, in one line.
        what: String,
    },
    /// A line could not be made audible at all (the voice failed).
    Mute {
        /// The line, if it was one.
        line: Option<LineId>,
    },
}

/// The agent took no order: it is gone, or stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent takes no more orders")]
pub struct AgentGone;

/// How a call talks to its agent. When the last handle is dropped the agent falls silent and ends.
#[derive(Clone, Debug)]
pub struct AgentHandle {
    inbox: mpsc::Sender<Order>,
}

impl AgentHandle {
    /// Gives an order. Never waits.
    pub fn tell(&self, order: Order) -> Result<(), AgentGone> {
        self.inbox.try_send(order).map_err(|_| AgentGone)
    }
}

/// The agent's port in the bridge.
pub trait Mouth: Send + Sync {
    /// Plays after what is queued already; false if that could not be ordered.
    fn play(&self, clip: ClipId, samples: Arc<[i16]>) -> bool;
    /// Falls silent; false if that could not be ordered.
    fn stop(&self) -> bool;
}

impl Mouth for CallAudio {
    fn play(&self, clip: ClipId, samples: Arc<[i16]>) -> bool {
        CallAudio::play(self, clip, samples)
    }

    fn stop(&self) -> bool {
        CallAudio::stop(self)
    }
}

/// Whom an agent works with.
pub struct Neighbours {
    /// What it thinks with. Without one it says its lines, and falls back to one when it is asked.
    pub model: Option<Arc<dyn LanguageModel>>,
    /// What makes its answers audible.
    pub voice: Arc<dyn Synthesizer>,
    /// What makes its lines audible.
    pub lines: Lines,
    /// Where the sound goes.
    pub mouth: Box<dyn Mouth>,
    /// What became of the sound.
    pub mouth_events: ring::Reader<MouthEvent>,
    /// Its call, with room for [`AGENT_EVENTS`].
    pub events: mpsc::Sender<AgentEvent>,
}

/// Starts the task of an agent. `wall` is the time of day now.
pub fn spawn(
    call: &CallId,
    settings: Settings,
    wall: Timestamp,
    neighbours: Neighbours,
) -> AgentHandle {
    let (sender, inbox) = mpsc::channel(INBOX_ORDERS);
    let driver = Driver {
        rate: settings.rate,
        machine: Machine::new(settings),
        inbox,
        neighbours,
        answer: None,
        making: None,
        made: None,
        asked: None,
        heard: None,
        stages: Stages::default(),
        epoch: (now(), wall),
    };
    tokio::spawn(driver.run().instrument(info_span!("agent", call_id = %call)));
    AgentHandle { inbox: sender }
}

type Answer = BoxStream<'static, Result<String, ModelError>>;

struct Driver {
    machine: Machine,
    inbox: mpsc::Receiver<Order>,
    neighbours: Neighbours,
    /// The rate of the sound at the mouth.
    rate: Rate,
    /// The answer that streams in.
    answer: Option<(AskId, Answer)>,
    /// The sentence that the voice is making.
    making: Option<(ClipId, BoxFuture<'static, Sound>)>,
    /// The sentence that it has just made.
    made: Option<(ClipId, Arc<[i16]>)>,
    /// When the model was asked, until its first word.
    asked: Option<Instant>,
    /// When the model was asked, until the caller hears something.
    heard: Option<Instant>,
    /// How far the answer is.
    stages: Stages,
    /// The same moment on both clocks.
    epoch: (Instant, Timestamp),
}

impl Driver {
    async fn run(mut self) {
        while let Some(event) = self.next_event().await {
            debug!(event = name(&event), "happened");
            if !self.feed(event) {
                break;
            }
        }
        // The call may go on without its agent, and must not hear the rest of a sentence.
        self.neighbours.mouth.stop();
    }

    /// What happens next; `None` when the call or its audio is over.
    async fn next_event(&mut self) -> Option<Event> {
        tokio::select! {
            biased;
            order = self.inbox.recv() => Some(Event::Ordered(order?)),
            event = self.neighbours.mouth_events.next() => Some(Event::Mouth(event?)),
            (ask, piece) = next_piece(&mut self.answer) => Some(self.piece_came(ask, piece)),
            (clip, sound) = made(&mut self.making) => Some(self.clip_came(clip, sound)),
            () = sleep_until(self.machine.poll_timeout()) => Some(Event::Tick),
        }
    }

    /// Feeds the machine and does what it wants. False when nobody listens any more.
    fn feed(&mut self, event: Event) -> bool {
        if let Event::Ordered(Order::Prepare { text }) = &event {
            self.neighbours.lines.prepare(text, self.rate);
        }
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.machine.on(self.moment(), event) {
                match effect {
                    Effect::Ask(ask, request) => match &self.neighbours.model {
                        Some(model) => {
                            self.answer = Some((ask, model.reply(request)));
                            self.asked = Some(now());
                            self.heard = Some(now());
                            self.stages.begin(now());
                        }
                        None => {
                            let what = "there is no language model".to_owned();
                            events.push(Event::Failed { ask, what });
                        }
                    },
                    Effect::StopAsking => {
                        self.heard = None;
                        self.stages.give_up();
                        if self.answer.take().is_some() {
                            count_request("dropped");
                        }
                    }
                    Effect::Voice { clip, text, is_fixed } => self.voice(clip, text, is_fixed),
                    Effect::Play(clip) => {
                        let Some((made, samples)) = self.made.take() else { continue };
                        if made != clip || !self.neighbours.mouth.play(clip, samples) {
                            warn!("the mouth takes no clip");
                            events.push(Event::Unvoiced { clip });
                        }
                    }
                    Effect::StopMouth => {
                        self.making = None;
                        if !self.neighbours.mouth.stop() {
                            warn!("the mouth does not stop");
                        }
                    }
                    Effect::Tell(told) => {
                        self.measure(&told);
                        if self.neighbours.events.try_send(told).is_err() {
                            debug!("nobody listens to the agent any more");
                            return false;
                        }
                    }
                }
            }
        }
        true
    }

    fn voice(&mut self, clip: ClipId, text: String, is_fixed: bool) {
        let rate = self.rate;
        let sound = if is_fixed {
            // A line of the dialplan is no answer.
            self.stages.give_up();
            self.neighbours.lines.sound(&text, rate)
        } else {
            self.passed(Stage::Model);
            let voice = self.neighbours.voice.clone();
            Box::pin(async move { lines::make(voice.as_ref(), &text, rate).await })
        };
        self.making = Some((clip, sound));
    }

    fn piece_came(&mut self, ask: AskId, piece: Option<Result<String, ModelError>>) -> Event {
        match piece {
            Some(Ok(text)) => {
                if let Some(asked) = self.asked.take() {
                    metrics::histogram!("llm_first_token_seconds").record(now() - asked);
                }
                Event::Wrote { ask, text }
            }
            Some(Err(error)) => {
                self.answer = None;
                count_request(error.outcome());
                debug!(%error, cause = ?std::error::Error::source(&error), "the model failed");
                Event::Failed { ask, what: error.to_string() }
            }
            None => {
                self.answer = None;
                count_request("ok");
                Event::Finished { ask }
            }
        }
    }

    fn clip_came(&mut self, clip: ClipId, sound: Sound) -> Event {
        self.making = None;
        match sound {
            Ok(samples) => {
                self.passed(Stage::Voice);
                let length = u32::try_from(samples.len()).unwrap_or(u32::MAX);
                self.made = Some((clip, samples));
                Event::Voiced { clip, samples: length }
            }
            Err(error) => {
                warn!(%error, "the voice failed");
                Event::Unvoiced { clip }
            }
        }
    }

    fn measure(&mut self, told: &AgentEvent) {
        match told {
            AgentEvent::Speaking => {
                self.passed(Stage::Playout);
                if let Some(heard) = self.heard.take() {
                    metrics::histogram!("agent_first_audio_seconds").record(now() - heard);
                }
            }
            AgentEvent::FellBack { what } => {
                warn!(what, "fell back");
                metrics::counter!("agent_fallbacks_total").increment(1);
            }
            AgentEvent::Said { .. } | AgentEvent::Mute { .. } => (),
        }
    }

    fn passed(&mut self, stage: Stage) {
        if let Some(took) = self.stages.pass(now(), stage) {
            metrics::histogram!("turn_stage_seconds", "stage" => stage.name()).record(took);
        }
    }

    fn moment(&self) -> Moment {
        let at = now();
        let (epoch, wall) = self.epoch;
        let since = SignedDuration::try_from(at - epoch).unwrap_or(SignedDuration::MAX);
        Moment { at, wall: wall.saturating_add(since).unwrap_or(Timestamp::MAX) }
    }
}

fn count_request(outcome: &'static str) {
    metrics::counter!("llm_requests_total", "outcome" => outcome).increment(1);
}

/// What happened, without the words of anybody.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Ordered(Order::Heard { .. }) => "heard",
        Event::Ordered(Order::Say { .. }) => "say",
        Event::Ordered(Order::Interrupt) => "interrupt",
        Event::Ordered(Order::Note { .. }) => "note",
        Event::Ordered(Order::Prepare { .. }) => "prepare",
        Event::Wrote { .. } => "wrote",
        Event::Finished { .. } => "finished",
        Event::Failed { .. } => "failed",
        Event::Voiced { .. } => "voiced",
        Event::Unvoiced { .. } => "unvoiced",
        Event::Mouth(MouthEvent::Started { .. }) => "started",
        Event::Mouth(MouthEvent::Ended { .. }) => "ended",
        Event::Tick => "tick",
    }
}

/// The next piece of the answer. Without an answer, never.
async fn next_piece(
    answer: &mut Option<(AskId, Answer)>,
) -> (AskId, Option<Result<String, ModelError>>) {
    match answer {
        Some((ask, pieces)) => (*ask, pieces.next().await),
        None => std::future::pending().await,
    }
}

/// The sentence that is being made. Without one, never.
async fn made(making: &mut Option<(ClipId, BoxFuture<'static, Sound>)>) -> (ClipId, Sound) {
    match making {
        Some((clip, sound)) => (*clip, sound.await),
        None => std::future::pending().await,
    }
}

/// The one clock of the driver. Under a paused runtime it stands still, so tests own it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
