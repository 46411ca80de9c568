//! How far ahead a forecast looks.
//! It must not know how long a window is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many windows a forecast looks ahead: 1 is the next window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Horizon(pub u32);

impl Horizon {
    /// As many steps of a sequence of windows.
    pub fn steps(self) -> usize {
        self.0 as usize
    }
}

impl From<Horizon> for i64 {
    /// The distance between two windows' numbers.
    fn from(horizon: Horizon) -> i64 {
        i64::from(horizon.0)
    }
}

impl From<Horizon> for f64 {
    fn from(horizon: Horizon) -> f64 {
        f64::from(horizon.0)
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
