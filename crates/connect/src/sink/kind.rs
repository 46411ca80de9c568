//! What a sink says of itself before it is written, and how it is opened.
//! It must not know which sinks there are.

use std::fmt::Debug;

use arrow::datatypes::SchemaRef;
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;
use tickcast_stream::runtime::RetryPolicy;
use tickcast_stream::sink::Sink;
use tickcast_stream::table::Table;

use super::file_spec::FileSinkSpec;
use super::kafka_spec::KafkaSinkSpec;

/// What one commit can span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    /// The topics of the cluster at these brokers.
    Cluster(&'a str),
    /// The directories of this machine.
    Files,
}

impl Home<'_> {
    /// What is written there.
    pub fn word(self) -> &'static str {
        match self {
            Home::Cluster(_) => "topic",
            Home::Files => "directory",
        }
    }
}

/// A sink's spec: says what the sink is, and opens it.
pub trait SinkKind: Debug + Send + Sync {
    /// What a commit that it takes part in can span; none: it cannot take part in any.
    fn home(&self) -> Option<Home<'_>>;

    /// Where a query finds what it has written. Errors: `Query`.
    fn table(&self, stream: Stream, schema: SchemaRef) -> Result<Table>;

    /// Opens it for delivery at least once, for records in these columns. Errors: `Sink`.
    fn open(&self, stream: Stream, columns: &SchemaRef, patience: &RetryPolicy) -> Result<Box<dyn Sink>>;

    /// The topic that it is, if it is one.
    fn kafka(&self) -> Option<&KafkaSinkSpec> {
        None
    }

    /// The directory that it is, if it is one.
    fn directory(&self) -> Option<&FileSinkSpec> {
        None
    }
}
