//! The task that listens to a call.
//!
//! It waits for frames, for the recogniser and for the call's word to stop, and does what the
//! [`Listener`] says. It never waits for the call: an event that the call has no room for is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{self, BoxFuture};
use futures_util::stream::{FuturesOrdered, Stream};
use futures_util::{FutureExt, StreamExt};
use metrics::{counter, histogram};
use tokio::sync::{mpsc, watch};
use tracing::{Instrument, debug, info_span, warn};

use crate::ids::CallId;
use crate::media::bridge::HeardFrame;
use crate::speech::listener::{
    Effect, EndedTurn, Listener, ListenerSettings, SpeechEvent, Utterance,
};
use crate::speech::{Listening, Recognition, Recognizer, SpeechError};

/// Room for events that the call has not taken yet. A turn has about three, so a full channel means a
/// stuck call, and the event is lost.
const EVENTS: usize = 32;

/// Turns of one call that wait for their words. More means that the engine is far behind, and the next
/// turn is not understood.
const CONCLUSIONS_MAX: usize = 4;

/// After this time nobody wants the words any more: the caller has said "hello?" twice.
const RECOGNITION_MAX: Duration = Duration::from_secs(8);

/// How the rest of a call talks to its listener. Dropping it ends the listening.
#[derive(Debug)]
pub struct ListenerHandle {
    listens: watch::Sender<bool>,
}

impl ListenerHandle {
    /// Stops listening (hold, transfer) or begins again. Never waits.
    pub fn listen(&self, listens: bool) {
        self.listens.send_replace(listens);
    }
}

/// Starts to listen to a call whose agent's port hears `frames`.
pub fn spawn(
    call: CallId,
    settings: ListenerSettings,
    recognizer: Arc<dyn Recognizer>,
    frames: impl Stream<Item = HeardFrame> + Send + Unpin + 'static,
) -> (ListenerHandle, mpsc::Receiver<SpeechEvent>) {
    let (sender, events) = mpsc::channel(EVENTS);
    let (listens, switched) = watch::channel(true);
    let span = info_span!("listener", call_id = %call);
    let driver = Driver {
        listener: Listener::new(call, settings),
        recognizer,
        suspicion: Suspicion::None,
        conclusions: FuturesOrdered::new(),
        events: sender,
    };
    tokio::spawn(driver.run(frames, switched).instrument(span));
    (ListenerHandle { listens }, events)
}

type Recognized = (Instant, Result<Recognition, SpeechError>);

struct Driver {
    listener: Listener,
    recognizer: Arc<dyn Recognizer>,
    suspicion: Suspicion,
    /// Turns that are over, in the order in which they were spoken.
    conclusions: FuturesOrdered<BoxFuture<'static, (EndedTurn, Recognized)>>,
    events: mpsc::Sender<SpeechEvent>,
}

/// The recognition that was begun on the suspicion that a turn is over.
enum Suspicion {
    None,
    Running(BoxFuture<'static, Recognized>),
    Done(Recognized),
}

/// What the task woke up for.
#[expect(clippy::large_enum_variant, reason = "lives for one step, fifty times a second")]
enum Woken {
    Heard(HeardFrame),
    FramesEnded,
    Switched(bool),
    HandleDropped,
    Suspected(Recognized),
    Concluded(EndedTurn, Recognized),
    Due,
}

impl Driver {
    async fn run(
        mut self,
        mut frames: impl Stream<Item = HeardFrame> + Unpin,
        mut switched: watch::Receiver<bool>,
    ) {
        loop {
            // The order is fixed, so that a run in the simulation follows from its seed. Frames come
            // fifty times a second, so that nobody waits behind them.
            let woken = tokio::select! {
                biased;
                changed = switched.changed() => match changed {
                    Ok(()) => Woken::Switched(*switched.borrow_and_update()),
                    Err(_) => Woken::HandleDropped,
                },
                frame = frames.next() => frame.map_or(Woken::FramesEnded, Woken::Heard),
                recognized = self.suspicion.settled() => Woken::Suspected(recognized),
                Some((turn, recognized)) = self.conclusions.next(), if !self.conclusions.is_empty() =>
                    Woken::Concluded(turn, recognized),
                () = sleep_until(self.listener.poll_timeout()) => Woken::Due,
            };
            let effects = match woken {
                Woken::Heard(frame) => self.listener.hear(now(), &frame),
                Woken::Switched(listens) => self.listener.listen(now(), listens),
                Woken::Due => self.listener.handle_timeout(now()),
                Woken::Suspected(recognized) => {
                    self.suspect(recognized);
                    vec![]
                }
                Woken::Concluded(turn, recognized) => {
                    self.tell(conclusion(turn, recognized));
                    vec![]
                }
                Woken::HandleDropped => return,
                Woken::FramesEnded => return self.finish().await,
            };
            self.perform(effects);
        }
    }

    /// The call's audio has ended: what was said is still told.
    async fn finish(mut self) {
        let effects = self.listener.listen(now(), false);
        self.perform(effects);
        while let Some((turn, recognized)) = self.conclusions.next().await {
            self.tell(conclusion(turn, recognized));
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(event) => self.tell(event),
                Effect::Recognize(listening) => {
                    self.suspicion = Suspicion::Running(self.recognize(listening));
                }
                Effect::Forget => self.suspicion = Suspicion::None,
                Effect::Conclude(turn) => self.conclude(turn),
            }
        }
    }

    fn recognize(&self, listening: Listening) -> BoxFuture<'static, Recognized> {
        let recognition = self.recognizer.recognize(listening);
        async move {
            let recognized = tokio::time::timeout(RECOGNITION_MAX, recognition).await;
            (now(), recognized.unwrap_or(Err(SpeechError::Late)))
        }
        .boxed()
    }

    fn suspect(&mut self, recognized: Recognized) {
        self.suspicion = match recognized {
            (_, Ok(_)) => Suspicion::Done(recognized),
            (_, Err(error)) => {
                debug!(%error, "not recognised on suspicion");
                self.listener.handle_failed_suspicion();
                Suspicion::None
            }
        };
    }

    fn conclude(&mut self, turn: EndedTurn) {
        let suspicion = std::mem::replace(&mut self.suspicion, Suspicion::None);
        if self.conclusions.len() >= CONCLUSIONS_MAX {
            return self.tell(conclusion(turn, (now(), Err(SpeechError::Busy))));
        }
        self.conclusions.push_back(match suspicion {
            Suspicion::Running(recognition) => {
                recognition.map(move |recognized| (turn, recognized)).boxed()
            }
            Suspicion::Done(recognized) => future::ready((turn, recognized)).boxed(),
            Suspicion::None => {
                debug_assert!(false, "a turn is concluded with a recognition");
                future::ready((turn, (now(), Err(SpeechError::Failed)))).boxed()
            }
        });
    }

    fn tell(&self, event: SpeechEvent) {
        debug!(?event, "heard");
        let label = match &event {
            SpeechEvent::Started => "started",
            SpeechEvent::BargedIn => "barged_in",
            SpeechEvent::Heard(_) => "heard",
            SpeechEvent::Nothing => "nothing",
            SpeechEvent::Deaf(_) => "deaf",
        };
        counter!("speech_events_total", "event" => label).increment(1);
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            warn!(event = label, "the call takes no more speech events");
        }
    }
}

impl Suspicion {
    /// Waits until a running recognition is done; for ever if none runs.
    async fn settled(&mut self) -> Recognized {
        match self {
            Suspicion::Running(recognition) => recognition.await,
            Suspicion::None | Suspicion::Done(_) => future::pending().await,
        }
    }
}

fn conclusion(turn: EndedTurn, (ready, recognized): Recognized) -> SpeechEvent {
    match recognized {
        Err(error) => SpeechEvent::Deaf(error),
        Ok(recognition) if recognition.text.0.is_empty() => SpeechEvent::Nothing,
        Ok(Recognition { text, confidence, took }) => {
            let known = ready.max(turn.over).saturating_duration_since(turn.turn.ended);
            histogram!("speech_last_sound_to_words_seconds").record(known.as_secs_f64());
            let silence = turn.over.saturating_duration_since(turn.turn.ended);
            histogram!("turn_stage_seconds", "stage" => "silence").record(silence);
            let wait = ready.saturating_duration_since(turn.over);
            histogram!("turn_stage_seconds", "stage" => "recognition").record(wait);
            SpeechEvent::Heard(Utterance { text, confidence, turn, ready, took })
        }
    }
}

/// The one clock of a driver. Under a paused runtime it stands still, so tests own it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::media::{Frame, Rate};
    use crate::speech::activity::ActivityKind;
    use crate::speech::scripted::ScriptedRecognizer;
    use crate::speech::turns::TurnTimes;

    /// The recogniser takes 300 ms of the 400 ms between the suspicion and the end of the turn.
    #[tokio::test(start_paused = true)]
    async fn words_are_there_when_the_turn_ends() {
        let recognizer = ScriptedRecognizer::new(["hello"]).slow(millis(300));
        let told = listen(recognizer, vec![(3000, 1000), (0, 1000)]).await;

        assert_eq!(names(&told), [(80, "Started".into()), (1600, "Heard hello".into())]);
        let Some((_, SpeechEvent::Heard(utterance))) = told.last() else { panic!("{told:?}") };
        let EndedTurn { turn, over, .. } = utterance.turn;
        assert_eq!(turn.ended - turn.began, millis(1000));
        assert_eq!(over - turn.ended, millis(600));
        assert_eq!(utterance.ready - turn.ended, millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_words_come_after_the_end_of_the_turn_and_in_order() {
        let recognizer = ScriptedRecognizer::new(["one", "two"]).slow(millis(2000));
        let told = listen(recognizer, vec![(3000, 500), (0, 700), (3000, 500), (0, 3000)]).await;
        let expected =
            [(80, "Started"), (1280, "Started"), (2700, "Heard one"), (3900, "Heard two")];
        assert_eq!(names(&told), expected.map(|(at, name)| (at, name.to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn engine_that_fails_makes_the_call_deaf_and_not_silent() {
        let recognizer = ScriptedRecognizer::with(|_, _| Err(SpeechError::Busy));
        let told = listen(recognizer, vec![(3000, 500), (0, 1000)]).await;
        assert_eq!(names(&told), [(80, "Started".into()), (1100, "Deaf(Busy)".into())]);
    }

    #[tokio::test(start_paused = true)]
    async fn engine_that_never_answers_makes_the_call_deaf_in_time() {
        let recognizer = ScriptedRecognizer::new(["late"]).slow(millis(60_000));
        let told = listen(recognizer, vec![(3000, 500), (0, 10_000)]).await;
        // 8 s after the suspicion, not after the end of the turn.
        assert_eq!(names(&told), [(80, "Started".into()), (8700, "Deaf(Late)".into())]);
    }

    #[tokio::test(start_paused = true)]
    async fn turn_without_words_is_nothing() {
        let told = listen(ScriptedRecognizer::new([""]), vec![(3000, 500), (0, 1000)]).await;
        assert_eq!(names(&told), [(80, "Started".into()), (1100, "Nothing".into())]);
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_ends_in_a_word_still_learns_it() {
        let recognizer = ScriptedRecognizer::new(["wait"]).slow(millis(300));
        let told = listen(recognizer, vec![(3000, 500)]).await;
        let expected = [(80, "Started".into()), (800, "Heard wait".into())];
        assert_eq!(names(&told), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_heard_while_the_call_does_not_listen() {
        let start = now();
        let recognizer = Arc::new(ScriptedRecognizer::new(["hello"]));
        let frames = paced(vec![(3000, 500), (0, 1000), (3000, 500), (0, 1000)]);
        let (handle, mut events) = spawn(call(), settings(), recognizer, frames);
        handle.listen(false);
        tokio::time::sleep_until((start + millis(1490)).into()).await;
        handle.listen(true);

        let event = events.recv().await;
        assert_eq!((event, now() - start), (Some(SpeechEvent::Started), millis(1580)));
        assert!(matches!(events.recv().await, Some(SpeechEvent::Heard(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn listening_ends_with_its_handle() {
        let recognizer = Arc::new(ScriptedRecognizer::new(["hello"]));
        let (handle, mut events) = spawn(call(), settings(), recognizer, stream::pending());
        drop(handle);
        assert_eq!(events.recv().await, None);
    }

    /// Listens to stretches of so loud for so many milliseconds, and returns what was told, and when.
    async fn listen(
        recognizer: ScriptedRecognizer,
        script: Vec<(i16, u64)>,
    ) -> Vec<(u128, SpeechEvent)> {
        let start = now();
        let (_handle, mut events) = spawn(call(), settings(), Arc::new(recognizer), paced(script));
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(((now() - start).as_millis(), event));
        }
        told
    }

    fn paced(script: Vec<(i16, u64)>) -> impl Stream<Item = HeardFrame> + Unpin + Send {
        let frames: Vec<HeardFrame> = script
            .into_iter()
            .flat_map(|(level, millis)| {
                let frame = Frame::from_samples(Rate::Wide, &[level; 320]);
                std::iter::repeat_n(HeardFrame { frame, agent_sounds: false }, millis as usize / 20)
            })
            .collect();
        let paced = stream::iter(frames).then(|frame| async move {
            tokio::time::sleep(millis(20)).await;
            frame
        });
        Box::pin(paced)
    }

    fn names(told: &[(u128, SpeechEvent)]) -> Vec<(u128, String)> {
        let name = |event: &SpeechEvent| match event {
            SpeechEvent::Heard(utterance) => format!("Heard {}", utterance.text.0),
            event => format!("{event:?}"),
        };
        told.iter().map(|(at, event)| (*at, name(event))).collect()
    }

    fn call() -> CallId {
        CallId::new("a84b4c76e66710@example.com").expect("a good Call-ID")
    }

    fn settings() -> ListenerSettings {
        ListenerSettings { activity: ActivityKind::Energy, times: TurnTimes::default() }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
