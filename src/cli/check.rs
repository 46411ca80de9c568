//! `check`: the pipeline file, its schema and its SQL; with `--connect` the brokers and topics too.
//! It must not change anything anywhere.

use tickcast_connect::kafka::mismatch;
use tickcast_connect::registry::UnknownSchema;
use tickcast_connect::{Numbering, Reached, reach_topics};
use tickcast_stream::error::{Error, Kind, Result};

use super::say::{say, tell};
use crate::config::Pipeline;
use crate::config::plan::Plan;
use crate::factory::factory_unread;
use crate::failure::{Failure, Outcome, check_clients, placed};

/// Checks the file, and with `connect` the brokers and topics too. Errors: every fault of the file;
/// `Runtime`, when an end cannot be used.
pub fn check(pipeline: &Pipeline, connect: bool) -> Outcome {
    let plan = &pipeline.plan;
    check_clients(pipeline)?;
    placed(pipeline, factory_unread(plan))?;
    say(&format!("{}: the pipeline file is good", plan.name))?;
    if let Some(ingest) = &plan.ingest {
        say(&format!("source: {ingest}: at least once: what a sender sends again is there again"))?;
    }
    if !connect {
        return Ok(());
    }
    let problems = connect_all(plan)?;
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        tell(problem);
    }
    let count = problems.len();
    Err(Failure::Runtime(Error::new(Kind::Source, format!("{count} of the pipeline's ends cannot be used"))))
}

/// A topic that takes as many bytes a record takes all that is written to it.
const COMFORTABLE: usize = 1_000_000;

/// What becomes of a topic that takes less.
fn tight(end: &str) -> &'static str {
    match end {
        "state" => {
            "snapshots are written in records of up to 901,000 bytes, and the run stops at one that is refused"
        }
        "sinks.rejects" => "rejects that are larger are cut",
        _ => "the run stops at a record that is refused",
    }
}

/// What is wrong with the topics; what is right is said.
fn connect_all(plan: &Plan) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut wanted = None;
    for Reached { end, topic, found, record_limit } in reach_topics(plan.ends()) {
        let (name, brokers) = (&topic.topic, &topic.client.brokers);
        let is_source = end == "source";

        if let Some(bytes) = record_limit.filter(|bytes| !is_source && *bytes < COMFORTABLE) {
            eprintln!(
                "warning: {end}: topic {name} takes {bytes} bytes a record (max.message.bytes): {}",
                tight(&end)
            );
        }

        match found {
            Ok(Some(count)) => {
                say(&format!("{end}: topic {name} at {brokers}: {count} partitions"))?;
                match wanted {
                    None if is_source => wanted = Some(count),
                    Some(wanted) if wanted != count => {
                        problems.push(format!("{end}: {}", mismatch(name, count, wanted)));
                    }
                    _ => {}
                }
            }
            Ok(None) if is_source => {
                problems.push(format!("{end}: topic {name} does not exist at {brokers}"));
            }
            Ok(None) => {
                say(&format!("{end}: topic {name} at {brokers} does not exist yet: run makes it"))?;
            }
            Err(why) => problems.push(format!("{end}: {why}")),
        }
    }
    problems.extend(registries(plan)?);
    Ok(problems)
}

/// What is wrong with the registries of results.
fn registries(plan: &Plan) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (stream, sink) in plan.sinks.kafka().filter(|(_, sink)| sink.payload.registry.is_some()) {
        let end = format!("sinks.{}", stream.name());
        let columns = plan.record_shape().schema(stream);
        match sink.records(stream, &columns, Numbering::LookUp) {
            Ok(_) => say(&format!("{end}: the registry has its schema"))?,
            Err(error) if UnknownSchema::cause_of(&error).is_some() => {
                say(&format!("{end}: the registry does not have its schema yet: run registers it"))?;
            }
            Err(error) => problems.push(format!("{end}: {error}")),
        }
    }
    Ok(problems)
}
