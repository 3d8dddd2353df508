//! How many calls a second the program takes.

use std::time::Duration;

use anyhow::Result;

use crate::load::{Load, Outcome};
use crate::program::server::Server;

/// Where the search begins, in calls a second, and where it ends.
const FIRST: u32 = 250;
const LAST: u32 = 8000;

/// How often the gap between a pace that was kept and one that was not is halved.
const HALVINGS: u32 = 3;

/// For how long each pace is tried.
const TRY_TIME: Duration = Duration::from_secs(4);

/// How often. Other programs of this machine may have made one try fail; none makes one succeed.
const TRIES: u32 = 2;

/// SIPp may end that much later than at its pace, and one that is slower has not tried the pace.
const LATE_MAX: Duration = Duration::from_millis(500);

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
        for _ in 0..TRIES {
            let server = start();
            let calls = rate * TRY_TIME.as_secs() as u32;
            let hold = Duration::ZERO;
            let load =
                Load { server: server.sip, called, calls, rate, hold, direction: "sendrecv" };
            match why_not(&load, &load.run()?) {
                None => {
                    self.kept = rate;
                    return Ok(());
                }
                Some(why) => self.lost = Some((rate, why)),
            }
        }
        Ok(())
    }
}

/// Why the pace of this load was not kept.
fn why_not(load: &Load, outcome: &Outcome) -> Option<String> {
    let Outcome { failed, retransmissions, took, .. } = outcome;
    let late = took.saturating_sub(load.time());
    if *failed > 0.0 {
        Some(format!("{failed} of {} calls failed", load.calls))
    } else if *retransmissions > 0.0 {
        Some(format!("{retransmissions} messages were sent again"))
    } else if late > LATE_MAX {
        Some(format!("the calls took {:.1} s too long", late.as_secs_f64()))
    } else {
        None
    }
}
