//! Builds everything, starts it, drains it.
//!
//! The order is that of need: journal, engines, media, signalling, desk. What cannot be had at the start
//! (a port, a database, a model file) ends the program with one line; what fails later degrades that part.

pub mod acquaint;
pub mod calls;
pub mod demo;
mod files;
mod outside;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rand::{RngExt, rngs::StdRng};
use rand::{SeedableRng, rngs::SysRng};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::agent::LanguageModel;
use crate::agent::llm::{ApiKey, OpenAi, OpenAiSettings};
use crate::agent::scripted::Scripted;
use crate::agent::server::Server;
use crate::app::calls::{CallSettings, Calls, Parts};
use crate::app::outside::Reached;
use crate::config::{Config, Llm, LlmEngine};
use crate::context::{Recorder, store};
use crate::desk::screen::{Screen, ScreenSettings};
use crate::desk::{Desk, DeskSettings, Sources};
use crate::dialplan::{self, Dialplan};
use crate::files::{Report, Secret};
use crate::media::hold;
use crate::net::Audio;
use crate::net::udp::Udp;
use crate::sip::uri::Host;
use crate::sip::{Transport, Uri};
use crate::speech::engines;
use crate::telemetry::Telemetry;

/// After the last call has been told to end: how long that may take, and then how long its BYE may be on its
/// way, which is repeated twice.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// How long the store may take to write what is left.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The longest that a model may work on one answer, to its last word.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How often gauges that nobody pushes are brought up to date.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The program, serving.
pub struct Program {
    /// Where SIP is reached.
    sip: Vec<Reached>,
    /// Where others find the desk.
    pub desk: String,
    calls: Calls,
    recorder: Recorder,
    dialplan: watch::Sender<Arc<Dialplan>>,
    server: Option<Server>,
    model_ready: watch::Receiver<bool>,
    draining: Arc<AtomicBool>,
    stop: CancellationToken,
    drain_time: Duration,
    /// Where the dialplan is, for people.
    folder: String,
}

impl Program {
    /// Starts to serve.
    pub async fn start(
        config: &Config,
        dialplan: Dialplan,
        telemetry: Telemetry,
    ) -> anyhow::Result<Self> {
        files::allow_for(config.sip.calls_max);
        let store = store::open(&config.store, store::Access::Write).await?;
        let recorder = Recorder::start(store);
        let recognizer = engines::recognizer(&config.speech.engines)?;
        let synthesizer = engines::synthesizer(&config.speech.engines)?;
        let (model, server) = model(&config.llm)?;

        let stop = CancellationToken::new();
        let draining = Arc::new(AtomicBool::new(false));
        let settings = DeskSettings { token: revealed(&config.desk.token) };
        let desk = Desk::bind(config.desk.listen, settings).await?;
        // Before there are calls of our own, and after most of what may end the program at once.
        let interrupted = recorder.end_interrupted(jiff::Timestamp::now()).await;
        match interrupted.context("the store cannot be read")? {
            0 => (),
            calls => warn!(calls, "calls that a crash cut off have been closed"),
        }
        let origin = outside::origin(config, desk.address(), &Udp);
        if let Some(webhook) = &config.desk.webhook {
            let settings = ScreenSettings::new(&webhook.url, revealed(&webhook.key), &origin);
            let screen = Screen::start(settings, recorder.clone())?;
            tokio::spawn(screen.follow(recorder.subscribe()));
        }

        let (dialplan, current) = watch::channel(Arc::new(dialplan));
        let (told, model_ready) = watch::channel(false);
        if let (Some(model), Some(server)) = (&model, &server) {
            let (model, ready) = (model.clone(), server.ready());
            tokio::spawn(acquaint::keep_acquainted(model, ready, current.clone(), told));
        }
        let calls = calls::start(
            CallSettings {
                listen: config.sip.listen.clone(),
                external_ip: config.sip.external_ip,
                calls_max: config.sip.calls_max,
                cps_max: config.sip.cps_max,
                media_ports: config.media.ports.clone(),
                codecs: config.media.codecs.clone(),
                listening: config.speech.listening,
                model_deadline: config.llm.deadline,
                seed: seed()?,
            },
            Parts {
                network: Arc::new(Udp),
                audio: Audio::spawn_threads(config.media.threads).context("media threads")?,
                recognizer,
                synthesizer,
                model,
                recorder: recorder.clone(),
                dialplan: current,
                hold: hold::tune().into(),
                links: outside::links(config, origin.clone()),
                wall: Arc::new(jiff::Timestamp::now),
            },
        )?;

        let rendering = telemetry.clone();
        let sources = Sources {
            recorder: recorder.clone(),
            metrics: Arc::new(move || rendering.render()),
            not_ready: outside::not_ready(&draining, &calls.signaling),
        };
        beside(&stop, "the desk", desk.serve(sources, stop.clone()));
        tokio::spawn(telemetry.keep_up());
        tokio::spawn(measure(calls.ports.clone()));
        Ok(Program {
            sip: reached(&config.sip.listen, &calls),
            desk: origin,
            calls,
            recorder,
            dialplan,
            server,
            model_ready,
            draining,
            stop,
            drain_time: config.sip.drain_time,
            folder: config.dialplan_folder().shown("*.toml"),
        })
    }

    /// What to dial, and where the desk is.
    pub fn greeting(&self) -> String {
        let numbers = outside::greeting(&self.sip, &self.dialplan.borrow(), &self.folder);
        format!("{numbers}  desk   {}/\n", self.desk)
    }

    /// Where everything is written down.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// What can be called, where that is.
    pub fn uri(&self) -> Option<Uri> {
        let address = self.sip.first()?.known_as;
        let number = outside::example(&self.dialplan.borrow()).to_owned();
        Some(Uri::sip(&number, Host::Ip(address.ip()), Some(address.port())))
    }

    /// Waits until the language model answers and knows its personas, but not for longer than that. True as
    /// well if there is none to wait for.
    pub async fn model_is_ready(&self, patience: Duration) -> bool {
        if self.server.is_none() {
            return true;
        }
        let mut ready = self.model_ready.clone();
        let is_ready = ready.wait_for(|ready| *ready);
        tokio::time::timeout(patience, is_ready).await.is_ok_and(|told| told.is_ok())
    }

    /// Serves until it is told to end: SIGHUP reads the dialplan again, SIGTERM (or Ctrl-C) drains, and
    /// a second one ends what is left.
    pub async fn run(self, config: &Config) -> anyhow::Result<()> {
        let mut signals = Signals::new().context("signals cannot be caught")?;
        while signals.next().await == Asked::Reload {
            match read_dialplan(config) {
                Ok(dialplan) => {
                    self.reload(dialplan);
                    info!("the dialplan has been read again");
                }
                Err(why) => error!("the dialplan stays as it was: {why:#}"),
            }
        }
        let hurry = async move { while signals.next().await == Asked::Reload {} };
        self.drain(hurry).await;
        Ok(())
    }

    /// New calls get this dialplan; those that are going on keep theirs.
    pub fn reload(&self, dialplan: Dialplan) {
        self.calls.trust(&dialplan);
        self.dialplan.send_replace(Arc::new(dialplan));
    }

    /// Takes no new calls, lets those that are going on end within the configured time (or until `hurry`
    /// is ready), says goodbye to the rest, and closes the store.
    pub async fn drain(self, hurry: impl Future<Output = ()>) {
        self.draining.store(true, Ordering::Relaxed);
        self.calls.registry.refuse().await;
        let mut calls = self.calls.registry.calls.clone();
        info!(calls = *calls.borrow(), "draining");
        tokio::select! {
            // The registry ends only with the program.
            ended = calls.wait_for(|calls| *calls == 0) => drop(ended),
            () = tokio::time::sleep(self.drain_time) => warn!("calls are cut off: their time is over"),
            () = hurry => warn!("calls are cut off: asked a second time"),
        }
        self.calls.registry.hang_up().await;
        let ended = calls.wait_for(|calls| *calls == 0);
        if tokio::time::timeout(GOODBYE_TIME, ended).await.is_err() {
            warn!("some calls did not end in time");
        }
        if !self.calls.signaling.quiet(GOODBYE_TIME).await {
            info!("somebody has not answered our BYE");
        }
        self.stop.cancel();
        if !self.recorder.close(CLOSE_TIME).await {
            error!("the store has not taken everything");
        }
        if let Some(server) = self.server {
            server.stop().await;
        }
        info!("stopped");
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reload,
    End,
}

/// The signals that a service gets.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
        }
    }
}

/// A variable of the environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tells every mistake on a line of its own.
pub fn tell(report: Report) {
    for mistake in report.into_mistakes() {
        eprintln!("{mistake}");
    }
}

/// Reads the dialplan that the configuration names, and checks it.
pub fn read_dialplan(config: &Config) -> anyhow::Result<Dialplan> {
    let report = Report::default();
    let dialplan = dialplan::load(&config.dialplan_folder(), &report);
    tell(report);
    dialplan.context("the dialplan has mistakes")
}

/// What agents think with, if anything.
type Model = Option<Arc<dyn LanguageModel>>;

/// The model that agents think with, and the server that is kept running for it.
fn model(llm: &Llm) -> anyhow::Result<(Model, Option<Server>)> {
    match llm.engine {
        LlmEngine::None => Ok((None, None)),
        LlmEngine::Scripted => Ok((Some(Arc::new(Scripted::new(Vec::new()))), None)),
        LlmEngine::OpenAi => {
            let api_key = revealed(&llm.api_key);
            let api_key = api_key.map(|key| {
                ApiKey::new(&key).context("llm.api_key has a character that no header takes")
            });
            let model = OpenAi::new(OpenAiSettings {
                url: llm.url.clone(),
                model: llm.model.clone(),
                api_key: api_key.transpose()?,
                is_ours: !llm.spawn.is_empty(),
                answer_max: ANSWER_TIME,
            })?;
            Ok((Some(Arc::new(model)), Some(Server::start(&llm.spawn, &llm.url))))
        }
    }
}

fn revealed(secret: &Option<Secret>) -> Option<String> {
    secret.as_ref().map(|secret| secret.reveal().to_owned())
}

fn reached(listen: &[(Transport, SocketAddr)], calls: &Calls) -> Vec<Reached> {
    let reached = |&(transport, listen): &(Transport, SocketAddr)| {
        let known_as = calls.signaling.sent_by(transport)?;
        Some(Reached { transport, listen, known_as })
    };
    listen.iter().filter_map(reached).collect()
}

/// Runs a part that nobody waits for, and says when it fails.
fn beside(
    stop: &CancellationToken,
    what: &'static str,
    part: impl Future<Output = std::io::Result<()>> + Send + 'static,
) {
    let stop = stop.clone();
    tokio::spawn(async move {
        if let Err(why) = part.await
            && !stop.is_cancelled()
        {
            error!(%why, what, "a part has ended");
        }
    });
}

async fn measure(ports: crate::net::MediaPorts) {
    let mut tick = tokio::time::interval(MEASURE_EVERY);
    loop {
        tick.tick().await;
        ports.measure();
    }
}

fn seed() -> anyhow::Result<u64> {
    let mut random =
        StdRng::try_from_rng(&mut SysRng).context("the system has no random numbers")?;
    Ok(random.random())
}
