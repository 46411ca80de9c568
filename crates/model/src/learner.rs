//! The online learner: it forecasts for many series by one network and learns from their labels as
//! they arrive.
//! It must not know what features, steps and labels mean. The caller keeps the order of calls:
//! predict, score, learn.

mod sample;

use std::sync::Arc;

use nalgebra::DVector;
use rand_pcg::Pcg64;

use self::sample::{WeightedWindow, WindowOrigin};
use super::engine::EngineTape;
use super::error::{ModelError, Result};
use super::gradient::GradientPass;
use super::guard::{StepGuard, StepOutcome};
use super::learner_state::LearnerState;
use super::network::Network;
use super::real::finite_or_zero;
use super::replay::ReplayPool;
use super::sequence_buffer::{SequenceBuffer, WeightSet};
use super::template::{LearnerSettings, LearnerTemplate};
use super::train_state::TrainState;
use super::update::{Update, UpdatePlaces};
use super::workspace::{LearnerPrediction, LearnerWorkspace, batch_of_a_tape};

/// Weight of the replayed windows beside the live ones.
const REPLAY_WEIGHT: f32 = 0.5;

/// A network that learns while it forecasts.
#[derive(Debug, Clone)]
pub struct Learner {
    template: Arc<LearnerTemplate>,
    state: LearnerState,
}

/// What one update did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateReport {
    /// Labels that arrived since the last update and were learned.
    pub labels: usize,
    /// The loss before the update: see `Learner::learn`.
    pub loss: f32,
    /// Norm of its gradient before the clip.
    pub gradient_norm: f32,
    /// False: loss, gradient or weights were not finite, and the weights are as before.
    pub applied: bool,
    /// The weights were taken back to an older good copy.
    pub rolled_back: bool,
}

impl Learner {
    /// A learner that knows nothing: its outputs are exactly zero.
    pub fn new(template: &Arc<LearnerTemplate>) -> Learner {
        let params = template.network().initial_params(template.settings.seed);
        let fit = TrainState::new(template.engine.pack(&params));
        // Another stream than the one that drew the weights.
        let rng = Pcg64::new(template.settings.seed.into(), 1);
        let state =
            LearnerState { guard: StepGuard::new(&fit), fit, pool: ReplayPool::default(), rng, waited: 0 };
        Learner { template: Arc::clone(template), state }
    }

    /// A learner that goes on from `state`, bit for bit.
    ///
    /// # Errors
    /// If the state is of another network or of other windows.
    pub fn resume(template: &Arc<LearnerTemplate>, state: LearnerState) -> Result<Learner> {
        if !state.is_of(template) {
            return Err(ModelError("the state is of another network or of other windows".into()));
        }
        Ok(Learner { template: Arc::clone(template), state })
    }

    /// Starts anew from given parameters, in the order of `network().layout()`. Moments, average
    /// and guard forget what was.
    ///
    /// # Errors
    /// If their number is not the network's or one of them is not finite.
    pub fn import(&mut self, params: &DVector<f32>) -> Result<()> {
        let expected = self.network().layout().len();
        if params.len() != expected {
            return Err(ModelError(format!("the model has {expected} weights, not {}", params.len())));
        }
        if !params.iter().all(|value| value.is_finite()) {
            return Err(ModelError("model weights must be finite".into()));
        }
        let fit = TrainState::new(self.template.engine.pack(params));
        self.state.guard = StepGuard::new(&fit);
        self.state.fit = fit;

        Ok(())
    }

    /// The network without its weights.
    pub fn network(&self) -> &Network {
        self.template.network()
    }

    /// What a snapshot has to hold.
    pub fn state(&self) -> &LearnerState {
        &self.state
    }

    /// The weights, in `network().layout()`'s order.
    pub fn params(&self) -> DVector<f32> {
        self.template.engine.unpack(&self.state.fit.params)
    }

    /// The averaged weights, in the same order.
    pub fn ema_params(&self) -> DVector<f32> {
        self.template.engine.unpack(&self.state.fit.ema)
    }

    /// Updates that led to the present weights.
    pub fn updates(&self) -> u64 {
        self.state.fit.updates
    }

    /// Counts of skipped steps and rollbacks.
    pub fn guard(&self) -> &StepGuard {
        &self.state.guard
    }

    /// The buffer of a series not seen before: it carries the zero state.
    pub fn new_buffer(&self) -> SequenceBuffer {
        SequenceBuffer::new(self.template.sequence_shape())
    }

    /// Whether a restored buffer is of this learner's shape.
    pub fn fits(&self, buffer: &SequenceBuffer) -> bool {
        buffer.is_of(&self.template.sequence_shape())
    }

    /// Makes one step of each buffer. `inputs` holds I features a buffer, in the order of
    /// `buffers`. They are appended to the buffer and move its carried states.
    ///
    /// A feature that is not finite counts as 0, the middle of its scale. The step is made from the
    /// features as they are; to learn from later, the buffer keeps the nearest halves (±65504).
    ///
    /// # Panics
    ///
    /// If `inputs` has not I features a buffer.
    pub fn predict<'a>(
        &self,
        workspace: &'a mut LearnerWorkspace,
        buffers: &mut [&mut SequenceBuffer],
        inputs: &[f32],
    ) -> &'a LearnerPrediction {
        let features = self.network().spec().inputs;
        assert_eq!(inputs.len(), buffers.len() * features, "one input a buffer");
        debug_assert!(buffers.iter().all(|buffer| self.fits(buffer)), "a buffer of another learner");

        for (buffer, input) in buffers.iter_mut().zip(inputs.chunks_exact(features)) {
            buffer.push(input.iter().copied().map(finite_or_zero));
        }
        let LearnerWorkspace { tape, prediction, .. } = workspace;
        let LearnerPrediction { raw, ema, .. } = prediction;
        self.step(tape, buffers, inputs, WeightSet::Raw, raw);
        self.step(tape, buffers, inputs, WeightSet::Averaged, ema);

        prediction
    }

    /// Runs the newest step of each buffer under `weights`, and leaves O outputs a buffer.
    fn step(
        &self,
        tape: &mut EngineTape,
        buffers: &mut [&mut SequenceBuffer],
        inputs: &[f32],
        weights: WeightSet,
        outputs: &mut Vec<f32>,
    ) {
        let features = self.network().spec().inputs;
        let engine = &self.template.engine;
        let params = match weights {
            WeightSet::Raw => &self.state.fit.params,
            WeightSet::Averaged => &self.state.fit.ema,
        };

        outputs.clear();
        let batch = batch_of_a_tape(engine, 1);
        for (buffers, inputs) in buffers.chunks_mut(batch).zip(inputs.chunks(batch * features)) {
            tape.begin(1, buffers.len());
            for (b, (buffer, input)) in buffers.iter().zip(inputs.chunks_exact(features)).enumerate() {
                tape.set_start(b, buffer.state(weights));
                let to = tape.input_mut(0, b).iter_mut();
                to.zip(input).for_each(|(to, &input)| *to = finite_or_zero(input));
            }

            engine.forward(params, tape);
            for (b, buffer) in buffers.iter_mut().enumerate() {
                outputs.extend_from_slice(tape.output(0, b));
                buffer.carry(weights, |next| tape.end(b, next));
            }
        }
    }

    /// Makes one update from the labels that are fresh in the windows of `buffers`, their last T
    /// steps. There is none without such labels, nor between two updates of a stride.
    ///
    /// ```text
    /// L = 1/n Σ ℓ(fresh labels)  +  0.5 · 1/m Σ ℓ(labels of the replayed windows)
    /// ```
    ///
    /// Both terms are means. So the size of L and of its gradient depends neither on the number of
    /// series nor on how many labels a step has, and `clip` means the same for all learners.
    ///
    /// Fresh labels count once: afterwards none is fresh.
    pub fn learn(
        &mut self,
        workspace: &mut LearnerWorkspace,
        buffers: &mut [&mut SequenceBuffer],
    ) -> Option<UpdateReport> {
        debug_assert!(buffers.iter().all(|buffer| self.fits(buffer)), "a buffer of another learner");

        self.state.waited += 1;
        let mut learned = None;

        if self.state.waited >= self.template.settings.stride {
            learned = self.update(workspace, buffers);
            self.state.waited = 0;
            buffers.iter_mut().for_each(|buffer| buffer.learned());
        }

        for buffer in buffers.iter_mut().filter(|buffer| buffer.offers()) {
            buffer.offer(self.state.pool.place(&mut self.state.rng));
        }
        learned
    }

    fn update(
        &mut self,
        workspace: &mut LearnerWorkspace,
        buffers: &[&mut SequenceBuffer],
    ) -> Option<UpdateReport> {
        let LearnerTemplate { engine, settings, .. } = &*self.template;
        let LearnerWorkspace { tape, gradient, next, order, .. } = workspace;
        let LearnerState { fit, guard, pool, rng, .. } = &mut self.state;
        let live = || buffers.iter().filter(|buffer| buffer.fresh() > 0);
        let labels: usize = live().map(|buffer| buffer.fresh()).sum();
        if labels == 0 {
            return None;
        }
        let drawn = pool.draw(settings.replay * live().count(), rng, order);
        let windows = order[..drawn].iter().map(|at| pool.window(*at));
        let replayed: usize = windows.clone().map(|window| window.labels.len()).sum();

        let of_live =
            |buffer| WeightedWindow { origin: WindowOrigin::Live(buffer), label_weight: 1.0 / labels as f32 };
        let of_replayed = |window| WeightedWindow {
            origin: WindowOrigin::Replayed(window),
            label_weight: REPLAY_WEIGHT / replayed.max(1) as f32,
        };
        let samples = live().map(|buffer| of_live(buffer)).chain(windows.map(of_replayed));

        let LearnerSettings { loss, bptt, optimizer, clip, ema, .. } = settings;
        let pass = GradientPass { engine, params: &fit.params, loss, longest: *bptt };
        let loss = pass.run(samples, tape, gradient);
        let update = Update { engine, optimizer, clip: *clip, ema: *ema };
        let taken = update.take(UpdatePlaces { fit, next, guard }, loss, gradient);

        Some(UpdateReport {
            labels,
            loss,
            gradient_norm: taken.gradient_norm,
            applied: taken.outcome == StepOutcome::Applied,
            rolled_back: taken.outcome == StepOutcome::RolledBack,
        })
    }
}

#[cfg(test)]
mod tests;
