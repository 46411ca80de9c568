//! Checks which kind of windows there are, and that no key is there that has no meaning for them.
//! It must not know how windows of a length are laid out, nor what their rows are.

use tickcast_sql::WindowKind;

use super::Checker;
use crate::config::raw::{RawGapsWord, RawSession, RawWindow, TextOr};
use crate::config::scalar::DAY_US;

/// Without `max`, a session is as long as so many gaps, where that is more than a day.
const GAPS_MAX: i64 = 10;

impl Checker<'_> {
    /// Which windows.
    pub(super) fn kind(&mut self, raw: &RawWindow) -> WindowKind {
        let (kind, name) = match (&raw.session, raw.count) {
            (Some(session), _) => (self.session(session), "session"),
            (None, Some(count)) => (WindowKind::Count { records: count.0 as u64 }, "count"),
            (None, None) => return WindowKind::Grid(self.grid(raw)),
        };
        // A second kind is a fault of its own.
        if raw.tumbling.is_none() && raw.hopping.is_none() {
            self.without_meaning(raw, name);
        }
        kind
    }

    fn session(&mut self, raw: &RawSession) -> WindowKind {
        if raw.gap.is_none() && !self.has_broken_below("window.session.gap") {
            self.fault_with_help("window.session", "needs gap", "write it like { gap: 30m }");
        }
        let gap_us = raw.gap.map_or(DAY_US, |gap| gap.0);
        let max_us = raw.max.map_or(DAY_US.max(GAPS_MAX.saturating_mul(gap_us)), |max| max.0);
        if let (Some(gap), true) = (raw.gap, max_us < gap_us) {
            let [max, gap] = [max_us, gap.0].map(jiff::SignedDuration::from_micros);
            let message =
                format!("{max:#} is shorter than gap, {gap:#}: a session would end before its silence");
            self.fault_with_help("window.session.max", message, "write what is as long, or longer");
        }
        WindowKind::Session { gap_us, max_us }
    }

    /// Says so for every key that windows of a series' own have no use for.
    fn without_meaning(&mut self, raw: &RawWindow, kind: &str) {
        let is_count = kind == "count";
        let has_gaps = !matches!(raw.gaps, None | Some(TextOr::Text(RawGapsWord::Auto)));
        let begins = "such windows begin with a record of their series";
        let orders = "such windows count records as they come, and none is late";

        let keys = [
            ("zone", raw.zone.is_some(), begins),
            ("offset", raw.offset.is_some(), begins),
            ("stamps", raw.stamps.is_some(), begins),
            ("gaps", has_gaps, "no such window is silent"),
            ("lateness", is_count && raw.lateness.is_some(), orders),
            ("watermark", is_count && raw.watermark.is_some(), orders),
            ("idle", is_count && raw.idle.is_some(), "such windows close with a record, at no time"),
        ];

        for (key, is_given, why) in keys {
            if is_given {
                let message = format!("has no meaning with {kind}: {why}");
                self.fault_with_help(&format!("window.{key}"), message, "leave it out");
            }
        }
    }
}
