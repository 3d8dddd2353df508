//! What the dialplan wants for one call, resolved: nothing in it has to be looked up while the call runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::persona::Persona;
use crate::context::Reason;
use crate::dialplan::Method;
use crate::escalation::Rule;
use crate::escalation::phrases::Phrases;
use crate::sip::{Transport, Uri};

/// The plan of one call. A call keeps the one it began with, whatever is reloaded meanwhile.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rule of the dialplan that took the call.
    pub route: String,
    /// The agent that serves it.
    pub agent: String,
    /// Who it is, for the model.
    pub persona: Arc<Persona>,
    /// The code of its language: `en`.
    pub language: String,
    /// How long the caller hears it ring before it answers.
    pub ring_time: Duration,
    /// The first words the caller hears.
    pub greeting: String,
    /// When a human is needed; order is precedence.
    pub rules: Arc<[Rule]>,
    /// The transfer of rules that name none.
    pub transfer: Arc<TransferPlan>,
    /// The transfers that rules name.
    pub transfers: BTreeMap<String, Arc<TransferPlan>>,
    /// What is said when something goes another way than the caller hoped.
    pub lines: Lines,
    /// How a caller says yes to the offer to try again.
    pub yes: Arc<Phrases>,
}

/// Lines that are said word for word.
#[derive(Clone, Debug)]
pub struct Lines {
    /// No human could be reached; offers to try again.
    pub nobody_reached: String,
    /// The caller was not understood, or the recogniser failed.
    pub not_understood: String,
    /// The model is late, or there is none.
    pub fallback: String,
}

/// One way of bringing a human in.
#[derive(Clone, Debug)]
pub struct TransferPlan {
    /// Its name in the dialplan.
    pub name: String,
    /// The ways to the human, in the order they are tried.
    pub methods: Vec<Method>,
    /// The humans, in the order they are tried.
    pub targets: Vec<Target>,
    /// How long a phone rings before it counts as unanswered. 5 s to 120 s.
    pub ring_time: Duration,
    /// How long we wait for a REFER's last NOTIFY.
    pub refer_time: Duration,
    /// What the caller hears meanwhile: samples at the rate of the call.
    pub hold: Arc<[i16]>,
    /// The transition line for each reason that has one of its own.
    pub say: BTreeMap<Reason, String>,
    /// The transition line of every other reason.
    pub say_default: String,
}

/// Somebody to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The dialplan's name: `human:demo`, or the URI itself.
    pub name: String,
    /// Whom we dial.
    pub uri: Uri,
    /// Whom the caller's side is asked to dial: the trunk's template applied to `uri`.
    pub refer_to: Uri,
    /// Where our INVITE goes, if not to where `uri` says: a trunk's peer.
    pub next_hop: Option<SocketAddr>,
    /// The trunk's other peers, for when that one says nothing or 503 (RFC 3263 §4.3).
    pub failover: Vec<SocketAddr>,
    /// How long the next hop may say nothing at all.
    pub try_time: Duration,
    /// How it goes there.
    pub transport: Transport,
    /// Which of our headers it gets: `User-to-User`, `Call-Info`, `X-Tandem-Call-ID`.
    pub headers: Vec<String>,
}

impl Target {
    /// The same by the trunk's next peer, if it has one.
    pub fn by_next_peer(&self) -> Option<Target> {
        let (next, others) = self.failover.split_first()?;
        Some(Target { next_hop: Some(*next), failover: others.to_vec(), ..self.clone() })
    }
}

impl TransferPlan {
    /// What the caller is told before this transfer begins.
    pub fn line(&self, reason: Reason) -> &str {
        self.say.get(&reason).unwrap_or(&self.say_default)
    }
}
