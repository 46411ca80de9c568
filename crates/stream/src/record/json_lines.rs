//! Records as JSON: one object a row, times as RFC 3339 with Z, nulls written out.
//! It must not know where the bytes go.

use std::ops::Range;
use std::sync::Arc;

use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;

use super::json_times::JsonTimes;
use crate::error::{Kind, OrFail, Result};

/// The rows as JSON lines, each with its newline.
pub fn json_lines(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(JsonTimes))
        .build::<_, LineDelimited>(Vec::new());
    writer.write(rows).or_fail(Kind::Sink, || "cannot write records as JSON")?;
    Ok(writer.into_inner())
}

/// Where each line lies in `bytes`, its newline left out. JSON has no raw newline within a value.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(move |(at, _)| {
        let line = from..at;
        from = at + 1;
        line
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::message::timestamp_type;

    #[test]
    fn times_end_in_z_and_nulls_are_said() {
        let schema = Schema::new(vec![
            Field::new("series", DataType::Utf8, false),
            Field::new("at", timestamp_type(), false),
            Field::new("x", DataType::Float64, true),
        ]);
        let rows = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(StringArray::from(vec!["a\nb", "c"])),
                Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC")),
                Arc::new(Float64Array::from(vec![Some(0.1), None])),
            ],
        );
        let bytes = json_lines(&rows.unwrap()).unwrap();
        let text: Vec<&str> = lines(&bytes).map(|line| std::str::from_utf8(&bytes[line]).unwrap()).collect();
        assert_eq!(
            text,
            [
                r#"{"series":"a\nb","at":"1970-01-01T00:00:00Z","x":0.1}"#,
                r#"{"series":"c","at":"1970-01-01T00:00:01.500Z","x":null}"#
            ]
        );
    }
}
