//! `tandem call`: one call from the terminal.

use std::io::{self, stdout};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::files::wav::{self, WavError};
use crate::media::Rate;
use crate::media::codec::Codec;
use crate::net::resolve::resolve;
use crate::net::udp::Udp;
use crate::net::{Audio, Network};
use crate::phone::args::CallArgs;
use crate::phone::script::{self, CALLER, Line, LineError, Script};
use crate::phone::{Ears, Phone, PhoneError, PhoneSettings, Recorded, report};
use crate::sip::{Peer, Transport, Uri};
use crate::speech::engines::{self, EngineError, SpeechSettings};
use crate::speech::listener::ListenerSettings;

/// The user of our address.
const NAME: &str = "caller";

/// Where a phone has its RTP: beside the ports of a server on the same machine.
const MEDIA_PORTS: RangeInclusive<u16> = 40_000..=48_998;

/// After this silence the other's turn is over. A person lets an agent finish its second sentence, and is
/// in no hurry.
const END_OF_TURN: Duration = Duration::from_secs(1);

/// What the configuration says that a phone needs too.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The engines that listen and speak.
    pub engines: SpeechSettings,
    /// How we listen.
    pub listening: ListenerSettings,
    /// The codecs we take, most wanted first.
    pub codecs: Vec<Codec>,
}

/// Why `tandem call` has failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A line cannot be said.
    #[error(transparent)]
    Line(#[from] LineError),
    /// An engine cannot be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There was no call.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// The recording cannot be written.
    #[error(transparent)]
    Recording(#[from] WavError),
    /// The call was cut off by a fault.
    #[error("the call was cut off ({uri})")]
    CutOff {
        /// Who was called.
        uri: Box<Uri>,
    },
    /// The system denies what a phone needs.
    #[error("no {what}")]
    System {
        /// What.
        what: &'static str,
        /// What it said.
        #[source]
        cause: io::Error,
    },
}

/// Makes one call. Ctrl-C and SIGTERM hang up.
pub async fn run(args: CallArgs, settings: CommandSettings) -> Result<(), CommandError> {
    let CallArgs { uri, lines, record, refuse_refer, json } = args;
    let script = Script {
        lines: prepare(&lines.0, &settings.engines).await?,
        manners: CALLER,
        refuses_refer: refuse_refer,
    };
    let mut reporter = match json {
        true => report::json(stdout()),
        false => report::terminal(stdout(), None),
    };
    let mut phone = plug_in(&uri, settings).await?;
    let stop = CancellationToken::new();
    let watch = tokio::spawn(stop_on_signal(stop.clone()));
    let called = phone.call(&uri, &script, &mut reporter, &stop).await;
    watch.abort();
    phone.close().await;

    let recorded = called?;
    let is_broken = recorded.summary.is_broken;
    if let Some(file) = record {
        save(file, recorded).await?;
    }
    if is_broken { Err(CommandError::CutOff { uri: uri.into() }) } else { Ok(()) }
}

/// Makes the lines ready. A voice is only needed for texts.
async fn prepare(
    lines: &[Line],
    engines: &SpeechSettings,
) -> Result<Vec<script::Prepared>, CommandError> {
    let has_text = lines.iter().any(|line| matches!(line, Line::Text(_)));
    let voice = has_text.then(|| engines::synthesizer(engines)).transpose()?;
    Ok(script::prepare(lines, voice.as_deref()).await?)
}

/// A phone at the address of ours from which the other is reached.
async fn plug_in(uri: &Uri, settings: CommandSettings) -> Result<Phone, CommandError> {
    let unresolvable = || PhoneError::Unresolvable { uri: uri.clone().into() };
    let Peer { transport, address } =
        resolve(uri, Transport::Udp).await.ok_or_else(unresolvable)?;
    let system = |what| move |cause| CommandError::System { what, cause };
    let ip = Udp.local_ip_toward(address).map_err(system("way to there"))?;
    let audio = Audio::spawn_threads(1).map_err(system("thread for media"))?;
    let random = StdRng::try_from_rng(&mut SysRng).map_err(|why| io::Error::other(why.to_string()));
    let mut listening = settings.listening;
    listening.times.end_of_turn = listening.times.end_of_turn.max(END_OF_TURN);
    let phone = PhoneSettings {
        name: NAME.into(),
        listen: listen(transport, ip),
        media_ports: MEDIA_PORTS,
        codecs: settings.codecs,
        listening,
        seed: random.map_err(system("random numbers"))?.random(),
    };
    Ok(Phone::open(Arc::new(Udp), audio, ears(&settings.engines)?, phone)?)
}

/// UDP always, since a REFER may lead to where only that is spoken; TCP if it is asked for.
fn listen(transport: Transport, ip: IpAddr) -> Vec<(Transport, SocketAddr)> {
    let any_port = SocketAddr::new(ip, 0);
    match transport {
        Transport::Udp => vec![(Transport::Udp, any_port)],
        Transport::Tcp => vec![(Transport::Tcp, any_port), (Transport::Udp, any_port)],
    }
}

/// The configured recogniser. A phone is of use without one.
fn ears(settings: &SpeechSettings) -> Result<Ears, EngineError> {
    // Without a script it would hear nothing but silence.
    if settings.recognizer == "scripted" {
        return Ok(Ears::Speech);
    }
    match engines::recognizer(settings) {
        Ok(recognizer) => Ok(Ears::Words(recognizer)),
        Err(why @ (EngineError::NotBuilt { .. } | EngineError::ModelMissing { .. })) => {
            warn!(%why, "what is heard is not put into words");
            Ok(Ears::Speech)
        }
        Err(why) => Err(why),
    }
}

/// Waits for Ctrl-C, or for SIGTERM, with which `timeout` and scripts end a program.
async fn stop_on_signal(stop: CancellationToken) {
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(why), _) | (_, Err(why)) => {
                // The program then ends without a goodbye.
                return warn!(%why, "signals cannot be caught");
            }
        };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
    stop.cancel();
}

async fn save(file: PathBuf, recorded: Recorded) -> Result<(), WavError> {
    let Recorded { said, heard, .. } = recorded;
    let write = move || wav::write_stereo(&file, Rate::Narrow.hertz(), &said, &heard);
    tokio::task::spawn_blocking(write).await.expect("writing a file does not panic")
}
