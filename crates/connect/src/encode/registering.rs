//! The numbers that a registry has for the schemas of results.
//! It must not write records.

use tickcast_stream::error::Result;

use super::keys::key_schema;
use super::schema::{ResultSchema, language};
use super::spec::{PayloadSpec, ResultRegistry};
use crate::registry::{NewSchema, Registry, SchemaKind};

/// How the numbers are come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Schemas that the registry does not have are registered.
    Register,
    /// The registry is only asked.
    LookUp,
}

/// The numbers of a topic's schemas; none: records are bare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub key: Option<u32>,
    pub value: Option<u32>,
}

impl Numbers {
    /// Those of a topic. Errors: as [`Registry::register`].
    pub fn of(
        registry: &ResultRegistry,
        spec: &PayloadSpec,
        schema: &ResultSchema,
        topic: &str,
        numbering: Numbering,
    ) -> Result<Self> {
        let client = Registry::open(&registry.spec)?;
        let number = |subject: &str, kind: SchemaKind, text: String| {
            let schema = NewSchema { kind, text, references: Vec::new() };
            match numbering {
                Numbering::Register => client.register(subject, &schema),
                Numbering::LookUp => client.look_up(subject, &schema),
            }
        };

        let value = registry.subject.of(topic, &schema.name());
        let value = number(&value, language(spec.format), schema.text(spec.format)?)?;
        let key = key_schema(spec.key);
        let key = key.map(|(kind, text)| number(&format!("{topic}-key"), kind, text)).transpose()?;
        Ok(Numbers { key, value: Some(value) })
    }
}
