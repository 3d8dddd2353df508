//! The program of a simulated world: the real one from the SIP stack to the journal, on a network, a
//! clock and engines that a story owns.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use jiff::Timestamp;
use tandem::agent::LanguageModel;
use tandem::agent::persona::Persona;
use tandem::app::calls::{self, CallSettings, Calls, Parts};
use tandem::context::{Reason, Recorder};
use tandem::dialplan::{Action, Agent, Dialplan, Human, Method, Route, Target, Transfer, route};
use tandem::escalation::phrases::Phrases;
use tandem::escalation::topics::Topics;
use tandem::escalation::{Condition, Rule};
use tandem::media::codec::Codec;
use tandem::net::Audio;
use tandem::net::sim::SimNetwork;
use tandem::sip::Transport;
use tandem::speech::activity::ActivityKind;
use tandem::speech::listener::ListenerSettings;
use tandem::speech::scripted::ScriptedRecognizer;
use tandem::speech::{Speech, SpeechError, Synthesizer};
use tokio::sync::watch;

use crate::store::SimStore;
use crate::tones::{HERTZ, Voice};
use crate::world::{Script, address_of};

/// Where the program is.
pub const US: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// What the clock on the wall says when a world begins.
pub const BEGINNING: &str = "2026-03-02T09:00:00Z";

/// What every agent says first, when it hands over, and when that came to nothing.
pub const GREETING: &str = "Hello, you speak with a machine. How can I help?";
pub const TRANSITION: &str = "Of course, I connect you with a team member right away.";
pub const NOBODY: &str = "I am sorry, nobody can take your call. Shall I try again?";
pub const FALLBACK: &str = "Please give me a moment.";

/// What differs from story to story.
#[derive(Clone)]
pub struct Setup {
    /// How humans are reached, in order.
    pub methods: Vec<Method>,
    /// Whom, in order.
    pub humans: Vec<&'static str>,
    /// What the agent thinks with.
    pub model: Option<Arc<dyn LanguageModel>>,
    /// How long the caller hears it ring.
    pub ring_time: Duration,
    /// How long a human's phone rings.
    pub human_ring_time: Duration,
    pub calls_max: usize,
    /// What a waiting caller hears.
    pub hold: Arc<[i16]>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            methods: vec![Method::Refer, Method::Bridge],
            humans: vec!["sarah"],
            model: None,
            ring_time: Duration::from_millis(500),
            human_ring_time: Duration::from_secs(20),
            calls_max: 10,
            hold: Voice::Hold.samples(HERTZ as usize).into(),
        }
    }
}

/// The program and what a story may look at.
pub struct Program {
    pub calls: Calls,
    pub audio: Audio,
    pub recorder: Recorder,
    pub store: Arc<SimStore>,
    /// The dialplan ends with its sender.
    _dialplan: watch::Sender<Arc<Dialplan>>,
}

/// Starts the program on its host. Within the runtime.
pub fn start(seed: u64, setup: &Setup, network: &SimNetwork, script: Script) -> Program {
    let store = Arc::new(SimStore::new());
    let recorder = Recorder::start(store.clone());
    let audio = Audio::spawn_task();
    let (dialplan, told) = watch::channel(Arc::new(dialplan(setup)));
    let settings = CallSettings {
        listen: vec![(Transport::Udp, SocketAddr::new(US, 5060))],
        external_ip: None,
        calls_max: setup.calls_max,
        cps_max: 100,
        media_ports: 20_000..=20_999,
        codecs: vec![Codec::Pcmu],
        listening: ListenerSettings { activity: ActivityKind::Energy, ..Default::default() },
        model_deadline: Duration::from_millis(1500),
        seed,
    };
    let heard = move |call: &tandem::ids::CallId, _| {
        let script = script.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(script.get(call.as_str()).cloned().unwrap_or_default())
    };
    let (started, beginning) = (tokio::time::Instant::now(), BEGINNING.parse::<Timestamp>());
    let beginning = beginning.expect("a time");
    let parts = Parts {
        network: network.host(US),
        audio: audio.clone(),
        recognizer: Arc::new(ScriptedRecognizer::with(heard).slow(Duration::from_millis(150))),
        synthesizer: Arc::new(AgentVoice),
        model: setup.model.clone(),
        recorder: recorder.clone(),
        dialplan: told,
        hold: setup.hold.clone(),
        links: Arc::new(|call| Some(format!("https://desk.example.com/v1/calls/{call}"))),
        wall: Arc::new(move || beginning + started.elapsed()),
    };
    let calls = calls::start(settings, parts).expect("the host is new");
    Program { calls, audio, recorder, store, _dialplan: dialplan }
}

fn dialplan(setup: &Setup) -> Dialplan {
    let mut dialplan = Dialplan::default();
    let persona = Persona::parse(Path::new("demo.md"), "You help callers.").expect("a persona");
    let phrases = |file| Phrases::parse(file).expect("phrases");
    let rule = |id: &str, when, reason| Rule { id: id.into(), when, reason, transfer: None };
    let rules = [
        rule("explicit", Condition::Phrases(phrases("a person\n")), Reason::CustomerRequest),
        rule("key", Condition::Key('0'), Reason::CustomerRequest),
        rule(
            "policy",
            Condition::Topics(Topics::new(["lawsuit"]).expect("topics")),
            Reason::PolicyRequired,
        ),
    ];
    let agent = Agent {
        name: "demo".into(),
        persona: Arc::new(persona),
        greeting: GREETING.into(),
        language: "en".into(),
        ring_time: setup.ring_time,
        rules: rules.into(),
        transfer: "cold".into(),
        fallback_line: FALLBACK.into(),
        not_understood: "I did not catch that.".into(),
        nobody_reached: NOBODY.into(),
        yes: phrases("yes\n").into(),
    };
    let transfer = Transfer {
        name: "cold".into(),
        targets: setup.humans.iter().map(|name| Target::Human((*name).into())).collect(),
        methods: setup.methods.clone(),
        ring_time: setup.human_ring_time,
        headers: vec!["X-Tandem-Call-ID".into(), "Call-Info".into()],
        say: [(Reason::CustomerRequest, TRANSITION.to_owned())].into(),
        say_default: TRANSITION.into(),
        music: None,
    };
    for name in &setup.humans {
        let uri = format!("sip:{name}@{}", address_of(name)).parse().expect("a URI");
        let human = Human { name: (*name).into(), uri, trunk: None };
        dialplan.humans.insert((*name).into(), human);
    }
    dialplan.agents.insert("demo".into(), Arc::new(agent));
    dialplan.transfers.insert("cold".into(), Arc::new(transfer));
    let (when, action) = (route::Match::default(), Action::Agent("demo".into()));
    dialplan.routes.push(Route { name: "all".into(), when, action });
    dialplan
}

/// Says each word as a quarter of a second of the agent's tone, at the rate of calls: nothing has to be
/// converted on a thread, for which a simulated world could not wait.
struct AgentVoice;

impl Synthesizer for AgentVoice {
    fn synthesize(&self, text: &str) -> BoxFuture<'static, Result<Speech, SpeechError>> {
        let samples = Voice::Agent.samples(spoken(text) * HERTZ as usize / 1000);
        future::ready(Ok(Speech { hertz: HERTZ, samples: samples.into() })).boxed()
    }
}

/// How long the agent needs for a text, in milliseconds.
fn spoken(text: &str) -> usize {
    text.split_whitespace().count() * 250
}
