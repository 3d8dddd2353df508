//! The phone in the terminal: our own stack from the other side.
//!
//! It calls ([`Phone::call`]) or is called ([`Phone::answer`]), says the lines of its [`Script`], puts into
//! words what it hears, and follows a REFER to wherever it leads. `tandem call` is one such phone,
//! `tandem demo` has two, and the stories of the simulation have as many as they need.
//!
//! ```text
//!   script ──> talk ──── when to speak ────┐
//!                                          v
//!   Signaling <──────────────────────> session ──> report ──> a terminal, or wire (JSON)
//!                 referral (REFER) ───>  A  │
//!   media worker ── conversation ────────┘  '────> tape ──> a recording, and how long answers took
//! ```
//!
//! `talk`, `tape` and `referral` are pure; `session` drives them.

pub mod args;
pub mod command;
mod conversation;
mod dial;
mod ears;
mod error;
mod referral;
pub mod report;
pub mod script;
mod session;
pub mod talk;
mod tape;
mod wire;

#[cfg(test)]
mod tests;

pub use conversation::MediaError;
pub use dial::Pickup;
pub use ears::Ears;
pub use error::PhoneError;
pub use report::{Reporter, Summary};
pub use script::Script;
pub use session::Recorded;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;

use self::conversation::Means;
use self::report::{Told, What};
use crate::media::codec::Codec;
use crate::net::signaling::Listen;
use crate::net::{Audio, MediaPorts, Network, Signaling};
use crate::sip::uri::Host;
use crate::sip::{Event, Headers, NameAddr, StatusCode, Transport, Uri};
use crate::speech::listener::ListenerSettings;

/// `User-Agent` and `Server`.
const USER_AGENT: &str = concat!("Tandem-Phone/", env!("CARGO_PKG_VERSION"));

/// Dialogs that others may open with a phone at once: one is talked in, the others are told that it is
/// busy.
const CALLS_MAX: usize = 8;

/// How long the last messages of a phone may take: a BYE and its answer, repeated twice.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// What a phone is told about itself.
#[derive(Clone, Debug)]
pub struct PhoneSettings {
    /// The user of its address, as From has it.
    pub name: String,
    /// Where it has its SIP; port 0 takes any.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Where it has its RTP.
    pub media_ports: RangeInclusive<u16>,
    /// The codecs it takes, most wanted first.
    pub codecs: Vec<Codec>,
    /// How it listens.
    pub listening: ListenerSettings,
    /// The seed of everything random.
    pub seed: u64,
}

/// A telephone with one line.
pub struct Phone {
    signaling: Signaling,
    events: mpsc::Receiver<Event>,
    means: Means,
    /// Whether what is heard is put into words.
    hears_words: bool,
    name: String,
    random: StdRng,
}

impl Phone {
    /// Plugs it in. Needs a tokio runtime.
    pub fn open(
        network: Arc<dyn Network>,
        audio: Audio,
        ears: Ears,
        settings: PhoneSettings,
    ) -> Result<Self, PhoneError> {
        let mut random = StdRng::seed_from_u64(settings.seed);
        let ip = settings.listen.first().map(|(_, address)| address.ip());
        let listen = Listen {
            addresses: settings.listen,
            external_ip: None,
            user_agent: USER_AGENT.into(),
            calls_max: CALLS_MAX,
            trusted: Vec::new(),
            takes_refer: true,
            seed: random.random(),
        };
        let (signaling, events) = Signaling::spawn(&*network, listen)?;
        let ip = ip.expect("signalling has refused to listen nowhere");
        let ports = MediaPorts::new(network, ip, None, settings.media_ports, random.random())?;
        let hears_words = ears.hears_words();
        let means = Means {
            audio,
            ports,
            codecs: settings.codecs,
            recognizer: ears.into_recognizer(),
            listening: settings.listening,
        };
        Ok(Phone { signaling, events, means, hears_words, name: settings.name, random })
    }

    /// Its address, to be called under.
    pub fn uri(&self) -> Uri {
        let address = self.signaling.sent_by(Transport::Udp);
        let address = address.or_else(|| self.signaling.sent_by(Transport::Tcp));
        let address = address.expect("a phone listens somewhere");
        Uri::sip(&self.name, Host::Ip(address.ip()), Some(address.port()))
    }

    /// Waits until the last BYE is answered, but not for long, and unplugs it.
    pub async fn close(self) {
        self.signaling.quiet(GOODBYE_TIME).await;
    }

    fn identity(&self) -> NameAddr {
        NameAddr::new(self.uri())
    }

    /// An event of no call of ours: whoever calls now is told that we are busy.
    fn turn_away(&self, event: &Event) -> Result<(), PhoneError> {
        match event {
            Event::Invited { dialog, .. } => {
                Ok(self.signaling.reject(*dialog, StatusCode::of(486), Headers::default())?)
            }
            // What is late from a call before.
            _ => Ok(()),
        }
    }
}

/// The story of one call, as it is told.
struct Diary<'a> {
    began: Instant,
    reporter: &'a mut Reporter,
}

impl Diary<'_> {
    fn tell(&mut self, what: What) {
        (self.reporter)(&Told { at: now() - self.began, what });
    }
}

/// The one clock of a driver. Under a paused runtime it stands still, so tests own it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
