//! Which columns are read, with which types: names that expressions use against a schema or a
//! header.
//! It must not know how a column is decoded.

use arrow::datatypes::{DataType, Field};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::timestamp_type;

use super::avro_schema::why_unreadable;
use super::time::{TimeCount, count_of};

/// The wanted columns in order, as nullable fields.
///
/// With a schema their types are the schema's; without one the key is text, the time a time, and
/// all else a number. Errors: `Config`, when the schema has no column of that name.
pub fn columns(
    schema: Option<&[Field]>,
    key: &str,
    time: Option<&str>,
    wanted: &[String],
) -> Result<Vec<Field>> {
    if let Some(schema) = schema {
        let known: Vec<&String> = schema.iter().map(Field::name).collect();
        let names: Vec<&str> = wanted.iter().map(String::as_str).chain([key]).chain(time).collect();
        check_known(&names, &known, "the schema")?;
        check_readable(&names, schema)?;
    }

    let type_of = |name: &String| match schema {
        Some(schema) => {
            schema.iter().find(|field| field.name() == name).map(|field| plain(field.data_type()))
        }
        None if name == key => Some(DataType::Utf8),
        None if Some(name.as_str()) == time => Some(timestamp_type()),
        None => None,
    };
    let field = |name| Field::new(name, type_of(name).unwrap_or(DataType::Float64), true);
    Ok(wanted.iter().map(field).collect())
}

/// Fields that nobody reads may be of any type. Errors: `Config`, naming the field.
fn check_readable(names: &[&str], schema: &[Field]) -> Result<()> {
    for field in schema.iter().filter(|field| names.contains(&field.name().as_str())) {
        if let Some(why) = why_unreadable(field) {
            return Err(Error::new(Kind::Config, format!("field `{}` of the schema: {why}", field.name())));
        }
    }
    Ok(())
}

/// What a number in the time column counts, where the schema says so.
pub(super) fn time_unit(schema: Option<&[Field]>, time: &str) -> Option<TimeCount> {
    match schema?.iter().find(|field| field.name() == time)?.data_type() {
        DataType::Timestamp(unit, _) => Some(count_of(*unit)),
        DataType::Date32 | DataType::Date64 => Some(TimeCount::Days),
        _ => None,
    }
}

/// Checks that all wanted columns are known. Errors: `Config`, naming the missing, the nearest and
/// the known ones.
pub fn check_known(wanted: &[impl AsRef<str>], known: &[impl AsRef<str>], place: &str) -> Result<()> {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    for name in wanted.iter().map(AsRef::as_ref) {
        if known.contains(&name) {
            continue;
        }

        return Err(Error::new(Kind::Config, unknown(name, &known, place)));
    }
    Ok(())
}

/// Says that a place has no such column, and what it has.
pub(super) fn unknown(name: &str, known: &[&str], place: &str) -> String {
    let hint = match nearest(name, known) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => ".".into(),
    };
    let mut text = format!("{place} has no column `{name}`{hint} It has: {}", known.join(", "));
    if let &[only] = known
        && let Some(delimiter) = [';', '\t', '|'].into_iter().find(|&mark| only.contains(mark))
    {
        let delimiter = delimiter.escape_default();
        text.push_str(&format!(
            ". Its fields are separated by `{delimiter}`, it seems, and only commas are read"
        ));
    }
    text
}

/// The known name that looks most like this one, if any looks like it.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let near = known.iter().map(|other| (distance(other), *other)).min()?;
    (near.0 <= name.chars().count().max(3) / 3 + 1).then_some(near.1)
}

/// The type a columnar source's column is worked with: no dictionaries, views or decimals, and all
/// times UTC.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => DataType::Float64,
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn without_a_schema_all_but_key_and_time_are_numbers() {
        let fields = columns(None, "station", Some("at"), &names(&["temp", "station", "at"])).unwrap();
        let types: Vec<_> = fields.iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Float64, DataType::Utf8, timestamp_type()]);
        assert_eq!(time_unit(None, "at"), None);
    }

    #[test]
    fn with_a_schema_the_types_are_its_own() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let schema = [
            Field::new("at", millis, false),
            Field::new("station", DataType::Utf8View, false),
            Field::new("level", DataType::Int32, false),
        ];
        let fields = columns(Some(&schema), "station", Some("at"), &names(&["level", "station"])).unwrap();
        let expected =
            [Field::new("level", DataType::Int32, true), Field::new("station", DataType::Utf8, true)];
        assert_eq!(fields, expected);
        assert_eq!(time_unit(Some(&schema), "at"), Some(TimeCount::Ms));
    }

    #[test]
    fn an_unknown_column_is_named_with_the_nearest() {
        let schema = ["at", "station", "temp"].map(|name| Field::new(name, DataType::Utf8, true));
        let error = columns(Some(&schema), "station", Some("at"), &names(&["tmep"])).unwrap_err();
        let expected =
            "pipeline: the schema has no column `tmep`, did you mean `temp`? It has: at, station, temp";
        assert_eq!(error.to_string(), expected);
        let error = columns(Some(&schema), "place", Some("at"), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pipeline: the schema has no column `place`. It has: at, station, temp"
        );
    }
}
