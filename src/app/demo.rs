//! `tandem demo`: the server, a caller and a human's phone on this machine, and the whole story in the
//! terminal. Nothing of it is staged but the words of the two people: they call over real sockets, speak
//! with a real voice, and are understood, or not, by the real recogniser.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::app::Program;
use crate::config::Config;
use crate::context::recorder::Recorded;
use crate::context::{self, CallFilter, Fact};
use crate::dialplan::{Dialplan, Target};
use crate::net::Audio;
use crate::net::udp::Udp;
use crate::phone::script::{self, CALLED, CALLER, Line};
use crate::phone::talk::Manners;
use crate::phone::{Ears, Phone, PhoneSettings, Pickup, Script, report};
use crate::sip::Transport;
use crate::speech::{Recognizer, Synthesizer, engines};
use crate::telemetry::Telemetry;

/// What the caller says. The second line is what the story turns on.
const CALLER_SAYS: [&str; 3] = [
    "Hello, what are your opening hours?",
    "I would like to speak with a supervisor, please.",
    "Thank you very much. Goodbye.",
];

/// What the human says.
const HUMAN_SAYS: [&str; 1] = [
    "Good morning, I am a colleague. I have the notes of your conversation here. How can I help you?",
];

/// After its goodbye, the caller does not wait for long.
const GOODBYE: Manners = Manners { patience: Some(Duration::from_secs(2)), ..CALLER };

/// How long the human's phone rings.
const RING_TIME: Duration = Duration::from_secs(2);

/// How long the story may wait for the language model to be loaded. Without it, the agent falls back to
/// the line it has for that.
const MODEL_TIME: Duration = Duration::from_secs(25);

/// How long the whole story may take.
const STORY_TIME: Duration = Duration::from_secs(120);

/// Plays the story to its end. An error if the caller did not come to speak with the human.
pub async fn run(
    mut config: Config,
    mut dialplan: Dialplan,
    telemetry: Telemetry,
) -> anyhow::Result<()> {
    stay_on_this_machine(&mut config);
    let recognizer = engines::recognizer(&config.speech.engines)?;
    let audio = Audio::spawn_threads(1).context("media threads")?;

    let human = phone("human", &config, &audio, &recognizer)?;
    lead_to(&mut dialplan, &human);
    let program = Program::start(&config, dialplan, telemetry).await?;
    let recorder = program.recorder();
    let number = program.uri().context("the server listens nowhere")?;
    say(&format!(
        "The server is at {number}, the desk at {}/, the human's phone at {}.",
        program.desk,
        human.uri()
    ));
    if !program.model_is_ready(MODEL_TIME).await {
        say("The language model is not there yet: the agent will say so.");
    }

    let stop = CancellationToken::new();
    let desk = tokio::spawn(show_desk(recorder.subscribe()));
    let human = tokio::spawn(be_called(
        human,
        script(&config, "flite:slt", &HUMAN_SAYS, CALLED).await?,
        stop.clone(),
    ));
    let script = script(&config, "flite:rms", &CALLER_SAYS, GOODBYE).await?;
    let mut caller = phone("caller", &config, &audio, &recognizer)?;
    let mut reporter = report::terminal(std::io::stdout(), Some("caller"));
    let call = caller.call(&number, &script, &mut reporter, &stop);
    let told = tokio::time::timeout(STORY_TIME, call).await;
    stop.cancel();
    // The phones say their goodbyes, whatever has become of the story.
    caller.close().await;
    let talked = human.await.context("the human's phone")?;
    desk.abort();

    let summary = told.context("the story took too long")??.summary;
    show_context(&program).await?;
    program.drain(std::future::pending()).await;
    talked.context("nobody called the human")?;
    summary.transferred_to.context("the caller was not handed over by REFER")?;
    Ok(())
}

/// Any free port, nothing kept, and nobody told.
fn stay_on_this_machine(config: &mut Config) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.sip.listen = vec![(Transport::Udp, any)];
    config.sip.external_ip = None;
    config.sip.drain_time = Duration::from_secs(2);
    config.desk.listen = any;
    config.desk.url = None;
    config.desk.token = None;
    config.desk.webhook = None;
    config.store = "memory:".into();
}

/// Every target of the dialplan is the demo's phone.
fn lead_to(dialplan: &mut Dialplan, human: &Phone) {
    for known in dialplan.humans.values_mut() {
        known.uri = human.uri();
        known.trunk = None;
    }
    for transfer in dialplan.transfers.values_mut() {
        for target in &mut Arc::make_mut(transfer).targets {
            if let Target::Uri(uri) = target {
                *uri = human.uri();
            }
        }
    }
}

fn phone(
    name: &str,
    config: &Config,
    audio: &Audio,
    ears: &Arc<dyn Recognizer>,
) -> anyhow::Result<Phone> {
    let settings = PhoneSettings {
        name: name.into(),
        listen: vec![(Transport::Udp, (Ipv4Addr::LOCALHOST, 0).into())],
        media_ports: 40_000..=42_000,
        codecs: config.media.codecs.clone(),
        listening: config.speech.listening,
        seed: super::seed()?,
    };
    Ok(Phone::open(Arc::new(Udp), audio.clone(), Ears::Words(ears.clone()), settings)?)
}

/// Lines in a voice; in that of the configuration, if it is a scripted one.
async fn script(
    config: &Config,
    voice: &str,
    lines: &[&str],
    manners: Manners,
) -> anyhow::Result<Script> {
    let mut settings = config.speech.engines.clone();
    if settings.synthesizer.starts_with("flite") {
        settings.synthesizer = voice.into();
    }
    let voice: Arc<dyn Synthesizer> = engines::synthesizer(&settings)?;
    let lines: Vec<Line> = lines.iter().map(|&line| Line::Text(line.into())).collect();
    let lines = script::prepare(&lines, Some(&*voice)).await?;
    Ok(Script { lines, manners, refuses_refer: false })
}

/// The human's phone, until its call is over. `None`: nobody called.
async fn be_called(mut phone: Phone, script: Script, stop: CancellationToken) -> Option<()> {
    let mut reporter = report::terminal(std::io::stdout(), Some("human"));
    let talked = phone.answer(Pickup::Answer(RING_TIME), &script, &mut reporter, &stop).await;
    phone.close().await;
    talked.ok().map(|_| ())
}

/// What the desk learns while the call goes on: the briefing, above all, before the phone rings.
async fn show_desk(mut entries: broadcast::Receiver<Arc<Recorded>>) {
    while let Ok(recorded) = entries.recv().await {
        match &recorded.entry.fact {
            Fact::Escalated { reason, details, .. } => {
                say(&format!("desk      escalated: {} ({details})", reason.name()))
            }
            Fact::Briefed { briefing } if !briefing.summary_by_model => {
                say(&format!("desk      briefing: {}", briefing.headline));
                say(&format!("desk                {}", briefing.summary));
            }
            Fact::Briefed { briefing } => {
                say(&format!("desk      briefing, by the model: {}", briefing.summary))
            }
            Fact::TransferEnded { outcome, .. } => {
                say(&format!("desk      transfer: {}", outcome.as_str()))
            }
            _ => (),
        }
    }
}

/// What the store has of the call, as `tandem context` shows it.
async fn show_context(program: &Program) -> anyhow::Result<()> {
    let recorder = program.recorder();
    let listing = recorder.list(&CallFilter::newest(1)).await?;
    let Some(call) = listing.calls.first() else { return Ok(()) };
    if let Some(context) = recorder.read(&call.call_id).await? {
        say(&format!("\nWhat `tandem context` shows of it:\n\n{}", context::render(&context)));
    }
    Ok(())
}

fn say(line: &str) {
    // A window that is closed reads nothing; the story goes on.
    writeln!(std::io::stdout(), "{line}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Webhook;

    #[test]
    fn nothing_of_the_story_leaves_this_machine() {
        let mut config = Config::default();
        let url = "https://crm.example.com/pop".to_owned();
        config.desk.webhook = Some(Webhook { url, key: None });
        config.desk.url = Some("https://desk.example.com".to_owned());
        config.desk.listen = ([0, 0, 0, 0], 8080).into();

        stay_on_this_machine(&mut config);

        assert!(config.sip.is_this_machine() && config.desk.listen.ip().is_loopback());
        assert_eq!((config.desk.webhook, config.desk.url), (None, None));
        assert_eq!(config.store, "memory:");
    }
}
