//! How JSON shows times: RFC 3339 with Z, written straight into the line.
//! It must not know which columns are times.

use std::io::Write as _;

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::json::writer::NullableEncoder;
use arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use arrow::temporal_conversions::timestamp_us_to_datetime;

/// Writes the times that every record has; Arrow's own writer makes a string of each first.
#[derive(Debug)]
pub(super) struct JsonTimes;

impl EncoderFactory for JsonTimes {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {}
            _ => return Ok(None),
        }

        // What no calendar reaches is Arrow's to tell.
        let times = array.as_primitive::<TimestampMicrosecondType>();
        let all_shown = times.iter().flatten().all(|us| timestamp_us_to_datetime(us).is_some());
        let encoder = || NullableEncoder::new(Box::new(TimeEncoder(times)), times.nulls().cloned());
        Ok(all_shown.then(encoder))
    }
}

struct TimeEncoder<'a>(&'a TimestampMicrosecondArray);

impl Encoder for TimeEncoder<'_> {
    fn encode(&mut self, row: usize, line: &mut Vec<u8>) {
        // A vector takes all that is written.
        if let Some(time) = timestamp_us_to_datetime(self.0.value(row)) {
            _ = write!(line, "\"{time:?}Z\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use arrow::json::writer::{LineDelimited, WriterBuilder};
    use proptest::prelude::*;

    use super::*;
    use crate::record::json_lines;

    /// The times as Arrow's own writer writes them.
    fn by_arrow(rows: &RecordBatch) -> Vec<u8> {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
        writer.write(rows).unwrap();
        writer.into_inner()
    }

    fn rows(times: Vec<Option<i64>>) -> RecordBatch {
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        RecordBatch::try_from_iter_with_nullable([("at", Arc::new(times) as _, true)]).unwrap()
    }

    #[test]
    fn edges_of_the_calendar_are_written_as_arrow_writes_them() {
        for us in
            [0, -1, 1_500_000, 1_000, -62_135_596_800_000_001, 253_402_300_800_000_000, i64::MAX, i64::MIN]
        {
            let rows = rows(vec![Some(us), None]);
            assert_eq!(json_lines(&rows).unwrap(), by_arrow(&rows), "{us}");
        }
    }

    proptest! {
        #[test]
        fn any_time_is_written_as_arrow_writes_it(times in proptest::collection::vec(any::<Option<i64>>(), 1..9)) {
            let near: Vec<_> = times.iter().map(|time| time.map(|us| us % 70_000_000_000_000_000)).collect();
            for rows in [rows(times), rows(near)] {
                prop_assert_eq!(json_lines(&rows).unwrap(), by_arrow(&rows));
            }
        }
    }
}
