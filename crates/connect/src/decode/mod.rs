//! Decoding: raw records or columnar rows in, rows of the wanted types and rejects out.
//! It must not know where the records come from, nor what is done with the rows.
//!
//! Every record is judged alone, so the result does not depend on how records were batched. The
//! order of judgement: too large, undecodable, missing key, bad time, future, not finite; the first
//! that holds is the record's reason.

mod avro_schema;
mod columns;
mod convert;
mod csv;
mod json;
mod text;
mod text_column;
mod time;
mod verdict;
mod wire;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use tickcast_stream::Offset;
use tickcast_stream::decode::{Decode, Decoded};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, RawRecord, Reason, Records, Reject, system_fields};

use self::text::TextReader;
use self::verdict::{Verdicts, quote};

pub use self::avro_schema::parse as avro_fields;
pub use self::columns::{check_known, columns};
pub use self::wire::WireFormat;

/// The largest payload that is decoded, in bytes: as a reject, with key and headers, it still fits
/// into a topic with Kafka's own default limits.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// The longest name of a series, in bytes: it is the key of every record that leaves, and in its
/// value again.
const MAX_KEY_BYTES: usize = 1024;

/// A record may be this far ahead of its source's clock, in microseconds.
const MAX_AHEAD_US: i64 = 24 * 3_600 * 1_000_000;

/// What is to be read out of every record.
#[derive(Debug, Clone)]
pub struct DecodeSpec {
    /// How their fields are written.
    pub format: WireFormat,
    /// The column that names the series.
    pub key: String,
    /// The column that holds the event time.
    pub time: String,
    /// The data columns, in order; [`columns()`] makes them.
    pub columns: Vec<Field>,
    /// All fields of a record, where a schema names them; it says too what an integer in the time
    /// column counts.
    pub schema: Option<Vec<Field>>,
    /// The names of a CSV record's fields, in order; none: the schema's. Without either no CSV
    /// record can be decoded.
    pub header: Option<Vec<String>>,
}

/// Decodes the records of one source.
#[derive(Debug)]
pub struct Decoder {
    spec: DecodeSpec,
    /// What an integer in the time column counts; none: told by its size, see `time.rs`.
    time_unit: Option<TimeUnit>,
    schema: SchemaRef,
    text: TextReader,
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&self, records: &Records) -> Result<Decoded> {
        match records {
            Records::Raw(records) => self.decode_raw(records),
            Records::Rows { first_offset, rows } => self.decode_rows(*first_offset, rows),
        }
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
            if !convert::supports(field.data_type()) {
                let what = format!("column `{}`: {} values cannot be read", field.name(), field.data_type());
                return Err(Error::new(Kind::Config, what));
            }
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }

        let mut names = vec![spec.key.clone(), spec.time.clone()];
        names.extend(spec.columns.iter().map(|field| field.name().clone()));
        let of_schema: Option<Vec<String>> =
            spec.schema.as_ref().map(|schema| schema.iter().map(|f| f.name().clone()).collect());
        if let Some(known) = &of_schema {
            check_known(&names, known, "the schema")?;
        }

        let text = TextReader::new(spec.format, names, spec.header.clone().or(of_schema))?;
        let time_unit = columns::time_unit(spec.schema.as_deref(), &spec.time);
        Ok(Decoder { spec, time_unit, schema: Arc::new(Schema::new(fields)), text })
    }

    fn decode_raw(&self, records: &[RawRecord]) -> Result<Decoded> {
        let bytes: usize = records.iter().filter_map(|record| record.payload.as_ref().map(Bytes::len)).sum();
        if i32::try_from(bytes).is_err() {
            return Err(Error::new(Kind::Source, "a poll brought more than 2 GiB of records"));
        }

        let mut verdicts = Verdicts::new(records.len());
        let payloads: Vec<Option<&str>> =
            records.iter().enumerate().map(|(row, record)| readable(record, row, &mut verdicts)).collect();
        let texts = self.text.read(&payloads, &mut verdicts)?;
        let input = Input {
            column_of: &|name| texts.column_by_name(name).map(Arc::clone),
            timestamps: Some(records.iter().map(|record| record.timestamp).collect()),
            offsets: records.iter().map(|record| record.offset.0).collect(),
        };
        let (rows, verdicts) = self.judge(input, verdicts)?;
        Ok(Decoded { rows, rejects: rejects(records.iter().map(|record| record.offset), verdicts) })
    }

    fn decode_rows(&self, first_offset: Offset, batch: &RecordBatch) -> Result<Decoded> {
        let count = batch.num_rows();
        let input = Input {
            column_of: &|name| batch.column_by_name(name).map(Arc::clone),
            timestamps: None,
            offsets: (first_offset.0..first_offset.plus(count).0).collect(),
        };
        let (rows, verdicts) = self.judge(input, Verdicts::new(count))?;
        Ok(Decoded { rows, rejects: rejects((0..count).map(|row| first_offset.plus(row)), verdicts) })
    }

    /// Converts and judges every row, then keeps the good ones.
    fn judge(&self, input: Input<'_>, mut verdicts: Verdicts) -> Result<(RecordBatch, Verdicts)> {
        let data = self.convert_data(&input, &mut verdicts)?;
        let series = text_column::to_text(&input.column(&self.spec.key)?)?;
        self.judge_series(&series, &mut verdicts);
        let written = input.column(&self.spec.time)?;
        let times = time::convert(&written, &self.spec.time, self.time_unit, &mut verdicts)?;
        let columns = self.with_time(data, &written, &times, &mut verdicts)?;

        if let Some(timestamps) = &input.timestamps {
            self.judge_future(&times, timestamps, &mut verdicts);
        }
        for (field, array) in self.spec.columns.iter().zip(&columns) {
            convert::judge_finite(array, field.name(), &mut verdicts);
        }

        let mut all: Vec<ArrayRef> = vec![Arc::new(input.offsets), Arc::new(times), Arc::new(series)];
        all.extend(columns);
        Ok((self.keep_good(all, &verdicts)?, verdicts))
    }

    /// The data columns in their types. The time as a data column waits for its turn: where it
    /// cannot be read, the reason is a bad time.
    fn convert_data(&self, input: &Input<'_>, verdicts: &mut Verdicts) -> Result<Vec<Option<ArrayRef>>> {
        let mut data = Vec::with_capacity(self.spec.columns.len());
        for field in &self.spec.columns {
            data.push(if *field.name() == self.spec.time {
                None
            } else {
                let column = input.column(field.name())?;
                Some(convert::convert(&column, field, Reason::Undecodable, verdicts)?)
            });
        }
        Ok(data)
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
                (None, DataType::Timestamp(..)) => compute::cast(times, field.data_type())
                    .or_fail(Kind::Source, || format!("cannot convert column `{}`", field.name()))?,
                (None, _) => convert::convert(written, field, Reason::BadTime, verdicts)?,
            });
        }
        Ok(columns)
    }

    fn judge_series(&self, series: &StringArray, verdicts: &mut Verdicts) {
        for (row, series) in series.iter().enumerate() {
            let fault = match series {
                None => "missing or null",
                Some("") => "empty",
                Some(key) if key.len() > MAX_KEY_BYTES => {
                    verdicts.reject(row, Reason::TooLarge, || {
                        format!(
                            "the key `{}` has {} bytes, {MAX_KEY_BYTES} are allowed",
                            self.spec.key,
                            key.len()
                        )
                    });
                    continue;
                }
                Some(_) => continue,
            };

            verdicts.reject(row, Reason::MissingKey, || format!("the key `{}` is {fault}", self.spec.key));
        }
    }

    fn judge_future(
        &self,
        times: &TimestampMicrosecondArray,
        timestamps: &[Option<EventTime>],
        verdicts: &mut Verdicts,
    ) {
        for (row, (time, timestamp)) in times.iter().zip(timestamps).enumerate() {
            let (Some(time), Some(timestamp)) = (time, timestamp) else { continue };
            if time > timestamp.plus_us(MAX_AHEAD_US).0 {
                verdicts.reject(row, Reason::Future, || {
                    let (time, timestamp) = (time::show(time), time::show(timestamp.0));
                    let name = &self.spec.time;
                    format!(
                        "time `{name}` is {time}, more than 24 h after the record's timestamp {timestamp}"
                    )
                });
            }
        }
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

/// Records as columns, a row each; a row that has its verdict already may hold nulls.
struct Input<'a> {
    /// The column of this name: text as it was written, or a columnar source's own type.
    column_of: &'a dyn Fn(&str) -> Option<ArrayRef>,
    /// The source's own times of the records, where it has them.
    timestamps: Option<Vec<Option<EventTime>>>,
    offsets: Int64Array,
}

impl Input<'_> {
    fn column(&self, name: &str) -> Result<ArrayRef> {
        let missing = || Error::new(Kind::Source, format!("the rows have no column `{name}`"));
        (self.column_of)(name).ok_or_else(missing)
    }
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
