//! The texts of a schema and of those that it refers to, and what is found there.
//! It must not know what a keyword means but `$ref`'s own.

use serde_json::Value;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

/// So deep subschemas are looked through for names of their own.
const DEPTH_MAX: usize = 64;

/// A schema's text, or a part of one that has a name of its own.
struct Document<'s> {
    /// What it is called by those that refer to it.
    name: String,
    root: &'s Value,
}

/// All texts that a reference can lead into.
pub(super) struct Documents<'s> {
    /// The first is the schema itself.
    documents: Vec<Document<'s>>,
    /// Places with a name, and the documents that they are in.
    anchors: Vec<(usize, String, &'s Value)>,
}

/// A subschema, and the document that its own references are relative to.
#[derive(Clone, Copy)]
pub(super) struct Place<'s> {
    pub(super) schema: &'s Value,
    document: usize,
}

/// The JSON of a schema. Errors: `Config`.
pub(super) fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).or_fail(Kind::Config, || "the schema is not JSON")
}

impl<'s> Documents<'s> {
    /// Of a schema and those that it refers to, by their names. Errors: `Config`, where they are
    /// nested too deep.
    pub(super) fn new(schema: &'s Value, others: &'s [(String, Value)]) -> Result<Self> {
        let mut all = Documents { documents: Vec::new(), anchors: Vec::new() };
        all.add(String::new(), schema, 0)?;
        others.iter().try_for_each(|(name, other)| all.add(name.clone(), other, 0))?;
        Ok(all)
    }

    pub(super) fn root(&self) -> Option<Place<'s>> {
        Some(Place { schema: self.documents.first()?.root, document: 0 })
    }

    fn add(&mut self, name: String, root: &'s Value, depth: usize) -> Result<()> {
        self.documents.push(Document { name, root });
        self.find_names(root, self.documents.len() - 1, depth)
    }

    /// Notes the parts that have a name.
    fn find_names(&mut self, part: &'s Value, document: usize, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::new(
                Kind::Config,
                format!("the schema is nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        if let Value::Array(parts) = part {
            return parts.iter().try_for_each(|part| self.find_names(part, document, depth + 1));
        }
        let Value::Object(keys) = part else { return Ok(()) };

        let name = |key: &str| keys.get(key).and_then(Value::as_str);
        let anchors = ["$anchor", "$dynamicAnchor"].into_iter().filter_map(name);
        // Drafts 4 to 7 say it by the id.
        let of_id = ["$id", "id"].into_iter().filter_map(name).filter_map(|id| id.strip_prefix('#'));
        let anchors: Vec<String> = anchors.chain(of_id).map(str::to_owned).collect();
        self.anchors.extend(anchors.into_iter().map(|anchor| (document, anchor, part)));

        let id = ["$id", "id"].into_iter().find_map(name).filter(|id| !id.starts_with('#'));
        match id {
            Some(id) if !std::ptr::eq(self.documents[document].root, part) => {
                let id = id.trim_end_matches('#').to_owned();
                return self.add(id, part, depth + 1);
            }
            Some(id) if self.documents[document].name.is_empty() => {
                self.documents[document].name = id.trim_end_matches('#').to_owned();
            }
            _ => {}
        }
        keys.values().try_for_each(|part| self.find_names(part, document, depth + 1))
    }

    /// What a reference leads to. None: nothing is there.
    pub(super) fn resolve(&self, reference: &str, from: Place<'s>) -> Option<Place<'s>> {
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if name.is_empty() { from.document } else { self.named(name)? };
        let root = self.documents[document].root;

        let schema = match fragment {
            "" => root,
            pointer if pointer.starts_with('/') => root.pointer(pointer)?,
            anchor => self.anchors.iter().find(|(of, name, _)| *of == document && name == anchor)?.2,
        };
        Some(Place { schema, document })
    }

    /// The document of a name, or of an address that ends with it.
    fn named(&self, name: &str) -> Option<usize> {
        let ends = |long: &str, short: &str| {
            !short.is_empty()
                && long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let exact = self.documents.iter().position(|document| document.name == name);
        let name = name.trim_start_matches("./");
        exact.or_else(|| self.documents.iter().position(|of| ends(&of.name, name) || ends(name, &of.name)))
    }
}

impl<'s> Place<'s> {
    /// A subschema of this one.
    pub(super) fn within(self, schema: &'s Value) -> Self {
        Place { schema, ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_leads_to_pointers_anchors_and_other_documents() {
        let schema = json!({
            "$id": "https://plant.example/reading.json",
            "$defs": {
                "a/b": {"type": "string"},
                "named": {"$anchor": "here", "type": "integer"},
                "old": {"id": "#there", "type": "number"},
                "bundled": {"$id": "unit.json", "$defs": {"x": {"type": "boolean"}}, "type": "object"},
            },
        });
        let others = [("device.json".to_owned(), json!({"definitions": {"id": {"type": "null"}}}))];
        let documents = Documents::new(&schema, &others).unwrap();
        let root = documents.root().unwrap();
        let of = |reference: &str| Some(documents.resolve(reference, root)?.schema["type"].clone());
        for (reference, found) in [
            ("#/$defs/a~1b", json!("string")),
            ("#here", json!("integer")),
            ("#there", json!("number")),
            ("unit.json", json!("object")),
            ("https://plant.example/unit.json#/$defs/x", json!("boolean")),
            ("device.json#/definitions/id", json!("null")),
            ("./device.json#/definitions/id", json!("null")),
            ("https://plant.example/reading.json#here", json!("integer")),
            ("#", Value::Null),
        ] {
            assert_eq!(of(reference), Some(found), "{reference}");
        }
        for reference in ["#/$defs/none", "#nowhere", "other.json", "it.json", "http://x/y#z"] {
            assert_eq!(of(reference), None, "{reference}");
        }
    }
}
