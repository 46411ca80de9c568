//! The header by which a record of a state topic says of which pipeline it is.
//! It must not know whose the topic is.

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

const HEADER: &str = "pipeline";

/// The headers of a record of this pipeline.
pub(super) fn signed(pipeline: &str) -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: HEADER, value: Some(pipeline) })
}

/// The pipeline that a record is of; none: an older release wrote it.
pub(super) fn pipeline_of(record: &impl Message) -> Option<String> {
    let header = record.headers()?.iter().find(|header| header.key == HEADER)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}
