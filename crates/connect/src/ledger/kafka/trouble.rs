//! How a step of a transaction fails, and what is to be done about it.
//! It must not do it.

use std::result;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tickcast_stream::error::Error;

use crate::kafka::while_it_helps;

/// Why a step of a transaction failed, and what is to be done about it.
pub(super) enum Trouble {
    /// The transaction can be aborted, and the same records sent again.
    Abort(String),
    /// The group does not take our commits: the partitions may be somebody else's.
    Refused(String),
    /// Another producer has our name.
    Fenced(String),
    /// Nobody knows what became of the transaction; a new producer finds out.
    Unknown(String),
    /// The topic does not take a record, or a batch of them, for its size.
    TooLarge(String),
    /// No repetition can mend it.
    Fatal(Error),
}

impl Trouble {
    pub(super) fn of(step: &str, error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let why = format!("{step}: {error}");
        let KafkaError::Transaction(cause) = &error else { return Trouble::Unknown(why) };
        match cause.code() {
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch => Trouble::Refused(why),
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Trouble::Fenced(why),
            _ if cause.txn_requires_abort() => Trouble::Abort(why),
            _ => Trouble::Unknown(why),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Fatal(error)
    }
}

/// What a step of a transaction returns.
pub(super) type Step = result::Result<(), Trouble>;

/// Repeats a call for as long as it says that this helps.
pub(super) fn repeat(step: &str, call: impl Fn() -> KafkaResult<()>) -> Step {
    while_it_helps(step, call).map_err(|error| Trouble::of(step, error))
}

/// Whether a record was not taken for its size, by the client or the broker.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}
