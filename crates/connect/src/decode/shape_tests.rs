//! Tests of records that are several rows: elements of lists, melted columns, paths, keys of several
//! columns and Kafka's own; and of cells that are null because they cannot be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::json::ReaderBuilder;
use bytes::Bytes;
use proptest::prelude::*;
use tickcast_stream::message::{RecordHeader, column};

use super::*;

/// What is decoded of records, in the order key, time, data columns.
fn decoder(shape: Shape, key: &[&str], time: &str, wanted: &[&str], needed: &[&str]) -> Decoder {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let columns = columns(None, &shape, &names(key), Some(time), &names(wanted)).unwrap();
    let spec = DecodeSpec {
        format: WireFormat::Json,
        csv: CsvStyle::default(),
        key: SeriesKey::Columns(names(key)),
        time: TimeSpec { unit: Some(TimeCount::S), ..TimeSpec::of(time) },
        time_by: None,
        future_us: i64::MAX / 2,
        shape,
        nulls: Nulls::default(),
        columns,
        needed: names(needed).into_iter().collect::<BTreeSet<_>>(),
        schema: None,
        header: None,
        definition: None,
        writers: None,
    };
    Decoder::new(spec, PartitionId(2)).unwrap()
}

fn unnest(list: &str) -> Shape {
    Shape { unnest: Some(list.into()), ..Shape::default() }
}

fn melt(columns: &[&str]) -> Shape {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let melt = Some(Melt { columns, name: "sensor".into(), value: "v".into() });
    Shape { melt, ..Shape::default() }
}

fn raw(payloads: &[&str]) -> Vec<RawRecord> {
    let record = |(offset, payload): (usize, &&str)| RawRecord {
        offset: Offset(offset as i64),
        payload: Some(Bytes::copy_from_slice(payload.as_bytes())),
        ..RawRecord::default()
    };
    payloads.iter().enumerate().map(record).collect()
}

/// Offset, series and value of every row.
fn rows(decoded: &Decoded, value: &str) -> Vec<(i64, String, Option<f64>)> {
    let offsets = decoded.rows[column::OFFSET].as_primitive::<Int64Type>();
    let series = decoded.rows[column::SERIES].as_string::<i32>();
    let values = decoded.rows[value].as_primitive::<Float64Type>();
    let row = |row: usize| {
        let value = values.is_valid(row).then(|| values.value(row));
        (offsets.value(row), series.value(row).to_owned(), value)
    };
    (0..decoded.rows.num_rows()).map(row).collect()
}

#[test]
fn the_elements_of_a_list_are_rows_and_a_reject_names_its_element() {
    let decoder = decoder(unnest("readings"), &["id"], "readings.ts", &["temp"], &["temp"]);
    let decoded = decoder
        .decode(&Records::Raw(raw(&[
            r#"{"id":"a","readings":[{"ts":1,"temp":1.5},{"ts":"x","temp":2},{"ts":3,"temp":"warm"}]}"#,
            r#"{"id":"b","readings":[]}"#,
            r#"{"id":"c"}"#,
            r#"{"readings":[{"id":"d","ts":4,"temp":4}]}"#,
        ])))
        .unwrap();
    let expected = [(0, "a".to_owned(), Some(1.5)), (3, "d".to_owned(), Some(4.0))];
    assert_eq!(rows(&decoded, "temp"), expected);

    let said: Vec<_> =
        decoded.rejects.iter().map(|of| (of.offset.0, of.reason, of.detail.as_str())).collect();
    assert_eq!(said[0].1, Reason::BadTime);
    assert!(said[0].2.starts_with("element 2 of `readings`: time `readings.ts`: `x`"), "{}", said[0].2);
    assert_eq!(said[1].2, "element 3 of `readings`: column `temp`: `warm` is no number");
    assert_eq!(said[2], (2, Reason::Undecodable, "the record has no list `readings`"));
    assert_eq!(said.len(), 3);
}

#[test]
fn columns_become_rows_where_they_have_a_value() {
    let shape = melt(&["t1", "t2", "t3"]);
    let decoder = decoder(shape, &["plant", "sensor"], "at", &["v"], &["v"]);
    let decoded = decoder
        .decode(&Records::Raw(raw(&[
            r#"{"plant":"p","at":1,"t1":1,"t2":2.5,"t3":null}"#,
            r#"{"plant":"p","at":2,"t2":"NA","t3":"x"}"#,
            r#"{"plant":"p","at":3}"#,
        ])))
        .unwrap();
    let expected = [(0, "p/t1".to_owned(), Some(1.0)), (0, "p/t2".to_owned(), Some(2.5))];
    assert_eq!(rows(&decoded, "v"), expected);
    assert_eq!(decoded.rejects.len(), 1);
    assert_eq!(decoded.rejects[0].detail, "`t3`: column `v`: `x` is no number");
}

#[test]
fn what_kafka_has_of_a_record_is_a_column() {
    let decoder = decoder(
        Shape::default(),
        &["$key", "$headers.site"],
        "$timestamp",
        &["$partition", "$offset", "v"],
        &[],
    );
    let mut records = raw(&[r#"{"v":1}"#, r#"{"v":2}"#, r#"{"v":3}"#]);
    let site = |value: &[u8]| RecordHeader { name: "site".into(), value: Some(value.to_vec()) };
    for record in &mut records {
        record.key = Some(Bytes::from_static(b"k"));
        record.timestamp = Some(EventTime(7_000_000));
        record.headers = vec![site(b"north")];
    }
    records[1].key = Some(Bytes::from_static(b"\xff"));
    records[2].headers.clear();

    let decoded = decoder.decode(&Records::Raw(records)).unwrap();
    assert_eq!(decoded.rows[column::SERIES].as_string::<i32>(), &StringArray::from(vec!["k/north"]));
    assert_eq!(decoded.rows["$partition"].as_primitive::<Int64Type>().values(), &[2]);
    assert_eq!(decoded.rows["$offset"].as_primitive::<Int64Type>().values(), &[0]);
    let details: Vec<_> = decoded.rejects.iter().map(|reject| reject.detail.as_str()).collect();
    assert_eq!(details, ["the key `$key` is not UTF-8", "the key `$headers.site` is missing or null"]);
}

/// Case 11: a word in a column that is no target took the whole record.
#[test]
fn a_cell_that_cannot_be_read_is_null_and_counted_unless_the_target_is_made_of_it() {
    let decoder = decoder(Shape::default(), &["id"], "at", &["v", "other"], &["v"]);
    let decoded = decoder
        .decode(&Records::Raw(raw(&[
            r#"{"id":"a","at":1,"v":1,"other":"12%"}"#,
            r#"{"id":"a","at":2,"v":2,"other":[1]}"#,
            r#"{"id":"a","at":3,"v":"NA","other":1e999}"#,
            r#"{"id":"a","at":4,"v":"x","other":"y"}"#,
            r#"{"id":"a","at":5,"v":1e999,"other":5}"#,
        ])))
        .unwrap();
    assert_eq!(decoded.rows["other"].null_count(), 3);
    let values = rows(&decoded, "v").into_iter().map(|(.., value)| value);
    assert_eq!(values.collect::<Vec<_>>(), [Some(1.0), Some(2.0), None]);

    let blank: Vec<_> = decoded.blank.iter().map(|cell| (cell.offset.0, cell.column)).collect();
    assert_eq!(blank, [(0, 4), (1, 4), (2, 4)]);
    assert_eq!(decoded.blank[0].detail.as_deref(), Some("column `other`: `12%` is no number"));
    let reasons: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect();
    assert_eq!(reasons, [(3, Reason::Undecodable), (4, Reason::NotFinite)]);
}

/// One element, or what is none.
fn element() -> impl Strategy<Value = String> {
    let word = prop_oneof![Just("1"), Just("2.5"), Just("null"), Just("\"x\""), Just("[1]"), Just("{}")];
    (word.clone(), word.clone(), any::<bool>()).prop_map(|(ts, temp, has_id)| {
        let id = if has_id { ",\"id\":\"own\"" } else { "" };
        format!("{{\"ts\":{ts},\"p\":{{\"temp\":{temp}}}{id}}}")
    })
}

fn payload() -> impl Strategy<Value = String> {
    let list = proptest::collection::vec(element(), 0..4).prop_map(|list| format!("[{}]", list.join(",")));
    let list = prop_oneof![6 => list, 1 => Just("null".to_owned()), 1 => Just("7".to_owned())];
    (list, any::<bool>()).prop_map(|(list, has_id)| {
        let id = if has_id { "\"id\":\"m\"," } else { "" };
        format!("{{{id}\"list\":{list}}}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn records_of_several_rows_are_judged_alone(payloads in proptest::collection::vec(payload(), 0..8)) {
        let decoder = decoder(unnest("list"), &["id"], "list.ts", &["p.temp"], &[]);
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let records = raw(&payloads);
        let together = decoder.decode(&Records::Raw(records.clone())).unwrap();
        let alone: Vec<Decoded> = records
            .into_iter()
            .map(|record| decoder.decode(&Records::Raw(vec![record])).unwrap())
            .collect();
        let parts: Vec<_> = alone.iter().map(|part| part.rows.clone()).collect();
        prop_assert_eq!(concat_batches(&decoder.schema(), &parts).unwrap(), together.rows);
        prop_assert_eq!(alone.into_iter().flat_map(|part| part.rejects).collect::<Vec<_>>(), together.rejects);
    }

    /// The same values as text and as columns of lists and objects are the same rows.
    #[test]
    fn lists_of_columns_are_taken_apart_as_those_of_text_are(
        records in proptest::collection::vec((any::<bool>(), proptest::option::of(proptest::collection::vec(
            (proptest::option::of(0_i64..9), proptest::option::of(0_i32..99)), 0..4,
        ))), 1..8),
    ) {
        let number = |value: Option<String>| value.unwrap_or_else(|| "null".into());
        let payloads: Vec<String> = records.iter().map(|(has_id, list)| {
            let elements = list.as_ref().map(|list| {
                let element = |(ts, temp): &(Option<i64>, Option<i32>)| {
                    let (ts, temp) = (number(ts.map(|ts| ts.to_string())), number(temp.map(|of| of.to_string())));
                    format!("{{\"ts\":{ts},\"p\":{{\"temp\":{temp}}}}}")
                };
                format!("[{}]", list.iter().map(element).collect::<Vec<_>>().join(","))
            });
            let id = if *has_id { "\"m\"" } else { "null" };
            format!("{{\"id\":{id},\"list\":{}}}", number(elements))
        }).collect();

        let p = DataType::Struct(vec![Field::new("temp", DataType::Float64, true)].into());
        let element =
            DataType::Struct(vec![Field::new("ts", DataType::Int64, true), Field::new("p", p, true)].into());
        let schema = Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("list", DataType::List(Field::new("item", element, true).into()), true),
        ]);
        let mut reader = ReaderBuilder::new(Arc::new(schema)).build_decoder().unwrap();
        reader.decode(payloads.join("\n").as_bytes()).unwrap();
        let columns = reader.flush().unwrap().unwrap();

        let decoder = decoder(unnest("list"), &["id"], "list.ts", &["p.temp"], &[]);
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let of_text = decoder.decode(&Records::Raw(raw(&payloads))).unwrap();
        let of_columns = decoder.decode(&Records::Rows { first_offset: Offset(0), rows: columns }).unwrap();
        prop_assert_eq!(of_columns, of_text);
    }
}
