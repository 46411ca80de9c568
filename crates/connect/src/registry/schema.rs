//! Schemas as a registry has them.
//! It must not know what their text says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaKind {
    /// Avro's JSON.
    Avro,
    /// A `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Json => "JSON",
        })
    }
}

/// That a schema uses another one, which is registered apart from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaReference {
    /// What it is called in the text: a full name in Avro, the path of an import in Protobuf, a URL
    /// in JSON Schema.
    pub name: String,
    /// The subject that it is registered under.
    pub subject: String,
    /// Which of the subject's versions it is.
    pub version: i32,
}

/// Another schema that a schema uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencedSchema {
    /// What it is called in the texts that use it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A schema that a registry has. Its id never means another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// The number that records name it by.
    pub id: u32,
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// All that it uses, directly or not: each stands behind those that it uses itself.
    pub references: Vec<ReferencedSchema>,
}

/// A schema to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it uses directly; all of it is registered already.
    pub references: Vec<SchemaReference>,
}
