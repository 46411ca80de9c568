//! A journal written, cut, damaged and read again.
//! It must not know its parts' insides: it uses writer and source as ingestion does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tickcast_stream::error::{Kind, Retry};
use tickcast_stream::message::{EventTime, RawRecord, RecordHeader, Records};
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{Offset, PartitionId};

use super::segment::{path_of, segments};
use super::{JournalSpec, JournalWriter, Tail, journal_frames};
use crate::ingest::RecordLog;
use crate::source::{OpenOptions, SourceKind, Span};

const P: PartitionId = PartitionId(0);

fn spec(dir: &Path, segment_bytes: u64) -> JournalSpec {
    JournalSpec { dir: dir.to_owned(), keep: Duration::ZERO, segment_bytes, tail: Tail::default() }
}

fn writer(spec: &JournalSpec) -> JournalWriter {
    JournalWriter::open(spec, Box::new(|| Ok(None))).unwrap()
}

fn record(nth: i64) -> RawRecord {
    RawRecord {
        timestamp: Some(EventTime(nth * 7)),
        key: (nth % 3 > 0).then(|| format!("k{nth}").into()),
        headers: vec![RecordHeader { name: "h".into(), value: Some(vec![nth as u8]) }],
        payload: (nth % 5 > 0).then(|| vec![nth as u8; nth as usize % 50].into()),
        ..RawRecord::default()
    }
}

fn numbered(numbers: std::ops::Range<i64>) -> Vec<RawRecord> {
    numbers.map(|nth| RawRecord { offset: Offset(nth), ..record(nth) }).collect()
}

/// All that a source brings until it ends or has nothing more.
fn drain(source: &mut dyn Source, from: Option<Offset>) -> Vec<RawRecord> {
    assert!(matches!(source.poll(Duration::ZERO).unwrap(), Event::Assigned(ids) if ids == [P]));
    source.start(P, from).unwrap();
    let mut all = Vec::new();
    loop {
        match source.poll(Duration::ZERO).unwrap() {
            Event::Records { records: Records::Raw(records), .. } => all.extend(records),
            Event::Idle { .. } | Event::End { .. } => return all,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn live(spec: &JournalSpec, batch_records: usize) -> Box<dyn Source> {
    let options = OpenOptions { batch_records: Some(batch_records), ..OpenOptions::default() };
    spec.open(options).unwrap().source
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the groups, the segments, the batches and the restarts, the records are the same.
    #[test]
    fn records_are_read_as_they_were_appended(
        groups in prop::collection::vec((1..30_i64, any::<bool>()), 1..12),
        segment_bytes in 50..3000_u64, batch in 1..40_usize, from: prop::sample::Index,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let journal = spec(dir.path(), segment_bytes);
        let mut end = 0;
        let mut open = None;
        for (count, restarts) in groups {
            let log = open.get_or_insert_with(|| writer(&journal));
            log.append(&(end..end + count).map(record).collect::<Vec<_>>()).unwrap();
            end += count;
            if restarts {
                open = None;
            }
        }
        let all = numbered(0..end);
        prop_assert_eq!(&drain(live(&journal, batch).as_mut(), None), &all);
        let from = from.index(end as usize + 1);
        let rest = drain(live(&journal, batch).as_mut(), Some(Offset(from as i64)));
        prop_assert_eq!(&rest[..], &all[from..]);
        let mut history = journal.open_history(Span::default()).unwrap().source;
        prop_assert_eq!(&drain(history.as_mut(), None), &all);
    }

    /// However much of the last group a crash has left: what was durable before it is there, whole
    /// records of the group may be, and what comes next has the numbers that follow.
    #[test]
    fn a_torn_tail_is_cut(kept in 1..20_i64, torn in 1..20_i64, cut: prop::sample::Index, garbage: Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let journal = spec(dir.path(), 1 << 20);
        let path = path_of(dir.path(), Offset(0));
        writer(&journal).append(&(0..kept).map(record).collect::<Vec<_>>()).unwrap();
        let durable = fs::metadata(&path).unwrap().len();
        writer(&journal).append(&(kept..kept + torn).map(record).collect::<Vec<_>>()).unwrap();
        let whole = fs::read(&path).unwrap();
        let cut = durable as usize + cut.index(whole.len() - durable as usize);
        fs::write(&path, [&whole[..cut], &garbage[..]].concat()).unwrap();

        let mut log = writer(&journal);
        let end = journal.tail.end().unwrap().offset.0;
        prop_assert!((kept..kept + torn).contains(&end));
        log.append(&[record(end)]).unwrap();
        prop_assert_eq!(drain(live(&journal, 9).as_mut(), None), numbered(0..end + 1));
    }
}

#[test]
fn pages_of_a_lost_write_in_any_order_are_cut_and_a_damaged_durable_record_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let journal = spec(dir.path(), 1 << 20);
    let path = path_of(dir.path(), Offset(0));
    let mut log = writer(&journal);
    log.append(&(0..5).map(record).collect::<Vec<_>>()).unwrap();
    let durable = fs::metadata(&path).unwrap().len() as usize;
    log.append(&(5..9).map(record).collect::<Vec<_>>()).unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();

    // The first page of the last write is missing: it was never durable.
    let mut lost = whole.clone();
    lost[durable..durable + 20].fill(0);
    fs::write(&path, lost).unwrap();
    writer(&journal);
    assert_eq!(journal.tail.end().unwrap().offset, Offset(5));

    // The same before it: what comes later shows that it was durable.
    let mut damaged = whole;
    damaged[durable - 1] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let error = JournalWriter::open(&journal, Box::new(|| Ok(None))).err().unwrap();
    let text = error.to_string();
    assert_eq!((error.kind, error.retry), (Kind::Source, Retry::Never));
    assert!(text.contains("record 4 cannot be read") && text.contains("its checksum does not fit"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing was cut");
}

#[test]
fn a_damaged_record_in_an_earlier_segment_stops_its_reader_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let journal = spec(dir.path(), 100);
    let mut log = writer(&journal);
    (0..30).for_each(|nth| log.append(&[record(nth)]).unwrap());
    let second = segments(dir.path()).unwrap()[1];
    let path = path_of(dir.path(), second);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();

    let mut source = live(&journal, 4);
    source.poll(Duration::ZERO).unwrap();
    source.start(P, None).unwrap();
    let error = std::iter::repeat_with(|| source.poll(Duration::ZERO)).find_map(Result::err).unwrap();
    assert!(error.to_string().contains(&format!("{} is damaged at byte", path.display())), "{error}");

    fs::remove_file(path).unwrap();
    let mut source = live(&journal, 4);
    source.poll(Duration::ZERO).unwrap();
    source.start(P, None).unwrap();
    let error = std::iter::repeat_with(|| source.poll(Duration::ZERO)).find_map(Result::err).unwrap();
    assert!(error.to_string().contains(&format!("record {second} of the journal")), "{error}");
}

#[test]
fn what_is_not_durable_is_not_read_and_a_failed_write_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = spec(dir.path(), 1 << 20);
    let mut source = live(&journal, 9);
    source.poll(Duration::ZERO).unwrap();
    assert!(matches!(source.poll(Duration::ZERO).unwrap(), Event::Idle { .. }));
    let mut log = writer(&journal);
    log.append(&[record(0)]).unwrap();
    // As if a later write had failed half way.
    let path = path_of(dir.path(), Offset(0));
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(bytes[48..].to_vec());
    fs::write(&path, bytes).unwrap();
    assert_eq!(drain(live(&journal, 9).as_mut(), None), numbered(0..1));

    let second = JournalWriter::open(&journal, Box::new(|| Ok(None))).err().unwrap().to_string();
    assert!(second.contains("another run writes to it"), "{second}");
    let mut source = live(&journal, 9);
    source.poll(Duration::ZERO).unwrap();
    let beyond = source.start(P, Some(Offset(2))).unwrap_err().to_string();
    assert!(beyond.contains("has records 0 to 1, but is to be read from 2"), "{beyond}");
}

#[test]
fn old_segments_go_once_nobody_needs_them_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = spec(dir.path(), 100);
    let append = |journal: &JournalSpec, needed: Option<i64>| {
        let mut log = JournalWriter::open(journal, Box::new(move || Ok(needed.map(Offset)))).unwrap();
        let end = journal.tail.end().unwrap().offset.0;
        (end..end + 10).for_each(|nth| log.append(&[record(nth)]).unwrap());
        segments(dir.path()).unwrap()
    };
    let all = append(&journal, None);
    assert!(all.len() > 3 && all[0] == Offset(0));
    let third = all[2];
    assert_eq!(append(&journal, Some(third.0 - 1))[0], all[1]);
    assert_eq!(append(&journal, Some(third.0))[0], third);
    journal.keep = Duration::from_secs(3600);
    assert_eq!(append(&journal, Some(1000))[0], third, "it is not old enough");
    journal.keep = Duration::ZERO;
    let last = append(&journal, Some(1000));
    let end = journal.tail.end().unwrap().offset;
    assert_eq!(last.len(), 1);
    let mut source = live(&journal, 9);
    source.poll(Duration::ZERO).unwrap();
    assert_eq!(source.offset_range(P).unwrap(), Some(last[0]..end));
    let gone = source.start(P, Some(Offset(0))).unwrap_err().to_string();
    assert!(gone.contains("is to be read from 0"), "{gone}");
    assert_eq!(source.log_id(None).unwrap(), live(&journal, 1).log_id(None).unwrap());
    assert!(journal_frames(&fs::read(path_of(dir.path(), last[0])).unwrap()[48..]).0 > 0);
}
