//! The configuration and the dialplan of a test: agents that differ in a few things.

use std::fmt::Write;

/// Who may call us, and what happens then.
pub struct Plan {
    /// Whose calls we take: the trunk's network.
    pub network: &'static str,
    pub agents: Vec<Agent>,
}

/// An agent that is called by its name, hands over by `method`, and has a human of its own.
pub struct Agent {
    pub name: String,
    /// How long it rings before it answers.
    pub ring_ms: u32,
    /// How callers are handed over: `refer`, `bridge`.
    pub method: &'static [&'static str],
    /// How long the human's phone rings.
    pub ring_secs: u32,
    /// The port of the human's phone on loopback.
    pub human_port: u16,
}

/// What of `tandem.toml` is not the same everywhere.
pub struct Machine {
    /// The first and the last port of media.
    pub media_ports: (u16, u16),
    pub calls_max: u32,
    pub cps_max: u32,
    /// What is logged.
    pub log: &'static str,
}

/// How long we wait for the last NOTIFY of a REFER.
pub const REFER_SECS: u32 = 3;

/// What callers say, turn by turn. A caller that was not put through says yes to another try.
pub const SCRIPT: &str = "\
I would like to speak to a human being please
yes please
yes please
yes please
yes please
yes please
";

/// `tandem.toml`.
pub fn configuration(sip_port: u16, desk_port: u16, machine: &Machine) -> String {
    let Machine { media_ports: (first, last), calls_max, cps_max, .. } = machine;
    format!(
        r#"[sip]
listen = ["udp:127.0.0.1:{sip_port}", "tcp:127.0.0.1:{sip_port}"]
calls_max = {calls_max}
cps_max = {cps_max}

[media]
ports = "{first}-{last}"

[speech]
recognizer = "scripted"
script = "lines.txt"
synthesizer = "scripted"
activity = "energy"

[llm]
engine = "none"

[store]
url = "memory:"

[desk]
listen = "127.0.0.1:{desk_port}"

[dialplans]
folder = "dialplans"
"#
    )
}

impl Plan {
    /// `dialplans/test.toml`.
    pub fn dialplan(&self) -> String {
        let mut text = format!(
            r#"schema = 1

[trunk.local]
networks = ["{network}"]
refer = {{ supported = true, wait_final_secs = {REFER_SECS} }}

[[triggers.person.rule]]
id = "explicit"
when = {{ phrases = "human.txt" }}
reason = "customer_request"
"#,
            network = self.network
        );
        for agent in &self.agents {
            agent.write(&mut text);
        }
        text
    }
}

impl Agent {
    fn write(&self, text: &mut String) {
        let Agent { name, ring_ms, method, ring_secs, human_port } = self;
        let written = write!(
            text,
            r#"
[[route]]
name = "{name}"
match = {{ to = "{name}", trunk = "local" }}
do = ["agent:{name}"]

[agent.{name}]
persona = "persona.md"
greeting = "Good morning. How can I help?"
language = "en"
triggers = "person"
transfer = "{name}"
ring_ms = {ring_ms}

[transfer.{name}]
mode = "cold"
target = "human:{name}"
method = {method:?}
ring_secs = {ring_secs}
headers = ["X-Tandem-Call-ID"]
[transfer.{name}.say]
default = "One moment, I will connect you."

[human.{name}]
name = "Sarah"
uri = "sip:human@127.0.0.1:{human_port}"
"#
        );
        written.expect("a String takes everything");
    }
}
