//! That a registry answers and does not have what was asked for.
//! It must not say what becomes of the records that need it.

use std::error::Error as StdError;
use std::fmt;

use tickcast_stream::error::Error;

/// The registry does not have this schema, now. It is the cause of the error of a call that asked
/// for it; an id may be registered later, and each call asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSchema {
    /// What was asked for: `schema 7`, or `subject a-value`.
    pub what: String,
    /// The address that was asked.
    pub url: String,
    /// The registry's own words.
    pub message: String,
}

impl UnknownSchema {
    /// The cause of an error, where it is this.
    pub fn cause_of(error: &Error) -> Option<&UnknownSchema> {
        error.source()?.downcast_ref()
    }
}

impl fmt::Display for UnknownSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownSchema { what, url, message } = self;
        write!(f, "the registry has no {what}: {message:?} ({url}, HTTP 404)")
    }
}

impl StdError for UnknownSchema {}
