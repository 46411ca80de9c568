//! A running mean.
//! It must not know what its numbers are.

/// The mean of the numbers so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    /// Numbers so far.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Mean {
    /// The mean; none before there is a number.
    pub fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Takes in a number.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }
}
