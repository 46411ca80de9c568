//! Whose a state topic is. Every chunk says of which pipeline it is, in a header; the first in
//! partition 0 says whose all of the topic is. Before there is any, it is an owner record: a header
//! without a value.
//! It must not know what a state means.
//!
//! A log has one order: of two pipelines that begin at the same time both append their owner
//! record, and both read the same first one. One partition decides for all, so that one of the two
//! goes on. What a pipeline has written comes before what one wanted to write: the owner record of
//! one that was turned away stays behind, and may outlive what was before it.

use std::ops::ControlFlow;

use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, Result};

use super::reports::{NO_MARK, Reports};
use super::signature::{pipeline_of, signed};
use super::state::StateTopic;
use crate::kafka::{CALL, TopicPartition, client_config, create};

/// The partition that decides.
const ARBITER: PartitionId = PartitionId(0);

/// A pipeline's claim to its state topic.
pub(super) struct TopicOwner {
    pipeline: String,
    is_ours: bool,
}

impl TopicOwner {
    /// Nothing is claimed yet.
    pub fn new(pipeline: &str) -> Self {
        TopicOwner { pipeline: pipeline.to_owned(), is_ours: false }
    }

    /// Takes the topic where it is nobody's, as one that an older release has written to. Errors:
    /// `State`, when it is another pipeline's; `Retry::Later` while that cannot be read.
    pub fn claim(&mut self, state: &StateTopic) -> Result<()> {
        if self.is_ours {
            return Ok(());
        }

        let topic = state.topic();
        let mut owner = owner_of(state)?;
        if owner.is_none() && !state.is_hidden(ARBITER)? {
            self.append(state)?;
            owner = owner_of(state)?;
        }
        match owner {
            Some(owner) if owner == self.pipeline => {}
            Some(owner) => return Err(self.refused(topic, &owner)),
            None => {
                let what = format!(
                    "state topic {topic}: an open transaction hides whose it is; waiting for its end"
                );
                return Err(Error::transient(Kind::State, what));
            }
        }
        self.is_ours = true;
        Ok(())
    }

    fn refused(&self, topic: &str, owner: &str) -> Error {
        let what = format!(
            "the state topic {topic} belongs to pipeline {owner}; this is pipeline {}. Two pipelines in one state topic \
             would drop each other's snapshots: name another topic or, if the other pipeline is gone, delete this one",
            self.pipeline
        );
        Error::new(Kind::State, what)
    }

    fn append(&self, state: &StateTopic) -> Result<()> {
        let topic = state.topic();
        let fail = |why: String| {
            let what = format!("cannot write to the state topic {topic} whose it is");
            Error::transient(Kind::State, what).because(why)
        };
        let reports = Reports::default();
        let config = client_config(state.client(), &[("enable.idempotence", "true"), ("linger.ms", "0")]);
        let producer: BaseProducer<Reports> = create(&config, reports.clone())?;

        let record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, NO_MARK).partition(ARBITER.0).headers(signed(&self.pipeline));
        producer.send(record).map_err(|(error, _)| fail(error.to_string()))?;
        producer.flush(CALL).map_err(|error| fail(error.to_string()))?;
        match reports.with(|reported| reported.failed.take()) {
            Some(why) => Err(fail(why)),
            None => Ok(()),
        }
    }
}

/// Whose a state topic is; none: nobody's, as far as can be seen.
fn owner_of(state: &StateTopic) -> Result<Option<String>> {
    let mut first = None;
    state.read(TopicPartition { topic: state.topic(), partition: ARBITER }, &mut |record| {
        let Some(pipeline) = pipeline_of(record) else { return ControlFlow::Continue(()) };
        let is_chunk = !record.payload().unwrap_or_default().is_empty();
        if is_chunk || first.is_none() {
            first = Some(pipeline);
        }
        if is_chunk { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(first)
}
