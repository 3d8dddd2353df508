//! How late beats are, as a histogram that a media thread fills without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Eight buckets to each doubling, from 1 µs to 1 s: within 12 % of the truth.
const BUCKETS: usize = 8 * 21;

/// The histogram as it is filled: since the start, never reset.
#[derive(Debug)]
pub(super) struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Histogram(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    pub(super) fn record(&self, late: Duration) {
        self.0[bucket(late)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Lateness {
        Lateness(std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed)))
    }
}

/// How late beats were, counted.
#[derive(Clone, Debug)]
pub struct Lateness([u64; BUCKETS]);

impl Default for Lateness {
    fn default() -> Self {
        Lateness([0; BUCKETS])
    }
}

impl Lateness {
    /// How many beats there were.
    pub fn beats(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The lateness that this part of the beats (0 to 1) did not exceed, within 12 %; 1 is the worst.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.beats() as f64 * part).ceil().max(1.0) as u64;
        let mut beats = 0;
        for (index, count) in self.0.iter().enumerate() {
            beats += count;
            if beats >= wanted {
                return upper_bound(index);
            }
        }
        Duration::ZERO
    }

    pub(super) fn add(&mut self, other: &Lateness) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// The buckets that have grown since `earlier`: how late, and how often.
    pub(super) fn since<'a>(
        &'a self,
        earlier: &'a Lateness,
    ) -> impl Iterator<Item = (Duration, u64)> + 'a {
        let grown = self.0.iter().zip(&earlier.0).map(|(now, then)| now - then).enumerate();
        grown.filter(|&(_, count)| count > 0).map(|(index, count)| (upper_bound(index), count))
    }
}

/// 0 to 7 µs have a bucket each; above, a doubling has eight.
fn bucket(late: Duration) -> usize {
    let micros = late.as_micros().min(u128::from(u32::MAX)) as u64;
    if micros < 8 {
        return micros as usize;
    }
    let doubling = micros.ilog2() as usize;
    let eighth = (micros >> (doubling - 3)) as usize & 7;
    (8 * (doubling - 2) + eighth).min(BUCKETS - 1)
}

/// The longest lateness of a bucket.
fn upper_bound(index: usize) -> Duration {
    let (doubling, eighth) = (index / 8 + 2, index % 8);
    let micros = match index {
        0..8 => index as u64,
        _ => ((8 + eighth as u64 + 1) << (doubling - 3)) - 1,
    };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lateness_is_in_the_bucket_that_bounds_it() {
        for micros in (0..5000).chain([10_000, 47_123, 999_999, 1_048_575]) {
            let late = Duration::from_micros(micros);
            let bound = upper_bound(bucket(late));
            let error = (bound - late).as_secs_f64();
            assert!(error <= late.as_secs_f64() * 0.125, "{micros} µs in {bound:?}");
        }
        assert_eq!(bucket(Duration::from_secs(3600)), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_beats() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().quantile(0.99), Duration::ZERO);
        for _ in 0..98 {
            histogram.record(Duration::from_micros(3));
        }
        histogram.record(Duration::from_micros(7));
        histogram.record(Duration::from_micros(6));

        let late = histogram.read();
        let quantiles = [0.5, 0.98, 0.99, 1.0].map(|part| late.quantile(part).as_micros());
        assert_eq!((late.beats(), quantiles), (100, [3, 3, 6, 7]));
    }
}
