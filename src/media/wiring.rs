//! Who hears whom.
//!
//! | wiring        | caller hears | human hears   | agent hears   |
//! |---------------|--------------|---------------|---------------|
//! | `CONVERSING`  | agent        | -             | caller        |
//! | `HOLDING`     | hold         | -             | -             |
//! | `BRIEFING`    | hold         | agent         | human         |
//! | `INTRODUCING` | human, agent | caller, agent | caller, human |
//! | `SUPERVISED`  | human        | caller        | caller, human |
//! | `BRIDGED`     | human        | caller        | -             |

use Party::{Agent, Caller, Human};

/// A port of a bridge: one that speaks and hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// The one who called.
    Caller,
    /// The one who takes over.
    Human,
    /// The AI.
    Agent,
}

/// What can be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The voice of a party.
    Voice(Party),
    /// Hold music.
    Hold,
}

/// What each party hears. A party hears the sum of its sources, and never itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wiring {
    /// What the caller hears.
    pub caller: &'static [Source],
    /// What the human hears.
    pub human: &'static [Source],
    /// What the agent hears.
    pub agent: &'static [Source],
}

const HOLD: Source = Source::Hold;
const CALLER: Source = Source::Voice(Caller);
const HUMAN: Source = Source::Voice(Human);
const AGENT: Source = Source::Voice(Agent);

#[rustfmt::skip]
impl Wiring {
    /// The agent serves the caller.
    pub const CONVERSING: Wiring  = Wiring { caller: &[AGENT],        human: &[],              agent: &[CALLER] };
    /// The caller waits while a phone rings.
    pub const HOLDING: Wiring     = Wiring { caller: &[HOLD],         human: &[],              agent: &[] };
    /// The agent tells the human, in private, why the caller is here.
    pub const BRIEFING: Wiring    = Wiring { caller: &[HOLD],         human: &[AGENT],         agent: &[HUMAN] };
    /// The agent introduces the two to each other.
    pub const INTRODUCING: Wiring = Wiring { caller: &[HUMAN, AGENT], human: &[CALLER, AGENT], agent: &[CALLER, HUMAN] };
    /// The agent listens and helps on the human's screen; nobody hears it.
    pub const SUPERVISED: Wiring  = Wiring { caller: &[HUMAN],        human: &[CALLER],        agent: &[CALLER, HUMAN] };
    /// The agent has left.
    pub const BRIDGED: Wiring     = Wiring { caller: &[HUMAN],        human: &[CALLER],        agent: &[] };
}

impl Wiring {
    /// What a party hears.
    pub fn heard_by(&self, party: Party) -> &'static [Source] {
        match party {
            Caller => self.caller,
            Human => self.human,
            Agent => self.agent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Wiring; 6] = [
        Wiring::CONVERSING,
        Wiring::HOLDING,
        Wiring::BRIEFING,
        Wiring::INTRODUCING,
        Wiring::SUPERVISED,
        Wiring::BRIDGED,
    ];

    #[test]
    fn nobody_hears_themselves() {
        for wiring in ALL {
            for party in [Caller, Human, Agent] {
                assert!(!wiring.heard_by(party).contains(&Source::Voice(party)), "{wiring:?}");
            }
        }
    }

    #[test]
    fn caller_always_hears_somebody() {
        assert!(ALL.iter().all(|wiring| !wiring.caller.is_empty()));
    }
}
