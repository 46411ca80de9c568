//! DataFusion's failures in our words.
//! It must not hide the message at the root.

use arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result as DfResult};
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

/// What comes of running an expression on a row of nulls, to see whether it can be run. That one of
/// these values fails says nothing: what is put together of nulls is an empty text, and no time or
/// number.
pub fn tolerated<T>(tried: DfResult<T>) -> DfResult<Option<T>> {
    match tried {
        Err(cause) if is_of_values(&cause) => Ok(None),
        tried => tried.map(Some),
    }
}

fn is_of_values(cause: &DataFusionError) -> bool {
    match cause.find_root() {
        DataFusionError::ArrowError(cause, _) => {
            matches!(cause.as_ref(), ArrowError::ParseError(_) | ArrowError::CastError(_))
        }
        DataFusionError::Execution(text) => text.contains("Error parsing"),
        _ => false,
    }
}
