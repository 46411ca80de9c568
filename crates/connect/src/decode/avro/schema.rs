//! An Avro schema, as its specification has it: types in one list, so that they may hold
//! themselves. It must not read data.

use std::collections::HashMap;

use serde_json::Value as Json;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

/// So deep a schema may be nested where it is written.
const MAX_DEPTH: usize = 64;
/// So many types a schema may have.
const TYPES_MAX: usize = 10_000;

/// A type, by its place among those of its schema.
pub(in crate::decode) type TypeId = usize;

/// A schema.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) struct AvroSchema {
    pub(in crate::decode) types: Vec<AvroType>,
    pub(in crate::decode) root: TypeId,
}

/// A type, and what its values mean beyond it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) struct AvroType {
    pub(in crate::decode) kind: AvroKind,
    pub(in crate::decode) logical: Option<Logical>,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) enum AvroKind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<AvroField>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) struct AvroField {
    pub(in crate::decode) name: String,
    /// Names that it had.
    pub(in crate::decode) aliases: Vec<String>,
    pub(in crate::decode) of: TypeId,
    pub(in crate::decode) default: Option<Json>,
}

/// What a type's values mean; one that is not known is what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Logical {
    Date,
    /// Of an instant, or of a clock whose place is not said: so many a second.
    Timestamp {
        a_second: i64,
        is_local: bool,
    },
    Decimal {
        scale: u32,
    },
    Uuid,
}

/// What is still unsaid while a schema is read.
struct Parser {
    types: Vec<AvroType>,
    names: HashMap<String, TypeId>,
}

impl AvroSchema {
    /// One that refers to no other.
    #[cfg(test)]
    pub(in crate::decode) fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, &[])
    }

    /// With the schemas that it refers to, each before those that refer to it. Errors: `Config`,
    /// saying what is wrong with it.
    pub(in crate::decode) fn parse_with(text: &str, references: &[&str]) -> Result<Self> {
        let mut parser = Parser { types: Vec::new(), names: HashMap::new() };
        for text in references {
            parser.of_text(text)?;
        }
        let root = parser.of_text(text)?;
        Ok(AvroSchema { types: parser.types, root })
    }

    pub(in crate::decode) fn of(&self, id: TypeId) -> &AvroType {
        &self.types[id]
    }

    /// The fields of the record that the schema is.
    pub(in crate::decode) fn fields(&self) -> Result<&[AvroField]> {
        match &self.of(self.root).kind {
            AvroKind::Record(fields) => Ok(fields),
            _ => Err(refuse("the schema is not an Avro record")),
        }
    }
}

fn refuse(what: impl Into<String>) -> Error {
    Error::new(Kind::Config, what)
}

impl Parser {
    fn of_text(&mut self, text: &str) -> Result<TypeId> {
        let schema: Json = serde_json::from_str(text).or_fail(Kind::Config, || "the schema is not JSON")?;
        self.type_of(&schema, "", 0)
    }

    fn add(&mut self, kind: AvroKind, logical: Option<Logical>) -> Result<TypeId> {
        if self.types.len() >= TYPES_MAX {
            return Err(refuse(format!("the schema has more than {TYPES_MAX} types")));
        }
        self.types.push(AvroType { kind, logical });
        Ok(self.types.len() - 1)
    }

    fn type_of(&mut self, schema: &Json, namespace: &str, depth: usize) -> Result<TypeId> {
        if depth > MAX_DEPTH {
            return Err(refuse(format!("the schema is nested deeper than {MAX_DEPTH} levels")));
        }
        match schema {
            Json::String(name) => self.named(name, namespace),
            Json::Array(branches) => {
                if branches.is_empty() {
                    return Err(refuse("an empty union in the schema"));
                }
                let branches = branches.iter().map(|branch| self.type_of(branch, namespace, depth + 1));
                let branches = branches.collect::<Result<_>>()?;
                self.add(AvroKind::Union(branches), None)
            }
            Json::Object(_) => self.object(schema, namespace, depth),
            _ => Err(refuse(format!("the schema has no type where it needs one, but {schema}"))),
        }
    }

    /// A type by its name: one of Avro's own, or one that was defined before.
    fn named(&mut self, name: &str, namespace: &str) -> Result<TypeId> {
        let known = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
        if let Some(known) = known {
            return Ok(*known);
        }
        let kind = primitive(name).ok_or_else(|| refuse(format!("the schema has no type `{name}`")))?;
        self.add(kind, None)
    }

    fn object(&mut self, schema: &Json, namespace: &str, depth: usize) -> Result<TypeId> {
        let Json::String(of) = &schema["type"] else {
            return self.type_of(&schema["type"], namespace, depth + 1);
        };

        let space = schema["namespace"].as_str().unwrap_or(namespace);
        match of.as_str() {
            "record" | "error" => self.record(schema, space, depth),
            "enum" => {
                let symbols = schema["symbols"].as_array().into_iter().flatten();
                let symbols = symbols.filter_map(Json::as_str).map(str::to_owned).collect();
                let id = self.add(AvroKind::Enum(symbols), None)?;
                self.define(schema, space, id)
            }
            "fixed" => {
                let size = schema["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| refuse("a fixed type of the schema has no size"))?;
                let kind = AvroKind::Fixed(size);
                let logical = logical_of(&kind, schema);
                let id = self.add(kind, logical)?;
                self.define(schema, space, id)
            }

            "array" => {
                let items = self.type_of(&schema["items"], namespace, depth + 1)?;
                self.add(AvroKind::Array(items), None)
            }
            "map" => {
                let values = self.type_of(&schema["values"], namespace, depth + 1)?;
                self.add(AvroKind::Map(values), None)
            }
            name => match primitive(name) {
                Some(kind) => {
                    let logical = logical_of(&kind, schema);
                    self.add(kind, logical)
                }
                None => self.named(name, namespace),
            },
        }
    }

    fn record(&mut self, schema: &Json, namespace: &str, depth: usize) -> Result<TypeId> {
        // It may hold itself: its name is known before its fields are.
        let id = self.add(AvroKind::Record(Vec::new()), None)?;
        self.define(schema, namespace, id)?;
        let own = full_name(schema["name"].as_str().unwrap_or_default(), namespace);
        let space = own.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let Some(written) = schema["fields"].as_array() else {
            return Err(refuse("a record of the schema has no list of fields"));
        };

        let mut fields: Vec<AvroField> = Vec::with_capacity(written.len());
        for (index, field) in written.iter().enumerate() {
            let Some(name) = field["name"].as_str().filter(|name| !name.is_empty()) else {
                return Err(refuse(format!("field {} of the schema has no name", index + 1)));
            };
            if fields.iter().any(|field| field.name == name) {
                return Err(refuse(format!("the schema has two fields `{name}`")));
            }
            let aliases = field["aliases"].as_array().into_iter().flatten();
            fields.push(AvroField {
                name: name.to_owned(),
                aliases: aliases.filter_map(Json::as_str).map(str::to_owned).collect(),
                // A type with its words beside it, `{"name": …, "type": "long", "logicalType": …}`,
                // is common and means the type alone.
                of: self.type_of(&field["type"], &space, depth + 1)?,
                default: field.get("default").cloned(),
            });
        }
        self.types[id].kind = AvroKind::Record(fields);
        Ok(id)
    }

    fn define(&mut self, schema: &Json, namespace: &str, id: TypeId) -> Result<TypeId> {
        if let Some(name) = schema["name"].as_str().filter(|name| !name.is_empty()) {
            self.names.insert(full_name(name, namespace), id);
        }
        Ok(id)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(name: &str) -> Option<AvroKind> {
    Some(match name {
        "null" => AvroKind::Null,
        "boolean" => AvroKind::Boolean,
        "int" => AvroKind::Int,
        "long" => AvroKind::Long,
        "float" => AvroKind::Float,
        "double" => AvroKind::Double,
        "string" => AvroKind::String,
        "bytes" => AvroKind::Bytes,
        _ => return None,
    })
}

/// What the values mean; none where that is not known, or is none of this type.
fn logical_of(kind: &AvroKind, schema: &Json) -> Option<Logical> {
    let timestamp = |a_second, is_local| Some(Logical::Timestamp { a_second, is_local });
    match (kind, schema["logicalType"].as_str()?) {
        (AvroKind::Int, "date") => Some(Logical::Date),
        (AvroKind::Long, "timestamp-millis") => timestamp(1_000, false),
        (AvroKind::Long, "timestamp-micros") => timestamp(1_000_000, false),
        (AvroKind::Long, "timestamp-nanos") => timestamp(1_000_000_000, false),
        (AvroKind::Long, "local-timestamp-millis") => timestamp(1_000, true),
        (AvroKind::Long, "local-timestamp-micros") => timestamp(1_000_000, true),
        (AvroKind::Long, "local-timestamp-nanos") => timestamp(1_000_000_000, true),
        (AvroKind::Bytes | AvroKind::Fixed(_), "decimal") => {
            let scale = schema["scale"].as_u64().unwrap_or(0);
            // More digits than a float has any use for, and than the specification's 16 bytes hold.
            u32::try_from(scale).ok().filter(|scale| *scale <= 38).map(|scale| Logical::Decimal { scale })
        }
        (AvroKind::Fixed(16), "uuid") => Some(Logical::Uuid),
        _ => None,
    }
}
