//! Which columns are read, with which types: names that expressions use against a schema or a
//! header.
//! It must not know how a column is decoded.

use arrow::datatypes::{DataType, Field};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::timestamp_type;

use super::envelope;
use super::json_schema::is_written_as_text;
use super::record_column::RecordColumn;
use super::shape::{RowsIn, Shape};
use super::time::{TimeCount, count_of};
use super::unreadable::why_unreadable;

/// So deep into objects the paths of a schema are told, and so many of them.
const PATH_DEPTH: usize = 4;
const PATHS_MAX: usize = 100;

/// The wanted columns in order, as nullable fields.
///
/// With a schema their types are the schema's; without one the key's are text, the time's a time,
/// and all else a number. Kafka's own columns have types of their own. Errors: `Config`, when the
/// schema has no column of that name.
pub fn columns(
    schema: Option<&[Field]>,
    shape: &Shape,
    key: &[String],
    time: Option<&str>,
    wanted: &[String],
) -> Result<Vec<Field>> {
    if let Some(schema) = schema {
        check_envelope(schema, shape)?;
        let names = wanted.iter().chain(key).map(String::as_str).chain(time);
        names.chain(melted(shape)).try_for_each(|name| check_in_schema(name, schema, shape))?;
    }

    let type_of = |name: &String| {
        if let Some(column) = RecordColumn::named(name) {
            return Some(column.data_type());
        }
        match (schema, &shape.melt) {
            (_, Some(melt)) if melt.name == *name => Some(DataType::Utf8),
            (Some(schema), Some(melt)) if melt.value == *name => melt
                .columns
                .first()
                .and_then(|first| field_of(first, schema, shape))
                .map(|of| plain(of.data_type())),
            (Some(schema), _) => field_of(name, schema, shape).map(|field| plain(field.data_type())),
            (None, _) if key.contains(name) => Some(DataType::Utf8),
            (None, _) if Some(name.as_str()) == time => Some(timestamp_type()),
            (None, _) => None,
        }
    };
    let field = |name| Field::new(name, type_of(name).unwrap_or(DataType::Float64), true);
    Ok(wanted.iter().map(field).collect())
}

fn melted(shape: &Shape) -> impl Iterator<Item = &str> {
    shape.melt.iter().flat_map(|melt| &melt.columns).map(String::as_str)
}

/// The schema is that of the whole change event. Errors: `Config`, where it is not.
fn check_envelope(schema: &[Field], shape: &Shape) -> Result<()> {
    if shape.envelope.is_none() {
        return Ok(());
    }
    for name in envelope::FIELDS {
        let found = within(name, schema.iter());
        let is_row = |field: &Field| matches!(field.data_type(), DataType::Struct(_));
        if found.is_none_or(|field| name == "after" && !is_row(field)) {
            let what =
                "source.envelope: the schema is of no change event: it needs `op`, and the row `after`";
            return Err(Error::new(Kind::Config, what));
        }
    }
    Ok(())
}

/// Fields that nobody reads may be of any type. Errors: `Config`, naming the field.
fn check_in_schema(name: &str, schema: &[Field], shape: &Shape) -> Result<()> {
    let is_made = shape.melt.as_ref().is_some_and(|melt| melt.name == name || melt.value == name);
    if is_made || RecordColumn::named(name).is_some() {
        return Ok(());
    }
    let Some(field) = field_of(name, schema, shape) else {
        let known = paths_of(schema);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(Error::new(Kind::Config, unknown(name, &known, "the schema")));
    };

    match why_unreadable(field) {
        Some(why) => Err(Error::new(Kind::Config, format!("field `{name}` of the schema: {why}"))),
        None => Ok(()),
    }
}

/// The field of a name or a path: of the elements of the list that is taken apart, or of a record.
fn field_of<'a>(name: &str, schema: &'a [Field], shape: &Shape) -> Option<&'a Field> {
    let of_element = shape.rows_in().and_then(|(path, rows_in)| {
        let element = match rows_in {
            RowsIn::List => element_of(path, schema)?,
            RowsIn::Object => within(path, schema.iter())?,
        };

        let own = name.strip_prefix(&format!("{path}.")).unwrap_or(name);
        match element.data_type() {
            DataType::Struct(fields) => within(own, fields.iter().map(AsRef::as_ref)),
            _ => (name == path && rows_in == RowsIn::List).then_some(element),
        }
    });

    of_element.or_else(|| within(name, schema.iter()))
}

/// The element of the list at a path.
fn element_of<'a>(list: &str, schema: &'a [Field]) -> Option<&'a Field> {
    match within(list, schema.iter())?.data_type() {
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            Some(element)
        }
        _ => None,
    }
}

/// Where the wanted fields of rows are that are the elements of a list: there, or in the record.
/// The list itself is among them where nothing else of it is wanted: it says how many rows there
/// are.
pub(super) fn with_elements(wanted: &[String], list: &str, schema: &[Field]) -> Vec<String> {
    let known: Vec<&String> = schema.iter().map(Field::name).collect();
    let of_list = format!("{list}.");
    let of_element = |own: &str| match element_of(list, schema).map(Field::data_type) {
        Some(DataType::Struct(fields)) => within(own, fields.iter().map(AsRef::as_ref)).is_some(),
        _ => false,
    };
    let (mut found, mut has_elements) = (Vec::new(), false);
    for name in wanted {
        let own = name.strip_prefix(&of_list).unwrap_or(name);
        let is_of_element = name != list && of_element(own);
        if is_of_element {
            found.push(format!("{of_list}{own}"));
        } else if known.iter().any(|column| column.as_str() == root_of(name, &known)) {
            found.push(name.clone());
        }
        has_elements |= is_of_element || name == list;
    }

    if !has_elements {
        found.push(list.to_owned());
    }
    found
}

/// The field of a name, or of a path into objects.
fn within<'a>(path: &str, mut fields: impl Iterator<Item = &'a Field> + Clone) -> Option<&'a Field> {
    if let Some(field) = fields.clone().find(|field| field.name() == path) {
        return Some(field);
    }

    fields.find_map(|field| {
        let rest = path.strip_prefix(field.name().as_str())?.strip_prefix('.')?;
        if let DataType::Map(entries, _) = field.data_type()
            && let DataType::Struct(entry) = entries.data_type()
        {
            // Whatever the key: each may be there.
            return entry.get(1).map(AsRef::as_ref);
        }
        let DataType::Struct(fields) = field.data_type() else { return None };
        let fields: Vec<&'a Field> = fields.iter().map(AsRef::as_ref).collect();
        within(rest, fields.into_iter())
    })
}

/// The names of a schema's fields, those within objects as paths.
fn paths_of(schema: &[Field]) -> Vec<String> {
    fn note(prefix: &str, field: &Field, paths: &mut Vec<String>) {
        let path = format!("{prefix}{}", field.name());
        match field.data_type() {
            DataType::Struct(fields) if prefix.matches('.').count() < PATH_DEPTH => {
                fields.iter().for_each(|field| note(&format!("{path}."), field, paths));
            }
            _ if paths.len() < PATHS_MAX => paths.push(path),
            _ => {}
        }
    }
    let mut paths = Vec::new();
    schema.iter().for_each(|field| note("", field, &mut paths));

    paths
}

/// The column of a table that a name or path begins with.
pub fn root_of<'a>(path: &'a str, known: &[impl AsRef<str>]) -> &'a str {
    if known.iter().any(|name| name.as_ref() == path) {
        return path;
    }
    let mut dots = path.match_indices('.').map(|(at, _)| &path[..at]);
    dots.find(|root| known.iter().any(|name| name.as_ref() == *root)).unwrap_or(path)
}

/// What a number in the time column counts, where the schema says so.
pub(super) fn time_unit(schema: Option<&[Field]>, shape: &Shape, time: &str) -> Option<TimeCount> {
    let field = field_of(time, schema?, shape)?;
    match field.data_type() {
        _ if is_written_as_text(field) => None,
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
    format!("{place} has no column `{name}`{hint} It has: {}", known.join(", "))
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
    use arrow::datatypes::{Fields, TimeUnit};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn of(schema: Option<&[Field]>, key: &str, wanted: &[&str]) -> Result<Vec<Field>> {
        columns(schema, &Shape::default(), &names(&[key]), Some("at"), &names(wanted))
    }

    #[test]
    fn without_a_schema_all_but_key_and_time_are_numbers() {
        let fields = of(None, "station", &["temp", "station", "at", "$key", "$offset"]).unwrap();
        let types: Vec<_> = fields.iter().map(|field| field.data_type().clone()).collect();
        let expected = [DataType::Float64, DataType::Utf8, timestamp_type(), DataType::Utf8, DataType::Int64];
        assert_eq!(types, expected);
        assert_eq!(time_unit(None, &Shape::default(), "at"), None);
    }

    #[test]
    fn with_a_schema_the_types_are_its_own() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let schema = [
            Field::new("at", millis, false),
            Field::new("station", DataType::Utf8View, false),
            Field::new("level", DataType::Int32, false),
        ];
        let fields = of(Some(&schema), "station", &["level", "station"]).unwrap();
        let expected =
            [Field::new("level", DataType::Int32, true), Field::new("station", DataType::Utf8, true)];
        assert_eq!(fields, expected);
        assert_eq!(time_unit(Some(&schema), &Shape::default(), "at"), Some(TimeCount::Ms));
    }

    #[test]
    fn an_unknown_column_is_named_with_the_nearest() {
        let schema = ["at", "station", "temp"].map(|name| Field::new(name, DataType::Utf8, true));
        let error = of(Some(&schema), "station", &["tmep"]).unwrap_err();
        let expected =
            "pipeline: the schema has no column `tmep`, did you mean `temp`? It has: at, station, temp";
        assert_eq!(error.to_string(), expected);
        let error = of(Some(&schema), "place", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pipeline: the schema has no column `place`. It has: at, station, temp"
        );
    }

    #[test]
    fn paths_lead_into_objects_and_into_the_list_that_is_taken_apart() {
        let object = |fields: &[(&str, DataType)]| {
            let fields = fields.iter().map(|(name, of)| Field::new(*name, of.clone(), true));
            DataType::Struct(fields.collect::<Fields>())
        };
        let element = object(&[("ts", DataType::Int64), ("q", object(&[("v", DataType::Float32)]))]);
        let schema = [
            Field::new("id", object(&[("plant", DataType::Int16)]), false),
            Field::new("list", DataType::List(Field::new("item", element, true).into()), true),
        ];
        let shape = Shape { unnest: Some("list".into()), ..Shape::default() };
        let wanted = names(&["id.plant", "list.ts", "q.v"]);
        let fields = columns(Some(&schema), &shape, &names(&["id.plant"]), None, &wanted).unwrap();
        let types: Vec<_> = fields.iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int16, DataType::Int64, DataType::Float32]);
        let error = columns(Some(&schema), &Shape::default(), &[], None, &names(&["id.plnt"])).unwrap_err();
        assert!(error.to_string().contains("did you mean `id.plant`? It has: id.plant, list"), "{error}");
        assert_eq!(root_of("id.plant", &["id", "list"]), "id");
        assert_eq!(root_of("a.b", &["a.b", "a"]), "a.b");
    }
}
