//! The one task that knows which call owns which dialog.
//!
//! It hands each event of the SIP stack to the call whose dialog it is, asks the dialplan about a new
//! INVITE, and says 503 with Retry-After when there is no room for another call or the program is
//! ending. It decides nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use crate::call::driver::{self, CallHandle, Claim, Clock, Invitation, Services};
use crate::call::invited::{self, Invited};
use crate::dialplan::route::Query;
use crate::dialplan::{Action, Dialplan};
use crate::ids::{CallId, DialogId};
use crate::sip::{self, Headers, Peer, Request, StatusCode};

/// What calls have to say about their dialogs. A call says some three things in its life; a full
/// channel means a registry that is stuck, and the call that dials is told so.
const CLAIMS: usize = 1024;

/// What a refused caller is asked to wait for (RFC 3261 §20.33).
const RETRY_SECS: u32 = 10;

/// How many calls there may be, and how fast they may come.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// New calls a second, as a mean over a second.
    pub cps_max: u32,
}

/// How the program ends its calls.
#[derive(Debug)]
pub struct RegistryHandle {
    drain: mpsc::Sender<Drain>,
    /// How many calls there are.
    pub calls: watch::Receiver<usize>,
}

#[derive(Debug)]
enum Drain {
    /// No new calls from now on.
    Refuse,
    /// The calls that are left end now.
    HangUp(oneshot::Sender<()>),
}

impl RegistryHandle {
    /// Refuses new calls from now on; those that are left go on.
    pub async fn refuse(&self) {
        // A registry that has ended has no calls to refuse.
        let _ = self.drain.send(Drain::Refuse).await;
    }

    /// Ends the calls that are left.
    pub async fn hang_up(&self) {
        let (done, told) = oneshot::channel();
        if self.drain.send(Drain::HangUp(done)).await.is_ok() {
            // A registry that ends meanwhile has ended its calls.
            let _ = told.await;
        }
    }
}

/// The channel by which calls claim their dialogs; its sender is part of [`Services`].
pub fn claims() -> (mpsc::Sender<Claim>, mpsc::Receiver<Claim>) {
    mpsc::channel(CLAIMS)
}

/// Starts the task. `dialplan` is read for each new call: a call keeps the one it began with.
pub fn spawn(
    services: Services,
    limits: Limits,
    dialplan: watch::Receiver<Arc<Dialplan>>,
    events: mpsc::Receiver<sip::Event>,
    claimed: mpsc::Receiver<Claim>,
    seed: u64,
) -> RegistryHandle {
    let (drain, draining) = mpsc::channel(4);
    let (count, calls) = watch::channel(0);
    let registry = Registry {
        services,
        dialplan,
        owners: BTreeMap::new(),
        calls: BTreeMap::new(),
        call_ids: BTreeSet::new(),
        count,
        refusing: false,
        pace: Pace::new(limits.cps_max, driver::now()),
        random: StdRng::seed_from_u64(seed),
    };
    tokio::spawn(registry.run(events, claimed, draining));
    RegistryHandle { drain, calls }
}

struct Registry {
    services: Services,
    dialplan: watch::Receiver<Arc<Dialplan>>,
    /// Whose each dialog is: the call, by its caller's dialog.
    owners: BTreeMap<DialogId, DialogId>,
    /// The calls and their dialogs, by the caller's dialog.
    calls: BTreeMap<DialogId, Owned>,
    /// The Call-IDs of those calls.
    call_ids: BTreeSet<CallId>,
    count: watch::Sender<usize>,
    refusing: bool,
    pace: Pace,
    random: StdRng,
}

struct Owned {
    call_id: CallId,
    handle: CallHandle,
    dialogs: Vec<DialogId>,
}

enum Woken {
    Signal(sip::Event),
    Claim(Claim),
    Drain(Drain),
    /// The stack has ended.
    Over,
}

impl Registry {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<sip::Event>,
        mut claimed: mpsc::Receiver<Claim>,
        mut draining: mpsc::Receiver<Drain>,
    ) {
        loop {
            // Claims first: a call claims a dialog before it opens it, so that no event of the dialog
            // can be here before its claim.
            let woken = tokio::select! {
                biased;
                claim = claimed.recv() => claim.map_or(Woken::Over, Woken::Claim),
                drain = draining.recv() => drain.map_or(Woken::Over, Woken::Drain),
                event = events.recv() => event.map_or(Woken::Over, Woken::Signal),
            };
            match woken {
                Woken::Claim(claim) => self.claim(claim),
                Woken::Drain(Drain::Refuse) => self.refusing = true,
                Woken::Drain(Drain::HangUp(done)) => self.hang_up(done),
                Woken::Signal(sip::Event::Invited { dialog, request, source }) => {
                    self.invited(dialog, &request, source);
                }
                Woken::Signal(event) => self.hand_over(event),
                Woken::Over => return,
            }
        }
    }

    fn claim(&mut self, claim: Claim) {
        match claim {
            Claim::Own { call, dialog } => {
                if let Some(owned) = self.calls.get_mut(&call) {
                    owned.dialogs.push(dialog);
                    self.owners.insert(dialog, call);
                }
            }
            Claim::Over { call } => {
                let Some(owned) = self.calls.remove(&call) else { return };
                self.call_ids.remove(&owned.call_id);
                for dialog in owned.dialogs {
                    self.owners.remove(&dialog);
                }
                self.count.send_replace(self.calls.len());
            }
        }
    }

    fn hand_over(&mut self, event: sip::Event) {
        let dialog = event.dialog();
        let owner = self.owners.get(&dialog).and_then(|call| self.calls.get(call));
        let Some(owned) = owner else {
            // The last words of a dialog whose call is over.
            debug!(%dialog, "event of nobody's dialog");
            return;
        };
        if owned.handle.notify(event).is_err() {
            warn!(%dialog, "a call takes no more events");
        }
    }

    fn invited(&mut self, dialog: DialogId, request: &Arc<Request>, source: Peer) {
        match self.admit(dialog, request, source) {
            Ok(invitation) => {
                let call_id = invitation.who.call_id.clone();
                self.call_ids.insert(call_id.clone());
                let handle = driver::spawn(self.services.clone(), invitation);
                self.owners.insert(dialog, dialog);
                self.calls.insert(dialog, Owned { call_id, handle, dialogs: vec![dialog] });
                self.count.send_replace(self.calls.len());
            }
            Err(Refusal { status, why }) => {
                // Strangers try numbers by the thousand; whom we know, support is asked about.
                match self.dialplan.borrow().trunk_of(source.address) {
                    Some(trunk) => info!(%status, why, trunk = trunk.name, "refused"),
                    None => debug!(%status, why, "refused a stranger"),
                }
                counter!("calls_refused_total", "status" => status.to_string()).increment(1);
                let mut headers = Headers::default();
                if status == StatusCode::of(503) {
                    headers.push("Retry-After", RETRY_SECS.to_string());
                }
                if self.services.signaling.reject(dialog, status, headers).is_err() {
                    warn!("a refusal was lost");
                }
            }
        }
    }

    /// Who takes the call, or why nobody does.
    fn admit(
        &mut self,
        dialog: DialogId,
        request: &Arc<Request>,
        source: Peer,
    ) -> Result<Invitation, Refusal> {
        let refused = |status, why| Err(Refusal { status: StatusCode::of(status), why });
        let now = driver::now();
        if self.refusing {
            return refused(503, "shutting down");
        }
        let dialplan = self.dialplan.borrow().clone();
        let trunk = dialplan.trunk_of(source.address);
        let Some(Invited { who, identity }) = Invited::read(request, trunk) else {
            return refused(400, "no usable Call-ID, From or Request-URI");
        };
        // The Call-ID is the key of the journal: two live calls must not share one. An INVITE that came
        // by two ways at once is told so (RFC 3261 §8.2.2.2).
        if self.call_ids.contains(&who.call_id) {
            return refused(482, "a call with this Call-ID is going on");
        }
        let clock = Clock { started: (now, (self.services.wall)()) };
        let query = Query {
            to: &who.called,
            from: &who.caller,
            trunk: trunk.map(|trunk| trunk.name.as_str()),
            headers: &|name: &str| request.headers.get(name).map(str::to_owned),
            at: clock.at(now),
        };
        let Some(route) = dialplan.route(&query) else {
            return refused(404, "no rule takes the call");
        };
        // Asked last: what leads nowhere must not use up the pace of those who may call.
        if !self.pace.admits(now) {
            return refused(503, "too many new calls a second");
        }
        let agent = match &route.action {
            Action::Agent(agent) => agent,
            Action::Reject(status) => return refused(*status, "a rule refuses it"),
        };
        let caller = (trunk, source);
        let Some(plan) = invited::plan(&dialplan, &self.services.hold, &route.name, agent, caller)
        else {
            return refused(500, "the rule's agent is unknown");
        };
        let (request, plan) = (request.clone(), Arc::new(plan));
        let seed = self.random.random();
        Ok(Invitation { dialog, request, who, identity, plan, clock, seed })
    }

    fn hang_up(&mut self, done: oneshot::Sender<()>) {
        for owned in self.calls.values() {
            if owned.handle.shut_down().is_err() {
                debug!("a call has ended by itself");
            }
        }
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
    }
}

/// Why nobody takes a call.
struct Refusal {
    status: StatusCode,
    why: &'static str,
}

/// How fast new calls may come: a bucket of one second's calls, filled at the same rate.
struct Pace {
    cps_max: f64,
    tokens: f64,
    filled: Instant,
}

impl Pace {
    fn new(cps_max: u32, now: Instant) -> Self {
        let cps_max = f64::from(cps_max);
        Pace { cps_max, tokens: cps_max, filled: now }
    }

    fn admits(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.cps_max).min(self.cps_max);
        self.filled = now;
        let admits = self.tokens >= 1.0;
        if admits {
            self.tokens -= 1.0;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_over_the_pace_are_refused_until_it_has_caught_up() {
        let start = Instant::now();
        let mut pace = Pace::new(10, start);
        let admitted = |pace: &mut Pace, at_ms, tries| {
            let now = start + Duration::from_millis(at_ms);
            (0..tries).filter(|_| pace.admits(now)).count()
        };
        assert_eq!(admitted(&mut pace, 0, 15), 10);
        assert_eq!(admitted(&mut pace, 100, 15), 1);
        assert_eq!(admitted(&mut pace, 600, 15), 5);
        assert_eq!(admitted(&mut pace, 60_000, 15), 10);
    }
}
