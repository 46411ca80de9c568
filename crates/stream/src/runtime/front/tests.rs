//! Tests of times that run ahead: what is taken, what waits, and that batches do not show.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Schema;
use proptest::prelude::*;

use super::*;
use crate::message::system_fields;

const MINUTE: i64 = 60_000_000;
const NONE: [i64; 0] = [];

/// Windows of so many minutes, without lateness.
fn rule(window_minutes: i64) -> AheadRule {
    let size = window_minutes * MINUTE;
    let closed_from = move |time: EventTime| EventTime((time.0.div_euclid(size) + 1) * size);
    AheadRule { future_us: 5 * MINUTE, closed_from: Arc::new(closed_from) }
}

/// Decoded records: each has a time in minutes, or is broken.
fn decoded(records: &[Option<i64>], first: usize) -> Decoded {
    let good =
        || records.iter().enumerate().filter_map(|(at, minute)| Some(((first + at) as i64, (*minute)?)));
    let times = TimestampMicrosecondArray::from_iter_values(good().map(|(_, minute)| minute * MINUTE));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(good().map(|(offset, _)| offset))),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(good().map(|_| "s"))),
    ];
    let broken = records.iter().enumerate().filter(|(_, minute)| minute.is_none());
    let reject = |(at, _): (usize, _)| Reject {
        offset: Offset((first + at) as i64),
        reason: Reason::Undecodable,
        detail: "broken".to_owned(),
    };
    let rows = RecordBatch::try_new(Arc::new(Schema::new(system_fields())), columns).unwrap();
    Decoded { rows, rejects: broken.map(reject).collect(), blank: Vec::new(), passed: Vec::new() }
}

/// What became of the records: the offsets that were taken, and the rejects in their order.
#[derive(Debug, Default, PartialEq)]
struct Fate {
    taken: Vec<i64>,
    rejected: Vec<(i64, Reason, String)>,
    front: Front,
}

/// Takes in the records in batches that end at `cuts`, as a partition does.
fn fate(rule: &AheadRule, records: &[Option<i64>], cuts: &[usize]) -> Fate {
    fate_of(rule, records, cuts, decoded)
}

/// As [`fate`], of records that `decoded` makes rows of, from the offset of the first.
fn fate_of<R>(
    rule: &AheadRule,
    records: &[R],
    cuts: &[usize],
    decoded: impl Fn(&[R], usize) -> Decoded,
) -> Fate {
    let (mut fate, mut from) = (Fate::default(), 0);
    let ends = cuts.iter().copied().filter(|cut| *cut < records.len()).map(|cut| (cut, Ahead::More));
    for (to, ahead) in ends.chain([(records.len(), Ahead::More), (records.len(), Ahead::Nothing)]) {
        let mut batch = decoded(&records[from..to.max(from)], from);
        let end = Offset(to.max(from) as i64);
        let waiting = rule.judge(&mut fate.front, &mut batch, end, ahead).unwrap();
        fate.taken.extend(batch.rows[column::OFFSET].as_primitive::<Int64Type>().values());
        batch.rejects.sort_by_key(|reject| reject.offset);
        fate.rejected.extend(batch.rejects.into_iter().map(|r| (r.offset.0, r.reason, r.detail)));
        from = waiting.map_or(to.max(from), |from| from.0 as usize);
    }
    fate
}

/// The offsets that are rejected as future.
fn future(window_minutes: i64, minutes: &[i64]) -> Vec<i64> {
    let records: Vec<Option<i64>> = minutes.iter().copied().map(Some).collect();
    let fate = fate(&rule(window_minutes), &records, &[]);
    assert_eq!(fate.taken.len() + fate.rejected.len(), minutes.len());
    fate.rejected.into_iter().map(|(offset, ..)| offset).collect()
}

#[test]
fn a_record_ahead_of_all_others_is_rejected_wherever_it_stands() {
    let decade = 10 * 366 * 24 * 60;
    for at in 0..9 {
        let mut minutes: Vec<i64> = (0..8).collect();
        minutes.insert(at, decade);
        assert_eq!(future(1, &minutes), [at as i64], "{at}");
    }
}

#[test]
fn a_device_ahead_of_the_others_loses_its_records_and_they_none() {
    let minutes: Vec<i64> = (0..30).flat_map(|minute| [minute, minute, minute + 120]).collect();
    let expected: Vec<i64> = (0..30).map(|minute| 3 * minute + 2).collect();
    assert_eq!(future(1, &minutes), expected);
}

#[test]
fn steps_of_readings_and_gaps_that_go_on_pass() {
    let hourly: Vec<i64> = (0..50).map(|hour| hour * 60).collect();
    assert_eq!(future(60, &hourly), NONE);
    assert_eq!(future(1, &hourly), NONE);
    let monthly: Vec<i64> = [0, 31, 59, 90, 120, 151].iter().map(|day| day * 24 * 60).collect();
    assert_eq!(future(60, &monthly), NONE);
    // A night, and a year without data.
    let year = 365 * 24 * 60;
    assert_eq!(future(1, &[0, 1, 2, 600, 601, 602, 602 + year, 603 + year]), NONE);
    // Gaps that one record each stands between.
    assert_eq!(future(1, &[0, 1, 100, 300, 700, 701]), NONE);
    assert_eq!(future(1, &[7]), NONE);
    assert_eq!(future(1, &[7, 5000]), NONE);
}

/// Found by: case 27. A record of months before denied the midnight that had come.
#[test]
fn what_is_late_itself_denies_nothing() {
    assert_eq!(future(1, &[0, 1, 2, 600, -80_000, -90_000, 601, 602]), NONE);
    assert_eq!(future(1, &[0, 1, 2, 600, -80_000, 3, 4]), [3]);
    let mut old: Vec<i64> = vec![0, 1, 2, 600];
    old.extend(std::iter::repeat_n(-80_000, 100));
    old.extend([601, 602]);
    assert_eq!(future(1, &old), [3], "it does not wait for ever");
}

#[test]
fn disorder_within_a_window_is_none_of_its_business() {
    // A day's windows: all of one station's day, then the other's.
    let days =
        (0..3).flat_map(|day| (0..2).flat_map(move |_| (0..24).map(move |hour| (day * 24 + hour) * 60)));
    assert_eq!(future(24 * 60, &days.collect::<Vec<_>>()), NONE);
}

#[test]
fn what_waits_is_not_taken_until_it_is_confirmed() {
    let rule = rule(1);
    let mut front = Front::default();
    let mut batch = decoded(&[Some(0), Some(1), Some(600), None], 0);
    let waiting = rule.judge(&mut front, &mut batch, Offset(4), Ahead::More).unwrap();
    assert_eq!((waiting, batch.rows.num_rows(), batch.rejects.len()), (Some(Offset(2)), 2, 0));
    let mut batch = decoded(&[Some(600), None, Some(601)], 2);
    assert_eq!(rule.judge(&mut front, &mut batch, Offset(5), Ahead::More).unwrap(), None);
    assert_eq!((batch.rows.num_rows(), batch.rejects.len()), (2, 1));
}

#[test]
fn a_refused_record_says_what_it_was_measured_by() {
    let records = [Some(0), Some(0), Some(6000), Some(1)];
    assert_eq!(
        fate(&rule(1), &records, &[]).rejected[0].2,
        "its time, 1970-01-05T04:00:00Z, is far after 1970-01-01T00:00:00Z, the latest before it, and the record after it, \
         of 1970-01-01T00:01:00Z, does not confirm it"
    );
}

/// The rows of records that are several, or none: the record of each and its time in minutes.
fn decoded_rows(records: &[Vec<i64>], first: usize) -> Decoded {
    let rows: Vec<(i64, i64)> = records
        .iter()
        .enumerate()
        .flat_map(|(at, minutes)| minutes.iter().map(move |minute| ((first + at) as i64, *minute)))
        .collect();
    let minutes: Vec<Option<i64>> = rows.iter().map(|(_, minute)| Some(*minute)).collect();
    let mut decoded = decoded(&minutes, 0);
    let mut columns = decoded.rows.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(offset, _)| *offset)));
    decoded.rows = RecordBatch::try_new(decoded.rows.schema(), columns).unwrap();
    decoded
}

/// As [`fate`], of records of several rows.
fn fate_of_rows(rule: &AheadRule, records: &[Vec<i64>], cuts: &[usize]) -> Fate {
    fate_of(rule, records, cuts, decoded_rows)
}

#[test]
fn a_record_of_several_rows_waits_as_a_whole() {
    let rule = rule(1);
    let records = vec![vec![0, 1], vec![2, 600], vec![-9, 601], vec![602]];
    let mut front = Front::default();
    let mut batch = decoded_rows(&records[..2], 0);
    let waiting = rule.judge(&mut front, &mut batch, Offset(2), Ahead::More).unwrap();
    assert_eq!((waiting, batch.rows.num_rows()), (Some(Offset(1)), 2));
    assert_eq!(fate_of_rows(&rule, &records, &[]).taken, [0, 0, 1, 1, 2, 2, 3]);
}

fn minute() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        10 => (0i64..400).prop_map(Some),
        2 => (0i64..400).prop_map(|minute| Some(minute + 100_000)),
        2 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_batching_takes_and_rejects_the_same(
        minutes in proptest::collection::vec(minute(), 0..60),
        broken in 0_usize..250, window in proptest::sample::select(vec![1, 60, 1440]),
        mut cuts in proptest::collection::vec(0_usize..300, 0..20),
        is_rising in any::<bool>(),
    ) {
        let mut records = minutes;
        if is_rising {
            records.sort_by_key(|minute| minute.unwrap_or(200));
        }
        // A jump does not wait for ever.
        let at = records.len() / 2;
        records.splice(at..at, std::iter::repeat_n(None, broken));
        cuts.sort_unstable();
        let expected = fate(&rule(window), &records, &[]);
        prop_assert_eq!(expected.taken.len() + expected.rejected.len(), records.len());
        prop_assert!(expected.taken.is_sorted() && expected.rejected.is_sorted_by_key(|reject| reject.0));
        let one_by_one: Vec<usize> = (1..records.len()).collect();
        for cuts in [cuts, one_by_one] {
            prop_assert_eq!(&fate(&rule(window), &records, &cuts), &expected);
        }
    }

    #[test]
    fn records_of_several_rows_are_taken_the_same_in_any_batches(
        records in proptest::collection::vec(proptest::collection::vec(minute(), 0..5), 0..40),
        is_rising in any::<bool>(), window in proptest::sample::select(vec![1, 60, 1440]),
        mut cuts in proptest::collection::vec(0_usize..40, 0..10), late in 0_usize..150,
    ) {
        let mut records: Vec<Vec<i64>> =
            records.into_iter().map(|minutes| minutes.into_iter().flatten().collect()).collect();
        if is_rising {
            records.sort_by_key(|minutes| minutes.first().copied());
        }
        // Rows that are late say nothing.
        let at = records.len() / 2;
        records.splice(at..at, std::iter::repeat_n(vec![-100_000, -90_000], late));
        cuts.sort_unstable();
        let expected = fate_of_rows(&rule(window), &records, &[]);
        let rows: usize = records.iter().map(Vec::len).sum();
        prop_assert_eq!(expected.taken.len() + expected.rejected.len(), rows);
        let one_by_one: Vec<usize> = (1..records.len()).collect();
        for cuts in [cuts, one_by_one] {
            prop_assert_eq!(&fate_of_rows(&rule(window), &records, &cuts), &expected);
        }
    }
}
