//! How a pipeline fails: its file is wrong, or something happened while it ran.
//! It must not decide how a process ends.

use std::fmt;

use tickcast_connect::kafka::check_properties;
use tickcast_sql::key_of;
use tickcast_stream::error::{Error, Kind, Result};

use crate::config::{Faults, Pipeline};

/// How a pipeline failed.
#[derive(Debug)]
pub enum Failure {
    /// The pipeline file is wrong: every fault of it.
    Pipeline(Faults),
    /// Something happened while it ran.
    Runtime(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Pipeline(faults) => faults.fmt(f),
            Failure::Runtime(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Runtime(error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Failure::Pipeline(faults)
    }
}

/// What the calls that run a pipeline return.
pub type Outcome<T = ()> = std::result::Result<T, Failure>;

/// Whether librdkafka takes the properties of every Kafka block.
pub fn check_clients(pipeline: &Pipeline) -> Outcome {
    let ends = pipeline.plan.ends();
    let source = ends.source.client().map(|client| ("source".to_owned(), client));
    let written = ends.topics_written().map(|(end, topic)| (end, &topic.client));
    for (end, client) in source.into_iter().chain(written) {
        check_properties(client)
            .map_err(|error| pipeline_fault(pipeline, &[&end, "kafka", "properties"], &error))?;
    }
    Ok(())
}

/// What the schema or the SQL of a pipeline has wrong is a fault of its file, at its place.
pub fn placed<T>(pipeline: &Pipeline, result: Result<T>) -> Outcome<T> {
    result.map_err(|error| match error.kind {
        Kind::Config => pipeline_fault(pipeline, &["source"], &error),
        Kind::Query => {
            let key = key_of(&error).unwrap_or_else(|| vec!["window".to_owned()]);
            let path: Vec<&str> = key.iter().map(String::as_str).collect();
            pipeline_fault(pipeline, &path, &error)
        }
        _ => Failure::Runtime(error),
    })
}

fn pipeline_fault(pipeline: &Pipeline, path: &[&str], error: &Error) -> Failure {
    let text = error.to_string();
    // The place says already what the message begins with.
    let prefix = format!("{}: ", path.join("."));
    let text = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
    let text = text.strip_prefix(&prefix).unwrap_or(text);
    Failure::Pipeline(Faults(vec![pipeline.fault(path, text)]))
}
