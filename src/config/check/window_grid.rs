//! Checks how windows are laid out: their length, on whose clock, and from where on.
//! It must not know what their rows are.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tickcast_forecast::{CalendarUnit, CalendarUnits, WindowGrid};

use super::Checker;
use crate::config::raw::{RawHopping, RawWindow};
use crate::config::scalar::DAY_US;
use crate::config::window_length::WindowLength;

/// Where to look for how far clocks of a zone differ from UTC: what was before was no whole number
/// of minutes.
const SINCE_S: i64 = 631_152_000;
const CHANGES_MAX: usize = 200;
/// Panes of a window that overlaps with others.
const PANES_MAX: i64 = 10_000;

/// What moves windows: the clock of a zone, where one is given, and by how much.
struct Origin {
    zone: Option<TimeZone>,
    offset_us: i64,
}

/// How long windows are, and from the start of one to that of the next.
struct Lengths {
    size: WindowLength,
    every: WindowLength,
    /// The key that says so.
    path: &'static str,
}

impl Checker<'_> {
    /// Where windows begin and end.
    pub(super) fn grid(&mut self, raw: &RawWindow) -> WindowGrid {
        let zone = raw.zone.as_deref().and_then(|name| self.zone("window.zone", name));
        let origin = Origin { zone, offset_us: raw.offset.map_or(0, |offset| offset.0) };
        let day = WindowLength::Time(DAY_US);
        let lengths = match &raw.hopping {
            Some(hopping) => self.hopping(hopping),
            None => {
                let size = raw.tumbling.unwrap_or(day);
                Lengths { size, every: size, path: "window.tumbling" }
            }
        };

        let every = self.units(lengths.every, lengths.path);
        let size = lengths.size.count();
        let pane = greatest_common_divisor(size, every.count());
        let (span, hop) = (size / pane, every.count() / pane);
        if span > PANES_MAX {
            let message = format!("a window has {span} times what it has in common with every");
            let help = format!("at most {PANES_MAX} times");
            self.fault_with_help("window.hopping.size", message, &help);
        }
        let panes = match every {
            WindowLength::Time(us) => self.of_time(pane, us, origin),
            WindowLength::Weeks(_) => origin.calendar(CalendarUnit::Week),
            WindowLength::Months(_) => origin.calendar(CalendarUnit::Months(pane as u32)),
        };
        panes.grouped(span, hop)
    }

    /// Windows that overlap.
    fn hopping(&mut self, raw: &RawHopping) -> Lengths {
        let help = "write it like { size: 6h, every: 1h }";
        let size = self.needed(raw.size, "window.hopping.size", help);
        let every = self.needed(raw.every, "window.hopping.every", help);
        let path = "window.hopping.every";
        let Some((size, every)) = size.zip(every) else {
            let day = WindowLength::Time(DAY_US);
            return Lengths { size: day, every: day, path };
        };

        if std::mem::discriminant(&size) != std::mem::discriminant(&every) {
            let message = format!("{every} and {size} are of different units");
            self.fault_with_help(path, message, "write both as a time, as weeks, or as months");
            return Lengths { size: every, every, path };
        }
        if every.count() > size.count() {
            let message =
                format!("{every} is longer than a window, {size}: records between two would be in none");
            self.fault_with_help(path, message, "write what is as long, or shorter");
            return Lengths { size: every, every, path };
        }
        Lengths { size, every, path }
    }

    fn needed(&mut self, raw: Option<WindowLength>, path: &str, help: &str) -> Option<WindowLength> {
        if raw.is_none() && !self.broken.contains(path) {
            self.fault_with_help(
                "window.hopping",
                format!("needs {}", &path["window.hopping.".len()..]),
                help,
            );
        }
        raw
    }

    /// A length of which it is said where each begins; another one is a fault.
    fn units(&mut self, length: WindowLength, path: &str) -> WindowLength {
        match length {
            WindowLength::Weeks(weeks) if weeks != 1 => {
                let help = format!("write 1w, or {}d and offset", weeks.saturating_mul(7));
                self.fault_with_help(path, format!("{length}: which weeks go together is not said"), &help);
                WindowLength::Weeks(1)
            }
            WindowLength::Months(months) if 12 % months != 0 => {
                let message = format!("{length}: a year has no whole number of them");
                self.fault_with_help(path, message, "write 1mo, 2mo, 1q, 4mo, 6mo or 1y");
                WindowLength::Months(1)
            }
            length => length,
        }
    }

    /// Panes of a length in time, of windows that begin so often: on the clock of a zone those are
    /// local days.
    fn of_time(&mut self, us: i64, every_us: i64, origin: Origin) -> WindowGrid {
        let origin_us = origin.offset_us.rem_euclid(every_us);
        let Some(zone) = &origin.zone else { return WindowGrid::fixed(us, origin_us) };
        let length = WindowLength::Time(us);
        if us % DAY_US == 0
            && let Ok(days) = u32::try_from(us / DAY_US)
        {
            return origin.calendar(CalendarUnit::Days(days));
        }

        if us > DAY_US {
            let message = format!("on a local clock windows of {length} are no whole days");
            self.fault_with_help("window.zone", message, "write whole days like 2d, or leave zone out");
        } else if !differs_by_whole(zone, us) {
            let message = format!("windows of {length} cannot begin at the same local times all year");
            let help =
                "zone is for days and longer; leave it out, and write offset to move where windows begin";
            self.fault_with_help("window.zone", message, help);
        }
        WindowGrid::fixed(us, origin_us)
    }
}

impl Origin {
    fn calendar(self, unit: CalendarUnit) -> WindowGrid {
        let zone = self.zone.unwrap_or(TimeZone::UTC);
        WindowGrid::calendar(CalendarUnits { unit, zone, offset_us: self.offset_us })
    }
}

/// Of two numbers > 0.
fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.max(1) } else { greatest_common_divisor(b, a % b) }
}

/// Whether the clocks of a zone always differ from UTC by a multiple of this: then windows of this
/// length begin at the same local times with and without it.
fn differs_by_whole(zone: &TimeZone, us: i64) -> bool {
    let since = Timestamp::from_second(SINCE_S).unwrap_or(Timestamp::UNIX_EPOCH);
    let changes = zone.following(since).take(CHANGES_MAX).map(|change| change.offset());
    let mut offsets = std::iter::once(zone.to_offset(since)).chain(changes);
    offsets.all(|offset| i64::from(offset.seconds()) * 1_000_000 % us == 0)
}
