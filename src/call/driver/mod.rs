//! The task that owns a call.
//!
//! Everything that can happen to a call arrives here: from its dialogs, its audio, its listener, its
//! agent, its store and its clock. It is told to the [machine](crate::call::machine), and what the
//! machine wants is done, in order. No lock guards the task's state, because nobody else can see it.
//!
//! `hear` turns what came into the machine's events, `perform` does what it wants.

mod hear;
mod perform;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use metrics::gauge;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::agent::LanguageModel;
use crate::agent::driver::{self as agent, AgentEvent, AgentHandle};
use crate::agent::lines::Lines;
use crate::agent::machine as agent_machine;
use crate::call::leg::{Answering, Leg};
use crate::call::machine::{self, Call, Event, Now};
use crate::call::plan::{Plan, Target};
use crate::context::Recorder;
use crate::ids::{CallId, DialogId, LegId};
use crate::media::codec::Codec;
use crate::media::offer::Agreed;
use crate::media::session::StreamStart;
use crate::media::{Rate, Wiring};
use crate::net::audio::{AudioEvent, CallAudio};
use crate::net::ring::Reader;
use crate::net::{Audio, MediaPorts, MediaSocket, Signaling};
use crate::sip::{self, Body, Headers, NameAddr, Peer, Request, StatusCode, Uri};
use crate::speech::driver::ListenerHandle;
use crate::speech::listener::{ListenerSettings, SpeechEvent};
use crate::speech::{self, Recognizer, Synthesizer};

/// Room for what the registry has for a call that is busy. A dialog has a few events a second, so a
/// full inbox means a stuck task, and the registry is told so.
const INBOX_EVENTS: usize = 64;

/// After how long without RTP a leg counts as silent. Shorter than any wait for a REFER's outcome, and
/// longer than a pause of a phone that sends nothing while nobody speaks.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// What a caller is asked to wait for before it tries again, when there is no room.
const RETRY_SECS: u32 = 10;

/// What all calls share.
#[derive(Clone)]
pub struct Services {
    /// To the SIP stack.
    pub signaling: Signaling,
    /// The media workers.
    pub audio: Audio,
    /// RTP ports.
    pub ports: MediaPorts,
    /// The codecs we take, most wanted first.
    pub codecs: Vec<Codec>,
    /// What waiting callers hear where the dialplan names no file: samples at the rate of the call.
    pub hold: Arc<[i16]>,
    /// Puts callers' speech into words.
    pub recognizer: Arc<dyn Recognizer>,
    /// Speaks for agents.
    pub synthesizer: Arc<dyn Synthesizer>,
    /// The sound of lines that are said again and again.
    pub lines: Lines,
    /// Thinks for agents; `None`: they have only their lines.
    pub model: Option<Arc<dyn LanguageModel>>,
    /// How callers are listened to.
    pub listening: ListenerSettings,
    /// How long a caller waits for the model before the fallback line.
    pub model_deadline: Duration,
    /// Where everything is written down.
    pub recorder: Recorder,
    /// Where a call can be looked at, for Call-Info.
    pub links: Links,
    /// The clock on the wall.
    pub wall: Wall,
    /// Where a call says which dialogs are its own.
    pub claims: mpsc::Sender<Claim>,
}

/// The address of a call's page; `None` when the desk has no address that others could use.
pub type Links = Arc<dyn Fn(&CallId) -> Option<String> + Send + Sync>;

/// The clock on the wall, asked anew for each call: it may be set, and a machine that slept does not count
/// that on its other clock.
pub type Wall = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Tells the time of day of an instant within one call, so that the journal's times are as monotonic as the
/// machine's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The two clocks when the call came.
    pub started: (Instant, Timestamp),
}

impl Clock {
    /// What the clock on the wall said at `instant`.
    pub fn at(&self, instant: Instant) -> Timestamp {
        let (then, wall) = self.started;
        let shifted = match instant.checked_duration_since(then) {
            Some(since) => wall.checked_add(since),
            None => wall.checked_sub(then - instant),
        };
        shifted.unwrap_or(wall)
    }
}

/// What a call tells the registry about a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This dialog's events are the call's too.
    Own {
        /// The call, by its caller's dialog.
        call: DialogId,
        /// The dialog.
        dialog: DialogId,
    },
    /// The call is over, and all its dialogs with it.
    Over {
        /// The call, by its caller's dialog.
        call: DialogId,
    },
}

/// How the registry talks to a call.
#[derive(Clone, Debug)]
pub struct CallHandle {
    inbox: mpsc::Sender<Inbox>,
}

/// The call did not take an event: it is over, or stuck.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the call takes no more events")]
pub struct CallGone;

#[derive(Debug)]
enum Inbox {
    Signal(sip::Event),
    ShutDown,
}

impl CallHandle {
    /// Tells the call what happened in one of its dialogs. Never waits.
    pub fn notify(&self, event: sip::Event) -> Result<(), CallGone> {
        self.inbox.try_send(Inbox::Signal(event)).map_err(|_| CallGone)
    }

    /// Tells the call that the program ends. Never waits.
    pub fn shut_down(&self) -> Result<(), CallGone> {
        self.inbox.try_send(Inbox::ShutDown).map_err(|_| CallGone)
    }
}

/// An INVITE that a rule of the dialplan has taken.
pub struct Invitation {
    /// The caller's dialog.
    pub dialog: DialogId,
    /// The INVITE.
    pub request: Arc<Request>,
    /// Whose call it is.
    pub who: machine::Who,
    /// The caller as the second leg's From has it.
    pub identity: NameAddr,
    /// What is to happen.
    pub plan: Arc<Plan>,
    /// The call's clock.
    pub clock: Clock,
    /// The seed of the call's random numbers.
    pub seed: u64,
}

/// Starts the task of a call and returns the handle to it. If the INVITE cannot be answered at all
/// (no codec, no port), it is refused, and the task ends at once.
pub fn spawn(services: Services, invitation: Invitation) -> CallHandle {
    let (sender, inbox) = mpsc::channel(INBOX_EVENTS);
    let handle = CallHandle { inbox: sender };
    let span = info_span!("call", call_id = %invitation.who.call_id);
    tokio::spawn(run(services, invitation, inbox).instrument(span));
    handle
}

/// From the INVITE to the last BYE.
async fn run(services: Services, invitation: Invitation, inbox: mpsc::Receiver<Inbox>) {
    let (dialog, claims) = (invitation.dialog, services.claims.clone());
    let signaling = services.signaling.clone();
    gauge!("calls").increment(1.0);
    match Driver::open(services, invitation, inbox) {
        Ok(driver) => driver.run().await,
        Err((status, headers)) => {
            info!(%status, "refused");
            if signaling.reject(dialog, status, headers).is_err() {
                warn!("a refusal was lost");
            }
        }
    }
    gauge!("calls").decrement(1.0);
    // The registry outlives every call, unless the program is ending.
    let _ = claims.send(Claim::Over { call: dialog }).await;
}

struct Driver {
    services: Services,
    call: Call,
    call_id: CallId,
    caller: Leg,
    /// Our 200 to the INVITE, and the session it makes (not yet, if it carries an offer).
    prepared: Option<(Body, Option<Agreed>)>,
    /// The caller's socket, until the media worker has it.
    caller_socket: Option<Box<dyn MediaSocket>>,
    acknowledged: bool,
    humans: BTreeMap<u16, HumanLeg>,
    /// How many further hops the caller's INVITE may make (RFC 7332).
    max_forwards: u8,
    clock: Clock,
    identity: NameAddr,
    called_uri: Uri,
    random: StdRng,
    audio: CallAudio,
    agent: AgentHandle,
    listener: ListenerHandle,
    sources: Sources,
    /// Work that was begun and whose outcome is an event.
    pending: FuturesUnordered<BoxFuture<'static, Pending>>,
}

/// Where events come from.
struct Sources {
    inbox: mpsc::Receiver<Inbox>,
    audio: Reader<AudioEvent>,
    agent: mpsc::Receiver<AgentEvent>,
    speech: mpsc::Receiver<SpeechEvent>,
}

/// A human's leg, and its socket until the media worker has it.
struct HumanLeg {
    leg: Leg,
    socket: Option<Box<dyn MediaSocket>>,
}

/// What becomes of work that was begun.
enum Pending {
    Event(Event),
    /// The address of a human's target.
    Resolved(u16, Box<Target>, Option<Peer>),
}

/// What the task woke up for.
enum Woken {
    Inbox(Inbox),
    Audio(AudioEvent),
    Agent(AgentEvent),
    Speech(SpeechEvent),
    Done(Pending),
    Due,
    /// A neighbour has ended, which only happens when the program does or is broken.
    Orphaned,
}

impl Driver {
    /// Gets everything a call needs, or says with which status the INVITE is refused.
    fn open(
        services: Services,
        invitation: Invitation,
        inbox: mpsc::Receiver<Inbox>,
    ) -> Result<Self, (StatusCode, Headers)> {
        let Invitation { dialog, request, who, identity, plan, clock, seed } = invitation;
        let overloaded = |what: &dyn std::fmt::Display| {
            warn!(%what, "no room for another call");
            let mut headers = Headers::default();
            headers.push("Retry-After", RETRY_SECS.to_string());
            (StatusCode::of(503), headers)
        };
        let mut random = StdRng::seed_from_u64(seed);
        let socket = services.ports.open().map_err(|why| overloaded(&why))?;
        let port = socket.local_addr().port();
        let codecs = services.codecs.clone();
        let mut caller =
            Leg::new(dialog, services.ports.advertised_ip(), port, codecs, session_id(&mut random));
        let prepared = match caller.answer(request.body.as_ref()) {
            Ok(Answering::With(body, agreed)) => (body, Some(agreed)),
            Ok(Answering::Offering(body)) => (body, None),
            Err(why) => return Err(hear::refusal(why, services.ports.advertised_ip().to_string())),
        };
        let (audio, ears) = services
            .audio
            .open_call(Rate::Narrow, Wiring::CONVERSING, Some(services.hold.clone()))
            .map_err(|why| overloaded(&why))?;
        let (said_by_agent, said) = mpsc::channel(agent::AGENT_EVENTS);
        let settings = agent_settings(&plan, services.model_deadline);
        let neighbours = agent::Neighbours {
            model: services.model.clone(),
            voice: services.synthesizer.clone(),
            lines: services.lines.clone(),
            mouth: Box::new(audio.clone()),
            mouth_events: ears.mouth,
            events: said_by_agent,
        };
        let agent = agent::spawn(&who.call_id, settings, clock.at(now()), neighbours);
        let (listener, speech) = speech::driver::spawn(
            who.call_id.clone(),
            services.listening,
            services.recognizer.clone(),
            ears.heard,
        );
        Ok(Driver {
            call_id: who.call_id.clone(),
            call: Call::new(clock.at(now()), plan, who),
            caller,
            prepared: Some(prepared),
            caller_socket: Some(socket),
            acknowledged: false,
            humans: BTreeMap::new(),
            max_forwards: max_forwards(&request),
            clock,
            identity,
            called_uri: request.uri.clone(),
            random,
            audio,
            agent,
            listener,
            sources: Sources { inbox, audio: ears.events, agent: said, speech },
            pending: FuturesUnordered::new(),
            services,
        })
    }

    async fn run(mut self) {
        self.step(Event::Invited);
        while !self.call.is_over() {
            let woken = self.sources.next(&mut self.pending, self.call.poll_timeout()).await;
            for event in self.hear(woken) {
                self.step(event);
            }
        }
    }

    /// Tells the machine, and does what it wants.
    fn step(&mut self, event: Event) {
        debug!(event = event.name(), "happened");
        let now = now();
        let now = Now { now, at: self.clock.at(now) };
        for effect in self.call.on(now, event) {
            debug!(effect = effect.name(), "wanted");
            self.perform(now, effect);
        }
    }

    fn stream_start(&mut self) -> StreamStart {
        let random = &mut self.random;
        StreamStart { ssrc: random.random(), sequence: random.random(), timestamp: random.random() }
    }

    /// The call's leg that a dialog belongs to.
    fn leg_of(&self, dialog: DialogId) -> Option<LegId> {
        if self.caller.dialog == dialog {
            return Some(LegId::Caller);
        }
        let human = self.humans.iter().find(|(_, human)| human.leg.dialog == dialog)?;
        Some(LegId::Human(*human.0))
    }

    fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        match leg {
            LegId::Caller => Some(&mut self.caller),
            LegId::Human(human) => self.humans.get_mut(&human).map(|human| &mut human.leg),
        }
    }
}

impl Sources {
    async fn next(
        &mut self,
        pending: &mut FuturesUnordered<BoxFuture<'static, Pending>>,
        deadline: Option<Instant>,
    ) -> Woken {
        // The order is fixed, so that a run in the simulation follows from its seed. What is due comes
        // first: it moves the deadline, and so keeps nobody waiting.
        tokio::select! {
            biased;
            () = sleep_until(deadline) => Woken::Due,
            message = self.inbox.recv() => message.map_or(Woken::Orphaned, Woken::Inbox),
            event = self.audio.next() => event.map_or(Woken::Orphaned, Woken::Audio),
            event = self.agent.recv() => event.map_or(Woken::Orphaned, Woken::Agent),
            event = self.speech.recv() => event.map_or(Woken::Orphaned, Woken::Speech),
            Some(done) = pending.next(), if !pending.is_empty() => Woken::Done(done),
        }
    }
}

fn agent_settings(plan: &Plan, deadline: Duration) -> agent_machine::Settings {
    agent_machine::Settings {
        persona: plan.persona.clone(),
        language: plan.language.clone(),
        fallback_line: plan.lines.fallback.clone(),
        deadline,
        rate: Rate::Narrow,
    }
}

/// How many further hops an INVITE may make. Without the header, RFC 3261 §16.6 says 70.
fn max_forwards(request: &Request) -> u8 {
    request.headers.get("Max-Forwards").and_then(|value| value.parse().ok()).unwrap_or(70)
}

/// A number for the `o=` line that fits every parser: 62 bits (RFC 8866 §5.2).
fn session_id(random: &mut StdRng) -> u64 {
    random.random::<u64>() >> 2
}

/// The one clock of a driver. Under a paused runtime it stands still, so tests own it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
