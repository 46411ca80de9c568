//! Keeps numbers that are not finite out of the weights. A run of bad steps takes the weights back
//! to a good copy.
//! It must not know how a step is computed.

use serde::{Deserialize, Serialize};

use super::train_state::TrainState;

/// Bad steps in a row after which the weights become the good copy.
pub const LIMIT: u32 = 5;
/// Good steps after which the copy is taken anew. Weights seldom go bad at once, so an old copy is
/// safer than a new one.
pub const KEEP_EVERY: u32 = 100;

/// Counts good and bad steps and keeps the copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepGuard {
    kept: TrainState,
    good_since_kept: u32,
    bad_in_a_row: u32,
    skipped: u64,
    rollbacks: u64,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// The step was taken.
    Applied,
    /// The step was bad: the weights are as before.
    Skipped,
    /// The last of a run of bad steps: the weights are the kept copy.
    RolledBack,
}

impl StepGuard {
    /// The first copy is the untrained network.
    pub(crate) fn new(fit: &TrainState) -> StepGuard {
        StepGuard { kept: fit.clone(), good_since_kept: 0, bad_in_a_row: 0, skipped: 0, rollbacks: 0 }
    }

    /// Swaps `fit` for `next`, which a good step led to: its loss, its gradient and its weights are
    /// finite.
    pub(crate) fn accept(&mut self, fit: &mut TrainState, next: &mut TrainState) -> StepOutcome {
        std::mem::swap(fit, next);
        self.bad_in_a_row = 0;
        self.good_since_kept += 1;

        if self.good_since_kept == KEEP_EVERY {
            self.kept.copy_from(fit);
            self.good_since_kept = 0;
        }
        StepOutcome::Applied
    }

    /// Counts a bad step, which is not taken. A run of them makes `fit` the kept copy.
    pub(crate) fn refuse(&mut self, fit: &mut TrainState) -> StepOutcome {
        self.skipped += 1;
        self.bad_in_a_row += 1;
        if self.bad_in_a_row < LIMIT {
            return StepOutcome::Skipped;
        }

        fit.copy_from(&self.kept);
        self.bad_in_a_row = 0;
        self.good_since_kept = 0;
        self.rollbacks += 1;

        StepOutcome::RolledBack
    }

    /// The copy that a run of bad steps goes back to.
    pub(crate) fn kept(&self) -> &TrainState {
        &self.kept
    }

    /// Steps that were not applied.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Times that the weights became the good copy again.
    pub fn rollbacks(&self) -> u64 {
        self.rollbacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::AlignedFloats;

    fn fit(value: f32) -> TrainState {
        TrainState::new(AlignedFloats::from_slice(&[value]))
    }

    #[test]
    fn five_bad_steps_in_a_row_bring_the_copy_back() {
        let mut now = fit(0.0);
        let mut guard = StepGuard::new(&now);
        for step in 1..=150 {
            assert_eq!(guard.accept(&mut now, &mut fit(step as f32)), StepOutcome::Applied);
        }
        let bad = |now: &mut TrainState, guard: &mut StepGuard| guard.refuse(now);
        for _ in 0..4 {
            assert_eq!(bad(&mut now, &mut guard), StepOutcome::Skipped);
        }
        assert_eq!(now.params[0], 150.0);

        // A good step in between starts the count again.
        guard.accept(&mut now, &mut fit(151.0));
        for _ in 0..4 {
            assert_eq!(bad(&mut now, &mut guard), StepOutcome::Skipped);
        }
        assert_eq!(bad(&mut now, &mut guard), StepOutcome::RolledBack);
        assert_eq!(now.params[0], 100.0);
        assert_eq!((guard.skipped(), guard.rollbacks()), (9, 1));
    }
}
