//! A schema registry as its users see it: schemas by id and by subject, and new ones.
//! It must not know HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::lock::lock;

use super::answer::{IdBody, SchemaBody};
use super::references::Gathering;
use super::schema::{NewSchema, RegisteredSchema, SchemaKind};
use super::servers::{Question, Servers};
use super::spec::RegistrySpec;
use crate::http::{ANSWER_WITHIN, Access, Keys};

/// What faults name.
const KEYS: Keys = Keys { password: "registry.password_file", ca_file: "registry.ca_file" };
/// How long one call may take, however many requests it needs.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// How many schemas are kept: more than any topic names, and no more than fit into the memory.
const KEPT_MAX: usize = 1000;

/// A client of a registry. Its clones share what has been fetched.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    servers: Servers,
    /// By id. An id never means another schema, so none of them grows old.
    kept: Mutex<HashMap<u32, Arc<RegisteredSchema>>>,
}

impl Registry {
    /// The registry need not answer yet. Errors: `Config`, where an address is none, or a file
    /// cannot be read.
    pub fn open(spec: &RegistrySpec) -> Result<Self> {
        Registry::open_with(spec, ANSWER_WITHIN)
    }

    /// As [`open`](Registry::open); one request may take so long.
    pub(super) fn open_with(spec: &RegistrySpec, answer_within: Duration) -> Result<Self> {
        let urls = spec.servers()?;
        if let Some(password) = &spec.password {
            // Not the path: somebody may have put the password itself there.
            let fail = || "the file of registry.password_file cannot be read";
            password
                .read()
                .map_err(|why| Error::new(Kind::Config, fail()).because(why.kind().to_string()))?;
        }
        if let Some(file) = &spec.ca_file {
            let fail = || format!("registry.ca_file: cannot read {}", file.display());
            std::fs::File::open(file).or_fail(Kind::Config, fail)?;
        }

        let RegistrySpec { username, password, ca_file, .. } = spec.clone();
        let servers = Servers::new(urls, Access { username, password, ca_file, answer_within, keys: KEYS });
        Ok(Registry { shared: Arc::new(Shared { servers, kept: Mutex::default() }) })
    }

    /// The schema of an id, with all that it uses. It is fetched once. Errors: `Source`; because of
    /// [`UnknownSchema`](super::UnknownSchema), where the registry does not have it, which may
    /// change; `Retry::Later`, where the registry cannot be reached, or not in time.
    pub fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>> {
        if let Some(schema) = lock(&self.shared.kept).get(&id) {
            return Ok(Arc::clone(schema));
        }
        let number = id.to_string();
        let (what, path) = (format!("schema {id}"), ["schemas", "ids", &number]);
        self.fetch(&what, &path, Some(id))
    }

    /// The newest schema of a subject. It is asked for at each call. Errors: as
    /// [`schema`](Registry::schema).
    pub fn latest(&self, subject: &str) -> Result<Arc<RegisteredSchema>> {
        self.fetch(&format!("subject {subject}"), &["subjects", subject, "versions", "latest"], None)
    }

    /// Registers a schema under a subject, and returns its id: the same one, where it is registered
    /// already. Errors: `Sink`; `Retry::Later`, where the registry cannot be reached, or not in
    /// time. One that is not compatible with the subject's others is refused for good.
    pub fn register(&self, subject: &str, schema: &NewSchema) -> Result<u32> {
        let what = format!("the registration under subject {subject}");
        self.post(&what, &["subjects", subject, "versions"], schema)
    }

    /// The id of a schema that is registered under a subject. Errors: as
    /// [`register`](Registry::register); because of [`UnknownSchema`](super::UnknownSchema), where
    /// it is not.
    pub fn look_up(&self, subject: &str, schema: &NewSchema) -> Result<u32> {
        let what = format!("this schema under subject {subject}");
        self.post(&what, &["subjects", subject], schema)
    }

    /// Posts a schema; the answer has its id.
    fn post(&self, what: &str, path: &[&str], schema: &NewSchema) -> Result<u32> {
        let mut body = json!({ "schema": schema.text });
        // Registries that know only Avro know no other keys.
        if schema.kind != SchemaKind::Avro {
            body["schemaType"] = json!(schema.kind);
        }
        if !schema.references.is_empty() {
            body["references"] = json!(schema.references);
        }

        let body = body.to_string();
        let deadline = Instant::now() + CALL_WITHIN;
        let question = Question { kind: Kind::Sink, what, path, body: Some(body.as_bytes()), deadline };
        let IdBody { id } = self.shared.servers.ask(question)?;
        Ok(id)
    }

    /// Fetches a schema and all that it uses. `id`: the one that it was asked for by.
    fn fetch(&self, what: &str, path: &[&str], id: Option<u32>) -> Result<Arc<RegisteredSchema>> {
        let (kind, deadline) = (Kind::Source, Instant::now() + CALL_WITHIN);
        let question = Question { kind, what, path, body: None, deadline };
        let body: SchemaBody = self.shared.servers.ask(question)?;
        let Some(id) = id.or(body.id) else {
            return Err(Error::new(kind, format!("schema registry: its answer for {what} has no id")));
        };

        let gathering = Gathering::new(&self.shared.servers, kind, deadline);
        let references = gathering.gather(body.references.unwrap_or_default())?;
        let schema = Arc::new(RegisteredSchema { id, kind: body.kind, text: body.schema, references });

        let mut kept = lock(&self.shared.kept);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(id, Arc::clone(&schema));
        Ok(schema)
    }
}
