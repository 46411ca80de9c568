//! An interval of a forecast, and what it is for it to cover a truth.
//! It must not know its level, nor how it was made.

/// Where a forecast says that the truth will lie, in the target's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The least value within it.
    pub lower: f64,
    /// The greatest value within it.
    pub upper: f64,
}

impl Interval {
    /// Whether the truth lies within it or on its bounds.
    pub fn covers(self, actual: f64) -> bool {
        self.lower <= actual && actual <= self.upper
    }

    /// From its lower to its upper bound.
    pub fn width(self) -> f64 {
        self.upper - self.lower
    }
}

impl From<(f64, f64)> for Interval {
    fn from((lower, upper): (f64, f64)) -> Self {
        Interval { lower, upper }
    }
}
