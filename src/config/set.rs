//! `--set key.path=value`: one node of the tree replaced or added from the command line, its value
//! read as YAML.
//! It must not know which keys are valid, nor ever repeat a value: it may be a secret.

use super::fault::Fault;
use super::tree::{self, Node, Place, Value, key_path};

/// Applies each setting in turn.
pub(super) fn apply(root: &mut Node, sets: &[String], faults: &mut Vec<Fault>) {
    for set in sets {
        let (path, value) = set.split_once('=').unwrap_or((set, ""));
        let place = Place { path: path.to_string(), line: 0, column: 0 };
        if !set.contains('=') || path.split('.').any(str::is_empty) {
            // Without a `=` the whole of it might be a value.
            let place = Place { path: if set.contains('=') { place.path } else { String::new() }, ..place };
            faults.push(place.fault("not a setting", Some("write it like --set forecast.season=24".into())));
            continue;
        }

        let mut inner = Vec::new();
        let outcome = tree::read(value, &mut inner)
            .map_err(|_| "its value is not YAML".to_string())
            .and_then(|value| replace(root, path, value));
        if let Err(message) = outcome {
            faults.push(place.fault(message, None));
        }
        faults.extend(inner.iter().map(|fault| place.fault(fault.message.clone(), None)));
    }
}

fn replace(root: &mut Node, path: &str, mut value: Node) -> Result<(), String> {
    let mut node = root;
    let mut rest = Some(path);
    while let Some(path) = rest {
        let (key, after) = match path.split_once('.') {
            // librdkafka's names have dots of their own.
            Some((key, after)) if !node.place.path.ends_with(".properties") => (key, Some(after)),
            _ => (path, None),
        };
        rest = after;

        if matches!(&node.value, Value::Scalar { text, plain: true } if text.is_empty()) {
            node.value = Value::Map(Vec::new());
        }
        let place = Place { path: key_path(&node.place.path, key), line: 0, column: 0 };
        let Value::Map(entries) = &mut node.value else {
            let what = if node.place.path.is_empty() { "the file" } else { &node.place.path };
            return Err(format!("{what} has no keys to set; set it as a whole"));
        };

        let nth = entries.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            let nothing = Value::Scalar { text: String::new(), plain: true };
            entries.push((key.to_string(), Node { place, value: nothing }));
            entries.len() - 1
        });
        node = &mut entries[nth].1;
    }

    value.move_to(Place { path: node.place.path.clone(), line: 0, column: 0 });
    *node = value;
    Ok(())
}
