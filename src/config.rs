//! The machine's configuration: one TOML file, checked and turned into values. Every key has a default,
//! and an unknown key is an error with its place. `tandem.toml` at the root of the project says what
//! each means; a test keeps it the same as the defaults here.
//!
//! [`command`] is what `tandem check` and `tandem route` do.

pub mod command;
mod read;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::folder::{self, Folder};
use crate::files::secret::{Environment, Secret};
use crate::files::{Place, Report, Source, Table};
use crate::media::codec::Codec;
use crate::sip::Transport;
use crate::speech::engines::SpeechSettings;
use crate::speech::listener::ListenerSettings;

/// The file that a program started without one has, and looks for in its folder.
pub const FILE: &str = "tandem.toml";

/// The dialplan that the program brings along.
const BUILT_IN: [(&str, &str); 4] = [
    ("demo.toml", include_str!("../dialplans/demo.toml")),
    ("personas/demo.md", include_str!("../dialplans/personas/demo.md")),
    ("phrases/human.txt", include_str!("../dialplans/phrases/human.txt")),
    ("phrases/yes.txt", include_str!("../dialplans/phrases/yes.txt")),
];

/// The language model's server that the project's set-up installs.
const SPAWN: [&str; 3] =
    ["tools/llama-server", "--model", "models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"];

/// Everything that `tandem.toml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Signalling.
    pub sip: Sip,
    /// RTP.
    pub media: Media,
    /// Listening and speaking.
    pub speech: Speech,
    /// Thinking.
    pub llm: Llm,
    /// Where calls are written down: `sqlite:FILE` or `memory:`.
    pub store: String,
    /// The desk.
    pub desk: Desk,
    /// The folder of the dialplan; `None`: the one that the program brings along.
    pub dialplans: Option<PathBuf>,
}

/// Signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Where to listen.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// What peers reach us under; `None`: what the machine's routes say.
    pub external_ip: Option<IpAddr>,
    /// Calls at once.
    pub calls_max: usize,
    /// New calls a second.
    pub cps_max: u32,
    /// How long calls may go on when the program is told to end.
    pub drain_time: Duration,
}

/// RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The ports; the even ones carry RTP.
    pub ports: RangeInclusive<u16>,
    /// The codecs we take, most wanted first.
    pub codecs: Vec<Codec>,
    /// Threads, each with a core of its own.
    pub threads: usize,
}

/// Listening and speaking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech {
    /// The engines.
    pub engines: SpeechSettings,
    /// How callers are listened to.
    pub listening: ListenerSettings,
}

/// Thinking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Llm {
    /// What thinks.
    pub engine: LlmEngine,
    /// From the caller's last word to the first sentence; then the fallback line is said.
    pub deadline: Duration,
    /// The base of the interface of an OpenAI-compatible server.
    pub url: String,
    /// The model, as the server knows it.
    pub model: String,
    /// What the server wants to see.
    pub api_key: Option<Secret>,
    /// The command that starts the server, to be supervised; empty: somebody else runs it.
    pub spawn: Vec<String>,
}

/// What thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmEngine {
    /// A server with the OpenAI-compatible interface.
    OpenAi,
    /// Nothing: agents have only their lines.
    None,
    /// Says back what it hears, for tests.
    Scripted,
}

/// The desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desk {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What others reach it under; `None`: where it listens.
    pub url: Option<String>,
    /// What programs must show; needed unless it listens on loopback.
    pub token: Option<Secret>,
    /// Who is told of a call that comes.
    pub webhook: Option<Webhook>,
}

/// Who is told of a call that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is posted to.
    pub url: String,
    /// The key of its signature.
    pub key: Option<Secret>,
}

impl Sip {
    /// Whether nobody can reach us but programs on this machine.
    pub fn is_this_machine(&self) -> bool {
        self.listen.iter().all(|(_, address)| address.ip().is_loopback())
    }
}

/// What a configuration is read for. Only the service itself must have its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve.
    Serve,
    /// To say whether one could serve with it, perhaps on another machine.
    Check,
    /// To find what is in it, such as the store.
    Look,
}

impl Config {
    /// Reads `path`; without one, [`FILE`] in this folder if it is there, and else every default.
    /// `None`: there is an error in the report.
    pub fn load(
        path: Option<&Path>,
        purpose: Purpose,
        environment: Environment<'_>,
        report: &Report,
    ) -> Option<Self> {
        let config = Config::load_mended(path, purpose, environment, report)?;
        (!report.has_errors()).then_some(config)
    }

    /// The same, with the default in place of whatever is wrong, so that the dialplan can be looked at
    /// too. `None`: the file is no TOML, or cannot be read.
    fn load_mended(
        path: Option<&Path>,
        purpose: Purpose,
        environment: Environment<'_>,
        report: &Report,
    ) -> Option<Self> {
        let path = path.or_else(|| Some(Path::new(FILE)).filter(|path| path.exists()));
        let Some(path) = path else {
            // An empty file, which still takes its secrets from the environment.
            let nothing = Source::new("built-in tandem.toml", "");
            return Config::read(&nothing, purpose, environment, report);
        };
        let shown = path.display().to_string();
        match folder::read_text(path) {
            Ok(text) => Config::read(&Source::new(&shown, &text), purpose, environment, report),
            Err(error) => {
                let why = format!("cannot be read: {}", folder::in_words(&error));
                report.error("configuration", why, &Place::of(&shown));
                None
            }
        }
    }

    fn read(
        source: &Source,
        purpose: Purpose,
        environment: Environment<'_>,
        report: &Report,
    ) -> Option<Self> {
        let mut root = Table::parse(source, report)?;
        let mut config = Config::default();
        config.sip.read(root.section("sip"));
        config.media.read(root.section("media"), config.sip.calls_max);
        config.speech.read(root.section("speech"));
        config.llm.read(root.section("llm"), environment);
        read::store(&mut config.store, root.section("store"));
        config.desk.read(root.section("desk"), purpose, environment);
        read::dialplans(&mut config.dialplans, root.section("dialplans"));
        root.finish();
        Some(config)
    }

    /// Where the dialplan is: on the disk, or in the program.
    pub fn dialplan_folder(&self) -> Folder {
        match &self.dialplans {
            Some(folder) => Folder::Disk(folder.clone()),
            None => Folder::BuiltIn(&BUILT_IN),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let any = IpAddr::from([0, 0, 0, 0]);
        let sip = Sip {
            listen: vec![
                (Transport::Udp, (any, 5060).into()),
                (Transport::Tcp, (any, 5060).into()),
            ],
            external_ip: None,
            calls_max: 2000,
            cps_max: 200,
            drain_time: Duration::from_secs(300),
        };
        let media = Media { ports: 16_384..=32_766, codecs: Codec::ALL.to_vec(), threads: 1 };
        let speech =
            Speech { engines: SpeechSettings::default(), listening: ListenerSettings::default() };
        let llm = Llm {
            engine: LlmEngine::OpenAi,
            deadline: Duration::from_millis(1500),
            url: "http://127.0.0.1:8000/v1".into(),
            model: "qwen2.5-coder-1.5b-instruct-q4_k_m".into(),
            api_key: None,
            spawn: SPAWN.iter().map(|&word| word.to_owned()).collect(),
        };
        let desk =
            Desk { listen: ([127, 0, 0, 1], 8080).into(), url: None, token: None, webhook: None };
        let store = "sqlite:tandem.db".into();
        Config { sip, media, speech, llm, store, desk, dialplans: None }
    }
}

#[cfg(test)]
mod tests;
