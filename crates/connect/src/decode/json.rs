//! JSON payloads, one object each, as the texts of the wanted fields: one pass over each payload.
//! It must not know what the texts mean.
//!
//! Numbers keep their digits and truth values become `true` and `false`; of a name that comes twice
//! the last counts; names that are not asked for are passed over.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json_fault::fault;
use super::json_scanner::{Malformed, Scanner, Value, Written};

/// So many fields of a record are remembered for the next one.
const REMEMBERED: usize = 256;

/// Reads fields of objects.
#[derive(Debug)]
pub(super) struct JsonReader {
    names: Vec<String>,
    /// Where in `names` a name stands.
    places: HashMap<String, usize>,
}

/// Reads the payloads of one batch, which live as long as it does.
pub(super) struct JsonBatch<'r, 'a> {
    reader: &'r JsonReader,
    /// The fields of the record before, in its order, and where they are wanted: the fields of a
    /// topic's records mostly stand alike.
    before: Vec<(&'a str, Option<usize>)>,
    /// One a name.
    fields: Vec<Field<'a>>,
}

/// A wanted field of a record.
#[derive(Debug, Clone)]
enum Field<'a> {
    /// Missing or null.
    Null,
    Text(Cow<'a, str>),
    Nested,
}

impl JsonReader {
    /// `names`: the fields to read, each once.
    pub(super) fn new(names: Vec<String>) -> Self {
        let places = names.iter().cloned().enumerate().map(|(place, name)| (name, place)).collect();
        JsonReader { names, places }
    }

    pub(super) fn batch<'a>(&self) -> JsonBatch<'_, 'a> {
        JsonBatch { reader: self, before: Vec::new(), fields: vec![Field::Null; self.names.len()] }
    }
}

impl<'a> JsonBatch<'_, 'a> {
    /// Reads a payload, or says why it is no record.
    pub(super) fn read(&mut self, payload: &'a str) -> Result<(), String> {
        self.clear();
        let mut json = Scanner::new(payload);
        let scanned = self.scan(&mut json);
        let is_nested = self.fields.iter().any(|field| matches!(field, Field::Nested));
        if scanned.is_ok() && !is_nested && !json.has_lone_surrogate() {
            return Ok(());
        }

        self.clear();
        Err(fault(payload, scanned, &self.reader.names))
    }

    /// No payload: every field is null.
    pub(super) fn clear(&mut self) {
        self.fields.fill(Field::Null);
    }

    /// A field of the payload that was read last.
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        match self.fields.get(place) {
            Some(Field::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn scan(&mut self, json: &mut Scanner<'a>) -> Result<(), Malformed> {
        json.begin_object()?;
        let mut count = 0;
        while let Some(name) = json.next_name(count == 0)? {
            let place = self.place(count, name);
            let value = json.value(1)?;
            if let Some(place) = place {
                self.fields[place] = Field::from(value);
            }
            count += 1;
        }
        json.end()
    }

    /// Where the field is wanted that is a record's `count`th.
    fn place(&mut self, count: usize, name: Written<'a>) -> Option<usize> {
        let Some(plain) = name.plain() else { return self.reader.place(&name.said()) };
        if let Some((before, place)) = self.before.get(count)
            && *before == plain
        {
            return *place;
        }

        let place = self.reader.place(plain);
        if let Some(before) = self.before.get_mut(count) {
            *before = (plain, place);
        } else if count == self.before.len() && count < REMEMBERED {
            self.before.push((plain, place));
        }
        place
    }
}

impl JsonReader {
    fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

impl<'a> From<Value<'a>> for Field<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Null => Field::Null,
            Value::String(text) => Field::Text(text.said()),
            Value::Word(word) => Field::Text(Cow::Borrowed(word)),
            Value::Nested => Field::Nested,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> JsonReader {
        JsonReader::new(["a", "b"].map(String::from).to_vec())
    }

    #[test]
    fn records_may_differ_in_the_order_and_number_of_their_fields() {
        let reader = reader();
        let mut batch = reader.batch();
        for (payload, a, b) in [
            (r#"{"a":1,"b":"x"}"#, Some("1"), Some("x")),
            (r#"{"b":"y","a":2}"#, Some("2"), Some("y")),
            (r#"{"c":[1],"b":true}"#, None, Some("true")),
            (r#"{"\u0061":"\n","x":{"a":7}}"#, Some("\n"), None),
            (r#"{"a":[1],"a":1.50,"b":1,"b":null}"#, Some("1.50"), None),
            ("{}", None, None),
        ] {
            assert_eq!(batch.read(payload), Ok(()));
            assert_eq!((batch.text(0), batch.text(1)), (a, b), "{payload}");
        }
    }

    #[test]
    fn of_a_broken_record_nothing_is_left() {
        let reader = reader();
        let mut batch = reader.batch();
        assert!(batch.read(r#"{"a":1,"b":}"#).is_err());
        assert_eq!(batch.text(0), None);
    }
}
