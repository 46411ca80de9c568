//! The pipeline file: YAML text -> tree -> raw keys -> one validated [`Plan`], or every fault of it
//! at once.
//! It must not know how anything runs: it opens no source, plans no SQL and reaches no broker.

pub mod plan;

mod check;
mod de;
mod fault;
mod fill;
mod raw;
mod reference;
mod scalar;
mod set;
#[cfg(test)]
mod tests;
mod tree;
mod window_length;

use std::path::Path;

pub use fault::{Fault, Faults};
pub use plan::Plan;
use tickcast_connect::read_whole_text;

/// A pipeline file is a page; what is larger is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A valid pipeline file: its plan, and where each key of it stands.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// What it says, checked and defaulted. It may be changed before the launch, for example to
    /// plug in a source of one's own.
    pub plan: Plan,
    places: fault::Places,
}

impl Pipeline {
    /// A pipeline of a program's own text: relative paths begin at `base_dir`, `${VAR}` is looked
    /// up in the environment, and without `name` it is called `pipeline`. Errors: every fault.
    pub fn from_yaml(text: &str, base_dir: &Path) -> Result<Self, Faults> {
        parse(text, "pipeline.yaml", base_dir, &[], &|name| std::env::var(name).ok())
    }

    /// A fault that a later stage found, placed at `path` or at its nearest parent in the file:
    /// `pipeline.fault(&["window", "select", "temp"], "no such function: avgg")`.
    pub fn fault(&self, path: &[&str], message: impl Into<String>) -> Fault {
        self.places.fault(&path.join("."), message, None)
    }
}

/// Reads a pipeline file with this process's environment; `sets` are `key.path=value`.
pub fn load(path: &Path, sets: &[String]) -> Result<Pipeline, Faults> {
    let file_name = path.display().to_string();
    let text = read_text(path).map_err(|message| {
        let fault =
            Fault { line: 0, column: 0, path: String::new(), message, help: None, file: file_name.clone() };
        Faults(vec![fault])
    })?;
    let base_dir = path.parent().unwrap_or(Path::new(""));
    parse(&text, &file_name, base_dir, sets, &|name| std::env::var(name).ok())
}

fn read_text(path: &Path) -> Result<String, String> {
    read_whole_text(path, FILE_BYTES_MAX).map_err(|error| format!("cannot be read: {error}"))
}

/// Parses a pipeline. Its relative paths begin at `base_dir`; `env` looks environment variables up.
pub fn parse(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    sets: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, Faults> {
    let mut faults = Vec::new();
    let outcome = plan_of(text, file_name, base_dir, sets, env, &mut faults);

    for fault in faults.iter_mut().filter(|fault| fault.file.is_empty()) {
        fault.file = file_name.to_string();
    }
    match outcome {
        Some(pipeline) if faults.is_empty() => Ok(pipeline),
        _ => Err(Faults::sorted(faults)),
    }
}

fn plan_of(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    sets: &[String],
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) -> Option<Pipeline> {
    let mut root = tree::read(text, faults).map_err(|fault| faults.push(fault)).ok()?;
    set::apply(&mut root, sets, faults);
    fill::fill(&mut root, env, faults);

    let places = root.places(file_name);
    let raw = de::decode(&root, faults)?;
    let plan = check::check(raw, &places, base_dir, faults);
    Some(Pipeline { plan, places })
}

/// The JSON Schema of the pipeline file, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::RawPipeline).to_value()
}

/// The reference of all keys as a Markdown page, made from [`schema`].
pub fn reference() -> String {
    reference::page(&schema())
}
