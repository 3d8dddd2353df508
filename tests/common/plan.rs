//! The configuration and the dialplan of a test: agents that differ in a few things.

use std::fmt::Write;

use super::place::{OWN_DIALPLAN, Place};

/// Who may call us, what happens then, and where it is written down.
pub struct Plan {
    /// `[store] url`; a file lies in the server's folder.
    pub store: &'static str,
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

/// `[speech]` of those who neither listen nor speak for real.
const SCRIPTED: &str = r#"recognizer = "scripted"
script = "lines.txt"
synthesizer = "scripted"
activity = "energy""#;

/// `[llm]` without any.
pub const NO_MODEL: &str = "engine = \"none\"";

impl Plan {
    /// `tandem.toml`.
    pub fn configuration(&self, place: &Place) -> String {
        place.configuration(SCRIPTED, NO_MODEL, self.store) + OWN_DIALPLAN
    }

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
