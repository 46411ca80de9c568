//! What every producer of transactions does: calls that are repeated while that helps, records that
//! wait until librdkafka takes them, and an abort that lasts until it is done.
//! It must not know what is sent, nor decide when to commit or abort.

use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::retry::retry;

/// How long one call to librdkafka may take.
pub const CALL: Duration = Duration::from_secs(5);
/// How long one step may be tried again.
pub const STEP: Duration = Duration::from_secs(20);
/// How long one call may take that needs the reports of records to be taken meanwhile.
const SLICE: Duration = Duration::from_millis(100);
/// A transaction that is not ended by then is ended by the broker.
pub const TRANSACTION_TIMEOUT_MS: &str = "15000";

/// A connection that nothing has gone over for about that long is closed. librdkafka sends a
/// transaction's offsets to the coordinator of the group that it knows. If that broker has left the
/// cluster, the call waits, whatever its time-out, until any connection opens or closes: without
/// this, until that broker comes back (confluentinc/librdkafka#5456, #5511).
pub const IDLE_MS: &str = "4000";

/// Repeats a call for as long as it says that this helps. Errors: that of the last attempt.
pub fn while_it_helps(step: &str, call: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
    retry(STEP, Duration::from_millis(10), call, |error| {
        let helps = matches!(error, KafkaError::Transaction(error) if error.is_retriable());
        if helps {
            tracing::debug!(%error, step, "trying again");
        }
        helps
    })
}

/// Aborts the open transaction. librdkafka ends it only when the reports of all its records have
/// been taken, and gives them only to `poll`: one long call would wait for its own caller.
/// Errors: the transaction may still be open.
pub fn abort<C: ProducerContext>(producer: &BaseProducer<C>) -> KafkaResult<()> {
    while_it_helps("abort_transaction", || {
        producer.poll(Duration::ZERO);
        producer.abort_transaction(SLICE)
    })?;
    producer.poll(Duration::ZERO);
    Ok(())
}

/// Hands a record to librdkafka, and waits while it has as many as it takes. Errors: why it does
/// not take it.
pub fn hand_over<C: ProducerContext>(
    producer: &BaseProducer<C>,
    record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>,
) -> KafkaResult<()> {
    let mut next = Some(record);
    let send = || {
        let Some(record) = next.take() else { return Ok(()) };
        producer.send(record).map_err(|(error, record)| {
            next = Some(record);
            error
        })
    };
    retry(STEP, Duration::ZERO, send, |error| {
        let is_full = is_queue_full(error);
        if is_full {
            producer.poll(Duration::from_millis(1));
        }
        is_full
    })
}

/// Whether librdkafka has as many records as it takes: the broker is slower than we are.
pub fn is_queue_full(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
}
