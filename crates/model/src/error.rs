//! What the world can get wrong: weights of another shape, values that are no numbers, files that
//! are no weights.
//! It must not know who asked.

use std::fmt;

/// Weights or a state that this network cannot take.
#[derive(Debug)]
pub struct ModelError(pub(crate) String);

/// What everything gives that takes weights or a state from outside.
pub type Result<T> = std::result::Result<T, ModelError>;

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ModelError {}
