//! The fields that a JSON record has, for a person who looks for one.
//! It must not know which are wanted.

use std::collections::BTreeSet;

use serde_json::Value;

/// So many fields are named, at most.
const FIELDS_MAX: usize = 100;

/// The names and paths of a payload's fields, those of the first element of a list among them; none
/// where it is no object.
pub(super) fn of(payload: &[u8], list: Option<&str>) -> Option<BTreeSet<String>> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let mut names = BTreeSet::new();
    let object = value.as_object()?;
    object.iter().for_each(|(name, value)| note(name.clone(), value, &mut names));

    let found = list.and_then(|list| list.split('.').try_fold(&value, |value, name| value.get(name)));
    if let Some(Value::Object(element)) = found.and_then(|list| list.get(0)) {
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

    #[test]
    fn fields_of_objects_are_paths_and_those_of_elements_stand_beside_them() {
        let payload = br#"{"id":"m","p":{"t":1,"q":{"u":2}},"list":[{"ts":1},{"other":2}]}"#;
        let names = |list| of(payload, list).unwrap().into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names(None), "id list p.q.u p.t");
        assert_eq!(names(Some("list")), "id list p.q.u p.t ts");
        assert_eq!(of(b"[1]", None), None);
    }
}
