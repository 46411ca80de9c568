//! What a source is: partitions of records, read in order, resumable at a position.
//! It must not know what the records mean.

use std::ops::Range;
use std::time::Duration;

use crate::decode::Decode;
use crate::error::Result;
use crate::log_id::{LogId, LogKind};
use crate::message::Records;
use crate::place::{Offset, PartitionId};

/// How a partition leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It is to be given back: the group waits for its last commit.
    Returned,
    /// The group has taken it away without asking: what is not committed of it never will be.
    Lost,
}

/// What a source says when it is polled.
#[derive(Debug)]
pub enum Event {
    /// These partitions are ours now; nothing of them is read before [`Source::start`].
    Assigned(Vec<PartitionId>),
    /// These partitions are to be given back: they stay ours until [`Source::release`], unless they
    /// are lost; then somebody may have them already.
    Revoked {
        /// Which.
        partitions: Vec<PartitionId>,
        /// How they leave.
        departure: Departure,
    },
    /// The next records of a partition, in order.
    Records {
        /// Whose they are.
        partition: PartitionId,
        /// In order of their positions.
        records: Records,
    },
    /// Records of a partition were gone before they were read; the next ones come after them.
    Lost {
        /// Whose they were.
        partition: PartitionId,
        /// From the first that is gone to the first that is still there.
        offsets: Range<Offset>,
    },
    /// The records of a partition that follow are of the log with this id: one that is made of
    /// several files has another id with each that is read.
    Log {
        /// Whose they are.
        partition: PartitionId,
        /// The id, as [`Source::log_id`] is to find it again.
        log: LogId,
    },
    /// All that there is of a partition was read, and nothing has come for as long as the pipeline
    /// says: its windows close. Told once, until a record comes.
    Quiet {
        /// Which.
        partition: PartitionId,
    },
    /// A bounded partition has no more records.
    End {
        /// Which.
        partition: PartitionId,
    },
    /// Nothing new within the time-out; `problem` says what keeps the source from reading, if
    /// anything does.
    Idle {
        /// For a person.
        problem: Option<String>,
    },
}

/// A stream of records in partitions.
pub trait Source: Send {
    /// Waits for the next event, at most `timeout`. Errors: `Source`; `Retry::Later` means poll
    /// again.
    fn poll(&mut self, timeout: Duration) -> Result<Event>;

    /// Begins to read an assigned partition at `position`; none: where the source itself remembers,
    /// or its start.
    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()>;

    /// From now on no column but these is needed, where the source can leave columns out. Errors:
    /// `Config`, when it has no such column.
    fn select(&mut self, _columns: &[String]) -> Result<()> {
        Ok(())
    }

    /// A decoder of its records, for a source that has to know their times before it brings them.
    fn know_times(&mut self, _decoder: Box<dyn Decode>) {}

    /// Stops or resumes the reading of a partition; while it is paused, no records of it come.
    fn set_paused(&mut self, partition: PartitionId, paused: bool) -> Result<()>;

    /// Gives a revoked partition back: all that was worked on of it is committed, or never will be.
    fn release(&mut self, _partition: PartitionId) -> Result<()> {
        Ok(())
    }

    /// The records of a partition that can be read now, from the first to the one after the last,
    /// where the source can tell.
    fn offset_range(&mut self, _partition: PartitionId) -> Result<Option<Range<Offset>>> {
        Ok(None)
    }

    /// The log that the positions are of, where the source can tell: a topic that is deleted and
    /// made anew is another one, and a file that is replaced. `known`: what is known of it, which
    /// is what is returned while it is that one. Errors: `Retry::Later` while that cannot be told.
    fn log_id(&mut self, _known: Option<LogId>) -> Result<Option<LogId>> {
        Ok(None)
    }

    /// What is other than it was where [`log_id`](Source::log_id) has last found another log, for a
    /// person; none: its name says it.
    fn log_change(&self) -> Option<String> {
        None
    }

    /// What its logs are.
    fn log_kind(&self) -> LogKind {
        LogKind::Topic
    }

    /// Tells the source's own memory that everything before `position` is done and durable.
    fn commit(&mut self, _partition: PartitionId, _position: Offset) -> Result<()> {
        Ok(())
    }

    /// What it has learned, since the last call, of what is still to be read: a range from the next
    /// record to the end of the partition's log. It is empty when all that can be read was read,
    /// though the log may end with what is no record (the ends of transactions). Also while a
    /// partition is paused; nothing, where the source cannot tell.
    fn unread(&mut self) -> Vec<(PartitionId, Range<Offset>)> {
        Vec::new()
    }

    /// Leaves: no further event is asked for.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
