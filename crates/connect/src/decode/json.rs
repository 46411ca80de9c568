//! JSON payloads, one object each, as the values of the wanted fields: one pass over each payload,
//! and one over each element of a list that is taken apart.
//! It must not know what the values mean.
//!
//! Numbers keep their digits and truth values become `true` and `false`; of a name that comes twice
//! the last counts; names that are not asked for are passed over.

use tickcast_stream::PassReason;

use super::cell::Cell;
use super::framing::Framed;
use super::json_fault::fault;
use super::json_scanner::{self, MAX_DEPTH, Malformed, Scanner, Written};
use super::paths::Paths;
use super::payloads::{PayloadRow, ReadFields, text_of};
use super::shape::RowsIn;
use super::value::{Value, Values};
use super::wanted::Wanted;

/// So many fields of an object are remembered for the next one.
const REMEMBERED: usize = 256;

/// Reads fields of objects.
#[derive(Debug)]
pub(super) struct JsonReader(Wanted);

/// Reads the payloads of one batch, which live as long as it does.
pub(super) struct JsonBatch<'r, 'a> {
    wanted: &'r Wanted,
    record: Object<'r, 'a>,
    element: Option<Object<'r, 'a>>,
    rows: RowsLeft<'a>,
}

/// The rows of a payload that are still to come.
enum RowsLeft<'a> {
    None,
    /// The record itself.
    One,
    /// The object within it that begins here.
    Within(Scanner<'a>),
    /// The elements of its list: what is left of them, and how many came.
    Elements(Scanner<'a>, usize),
}

/// The values of an object's wanted fields.
struct Object<'r, 'a> {
    paths: &'r Paths,
    /// Of every node the fields of the object before, in its order, and their nodes: the fields of
    /// a topic's records mostly stand alike.
    before: Vec<Vec<(&'a str, Option<usize>)>>,
    /// One a field that is read; none: the object has it not.
    values: Values<'a>,
    /// Where that begins which the rows are taken from: the inside of a list, or an object.
    rows_at: Option<usize>,
}

impl JsonReader {
    pub(super) fn new(wanted: Wanted) -> Self {
        JsonReader(wanted)
    }

    pub(super) fn batch<'a>(&self) -> JsonBatch<'_, 'a> {
        let JsonReader(wanted) = self;
        let object = |paths| Object::new(paths, wanted.fields);
        JsonBatch {
            wanted,
            record: object(&wanted.of_record),
            element: wanted.within.as_ref().map(|within| object(&within.of_element)),
            rows: RowsLeft::None,
        }
    }
}

impl<'a> ReadFields<'a> for JsonBatch<'_, 'a> {
    fn read(&mut self, payload: &'a [u8]) -> Result<Option<PassReason>, String> {
        self.rows = RowsLeft::None;
        // What a registry's serializers write before the text: no JSON begins with a zero byte.
        let text = match Framed::of(payload) {
            Framed::Numbered(_, text) => text,
            Framed::Single(_) | Framed::Plain(_) => payload,
        };
        let payload = text_of(text)?;
        let mut json = Scanner::new(payload);
        self.record.clear();
        let scanned = json.begin_object().and_then(|()| {
            self.record.scan(&mut json, Paths::ROOT, 1)?;
            json.end()
        });
        if scanned.is_err() || json.has_lone_surrogate() {
            return Err(fault(payload, scanned, json.at()));
        }

        let rows_at = self.record.rows_at;
        let passed = self.wanted.judge(&self.record.values, rows_at.is_some())?;
        let begun = rows_at.map(|at| Scanner::within(payload, at));
        self.rows = match (self.wanted.rows_in(), begun) {
            _ if passed.is_some() => RowsLeft::None,
            (None, _) => RowsLeft::One,
            (Some(_), None) => RowsLeft::None,
            (Some(RowsIn::Object), Some(object)) => RowsLeft::Within(object),
            (Some(RowsIn::List), Some(elements)) => RowsLeft::Elements(elements, 0),
        };
        Ok(passed)
    }

    fn next_row(&mut self) -> Option<PayloadRow> {
        match &mut self.rows {
            RowsLeft::None => None,
            RowsLeft::One => {
                self.rows = RowsLeft::None;
                Some(PayloadRow::whole())
            }
            RowsLeft::Within(object) => {
                let is_there = self.element.as_mut()?.read(object, None).is_ok();
                self.rows = RowsLeft::None;
                is_there.then(PayloadRow::whole)
            }
            RowsLeft::Elements(json, came) => {
                let (element, itself) = (self.element.as_mut()?, self.wanted.itself());
                let is_there = json.next_element(*came == 0).ok()? && element.read(json, itself).is_ok();
                *came += 1;
                is_there.then(|| PayloadRow::of(Some(*came), Ok(())))
            }
        }
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        let own = self.element.as_ref().and_then(|element| element.values[field].as_ref());
        own.or(self.record.values[field].as_ref()).map_or(Cell::Null, Value::cell)
    }
}

impl<'r, 'a> Object<'r, 'a> {
    fn new(paths: &'r Paths, fields: usize) -> Self {
        Object { paths, before: vec![Vec::new(); paths.len()], values: vec![None; fields], rows_at: None }
    }

    fn clear(&mut self) {
        self.values.fill(None);
        self.rows_at = None;
    }

    /// Reads an element of a list, which `itself` is wanted as where it is no object.
    fn read(&mut self, json: &mut Scanner<'a>, itself: Option<usize>) -> Result<(), Malformed> {
        self.clear();
        if json.enter(b'{') {
            if let Some(itself) = itself {
                self.values[itself] = Some(Value::Of(Cell::Nested));
            }
            return self.scan(json, Paths::ROOT, 2);
        }
        let value = json.value(2)?;
        if let Some(itself) = itself {
            self.values[itself] = Some(Value::from(value));
        }

        Ok(())
    }

    /// Scans the fields of an object that has been entered, with so many objects and lists around
    /// them.
    fn scan(&mut self, json: &mut Scanner<'a>, node: usize, depth: usize) -> Result<(), Malformed> {
        let mut count = 0;
        while let Some(name) = json.next_name(count == 0)? {
            match self.child(node, count, name) {
                Some(child) => self.scan_field(json, child, depth)?,
                None => drop(json.value(depth)?),
            }
            count += 1;
        }
        Ok(())
    }

    #[inline]
    fn scan_field(&mut self, json: &mut Scanner<'a>, child: usize, depth: usize) -> Result<(), Malformed> {
        let node = self.paths.node(child);
        if !node.has_children() && node.rows_in.is_none() {
            let value = json.value(depth)?;
            if let Some(field) = node.field {
                self.values[field] = Some(Value::from(value));
            }
            return Ok(());
        }
        self.scan_nested(json, child, depth)
    }

    /// A field of which something within is wanted, too.
    fn scan_nested(&mut self, json: &mut Scanner<'a>, child: usize, depth: usize) -> Result<(), Malformed> {
        let node = self.paths.node(child);
        for field in &node.below {
            self.values[*field] = None;
        }
        let at = json.next_at();
        let value = if node.has_children() && depth < MAX_DEPTH && json.enter(b'{') {
            self.scan(json, child, depth + 1)?;
            Value::Of(Cell::Nested)
        } else {
            Value::from(json.value(depth)?)
        };

        if let Some(rows_in) = node.rows_in {
            let mut within = Scanner::within(json.text(), at);
            self.rows_at = match rows_in {
                RowsIn::List => within.enter(b'[').then(|| within.at()),
                RowsIn::Object => within.enter(b'{').then_some(at),
            };
        }
        if let Some(field) = node.field {
            self.values[field] = Some(value);
        }
        Ok(())
    }

    /// The node of an object's `count`th field, where it is wanted.
    #[inline]
    fn child(&mut self, node: usize, count: usize, name: Written<'a>) -> Option<usize> {
        let Some(plain) = name.plain() else { return self.paths.child(node, &name.said()) };
        let before = &mut self.before[node];
        if let Some((known, child)) = before.get(count)
            && *known == plain
        {
            return *child;
        }

        let child = self.paths.child(node, plain);
        if let Some(before) = before.get_mut(count) {
            *before = (plain, child);
        } else if count == before.len() && count < REMEMBERED {
            before.push((plain, child));
        }
        child
    }
}

impl<'a> From<json_scanner::Value<'a>> for Value<'a> {
    fn from(value: json_scanner::Value<'a>) -> Self {
        match value {
            json_scanner::Value::Null => Value::Of(Cell::Null),
            json_scanner::Value::String(text) => text.said().into(),
            json_scanner::Value::Word(word) => Value::Of(Cell::Text(word)),
            json_scanner::Value::Nested => Value::Of(Cell::Nested),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::{rows_of, wanted};

    fn reader(fields: &[&str], unnest: Option<&str>) -> JsonReader {
        JsonReader::new(wanted(fields, unnest))
    }

    /// The cells of every row, as text.
    fn rows(fields: &[&str], unnest: Option<&str>, payloads: &[&str]) -> Vec<Vec<Vec<String>>> {
        let reader = reader(fields, unnest);
        let mut batch = reader.batch();
        payloads
            .iter()
            .map(|payload| rows_of(&mut batch, fields.len(), payload.as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn records_may_differ_in_the_order_and_number_of_their_fields() {
        for (payload, a, b) in [
            (r#"{"a":1,"b":"x"}"#, "1", "x"),
            (r#"{"b":"y","a":2}"#, "2", "y"),
            (r#"{"c":[1],"b":true}"#, "-", "true"),
            (r#"{"\u0061":"\n","x":{"a":7}}"#, "\n", "-"),
            (r#"{"a":[1],"a":1.50,"b":1,"b":null}"#, "1.50", "-"),
            (r#"{"a":[1]}"#, "{}", "-"),
            ("{}", "-", "-"),
        ] {
            assert_eq!(rows(&["a", "b"], None, &[payload]), [[[a, b]]], "{payload}");
        }
    }

    #[test]
    fn a_path_leads_into_objects_and_a_name_with_a_dot_is_a_name_too() {
        let fields = ["device.id", "p.t", "p"];
        for (payload, expected) in [
            (r#"{"device":{"fw":"1","id":"m"},"p":{"t":1,"u":{"t":2}}}"#, ["m", "1", "{}"]),
            (r#"{"p":{"t":1},"p":{"u":2},"device":7}"#, ["-", "-", "{}"]),
            (r#"{"p.t":5,"device":{"id":{"a":1}},"p":3}"#, ["{}", "-", "3"]),
            (r#"{"p":3,"p.t":5,"device":null}"#, ["-", "5", "3"]),
            (r#"{"p":[{"t":1}]}"#, ["-", "-", "{}"]),
        ] {
            assert_eq!(rows(&fields, None, &[payload]), [[expected]], "{payload}");
        }
    }

    #[test]
    fn each_element_of_a_list_is_a_row_beside_the_fields_of_its_record() {
        let fields = ["id", "readings.ts", "temp", "readings"];
        let payload = r#"{"readings":[{"ts":1,"temp":2}, {"temp":3,"id":"own"},7,null],"id":"m","temp":9}"#;
        let expected =
            [["m", "1", "2", "{}"], ["own", "-", "3", "{}"], ["m", "-", "9", "7"], ["m", "-", "9", "-"]];
        let found = rows(&fields, Some("readings"), &[payload, r#"{"readings":[]}"#]);
        assert_eq!(found[0].len(), 4);
        assert_eq!(found[0][..3], expected[..3]);
        assert!(found[1].is_empty());

        let nested = r#"{"p":{"list":[ 1 , 2 ]},"id":"m"}"#;
        assert_eq!(rows(&["id", "p.list"], Some("p.list"), &[nested]), [[["m", "1"], ["m", "2"]]]);
    }

    #[test]
    fn a_record_without_its_list_is_none() {
        let reader = reader(&["id"], Some("readings"));
        let mut batch = reader.batch();
        for payload in [r#"{"id":"m"}"#, r#"{"readings":null}"#, r#"{"readings":{"a":1}}"#] {
            let why = "the record has no list `readings`".to_owned();
            assert_eq!(batch.read(payload.as_bytes()), Err(why), "{payload}");
            assert_eq!(batch.next_row(), None);
        }
    }

    #[test]
    fn a_broken_record_is_no_row() {
        let reader = reader(&["a", "b"], None);
        let mut batch = reader.batch();
        assert!(batch.read(br#"{"a":1,"b":}"#).is_err());
        assert_eq!(batch.next_row(), None);
    }
}
