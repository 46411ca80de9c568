//! Offline training: a network learns whole histories again and again until it gets no better on their tails.
//! It must not know files, features or the clock: it sees sequences of inputs and labels.
//!
//! ```text
//! initialise ─▶ ┌ windows ─▶ forward, loss ─▶ BPTT ─▶ clip, update ┐ ─▶ held-out loss ─▶ patience left? ─▶ best weights
//!               └──────────────── an epoch ────────────────────────┘◀──────── yes ───────────┘
//! ```

mod epoch;
mod pass;
mod sequence;
mod step;

use std::ops::ControlFlow;

use nalgebra::DVector;
use rand::Rng;
use rand_pcg::Pcg64;

use self::epoch::Lesson;
pub use self::sequence::Sequence;
use self::sequence::{Split, Window, cut_by_steps};
use self::step::Stepper;
use super::error::{ModelError, Result};
use super::kernel::{Engine, Tape};
use super::loss::Loss;
use super::network::Network;
use super::optimizer::Optimizer;
use super::spec::NetworkSpec;
use super::workspace::batch_of_a_tape;

/// Bytes that full BPTT may keep of a forward pass and its gradient.
const TAPE_BYTES: usize = 1 << 30;

/// What one update is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The next T moments of all sequences, in the order of time, their states carried along.
    Online,
    /// So many windows of T steps, shuffled; their start states come from a pass with the weights at the epoch's start.
    MiniBatch(usize),
    /// All sequences from their first step to the tail: backpropagation is not truncated, an epoch is one update.
    FullBatch,
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    pub mode: Mode,
    /// Steps of a window, T.
    pub bptt: usize,
    /// From a step to the truth of each label slot (K), in the unit of the sequences' times.
    pub lags: Vec<i64>,
    /// Passes over the histories, at most.
    pub epochs: usize,
    /// Epochs without a better held-out loss after which it counts as converged.
    pub patience: usize,
    /// Share of the steps, the last in time, that is held out; in (0, 1).
    pub holdout: f64,
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// Longest gradient that is applied as it is.
    pub clip: f32,
    /// Of the first weights and of the shuffling.
    pub seed: u64,
}

/// What an epoch came to. Losses are means over labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// From 1; 0 is the network before training, whose outputs are zero.
    pub number: usize,
    /// As the weights were at each of the epoch's updates; none for epoch 0, and where no step could be taken.
    pub train: Option<f64>,
    /// By the weights at the epoch's end.
    pub held_out: f64,
    /// Whether no earlier held-out loss was as low.
    pub best: bool,
    /// Of the next update.
    pub lr: f64,
}

/// How far training is.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Updates of the running epoch.
    Updates { done: usize, of: usize },
    /// An epoch has ended.
    Epoch(&'a Epoch),
}

/// Told how far it is; a break ends training with the best weights so far.
pub type Watch<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Patience ran out.
    Converged,
    /// All epochs are done.
    Epochs,
    /// The watch broke it off.
    Stopped,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The weights with the lowest held-out loss, in the order of the network's layout.
    pub params: DVector<f32>,
    /// All whole epochs, from epoch 0.
    pub history: Vec<Epoch>,
    /// The epoch that `params` are of.
    pub best: usize,
    /// The held-out loss of outputs that are all zero.
    pub naive: f64,
    pub ended: Ended,
    /// Time of the first step held out.
    pub split: i64,
    /// Steps not taken because they were not finite.
    pub skipped: u64,
}

/// What does not change while a network is trained.
struct History<'a> {
    network: Network,
    engine: Engine,
    sequences: &'a [Sequence],
    split: Split,
    loss: &'a Loss,
}

/// Trains a fresh network of `spec` on `sequences` (at most one a series). The same arguments give the same bits.
///
/// # Errors
/// If there is nothing to train on or to hold out, if the tape of a full batch would be too large, or if no step can
/// be taken because none is finite.
pub fn train(
    spec: NetworkSpec,
    training: &Training,
    sequences: &[Sequence],
    watch: &mut Watch<'_>,
) -> Result<Trained> {
    let history = History::new(spec, training, sequences)?;
    let mut rng = Pcg64::new(training.seed.into(), 2);
    let initial = history.network.initial_params(training.seed);
    let mut stepper = Stepper::new(history.engine.pack(&initial), training.optimizer, training.clip);
    let mut tape = history.engine.tape();
    let mut survey = history.survey(&mut tape, stepper.params(), &history.rounds(training, &mut rng));
    let mut trained = Trained {
        params: initial,
        history: vec![Epoch {
            number: 0,
            train: None,
            held_out: survey.held_out,
            best: true,
            lr: stepper.lr(),
        }],
        best: 0,
        naive: history.naive(),
        ended: Ended::Epochs,
        split: history.split.at,
        skipped: 0,
    };
    let mut go_on = watch(Progress::Epoch(&trained.history[0]));
    for number in 1..=training.epochs {
        if go_on.is_break() {
            break;
        }
        let lesson = Lesson { history: &history, training, stepper: &mut stepper, tape: &mut tape };
        let taught = lesson.teach(survey.windows, &mut rng, watch)?;
        let ControlFlow::Continue(train) = taught else {
            go_on = ControlFlow::Break(());
            break;
        };
        survey = history.survey(&mut tape, stepper.params(), &history.rounds(training, &mut rng));
        // A loss that is no number is below none.
        let best = survey.held_out < trained.history[trained.best].held_out;
        if best {
            (trained.params, trained.best) = (history.engine.unpack(stepper.params()), number);
        }
        let epoch = Epoch { number, train, held_out: survey.held_out, best, lr: stepper.lr() };
        go_on = watch(Progress::Epoch(&epoch));
        trained.history.push(epoch);
        if number - trained.best >= training.patience.max(1) {
            trained.ended = Ended::Converged;
            break;
        }
    }
    if go_on.is_break() {
        trained.ended = Ended::Stopped;
    }
    trained.skipped = stepper.guard().skipped();
    let taught = trained.history.iter().any(|epoch| epoch.train.is_some());
    if trained.skipped > 0 && !taught { Err(stepper.stuck()) } else { Ok(trained) }
}

impl<'a> History<'a> {
    fn new(spec: NetworkSpec, training: &'a Training, sequences: &'a [Sequence]) -> Result<History<'a>> {
        let slots = training.lags.len();
        assert!(
            training.bptt > 0 && training.mode != Mode::MiniBatch(0),
            "an update has windows, a window steps"
        );
        assert_eq!(slots * training.loss.width(), spec.outputs, "outputs of another loss");
        let fit = |sequence: &Sequence| sequence.width() == spec.inputs && sequence.slots() == slots;
        assert!(sequences.iter().all(fit), "sequences of another network");
        if !(training.holdout > 0.0 && training.holdout < 1.0) {
            let share = training.holdout;
            return Err(ModelError(format!(
                "the held-out share must lie between 0 and 1, and {share} does not"
            )));
        }
        let split = Split::new(sequences, training.holdout, &training.lags)
            .ok_or_else(|| ModelError("there is no history to train on".into()))?;
        let history = History {
            network: Network::new(spec),
            engine: Engine::new(spec),
            sequences,
            split,
            loss: &training.loss,
        };
        history.has_labels(&training.lags)?;
        if training.mode == Mode::FullBatch {
            history.tape_fits()?;
        }
        Ok(history)
    }

    /// Errors: when a slot has no label to train on, or none held out.
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

    /// Errors: when the activations of all sequences would need too much memory.
    fn tape_fits(&self) -> Result<()> {
        let spec = self.network.spec();
        let steps: Vec<usize> = self.sequences.iter().map(|sequence| self.split.steps(sequence)).collect();
        let longest = steps.iter().copied().max().unwrap_or(0);
        let columns = |batch: &[usize]| batch.len() * batch.iter().copied().max().unwrap_or(0);
        let columns = steps.chunks(batch_of_a_tape(&self.engine, longest)).map(columns).max().unwrap_or(0);
        let column = Tape::column_len(spec);
        let bytes = columns.saturating_mul(column * size_of::<f32>());
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

    /// The windows of a pass. Mini-batches cut each epoch elsewhere: else the same labels would stand at the windows'
    /// beginnings every time, where little of the past is backpropagated through.
    fn rounds(&self, training: &Training, rng: &mut Pcg64) -> Vec<Vec<Window>> {
        let phase = match training.mode {
            Mode::MiniBatch(_) => rng.random_range(0..training.bptt),
            Mode::Online | Mode::FullBatch => 0,
        };
        let lengths: Vec<usize> = self.sequences.iter().map(Sequence::len).collect();
        cut_by_steps(&lengths, training.bptt, phase)
    }
}

#[cfg(test)]
mod tests;
