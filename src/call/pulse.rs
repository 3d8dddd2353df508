//! Whether a party is still there: by its sound, and where that is missing, by asking.
//!
//! A phone that loses its network says no BYE. Its sound stops; but so does that of one that is muted,
//! sends nothing while nobody speaks, or holds us. So a party that is not heard is asked by OPTIONS in its
//! dialog (RFC 5057 §5.1), at once and then each minute.

use std::time::{Duration, Instant};

/// How often a party that is not heard is asked.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// One party's signs of life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    sounds: bool,
    holds: bool,
    ask_at: Option<Instant>,
}

impl Pulse {
    /// Of a party that is in the call from now on.
    pub fn begin(&mut self, now: Instant) {
        self.plan(now);
    }

    /// Its sound stopped, or came back. True if it is to be asked now.
    pub fn sounds(&mut self, now: Instant, sounds: bool) -> bool {
        self.sounds = sounds;
        self.plan(now);
        !sounds
    }

    /// It holds us, or came back.
    pub fn holds(&mut self, now: Instant, holds: bool) {
        self.holds = holds;
        self.plan(now);
    }

    /// Whether it has us on hold.
    pub fn is_holding(&self) -> bool {
        self.holds
    }

    /// Whether its voice reaches us: one who holds us may send music, and listens to somebody else.
    pub fn is_heard(&self) -> bool {
        self.sounds && !self.holds
    }

    /// Whether it is to be asked now. Said once: the next time is a minute later.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due {
            self.plan(now);
        }
        due
    }

    /// When [`is_due`](Self::is_due) will be true; `None` while it is heard.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    fn plan(&mut self, now: Instant) {
        self.ask_at = (!self.is_heard()).then_some(now + ASK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_is_asked_at_once_and_then_each_minute_until_it_is_heard() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pulse = Pulse::default();
        assert_eq!(pulse.poll_timeout(), None);
        pulse.begin(at(0));
        assert!(!pulse.sounds(at(1), true));
        assert!(pulse.is_heard());
        assert_eq!(pulse.poll_timeout(), None);

        assert!(pulse.sounds(at(10), false));
        assert!(!pulse.is_due(at(69)));
        assert!(pulse.is_due(at(70)));
        assert!(!pulse.is_due(at(70)));
        assert_eq!(pulse.poll_timeout(), Some(at(130)));
        pulse.sounds(at(80), true);
        assert!(!pulse.is_due(at(130)));
    }

    #[test]
    fn party_that_holds_is_not_heard_although_its_music_comes() {
        let start = Instant::now();
        let mut pulse = Pulse::default();
        pulse.begin(start);
        pulse.sounds(start, true);
        pulse.holds(start, true);
        assert!(!pulse.is_heard());
        assert!(pulse.is_due(start + ASK_EVERY));
        pulse.holds(start + ASK_EVERY, false);
        assert!(pulse.is_heard());
        assert_eq!(pulse.poll_timeout(), None);
    }
}
