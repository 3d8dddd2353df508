//! How many calls a second the program takes.

use std::time::Duration;

use anyhow::Result;

use crate::load::{Load, Outcome};
use crate::program::server::Server;

/// Where the search begins, in calls a second, and where it ends.
const FIRST: u32 = 500;
const LAST: u32 = 8000;

/// How often the gap between a pace that was kept and one that was not is halved.
const HALVINGS: u32 = 3;

/// For how long each pace is tried.
const TRY_TIME: Duration = Duration::from_secs(4);

/// How often. Other programs of this machine may have made one try fail; none makes one succeed.
const TRIES: u32 = 2;

/// So much later than at the pace may SIPp end: one that is slower has not kept the pace itself.
const LATE_MAX: Duration = Duration::from_secs(1);

/// The search's outcome, in calls a second.
pub struct Pace {
    /// The highest that was kept; 0 if none was.
    pub kept: u32,
    /// The lowest above it that was not, and what happened then.
    pub lost: Option<(u32, String)>,
}

impl Pace {
    /// Doubles the pace until it is not kept, then halves the gap. Each try has a program of its own, whose
    /// ports have not been used yet.
    pub fn search(called: &str, start: impl Fn() -> Server) -> Result<Self> {
        let mut pace = Pace { kept: 0, lost: None };
        let mut next = FIRST;
        while pace.lost.is_none() && next <= LAST {
            pace.attempt(next, called, &start)?;
            next *= 2;
        }
        for _ in 0..HALVINGS {
            let Some((lost, _)) = pace.lost else { break };
            pace.attempt(pace.kept.midpoint(lost), called, &start)?;
        }
        Ok(pace)
    }

    fn attempt(&mut self, rate: u32, called: &str, start: &impl Fn() -> Server) -> Result<()> {
        let mut lost = None;
        for _ in 0..TRIES {
            let server = start();
            let load = Load {
                server: server.sip,
                called,
                calls: rate * TRY_TIME.as_secs() as u32,
                rate,
                hold: Duration::ZERO,
                patience: LATE_MAX,
            };
            lost = why_not(&load, &load.run()?);
            if lost.is_none() {
                self.kept = rate;
                return Ok(());
            }
        }
        self.lost = lost.map(|why| (rate, why));
        Ok(())
    }
}

/// Why the pace of this load was not kept. SIPp gives up when it is late.
fn why_not(load: &Load, outcome: &Outcome) -> Option<String> {
    let Outcome { successful, failed, retransmissions, .. } = outcome;
    let missing = f64::from(load.calls) - successful - failed;
    if *failed > 0.0 {
        Some(format!("{failed} of {} calls failed", load.calls))
    } else if missing > 0.0 {
        Some(format!("{missing} of {} calls were not over in time", load.calls))
    } else if *retransmissions > 0.0 {
        Some(format!("{retransmissions} messages were sent again"))
    } else {
        None
    }
}
