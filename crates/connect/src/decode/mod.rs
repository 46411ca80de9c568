//! Decoding: raw records or columnar rows in, rows of the wanted types and rejects out.
//! It must not know where the records come from, nor what is done with the rows.
//!
//! Every record is judged alone, so the result does not depend on how records were batched. The
//! order of judgement: too large, undecodable, missing key, bad time, future, not finite; the first
//! that holds is the record's reason.

mod avro_schema;
mod cells;
mod columns;
mod computed_time;
mod convert;
mod csv;
mod json;
mod json_fault;
mod json_scanner;
mod quotes;
mod rows;
mod series;
mod spec;
mod text;
mod text_column;
mod time;
mod verdict;
mod wire;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde::de::IgnoredAny;
use tickcast_stream::Offset;
use tickcast_stream::decode::{Decode, Decoded, FirstTime};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, RawRecord, Reason, Records, Reject, shown, system_fields};

use self::computed_time::{ReadTimes, first_time};
use self::convert::Converted;
use self::json::JsonReader;
use self::rows::{Layout, RowBuilder};
use self::text::TextReader;
use self::time::TimeReader;
use self::verdict::{Verdicts, quote};

pub use self::avro_schema::parse as avro_fields;
pub(crate) use self::quotes::Quotes;

use self::columns::unknown;
pub use self::columns::{check_known, columns};
pub use self::computed_time::{Compute, ComputedValues, TimeComputation};
pub use self::spec::DecodeSpec;
pub use self::time::{Ambiguous, TimeCount, TimeFrom, TimeSpec, check_time_format, time_zone};
pub use self::wire::WireFormat;

/// The largest payload that is decoded, in bytes: as a reject, with key and headers, it still fits
/// into a topic with Kafka's own default limits.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// Decodes the records of one source.
#[derive(Debug)]
pub struct Decoder {
    spec: DecodeSpec,
    time_reader: TimeReader,
    /// The first time that it has read, and what it was read from.
    first_time: OnceCell<FirstTime>,
    schema: SchemaRef,
    layout: Layout,
    reader: Reader,
}

/// What takes the fields' texts out of a payload.
#[derive(Debug)]
enum Reader {
    Json(JsonReader),
    Csv(TextReader),
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn fields_beside(&self, name: &str, record: &RawRecord) -> Option<String> {
        let (Reader::Json(_), Some(payload)) = (&self.reader, &record.payload) else { return None };
        let fields: BTreeMap<String, IgnoredAny> = serde_json::from_slice(payload).ok()?;
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        let is_null = || "the newest has it, and it is null".to_owned();
        Some(if known.contains(&name) { is_null() } else { unknown(name, &known, "the newest") })
    }

    fn decode(&self, records: &Records) -> Result<Decoded> {
        match records {
            Records::Raw(records) => self.decode_raw(records),
            Records::Rows { first_offset, rows } => self.decode_rows(*first_offset, rows),
        }
    }

    fn first_time(&self) -> Option<&FirstTime> {
        self.first_time.get()
    }
}

impl Decoder {
    /// Errors: `Config`, when a column is not in the schema or the CSV header, comes twice or has a
    /// type that cannot be read.
    pub fn new(spec: DecodeSpec) -> Result<Self> {
        let mut fields = system_fields();
        for field in &spec.columns {
            if fields.iter().any(|known| known.name() == field.name()) {
                return Err(Error::new(Kind::Config, format!("column `{}` is taken already", field.name())));
            }
            if cells::cells(field.data_type(), 0).is_none() {
                let what = format!("column `{}`: {} values cannot be read", field.name(), field.data_type());
                return Err(Error::new(Kind::Config, what));
            }
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }

        let layout = Layout::new(&spec);
        let of_schema: Option<Vec<String>> =
            spec.schema.as_ref().map(|schema| schema.iter().map(|f| f.name().clone()).collect());
        if let Some(known) = &of_schema {
            check_known(&layout.names, known, "the schema")?;
        }

        let reader = match spec.format {
            WireFormat::Json => Reader::Json(JsonReader::new(layout.names.clone())),
            WireFormat::Csv => {
                Reader::Csv(TextReader::new(&layout.names, spec.header.clone().or(of_schema))?)
            }
        };
        if spec.time.from.expression().is_some() != spec.time_by.is_some() {
            return Err(Error::new(
                Kind::Config,
                "a time is computed where it is an expression, and only there",
            ));
        }
        let time_unit =
            spec.time.from.column().and_then(|time| columns::time_unit(spec.schema.as_deref(), time));
        let time_reader = TimeReader::new(&spec.time, time_unit)?;
        let (schema, first_time) = (Arc::new(Schema::new(fields)), OnceCell::new());
        Ok(Decoder { spec, time_reader, first_time, schema, layout, reader })
    }

    fn decode_raw(&self, records: &[RawRecord]) -> Result<Decoded> {
        let bytes: usize = records.iter().filter_map(|record| Some(record.payload.as_ref()?.len())).sum();
        if i32::try_from(bytes).is_err() {
            return Err(Error::new(Kind::Source, "a poll brought more than 2 GiB of records"));
        }

        let mut verdicts = Verdicts::new(records.len());
        let rows = RowBuilder::new(&self.spec, &self.layout, &self.time_reader, records.len())?;
        let converted = match &self.reader {
            Reader::Json(json) => read_json(json, records, rows, &mut verdicts)?,
            Reader::Csv(csv) => read_csv(csv, records, rows, &mut verdicts)?,
        };

        for (row, record) in records.iter().enumerate() {
            self.judge_future(row, converted.times.value(row), record.timestamp, &mut verdicts);
        }
        let offsets = records.iter().map(|record| record.offset.0).collect();
        let rows = self.judge_finite(offsets, converted, &mut verdicts)?;
        Ok(Decoded { rows, rejects: rejects(records.iter().map(|record| record.offset), verdicts) })
    }

    fn decode_rows(&self, first_offset: Offset, batch: &RecordBatch) -> Result<Decoded> {
        let count = batch.num_rows();
        let mut verdicts = Verdicts::new(count);
        let converted = self.convert(batch, &mut verdicts)?;
        let offsets = (first_offset.0..first_offset.plus(count).0).collect();
        let rows = self.judge_finite(offsets, converted, &mut verdicts)?;
        Ok(Decoded { rows, rejects: rejects((0..count).map(|row| first_offset.plus(row)), verdicts) })
    }

    /// The columns of a columnar source in their types, judged in the same order as text.
    fn convert(&self, batch: &RecordBatch, verdicts: &mut Verdicts) -> Result<Converted> {
        let column = |name: &str| {
            let missing = || Error::new(Kind::Source, format!("the rows have no column `{name}`"));
            batch.column_by_name(name).ok_or_else(missing)
        };

        // The time as a data column waits for its turn: where it cannot be read, the reason is a
        // bad time.
        let mut data = Vec::with_capacity(self.spec.columns.len());
        for field in &self.spec.columns {
            data.push(if Some(field.name().as_str()) == self.spec.time.from.column() {
                None
            } else {
                Some(convert::convert(column(field.name())?, field, Reason::Undecodable, verdicts)?)
            });
        }

        let series = text_column::to_text(column(&self.spec.key)?)?;
        for (row, name) in series.iter().enumerate() {
            series::judge(row, name, &self.spec.key, verdicts);
        }
        let from = &self.spec.time.from;
        let (times, first) = match &self.spec.time_by {
            Some(computation) => {
                let mut inputs = Vec::with_capacity(computation.inputs().len());
                for field in computation.inputs() {
                    inputs.push(convert::convert(column(field.name())?, field, Reason::BadTime, verdicts)?);
                }
                computation.times(inputs, batch.num_rows(), (from, &self.time_reader), verdicts)?
            }
            None => self.times_of(column(from.column().unwrap_or_default())?, verdicts)?,
        };

        // With an expression no column is the time.
        let data = match from.column() {
            Some(name) => self.with_time(data, column(name)?, &times, verdicts)?,
            None => data.into_iter().flatten().collect(),
        };
        Ok(Converted { data, series, times, first })
    }

    /// The times of a column, and what the first of them was read from while none has been read.
    fn times_of(&self, written: &ArrayRef, verdicts: &mut Verdicts) -> Result<ReadTimes> {
        let times = self.time_reader.convert(written, &self.spec.time.from, verdicts)?;
        let first = if self.first_time.get().is_none() { first_time(&times, written)? } else { None };
        Ok((times, first))
    }

    /// The data columns with the time among them, where it is one.
    fn with_time(
        &self,
        data: Vec<Option<ArrayRef>>,
        written: &ArrayRef,
        times: &TimestampMicrosecondArray,
        verdicts: &mut Verdicts,
    ) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(data.len());
        for (field, array) in self.spec.columns.iter().zip(data) {
            columns.push(match (array, field.data_type()) {
                (Some(array), _) => array,
                (None, DataType::Timestamp(..)) => convert::times_as(times, field)?,
                (None, _) => convert::convert(written, field, Reason::BadTime, verdicts)?,
            });
        }
        Ok(columns)
    }

    fn judge_future(&self, row: usize, time: i64, timestamp: Option<EventTime>, verdicts: &mut Verdicts) {
        let ahead_us = self.spec.future_us;
        let Some(timestamp) = timestamp.filter(|timestamp| time > timestamp.plus_us(ahead_us).0) else {
            return;
        };
        verdicts.reject(row, Reason::Future, || {
            let (time, timestamp) = (shown(EventTime(time)), shown(timestamp));
            let name = self.spec.time.from.shown();
            let ahead = jiff::SignedDuration::from_micros(ahead_us);
            format!("time {name} is {time}, more than {ahead:#} after the record's timestamp {timestamp}")
        });
    }

    /// The rows that are good, once it is judged whether their numbers are finite.
    fn judge_finite(
        &self,
        offsets: Int64Array,
        converted: Converted,
        verdicts: &mut Verdicts,
    ) -> Result<RecordBatch> {
        let Converted { data, series, times, first } = converted;
        if let Some((us, written)) = first {
            self.first_time
                .get_or_init(|| FirstTime { time: shown(EventTime(us)), written: quote(&written) });
        }
        for (field, array) in self.spec.columns.iter().zip(&data) {
            convert::judge_finite(array, field.name(), verdicts);
        }

        let mut all: Vec<ArrayRef> = vec![Arc::new(offsets), Arc::new(times), Arc::new(series)];
        all.extend(data);
        self.keep_good(all, verdicts)
    }

    fn keep_good(&self, columns: Vec<ArrayRef>, verdicts: &Verdicts) -> Result<RecordBatch> {
        let failed = || "cannot keep the good rows of a batch";
        let columns = if verdicts.all_good() {
            columns
        } else {
            let good: BooleanArray = verdicts.good().map(Some).collect();
            let kept = columns.iter().map(|column| compute::filter(column, &good));
            kept.collect::<std::result::Result<_, _>>().or_fail(Kind::Source, failed)?
        };
        RecordBatch::try_new(self.schema(), columns).or_fail(Kind::Source, failed)
    }
}

/// Takes the rows out of JSON payloads.
fn read_json(
    json: &JsonReader,
    records: &[RawRecord],
    mut rows: RowBuilder<'_>,
    verdicts: &mut Verdicts,
) -> Result<Converted> {
    let mut batch = json.batch();
    for (row, record) in records.iter().enumerate() {
        match readable(record, row, verdicts).map(|payload| batch.read(payload)) {
            Some(Ok(())) => {}
            Some(Err(fault)) => verdicts.reject(row, Reason::Undecodable, || fault),
            None => batch.clear(),
        }
        rows.push(row, |place| batch.text(place), verdicts);
    }
    rows.finish(verdicts)
}

/// Takes the rows out of CSV payloads.
fn read_csv(
    csv: &TextReader,
    records: &[RawRecord],
    mut rows: RowBuilder<'_>,
    verdicts: &mut Verdicts,
) -> Result<Converted> {
    let payloads: Vec<Option<&str>> =
        records.iter().enumerate().map(|(row, record)| readable(record, row, verdicts)).collect();
    let texts = csv.read(&payloads, verdicts)?;
    let columns: Vec<_> = texts.columns().iter().map(|column| column.as_string::<i32>()).collect();
    for row in 0..records.len() {
        let text = |place: usize| columns[place].is_valid(row).then(|| columns[place].value(row));
        rows.push(row, text, verdicts);
    }
    rows.finish(verdicts)
}

/// The records that were not taken in.
fn rejects(offsets: impl Iterator<Item = Offset>, verdicts: Verdicts) -> Vec<Reject> {
    let judged = offsets.zip(verdicts);
    judged
        .filter_map(|(offset, verdict)| verdict.map(|(reason, detail)| Reject { offset, reason, detail }))
        .collect()
}

/// The payload as text, where it has a fitting size and is text at all.
fn readable<'a>(record: &'a RawRecord, row: usize, verdicts: &mut Verdicts) -> Option<&'a str> {
    let Some(payload) = &record.payload else {
        verdicts.reject(row, Reason::Undecodable, || "the record has no value (a tombstone)".into());
        return None;
    };

    if payload.len() > MAX_RECORD_BYTES {
        let size = record.cut_from.unwrap_or(payload.len() as u64);
        verdicts.reject(row, Reason::TooLarge, || {
            format!("the record has {size} bytes, {MAX_RECORD_BYTES} are allowed")
        });
        return None;
    }

    match std::str::from_utf8(payload) {
        // A mark at the start is a habit of some producers and no part of the record.
        Ok(text) => Some(text.trim_start_matches('\u{feff}')),
        Err(error) => {
            verdicts.reject(row, Reason::Undecodable, || {
                let start = quote(&String::from_utf8_lossy(payload));
                format!("not UTF-8 at byte {}: {start}", error.valid_up_to())
            });
            None
        }
    }
}

#[cfg(test)]
mod tests;
