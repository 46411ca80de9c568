//! How large the window of a pass is.
//! It must not know what is computed in it.

/// T steps of B series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    pub steps: usize,
    pub batch: usize,
}

impl WindowSize {
    pub fn columns(&self) -> usize {
        self.steps * self.batch
    }
}
