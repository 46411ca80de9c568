//! The schema of results as a `.proto` file.
//! It must not write messages.
//!
//! A field keeps its number whatever the pipeline: those of intervals follow from the level, so
//! that a reader of one pipeline's messages reads another's.

use std::fmt::Write;

use arrow::datatypes::{DataType, Field};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::record::level_of;

use super::published::Published;

/// Fields that forecasts and scores have, by number.
const NUMBERS: [(&str, u32); 15] = [
    ("series", 1),
    ("target", 2),
    ("window_start", 3),
    ("issued_at", 4),
    ("target_time", 5),
    ("horizon", 6),
    ("forecast", 7),
    ("prob_up", 8),
    ("naive", 9),
    ("expert", 10),
    ("model_updates", 11),
    ("carried", 12),
    ("actual", 13),
    ("error", 14),
    ("experts", 15),
];
/// Behind it are two numbers for each thousandth of a level: 0.9 has 2800 and 2801.
const FIRST_OF_LEVELS: u32 = 1000;

/// The text. Errors: `Config`, for a level that has no number.
pub(super) fn of(schema: &Published) -> Result<String> {
    let name = schema.name();
    let (package, message) = name.rsplit_once('.').unwrap_or(("tickcast", &name));
    let mut text = format!(
        "syntax = \"proto3\";\n\npackage {package};\n\nimport \"google/protobuf/timestamp.proto\";\n\n// \
         {}\nmessage {message} {{\n",
        schema.doc()
    );

    for (field, doc) in schema.described() {
        let number = number_of(field.name())?;
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  // {doc}\n  {} {} = {number};", type_of(field)?, field.name());
    }
    text.push_str("}\n");
    Ok(text)
}

/// The number of a field. Errors: `Config`, for a level that is no whole number of thousandths.
pub(super) fn number_of(name: &str) -> Result<u32> {
    if let Some((_, number)) = NUMBERS.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }

    let of_level = [("lower_", 0), ("upper_", 1), ("covered_", 0)]
        .into_iter()
        .find_map(|(prefix, side)| Some((level_of(name.strip_prefix(prefix)?)?, side)));
    let Some((level, side)) = of_level else {
        return Err(Error::new(Kind::Sink, format!("the column {name} has no number in Protobuf")));
    };

    let thousandths = (level * 1000.0).round();
    if !has_proto_number(level) {
        let what = format!("forecast.levels: {level} has no number in Protobuf, which goes to thousandths");
        return Err(Error::new(Kind::Config, what));
    }
    Ok(FIRST_OF_LEVELS + 2 * thousandths as u32 + side)
}

/// Whether the fields of a level have numbers: it is a whole number of thousandths.
pub fn has_proto_number(level: f64) -> bool {
    (level * 1000.0 - (level * 1000.0).round()).abs() <= 1e-9
}

fn type_of(field: &Field) -> Result<&'static str> {
    Ok(match (field.data_type(), field.is_nullable()) {
        (DataType::Utf8, _) => "string",
        (DataType::Timestamp(..), _) => "google.protobuf.Timestamp",
        (DataType::Int32, false) => "int32",
        (DataType::Int64, false) => "int64",
        (DataType::Float64, false) => "double",
        (DataType::Float64, true) => "optional double",
        (DataType::Boolean, false) => "bool",
        (DataType::Boolean, true) => "optional bool",
        (DataType::Map(..), _) => "map<string, double>",
        (other, _) => {
            return Err(Error::new(Kind::Sink, format!("{}: {other} has no type in Protobuf", field.name())));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_keeps_its_number() {
        let of = |name| number_of(name).unwrap();
        assert_eq!((of("lower_90"), of("upper_90"), of("covered_90")), (2800, 2801, 2800));
        assert_eq!((of("lower_7"), of("upper_99_9"), of("lower_99_5")), (1140, 2999, 2990));
        let error = number_of("lower_99_95").unwrap_err().to_string();
        assert!(error.contains("0.9995 has no number in Protobuf"), "{error}");
        assert!(number_of("other").is_err());
    }
}
