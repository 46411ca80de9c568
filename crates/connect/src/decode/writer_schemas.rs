//! The schemas that payloads name by number: asked for once each.
//! It must not know where they are kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tickcast_stream::error::{Error, Result};
use tickcast_stream::lock::lock;

use super::avro::AvroSchema;
use super::protobuf::ProtoSchema;

/// A schema as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The schema itself.
    pub text: String,
    /// What it refers to, by the names that it uses; each before those that refer to it.
    pub references: Vec<(String, String)>,
}

/// Brings the schema of a number, or says why there is none. It may take its time. Errors: where
/// that cannot be known now.
pub type FetchSchema = Arc<dyn Fn(u32) -> Result<std::result::Result<SchemaText, String>> + Send + Sync>;

/// The schemas of a topic's writers.
pub struct WriterSchemas {
    fetch: FetchSchema,
    avro: Mutex<HashMap<u32, Arc<AvroSchema>>>,
    protobuf: Mutex<HashMap<u32, Arc<ProtoSchema>>>,
    /// Why a schema could not be had: the records that need it are not to be judged.
    failure: Mutex<Option<Error>>,
}

impl fmt::Debug for WriterSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterSchemas").finish_non_exhaustive()
    }
}

impl WriterSchemas {
    /// Those that `fetch` brings.
    pub fn new(fetch: FetchSchema) -> Self {
        WriterSchemas { fetch, avro: Mutex::default(), protobuf: Mutex::default(), failure: Mutex::default() }
    }

    /// The Avro schema of a number.
    pub(super) fn avro(&self, number: u32) -> std::result::Result<Arc<AvroSchema>, String> {
        let parse = |schema: SchemaText| {
            let references: Vec<&str> = schema.references.iter().map(|(_, text)| text.as_str()).collect();
            AvroSchema::parse_with(&schema.text, &references).map_err(|error| error.to_string())
        };
        self.known(&self.avro, number, parse)
    }

    /// The Protobuf schema of a number.
    pub(super) fn protobuf(&self, number: u32) -> std::result::Result<Arc<ProtoSchema>, String> {
        let parse = |schema: SchemaText| {
            ProtoSchema::of_texts(&schema.text, &schema.references).map_err(|error| error.to_string())
        };
        self.known(&self.protobuf, number, parse)
    }

    /// What kept a schema from being asked for since this was called last: what was said of records
    /// in the meantime does not count.
    pub(super) fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    fn known<T>(
        &self,
        known: &Mutex<HashMap<u32, Arc<T>>>,
        number: u32,
        parse: impl Fn(SchemaText) -> std::result::Result<T, String>,
    ) -> std::result::Result<Arc<T>, String> {
        if let Some(schema) = lock(known).get(&number) {
            return Ok(Arc::clone(schema));
        }

        let at = |why: String| format!("the schema {number}: {why}");
        let fetched = (self.fetch)(number).map_err(|cause| {
            let why = cause.to_string();
            *lock(&self.failure) = Some(cause);
            why
        })?;
        let schema = Arc::new(parse(fetched.map_err(at)?).map_err(at)?);
        lock(known).insert(number, Arc::clone(&schema));
        Ok(schema)
    }
}
