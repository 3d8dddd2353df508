//! How many files the program may have open: each call has one socket a leg.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// What the program has open beside calls: connections, the store, logs.
const OTHERS: u64 = 200;

/// Asks for as many open files as `calls_max` calls of two legs need. The usual limit of 1024 would refuse
/// calls long before their number does; whoever starts the program may have set a harder one.
pub fn allow_for(calls_max: usize) {
    let needed = calls_max as u64 * 2 + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let wanted = Some(maximum.map_or(needed, |maximum| maximum.min(needed)));
    if let Err(why) = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }) {
        debug!(%why, "the limit of open files stays as it is");
    }
    let got = getrlimit(Resource::Nofile).current;
    if let Some(got) = got.filter(|got| *got < needed) {
        warn!(
            got,
            needed,
            "too few open files for calls_max: some calls may get 503; raise LimitNOFILE or `ulimit -n`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_raised_as_far_as_the_system_lets_it() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        allow_for(2000);
        let got = getrlimit(Resource::Nofile).current;
        let needed = 4000 + OTHERS;
        let expected = maximum.map_or(needed, |maximum| maximum.min(needed));
        assert!(got.is_none_or(|got| got >= expected), "{got:?}");
    }
}
