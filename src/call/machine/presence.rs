//! Whether the parties are still in the call: who holds, who is not heard, who hangs up.

use super::{Call, Effect, Now, Order, State};
use crate::call::transfer;
use crate::context::{Fact, Outcome};
use crate::ids::LegId;
use crate::media::Wiring;
use crate::sip::Liveness;

impl Call {
    /// Who holds us listens to somebody else, and what comes from there is music: the agent neither
    /// listens to it nor speaks to it.
    pub(super) fn on_held(&mut self, now: Now, on: bool) -> Vec<Effect> {
        self.caller.holds(now.now, on);
        let mut effects = vec![self.record(Fact::Held { on })];
        effects.extend(self.tell_transfer(now));
        if let State::Conversing { offered } = &self.state {
            let back_with_an_offer = !on && offered.is_some();
            effects.push(Effect::Listen(!on));
            if on {
                effects.push(Effect::Agent(Order::Interrupt));
            } else if back_with_an_offer {
                // It was said to nobody.
                effects.push(self.say(self.plan.lines.nobody_reached.clone()).0);
            }
        }
        effects
    }

    /// A human who holds has no music to send, as a rule: the caller hears ours meanwhile.
    pub(super) fn on_human_held(&mut self, now: Now, held_by: u16, on: bool) -> Vec<Effect> {
        match self.state {
            State::Connected { human, .. } if human == held_by => {
                self.human.holds(now.now, on);
                vec![Effect::Wire(if on { Wiring::HOLDING } else { Wiring::BRIDGED })]
            }
            _ => vec![],
        }
    }

    /// Sound that stops means a phone that is gone, or one that sends nothing while nobody speaks.
    /// Whether its dialog stands says which.
    pub(super) fn on_caller_sounds(&mut self, now: Now, sounds: bool) -> Vec<Effect> {
        let ask = self.caller.sounds(now.now, sounds);
        let mut effects = self.tell_transfer(now);
        match self.state {
            State::Ringing { .. } | State::Pending | State::Disconnected => (),
            _ if ask => effects.push(Effect::Probe(LegId::Caller)),
            _ => (),
        }
        effects
    }

    pub(super) fn on_human_sounds(&mut self, now: Now, of: u16, sounds: bool) -> Vec<Effect> {
        match self.state {
            State::Connected { human, .. } if human == of && self.human.sounds(now.now, sounds) => {
                vec![Effect::Probe(LegId::Human(human))]
            }
            _ => vec![],
        }
    }

    /// Asks those again who have not been heard for a while.
    pub(super) fn ask_who_is_not_heard(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = vec![];
        if self.caller.is_due(now.now) {
            effects.push(Effect::Probe(LegId::Caller));
        }
        if let State::Connected { human, .. } = self.state
            && self.human.is_due(now.now)
        {
            effects.push(Effect::Probe(LegId::Human(human)));
        }
        effects
    }

    /// Who neither sounds nor answers is gone. Of a dialog that the peer does not know any more, the end
    /// is told next.
    pub(super) fn on_probed(&mut self, now: Now, leg: LegId, found: Liveness) -> Vec<Effect> {
        let unanswered = found == Liveness::Unanswered;
        match (&self.state, leg) {
            (State::Disconnected | State::Ringing { .. } | State::Pending, _) => vec![],
            (State::Transferring { .. }, LegId::Caller) => {
                self.on_transfer(now, transfer::Event::Probed(found))
            }
            (_, LegId::Caller) if unanswered && !self.caller.is_heard() => {
                self.hang_up("caller", "neither sound nor an answer came any more")
            }
            (State::Connected { human, .. }, LegId::Human(of)) if *human == of => {
                match found == Liveness::Gone || (unanswered && !self.human.is_heard()) {
                    true => self.human_vanished(of),
                    false => vec![],
                }
            }
            _ => vec![],
        }
    }

    /// The human's phone has lost its network, or its mind: the caller has not hung up, and is back with
    /// the agent.
    fn human_vanished(&mut self, human: u16) -> Vec<Effect> {
        let outcome = Outcome::TargetDropped;
        let reason = Some("neither sound nor an answer came any more".into());
        let mut effects = vec![
            self.record(Fact::TransferEnded { outcome, status: None, reason }),
            Effect::HangUpHuman(human, None),
        ];
        effects.extend(self.give_back(outcome));
        effects
    }

    pub(super) fn on_caller_gone(&mut self, now: Now, reason: Option<String>) -> Vec<Effect> {
        let mut effects = match &mut self.state {
            State::Disconnected => return vec![],
            State::Transferring { transfer, .. } => {
                let mut wanted = transfer.on(now.now, transfer::Event::CallerGone);
                // There is nobody left to hang up on.
                wanted.retain(|effect| *effect != transfer::Effect::Abandon);
                self.perform(now, wanted)
            }
            State::Connected { human, .. } => vec![Effect::HangUpHuman(*human, None)],
            _ => vec![],
        };
        self.state = State::Disconnected;
        effects.push(self.ended("caller", reason));
        effects.push(Effect::End);
        effects
    }

    pub(super) fn on_human_gone(&mut self, gone: u16, reason: Option<String>) -> Vec<Effect> {
        match self.state {
            State::Connected { human, .. } if human == gone => {
                self.state = State::Disconnected;
                vec![self.ended("human", reason), Effect::HangUpCaller, Effect::End]
            }
            _ => vec![],
        }
    }

    /// Ends the call from our side. `by`: on whose account.
    pub(super) fn hang_up(&mut self, by: &str, why: &str) -> Vec<Effect> {
        let mut effects = vec![];
        match &self.state {
            State::Disconnected => return vec![],
            State::Connected { human, .. } => effects.push(Effect::HangUpHuman(*human, None)),
            State::Transferring { transfer, .. } => {
                effects.extend(transfer.ringing().map(|human| Effect::HangUpHuman(human, None)));
            }
            _ => (),
        }
        self.state = State::Disconnected;
        effects.push(self.ended(by, Some(why.into())));
        effects.push(Effect::HangUpCaller);
        effects.push(Effect::End);
        effects
    }

    /// Whether the caller is heard is news to the transfer under way.
    fn tell_transfer(&mut self, now: Now) -> Vec<Effect> {
        let heard = self.caller.is_heard();
        match self.state {
            State::Transferring { .. } => {
                self.on_transfer(now, transfer::Event::CallerHeard(heard))
            }
            _ => vec![],
        }
    }
}
