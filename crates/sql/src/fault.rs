//! DataFusion's failures in our words.
//! It must not hide the message at the root.

use datafusion::error::DataFusionError;
use tickcast_stream::error::{Error, Kind};

/// DataFusion's failure in our words.
pub fn failure(cause: DataFusionError) -> Error {
    Error::new(Kind::Query, failure_text(&cause))
}

/// The message at the root, without the layers and backtraces around it.
pub fn failure_text(cause: &DataFusionError) -> String {
    let root = cause.find_root();
    let text = match root {
        // Its own text lists every consumer.
        DataFusionError::ResourcesExhausted(_) => {
            "it needs more memory than it may use: filter or group more, or give it more with --memory".into()
        }
        DataFusionError::SQL(cause, _) => cause.to_string(),
        DataFusionError::ArrowError(cause, _) => cause.to_string(),
        DataFusionError::Plan(text) | DataFusionError::Execution(text) => text.clone(),
        _ => root.to_string(),
    };
    match text.split_once(DataFusionError::BACK_TRACE_SEP) {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}
