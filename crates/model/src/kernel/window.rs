//! How large the window of a pass is.
//! It must not know what is computed in it.

/// T steps of B series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
}

impl WindowSize {
    /// Columns of its panels, T·B.
    pub fn columns(&self) -> usize {
        self.steps * self.batch
    }
}
