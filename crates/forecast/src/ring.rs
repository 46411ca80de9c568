//! Many numbers, of which the newer count more, and their quantiles.
//! It must not know what the numbers are.
//!
//! The numbers are kept in their order, as halves. Once there are [`LEN`], one goes for each that
//! comes, whatever its age. So a number stays for 256 others in the mean, and counts `exp(-age /
//! 256)`: as much as 512 numbers that are forgotten at once, in a quarter of the memory, for no
//! order of arrival is kept.
//!
//! Which one goes is the next multiple of the golden ratio, as a share of the order. Those that go
//! are spread evenly over all that are there. So the quantiles of those that stay are the same, and
//! hardly noisier for it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::{half, le_blob};

use crate::room;

/// Most numbers kept.
const LEN: usize = 256;
/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 2_654_435_769;

/// Numbers of which the newer count more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    /// Keys of halves, ascending.
    #[serde(with = "le_blob")]
    sorted: Vec<u16>,
    /// Where somebody asks how it was without them.
    newest: Option<Box<Newest>>,
    /// Numbers that went.
    gone: u32,
}

/// Some of the newest numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Newest {
    /// The newest last.
    #[serde(with = "le_blob")]
    keys: VecDeque<u16>,
    /// How many.
    most: u32,
}

impl Ring {
    /// A ring of these. `newest`: how many of those to come it can leave out.
    pub fn of(numbers: impl Iterator<Item = f32>, newest: u32) -> Self {
        let mut sorted: Vec<u16> = numbers.map(key_of).collect();
        sorted.sort_unstable();
        sorted.shrink_to_fit();
        let newest = (newest > 0).then(|| Box::new(Newest { keys: VecDeque::new(), most: newest }));
        Ring { sorted, newest, gone: 0 }
    }

    /// Takes in a number; of too many one goes.
    pub fn push(&mut self, number: f32) {
        let key = key_of(number);
        if self.sorted.len() >= LEN {
            self.gone = self.gone.wrapping_add(1);
            let share = u64::from(self.gone.wrapping_mul(GOLDEN));
            self.sorted.remove(((share * self.sorted.len() as u64) >> 32) as usize);
        }
        room::for_one_more(&mut self.sorted, LEN);
        let at = self.sorted.partition_point(|&other| other < key);
        self.sorted.insert(at, key);

        if let Some(Newest { keys, most }) = self.newest.as_deref_mut() {
            if keys.len() == *most as usize {
                keys.pop_front();
            }
            keys.push_back(key);
        }
    }

    /// Where a number stands among all but the newest `without` of them, in (0, 1).
    pub fn share_below(&self, number: f32, without: usize) -> f64 {
        let key = key_of(number);
        let below = self.sorted.partition_point(|&other| other < key);
        let up_to = self.sorted.partition_point(|&other| other <= key);
        let newest = || self.newest.iter().flat_map(|newest| newest.keys.iter().rev()).take(without);
        let newer =
            newest().filter(|&&other| other < key).count() + newest().filter(|&&other| other <= key).count();
        let rest = self.sorted.len().saturating_sub(newest().count()).max(1);
        // One of the newest may have gone.
        let twice_below = (below + up_to).saturating_sub(newer).min(2 * rest);
        (0.5 * twice_below as f64 + 0.5) / (rest + 1) as f64
    }

    /// The quantile p: linear between order statistics at i / (n + 1).
    pub fn quantile(&self, p: f64) -> f64 {
        let sorted = &self.sorted;
        let rank = (p * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, (sorted.len() - 1) as f64);
        let (low, part) = (rank.floor() as usize, rank.fract());
        let high = (low + 1).min(sorted.len() - 1);
        let [low, high] = [sorted[low], sorted[high]].map(|key| f64::from(half::value(half::at_key(key))));
        low + part * (high - low)
    }
}

fn key_of(number: f32) -> u16 {
    half::key(half::of(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(n: u64) -> f32 {
        let x = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (x >> 40) as f32 / (1u32 << 24) as f32
    }

    fn of(numbers: impl Iterator<Item = f32>) -> Ring {
        let mut ring = Ring::of(std::iter::empty(), 3);
        numbers.for_each(|number| ring.push(number));
        ring
    }

    #[test]
    fn a_few_are_all_there_in_their_order() {
        let ring = of([3.0, -1.0, 0.5, -2.5, 3.0].into_iter());
        let quantiles = [0.0, 1.0 / 6.0, 0.25, 0.5, 5.0 / 6.0, 1.0].map(|p| ring.quantile(p));
        assert_eq!(quantiles, [-2.5, -2.5, -1.75, 0.5, 3.0, 3.0]);
        assert_eq!(
            [0, 1, 3].map(|without| ring.share_below(3.0, without)),
            [4.5 / 6.0, 4.0 / 5.0, 2.0 / 3.0]
        );
        assert_eq!(ring.share_below(-9.0, 0), 0.5 / 6.0);
    }

    #[test]
    fn it_grows_with_its_numbers_to_its_bound() {
        let mut ring = of(std::iter::empty());
        for n in 0..2000 {
            ring.push(draw(n));
            let len = (n as usize + 1).min(LEN);
            assert!(ring.sorted.len() == len && ring.sorted.is_sorted());
            assert!(ring.sorted.capacity() <= (len + len / 2 + 8).min(LEN));
        }
    }

    #[test]
    fn what_was_is_forgotten_with_its_age() {
        let mut ring = of((0..1000).map(|_| 1.0));
        for age in [256, 512, 768] {
            (0..256).for_each(|_| ring.push(0.0));
            let kept = ring.sorted.iter().filter(|&&key| key == key_of(1.0)).count() as f64 / LEN as f64;
            assert!((kept - (-f64::from(age) / 256.0).exp()).abs() < 0.03, "{age}: {kept}");
        }
    }

    /// The error of a quantile of 256 independent numbers would be 0.019 for 0.9, of 512 0.013.
    #[test]
    fn quantiles_are_as_good_as_those_of_the_newest_512() {
        for p in [0.05, 0.5, 0.9] {
            let (mut ring, mut square) = (of(std::iter::empty()), 0.0);
            for n in 0..40_000 {
                ring.push(draw(n));
                square += if n < 2000 { 0.0 } else { (ring.quantile(p) - p).powi(2) };
            }
            let (error, of_512) = ((square / 38_000.0).sqrt(), (p * (1.0 - p) / 512.0).sqrt());
            assert!(error < 1.15 * of_512, "{p}: {error} {of_512}");
        }
    }

    #[test]
    fn its_state_comes_back() {
        let mut ring = of((0..700).map(draw));
        let mut again: Ring = postcard::from_bytes(&postcard::to_stdvec(&ring).unwrap()).unwrap();
        (700..900).for_each(|n| [&mut ring, &mut again].iter_mut().for_each(|ring| ring.push(draw(n))));
        assert_eq!(ring, again);
    }
}
