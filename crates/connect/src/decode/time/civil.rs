//! Days and times of day in the proleptic Gregorian calendar, as microseconds since 1970 where
//! they stand for a time in no zone.
//! It must not know how they are written.

pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const MINUTE_US: i64 = 60 * SECOND_US;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;
pub(super) const DAY_US: i64 = 24 * HOUR_US;

/// The day's number since 1970-01-01; none where the calendar has no such day.
pub(super) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }

    // Years that begin in March end with the leap day: Howard Hinnant's `days_from_civil`.
    let shifted = year - i64::from(month <= 2);
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let in_era = 365 * of_era + of_era / 4 - of_era / 100 + of_year;
    Some(era * 146_097 + in_era - 719_468)
}

/// The number of a year's nth day.
pub(super) fn ordinal(year: i64, nth: i64) -> Option<i64> {
    let length = if is_leap(year) { 366 } else { 365 };
    (1..=length).contains(&nth).then_some(days(year, 1, 1)? + nth - 1)
}

/// The number of a day of an ISO week; weekday 1 is Monday.
pub(super) fn week(year: i64, week: i64, weekday: i64) -> Option<i64> {
    let fourth = days(year, 1, 4)?;
    let first_monday = fourth - weekday_of(fourth);
    let next_fourth = days(year + 1, 1, 4)?;
    let weeks = (next_fourth - weekday_of(next_fourth) - first_monday) / 7;
    let is_one = (1..=weeks).contains(&week) && (1..=7).contains(&weekday);
    is_one.then_some(first_monday + 7 * (week - 1) + weekday - 1)
}

/// The weekday of a day's number, from 0 for Monday.
pub(super) fn weekday_of(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// A time of day in microseconds. 24:00 is the day's end, as ISO 8601 has it. A leap second is the
/// second before it, as jiff has it: UTC without them has no other.
pub(super) fn time_of_day(hour: i64, minute: i64, second: i64, fraction_us: i64) -> Option<i64> {
    let second = if second == 60 { 59 } else { second };
    let is_end = hour == 24 && minute == 0 && second == 0 && fraction_us == 0;
    let is_one =
        ((0..24).contains(&hour) || is_end) && (0..60).contains(&minute) && (0..60).contains(&second);
    is_one.then_some(hour * HOUR_US + minute * MINUTE_US + second * SECOND_US + fraction_us)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{ISOWeekDate, Weekday, date};

    use super::*;

    #[test]
    fn every_day_of_eight_centuries_has_its_number() {
        let mut day = date(1601, 1, 1);
        let mut number = days(1601, 1, 1).unwrap();
        assert_eq!(days(1970, 1, 1), Some(0));
        while day < date(2401, 1, 1) {
            let (year, month) = (i64::from(day.year()), i64::from(day.month()));
            assert_eq!(days(year, month, i64::from(day.day())), Some(number), "{day}");
            assert_eq!(ordinal(year, i64::from(day.day_of_year())), Some(number), "{day}");
            let of_week = day.iso_week_date();
            let weekday = i64::from(of_week.weekday().to_monday_one_offset());
            assert_eq!(weekday_of(number), weekday - 1, "{day}");
            let found = week(i64::from(of_week.year()), i64::from(of_week.week()), weekday);
            assert_eq!(found, Some(number), "{day}");
            day = day.tomorrow().unwrap();
            number += 1;
        }
    }

    #[test]
    fn what_no_calendar_has() {
        for (year, month, day) in [(2023, 2, 29), (1900, 2, 29), (2024, 0, 1), (2024, 13, 1), (2024, 4, 31)] {
            assert_eq!(days(year, month, day), None);
        }
        assert_eq!((ordinal(2023, 366), ordinal(2024, 0)), (None, None));
        for year in 2000..2100 {
            let is_long = ISOWeekDate::new(year, 53, Weekday::Monday).is_ok();
            assert_eq!(week(i64::from(year), 53, 1).is_some(), is_long, "{year}");
        }
        assert_eq!(time_of_day(24, 0, 0, 0), Some(DAY_US));
        assert_eq!((time_of_day(24, 0, 1, 0), time_of_day(12, 60, 0, 0)), (None, None));
        assert_eq!(time_of_day(23, 59, 60, 7), Some(DAY_US - SECOND_US + 7));
    }
}
