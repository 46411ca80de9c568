//! Checks the `deduplicate` block.
//! It must not know which columns a record has.

use tickcast_sql::DeduplicateSpec;

use super::Checker;
use crate::config::raw::RawDeduplicate;
use crate::config::scalar::HOUR_US;

const COLUMNS_MAX: usize = 16;

impl Checker<'_> {
    /// Which records are the same; without the block each counts.
    pub fn deduplicate(&mut self, raw: Option<RawDeduplicate>) -> Option<DeduplicateSpec> {
        let raw = raw?;
        let path = "deduplicate.by";
        if let Some(by) = &raw.by {
            self.not_empty(path, by);
            self.not_longer(path, by, COLUMNS_MAX);
            self.distinct(path, by);
        }
        let within_us = raw.within.map_or(HOUR_US, |within| within.0);
        Some(DeduplicateSpec { by: raw.by.unwrap_or_default(), within_us })
    }
}
