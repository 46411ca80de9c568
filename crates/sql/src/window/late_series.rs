//! Series of which every record is late: a device whose clock is behind loses all of them.
//! It must not change what comes out: it is only told, and so no part of a state.

use std::collections::HashMap;

use tickcast_stream::message::EventTime;
use tickcast_stream::{BehindFate, FarBehind};

/// So many late records in a row, and none on time between them, are worth a word.
const IN_A_ROW: u32 = 20;
/// Series that are watched at once, at most.
const WATCHED_MAX: usize = 1_000;

/// Watches until it has found one.
#[derive(Debug, Default)]
pub(super) struct LateSeries {
    /// Late records since the last one on time, by series.
    runs: HashMap<String, u32, foldhash::fast::RandomState>,
    found: Option<FarBehind>,
}

impl LateSeries {
    /// A record of a series is late; `latest` is the latest time of all.
    pub(super) fn late(&mut self, series: &str, at: EventTime, latest: EventTime) {
        if self.found.is_some() {
            return;
        }
        let is_known = self.runs.contains_key(series);
        if !is_known && self.runs.len() >= WATCHED_MAX {
            return;
        }

        let run = self.runs.entry(series.to_owned()).or_default();
        *run += 1;
        if *run >= IN_A_ROW {
            let (series, fate) = (series.to_owned(), BehindFate::Late(*run));
            self.found = Some(FarBehind { series, at, latest, fate });
            self.runs.clear();
        }
    }

    /// A record of a series is on time.
    #[inline]
    pub(super) fn on_time(&mut self, series: &str) {
        if !self.runs.is_empty() {
            self.runs.remove(series);
        }
    }

    /// The first that was found.
    pub(super) fn found(&self) -> Option<&FarBehind> {
        self.found.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_once_all_of_its_records_are_late() {
        let mut watch = LateSeries::default();
        let late =
            |watch: &mut LateSeries, series: &str, n: i64| watch.late(series, EventTime(n), EventTime(1000));
        for n in 0..100 {
            late(&mut watch, "now and then", n);
            if n % 19 == 0 {
                watch.on_time("now and then");
            }
        }
        assert_eq!(watch.found(), None);
        for n in 0..20 {
            late(&mut watch, "behind", n);
            watch.on_time("another");
        }
        let (series, fate) = ("behind".to_owned(), BehindFate::Late(20));
        let found = FarBehind { series, at: EventTime(19), latest: EventTime(1000), fate };
        assert_eq!(watch.found(), Some(&found));
        late(&mut watch, "another", 3);
        assert_eq!(watch.found(), Some(&found));
    }
}
