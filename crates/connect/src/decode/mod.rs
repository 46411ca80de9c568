//! Decoding: raw records or columnar rows in, rows of the wanted types and rejects out.
//! It must not know where the records come from, nor what is done with the rows.
//!
//! Every record is judged alone, so the result does not depend on how records were batched. The
//! order of judgement: too large, undecodable, missing key, bad time, future, not finite; the first
//! that holds is the record's reason.

mod avro;
mod cell;
mod cells;
mod columnar;
mod columns;
mod computed_time;
mod convert;
mod csv;
mod csv_spec;
mod csv_style;
mod envelope;
mod expand;
mod framing;
mod json;
mod json_fault;
mod json_fields;
mod json_scanner;
mod json_schema;
mod layout;
mod nested_columns;
mod nulls;
mod number_style;
mod paths;
mod payloads;
mod protobuf;
mod quotes;
mod record_column;
mod record_schema;
mod rows;
mod series;
mod shape;
mod spec;
mod spread;
mod text;
mod text_column;
mod time;
mod unreadable;
mod value;
mod verdict;
mod wanted;
mod wire;
mod writer_schemas;

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::compute;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::decode::{BlankCell, Decode, Decoded, FirstTime};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, RawRecord, Reason, Records, Reject, shown, system_fields};
use tickcast_stream::{Offset, PartitionId, PassedOver};

use self::avro::AvroReader;
use self::convert::Converted;
use self::json::JsonReader;
use self::layout::Layout;
use self::payloads::read_payloads;
use self::protobuf::ProtoReader;
use self::record_schema::Definition;
use self::rows::RowBuilder;
use self::spread::Spread;
use self::text::TextReader;
use self::time::TimeReader;
use self::verdict::{Verdicts, quote};
use self::wanted::Wanted;

pub(crate) use self::avro::AvroObjects;
#[cfg(test)]
pub(crate) use self::avro::write_long;
pub(crate) use self::framing::{Framed, without_frame};
pub(crate) use self::protobuf::ProtoSchema;
pub(crate) use self::quotes::{Quoted, Quotes};

use self::columns::unknown;
pub use self::columns::{check_known, columns, root_of};
pub use self::computed_time::{Compute, ComputedValues, TimeComputation};
pub use self::csv_spec::{CsvHeader, CsvSpec, csv_encoding};
pub use self::csv_style::CsvStyle;
pub use self::nulls::Nulls;
pub use self::number_style::NumberStyle;
pub use self::payloads::MAX_RECORD_BYTES;
pub use self::record_column::RecordColumn;
pub use self::record_schema::RecordSchema;
pub use self::series::SeriesKey;
pub use self::shape::{Envelope, Melt, Shape, Tombstones};
pub use self::spec::DecodeSpec;
pub use self::time::{Ambiguous, TimeCount, TimeFrom, TimeSpec, check_time_format, time_zone};
pub use self::wire::WireFormat;
pub use self::writer_schemas::{FetchSchema, SchemaText, WriterSchemas};

/// Decodes the records of one partition.
#[derive(Debug)]
pub struct Decoder {
    spec: DecodeSpec,
    partition: PartitionId,
    time_reader: TimeReader,
    /// The first time that it has read, and what it was read from.
    first_time: OnceCell<FirstTime>,
    schema: SchemaRef,
    layout: Layout,
    reader: Reader,
}

/// What takes the fields out of a payload.
#[derive(Debug)]
enum Reader {
    Json(JsonReader),
    Csv(TextReader),
    Avro(AvroReader),
    Protobuf(ProtoReader),
}

impl Reader {
    /// The one line a format. Errors: `Config`, when it lacks what says its fields.
    fn new(spec: &DecodeSpec, layout: &Layout) -> Result<Self> {
        let (fields, schemas) = (&layout.fields, spec.writers.clone());
        let wanted = Wanted::new(fields, &spec.shape);
        let definition = spec.definition.as_ref().map(|schema| &schema.0);
        let missing =
            |format| Error::new(Kind::Config, format!("{format} needs a schema or a schema registry"));
        Ok(match (spec.format, definition) {
            (WireFormat::Json, _) => Reader::Json(JsonReader::new(wanted)),
            (WireFormat::Csv, _) => {
                let names = |schema: &Vec<Field>| schema.iter().map(|field| field.name().clone()).collect();
                let header = spec.header.clone().or_else(|| spec.schema.as_ref().map(names));
                Reader::Csv(TextReader::new(fields, header, spec.csv)?)
            }
            (WireFormat::Avro, Some(Definition::Avro(schema))) => {
                Reader::Avro(AvroReader::new(fields, wanted, Some(Arc::clone(schema)), schemas))
            }
            (WireFormat::Avro, _) if schemas.is_some() => {
                Reader::Avro(AvroReader::new(fields, wanted, None, schemas))
            }
            (WireFormat::Avro, _) => return Err(missing("Avro")),

            (WireFormat::Protobuf, Some(Definition::Protobuf(message))) => {
                Reader::Protobuf(ProtoReader::new(wanted, Some(message), schemas))
            }
            (WireFormat::Protobuf, _) if schemas.is_some() => {
                Reader::Protobuf(ProtoReader::new(wanted, None, schemas))
            }
            (WireFormat::Protobuf, _) => return Err(missing("Protobuf")),
        })
    }
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn fields_beside(&self, name: &str, record: &RawRecord) -> Option<String> {
        let (Reader::Json(_), Some(payload)) = (&self.reader, &record.payload) else { return None };
        let known = json_fields::of(payload, &self.spec.shape)?;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
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
    pub fn new(spec: DecodeSpec, partition: PartitionId) -> Result<Self> {
        let mut fields = system_fields();
        for field in &spec.columns {
            if fields.iter().any(|known| known.name() == field.name()) {
                return Err(Error::new(Kind::Config, format!("column `{}` is taken already", field.name())));
            }
            if cells::cells(field.data_type(), 0, cells::Reading::default()).is_none() {
                let what = format!("column `{}`: {} values cannot be read", field.name(), field.data_type());
                return Err(Error::new(Kind::Config, what));
            }
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }

        if spec.shape.envelope.is_some() && spec.format == WireFormat::Csv {
            return Err(no_envelope());
        }
        let layout = Layout::new(&spec);
        let reader = Reader::new(&spec, &layout)?;
        if spec.time.from.expression().is_some() != spec.time_by.is_some() {
            return Err(Error::new(
                Kind::Config,
                "a time is computed where it is an expression, and only there",
            ));
        }
        let time_unit = spec
            .time
            .from
            .column()
            .and_then(|time| columns::time_unit(spec.schema.as_deref(), &spec.shape, time));
        let time_reader = TimeReader::new(&spec.time, time_unit)?;
        let (schema, first_time) = (Arc::new(Schema::new(fields)), OnceCell::new());
        Ok(Decoder { spec, partition, time_reader, first_time, schema, layout, reader })
    }

    /// The columns that it reads of a source that has columns, or the paths into them; of a list
    /// that is taken apart the fields of its elements.
    pub fn source_columns(&self) -> Vec<String> {
        let fields = &self.layout.fields;
        match (&self.spec.schema, &self.spec.shape.unnest) {
            (Some(schema), Some(list)) => columns::with_elements(fields, list, schema),
            (None, Some(list)) => fields.iter().chain([list]).cloned().collect(),
            (_, None) => fields.clone(),
        }
    }

    fn decode_raw(&self, records: &[RawRecord]) -> Result<Decoded> {
        let bytes: usize = records.iter().filter_map(|record| Some(record.payload.as_ref()?.len())).sum();
        if i32::try_from(bytes).is_err() {
            return Err(Error::new(Kind::Source, "a poll brought more than 2 GiB of records"));
        }

        let mut verdicts = Verdicts::new(0);
        let parts = (&self.spec, &self.layout);
        let rows = RowBuilder::new(parts, &self.time_reader, self.partition, records.len())?;
        let converted = match &self.reader {
            Reader::Json(json) => read_payloads(&mut json.batch(), records, rows, &mut verdicts)?,
            Reader::Csv(csv) => read_payloads(&mut csv.batch(records)?, records, rows, &mut verdicts)?,
            Reader::Avro(avro) => read_payloads(&mut avro.batch(), records, rows, &mut verdicts)?,
            Reader::Protobuf(proto) => read_payloads(&mut proto.batch(), records, rows, &mut verdicts)?,
        };
        if let Some(failure) = self.spec.writers.as_ref().and_then(|writers| writers.take_failure()) {
            return Err(failure);
        }

        for row in 0..converted.times.len() {
            let record = &records[converted.spread.record(row)];
            self.judge_future(row, converted.times.value(row), record.timestamp, &mut verdicts);
        }
        self.decoded(converted, verdicts, |record| records[record].offset)
    }

    fn decode_rows(&self, first_offset: Offset, batch: &RecordBatch) -> Result<Decoded> {
        if self.spec.shape.envelope.is_some() {
            return Err(no_envelope());
        }
        let mut verdicts = Verdicts::new(0);
        let place = (first_offset, self.partition);
        let placed = expand::place(batch, (&self.layout, &self.spec.shape), place, &mut verdicts)?;
        let converted = self.convert(placed, &mut verdicts)?;
        self.decoded(converted, verdicts, |record| first_offset.plus(record))
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

    /// What came of the rows, once it is judged whether their numbers are finite; `offset` is that
    /// of a record.
    fn decoded(
        &self,
        converted: Converted,
        mut verdicts: Verdicts,
        offset: impl Fn(usize) -> Offset,
    ) -> Result<Decoded> {
        let Converted { data, series, times, first, spread, passed } = converted;
        if let Some((us, written)) = first {
            self.first_time
                .get_or_init(|| FirstTime { time: shown(EventTime(us)), written: quote(&written) });
        }
        for (field, array) in self.spec.columns.iter().zip(&data) {
            convert::judge_finite(array, field.name(), &mut verdicts);
        }

        let offset_of = |row: usize| offset(spread.record(row));
        let offsets = Int64Array::from_iter_values((0..times.len()).map(|row| offset_of(row).0));
        let mut all: Vec<ArrayRef> = vec![Arc::new(offsets), Arc::new(times), Arc::new(series)];
        all.extend(data);
        let blank = self.blank_cells(&mut verdicts, &spread, offset_of);
        let rows = self.keep_good(all, &verdicts)?;
        let passed = passed.into_iter().map(|(at, reason)| PassedOver { offset: offset(at), reason });
        let passed = passed.collect();
        Ok(Decoded { rows, rejects: self.rejects(verdicts, &spread, offset_of), blank, passed })
    }

    /// The cells of good rows that are null because they cannot be read.
    fn blank_cells(
        &self,
        verdicts: &mut Verdicts,
        spread: &Spread,
        offset_of: impl Fn(usize) -> Offset,
    ) -> Vec<BlankCell> {
        let cells = verdicts.take_cells();
        if cells.is_empty() {
            return Vec::new();
        }
        let good: Vec<bool> = verdicts.good().collect();
        let cells = cells.into_iter().filter(|cell| good[cell.row]).map(|cell| BlankCell {
            offset: offset_of(cell.row),
            column: cell.column + system_fields().len(),
            detail: cell.detail.map(|detail| spread.said(cell.row, &self.spec.shape, detail)),
        });

        cells.collect()
    }

    /// The records that were not taken in.
    fn rejects(
        &self,
        verdicts: Verdicts,
        spread: &Spread,
        offset_of: impl Fn(usize) -> Offset,
    ) -> Vec<Reject> {
        let judged = verdicts.into_iter().enumerate();
        let rejects = judged.filter_map(|(row, verdict)| {
            let (reason, detail) = verdict?;
            let detail = spread.said(row, &self.spec.shape, detail);
            Some(Reject { offset: offset_of(row), reason, detail })
        });

        rejects.collect()
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

/// That records of columns are in no envelope.
fn no_envelope() -> Error {
    Error::new(Kind::Config, "source.envelope: it is of JSON, Avro and Protobuf, not of columns")
}

#[cfg(test)]
mod envelope_tests;
#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
