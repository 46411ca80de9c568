//! All that a schema uses, fetched from the registry: each once, those that are used before those
//! that use them.
//! It must not know what a schema's text says.

use std::collections::HashSet;
use std::time::Instant;

use tickcast_stream::error::{Error, Kind, Result};

use super::answer::SchemaBody;
use super::schema::{ReferencedSchema, SchemaReference};
use super::servers::{Question, Servers};

/// How many schemas one may use, directly or not.
const REFERENCES_MAX: usize = 256;
/// How many schemas may stand between one and what it uses.
const DEPTH_MAX: usize = 32;
/// How long all texts may be together.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// A schema's references while they are gathered.
pub(super) struct Gathering<'a> {
    servers: &'a Servers,
    kind: Kind,
    deadline: Instant,
    /// The name and the version of the subject of each that is on the way to what is fetched now.
    path: Vec<(String, i32)>,
    /// What each that is done is called: one schema may be used under two names.
    done: HashSet<SchemaReference>,
    found: Vec<ReferencedSchema>,
    text_bytes: usize,
}

impl<'a> Gathering<'a> {
    /// Nothing yet.
    pub fn new(servers: &'a Servers, kind: Kind, deadline: Instant) -> Self {
        let (path, done, found) = (Vec::new(), HashSet::new(), Vec::new());
        Gathering { servers, kind, deadline, path, done, found, text_bytes: 0 }
    }

    /// All that these references lead to. Errors: those of the registry, and where they lead in a
    /// circle, too deep, or to too much.
    pub fn gather(mut self, references: Vec<SchemaReference>) -> Result<Vec<ReferencedSchema>> {
        self.follow(references)?;
        Ok(self.found)
    }

    fn follow(&mut self, references: Vec<SchemaReference>) -> Result<()> {
        for reference in references {
            if self.done.contains(&reference) {
                continue;
            }
            let SchemaReference { name, subject, version } = &reference;
            self.path.push((subject.clone(), *version));
            self.refuse_what_has_no_end()?;

            let what = format!("subject {subject} version {version} (used as {name})");
            let version = version.to_string();
            let body: SchemaBody = self.servers.ask(Question {
                kind: self.kind,
                what: &what,
                path: &["subjects", subject, "versions", &version],
                body: None,
                deadline: self.deadline,
            })?;

            self.text_bytes += body.schema.len();
            self.follow(body.references.unwrap_or_default())?;
            self.path.pop();
            self.found.push(ReferencedSchema { name: name.clone(), text: body.schema });
            self.done.insert(reference);
        }
        Ok(())
    }

    /// Looks at what is fetched next and at all before it.
    fn refuse_what_has_no_end(&self) -> Result<()> {
        let Some((next, way)) = self.path.split_last() else { return Ok(()) };
        let what = if way.contains(next) {
            format!("lead in a circle: {}", self.way())
        } else if way.len() >= DEPTH_MAX {
            format!("are more than {DEPTH_MAX} deep: {}", self.way())
        } else if self.found.len() + way.len() >= REFERENCES_MAX {
            format!("are more than {REFERENCES_MAX}")
        } else if self.text_bytes > TEXT_BYTES_MAX {
            format!("have more than {} MiB", TEXT_BYTES_MAX >> 20)
        } else {
            return Ok(());
        };

        Err(Error::new(self.kind, format!("schema registry: a schema's references {what}")))
    }

    fn way(&self) -> String {
        let steps: Vec<String> =
            self.path.iter().map(|(subject, version)| format!("{subject} version {version}")).collect();
        steps.join(" -> ")
    }
}
