//! One agent on a paused clock, between a scripted model, a scripted voice and a mouth that plays in time.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::agent::machine::Settings;
use crate::agent::persona::Persona;
use crate::agent::scripted::{Answer, Scripted};
use crate::net::ring::ring;
use crate::speech::{Speech, SpeechError};

/// A tenth of a second to make any sentence; 100 ms of sound a letter.
struct Voice;

impl Synthesizer for Voice {
    fn synthesize(&self, text: &str) -> BoxFuture<'static, Result<Speech, SpeechError>> {
        let samples = vec![1; text.len() * 800];
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(Speech { hertz: 8000, samples: samples.into() })
        })
    }
}

/// What a mouth was told.
enum Sounding {
    Play(ClipId, usize),
    Stop,
}

struct TestMouth(mpsc::UnboundedSender<Sounding>);

impl Mouth for TestMouth {
    fn play(&self, clip: ClipId, samples: Arc<[i16]>) -> bool {
        self.0.send(Sounding::Play(clip, samples.len())).is_ok()
    }

    fn stop(&self) -> bool {
        self.0.send(Sounding::Stop).is_ok()
    }
}

/// Plays clips one after the other in real (paused) time, as the bridge does.
async fn play(
    mut told: mpsc::UnboundedReceiver<Sounding>,
    mut events: ring::Writer<MouthEvent>,
    sounds: Arc<Mutex<Vec<u64>>>,
) {
    let mut queue: std::collections::VecDeque<(ClipId, usize)> = Default::default();
    let mut since: Option<Instant> = None;
    loop {
        if let (Some((clip, _)), None) = (queue.front(), since) {
            since = Some(now());
            sounds.lock().expect("no test panics with it").push(clip.0);
            events.push(MouthEvent::Started { clip: *clip });
            events.wake();
        }
        let end = queue
            .front()
            .zip(since)
            .map(|((_, samples), since)| since + Duration::from_micros(*samples as u64 * 125));
        tokio::select! {
            sounding = told.recv() => match sounding {
                Some(Sounding::Play(clip, samples)) => queue.push_back((clip, samples)),
                Some(Sounding::Stop) => {
                    for (n, (clip, _)) in queue.drain(..).enumerate() {
                        let time = since.filter(|_| n == 0).map_or(Duration::ZERO, |since| now() - since);
                        let played = (time.as_micros() / 125) as u32;
                        events.push(MouthEvent::Ended { clip, played, whole: false });
                    }
                    since = None;
                }
                None => return,
            },
            () = sleep_until(end) => if let Some((clip, samples)) = queue.pop_front() {
                events.push(MouthEvent::Ended { clip, played: samples as u32, whole: true });
                since = None;
            },
        }
        events.wake();
    }
}

struct World {
    agent: AgentHandle,
    events: mpsc::Receiver<AgentEvent>,
    sounds: Arc<Mutex<Vec<u64>>>,
    start: Instant,
}

impl World {
    fn new(model: Option<Scripted>) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let (writer, mouth_events) = ring(64);
        let sounds = Arc::new(Mutex::new(vec![]));
        tokio::spawn(play(told, writer, sounds.clone()));
        let (events_in, events) = mpsc::channel(AGENT_EVENTS);
        let voice = Arc::new(Voice);
        let neighbours = Neighbours {
            model: model.map(|model| Arc::new(model) as Arc<dyn LanguageModel>),
            voice: voice.clone(),
            lines: Lines::spawn(voice),
            mouth: Box::new(TestMouth(sender)),
            mouth_events,
            events: events_in,
        };
        let settings = Settings {
            persona: Arc::new(
                Persona::parse(Path::new("p.md"), "You sell bicycles.").expect("right"),
            ),
            language: "en".to_owned(),
            fallback_line: "One moment.".to_owned(),
            deadline: Duration::from_millis(1500),
            rate: Rate::Narrow,
        };
        let call = CallId::new("a84b4c76e66710").expect("a Call-ID");
        let agent = spawn(&call, settings, Timestamp::UNIX_EPOCH, neighbours);
        World { agent, events, sounds, start: now() }
    }

    fn tell(&self, order: Order) {
        self.agent.tell(order).expect("the agent listens");
    }

    fn hear(&self, text: &str) {
        self.tell(Order::Heard { text: text.to_owned() });
    }

    fn say(&self, line: u32, text: &str) {
        self.tell(Order::Say { line: LineId(line), text: text.to_owned() });
    }

    /// The next event, and the milliseconds since the start.
    async fn next(&mut self) -> (AgentEvent, u128) {
        let event = self.events.recv().await.expect("the agent lives");
        (event, (now() - self.start).as_millis())
    }
}

fn said(line: Option<u32>, heard: &str, interrupted: bool, began: i64, ended: i64) -> AgentEvent {
    let at = |millis| Timestamp::from_millisecond(millis).expect("in 1970");
    AgentEvent::Said {
        line: line.map(LineId),
        heard: heard.to_owned(),
        interrupted,
        began: at(began),
        ended: at(ended),
    }
}

/// The model's first sentence is complete after 300 ms and audible 100 ms later; the second is made while
/// the first sounds.
#[tokio::test(start_paused = true)]
async fn an_answer_is_heard_while_it_is_still_being_written() {
    let model = Scripted::new(vec![Answer::Text("At nine. And you?".to_owned())])
        .with_delays(Duration::from_millis(100), Duration::from_millis(100));
    let mut world = World::new(Some(model));
    world.hear("When do you open?");
    assert_eq!(world.next().await, (AgentEvent::Speaking, 300));
    // "At nine." has 8 letters, "And you?" too.
    let all = said(None, "At nine. And you?", false, 300, 1900);
    assert_eq!(world.next().await, (all, 1900));
    assert_eq!(*world.sounds.lock().expect("no test panics with it"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn figures_tell_what_the_first_sound_of_an_answer_waited_for() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let model = Scripted::new(vec![Answer::Text("At nine. And you?".to_owned())])
        .with_delays(Duration::from_millis(100), Duration::from_millis(100));
    let mut world = World::new(Some(model));
    world.hear("When do you open?");
    while !matches!(world.next().await, (AgentEvent::Said { .. }, _)) {}

    let text = recorder.handle().render();

    for (stage, seconds) in [("model", "0.2"), ("voice", "0.1"), ("playout", "0")] {
        for line in [
            format!("turn_stage_seconds_sum{{stage=\"{stage}\"}} {seconds}"),
            format!("turn_stage_seconds_count{{stage=\"{stage}\"}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_silences_at_once_and_keeps_the_words_that_were_heard() {
    let model = Scripted::new(vec![Answer::Text("We open at nine.".to_owned())]);
    let mut world = World::new(Some(model));
    world.hear("When do you open?");
    assert_eq!(world.next().await, (AgentEvent::Speaking, 100));
    tokio::time::sleep(Duration::from_millis(1000)).await;
    world.tell(Order::Interrupt);
    assert_eq!(world.next().await, (said(None, "We open at", true, 100, 1100), 1100));
}

#[tokio::test(start_paused = true)]
async fn without_a_model_lines_are_said_and_questions_fall_back() {
    let mut world = World::new(None);
    world.say(1, "Hello.");
    assert_eq!(world.next().await, (AgentEvent::Speaking, 100));
    assert_eq!(world.next().await, (said(Some(1), "Hello.", false, 100, 700), 700));
    world.hear("Hello?");
    let what = "there is no language model".to_owned();
    assert_eq!(world.next().await, (AgentEvent::FellBack { what }, 700));
    assert_eq!(world.next().await, (AgentEvent::Speaking, 800));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_says_nothing_is_replaced_at_the_deadline() {
    let mut world = World::new(Some(Scripted::new(vec![Answer::Silence])));
    world.hear("Hello?");
    let what = "the language model was late".to_owned();
    assert_eq!(world.next().await, (AgentEvent::FellBack { what }, 1500));
    assert_eq!(world.next().await, (AgentEvent::Speaking, 1600));
}

#[tokio::test(start_paused = true)]
async fn a_prepared_line_begins_at_once() {
    let mut world = World::new(None);
    world.tell(Order::Prepare { text: "Let me transfer you.".to_owned() });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.say(4, "Let me transfer you.");
    assert_eq!(world.next().await, (AgentEvent::Speaking, 500));
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_call_is_gone_falls_silent_and_ends() {
    let world = World::new(None);
    world.say(1, "Hello.");
    let World { agent, mut events, .. } = world;
    assert_eq!(events.recv().await, Some(AgentEvent::Speaking));
    drop(agent);
    assert_eq!(events.recv().await, None);
    assert_eq!(now(), world.start + Duration::from_millis(100));
}
