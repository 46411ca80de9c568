//! The series of a posted record, for the partition that it goes to in a topic.
//! It must not decode a record: what it cannot find has no key.

use bytes::Bytes;
use serde_json::Value;

/// The values of these columns, or paths, in a JSON object, joined by `/`; none, where one is
/// missing or no text, number, true or false.
pub fn key_in_json(columns: &[String], record: &[u8]) -> Option<Bytes> {
    let object: Value = serde_json::from_slice(record).ok()?;
    let mut parts = Vec::new();

    for column in columns {
        let found = object
            .get(column)
            .or_else(|| column.split('.').try_fold(&object, |inner: &Value, name| inner.get(name)))?;
        parts.push(match found {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => found.to_string(),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join("/").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_of_the_columns_values() {
        let record = br#"{"plant":"a","s":{"id":7},"x.y":"z","n":null}"#;
        let key = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
            key_in_json(&columns, record).map(|key| String::from_utf8(key.to_vec()).unwrap())
        };
        assert_eq!(key(&["plant", "s.id"]).as_deref(), Some("a/7"));
        assert_eq!(key(&["x.y"]).as_deref(), Some("z"));
        for none in [&["n"][..], &["s"], &["missing"], &["plant", "missing"], &[]] {
            assert_eq!(key(none), None, "{none:?}");
        }
        assert_eq!(key_in_json(&["a".to_owned()], b"{"), None);
    }
}
