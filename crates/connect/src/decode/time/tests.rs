//! Tests of times as people write them: what each form means, what is refused, and what settles it.

use std::sync::Arc;

use arrow::array::{Date32Array, StringArray, TimestampMicrosecondArray};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime, temporal};
use proptest::prelude::*;
use tickcast_stream::message::{EventTime, shown};

use super::*;

const HOUR_US: i64 = 3_600_000_000;

fn reader(spec: &TimeSpec) -> TimeReader {
    TimeReader::new(spec, None).unwrap()
}

fn us(text: &str) -> Option<i64> {
    reader(&TimeSpec::of("t")).read(text)
}

fn instant(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn show(us: i64) -> String {
    shown(EventTime(us))
}

fn detail(spec: &TimeSpec, text: &str) -> String {
    match reader(spec).instant(text) {
        Ok(us) => panic!("{text} is read as {}", show(us)),
        Err(misread) => misread.detail(&spec.from, text),
    }
}

fn in_format(format: &str) -> TimeSpec {
    TimeSpec { format: Some(format.to_owned()), ..TimeSpec::of("t") }
}

fn in_zone(zone: &str, ambiguous: Ambiguous) -> TimeSpec {
    TimeSpec { zone: Some(zone.to_owned()), ambiguous, ..TimeSpec::of("t") }
}

/// The cells of the page's tables, a row each.
fn page_rows() -> Vec<Vec<String>> {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/times.md"));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    page.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_tables_of_the_page_are_true() {
    let (mut read, mut refused) = (0, 0);
    for row in page_rows() {
        for text in quoted(&row[0]) {
            if let Ok(meant) = row[1].parse::<Timestamp>() {
                assert_eq!(us(text), Some(meant.as_microsecond()), "{text}");
                read += 1;
                continue;
            }
            let detail = detail(&TimeSpec::of("t"), text);
            assert!(detail.len() < 250, "{detail}");
            for key in quoted(&row[row.len() - 1]) {
                assert!(detail.contains(key), "{text}: {key} is not in: {detail}");
                if let Some(format) = key.strip_prefix("format: \"") {
                    let format = in_format(format.trim_end_matches('"'));
                    assert!(reader(&format).read(text).is_some(), "{text}: {key}");
                }
            }
            refused += 1;
        }
    }
    assert!(read > 35 && refused > 15, "{read} and {refused} rows");
}

/// Case 27: each text, and what it means or, none, that nobody can tell without a key.
#[test]
fn forms_of_public_reports() {
    let at = Some("2024-05-01T13:30:00Z");
    for (text, meant) in [
        ("2024-05-01T13:30:00Z", at),
        ("2024-05-01T13:30", at),
        ("2024-05-01T1330Z", at),
        ("2024-05-01T13:30:00,000Z", at),
        ("2024-05-01 13:30:00 UTC", at),
        ("2024-05-01 13:30:00+00", at),
        ("2024-05-01T13:30:00+00:00[UTC]", at),
        ("2024-05-01 15:30:00 Europe/Berlin", at),
        ("2024-05-01 09:30:00 EDT", at),
        ("2024/05/01 13:30", at),
        ("01/05/2024 13:30", None),
        ("05/01/2024 01:30:00 PM", None),
        ("May 1, 2024 1:30 PM", at),
        ("Wed May  1 13:30:00 UTC 2024", at),
        ("2024-05-01T13:30:00.0Z", at),
        ("2024-05-01_13:30:00", at),
        ("24-05-01 13:30:00", None),
        ("1714570200.0", at),
        ("1714570200000", at),
        ("1714570200000000", at),
        ("/Date(1714570200000)/", at),
        ("/Date(1714570200000+0200)/", at),
        ("20240501133000", None),
        ("2024050113", None),
        ("2024-05-01", Some("2024-05-01T00:00:00Z")),
        ("2024", None),
        ("2024-122", Some("2024-05-01T00:00:00Z")),
        ("2460432.0625", None),
        ("2024-05-01T24:00:00Z", Some("2024-05-02T00:00:00Z")),
        ("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z")),
        ("0000-00-00 00:00:00", None),
        ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
        ("-1", None),
        ("2024-05-01T13:30:00.123456789123Z", Some("2024-05-01T13:30:00.123456Z")),
    ] {
        assert_eq!(us(text), meant.map(instant), "{text}");
    }
}

#[test]
fn rfc_3339_with_and_without_an_offset() {
    let noon = 1_357_041_600_000_000;
    for text in [
        "2013-01-01T12:00:00Z",
        "2013-01-01t12:00:00z",
        "2013-01-01T12:00:00",
        "2013-01-01 12:00:00",
        " 2013-01-01T12:00:00.000000Z\n",
        "2013-01-01T07:00:00-05:00",
        "2013-01-01T17:30:00+05:30",
    ] {
        assert_eq!(us(text), Some(noon), "{text}");
    }
    assert_eq!(us("2013-01-01"), Some(noon - 12 * HOUR_US));
    assert_eq!(us("1969-12-31T23:59:59.999999Z"), Some(-1));
}

#[test]
fn what_is_no_time_or_outside_the_years() {
    for text in [
        "",
        "yesterday",
        "2013-13-01",
        "2013-02-30T00:00:00Z",
        "24:00",
        "NaN",
        "inf",
        "1e300",
        "true",
        "-",
        "2024-05-01T13:30:00.Z",
        "2024-05-01T13:30:00+25:00",
        "2024-05-01T13:60",
        "2024-05-01T24:00:01",
        "2024-05/01",
        "2024-05-01-13",
        "2024-5",
        "2024-W54",
        "2024-366T",
        "2023-366",
        "2024-05-01T13:30:00 X",
        "2024-05-01 13:30 PM PM",
        "2024-05-01 13:30 PM",
        "2024-05-01 00:30 AM",
        "May 2024",
        "1 2 May 2024",
        "May 1, 24",
        "2024-05-01T13:30:00[Mars/Olympus]",
        "2024-05-01 13:30 Mars/Olympus",
        "2024-05-01T13:30:00+01:00[Europe/Berlin]",
        "2024-10-27T02:30[Europe/Berlin]",
        "99999999999999999999",
        "2024-05-01 13:30:00 IST",
        "Wed May  1 21:30:00 CST 2024",
        "2024-05-01T13:30:00[Europe/Berlin",
        "2024-05-01T13:30:00Zx",
        "２０２４-05-01",
    ] {
        assert_eq!(us(text), None, "{text}");
    }
    assert_eq!(us("0000-12-31T23:59:59Z"), None);
    assert_eq!(us("0001-01-01T00:00:00Z"), Some(FIRST_US));
    assert_eq!(us("9999-12-31T23:59:59.999999Z"), Some(LAST_US));
    assert_eq!(us("9999-12-31T23:59:59-01:00"), None);
    let seconds = TimeSpec { unit: Some(TimeCount::S), ..TimeSpec::of("t") };
    assert_eq!(reader(&seconds).read("9223372036854775807"), None);
}

#[test]
fn a_number_without_a_schema_is_in_the_years_1990_to_2100() {
    let us_of = 1_700_000_000_000_000;
    for text in ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000", "1.7e9"] {
        assert_eq!(us(text), Some(us_of), "{text}");
    }
    assert_eq!(us("1700000000.25"), Some(us_of + 250_000));
    assert_eq!(us("631152000"), Some(instant("1990-01-01T00:00:00Z")));
    assert_eq!(us("4133980799"), Some(instant("2100-12-31T23:59:59Z")));
    for text in ["631151999", "4133980800", "0", "-1700000000", "1700000", "45413.5", "20240501.0"] {
        assert_eq!(us(text), None, "{text}");
    }
    // Of the seconds of 2034 only those are in doubt that are a date and an hour.
    assert_eq!(us("2024051399"), Some(2_024_051_399_000_000));
}

#[test]
fn a_unit_or_a_format_settles_every_number() {
    for (unit, text, meant) in [
        (TimeCount::S, "-1", "1969-12-31T23:59:59Z"),
        (TimeCount::S, "2024050113", "2034-02-20T12:08:33Z"),
        (TimeCount::Ms, "5", "1970-01-01T00:00:00.005Z"),
        (TimeCount::Us, "5", "1970-01-01T00:00:00.000005Z"),
        (TimeCount::Ns, "-1", "1969-12-31T23:59:59.999999Z"),
        (TimeCount::Days, "19844", "2024-05-01T00:00:00Z"),
        (TimeCount::Days, "19844.083333333", "2024-05-01T02:00:00Z"),
        // A unit says what numbers count; a text is read as ever.
        (TimeCount::S, "2024-05-01T13:30Z", "2024-05-01T13:30:00Z"),
    ] {
        let spec = TimeSpec { unit: Some(unit), ..TimeSpec::of("t") };
        assert_eq!(reader(&spec).read(text), Some(instant(meant)), "{text} {unit:?}");
    }
    for (format, text, meant) in [
        ("%Y%m%d", "19580329", "1958-03-29T00:00:00Z"),
        ("%Y%m%d", "19580329.0", "1958-03-29T00:00:00Z"),
        ("%Y%m%d%H", "2024050113", "2024-05-01T13:00:00Z"),
        ("%Y", "2024", "2024-01-01T00:00:00Z"),
        ("%d.%m.%Y %H:%M", "01.05.2024 13:30", "2024-05-01T13:30:00Z"),
        ("%m/%d/%Y %I:%M:%S %p", "05/01/2024 01:30:00 PM", "2024-05-01T13:30:00Z"),
        ("%d.%m.%Y %H:%M %z", "01.05.2024 15:30 +0200", "2024-05-01T13:30:00Z"),
        ("%d.%m.%Y %H:%M %Q", "01.05.2024 15:30 Europe/Berlin", "2024-05-01T13:30:00Z"),
        ("%s", "1714570200", "2024-05-01T13:30:00Z"),
        ("%G-W%V", "2024-W18", "2024-04-29T00:00:00Z"),
    ] {
        assert_eq!(reader(&in_format(format)).read(text), Some(instant(meant)), "{text} as {format}");
        assert_eq!(check_time_format(format), Ok(()), "{format}");
    }
    // With a format there is no other form.
    assert_eq!(reader(&in_format("%Y%m%d")).read("2024-05-01"), None);
    assert!(detail(&in_format("%Y%m%d"), "2024-05-01").contains("`time.format`"));
}

#[test]
fn a_format_that_reads_no_time_is_refused() {
    for format in ["", "%H:%M", "%m-%d", "%J", "%Y-%m-%d %I:%M", "%Z", "%"] {
        assert!(check_time_format(format).is_err(), "{format}");
    }
}

#[test]
fn a_zone_is_for_times_that_name_none() {
    let berlin = in_zone("Europe/Berlin", Ambiguous::Reject);
    for (text, meant) in [
        ("2024-05-01T15:30:00", "2024-05-01T13:30:00Z"),
        ("2024-05-01 15:30", "2024-05-01T13:30:00Z"),
        ("2024-01-01", "2023-12-31T23:00:00Z"),
        ("2024-05-01T15:30:00Z", "2024-05-01T15:30:00Z"),
        ("1714570200", "2024-05-01T13:30:00Z"),
        ("May 1, 2024 3:30 PM", "2024-05-01T13:30:00Z"),
        ("2024-10-27 02:30 CEST", "2024-10-27T00:30:00Z"),
        ("2024-10-27 02:30 CET", "2024-10-27T01:30:00Z"),
        // Berlin's own time before there were zones.
        ("1880-01-01T00:53:28", "1880-01-01T00:00:00Z"),
    ] {
        assert_eq!(reader(&berlin).read(text), Some(instant(meant)), "{text}");
    }
    let twice = "2024-10-27T02:30:00";
    for (ambiguous, meant) in
        [(Ambiguous::Earlier, "2024-10-27T00:30:00Z"), (Ambiguous::Later, "2024-10-27T01:30:00Z")]
    {
        assert_eq!(reader(&in_zone("Europe/Berlin", ambiguous)).read(twice), Some(instant(meant)));
    }
    assert!(detail(&berlin, twice).contains("ambiguous: earlier"), "{}", detail(&berlin, twice));
    let skipped = detail(&berlin, "2024-03-31 02:30");
    assert!(skipped.contains("does not exist"), "{skipped}");
    let days = TimeSpec { unit: Some(TimeCount::Days), ..berlin };
    assert_eq!(reader(&days).read("19844"), Some(instant("2024-04-30T22:00:00Z")));
    let nowhere = TimeReader::new(&in_zone("Europe/Belin", Ambiguous::Reject), None).unwrap_err();
    assert!(nowhere.to_string().contains("Europe/Belin"));
}

#[test]
fn columns_of_times_without_a_zone_are_local_too() {
    let berlin = reader(&in_zone("Europe/Berlin", Ambiguous::Reject));
    let at = instant("2024-05-01T15:30:00Z");
    let twice = instant("2024-10-27T02:30:00Z");
    let local: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![at, twice]));
    let utc: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![at, twice]).with_timezone("UTC"));
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![19_844, 19_845]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["2024-05-01 15:30", "2024-10-27 02:30Z"]));
    let converted = |column: &ArrayRef| {
        let mut verdicts = Verdicts::new(2);
        let times = berlin.convert(column, &TimeFrom::Column("t".into()), &mut verdicts).unwrap();
        let faults: Vec<_> = verdicts.into_iter().map(|verdict| verdict.map(|(_, detail)| detail)).collect();
        (times.iter().collect::<Vec<_>>(), faults)
    };

    let (times, faults) = converted(&local);
    assert_eq!(times, [Some(at - 2 * HOUR_US), None]);
    assert!(faults[1].as_deref().is_some_and(|detail| detail.contains("comes twice")), "{faults:?}");
    assert_eq!(converted(&utc).0, [Some(at), Some(twice)]);
    assert_eq!(converted(&texts).0, [Some(at - 2 * HOUR_US), Some(twice)]);
    let midnight = instant("2024-04-30T22:00:00Z");
    assert_eq!(converted(&dates).0, [Some(midnight), Some(midnight + 24 * HOUR_US)]);
}

#[test]
fn a_shown_time_is_read_back() {
    for us_since in [0, 1_357_041_600_000_000, -1, 1_357_041_600_123_456] {
        assert_eq!(us(&show(us_since)), Some(us_since), "{}", show(us_since));
    }
}

/// Pieces that times are made of, and what is near them.
#[rustfmt::skip]
const PIECES: [&str; 60] = [
    "2024", "-", "05", "01", "T", ":", "13", "30", "00", "Z", " ", "/", ".", ",", "+", "+02:00", "-0500", "UTC", "GMT",
    "EDT", "CST", "Europe/Berlin", "[Europe/Berlin]", "[UTC]", "[u-ca=iso8601]", "[!", "]", "May", "Wed", "AM", "PM",
    "p.m.", "W18", "-3", "122", "24:00", "60", "/Date(", ")/", "(x)", "1714570200", "000", "0", "1e9", "é", "\0", "_",
    "20240501", "2024-05-01", "13:30:00", "at", "1st", "Sept", "-1", "99999999999", "2024-02-30", "t", "a.m.", "Tue", "%",
];

fn text_of_pieces() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..12).prop_map(|pieces| pieces.concat())
}

fn specs() -> Vec<TimeSpec> {
    let of_unit = |unit| TimeSpec { unit: Some(unit), ..TimeSpec::of("t") };
    vec![
        TimeSpec::of("t"),
        of_unit(TimeCount::S),
        of_unit(TimeCount::Days),
        TimeSpec { zone: Some("Europe/Berlin".into()), ..of_unit(TimeCount::Days) },
        in_format("%Y-%m-%d %H:%M"),
        in_format("%d %b %Y %z"),
        in_zone("America/St_Johns", Ambiguous::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_text_is_a_time_in_range_or_has_a_short_fault(
        text in prop_oneof![4 => text_of_pieces(), 1 => "\\PC{0,30}", 1 => "[0-9TZ:+. -]{0,30}"],
    ) {
        for spec in specs() {
            match reader(&spec).instant(&text) {
                Ok(us) => prop_assert!((FIRST_US..=LAST_US).contains(&us), "{}", text),
                Err(misread) => {
                    let detail = misread.detail(&spec.from, text.trim());
                    prop_assert!(detail.len() < 400 && !detail.contains('\n'), "{}", detail);
                }
            }
        }
    }

    /// jiff's parsers are the oracle: what they and this read, both read alike.
    #[test]
    fn what_jiff_reads_too_is_read_alike(text in text_of_pieces()) {
        let Some(found) = us(&text) else { return Ok(()) };
        let text = text.trim();
        let parser = temporal::DateTimeParser::new();
        // A fraction finer than nanoseconds is cut off here, and refused or rounded there.
        let agrees = |theirs: Timestamp| (theirs.as_microsecond() - found).abs() <= 1;
        if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
            return Ok(());
        }
        let zoned = temporal::DateTimeParser::new()
            .offset_conflict(jiff::tz::OffsetConflict::Reject)
            .parse_zoned_datetime_with(&jiff::tz::TimeZoneDatabase::bundled(), text);
        if let Ok(theirs) = zoned {
            prop_assert!(agrees(theirs.timestamp()), "{} {}", text, show(found));
        } else if let Ok(theirs) = parser.parse_timestamp(text) {
            prop_assert!(agrees(theirs), "{} {}", text, show(found));
        } else if let Ok(theirs) = text.parse::<DateTime>() {
            if !text.contains(['[', '+']) {
                let theirs = jiff::tz::Offset::UTC.to_timestamp(theirs).unwrap();
                prop_assert!(agrees(theirs), "{} {}", text, show(found));
            }
        } else if let Ok(theirs) = rfc2822::parse(text) {
            prop_assert!(agrees(theirs.timestamp()), "{} {}", text, show(found));
        }
    }

    /// Any time in any of these forms is read as jiff wrote it.
    #[test]
    fn what_jiff_writes_is_read_back(second in -2_208_988_800_i64..4_102_444_800, zone in 0..4_usize) {
        let at = Timestamp::from_second(second).unwrap();
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"][zone];
        let zoned = at.to_zoned_datetime(time_zone(zone).unwrap());
        let is_even = zoned.offset().seconds() % 60 == 0;
        for format in [
            "%Y-%m-%dT%H:%M:%S%z", "%Y/%m/%d %H:%M:%S %:z", "%A, %d %B %Y %H:%M:%S %z", "%b %e, %Y %I:%M:%S %p %z",
            "%a %b %e %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z", "%Y%m%dT%H%M%S%z", "%G-W%V-%u %H:%M:%S%z",
            "%Y-%j %H:%M:%S%z", "%a %b %d %Y %H:%M:%S GMT%z (%Z)",
        ] {
            let text = strtime::format(format, &zoned).unwrap();
            if is_even {
                prop_assert_eq!(us(&text), Some(at.as_microsecond()), "{} as {}", text, format);
            }
        }
        prop_assert_eq!(us(&zoned.to_string()), Some(at.as_microsecond()), "{}", zoned);
    }
}
