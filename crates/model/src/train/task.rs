//! What is trained, and on what: the network, the sequences, where their tails begin. All is
//! checked once, before training.
//! It must not know weights: they move, and nothing here does.

use rand::Rng;
use rand_pcg::Pcg64;

use super::sequence::{HoldoutSplit, SequenceWindow, TrainingSequence, cut_by_steps};
use super::settings::{TrainingMode, TrainingSettings};
use crate::engine::Engine;
use crate::error::{ModelError, Result};
use crate::loss::Loss;
use crate::spec::NetworkSpec;
use crate::workspace::batch_of_a_tape;

/// Bytes that full BPTT may keep of a forward pass and its gradient.
const TAPE_BYTES: usize = 1 << 30;

/// What does not change while a network is trained.
pub struct TrainingTask<'a> {
    /// The network without weights, and its passes.
    pub engine: Engine,
    /// The histories, one a series.
    pub sequences: &'a [TrainingSequence],
    /// Which of their steps judge and are not trained on.
    pub split: HoldoutSplit,
    /// What is made small.
    pub loss: &'a Loss,
}

impl<'a> TrainingTask<'a> {
    /// Checks that `training` and `sequences` fit a network of `spec`.
    ///
    /// # Errors
    /// As `train` says.
    pub fn new(
        spec: NetworkSpec,
        training: &'a TrainingSettings,
        sequences: &'a [TrainingSequence],
    ) -> Result<TrainingTask<'a>> {
        let slots = training.lags.len();
        assert!(
            training.bptt > 0 && training.mode != TrainingMode::MiniBatch(0),
            "an update has windows, a window steps"
        );
        assert_eq!(slots * training.loss.width(), spec.outputs, "outputs of another loss");

        let fit = |sequence: &TrainingSequence| sequence.width() == spec.inputs && sequence.slots() == slots;
        assert!(sequences.iter().all(fit), "sequences of another network");

        if !(training.holdout > 0.0 && training.holdout < 1.0) {
            let share = training.holdout;
            return Err(ModelError(format!(
                "the held-out share must lie between 0 and 1, and {share} does not"
            )));
        }

        let split = HoldoutSplit::new(sequences, training.holdout, &training.lags)
            .ok_or_else(|| ModelError("there is no history to train on".into()))?;
        let task = TrainingTask {
            engine: Engine::new(spec, training.backend),
            sequences,
            split,
            loss: &training.loss,
        };

        task.has_labels(&training.lags)?;
        if training.mode == TrainingMode::FullBatch {
            task.tape_fits()?;
        }
        Ok(task)
    }

    /// # Errors
    ///
    /// If a slot has no label to train on, or none held out.
    fn has_labels(&self, lags: &[i64]) -> Result<()> {
        let mut known = vec![(0u64, 0u64); lags.len()];
        for sequence in self.sequences {
            for (step, &time) in sequence.times().iter().enumerate() {
                for (slot, _) in sequence.labels(step) {
                    known[slot].0 += u64::from(self.split.trains(time, slot));
                    known[slot].1 += u64::from(self.split.holds_out(time));
                }
            }
        }

        match known.iter().position(|(trained, held_out)| *trained == 0 || *held_out == 0) {
            None => Ok(()),
            Some(slot) => Err(ModelError(format!(
                "the history is too short: of the truths {} steps ahead it has {} to train on and {} to hold out",
                lags[slot], known[slot].0, known[slot].1
            ))),
        }
    }

    /// # Errors
    ///
    /// If the activations of all sequences would need too much memory.
    fn tape_fits(&self) -> Result<()> {
        let steps: Vec<usize> = self.sequences.iter().map(|sequence| self.split.steps(sequence)).collect();
        let longest = steps.iter().copied().max().unwrap_or(0);
        let columns = |batch: &[usize]| batch.len() * batch.iter().copied().max().unwrap_or(0);
        let columns = steps.chunks(batch_of_a_tape(&self.engine, longest)).map(columns).max().unwrap_or(0);
        let bytes = columns.saturating_mul(self.engine.column_len() * size_of::<f32>());
        if bytes <= TAPE_BYTES {
            return Ok(());
        }
        let mib = |bytes: usize| bytes >> 20;

        Err(ModelError(format!(
            "full_batch would keep {} MiB of activations in memory, more than {} MiB: use mini_batch, which keeps windows only",
            mib(bytes),
            mib(TAPE_BYTES)
        )))
    }

    /// The windows of a pass. Mini-batches cut each epoch at other places. Otherwise the same
    /// labels would always stand at the beginnings of windows, where little of the past is
    /// backpropagated through.
    pub fn rounds(&self, training: &TrainingSettings, rng: &mut Pcg64) -> Vec<Vec<SequenceWindow>> {
        let phase = match training.mode {
            TrainingMode::MiniBatch(_) => rng.random_range(0..training.bptt),
            TrainingMode::Online | TrainingMode::FullBatch => 0,
        };
        let lengths: Vec<usize> = self.sequences.iter().map(TrainingSequence::len).collect();
        cut_by_steps(&lengths, training.bptt, phase)
    }
}
