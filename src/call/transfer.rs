//! A cold transfer: the walk from "a human is needed" to "a human speaks", or back to the agent.
//!
//! Ways are tried in order: each method of the plan with each of its targets. A REFER leaves the caller
//! with us until its last NOTIFY says 2xx; a bridge leaves the caller with us for good.
//!
//! ```text
//!              2xx                    NOTIFY 2xx
//!  Referring --------> Referred --------------------------> Gone: BYE to the caller
//!      |                |    |                               A
//!      | refused        |    | no last NOTIFY in time        | the caller has left
//!      |      NOTIFY    |    V                               |
//!      |      300-699   |  Probing --------------------------+----------------------.
//!      |                |    | the caller is here                                   |
//!      V                V    V                                                      | who knows
//!    the next way: Dialling ---------------------------> Bridged                    |
//!                   |    A        2xx of the human                                  |
//!         refused,  |    | the next                                                 V
//!         no answer V    | way         no way left: the caller goes back to the agent
//!                   '----'
//! ```
//!
//! The REFER is RFC 3515 with RFC 6665's rule that any 2xx accepts it; acceptance is not success. When
//! its outcome stays unknown, the caller's dialog and the caller's sound say where the caller is:
//!
//! | the dialog   | with sound | without                                                      |
//! |--------------|------------|--------------------------------------------------------------|
//! | answers      | here       | who knows: with the human, or only quiet; nobody is dialled  |
//! | says nothing | here       | has left                                                     |
//! | is not known | has left   | has left                                                     |

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::plan::{Target, TransferPlan};
use crate::context::Outcome;
use crate::dialplan::Method;
use crate::sip::{Liveness, StatusCode};

/// How long the caller's side has to answer an OPTIONS in the dialog. Shorter than timer F: the caller
/// is listening to hold music meanwhile.
const PROBE_TIME: Duration = Duration::from_secs(4);

/// One transfer under way.
#[derive(Debug)]
pub struct Transfer {
    plan: Arc<TransferPlan>,
    /// The next way to try, counted through methods and, within each, targets.
    next_way: usize,
    /// The way that is being tried.
    way: Option<(Method, Target)>,
    /// The human's leg of the way that is being tried; counted through the whole call.
    human: u16,
    state: State,
    /// Whether the caller's sound comes.
    caller_heard: bool,
    /// How the last way ended.
    last_outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// REFER sent.
    Referring { until: Instant },
    /// REFER accepted.
    Referred { until: Instant },
    /// No last NOTIFY came: is the caller still here?
    Probing { until: Instant },
    /// INVITE to the human sent.
    Dialling { until: Instant, silent_until: Option<Instant> },
    /// Both speak, through us.
    Bridged,
    /// The caller's side has taken the caller over.
    Gone,
    /// Nobody was reached.
    Exhausted,
}

/// What happened to a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The REFER's final response.
    ReferAnswered(StatusCode),
    /// A NOTIFY of the REFER's subscription.
    ReferProgress {
        /// The status line of its sipfrag.
        status: StatusCode,
        /// The reason phrase.
        reason: String,
    },
    /// The caller's dialog was probed.
    Probed(Liveness),
    /// The caller's sound stopped, or came back. Who holds us is not heard.
    CallerHeard(bool),
    /// The human's side has our INVITE.
    Trying(u16),
    /// The human's phone answered provisionally.
    Ringing(u16, StatusCode, String),
    /// The human answered.
    Answered(u16),
    /// The human's phone refused, or could not be reached.
    Failed(u16, StatusCode, String),
    /// The caller's dialog is over: hung up, or taken elsewhere by the REFER.
    CallerGone,
    /// Time passed.
    Tick,
}

/// What a transfer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A way is tried from now on.
    Try(Method, Target),
    /// Ask the caller's side to call the target.
    Refer(Target),
    /// Ask whether the caller's dialog lives.
    Probe,
    /// Call the human.
    Dial(u16, Target),
    /// Stop calling the human, for the cause and text of a Reason header (RFC 3326).
    CancelHuman(u16, u16, &'static str),
    /// A status on the way, to record.
    Progress(StatusCode, String),
    /// The way that was tried has ended.
    Over(Outcome, Option<StatusCode>, Option<String>),
    /// The human speaks with the caller through us.
    Join(Target),
    /// The caller's side has the caller: end our dialog.
    Leave(Target),
    /// Nobody was reached: the caller goes back to the agent.
    GiveBack(Outcome),
    /// The caller has left us for good, and nobody must be called.
    Abandon,
}

impl Transfer {
    /// Starts with the first way of the plan. `human` is the number of the first human's leg.
    pub fn new(
        now: Instant,
        plan: Arc<TransferPlan>,
        human: u16,
        caller_heard: bool,
    ) -> (Self, Vec<Effect>) {
        let mut transfer = Transfer {
            plan,
            next_way: 0,
            way: None,
            human,
            state: State::Exhausted,
            caller_heard,
            last_outcome: Outcome::Unreachable,
        };
        let effects = transfer.try_next(now);
        (transfer, effects)
    }

    /// Takes one step. An event that comes too late for its state changes nothing: a NOTIFY may outrun
    /// the 202, and an answer may cross our CANCEL (the stack then ends that dialog by itself).
    pub fn on(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        use {Event::*, State::*};
        match (self.state, event) {
            // A NOTIFY that outran the 202 says more than the 202 will.
            (Referring { .. } | Referred { .. }, ReferProgress { status, reason }) => {
                self.on_notify(now, status, reason)
            }
            (Probing { .. }, ReferProgress { status, reason }) if !status.is_provisional() => {
                self.on_notify(now, status, reason)
            }
            // Later than we were ready to wait, but the caller's side has reached the human.
            (Dialling { .. }, ReferProgress { status, reason }) if status.is_success() => {
                let mut effects =
                    vec![Effect::CancelHuman(self.human, 487, "the caller has been put through")];
                effects.extend(self.on_notify(now, status, reason));
                effects
            }
            (Referring { .. }, ReferAnswered(status)) if status.is_success() => {
                self.state = Referred { until: now + self.plan.refer_time };
                vec![Effect::Progress(status, "REFER accepted".into())]
            }
            // Nothing at all came back: perhaps something on the path eats REFER, perhaps the caller's
            // side is gone.
            (Referring { .. }, ReferAnswered(status)) if status == StatusCode::of(408) => {
                self.probe(now)
            }
            (Referring { .. }, ReferAnswered(status)) => {
                self.over(now, Outcome::ReferRejected, Some(status), None)
            }
            (Referring { until } | Referred { until }, Tick) if until <= now => self.probe(now),

            (_, CallerHeard(heard)) => {
                self.caller_heard = heard;
                vec![]
            }
            (Probing { .. }, Probed(found)) => self.look(now, found),
            (Probing { until }, Tick) if until <= now => self.look(now, Liveness::Unanswered),
            // Nobody's phone rings for a caller who is gone.
            (Dialling { .. }, Probed(Liveness::Unanswered)) if !self.caller_heard => {
                self.caller_left("the caller has vanished")
            }

            (Dialling { until, .. }, Trying(human)) if human == self.human => {
                self.state = Dialling { until, silent_until: None };
                vec![]
            }
            (Dialling { until, .. }, Ringing(human, status, reason)) if human == self.human => {
                self.state = Dialling { until, silent_until: None };
                vec![Effect::Progress(status, reason)]
            }
            (Dialling { .. }, Answered(human)) if human == self.human => {
                self.state = Bridged;
                let target = self.target();
                vec![
                    Effect::Over(Outcome::Connected, Some(StatusCode::of(200)), None),
                    Effect::Join(target),
                ]
            }
            (Dialling { .. }, Failed(human, status, reason)) if human == self.human => {
                self.over(now, outcome_of(status), Some(status), Some(reason))
            }
            (Dialling { silent_until: Some(limit), .. }, Tick) if limit <= now => {
                let mut effects =
                    vec![Effect::CancelHuman(self.human, 408, "no answer from the next hop")];
                effects.extend(self.over(
                    now,
                    Outcome::Unreachable,
                    Some(StatusCode::of(408)),
                    None,
                ));
                effects
            }
            (Dialling { until, .. }, Tick) if until <= now => {
                let mut effects = vec![Effect::CancelHuman(self.human, 408, "no answer")];
                effects.extend(self.over(now, Outcome::NoAnswer, None, None));
                effects
            }

            // Accepted, and the caller's side has ended our dialog: it took the caller with it.
            // (RFC 3515 lets the subscription go silent; many peers send the BYE instead.)
            (Referred { .. } | Probing { .. }, CallerGone) => {
                self.state = Gone;
                let reason = "the caller's side ended the dialog after it accepted the REFER";
                vec![
                    Effect::Over(
                        Outcome::Connected,
                        Some(StatusCode::of(202)),
                        Some(reason.into()),
                    ),
                    Effect::Abandon,
                ]
            }
            (Dialling { .. }, CallerGone) => self.caller_left("the caller hung up"),
            (Referring { .. }, CallerGone) => {
                self.abandon(Outcome::CallerAbandoned, "the caller hung up")
            }
            _ => vec![],
        }
    }

    /// When [`on`](Self::on) wants a [`Event::Tick`]; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Referring { until } | State::Referred { until } | State::Probing { until } => {
                Some(until)
            }
            State::Dialling { until, silent_until } => {
                Some(silent_until.map_or(until, |silent| silent.min(until)))
            }
            State::Bridged | State::Gone | State::Exhausted => None,
        }
    }

    /// The human's leg that is tried now, or was tried last.
    pub fn human(&self) -> u16 {
        self.human
    }

    /// The human whose phone rings.
    pub fn ringing(&self) -> Option<u16> {
        matches!(self.state, State::Dialling { .. }).then_some(self.human)
    }

    /// What the caller's side says of its call to the human. A peer that tells how far it is will tell
    /// the end as well, so it gets the whole time anew. One that ends the subscription before it knows
    /// the outcome may be calling all the same: only time tells, and then the look at the caller.
    fn on_notify(&mut self, now: Instant, status: StatusCode, reason: String) -> Vec<Effect> {
        if status.is_success() {
            self.state = State::Gone;
            let target = self.target();
            return vec![
                Effect::Over(Outcome::Connected, Some(status), Some(reason)),
                Effect::Leave(target),
            ];
        }
        if !status.is_provisional() {
            return self.over(now, outcome_of(status), Some(status), Some(reason));
        }
        if let State::Referred { until } = &mut self.state
            && status != StatusCode::of(100)
        {
            *until = now + self.plan.refer_time;
        }
        vec![Effect::Progress(status, reason)]
    }

    fn probe(&mut self, now: Instant) -> Vec<Effect> {
        self.state = State::Probing { until: now + PROBE_TIME };
        vec![Effect::Probe]
    }

    /// The REFER's outcome is unknown: where is the caller?
    fn look(&mut self, now: Instant, dialog: Liveness) -> Vec<Effect> {
        let outcome = Outcome::ReferTimeout;
        match (dialog, self.caller_heard) {
            (Liveness::Gone, _) | (Liveness::Unanswered, false) => {
                self.abandon(outcome, "no final NOTIFY, the caller has left")
            }
            (_, true) => {
                let why = "no final NOTIFY, the caller is still here";
                self.over(now, outcome, None, Some(why.into()))
            }
            (Liveness::Alive, false) => {
                self.state = State::Exhausted;
                let why = "no final NOTIFY, and the caller is not heard";
                vec![Effect::Over(outcome, None, Some(why.into())), Effect::GiveBack(outcome)]
            }
        }
    }

    /// The way has failed: records it and tries the next.
    fn over(
        &mut self,
        now: Instant,
        outcome: Outcome,
        status: Option<StatusCode>,
        reason: Option<String>,
    ) -> Vec<Effect> {
        self.last_outcome = outcome;
        let mut effects = vec![Effect::Over(outcome, status, reason)];
        // Nobody there, or one that has no room: the trunk's next peer may do better. Any other answer
        // is the human's.
        let is_hop = status.is_some_and(|status| [408, 503].contains(&status.code()));
        match self.way.as_ref().and_then(|(method, target)| {
            let failed = *method == Method::Bridge && outcome == Outcome::Unreachable && is_hop;
            failed.then(|| target.by_next_peer()).flatten()
        }) {
            Some(target) => effects.extend(self.begin(now, Method::Bridge, target)),
            None => effects.extend(self.try_next(now)),
        }
        effects
    }

    /// The caller is gone while the human's phone rings.
    fn caller_left(&mut self, why: &'static str) -> Vec<Effect> {
        let mut effects = vec![Effect::CancelHuman(self.human, 487, why)];
        effects.extend(self.abandon(Outcome::CallerAbandoned, why));
        effects
    }

    fn abandon(&mut self, outcome: Outcome, why: &str) -> Vec<Effect> {
        self.state = State::Gone;
        vec![Effect::Over(outcome, None, Some(why.into())), Effect::Abandon]
    }

    fn try_next(&mut self, now: Instant) -> Vec<Effect> {
        let (plan, way) = (&self.plan, self.next_way);
        let targets = plan.targets.len().max(1);
        let next =
            plan.methods.get(way / targets).copied().zip(plan.targets.get(way % targets).cloned());
        let Some((method, target)) = next else {
            self.state = State::Exhausted;
            return vec![Effect::GiveBack(self.last_outcome)];
        };
        self.next_way += 1;
        self.begin(now, method, target)
    }

    fn begin(&mut self, now: Instant, method: Method, target: Target) -> Vec<Effect> {
        if self.way.as_ref().is_some_and(|(method, _)| *method == Method::Bridge) {
            self.human += 1;
        }
        self.way = Some((method, target.clone()));
        let act = match method {
            Method::Refer => {
                self.state = State::Referring { until: now + self.plan.refer_time };
                Effect::Refer(target.clone())
            }
            Method::Bridge => {
                let silent_until = Some(now + target.try_time);
                self.state = State::Dialling { until: now + self.plan.ring_time, silent_until };
                Effect::Dial(self.human, target.clone())
            }
        };
        vec![Effect::Try(method, target), act]
    }

    fn target(&self) -> Target {
        self.way.as_ref().map(|(_, target)| target.clone()).expect("a way is tried from the start")
    }
}

/// What a failure response says about the human (RFC 3261 §21.4-21.6).
fn outcome_of(status: StatusCode) -> Outcome {
    match status.code() {
        486 | 600 => Outcome::Busy,
        603 | 403 | 406 | 488 | 606 => Outcome::Declined,
        408 | 480 | 487 => Outcome::NoAnswer,
        _ => Outcome::Unreachable,
    }
}

#[cfg(test)]
pub(in crate::call) mod tests;
