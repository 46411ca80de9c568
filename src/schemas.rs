//! The schemas of a pipeline's records: of a file, or of a schema registry.
//! It must not decode a record.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tickcast_connect::registry::{RegisteredSchema, Registry, SchemaKind, UnknownSchema};
use tickcast_connect::{FetchSchema, RecordSchema, SchemaText, WireFormat, WriterSchemas, read_whole};
use tickcast_stream::error::{Error, Kind, OrFail, Result, Retry};
use tickcast_stream::lock::lock;

use crate::config::Plan;

/// Far longer than the schema of any record.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;
/// So long a record waits for a registry that does not have its schema: a copy of the registry may
/// be behind.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// So long a registry is not asked again for a schema that it did not have.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// So long records wait for a registry that does not answer, before the run ends.
const AWAY_FOR: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(1);

/// What records are read by, and what they were written with.
#[derive(Default)]
pub(crate) struct Schemas {
    /// The reader's.
    pub definition: Option<RecordSchema>,
    /// Those of writers, by the numbers that records have.
    pub writers: Option<Arc<WriterSchemas>>,
}

/// Those of a pipeline; without a file that of the topic's newest records. Errors: `Config`, with
/// its path, or what is wrong with the registry.
pub(crate) fn of(plan: &Plan) -> Result<Schemas> {
    let registry = plan.records.registry.as_ref().map(Registry::open).transpose()?;
    let definition = match (&plan.records.schema, &registry) {
        (Some(path), _) => Some(of_file(path, plan)?),
        (None, Some(registry)) => Some(newest(plan, registry)?),
        (None, None) => None,
    };
    let writers = registry.map(|registry| Arc::new(WriterSchemas::new(fetch(registry))));
    Ok(Schemas { definition, writers })
}

fn of_file(path: &Path, plan: &Plan) -> Result<RecordSchema> {
    let bytes = read_whole(path, SCHEMA_BYTES_MAX)
        .or_fail(Kind::Config, || format!("cannot read the schema {}", path.display()))?;
    let text = || SchemaText { text: String::from_utf8_lossy(&bytes).into_owned(), references: Vec::new() };
    let schema = match plan.records.format {
        WireFormat::Protobuf => RecordSchema::protobuf(&bytes, plan.records.message.as_deref()),
        WireFormat::Avro => RecordSchema::avro(&text()),
        WireFormat::Json | WireFormat::Csv => {
            RecordSchema::of_text(&text()).and_then(|schema| ordered(schema, plan))
        }
    };
    let fail = |cause| Error::new(Kind::Config, format!("schema {}", path.display())).because(cause);
    schema.map_err(fail)
}

/// The fields of a topic's CSV stand in the order of the schema. Errors: `Config`, where it says
/// none.
fn ordered(schema: RecordSchema, plan: &Plan) -> Result<RecordSchema> {
    let is_topic = plan.source.client().is_some();
    let needs_order =
        is_topic && plan.records.format == WireFormat::Csv && plan.records.csv.names().is_none();
    if needs_order && !schema.has_order() {
        let what = "a JSON Schema does not say in which order the fields of CSV stand: name them by \
                    source.csv.header";
        return Err(Error::new(Kind::Config, what));
    }
    Ok(schema)
}

/// The newest schema of the topic's values.
fn newest(plan: &Plan, registry: &Registry) -> Result<RecordSchema> {
    let subject = format!("{}-value", plan.source.traits().label);
    let schema = registry.latest(&subject)?;
    let wanted = match plan.records.format {
        WireFormat::Protobuf => SchemaKind::Protobuf,
        WireFormat::Json => SchemaKind::Json,
        _ => SchemaKind::Avro,
    };
    if schema.kind != wanted {
        let what = format!("source.format: the subject {subject} is of {}, not of {wanted}", schema.kind);
        return Err(Error::new(Kind::Config, what));
    }

    let text = text_of(&schema);
    let read = match wanted {
        SchemaKind::Protobuf => RecordSchema::proto_text(&text, plan.records.message.as_deref()),
        SchemaKind::Json => RecordSchema::json(&text),
        _ => RecordSchema::avro(&text),
    };
    read.map_err(|cause| {
        Error::new(Kind::Config, format!("the schema of the subject {subject}")).because(cause)
    })
}

fn text_of(schema: &RegisteredSchema) -> SchemaText {
    let references = schema.references.iter().map(|of| (of.name.clone(), of.text.clone()));
    SchemaText { text: schema.text.clone(), references: references.collect() }
}

/// Asks a registry for the schemas of records, and waits for it where that helps.
fn fetch(registry: Registry) -> FetchSchema {
    let unknown: Mutex<HashMap<u32, Instant>> = Mutex::default();
    Arc::new(move |id| {
        let was_unknown = lock(&unknown).get(&id).copied();
        if was_unknown.is_some_and(|since| since.elapsed() < ASK_AGAIN) {
            return Ok(Err("the registry does not have it".to_owned()));
        }
        let from = Instant::now();
        loop {
            let cause = match registry.schema(id) {
                Ok(schema) => return Ok(Ok(text_of(&schema))),
                Err(cause) => cause,
            };
            let wait = match (UnknownSchema::cause_of(&cause), cause.retry) {
                // It was waited for once.
                (Some(_), _) if was_unknown.is_some() => Duration::ZERO,
                (Some(_), _) => UNKNOWN_FOR,
                (None, Retry::Later) => AWAY_FOR,
                (None, Retry::Never) => return Err(cause),
            };
            if from.elapsed() < wait {
                tracing::warn!(id, "records wait for their schema: {cause}");
                sleep(PAUSE);
                continue;
            }
            if UnknownSchema::cause_of(&cause).is_none() {
                return Err(cause);
            }
            lock(&unknown).insert(id, Instant::now());
            return Ok(Err("the registry does not have it".to_owned()));
        }
    })
}
