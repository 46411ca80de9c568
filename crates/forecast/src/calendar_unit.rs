//! Local days, ISO weeks and real months, numbered one after the other on the clock of a zone.
//! It must not know windows, nor the pipeline file.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::time::EventTime;

/// Days from the Unix epoch back to the Monday before it, a Thursday.
const EPOCH_WEEKDAY: i64 = 3;
const EPOCH: Date = Date::constant(1970, 1, 1);
const DAY_US: i64 = 86_400_000_000;

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    /// So many days, counted from 1970-01-01.
    Days(u32),
    /// An ISO week, from Monday to Sunday.
    Week,
    /// So many months, counted from January 1970: 3 are a quarter, 12 a year.
    Months(u32),
}

impl CalendarUnit {
    /// Its length on the average, in microseconds.
    pub fn mean_us(self) -> i64 {
        match self {
            CalendarUnit::Days(days) => i64::from(days) * DAY_US,
            CalendarUnit::Week => 7 * DAY_US,
            // 400 years have 146,097 days.
            CalendarUnit::Months(months) => i64::from(months) * (146_097 * DAY_US / 4800),
        }
    }

    /// The number of the unit that holds a date.
    fn number_of(self, date: Date) -> i64 {
        match self {
            CalendarUnit::Days(days) => days_of(date).div_euclid(days.max(1).into()),
            CalendarUnit::Week => (days_of(date) + EPOCH_WEEKDAY).div_euclid(7),
            CalendarUnit::Months(months) => {
                let month = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1;
                month.div_euclid(months.max(1).into())
            }
        }
    }

    /// The first date of a unit; none where the calendar has no such date.
    fn first_date(self, number: i64) -> Option<Date> {
        match self {
            CalendarUnit::Days(days) => date_of(number.checked_mul(days.into())?),
            CalendarUnit::Week => date_of(number.checked_mul(7)?.checked_sub(EPOCH_WEEKDAY)?),
            CalendarUnit::Months(months) => {
                let month = number.checked_mul(months.into())?;
                let year = i16::try_from(month.div_euclid(12).checked_add(1970)?).ok()?;
                Date::new(year, (month.rem_euclid(12) + 1) as i8, 1).ok()
            }
        }
    }
}

/// Days from the Unix epoch to a date.
fn days_of(date: Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

fn date_of(days: i64) -> Option<Date> {
    EPOCH.checked_add(SignedDuration::try_from_hours(days.checked_mul(24)?)?).ok()
}

/// The units of a calendar as spans of time: each begins at the first moment of its first date in
/// the zone, moved by an offset on the local clock.
#[derive(Debug, Clone, PartialEq)]
pub struct CalendarUnits {
    /// What is counted.
    pub unit: CalendarUnit,
    /// Whose clock.
    pub zone: TimeZone,
    /// How much later than midnight a unit begins, on that clock, in microseconds.
    pub offset_us: i64,
}

impl CalendarUnits {
    /// The number of the unit that holds a time.
    pub fn number_of(&self, time: EventTime) -> i64 {
        let local = self.zone.to_datetime(timestamp(time));
        let moved = local.saturating_sub(SignedDuration::from_micros(self.offset_us));
        let number = self.unit.number_of(moved.date());
        // A clock that is put back shows times before the next unit that are after its beginning.
        if self.start_of(number + 1) <= time { number + 1 } else { number }
    }

    /// When a unit begins. Beyond the years that the calendar knows all begin at its end.
    pub fn start_of(&self, number: i64) -> EventTime {
        let limit = if number < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let start = || {
            let midnight = self.unit.first_date(number)?.to_datetime(Time::midnight());
            let local = midnight.checked_add(SignedDuration::from_micros(self.offset_us)).ok()?;
            self.first_moment(local)
        };
        EventTime(start().unwrap_or(limit).as_microsecond())
    }

    /// When the local clock first shows this time or a later one: where it is put back, the earlier
    /// of two moments, and where it leaves the time out, the moment when it is put forward.
    fn first_moment(&self, local: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => {
                let before = ambiguous.earlier().ok()?;
                self.zone.following(before).next().map(|change| change.timestamp())
            }
            _ => ambiguous.compatible().ok(),
        }
    }
}

fn timestamp(time: EventTime) -> Timestamp {
    let limit = if time.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(time.0).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    fn units(unit: CalendarUnit, zone: &str, offset_us: i64) -> CalendarUnits {
        CalendarUnits { unit, zone: TimeZoneDatabase::bundled().get(zone).unwrap(), offset_us }
    }

    fn at(text: &str) -> EventTime {
        EventTime(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    const HOUR_US: i64 = 3_600_000_000;

    /// The hours of the unit that holds a time.
    fn hours(units: &CalendarUnits, text: &str) -> i64 {
        let number = units.number_of(at(text));
        let (start, end) = (units.start_of(number), units.start_of(number + 1));
        assert!(start <= at(text) && at(text) < end);
        assert_eq!((end.0 - start.0) % HOUR_US, 0);
        (end.0 - start.0) / HOUR_US
    }

    #[test]
    fn local_days_have_23_24_or_25_hours() {
        let days = units(CalendarUnit::Days(1), "America/New_York", 0);
        let of = |text| hours(&days, text);
        assert_eq!([of("2024-03-09T12:00:00Z"), of("2024-03-10T12:00:00Z")], [24, 23]);
        assert_eq!([of("2024-11-03T12:00:00Z"), of("2024-11-04T12:00:00Z")], [25, 24]);
        let number = days.number_of(at("2024-03-10T05:00:00Z"));
        assert_eq!(days.start_of(number), at("2024-03-10T05:00:00Z"), "midnight in New York");
        assert_eq!(days.number_of(at("2024-03-10T04:59:59.999999Z")), number - 1);
    }

    #[test]
    fn gas_days_begin_at_six_on_the_local_clock_on_both_sides_of_a_change() {
        let days = units(CalendarUnit::Days(1), "Europe/Berlin", 6 * HOUR_US);
        let number = days.number_of(at("2024-03-31T12:00:00Z"));
        assert_eq!(days.start_of(number - 1), at("2024-03-30T05:00:00Z"));
        assert_eq!(days.start_of(number), at("2024-03-31T04:00:00Z"));
        assert_eq!(hours(&days, "2024-03-30T12:00:00Z"), 23);
        assert_eq!(hours(&days, "2024-10-26T12:00:00Z"), 25);
    }

    /// A day that begins at half past two begins once, also where the clock shows that twice or
    /// never.
    #[test]
    fn an_offset_within_the_changed_hour_is_one_moment() {
        let days = units(CalendarUnit::Days(1), "Europe/Berlin", 5 * HOUR_US / 2);
        let autumn = days.number_of(at("2024-10-27T12:00:00Z"));
        assert_eq!(days.start_of(autumn), at("2024-10-27T00:30:00Z"), "the first of two");
        for text in ["2024-10-27T00:30:00Z", "2024-10-27T01:10:00Z", "2024-10-27T01:40:00Z"] {
            assert_eq!(days.number_of(at(text)), autumn, "{text}");
        }
        let spring = days.number_of(at("2024-03-31T12:00:00Z"));
        assert_eq!(days.start_of(spring), at("2024-03-31T01:00:00Z"), "02:00 is followed by 03:00");
        assert_eq!(days.number_of(at("2024-03-31T00:59:59Z")), spring - 1);
    }

    #[test]
    fn weeks_begin_on_mondays_and_an_offset_moves_them() {
        let weeks = units(CalendarUnit::Week, "UTC", 0);
        assert_eq!(weeks.start_of(0), at("1969-12-29T00:00:00Z"));
        let start = |weeks: &CalendarUnits, text| weeks.start_of(weeks.number_of(at(text)));
        assert_eq!(start(&weeks, "2024-01-07T23:00:00Z"), at("2024-01-01T00:00:00Z"));
        let fridays = units(CalendarUnit::Week, "UTC", -72 * HOUR_US);
        assert_eq!(start(&fridays, "2024-01-07T23:00:00Z"), at("2024-01-05T00:00:00Z"));
    }

    #[test]
    fn months_are_real_ones_for_400_years() {
        let months = units(CalendarUnit::Months(1), "Europe/Berlin", 0);
        let mut end = months.start_of(-2400);
        for number in -2400..2400 {
            let start = std::mem::replace(&mut end, months.start_of(number + 1));
            let last = end.plus_us(-1);
            assert_eq!((months.number_of(start), months.number_of(last)), (number, number));
            let days = (end.0 - start.0 + 12 * HOUR_US) / DAY_US;
            assert!((28..=31).contains(&days), "{number}: {days} days");
        }
        let utc = units(CalendarUnit::Months(1), "UTC", 0);
        assert_eq!(hours(&utc, "2024-02-29T23:59:59Z"), 29 * 24);
        assert_eq!(hours(&utc, "2023-02-10T00:00:00Z"), 28 * 24);
        assert_eq!(hours(&utc, "1900-02-10T00:00:00Z"), 28 * 24, "no leap year");
        let quarters = units(CalendarUnit::Months(3), "UTC", 0);
        assert_eq!(
            quarters.start_of(quarters.number_of(at("2024-06-30T00:00:00Z"))),
            at("2024-04-01T00:00:00Z")
        );
    }

    /// Samoa went from the 29th to the 31st of December 2011: the day between has no time in it.
    #[test]
    fn a_day_that_a_zone_left_out_is_empty() {
        let days = units(CalendarUnit::Days(1), "Pacific/Apia", 0);
        let last = days.number_of(at("2011-12-30T09:59:59Z"));
        assert_eq!(days.number_of(at("2011-12-30T10:00:00Z")), last + 2);
        assert_eq!(days.start_of(last + 1), days.start_of(last + 2));
    }

    /// Summer time that begins at midnight, changes by half an hour, local mean time before 1900.
    #[test]
    fn no_moment_is_in_two_units_or_none_in_zones_with_a_history() {
        for zone in [
            "America/Sao_Paulo",
            "America/Havana",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Asia/Kathmandu",
            "Europe/Dublin",
        ] {
            for offset_us in [0, 5 * HOUR_US / 2, -HOUR_US / 4] {
                let days = units(CalendarUnit::Days(1), zone, offset_us);
                let mut time = at("1899-12-30T00:00:00Z");
                let mut before = days.number_of(time);
                while time < at("2038-01-01T00:00:00Z") {
                    time = time.plus_us(22 * HOUR_US + 13_000_000);
                    let number = days.number_of(time);
                    assert!(
                        days.start_of(number) <= time && time < days.start_of(number + 1),
                        "{zone} {time:?}"
                    );
                    assert!(number == before || number == before + 1, "{zone} {time:?}");
                    before = number;
                }
            }
        }
    }

    #[test]
    fn beyond_the_calendar_nothing_panics() {
        for unit in [CalendarUnit::Days(7), CalendarUnit::Week, CalendarUnit::Months(12)] {
            let units = units(unit, "Europe/Berlin", -3 * DAY_US);
            for time in [i64::MIN, i64::MIN + 1, -1, i64::MAX - 1, i64::MAX] {
                let number = units.number_of(EventTime(time));
                units.start_of(number + 1);
            }
            assert!(
                units.start_of(i64::MIN) < units.start_of(0) && units.start_of(0) < units.start_of(i64::MAX)
            );
        }
    }
}
