//! A running mean, for whoever says how large something was.
//! It must not know of what.

/// A running mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    pub count: u64,
    pub sum: f64,
}

impl Mean {
    /// None of nothing.
    pub fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }
}
