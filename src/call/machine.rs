//! The life of a call.
//!
//! ```text
//!       200, ACK            trigger                   way to a human
//!  Pending -------> Answered ------------> Answered: ------------------> Connected
//!     |              |  A                  briefing saved, line said,        |
//!     | CANCEL       |  |                  transfer under way               |
//!     |              |  '--------------------------' nobody reached          |
//!     V              V                                                       V
//!  Disconnected <------------------- anybody hangs up -----------------------'
//! ```
//!
//! The machine is told what happened and answers with what to do. It decides alone: the model never
//! ends, transfers or keeps a call. What it decides is recorded before it is done: a
//! [`Effect::Record`] stands before the effect it speaks of, and the driver performs in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::driver::{AgentEvent, LineId, Order};
use crate::call::plan::{Plan, TransferPlan};
use crate::call::pulse::Pulse;
use crate::call::transfer::{self, Transfer};
use crate::context::reading::CallContext;
use crate::context::{Briefing, Entry, Fact, Outcome, Reason, Speaker, Turn};
use crate::escalation::words::Words;
use crate::escalation::{Signals, Triggered, triggers};
use crate::ids::LegId;
use crate::media::Wiring;
use crate::sip::header;

pub use crate::call::event::{Effect, Event, Now, Who};

mod presence;

/// How long a briefing may take to become durable before the call goes on without waiting (the store is
/// asked for 250 ms; this is the call's own patience should the store's task be stuck).
const SAVE_TIME: Duration = Duration::from_millis(400);

/// How long the transition line may take beyond the time of saying it. A voice that takes longer is
/// broken, and the transfer begins without it.
const LINE_TIME: Duration = Duration::from_secs(10);

/// What each letter of it adds. Nobody speaks as slowly as that.
const LETTER_TIME: Duration = Duration::from_millis(150);

/// A call.
#[derive(Debug)]
pub struct Call {
    plan: Arc<Plan>,
    who: Who,
    state: State,
    /// What the journal says, as this machine has written it.
    context: CallContext,
    /// The time of this step.
    at: Timestamp,
    turns: u32,
    lines: u32,
    humans: u16,
    /// Whether the caller is there.
    caller: Pulse,
    /// Whether the human is there who speaks with the caller.
    human: Pulse,
}

#[derive(Debug)]
enum State {
    /// It rings at the caller's until then.
    Ringing { until: Instant },
    /// Our 200 waits for its ACK.
    Pending,
    /// The agent and the caller talk.
    Conversing {
        /// The transfer that failed and was offered again.
        offered: Option<Arc<TransferPlan>>,
    },
    /// The briefing goes to the disk; then the line is said.
    Saving { plan: Arc<TransferPlan>, line: String, until: Instant },
    /// The transition line is being said.
    Announcing { plan: Arc<TransferPlan>, line: LineId, until: Instant },
    /// A human is being reached.
    Transferring { plan: Arc<TransferPlan>, transfer: Box<Transfer> },
    /// A human speaks with the caller.
    Connected { human: u16, plan: Arc<TransferPlan> },
    /// Over.
    Disconnected,
}

impl Call {
    /// A call whose INVITE is about to be told as [`Event::Invited`].
    pub fn new(at: Timestamp, plan: Arc<Plan>, who: Who) -> Self {
        let context = CallContext::new(who.call_id.clone(), at);
        let (caller, human) = Default::default();
        let state = State::Pending;
        Call { plan, who, state, context, at, turns: 0, lines: 0, humans: 0, caller, human }
    }

    /// Takes one step. An event that comes too late for its state changes nothing: a key may be
    /// pressed, and a sentence end, while the phone of a human already rings.
    pub fn on(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.at = now.at;
        match event {
            Event::Invited => self.on_invited(now),
            Event::Acknowledged => self.on_acknowledged(now),
            Event::CallerGone { reason } => self.on_caller_gone(now, reason),
            Event::ShutDown => self.hang_up("us", "shutting down"),
            Event::Held(on) => self.on_held(now, on),
            Event::HumanHeld(human, on) => self.on_human_held(now, human, on),
            Event::CallerSounds(sounds) => self.on_caller_sounds(now, sounds),
            Event::HumanSounds(human, sounds) => self.on_human_sounds(now, human, sounds),
            Event::Probed(leg, found) => self.on_probed(now, leg, found),
            Event::Digit(digit) => self.on_digit(now, digit),
            Event::HumanDigit(human, digit) => self.on_human_digit(human, digit),
            Event::BargedIn => self.on_barge_in(),
            Event::Heard { text, confidence, spoken } => {
                self.on_heard(now, text, confidence, spoken)
            }
            Event::NotUnderstood => self.on_not_understood(),
            Event::Agent(event) => self.on_agent(now, event),
            Event::Saved => self.announce(now),
            Event::Summarised(summary) => self.on_summarised(summary),
            Event::Transfer(event) => self.on_transfer(now, event),
            Event::HumanGone { human, reason } => self.on_human_gone(human, reason),
            Event::Tick => self.on_tick(now),
        }
    }

    /// When [`on`](Self::on) wants an [`Event::Tick`]; `None` is "never".
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match &self.state {
            State::Disconnected => return None,
            State::Ringing { until }
            | State::Saving { until, .. }
            | State::Announcing { until, .. } => Some(*until),
            State::Transferring { transfer, .. } => transfer.poll_timeout(),
            State::Pending | State::Conversing { .. } | State::Connected { .. } => None,
        };
        let looks = [self.caller.poll_timeout(), self.human.poll_timeout()];
        looks.into_iter().flatten().chain(due).min()
    }

    /// Whether nothing is left of the call.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Disconnected)
    }

    /// What is known of the call so far.
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    fn on_invited(&mut self, now: Now) -> Vec<Effect> {
        let invited = Fact::Invited {
            caller: self.who.caller.clone(),
            caller_name: self.who.caller_name.clone(),
            called: self.who.called.clone(),
            route: self.plan.route.clone(),
            agent: Some(self.plan.agent.clone()),
            trunk: self.who.trunk.clone(),
        };
        let mut effects = vec![self.record(invited), Effect::Ring];
        self.state = State::Ringing { until: now.now + self.plan.ring_time };
        if self.plan.ring_time.is_zero() {
            effects.extend(self.answer());
        }
        effects
    }

    fn answer(&mut self) -> Vec<Effect> {
        self.state = State::Pending;
        vec![Effect::Answer]
    }

    fn on_acknowledged(&mut self, now: Now) -> Vec<Effect> {
        let State::Pending = self.state else { return vec![] };
        self.caller.begin(now.now);
        self.state = State::Conversing { offered: None };
        let (greeting, _) = self.say(self.plan.greeting.clone());
        vec![
            self.record(Fact::Answered),
            Effect::Wire(Wiring::CONVERSING),
            Effect::Listen(true),
            greeting,
        ]
    }

    fn on_heard(
        &mut self,
        now: Now,
        text: String,
        confidence: f32,
        (began, ended): (Timestamp, Timestamp),
    ) -> Vec<Effect> {
        let turn = self.turn(Speaker::Caller, &text, (began, ended), Some(confidence), false);
        let number = turn.number;
        let mut effects = vec![self.record(Fact::Said { turn })];
        let State::Conversing { offered } = &mut self.state else { return effects };

        let signals = Signals { text: Some(&text), key: None };
        if let Some(triggered) = triggers::evaluate(&self.plan.rules, signals) {
            effects.extend(self.escalate(now, triggered, Some(number)));
        } else if let Some(plan) =
            offered.take().filter(|_| self.plan.yes.find(&Words::new(&text)).is_some())
        {
            effects.extend(self.transfer_again(now, plan));
        } else {
            effects.push(Effect::Agent(Order::Heard { text }));
        }
        effects
    }

    fn on_digit(&mut self, now: Now, digit: char) -> Vec<Effect> {
        let mut effects = vec![self.record(Fact::Pressed { digit })];
        match self.state {
            State::Conversing { .. } => {
                let signals = Signals { text: None, key: Some(digit) };
                if let Some(triggered) = triggers::evaluate(&self.plan.rules, signals) {
                    effects.extend(self.escalate(now, triggered, None));
                }
            }
            // The human may be somebody's menu, or a mailbox.
            State::Connected { human, .. } => {
                effects.push(Effect::Press(LegId::Human(human), digit));
            }
            _ => (),
        }
        effects
    }

    fn on_human_digit(&mut self, by: u16, digit: char) -> Vec<Effect> {
        match self.state {
            State::Connected { human, .. } if human == by => {
                vec![Effect::Press(LegId::Caller, digit)]
            }
            _ => vec![],
        }
    }

    /// A barge-in stops whatever the agent says, but not the way to a human: the transition line is the
    /// only one that is said to its end.
    fn on_barge_in(&mut self) -> Vec<Effect> {
        match self.state {
            State::Conversing { .. } => vec![Effect::Agent(Order::Interrupt)],
            _ => vec![],
        }
    }

    fn on_not_understood(&mut self) -> Vec<Effect> {
        let State::Conversing { .. } = self.state else { return vec![] };
        let (say, _) = self.say(self.plan.lines.not_understood.clone());
        let what = "a turn of the caller could not be recognised";
        vec![self.degraded("recogniser", what), say]
    }

    fn on_agent(&mut self, now: Now, event: AgentEvent) -> Vec<Effect> {
        match event {
            AgentEvent::Speaking => vec![],
            AgentEvent::Said { line, heard, interrupted, began, ended } => {
                let mut effects = vec![];
                if !heard.is_empty() {
                    let turn = self.turn(Speaker::Agent, &heard, (began, ended), None, interrupted);
                    effects.push(self.record(Fact::Said { turn }));
                }
                effects.extend(self.on_line_over(now, line));
                effects
            }
            AgentEvent::FellBack { what } => vec![self.degraded("model", &what)],
            AgentEvent::Mute { line } => {
                let mut effects = vec![self.degraded("voice", "a sentence could not be spoken")];
                effects.extend(self.on_line_over(now, line));
                effects
            }
        }
    }

    /// The transition line has been heard to its end, or cannot be heard: the transfer begins.
    fn on_line_over(&mut self, now: Now, over: Option<LineId>) -> Vec<Effect> {
        match &self.state {
            State::Announcing { line, plan, .. } if over == Some(*line) => {
                let plan = plan.clone();
                self.begin_transfer(now, plan)
            }
            _ => vec![],
        }
    }

    fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = self.ask_who_is_not_heard(now);
        effects.extend(self.on_deadline(now));
        effects
    }

    fn on_deadline(&mut self, now: Now) -> Vec<Effect> {
        match &self.state {
            State::Ringing { until } if *until <= now.now => self.answer(),
            State::Saving { until, .. } if *until <= now.now => self.announce(now),
            State::Announcing { until, plan, .. } if *until <= now.now => {
                let plan = plan.clone();
                let what = "the transition line was not spoken in time";
                let mut effects =
                    vec![self.degraded("voice", what), Effect::Agent(Order::Interrupt)];
                effects.extend(self.begin_transfer(now, plan));
                effects
            }
            State::Transferring { .. } => self.on_transfer(now, transfer::Event::Tick),
            _ => vec![],
        }
    }

    /// The decision: recorded, the briefing on its way to the disk, and nothing asked back.
    fn escalate(&mut self, now: Now, triggered: Triggered, turn: Option<u32>) -> Vec<Effect> {
        let Triggered { rule, reason, details, transfer, also } = triggered;
        let named = transfer.as_ref().and_then(|name| self.plan.transfers.get(name));
        let plan = named.unwrap_or(&self.plan.transfer).clone();
        let line = plan.line(reason).to_owned();
        let escalated = Fact::Escalated { reason, rule, details: details.clone(), turn, also };
        let mut effects = vec![self.record(escalated)];
        effects.extend(self.brief(now, (reason, &details, turn), plan, line));
        effects
    }

    /// The caller took up the offer to try once more: for the same reason, but the human learns what has
    /// been tried and said since.
    fn transfer_again(&mut self, now: Now, plan: Arc<TransferPlan>) -> Vec<Effect> {
        let line = plan.say_default.clone();
        let Some(last) = self.context.escalations.last().cloned() else { return vec![] };
        self.brief(now, (last.reason, &last.details, last.turn), plan, line)
    }

    /// The briefing goes to the disk; the line follows it.
    fn brief(
        &mut self,
        now: Now,
        (reason, details, turn): (Reason, &str, Option<u32>),
        plan: Arc<TransferPlan>,
        line: String,
    ) -> Vec<Effect> {
        self.state = State::Saving { plan, line, until: now.now + SAVE_TIME };
        let briefing = Briefing::deterministic(&self.context, reason, details, turn, now.at);
        self.context.briefing = Some(briefing.clone());
        vec![Effect::Save(Box::new(briefing)), Effect::Agent(Order::Interrupt), Effect::Summarise]
    }

    fn announce(&mut self, now: Now) -> Vec<Effect> {
        let State::Saving { plan, line, .. } = &self.state else { return vec![] };
        let (plan, text) = (plan.clone(), line.clone());
        let until = now.now + LINE_TIME + LETTER_TIME * u32::try_from(text.len()).unwrap_or(0);
        let (say, line) = self.say(text);
        self.state = State::Announcing { plan, line, until };
        vec![say]
    }

    fn begin_transfer(&mut self, now: Now, plan: Arc<TransferPlan>) -> Vec<Effect> {
        let heard = self.caller.is_heard();
        let (transfer, wanted) = Transfer::new(now.now, plan.clone(), self.humans, heard);
        let music = Effect::Hold(plan.hold.clone());
        self.state = State::Transferring { plan, transfer: Box::new(transfer) };
        let mut effects = vec![music, Effect::Wire(Wiring::HOLDING), Effect::Listen(false)];
        effects.extend(self.perform(now, wanted));
        effects
    }

    fn on_transfer(&mut self, now: Now, event: transfer::Event) -> Vec<Effect> {
        let State::Transferring { transfer, .. } = &mut self.state else {
            return self.on_late_news(event);
        };
        let wanted = transfer.on(now.now, event);
        self.humans = self.humans.max(transfer.human() + 1);
        self.perform(now, wanted)
    }

    /// After the REFER was given up, the caller's side has reached the human all the same. A caller who
    /// is heard is here and not there.
    fn on_late_news(&mut self, event: transfer::Event) -> Vec<Effect> {
        match (&self.state, event) {
            (
                State::Conversing { offered: Some(plan) },
                transfer::Event::ReferProgress { status, .. },
            ) if status.is_success() && !self.caller.is_heard() => {
                let target = plan.targets.first().map(|target| target.name.clone());
                let target = target.unwrap_or_default();
                let mut effects =
                    vec![self.record(Fact::Connected { method: "refer".into(), target })];
                effects.extend(self.hang_up("us", "transferred"));
                effects
            }
            _ => vec![],
        }
    }

    /// Turns what the transfer wants into what the call wants.
    fn perform(&mut self, now: Now, wanted: Vec<transfer::Effect>) -> Vec<Effect> {
        wanted.into_iter().flat_map(|effect| self.perform_one(now, effect)).collect()
    }

    fn perform_one(&mut self, now: Now, wanted: transfer::Effect) -> Vec<Effect> {
        use transfer::Effect as Wanted;
        match wanted {
            Wanted::Try(method, target) => {
                let mode = "cold".into();
                let method = method.as_str().into();
                vec![self.record(Fact::TransferTried { mode, method, target: target.name })]
            }
            Wanted::Refer(target) => vec![Effect::Refer(target)],
            Wanted::Probe => vec![Effect::Probe(LegId::Caller)],
            Wanted::Dial(human, target) => vec![Effect::Dial(human, target)],
            Wanted::CancelHuman(human, cause, text) => {
                vec![Effect::HangUpHuman(human, Some(header::Reason::sip(cause, text)))]
            }
            Wanted::Progress(status, reason) => {
                vec![self.record(Fact::TransferProgress { status: status.code(), reason })]
            }
            Wanted::Over(outcome, status, reason) => {
                let status = status.map(|status| status.code());
                vec![self.record(Fact::TransferEnded { outcome, status, reason })]
            }
            Wanted::Join(target) => {
                self.join(now);
                let connected = Fact::Connected { method: "bridge".into(), target: target.name };
                vec![self.record(connected), Effect::Wire(Wiring::BRIDGED)]
            }
            Wanted::Leave(target) => {
                let connected = Fact::Connected { method: "refer".into(), target: target.name };
                let mut effects = vec![self.record(connected)];
                effects.extend(self.hang_up("us", "transferred"));
                effects
            }
            Wanted::GiveBack(outcome) => self.give_back(outcome),
            Wanted::Abandon => self.hang_up("us", "nobody is left in the call"),
        }
    }

    fn join(&mut self, now: Now) {
        let State::Transferring { plan, transfer } = &self.state else { return };
        self.state = State::Connected { human: transfer.human(), plan: plan.clone() };
        self.human = Pulse::default();
        self.human.begin(now.now);
    }

    /// Nobody was reached: the caller is back with the agent, which knows why, says so and offers to
    /// try again.
    fn give_back(&mut self, outcome: Outcome) -> Vec<Effect> {
        let (State::Transferring { plan, .. } | State::Connected { plan, .. }) = &self.state else {
            return vec![];
        };
        let note = format!(
            "The transfer to a person has just failed ({}). The caller has been told so and was offered another try.",
            outcome.as_str()
        );
        self.state = State::Conversing { offered: Some(plan.clone()) };
        self.human = Pulse::default();
        let (say, _) = self.say(self.plan.lines.nobody_reached.clone());
        vec![
            Effect::Wire(Wiring::CONVERSING),
            Effect::Agent(Order::Note { text: note }),
            say,
            Effect::Listen(!self.caller.is_holding()),
        ]
    }

    fn on_summarised(&mut self, summary: Option<String>) -> Vec<Effect> {
        let (Some(summary), Some(briefing)) = (summary, &self.context.briefing) else {
            return vec![];
        };
        if self.is_over() {
            return vec![];
        }
        match briefing.clone().with_model_summary(&summary, &self.context) {
            Ok(briefing) => {
                let briefing = Box::new(briefing);
                vec![self.record(Fact::Briefed { briefing: briefing.clone() })]
            }
            Err(why) => vec![self.degraded("model", &why.to_string())],
        }
    }

    fn say(&mut self, text: String) -> (Effect, LineId) {
        self.lines += 1;
        let line = LineId(self.lines);
        (Effect::Agent(Order::Say { line, text }), line)
    }

    fn turn(
        &mut self,
        speaker: Speaker,
        text: &str,
        (began, ended): (Timestamp, Timestamp),
        confidence: Option<f32>,
        interrupted: bool,
    ) -> Turn {
        self.turns += 1;
        let text = text.to_owned();
        Turn { number: self.turns, speaker, text, began, ended, confidence, interrupted }
    }

    fn degraded(&mut self, part: &str, what: &str) -> Effect {
        self.record(Fact::Degraded { part: part.into(), what: what.into() })
    }

    fn ended(&mut self, by: &str, reason: Option<String>) -> Effect {
        self.record(Fact::Ended { by: by.into(), reason })
    }

    /// Writes a fact down: here at once, in the journal before the effects that follow.
    fn record(&mut self, fact: Fact) -> Effect {
        self.context.apply(&Entry { at: self.at, fact: fact.clone() });
        Effect::Record(fact)
    }
}

#[cfg(test)]
mod tests;
