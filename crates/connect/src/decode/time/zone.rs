//! Time zones: their names, and the instant that a clock in one of them means.
//! It must not know how a time is written.
//!
//! The zones are those that are compiled in, never those of the machine: what a record becomes must
//! not depend on where it is read.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use super::civil::{MINUTE_US, SECOND_US};
use super::misread::Misread;
use super::spec::Ambiguous;

/// The zones that are compiled in.
fn database() -> &'static TimeZoneDatabase {
    static DATABASE: OnceLock<TimeZoneDatabase> = OnceLock::new();
    DATABASE.get_or_init(TimeZoneDatabase::bundled)
}

/// The zone of that name; else the nearest name, if any is near.
pub fn time_zone(name: &str) -> Result<TimeZone, Option<String>> {
    database().get(name).map_err(|_| nearest(name))
}

/// Case and the part before the slash are what is mostly missing: `berlin` is near `Europe/Berlin`.
fn nearest(name: &str) -> Option<String> {
    let lower = name.to_lowercase().replace(' ', "_");
    let near = database().available().map(|zone| {
        let known = zone.as_str().to_lowercase();
        let place = known.rsplit('/').next().unwrap_or(&known);
        let likeness = strsim::jaro_winkler(&lower, &known);
        // A place alone has to be nearer than a whole name.
        (likeness.max(strsim::normalized_damerau_levenshtein(&lower, place) - 0.05), zone)
    });
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.8).then(|| best.1.as_str().to_owned())
}

/// The instant at which the zone's clocks show `clock_us`; of two that one whose abbreviation is
/// said, else the one that `ambiguous` says.
pub(super) fn instant(
    clock_us: i64,
    zone: &TimeZone,
    said: Option<&str>,
    ambiguous: Ambiguous,
) -> Result<i64, Misread> {
    let shown = Timestamp::from_microsecond(clock_us).map_err(|_| Misread::OutOfRange)?;
    let shown = Offset::UTC.to_datetime(shown);
    let at = |offset: Offset| clock_us - i64::from(offset.seconds()) * SECOND_US;
    let is_said = |offset: Offset| {
        said.is_none_or(|said| {
            let at = Timestamp::from_microsecond(at(offset));
            at.is_ok_and(|at| zone.to_offset_info(at).abbreviation().eq_ignore_ascii_case(said))
        })
    };

    match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } if is_said(offset) => Ok(at(offset)),
        AmbiguousOffset::Unambiguous { .. } => Err(Misread::Abbreviation),
        AmbiguousOffset::Gap { .. } => Err(Misread::Skipped),
        AmbiguousOffset::Fold { before, after } => match (is_said(before), is_said(after)) {
            (true, false) => Ok(at(before)),
            (false, true) => Ok(at(after)),
            (false, false) => Err(Misread::Abbreviation),
            (true, true) => match ambiguous {
                Ambiguous::Earlier => Ok(at(before)),
                Ambiguous::Later => Ok(at(after)),
                Ambiguous::Reject => Err(Misread::Twice),
            },
        },
    }
}

/// The instant at which the zone's clocks show `clock_us` and are `offset_us` ahead of UTC, if
/// there is one. Before there were zones clocks were ahead by seconds too; an offset is written
/// without them.
pub(super) fn instant_ahead(clock_us: i64, zone: &TimeZone, offset_us: i64) -> Option<i64> {
    let at = Timestamp::from_microsecond(clock_us - offset_us).ok()?;
    let ahead_us = i64::from(zone.to_offset(at).seconds()) * SECOND_US;
    let is_cut = offset_us % MINUTE_US == 0 && (ahead_us - offset_us).abs() < MINUTE_US;
    (ahead_us == offset_us || is_cut).then_some(clock_us - ahead_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_does_not_exist_is_answered_with_the_nearest() {
        for (name, near) in [
            ("Europe/Belin", Some("Europe/Berlin")),
            ("Berlin", Some("Europe/Berlin")),
            ("new york", Some("America/New_York")),
            ("Asia/Calcuta", Some("Asia/Calcutta")),
            ("Mars/Olympus", None),
            ("", None),
        ] {
            assert_eq!(time_zone(name).unwrap_err().as_deref(), near, "{name}");
        }
        for name in ["Europe/Berlin", "europe/berlin", "UTC", "America/Argentina/Buenos_Aires"] {
            assert!(time_zone(name).is_ok(), "{name}");
        }
    }

    /// 2024-10-27 02:30 comes twice in Berlin, 2024-03-31 02:30 does not come.
    #[test]
    fn the_hour_that_comes_twice_and_the_one_that_does_not_come() {
        let berlin = time_zone("Europe/Berlin").unwrap();
        let twice = 1_729_996_200 * SECOND_US;
        let hour = 3600 * SECOND_US;
        let of = |said, ambiguous| instant(twice, &berlin, said, ambiguous);
        assert_eq!(of(None, Ambiguous::Reject), Err(Misread::Twice));
        assert_eq!(of(None, Ambiguous::Earlier), Ok(twice - 2 * hour));
        assert_eq!(of(None, Ambiguous::Later), Ok(twice - hour));
        assert_eq!(of(Some("CEST"), Ambiguous::Reject), Ok(twice - 2 * hour));
        assert_eq!(of(Some("CET"), Ambiguous::Reject), Ok(twice - hour));
        assert_eq!(of(Some("IST"), Ambiguous::Earlier), Err(Misread::Abbreviation));
        let skipped = 1_711_852_200 * SECOND_US;
        for ambiguous in [Ambiguous::Reject, Ambiguous::Earlier, Ambiguous::Later] {
            assert_eq!(instant(skipped, &berlin, None, ambiguous), Err(Misread::Skipped));
        }
    }
}
