//! `check`: the pipeline file, its schema and its SQL; with `--connect` the brokers and topics too.
//! It must not change anything anywhere.

use super::{Failure, Outcome, check_clients, placed, say};
use crate::config::Pipeline;
use crate::config::plan::{KafkaClientPlan, Plan, SourcePlan};
use crate::error::{Error, Kind, Result};
use crate::ingest::FileSource;
use crate::kafka::{mismatch, partition_count};
use crate::runtime::{Blueprint, Known};
use crate::window::referenced_columns;

pub fn check(pipeline: &Pipeline, connect: bool) -> Outcome {
    let plan = &pipeline.plan;
    check_clients(pipeline)?;
    placed(pipeline, plan_all(plan))?;
    say(&format!("{}: the pipeline file is good", plan.name));
    if !connect {
        return Ok(());
    }
    let problems = connect_all(plan)?;
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    let count = problems.len();
    Err(Failure::Runtime(Error::new(Kind::Source, format!("{count} of the pipeline's ends cannot be used"))))
}

/// Plans what a run would; standard input must not be read here, its columns are taken on trust.
pub fn plan_all(plan: &Plan) -> Result<Blueprint> {
    match &plan.source {
        SourcePlan::File(file) if file.path.as_os_str() != "-" => {
            Blueprint::for_file(plan.clone(), &mut FileSource::open(file)?)
        }
        SourcePlan::File(_) => {
            let mut wanted = referenced_columns(&plan.window.select)?;
            wanted.extend([plan.key.clone(), plan.time.clone()]);
            Blueprint::new(plan.clone(), Known { header: Some(wanted), fields: None })
        }
        _ => Blueprint::new(plan.clone(), Known::default()),
    }
}

fn connect_all(plan: &Plan) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut partitions = None;
    let mut reach = |what: &str, client: &KafkaClientPlan, topic: &str| match partition_count(client, topic) {
        Ok(Some(count)) => {
            say(&format!("{what}: topic {topic} at {}: {count} partitions", client.brokers));
            Some(count)
        }
        Ok(None) if what == "source" => {
            problems.push(format!("{what}: topic {topic} does not exist at {}", client.brokers));
            None
        }
        Ok(None) => {
            say(&format!("{what}: topic {topic} at {} does not exist yet: run makes it", client.brokers));
            None
        }
        Err(error) => {
            problems.push(format!("{what}: {error}"));
            None
        }
    };
    if let SourcePlan::Kafka(kafka) = &plan.source {
        partitions = reach("source", &kafka.client, &kafka.topic);
    }
    let reached: Vec<_> = plan
        .topics_written()
        .map(|(end, client, topic)| {
            let found = reach(&end, client, topic);
            (end, topic, found)
        })
        .collect();
    for (end, topic, found) in reached {
        if let (Some(wanted), Some(found)) = (partitions, found)
            && wanted != found
        {
            problems.push(format!("{end}: {}", mismatch(topic, found, wanted)));
        }
    }
    Ok(problems)
}
