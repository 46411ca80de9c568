//! What the learners of one kind share: the network's shape and kernels, and how they learn.
//! It must not know what any of them has learned.

use std::sync::Arc;

use super::engine::{Backend, Engine};
use super::loss::Loss;
use super::network::Network;
use super::optimizer::Optimizer;
use super::sequence_buffer::SequenceShape;
use super::spec::NetworkSpec;
use super::workspace::LearnerWorkspace;

/// How a learner learns. The pipeline file says it, so it is no part of a learner's state.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerSettings {
    /// Steps of truncated backpropagation, T. Windows begin at every fourth step, and the state is
    /// kept before those alone. So up to three steps less are learned from, but never so few that a
    /// label comes too late.
    pub bptt: usize,
    /// Steps until the last label of a step is known, h_max: the longest horizon.
    pub longest_lag: usize,
    /// Calls of `learn` from one update to the next, k >= 1. A label that arrives in between is
    /// learned at the next update. It has to stay in the window until then: h_max + k <= T.
    pub stride: usize,
    /// Past windows learned again at each update, for each series that learns.
    pub replay: usize,
    /// What the network is trained to make small.
    pub loss: Loss,
    /// How a gradient becomes a step.
    pub optimizer: Optimizer,
    /// Global norm above which a gradient is shortened to it.
    pub clip: f32,
    /// Decay of the averaged weights at an update, after their warm-up; in [0, 1).
    pub ema: f32,
    /// Of the first weights and of the replay's draws.
    pub seed: u64,
    /// What computes its passes.
    pub backend: Backend,
}

/// What the learners of a kind share: the network's shape and kernels, and how they learn.
#[derive(Debug)]
pub struct LearnerTemplate {
    pub(super) engine: Engine,
    pub(super) settings: LearnerSettings,
}

impl LearnerTemplate {
    /// A template of learners whose networks are of `spec`.
    ///
    /// # Panics
    /// If a window has no steps, the stride is 0, or the outputs are not whole losses.
    pub fn new(spec: NetworkSpec, settings: LearnerSettings) -> Arc<LearnerTemplate> {
        assert!(settings.bptt > 0 && settings.stride > 0, "a window has steps");
        assert!(spec.outputs.is_multiple_of(settings.loss.width()), "whole losses at the outputs");
        Arc::new(LearnerTemplate { engine: Engine::new(spec, settings.backend), settings })
    }

    /// The network without its weights.
    pub fn network(&self) -> &Network {
        self.engine.network()
    }

    /// How its learners learn.
    pub fn settings(&self) -> &LearnerSettings {
        &self.settings
    }

    /// Memory for its learners to work in.
    pub fn workspace(&self) -> LearnerWorkspace {
        LearnerWorkspace::new(&self.engine)
    }

    pub(super) fn sequence_shape(&self) -> SequenceShape {
        let spec = self.engine.spec();
        let LearnerSettings { bptt, longest_lag, stride, .. } = self.settings;
        SequenceShape {
            inputs: spec.inputs,
            labels: spec.outputs / self.settings.loss.width(),
            state: spec.state_len(),
            window: bptt,
            longest_lag,
            apart: SequenceShape::apart_of(bptt, longest_lag + stride),
        }
    }
}
