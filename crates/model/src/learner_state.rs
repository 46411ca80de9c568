//! All that a learner has learned, as a snapshot holds it.
//! It must not know how it came to be.

use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::guard::StepGuard;
use super::replay::ReplayPool;
use super::template::LearnerTemplate;
use super::train_state::TrainState;

/// All that a learner has learned: what a snapshot holds. The caller keeps the series' buffers
/// beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnerState {
    pub(super) fit: TrainState,
    pub(super) guard: StepGuard,
    pub(super) pool: ReplayPool,
    pub(super) rng: Pcg64,
    /// Calls of `learn` since the last update.
    pub(super) waited: usize,
}

impl LearnerState {
    /// Whether it is of a learner of `template`.
    pub(super) fn is_of(&self, template: &LearnerTemplate) -> bool {
        let (len, shape) = (template.engine.len(), template.sequence_shape());
        self.fit.is_of_len(len)
            && self.guard.kept().is_of_len(len)
            && self.pool.is_of(shape.window, shape.inputs, shape.labels, shape.state)
    }
}
