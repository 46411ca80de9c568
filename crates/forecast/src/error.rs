//! What a forecaster can be asked that it cannot do: a state or weights of another pipeline.
//! It must not know who asked.

use std::error::Error as StdError;
use std::fmt;

/// A state or weights that this forecaster cannot take, with the chain of causes.
#[derive(Debug)]
pub struct ForecastError {
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the calls of this crate return.
pub type Result<T> = std::result::Result<T, ForecastError>;

impl ForecastError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        ForecastError { what: what.into(), cause: None }
    }

    /// For `map_err`: the same failure with the error that caused it.
    pub(crate) fn because<E: Into<Box<dyn StdError + Send + Sync>>>(what: &str) -> impl FnOnce(E) -> Self {
        move |cause| ForecastError { what: what.to_owned(), cause: Some(cause.into()) }
    }
}

impl fmt::Display for ForecastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for ForecastError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
