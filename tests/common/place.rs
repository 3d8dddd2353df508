//! Where a server of a test lives: a folder of its own, and ports that nobody else has.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{at, free_port};

/// How large a server is, and how much it tells.
pub struct Machine {
    /// The first and the last port of media.
    pub media_ports: (u16, u16),
    pub calls_max: u32,
    pub cps_max: u32,
    /// What is logged.
    pub log: &'static str,
}

impl Machine {
    /// As small as a test needs it, and talkative.
    pub fn small() -> Self {
        let log = "info,tandem=debug";
        Machine { media_ports: media_ports(), calls_max: 2000, cps_max: 200, log }
    }
}

/// What follows in `tandem.toml` where the dialplan is not the built-in one.
pub const OWN_DIALPLAN: &str = "\n[dialplans]\nfolder = \"dialplans\"\n";

/// A folder and ports for one server.
pub struct Place {
    folder: TempDir,
    pub machine: Machine,
    /// Variables of the server's environment.
    pub environment: Vec<(String, String)>,
    /// Where it is to take calls, by UDP and TCP.
    pub sip: SocketAddr,
    /// Where its desk is to be.
    pub desk: SocketAddr,
}

impl Place {
    pub fn new() -> Self {
        Place::on(Machine::small())
    }

    pub fn on(machine: Machine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = vec![];
        Place { folder, machine, environment, sip: at(free_port()), desk: at(free_port()) }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file; the folder that it lies in is made.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let parent = path.parent().expect("it lies in our own folder");
        fs::create_dir_all(parent).expect("a folder in our own folder");
        fs::write(path, text).expect("a file in our own folder");
    }

    /// `tandem.toml` with these engines and that store. It ends within `[desk]`, so that more of that can
    /// follow.
    pub fn configuration(&self, speech: &str, llm: &str, store: &str) -> String {
        let (addresses, desk) = (self.addresses(), self.desk);
        format!(
            r#"{addresses}
[speech]
{speech}

[llm]
{llm}

[store]
url = "{store}"

[desk]
listen = "{desk}"
"#
        )
    }

    /// The tables of `tandem.toml` that say where calls and their sound come in.
    fn addresses(&self) -> String {
        let Place { sip, machine, .. } = self;
        let Machine { media_ports: (first, last), calls_max, cps_max, .. } = machine;
        format!(
            r#"[sip]
listen = ["udp:{sip}", "tcp:{sip}"]
calls_max = {calls_max}
cps_max = {cps_max}

[media]
ports = "{first}-{last}"
"#
        )
    }
}

/// A range of media ports of our own: below those that the system hands out, and another one for each
/// process that tests.
fn media_ports() -> (u16, u16) {
    const WIDTH: u16 = 400;
    let place = u16::try_from(std::process::id() % 40).expect("below 40");
    let first = 16_384 + place * WIDTH;
    (first, first + WIDTH - 2)
}
