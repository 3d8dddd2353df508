//! The ports of media: random, even, and rested before they are used again.
//!
//! ```text
//!          take                 give back              REST later
//!   free ---------> in use ------------------> resting -----------> free
//! ```
//!
//! A peer may send to a port for a while after its call is over, and a stranger may guess at ports in
//! use; so a freed port rests, and the next one is drawn at random (RTP bleed). Each port is one
//! atomic number, so neither taking nor giving back waits for anybody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::gauge;

use super::{MediaSocket, Network, advertised_ip, now};

/// How long a freed port is not used.
pub const REST: Duration = Duration::from_secs(30);

/// How many ports are tried that another program turns out to hold, before we give up.
const BIND_TRIES: usize = 16;

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// Every port is in use or resting: the range is too small for the calls.
    #[error("all {count} media ports are in use or resting")]
    Exhausted {
        /// How many ports there are.
        count: usize,
    },
    /// The range has no even port.
    #[error("no even port in {} to {}", range.start(), range.end())]
    NoPorts {
        /// What was configured.
        range: RangeInclusive<u16>,
    },
    /// The operating system refused each port that was tried.
    #[error("cannot bind a media port on {ip}")]
    Refused {
        /// Where.
        ip: IpAddr,
        /// What it said last.
        #[source]
        cause: io::Error,
    },
}

/// The even ports of a range. Pure: the time is an argument, and the draw follows from the seed.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    /// For each port `FREE`, `IN_USE`, or the millisecond since `epoch` until which it rests.
    states: Box<[AtomicU64]>,
    epoch: Instant,
    draws: AtomicU64,
}

const FREE: u64 = 0;
const IN_USE: u64 = u64::MAX;

impl PortPool {
    /// The even ports of `range`, all free. No later call may name a time before `epoch`.
    pub fn new(range: RangeInclusive<u16>, seed: u64, epoch: Instant) -> Result<Self, PortsError> {
        let first = u32::from(*range.start()).next_multiple_of(2);
        let count = (u32::from(*range.end()) + 2).saturating_sub(first) / 2;
        // Port 0 means "any" to the operating system.
        let usable = first > 0 && count > 0;
        let first = u16::try_from(first).ok().filter(|_| usable);
        let Some(first) = first else { return Err(PortsError::NoPorts { range }) };
        let states = (0..count).map(|_| AtomicU64::new(FREE)).collect();
        Ok(PortPool { first, states, epoch, draws: AtomicU64::new(seed) })
    }

    /// Takes a port that is free or has rested, at random.
    pub fn take(&self, now: Instant) -> Result<u16, PortsError> {
        let (now, count) = (self.millis(now), self.states.len());
        let start = (self.draw() % count as u64) as usize;
        for offset in 0..count {
            let index = (start + offset) % count;
            let state = &self.states[index];
            let seen = state.load(Ordering::Relaxed);
            let rested = seen <= now;
            let taken =
                || state.compare_exchange(seen, IN_USE, Ordering::AcqRel, Ordering::Relaxed);
            if rested && taken().is_ok() {
                return Ok(self.first + 2 * index as u16);
            }
        }
        Err(PortsError::Exhausted { count })
    }

    /// Gives a port back, to rest. A port that was not taken stays as it is.
    pub fn give_back(&self, now: Instant, port: u16) {
        let offset = usize::from(port.wrapping_sub(self.first));
        let state = self.states.get(offset / 2).filter(|_| offset % 2 == 0);
        let Some(state) = state else { return };
        let rest_until = self.millis(now + REST);
        // The one who took it is the only one who gives it back, so failing means: it was not taken.
        state.compare_exchange(IN_USE, rest_until, Ordering::AcqRel, Ordering::Relaxed).ok();
    }

    /// How many ports are in use, and how many rest.
    pub fn count(&self, now: Instant) -> (usize, usize) {
        let now = self.millis(now);
        let states = self.states.iter().map(|state| state.load(Ordering::Relaxed));
        states.fold((0, 0), |(in_use, resting), state| match state {
            IN_USE => (in_use + 1, resting),
            until if until > now => (in_use, resting + 1),
            _ => (in_use, resting),
        })
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }

    /// The next number of the sequence that the seed names (SplitMix64, Steele et al. 2014).
    fn draw(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.draws.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Opens media sockets on ports of a pool. Cloning shares the pool.
#[derive(Clone)]
pub struct MediaPorts {
    network: Arc<dyn Network>,
    ip: IpAddr,
    advertised_ip: IpAddr,
    pool: Arc<PortPool>,
}

impl MediaPorts {
    /// Sockets of `network`, bound to `ip` (which may be all of them), on the even ports of `range`.
    /// `external_ip` is what peers reach them under, if it is not what they are bound to.
    pub fn new(
        network: Arc<dyn Network>,
        ip: IpAddr,
        external_ip: Option<IpAddr>,
        range: RangeInclusive<u16>,
        seed: u64,
    ) -> Result<Self, PortsError> {
        let pool = Arc::new(PortPool::new(range, seed, now())?);
        let advertised_ip = external_ip.unwrap_or_else(|| advertised_ip(&*network, ip));
        Ok(MediaPorts { network, ip, advertised_ip, pool })
    }

    /// The address to name in a session description, with the port of the socket.
    pub fn advertised_ip(&self) -> IpAddr {
        self.advertised_ip
    }

    /// Binds a socket. Dropping it gives its port back to the pool, where it rests.
    pub fn open(&self) -> Result<Box<dyn MediaSocket>, PortsError> {
        let mut tries = 1;
        loop {
            let lease = Lease { port: self.pool.take(now())?, pool: self.pool.clone() };
            match self.network.bind_media(SocketAddr::new(self.ip, lease.port)) {
                Ok(socket) => return Ok(Box::new(LeasedSocket { socket, _lease: lease })),
                // Another program has it. The lease rests, so the next draw is another port.
                Err(_) if tries < BIND_TRIES => tries += 1,
                Err(cause) => return Err(PortsError::Refused { ip: self.ip, cause }),
            }
        }
    }

    /// How many ports are in use, and how many rest.
    pub fn count(&self) -> (usize, usize) {
        self.pool.count(now())
    }

    /// Brings the gauges `media_ports_in_use` and `media_ports_resting` up to date; to be called
    /// when they are read, or every second.
    pub fn measure(&self) {
        let (in_use, resting) = self.count();
        gauge!("media_ports_in_use").set(in_use as f64);
        gauge!("media_ports_resting").set(resting as f64);
    }
}

/// A port of the pool for as long as this lives.
struct Lease {
    port: u16,
    pool: Arc<PortPool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(now(), self.port);
    }
}

struct LeasedSocket {
    /// Dropped before the lease, so that a port in the pool is closed.
    socket: Box<dyn MediaSocket>,
    _lease: Lease,
}

impl MediaSocket for LeasedSocket {
    fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv(buf)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.try_send(bytes, to)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::sim::{Conditions, SimNetwork};
    use super::*;

    #[test]
    fn range_gives_its_even_ports() {
        for (range, expected) in [
            (4000..=4003, vec![4000, 4002]),
            (4001..=4006, vec![4002, 4004, 4006]),
            (4000..=4000, vec![4000]),
            (65_532..=65_535, vec![65_532, 65_534]),
            (0..=3, vec![]),
            (4001..=4001, vec![]),
            (65_535..=65_535, vec![]),
            #[expect(clippy::reversed_empty_ranges)]
            (5000..=4000, vec![]),
        ] {
            let start = Instant::now();
            let ports: Vec<u16> = match PortPool::new(range.clone(), 1, start) {
                Ok(pool) => {
                    let taken = std::iter::from_fn(|| pool.take(start).ok());
                    taken.collect::<BTreeSet<_>>().into_iter().collect()
                }
                Err(_) => vec![],
            };
            assert_eq!(ports, expected, "{range:?}");
        }
    }

    #[test]
    fn no_port_is_taken_twice() {
        let start = Instant::now();
        let pool = PortPool::new(10_000..=10_199, 7, start).unwrap();

        let taken: BTreeSet<u16> = (0..100).map(|_| pool.take(start).unwrap()).collect();

        assert_eq!(taken.len(), 100);
        assert!(matches!(pool.take(start), Err(PortsError::Exhausted { count: 100 })));
    }

    #[test]
    fn freed_port_rests_thirty_seconds() {
        let start = Instant::now();
        let pool = PortPool::new(4000..=4000, 1, start).unwrap();
        let port = pool.take(start).unwrap();
        let freed = start + Duration::from_secs(100);

        pool.give_back(freed, port);

        for (millis, expected) in [(0, None), (29_999, None), (30_000, Some(4000))] {
            let at = freed + Duration::from_millis(millis);
            assert_eq!(pool.take(at).ok(), expected, "{millis} ms after");
        }
    }

    #[test]
    fn port_given_back_twice_or_by_a_stranger_changes_nothing() {
        let start = Instant::now();
        let pool = PortPool::new(4000..=4007, 1, start).unwrap();
        let port = pool.take(start).unwrap();

        pool.give_back(start, 2);
        pool.give_back(start, 9000);
        pool.give_back(start, port + 1);
        assert_eq!(pool.count(start), (1, 0));
        pool.give_back(start, port);
        pool.give_back(start + Duration::from_secs(20), port);

        assert_eq!(pool.count(start + Duration::from_secs(29)), (0, 1));
        assert_eq!(pool.count(start + Duration::from_secs(30)), (0, 0));
    }

    #[test]
    fn draw_follows_from_the_seed_and_jumps_about() {
        let draw = |seed| {
            let start = Instant::now();
            let pool = PortPool::new(16_384..=32_766, seed, start).unwrap();
            (0..20).map(|_| pool.take(start).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 100).count() > 15);
    }

    #[tokio::test(start_paused = true)]
    async fn port_of_another_program_is_stepped_over() {
        let network = SimNetwork::new(1, Conditions::PERFECT);
        let host = network.host("10.0.0.1".parse().unwrap());
        let _other = host.bind_media("10.0.0.1:4000".parse().unwrap()).unwrap();
        let anywhere = "0.0.0.0".parse().unwrap();
        let ports = MediaPorts::new(host, anywhere, None, 4000..=4003, 1).unwrap();
        assert_eq!(ports.advertised_ip().to_string(), "10.0.0.1");

        let socket = ports.open().unwrap();

        assert_eq!(socket.local_addr().port(), 4002);
        assert!(matches!(ports.open(), Err(PortsError::Exhausted { count: 2 })));
        drop(socket);
        tokio::time::sleep(REST).await;
        assert_eq!(ports.open().unwrap().local_addr().port(), 4002);
    }
}
