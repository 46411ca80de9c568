//! A consumer that joins its group.
//! It must not decide who it is, nor read.

use std::sync::Arc;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tickcast_stream::error::{Kind, OrFail, Result};

use super::assignment::Assignment;
use super::context::Context;
use super::queues::Bell;
use crate::kafka::create;

/// A consumer that has asked its group for partitions.
pub(super) struct Joining {
    pub consumer: Arc<BaseConsumer<Context>>,
    pub context: Context,
    pub assignment: Assignment,
}

impl Joining {
    /// Errors: `Config` and `Source`, when librdkafka refuses the properties. The broker need not
    /// answer yet.
    pub fn begin(config: &ClientConfig, topic: &str) -> Result<Self> {
        let context = Context::default();
        let mut consumer: BaseConsumer<Context> = create(config, context.clone())?;
        let bell = Arc::new(Bell::default());
        let of_events = Arc::clone(&bell);
        consumer.set_nonempty_callback(move || of_events.ring(None));
        let fail = || format!("cannot make a consumer for topic {topic}");
        consumer.subscribe(&[topic]).or_fail(Kind::Source, fail)?;

        let consumer = Arc::new(consumer);
        let assignment = Assignment::new(&consumer, &context, topic, &bell);
        Ok(Joining { consumer, context, assignment })
    }
}
