//! A pipeline's source as a bounded history, for verbs that read the past.
//! It must not join the pipeline's group: a run beside it notices nothing.

use tickcast_connect::{GeneratorSpec, SourceSpec};
use tickcast_connect::{FileSource, GeneratedSource, KafkaHistory, Source, Span};
use tickcast_stream::runtime::{Blueprint, SourceSchema};

use super::{Outcome, placed};
use crate::config::Pipeline;

/// The source from its beginning to the end it has now, and what makes partitions of it.
pub fn open(pipeline: &Pipeline) -> Outcome<(Blueprint, Box<dyn Source>)> {
    open_span(pipeline, Span::default())
}

/// As [`open`]; of a topic the span alone.
pub fn open_span(pipeline: &Pipeline, span: Span) -> Outcome<(Blueprint, Box<dyn Source>)> {
    let plan = &pipeline.plan;
    let unread = || placed(pipeline, Blueprint::new(plan.clone(), SourceSchema::default()));
    Ok(match &plan.source {
        SourceSpec::File(file) => {
            let mut source = FileSource::open(file)?;
            (placed(pipeline, Blueprint::for_file(plan.clone(), &mut source))?, Box::new(source))
        }
        SourceSpec::Generate(generate) => {
            // The past need not be waited for.
            let at_once = GeneratorSpec { rate: None, ..generate.clone() };
            (unread()?, Box::new(GeneratedSource::new(&at_once)))
        }
        SourceSpec::Kafka(kafka) => (unread()?, Box::new(KafkaHistory::open(kafka, span)?)),
    })
}
