//! What is published of results in `schemas/`, with the levels that a pipeline has.
//! It must not know the languages of schemas but Avro's.

use arrow::datatypes::{Field, Schema};
use serde_json::{Value, json};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::Stream;
use tickcast_stream::record::level_of;

/// Columns that there are one of for each level, and the one that is published.
const OF_LEVELS: [(&str, &str); 3] =
    [("lower_", "lower_50"), ("upper_", "upper_50"), ("covered_", "covered_50")];

/// What is published of a stream's records.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Published {
    /// Avro's, from which the others follow.
    pub avro: Value,
    /// Its columns.
    pub columns: Vec<Field>,
}

impl Published {
    /// Of a stream with these columns. Errors: `Sink`, for a column that is not published, which
    /// only a fault here can cause.
    pub fn of(stream: Stream, columns: &Schema) -> Result<Self> {
        let published = match stream {
            Stream::Forecasts => include_str!("../../../../schemas/forecast.avsc"),
            Stream::Scores => include_str!("../../../../schemas/score.avsc"),
            Stream::Rejects => include_str!("../../../../schemas/reject.avsc"),
        };
        let mut avro: Value =
            serde_json::from_str(published).or_fail(Kind::Sink, || "a published schema is broken")?;

        let known = avro["fields"].as_array().cloned().unwrap_or_default();
        let fields = columns.fields().iter().map(|field| published_field(field.name(), &known));
        avro["fields"] = Value::Array(fields.collect::<Result<_>>()?);

        // What is said of levels holds for those that are published.
        let words = avro["doc"].as_str().and_then(|doc| doc.split(" There is one").next());
        avro["doc"] = json!(words);
        let columns = columns.fields().iter().map(|field| Field::clone(field)).collect();
        Ok(Published { avro, columns })
    }

    /// Its full name: `tickcast.Forecast`.
    pub fn name(&self) -> String {
        let part = |key: &str| self.avro[key].as_str().unwrap_or_default();
        format!("{}.{}", part("namespace"), part("name"))
    }

    /// The columns with the words that are published of each.
    pub fn described(&self) -> impl Iterator<Item = (&Field, &str)> {
        let docs = self.avro["fields"].as_array().into_iter().flatten();
        self.columns.iter().zip(docs.map(|field| field["doc"].as_str().unwrap_or_default()))
    }

    /// What is said of the record as a whole.
    pub fn doc(&self) -> &str {
        self.avro["doc"].as_str().unwrap_or_default()
    }
}

/// A field as it is published; one of a level as that of the level 50 %.
fn published_field(name: &str, known: &[Value]) -> Result<Value> {
    let named = |wanted: &str| known.iter().find(|field| field["name"] == wanted);
    if let Some(field) = named(name) {
        return Ok(field.clone());
    }

    let of_level = OF_LEVELS.iter().find_map(|(prefix, published)| {
        let label = name.strip_prefix(prefix).filter(|label| level_of(label).is_some())?;
        Some((label, named(published)?))
    });
    let (label, published) = of_level
        .ok_or_else(|| Error::new(Kind::Sink, format!("no schema is published for the column {name}")))?;

    let mut field = published.clone();
    field["name"] = json!(name);
    let doc = published["doc"].as_str().unwrap_or_default();
    field["doc"] = json!(doc.replace("50 %", &format!("{} %", label.replace('_', "."))));
    Ok(field)
}
