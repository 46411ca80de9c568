//! The last value: what every other expert is measured by.

use serde::{Deserialize, Serialize};

use super::expert::{Expert, ExpertShape, Observation};

/// Its move is 0.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Naive;

/// The one of them.
pub fn members(_: &ExpertShape) -> Vec<(&'static str, Naive)> {
    vec![("naive", Naive)]
}

impl Expert for Naive {
    fn forecast(&self, _: &Observation<'_>, _: usize, _: f64, _: &mut [f32]) -> f64 {
        0.0
    }
}
