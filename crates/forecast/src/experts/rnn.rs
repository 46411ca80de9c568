//! The network, which learns elsewhere: it is shared by series.
//! It must not know how the network works.

use serde::{Deserialize, Serialize};

use super::expert::{Expert, ExpertShape, Observation};

/// The network by one of its two sets of weights.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct NetworkExpert {
    averaged: bool,
}

/// Both sets of weights.
pub fn members(_: &ExpertShape) -> Vec<(&'static str, NetworkExpert)> {
    vec![("rnn", NetworkExpert { averaged: true }), ("rnn_raw", NetworkExpert { averaged: false })]
}

impl Expert for NetworkExpert {
    fn forecast(&self, observation: &Observation<'_>, horizon_idx: usize, _: f64, _: &mut [f32]) -> f64 {
        let network = observation.network;
        if self.averaged { network.averaged[horizon_idx] } else { network.raw[horizon_idx] }
    }
}
