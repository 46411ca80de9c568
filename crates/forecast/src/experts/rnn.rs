//! The network, which learns elsewhere: it is shared by series.
//! It must not know how the network works.

use serde::{Deserialize, Serialize};

use super::{Expert, ExpertShape, Observation};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rnn {
    averaged: bool,
}

pub fn members(_: &ExpertShape) -> Vec<(&'static str, Rnn)> {
    vec![("rnn", Rnn { averaged: true }), ("rnn_raw", Rnn { averaged: false })]
}

impl Expert for Rnn {
    fn forecast(&self, seen: &Observation<'_>, slot: usize, _: f64, _: &mut [f32]) -> f64 {
        seen.network[usize::from(self.averaged)][slot]
    }
}
