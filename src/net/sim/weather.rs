//! What happens to a datagram on its way: pure, from a seed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What one direction between two hosts does to datagrams. Chances are from 0 (never) to 1 (always).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The chance that a datagram is lost.
    pub loss: f64,
    /// The chance that it comes twice.
    pub duplicate: f64,
    /// The chance that it is held back by another [`delay`](Self::delay) and [`jitter`](Self::jitter),
    /// so that what was sent later overtakes it.
    pub reorder: f64,
    /// How long every datagram takes at least.
    pub delay: Duration,
    /// How much longer one may take, evenly spread.
    pub jitter: Duration,
}

impl Conditions {
    /// Nothing is lost and nothing takes time.
    pub const PERFECT: Conditions = Conditions {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
    };

    /// A cable in the same building.
    pub const LOCAL: Conditions =
        Conditions { delay: Duration::from_millis(1), ..Conditions::PERFECT };

    /// A crowded wireless network: what a sweep over seeds is run in.
    pub const POOR: Conditions = Conditions {
        loss: 0.05,
        duplicate: 0.02,
        reorder: 0.05,
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(30),
    };

    /// The cable is cut.
    pub const CUT: Conditions = Conditions { loss: 1.0, ..Conditions::PERFECT };
}

/// How long each copy of a datagram takes; none: it is lost.
pub(super) type Delays = [Option<Duration>; 2];

/// The weather everywhere.
pub(super) struct Weather {
    seed: u64,
    usual: Conditions,
    directions: BTreeMap<(IpAddr, IpAddr), Direction>,
}

struct Direction {
    conditions: Conditions,
    random: StdRng,
}

impl Weather {
    pub(super) fn new(seed: u64, usual: Conditions) -> Self {
        Weather { seed, usual, directions: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, from: IpAddr, to: IpAddr, conditions: Conditions) {
        self.direction(from, to).conditions = conditions;
    }

    /// Decides what happens to the next datagram.
    pub(super) fn draw(&mut self, from: IpAddr, to: IpAddr) -> Delays {
        let Direction { conditions, random } = self.direction(from, to);
        // Every draw is made whatever the others say, so that a condition that changes leaves the
        // rest of the sequence as it was.
        let lost = random.random_bool(conditions.loss);
        let twice = random.random_bool(conditions.duplicate);
        let held_back = random.random_bool(conditions.reorder);
        let [first, second, more] = [(); 3].map(|()| conditions.jitter.mul_f64(random.random()));
        if lost {
            return [None, None];
        }
        let held_back = if held_back { conditions.delay + more } else { Duration::ZERO };
        let first = conditions.delay + first + held_back;
        [Some(first), twice.then(|| conditions.delay + second)]
    }

    fn direction(&mut self, from: IpAddr, to: IpAddr) -> &mut Direction {
        let (seed, conditions) = (self.seed, self.usual);
        self.directions.entry((from, to)).or_insert_with(|| {
            let random = StdRng::seed_from_u64(seed ^ hash(from).rotate_left(1) ^ hash(to));
            Direction { conditions, random }
        })
    }
}

/// A number for an address that is the same in every run (FNV-1a).
fn hash(ip: IpAddr) -> u64 {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
