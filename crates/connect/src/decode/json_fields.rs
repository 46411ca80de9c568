//! The fields that a JSON record has, for a person who looks for one.
//! It must not know which are wanted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::envelope::PAYLOAD;
use super::shape::{RowsIn, Shape};

/// So many fields are named, at most.
const FIELDS_MAX: usize = 100;

/// The names and paths of a payload's fields, those of its first row within it among them; none
/// where it is no object.
pub(super) fn of(payload: &[u8], shape: &Shape) -> Option<BTreeSet<String>> {
    let mut value: Value = serde_json::from_slice(payload).ok()?;
    if shape.envelope.is_some()
        && let Some(event @ Value::Object(_)) = value.get_mut(PAYLOAD)
    {
        value = event.take();
    }

    let mut names = BTreeSet::new();
    let object = value.as_object()?;
    object.iter().for_each(|(name, value)| note(name.clone(), value, &mut names));

    let found = shape.rows_in().and_then(|(path, rows_in)| {
        let found = path.split('.').try_fold(&value, |value, name| value.get(name))?;
        if rows_in == RowsIn::List { found.get(0) } else { Some(found) }
    });
    if let Some(Value::Object(element)) = found {
        element.iter().for_each(|(name, value)| note(name.clone(), value, &mut names));
    }
    Some(names)
}

fn note(path: String, value: &Value, names: &mut BTreeSet<String>) {
    if names.len() >= FIELDS_MAX {
        return;
    }
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| note(format!("{path}.{name}"), value, names));
        }
        _ => _ = names.insert(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::shape::Envelope;

    #[test]
    fn fields_of_objects_are_paths_and_those_of_elements_stand_beside_them() {
        let payload = br#"{"id":"m","p":{"t":1,"q":{"u":2}},"list":[{"ts":1},{"other":2}]}"#;
        let names = |payload: &[u8], shape: &Shape| {
            of(payload, shape).unwrap().into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(payload, &Shape::default()), "id list p.q.u p.t");
        let list = Shape { unnest: Some("list".into()), ..Shape::default() };
        assert_eq!(names(payload, &list), "id list p.q.u p.t ts");
        assert_eq!(of(b"[1]", &list), None);

        let events = Shape { envelope: Some(Envelope::Debezium), ..Shape::default() };
        for event in [
            r#"{"before":null,"after":{"id":1,"temp":2},"op":"c"}"#,
            r#"{"schema":{"type":"struct"},"payload":{"before":null,"after":{"id":1,"temp":2},"op":"c"}}"#,
        ] {
            assert_eq!(names(event.as_bytes(), &events), "after.id after.temp before id op temp", "{event}");
        }
    }
}
