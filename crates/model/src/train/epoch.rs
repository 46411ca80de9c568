//! One epoch: which windows make which update, in each mode.
//! It must not know how an update is made, or when training ends.

use std::ops::ControlFlow;

use rand::Rng;
use rand_pcg::Pcg64;

use super::pass::StartedWindow;
use super::report::{ProgressFn, TrainingProgress};
use super::sequence::{SequenceWindow, TrainingSequence, cut_by_time};
use super::settings::{TrainingMode, TrainingSettings};
use super::step::Stepper;
use super::task::TrainingTask;
use crate::engine::EngineTape;
use crate::error::Result;
use crate::tbptt::TrainingExample;

/// An epoch to be taught.
pub struct Lesson<'a> {
    /// What is trained on.
    pub task: &'a TrainingTask<'a>,
    /// How.
    pub training: &'a TrainingSettings,
    /// Takes the steps.
    pub stepper: &'a mut Stepper,
    /// Where passes leave their states.
    pub tape: &'a mut EngineTape,
}

/// The losses of an epoch's updates.
#[derive(Default)]
struct Tally {
    total: f64,
    labels: usize,
}

impl Tally {
    fn mean(&self) -> Option<f64> {
        (self.labels > 0).then(|| self.total / self.labels as f64)
    }
}

/// What an epoch came to: its mean loss, none if no step could be taken.
type Taught = Result<ControlFlow<(), Option<f64>>>;

impl Lesson<'_> {
    /// Teaches one epoch. `windows` are all that have labels before the tail. Only mini-batches use
    /// them: the other modes cut windows of their own.
    pub fn teach(
        mut self,
        windows: Vec<StartedWindow>,
        rng: &mut Pcg64,
        progress: &mut ProgressFn<'_>,
    ) -> Taught {
        match self.training.mode {
            TrainingMode::Online => self.online(progress),
            TrainingMode::MiniBatch(size) => {
                let mut windows = windows;
                shuffle(&mut windows, rng);
                self.updates(&windows, size, progress)
            }
            TrainingMode::FullBatch => {
                let whole = self.whole();
                self.updates(&whole, whole.len(), progress)
            }
        }
    }

    /// An update for every `size` windows.
    fn updates(&mut self, windows: &[StartedWindow], size: usize, progress: &mut ProgressFn<'_>) -> Taught {
        let mut tally = Tally::default();
        for (done, batch) in windows.chunks(size).enumerate() {
            self.update(batch, &mut tally)?;
            if progress(TrainingProgress::Updates { done: done + 1, of: windows.len().div_ceil(size) })
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(tally.mean()))
    }

    /// As online learning does it: the states are carried by the weights before the update, which
    /// are those that forecast.
    fn online(&mut self, progress: &mut ProgressFn<'_>) -> Taught {
        let rounds = cut_by_time(self.task.sequences, &self.lengths(), self.training.bptt);

        let mut states = self.task.zero_states();
        let mut tally = Tally::default();
        for (done, round) in rounds.iter().enumerate() {
            let started = |window: &SequenceWindow| StartedWindow {
                state: states[window.sequence].clone(),
                window: window.clone(),
            };
            let batch: Vec<StartedWindow> = round.iter().map(started).collect();
            self.task.advance(self.tape, self.stepper.params(), round, &mut states, |_, _, _| ());
            self.update(&batch, &mut tally)?;
            if progress(TrainingProgress::Updates { done: done + 1, of: rounds.len() }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }

        Ok(ControlFlow::Continue(tally.mean()))
    }

    /// One step against the mean loss of all labels in `batch`.
    fn update(&mut self, batch: &[StartedWindow], tally: &mut Tally) -> Result<()> {
        let TrainingTask { engine, sequences, split, loss, .. } = self.task;

        let mut examples = Vec::with_capacity(batch.len());
        for StartedWindow { window, state } in batch {
            let targets = window.targets(sequences, split, loss.width());
            if !targets.is_empty() {
                let inputs = sequences[window.sequence].inputs(window.steps.clone());
                examples.push(TrainingExample { start: state, inputs, targets });
            }
        }

        let labels: usize = examples.iter().map(|example| example.targets.len()).sum();
        if labels == 0 {
            return Ok(());
        }
        for target in examples.iter_mut().flat_map(|example| &mut example.targets) {
            target.weight = 1.0 / labels as f32;
        }

        if let Some(loss) = self.stepper.step(engine, self.tape, loss, &examples)? {
            tally.total += f64::from(loss) * labels as f64;
            tally.labels += labels;
        }

        Ok(())
    }

    /// Every sequence from its first step to the tail.
    fn whole(&self) -> Vec<StartedWindow> {
        let states = self.task.zero_states();
        let whole = |(sequence, (steps, state)): (usize, (usize, Vec<f32>))| StartedWindow {
            window: SequenceWindow { sequence, steps: 0..steps },
            state,
        };
        self.lengths().into_iter().zip(states).enumerate().map(whole).collect()
    }

    /// Steps of each sequence before the tail.
    fn lengths(&self) -> Vec<usize> {
        self.task
            .sequences
            .iter()
            .map(|sequence: &TrainingSequence| self.task.split.steps(sequence))
            .collect()
    }
}

/// Fisher–Yates.
fn shuffle<T>(items: &mut [T], rng: &mut Pcg64) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.random_range(0..=at));
    }
}
