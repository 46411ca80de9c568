//! Forward passes without a gradient: they carry states through whole histories and find the loss
//! on the tails.
//! It must not move weights.

use std::collections::BTreeMap;

use super::sequence::SequenceWindow;
use super::task::TrainingTask;
use crate::engine::EngineTape;
use crate::real::restart_if_overflown;
use crate::workspace::batch_of_a_tape;

/// A window to learn from and the state (S) before its first step.
#[derive(Debug, Clone)]
pub struct StartedWindow {
    /// What is learned from.
    pub window: SequenceWindow,
    /// The state before the window's first step (S).
    pub state: Vec<f32>,
}

/// What one pass over all histories found.
pub struct Survey {
    /// Mean loss of the labels held out.
    pub held_out: f64,
    /// The windows before the tail that have labels to train on.
    pub windows: Vec<StartedWindow>,
}

impl TrainingTask<'_> {
    /// One state a sequence, before its first step.
    pub fn zero_states(&self) -> Vec<Vec<f32>> {
        vec![vec![0.0; self.engine.spec().state_len()]; self.sequences.len()]
    }

    /// Runs the windows of one round from `states`, one a sequence, and leaves there the states
    /// after them. `show` gets sequence, step and outputs (O) of every step.
    pub fn advance(
        &self,
        tape: &mut EngineTape,
        params: &[f32],
        round: &[SequenceWindow],
        states: &mut [Vec<f32>],
        mut show: impl FnMut(usize, usize, &[f32]),
    ) {
        // Windows of one length need no filling up. Filling would move the states after them.
        let mut by_length: BTreeMap<usize, Vec<&SequenceWindow>> = BTreeMap::new();
        round.iter().for_each(|window| by_length.entry(window.steps.len()).or_default().push(window));

        for (steps, windows) in by_length {
            for batch in windows.chunks(batch_of_a_tape(&self.engine, steps)) {
                tape.begin(steps, batch.len());
                for (b, window) in batch.iter().enumerate() {
                    tape.set_start(b, &states[window.sequence]);
                    let given = self.sequences[window.sequence].inputs(window.steps.clone());
                    for (step, input) in given.into_iter().enumerate() {
                        tape.input_mut(step, b).copy_from_slice(input);
                    }
                }

                self.engine.forward(params, tape);
                for (b, window) in batch.iter().enumerate() {
                    for (step, at) in window.steps.clone().enumerate() {
                        show(window.sequence, at, tape.output(step, b));
                    }
                    let state = &mut states[window.sequence];
                    tape.end(b, state);
                    restart_if_overflown(state);
                }
            }
        }
    }

    /// Runs the whole of every sequence, the held-out tail after the past that leads to it.
    pub fn survey(&self, tape: &mut EngineTape, params: &[f32], rounds: &[Vec<SequenceWindow>]) -> Survey {
        let mut states = self.zero_states();
        let mut windows = Vec::new();
        let (mut total, mut labels) = (0.0, 0u64);
        for round in rounds {
            windows.extend(round.iter().filter_map(|window| self.to_train(window, &states)));
            self.advance(tape, params, round, &mut states, |sequence, step, outputs| {
                if self.split.holds_out(self.sequences[sequence].times()[step]) {
                    let (loss, known) = self.loss_of(sequence, step, outputs);
                    total += loss;
                    labels += known;
                }
            });
        }

        Survey { held_out: total / labels.max(1) as f64, windows }
    }

    /// The mean loss on the tail of outputs that are all zero, the naive forecast.
    pub fn naive(&self) -> f64 {
        let zeros = vec![0.0; self.engine.spec().outputs];
        let (mut total, mut labels) = (0.0, 0);
        for (at, sequence) in self.sequences.iter().enumerate() {
            for step in self.split.steps(sequence)..sequence.len() {
                let (loss, known) = self.loss_of(at, step, &zeros);
                total += loss;
                labels += known;
            }
        }
        total / labels.max(1) as f64
    }

    /// The sum over the known labels of a step, and their number.
    fn loss_of(&self, sequence: usize, step: usize, outputs: &[f32]) -> (f64, u64) {
        let width = self.loss.width();
        let mut slopes = vec![0.0; width];
        let (mut total, mut labels) = (0.0, 0);
        for (slot, value) in self.sequences[sequence].labels(step) {
            let read = &outputs[slot * width..][..width];
            total += f64::from(self.loss.add(read, value, 1.0, &mut slopes));
            labels += 1;
        }
        (total, labels)
    }

    /// The part of a window before the tail, if there are labels to train on.
    fn to_train(&self, window: &SequenceWindow, states: &[Vec<f32>]) -> Option<StartedWindow> {
        let end = window.steps.end.min(self.split.steps(&self.sequences[window.sequence]));
        let window = SequenceWindow { sequence: window.sequence, steps: window.steps.start.min(end)..end };
        let labelled = !window.targets(self.sequences, &self.split, self.loss.width()).is_empty();
        labelled.then(|| StartedWindow { state: states[window.sequence].clone(), window })
    }
}
