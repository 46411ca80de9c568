//! The journal: a log of records in a directory, for sources whose senders do not keep what they
//! have sent.
//! It must not know who sends records, nor what they mean.
//!
//! A directory holds segments, each named by the number of its first record. A segment is a header
//! and frames behind each other; a frame is a record with its number and a checksum. One writer
//! appends and makes each append durable before it says so; readers follow its durable end.

mod frame;
mod reader;
mod repair;
mod retention;
mod segment;
mod source;
mod spec;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::journal_frames;
pub use spec::JournalSpec;
pub use tail::Tail;
pub use writer::{JournalWriter, Needed};
