//! Ingestion: records that are pushed go into a durable log, and the log is what a pipeline reads.
//! It must not decode records, nor know what a pipeline does with them.
//!
//! So all that holds for a topic holds for what comes by HTTP and MQTT: it can be read again. What
//! is sent again because an answer was lost is there twice: ingestion is at least once.

mod body;
mod gate;
mod kafka_log;
mod line_protocol;
mod log;
mod refusal;
mod series_key;
mod spec;
mod token;

pub use body::{BodyKind, BodySpec, unzip};
pub use gate::{IngestGate, NotStored};
pub use line_protocol::{Precision, to_json as line_to_json};
pub use log::RecordLog;
pub use refusal::Refusal;
pub use series_key::key_in_json;
pub use spec::{HttpIngestSpec, IngestLogSpec, IngestSpec, IngestWay};
pub use token::shows_token;
