//! How large the window of a pass is.
//! It must not know what is computed in it.

/// T steps of B series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub steps: usize,
    pub batch: usize,
}

impl Window {
    pub fn columns(&self) -> usize {
        self.steps * self.batch
    }
}
