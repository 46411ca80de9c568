//! What ingestion writes to.
//! It must not know which logs there are.

use tickcast_stream::error::Result;
use tickcast_stream::message::RawRecord;

/// A log that keeps what it has taken.
pub trait RecordLog: Send {
    /// Appends records in their order, their offsets for the log to give, and returns when they
    /// are durable. Errors: `Source`; with `Retry::Later` the same call may succeed later, and some
    /// of the records may be there.
    fn append(&mut self, records: &[RawRecord]) -> Result<()>;
}
