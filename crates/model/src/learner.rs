//! The online learner: it forecasts for many series by one network and learns from their labels as they arrive.
//! It must not know what features, steps and labels mean, nor the order of calls: predict, score, then learn is
//! the caller's duty.

use nalgebra::{DMatrix, DVector};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::error::{ModelError, Result};
use super::fit::Fit;
use super::guard::{Guard, Outcome};
use super::loss::Loss;
use super::network::{Network, State};
use super::optimizer::{Optimizer, clip_global_norm};
use super::replay::Pool;
use super::spec::NetworkSpec;
use super::tbptt::{Example, loss_and_gradient};
use super::track::{Track, TrackShape};

/// Weight of the replayed windows beside the live ones.
const REPLAY_WEIGHT: f32 = 0.5;

/// How a learner learns. They are the plan's, so they are not part of its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Steps of truncated backpropagation, T.
    pub bptt: usize,
    /// Steps until the last label of a step is known (the longest horizon), h_max.
    pub longest_lag: usize,
    /// Past windows learned again at each update, for each series that learns.
    pub replay: usize,
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// Longest gradient that is applied as it is.
    pub clip: f32,
    pub seed: u64,
}

/// All that a learner has learned: what a snapshot holds. The tracks are the caller's to keep beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    fit: Fit,
    guard: Guard,
    pool: Pool,
    rng: Pcg64,
}

/// A network that learns while it forecasts.
#[derive(Debug, Clone)]
pub struct Learner {
    network: Network,
    settings: Settings,
    memory: Memory,
}

/// Outputs of one step, O × B, column b of series b.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// By the weights as they are.
    pub raw: DMatrix<f32>,
    /// By the averaged weights, which carry a state of their own.
    pub ema: DMatrix<f32>,
}

/// What one update did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
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
    pub fn new(spec: NetworkSpec, settings: Settings) -> Learner {
        assert!(settings.bptt > 0, "a window has steps");
        let network = Network::new(spec);
        let fit = Fit::new(network.initial_params(settings.seed));
        // Another stream than the one that drew the weights.
        let rng = Pcg64::new(settings.seed.into(), 1);
        let memory = Memory { guard: Guard::new(&fit), fit, pool: Pool::default(), rng };
        Learner { network, settings, memory }
    }

    /// A learner that goes on from `memory`, bit for bit.
    ///
    /// # Errors
    /// If the memory is of a network with another number of parameters.
    pub fn resume(spec: NetworkSpec, settings: Settings, memory: Memory) -> Result<Learner> {
        let learner = Learner { memory, ..Learner::new(spec, settings) };
        learner.check_len(learner.memory.fit.params.len())?;
        Ok(learner)
    }

    /// Starts anew from given parameters (`network().layout()` says their order): moments, average and guard forget.
    ///
    /// # Errors
    /// If their number is not the network's or one of them is not finite.
    pub fn import(&mut self, params: DVector<f32>) -> Result<()> {
        self.check_len(params.len())?;
        let fit = Fit::new(params);
        if !fit.is_finite() {
            return Err(ModelError("model weights must be finite".into()));
        }
        self.memory.guard = Guard::new(&fit);
        self.memory.fit = fit;
        Ok(())
    }

    fn check_len(&self, len: usize) -> Result<()> {
        let expected = self.network.layout().len();
        if len == expected {
            return Ok(());
        }
        Err(ModelError(format!("the model has {expected} weights, its state {len}")))
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What to snapshot.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    pub fn params(&self) -> &DVector<f32> {
        &self.memory.fit.params
    }

    pub fn ema_params(&self) -> &DVector<f32> {
        &self.memory.fit.ema
    }

    /// Updates that led to the present weights.
    pub fn updates(&self) -> u64 {
        self.memory.fit.updates
    }

    /// Counts of skipped steps and rollbacks.
    pub fn guard(&self) -> &Guard {
        &self.memory.guard
    }

    /// The memory of a series not seen before.
    pub fn new_track(&self) -> Track {
        Track::new(self.track_shape())
    }

    /// Whether a restored track is of this learner's shape.
    pub fn fits(&self, track: &Track) -> bool {
        *track.shape() == self.track_shape()
    }

    fn track_shape(&self) -> TrackShape {
        let spec = self.network.spec();
        TrackShape {
            inputs: spec.inputs,
            outputs: spec.outputs,
            state: spec.state_len(),
            window: self.settings.bptt,
            longest_lag: self.settings.longest_lag,
        }
    }

    /// One step of each track: `inputs[b]` (I features) is appended to `tracks[b]` and moves its carried states. A
    /// feature that is not finite counts as 0, the middle of its scale.
    pub fn predict(&self, tracks: &mut [&mut Track], inputs: &[Vec<f32>]) -> Prediction {
        assert_eq!(tracks.len(), inputs.len(), "one input a track");
        assert!(tracks.iter().all(|track| self.fits(track)), "a track of another learner");
        let outputs = self.network.spec().outputs;
        if tracks.is_empty() {
            let none = DMatrix::zeros(outputs, 0);
            return Prediction { raw: none.clone(), ema: none };
        }
        let mut x = DMatrix::zeros(self.network.spec().inputs, inputs.len());
        for (mut column, input) in x.column_iter_mut().zip(inputs) {
            column.copy_from_slice(input);
        }
        x.apply(|value| *value = if value.is_finite() { *value } else { 0.0 });
        let (raw, states): (Vec<&[f32]>, Vec<&[f32]>) = tracks.iter().map(|track| track.states()).unzip();
        let (raw, raw_next) = self.step(&self.memory.fit.params, &x, &raw);
        let (ema, ema_next) = self.step(&self.memory.fit.ema, &x, &states);
        for (b, track) in tracks.iter_mut().enumerate() {
            track.push(x.column(b).as_slice().to_vec(), raw_next.column(b), ema_next.column(b));
        }
        Prediction { raw, ema }
    }

    fn step(&self, params: &DVector<f32>, x: &DMatrix<f32>, states: &[&[f32]]) -> (DMatrix<f32>, State<f32>) {
        self.network.step(params, x, &State::from_columns(self.network.spec(), states))
    }

    /// One update from the labels that are fresh in the last T steps of `tracks`; none without such labels.
    ///
    /// ```text
    /// L = 1/n Σ ℓ(fresh labels)  +  0.5 · 1/m Σ ℓ(labels of the replayed windows)
    /// ```
    ///
    /// Both are means, so the size of L and its gradient, and with it what `clip` means, depends neither on the
    /// number of series nor on how many labels a step has. Fresh labels count once: afterwards none is fresh.
    pub fn learn(&mut self, tracks: &mut [&mut Track]) -> Option<Learned> {
        assert!(tracks.iter().all(|track| self.fits(track)), "a track of another learner");
        let learned = self.update(tracks);
        for track in tracks.iter_mut() {
            track.learned();
            if let Some(window) = track.offer() {
                self.memory.pool.offer(window, &mut self.memory.rng);
            }
        }
        learned
    }

    fn update(&mut self, tracks: &[&mut Track]) -> Option<Learned> {
        let mut examples: Vec<Example<'_, f32>> = tracks.iter().filter_map(|track| track.example()).collect();
        let labels: usize = examples.iter().map(|example| example.targets.len()).sum();
        if labels == 0 {
            return None;
        }
        for target in examples.iter_mut().flat_map(|example| &mut example.targets) {
            target.weight = 1.0 / labels as f32;
        }
        let Memory { fit, guard, pool, rng } = &mut self.memory;
        let spec = self.network.spec();
        let windows = pool.draw(self.settings.replay * examples.len(), rng);
        let replayed: usize = windows.iter().map(|window| window.labels.len()).sum();
        let weight = REPLAY_WEIGHT / replayed as f32;
        examples.extend(windows.iter().map(|window| window.example(spec.inputs, spec.outputs, weight)));

        let (loss, mut gradient) =
            loss_and_gradient(&self.network, &fit.params, &self.settings.loss, &examples);
        let gradient_norm = clip_global_norm(&mut gradient, self.settings.clip);
        let next = (loss.is_finite() && gradient_norm.is_finite())
            .then(|| fit.updated(&gradient, &self.settings.optimizer));
        let outcome = guard.settle(fit, next.filter(Fit::is_finite));
        Some(Learned {
            labels,
            loss,
            gradient_norm,
            applied: outcome == Outcome::Applied,
            rolled_back: outcome == Outcome::RolledBack,
        })
    }
}

#[cfg(test)]
mod tests;
