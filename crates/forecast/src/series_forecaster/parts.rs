//! What the parts of a series' forecasters take on the heap.
//! It must not know whole series.

use super::*;
use crate::heap::of;

impl SeriesForecaster {
    /// What its memory is for.
    pub const PARTS: [&'static str; 6] = [
        "experts",
        "forecasts that wait for their truth",
        "mixtures",
        "intervals",
        "means of phases",
        "features that wait for their truth",
    ];

    /// Bytes on the heap of one of the parts.
    pub fn heap(&self, part: &str) -> u64 {
        // The structs of all horizons lie in one piece.
        match Self::PARTS.iter().position(|own| *own == part) {
            Some(0) => of(&self.experts),
            Some(1) => self.each(|all| of(&all.pending) + size_of_val(&all.pending) as u64),
            Some(2) => self.each(|all| of(&all.mixture) + size_of_val(&all.mixture) as u64),
            Some(3) => self.each(|all| of(&all.interval) + size_of_val(&all.interval) as u64),
            Some(4) => of(&self.phases),
            _ => of(&self.features),
        }
    }

    fn each(&self, of: impl Fn(&HorizonForecaster) -> u64) -> u64 {
        self.horizons.iter().map(of).sum()
    }
}
