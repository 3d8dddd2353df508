//! The part of the program that has calls: signalling, media, registry, joined to engines and a
//! recorder that somebody else has made. The simulation starts this part on a network of its own.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tracing::error;

use crate::agent::LanguageModel;
use crate::agent::lines::Lines;
use crate::call::driver::{Links, Services, Wall};
use crate::call::registry::{self, Limits, RegistryHandle};
use crate::context::Recorder;
use crate::dialplan::{Dialplan, Trunk};
use crate::media::codec::Codec;
use crate::net::ports::PortsError;
use crate::net::signaling::{Listen, ListenError};
use crate::net::{Audio, MediaPorts, Network, Signaling};
use crate::sip::Transport;
use crate::sip::endpoint::Subnet;
use crate::speech::listener::ListenerSettings;
use crate::speech::{Recognizer, Synthesizer};

/// `User-Agent` and `Server`.
const USER_AGENT: &str = concat!("Tandem/", env!("CARGO_PKG_VERSION"));

/// Where calls come in, and how many.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// Where SIP listens.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// What peers reach us under, if it is not what we are bound to.
    pub external_ip: Option<IpAddr>,
    /// Calls at once.
    pub calls_max: usize,
    /// New calls a second.
    pub cps_max: u32,
    /// The ports of RTP.
    pub media_ports: RangeInclusive<u16>,
    /// The codecs we take, most wanted first.
    pub codecs: Vec<Codec>,
    /// How callers are listened to.
    pub listening: ListenerSettings,
    /// How long a caller waits for the model before the fallback line.
    pub model_deadline: Duration,
    /// The seed of everything random.
    pub seed: u64,
}

/// What calls need that is made elsewhere.
pub struct Parts {
    /// Where sockets come from.
    pub network: Arc<dyn Network>,
    /// The media workers.
    pub audio: Audio,
    /// Puts callers' speech into words.
    pub recognizer: Arc<dyn Recognizer>,
    /// Speaks for agents.
    pub synthesizer: Arc<dyn Synthesizer>,
    /// Thinks for agents.
    pub model: Option<Arc<dyn LanguageModel>>,
    /// Where everything is written down.
    pub recorder: Recorder,
    /// The dialplan that new calls get.
    pub dialplan: watch::Receiver<Arc<Dialplan>>,
    /// What waiting callers hear where the dialplan names no file.
    pub hold: Arc<[i16]>,
    /// Where a call can be looked at.
    pub links: Links,
    /// The clock on the wall.
    pub wall: Wall,
}

/// Calls are taken.
pub struct Calls {
    /// The SIP stack.
    pub signaling: Signaling,
    /// The RTP ports.
    pub ports: MediaPorts,
    /// How to end.
    pub registry: RegistryHandle,
}

/// Why no calls can be taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// SIP cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There are no ports for RTP.
    #[error(transparent)]
    Ports(#[from] PortsError),
}

impl Calls {
    /// Those whom this dialplan trusts may speak for dialogs from now on.
    pub fn trust(&self, dialplan: &Dialplan) {
        if self.signaling.trust(trusted(dialplan)).is_err() {
            error!("the signalling trusts whom it trusted before: it takes no more orders");
        }
    }
}

/// Begins to take calls.
pub fn start(settings: CallSettings, parts: Parts) -> Result<Calls, StartError> {
    let mut random = StdRng::seed_from_u64(settings.seed);
    let network = parts.network;
    let bound =
        settings.listen.first().map_or(IpAddr::from([0, 0, 0, 0]), |(_, address)| address.ip());
    let listen = Listen {
        addresses: settings.listen,
        external_ip: settings.external_ip,
        user_agent: USER_AGENT.into(),
        calls_max: settings.calls_max,
        trusted: trusted(&parts.dialplan.borrow()),
        takes_refer: false,
        seed: random.random(),
    };
    let (signaling, events) = Signaling::spawn(&*network, listen)?;
    let (external, range) = (settings.external_ip, settings.media_ports);
    let ports = MediaPorts::new(network, bound, external, range, random.random())?;
    let (claims, claimed) = registry::claims();
    let services = Services {
        signaling: signaling.clone(),
        audio: parts.audio,
        ports: ports.clone(),
        codecs: settings.codecs,
        hold: parts.hold,
        recognizer: parts.recognizer,
        lines: Lines::spawn(parts.synthesizer.clone()),
        synthesizer: parts.synthesizer,
        model: parts.model,
        listening: settings.listening,
        model_deadline: settings.model_deadline,
        recorder: parts.recorder,
        links: parts.links,
        wall: parts.wall,
        claims,
    };
    let limits = Limits { cps_max: settings.cps_max };
    let registry =
        registry::spawn(services, limits, parts.dialplan, events, claimed, random.random());
    Ok(Calls { signaling, ports, registry })
}

/// Who may speak for a dialog of their trunk: its peers and its networks (an SBC cluster has several
/// addresses).
fn trusted(dialplan: &Dialplan) -> Vec<Subnet> {
    let trunks = dialplan.trunks.values();
    let of = |trunk: &Trunk| -> Vec<Subnet> {
        let peers = trunk.peers.iter().map(|peer| alone(peer.ip()));
        peers.chain(trunk.networks.iter().copied()).collect()
    };
    trunks.flat_map(of).collect()
}

/// One address.
fn alone(address: IpAddr) -> Subnet {
    Subnet { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}
