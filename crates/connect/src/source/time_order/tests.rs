//! Tests of files in the order of time: of any form, any bound of memory and any position.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray};

use super::super::file_spec::{FileEnd, FileFormat, FileOrder, FileSourceSpec};
use super::*;
use crate::decode::{
    CsvSpec, CsvStyle, DecodeSpec, Decoder, Nulls, SeriesKey, Shape, TimeSpec, WireFormat, columns,
};

const ROWS: i64 = 500;

/// The minute of a row: shuffled, and each comes twice.
fn minute(row: i64) -> i64 {
    row * 7919 % ROWS / 2
}

fn csv() -> String {
    let row = |row: i64| match row % 100 {
        13 => format!("s,never,{row}\n"),
        _ => format!("s,2024-05-01T{:02}:{:02}:00Z,{row}\n", minute(row) / 60, minute(row) % 60),
    };
    (0..ROWS).fold("name,t,v\n".to_owned(), |text, n| text + &row(n))
}

fn parquet() -> Vec<u8> {
    let at = |row: i64| (row % 100 != 13).then(|| 1_714_521_600_000_000 + minute(row) * 60_000_000);
    let columns: [(&str, ArrayRef); 3] = [
        ("name", Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| "s")))),
        ("t", Arc::new((0..ROWS).map(at).collect::<TimestampMicrosecondArray>())),
        ("v", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64)))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
    let batch = batch.unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn opened(path: &Path, position: i64, memory_bytes: usize, batch: usize) -> InTimeOrder {
    let format = if path.ends_with("in.parquet") { FileFormat::Parquet } else { FileFormat::Csv };
    let spec = FileSourceSpec {
        path: PathBuf::from(path),
        format,
        csv: CsvSpec::default(),
        end: FileEnd::Close,
        order: FileOrder::Time,
    };
    let inner = FileSource::open(&spec).unwrap().with_batch_records(batch);
    let (header, fields) = (inner.header(), inner.fields().map(<[_]>::to_vec));
    let decoder = Decoder::new(
        DecodeSpec {
            format: WireFormat::Csv,
            csv: CsvStyle::default(),
            key: SeriesKey::column("name"),
            shape: Shape::default(),
            nulls: Nulls::default(),
            needed: BTreeSet::from(["v".to_owned()]),
            time: TimeSpec::of("t"),
            time_by: None,
            future_us: 0,
            columns: columns(
                fields.as_deref(),
                &Shape::default(),
                &["name".to_owned()],
                Some("t"),
                &["v".to_owned()],
            )
            .unwrap(),
            header,
            definition: None,
            writers: None,
            schema: fields,
        },
        PartitionId(0),
    );

    let mut source = InTimeOrder::new(inner, Some(batch)).with_memory_bytes(memory_bytes);
    source.know_times(Box::new(decoder.unwrap()));
    let id = PartitionId(0);
    assert!(matches!(source.poll(Duration::ZERO).unwrap(), Event::Assigned(ids) if ids == [id]));
    source.start(id, Some(Offset(position))).unwrap();
    source
}

/// Position, where it stood, and the value of each record.
fn drain(source: &mut InTimeOrder) -> Vec<(i64, i64, i64)> {
    let mut seen = Vec::new();
    loop {
        match source.poll(Duration::ZERO).unwrap() {
            Event::Records { records: Records::Raw(records), .. } => {
                seen.extend(records.iter().map(|record| {
                    let payload = std::str::from_utf8(record.payload.as_ref().unwrap()).unwrap();
                    let value = payload.rsplit(',').next().unwrap().parse().unwrap();
                    (record.offset.0, record.origin.unwrap().0, value)
                }));
            }
            Event::Records { records: Records::Rows { first_offset, rows }, .. } => {
                let stood = rows[column::ORIGIN].as_primitive::<Int64Type>();
                let values = rows["v"].as_primitive::<arrow::datatypes::Float64Type>();
                seen.extend(
                    (0..rows.num_rows())
                        .map(|row| (first_offset.plus(row).0, stood.value(row), values.value(row) as i64)),
                );
            }
            Event::End { .. } => return seen,
            Event::Idle { problem: None } => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// Records of one time as they stand in the file, those without a time first; the same in memory
/// and by way of the disk, from any position, in any batches.
#[test]
fn any_form_bound_position_and_batch_gives_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected: Vec<i64> = (0..ROWS).collect();
    expected.sort_by_key(|row| if row % 100 == 13 { -1 } else { minute(*row) });
    let expected: Vec<_> = expected.iter().enumerate().map(|(at, row)| (at as i64, *row, *row)).collect();

    for (name, bytes) in [("in.csv", csv().into_bytes()), ("in.parquet", parquet())] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for memory_bytes in [1, 10_000, usize::MAX] {
            for (position, batch) in [(0, 64), (7, 1), (ROWS, 100), (123, 1000)] {
                let seen = drain(&mut opened(&path, position, memory_bytes, batch));
                assert_eq!(seen, expected[position as usize..], "{name} {memory_bytes} {position} {batch}");
            }
        }
    }
}

#[test]
fn a_position_beyond_the_end_and_a_file_without_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.csv");
    std::fs::write(&path, "name,t,v\ns,2024-05-01,1\n").unwrap();
    let mut source = opened(&path, 2, 1, 10);
    assert!(matches!(source.poll(Duration::ZERO).unwrap(), Event::Idle { .. }));
    let error = source.poll(Duration::ZERO).unwrap_err().to_string();
    assert!(error.ends_with("has 1 records, but is to be read from record 2 on"), "{error}");

    std::fs::write(&path, "name,t,v\n").unwrap();
    assert_eq!(drain(&mut opened(&path, 0, 1, 10)), []);
}
