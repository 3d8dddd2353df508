//! What is known of a network's jitter: the fastest and the slowest transit of the last seconds.

use std::time::Duration;

/// Jitter is remembered in blocks, so that forgetting the oldest costs nothing.
pub(super) const BLOCK: Duration = Duration::from_millis(500);
/// So many of them: 4 s. A single spike deepens the buffer for so long.
const BLOCKS: usize = 8;

/// The extremes of the transits that were seen, block by block.
#[derive(Debug, Default)]
pub(super) struct Transits {
    blocks: [Option<Block>; BLOCKS],
}

#[derive(Clone, Copy, Debug)]
struct Block {
    number: i64,
    fastest: i64,
    slowest: i64,
}

impl Transits {
    /// Adds the transit of a packet that arrived at `at`; `block` is the length of a block. All in
    /// clock units.
    pub(super) fn add(&mut self, at: i64, transit: i64, block: i64) {
        let number = at / block;
        let place = &mut self.blocks[number.rem_euclid(BLOCKS as i64) as usize];
        match place {
            Some(block) if block.number == number => {
                block.fastest = block.fastest.min(transit);
                block.slowest = block.slowest.max(transit);
            }
            _ => *place = Some(Block { number, fastest: transit, slowest: transit }),
        }
        // A block that was not overwritten in its turn, because nothing came then, is as old as the
        // others.
        for place in &mut self.blocks {
            if place.is_some_and(|block| block.number <= number - BLOCKS as i64) {
                *place = None;
            }
        }
    }

    /// The transit of the fastest packet.
    pub(super) fn fastest(&self) -> i64 {
        self.blocks.iter().flatten().map(|block| block.fastest).min().unwrap_or(0)
    }

    /// How much later than the fastest packet the slowest came.
    pub(super) fn spread(&self) -> i64 {
        let slowest = self.blocks.iter().flatten().map(|block| block.slowest).max().unwrap_or(0);
        slowest - self.fastest()
    }

    /// Whether too little has been seen to trust in it: less than two blocks.
    pub(super) fn is_young(&self) -> bool {
        self.blocks.iter().flatten().count() < 2
    }
}
