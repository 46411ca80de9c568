//! The headers of CloudEvents 1.0 in their binary form, for results.
//! It must not know values.
//!
//! The same record has the same headers, however often it is made: the id is made of what tells a
//! record from all others of its pipeline.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use rdkafka::message::{Header, OwnedHeaders};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{EventTime, Stream, shown};

use super::spec::PayloadFormat;

/// What all records of a stream say.
pub(super) struct EventHeaders {
    source: String,
    kind: &'static str,
    content: &'static str,
}

impl EventHeaders {
    /// Of a stream whose values have this format.
    pub fn new(source: &str, stream: Stream, format: PayloadFormat) -> Self {
        let kind = match stream {
            Stream::Forecasts => "tickcast.forecast",
            Stream::Scores => "tickcast.score",
            Stream::Rejects => "tickcast.reject",
        };

        let content = match format {
            PayloadFormat::Json => "application/json",
            PayloadFormat::Avro => "application/avro",
            PayloadFormat::Protobuf => "application/protobuf",
        };
        EventHeaders { source: source.to_owned(), kind, content }
    }

    /// The headers of every row. Errors: `Sink`, when a column is missing, which only a fault here
    /// can cause.
    pub fn of(&self, rows: &RecordBatch) -> Result<Vec<OwnedHeaders>> {
        let missing = |name| Error::new(Kind::Sink, format!("results without the column {name}"));
        let text = |name| {
            let column = rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or_else(|| missing(name))
        };

        let (series, target) = (text("series")?, text("target")?);
        let issued = rows.column_by_name("issued_at");
        let issued = issued.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let horizon = rows.column_by_name("horizon");
        let horizon = horizon.and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (issued, horizon) =
            (issued.ok_or_else(|| missing("issued_at"))?, horizon.ok_or_else(|| missing("horizon"))?);

        let headers = (0..series.len()).map(|row| {
            let time = shown(EventTime(issued.value(row)));
            let (series, target, horizon) = (series.value(row), target.value(row), horizon.value(row));
            // A forecast and its score have all of it in common but the stream.
            let id = format!("{}/{series}/{target}/{time}/{horizon}", self.kind);
            self.headers(&id, &time, series)
        });
        Ok(headers.collect())
    }

    fn headers(&self, id: &str, time: &str, series: &str) -> OwnedHeaders {
        let all = [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_source", &self.source),
            ("ce_type", self.kind),
            ("ce_time", time),
            ("ce_subject", series),
            ("content-type", self.content),
        ];
        // An attribute is left out or has a value: a series may have an empty name.
        let all = all.into_iter().filter(|(_, value)| !value.is_empty());
        all.fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        })
    }
}
