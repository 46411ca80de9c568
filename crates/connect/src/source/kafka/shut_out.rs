//! How a consumer goes on whose group lets it wait, or has given its name to another member: a new
//! one takes its place.
//! It must not decide who it is.

use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use tickcast_stream::error::{Error, Kind, Result};

use super::consumer::KafkaSource;
use super::context::{CallbackInbox, OUTSIDE};
use super::identity::INSTANCE;
use super::joining::Joining;
use super::log_ends::PausedEnds;

impl KafkaSource {
    /// Says once what the group waits for, where it lets us wait. What is wrong with a broker is
    /// told elsewhere.
    pub(super) fn tell_wait(&mut self) {
        if !self.identity.is_waiting() {
            return;
        }
        let is_fine = |inbox: &mut CallbackInbox| inbox.away.is_none() && inbox.missing.is_none();
        if self.context.inbox(|inbox| inbox.is_in) {
            self.identity.is_in();
        } else if self.context.inbox(is_fine) {
            self.identity.tell_wait();
        }
    }

    /// This consumer never reads again. Where the name is ours alone, another one takes its place
    /// when all that it owned is let go of. Errors: in all other cases.
    pub(super) fn end_consumer(&mut self, code: RDKafkaErrorCode) -> Result<()> {
        if self.is_shut_out {
            return Ok(());
        }
        if code != RDKafkaErrorCode::FencedInstanceId || !self.identity.joins_again() {
            return Err(self.fatal(code));
        }

        self.is_shut_out = true;
        self.context.inbox(|inbox| {
            inbox.rebalances.clear();
            inbox.outside = Some(OUTSIDE);
            // The group's answers are for nobody, and nothing is committed in this name.
            inbox.member.clear();
            inbox.is_closing = true;
        });
        self.assignment.lose_all(&mut self.ready);
        Ok(())
    }

    fn fatal(&self, code: RDKafkaErrorCode) -> Error {
        let what = match code {
            RDKafkaErrorCode::FencedInstanceId => {
                "another instance has joined with the same group.instance.id".into()
            }
            RDKafkaErrorCode::UnreleasedInstanceId => {
                "another instance has the same group.instance.id, or had it until it died a moment ago".into()
            }
            _ => format!("cannot read topic {}", self.topic),
        };
        Error::new(Kind::Source, what).because(code)
    }

    /// Waits until all that a consumer owned that was shut out is let go of, and joins again.
    pub(super) fn end_shut_out(&mut self, end: Instant) -> Result<()> {
        if self.assignment.is_let_go() {
            return self.join_again();
        }
        self.assignment.queues.wait_until(end);
        Ok(())
    }

    /// Puts a new consumer in the place of one that was shut out.
    fn join_again(&mut self) -> Result<()> {
        if let Some(name) = self.identity.kept_name() {
            self.config.set(INSTANCE, name);
        }

        self.login = self.login.of_next(&mut self.config);
        let joining = Joining::begin(&self.config, &self.topic)?;
        joining.context.inbox(|inbox| inbox.outside = Some(OUTSIDE));
        self.watch.go_on_with(&joining.consumer);
        self.member.sit_down(&joining.consumer, &joining.context);
        // The answer that librdkafka may wait for; while it closes, it takes any for this one.
        _ = self.consumer.unassign();
        (self.assignment, self.context) = (joining.assignment, joining.context);
        self.consumer = joining.consumer;

        self.refused.clear();
        self.paused = PausedEnds::default();
        self.is_shut_out = false;
        Ok(())
    }
}
