//! The largest of the newest residuals of a horizon.
//! It must not know their unit, nor what is made of them.

use serde::{Deserialize, Serialize};

/// Blocks that maxima are kept of. The oldest is given up whole.
const BLOCKS: usize = 8;
/// Residuals in a block.
const BLOCK: u64 = 64;

/// The largest of about the newest 512 numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LargestLately {
    /// Of each block, the newest first.
    blocks: [f64; BLOCKS],
    count: u64,
}

impl LargestLately {
    /// Takes in the size of a number.
    pub fn push(&mut self, size: f64) {
        if self.count.is_multiple_of(BLOCK) {
            self.blocks.rotate_right(1);
            self.blocks[0] = 0.0;
        }
        self.count += 1;
        self.blocks[0] = self.blocks[0].max(size);
    }

    /// Numbers so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest.
    pub fn largest(&self) -> f64 {
        self.blocks.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_forgotten_when_512_others_have_come() {
        let mut lately = LargestLately::default();
        lately.push(9.0);
        (0..448).for_each(|_| lately.push(1.0));
        assert_eq!((lately.largest(), lately.count()), (9.0, 449));
        (0..64).for_each(|_| lately.push(1.0));
        assert_eq!(lately.largest(), 1.0);
    }
}
