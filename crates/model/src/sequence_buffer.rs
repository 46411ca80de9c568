//! One series' memory: the state it carries, and its last steps with their inputs, states and
//! labels.
//! It must not know weights or other series.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::le_blob;
use super::real::restart_if_overflown;
use super::replay::ReplayWindow;

/// Sizes of a buffer, the same for all buffers of a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceShape {
    /// Features a step, I.
    pub inputs: usize,
    /// Labels a step: one for each loss at the outputs.
    pub labels: usize,
    /// Numbers in a carried state, S.
    pub state: usize,
    /// Steps of a window to learn from, T.
    pub window: usize,
    /// Steps until the last label of a step is known, h_max.
    pub longest_lag: usize,
}

impl SequenceShape {
    /// Steps kept: after h_max steps a whole window has all its labels.
    fn capacity(&self) -> usize {
        self.window + self.longest_lag
    }

    /// Numbers a step.
    fn width(&self) -> usize {
        self.inputs + self.state + self.labels
    }
}

/// Which weights a state is carried by: each set has a state of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightSet {
    /// The weights as the last update left them.
    Raw,
    /// Their moving average over the updates.
    Averaged,
}

/// One step of a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct BufferedStep<'a> {
    pub input: &'a [f32],
    /// The carried state before the step.
    pub start: &'a [f32],
    /// NaN while unknown.
    labels: &'a [f32],
    fresh: &'a [bool],
}

impl<'a> BufferedStep<'a> {
    /// The labels that arrived since the last learning, each with its number.
    pub fn fresh(self) -> impl Iterator<Item = (usize, f32)> + 'a {
        let labels = self.labels.iter().copied().enumerate().zip(self.fresh);
        labels.filter_map(|(label, fresh)| fresh.then_some(label))
    }
}

/// The memory of one series. At most T + h_max steps of I + S + labels numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SequenceBuffer {
    shape: SequenceShape,
    /// One row a step: its I inputs, the S numbers of the state before it, its labels (NaN while
    /// unknown). All rows are one piece, so that copies and snapshots run at the memory's speed.
    /// Once the buffer is full, a new step takes the row of the oldest one.
    #[serde(with = "le_blob")]
    rows: Vec<f32>,
    /// Of every label in `rows`: whether it arrived since the last learning.
    fresh: Vec<bool>,
    /// The row of the oldest step.
    oldest: usize,
    #[serde(with = "le_blob")]
    state: Vec<f32>,
    /// The state that the averaged weights carry: each set of weights has its own.
    #[serde(with = "le_blob")]
    state_ema: Vec<f32>,
    /// Steps since this series last gave a window to the replay pool.
    since_offer: usize,
}

impl SequenceBuffer {
    /// A series not seen before: it carries zero.
    pub(super) fn new(shape: SequenceShape) -> SequenceBuffer {
        SequenceBuffer {
            rows: Vec::new(),
            fresh: Vec::new(),
            oldest: 0,
            state: vec![0.0; shape.state],
            state_ema: vec![0.0; shape.state],
            since_offer: 0,
            shape,
        }
    }

    /// Whether it is whole and of that shape.
    pub(super) fn is_of(&self, shape: &SequenceShape) -> bool {
        let (steps, rest) = (self.rows.len() / shape.width(), self.rows.len() % shape.width());
        self.shape == *shape
            && [&self.state, &self.state_ema].iter().all(|state| state.len() == shape.state)
            && rest == 0
            && self.fresh.len() == steps * shape.labels
            && steps <= shape.capacity()
            && (self.oldest == 0 || self.oldest < steps && steps == shape.capacity())
    }

    pub(super) fn newest(&self) -> Option<BufferedStep<'_>> {
        self.len().checked_sub(1).map(|at| self.step(at))
    }

    /// Steps in memory.
    pub fn len(&self) -> usize {
        self.rows.len() / self.shape.width()
    }

    /// Whether no step has come yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of step `at`, counted from the oldest one.
    fn row(&self, at: usize) -> usize {
        let (row, capacity) = (self.oldest + at, self.shape.capacity());
        if row < capacity { row } else { row - capacity }
    }

    /// Step `at`, counted from the oldest one.
    fn step(&self, at: usize) -> BufferedStep<'_> {
        let SequenceShape { inputs, labels, state, .. } = self.shape;
        let row = self.row(at);
        let (input, rest) = self.rows[row * self.shape.width()..].split_at(inputs);
        let (start, rest) = rest.split_at(state);
        BufferedStep { input, start, labels: &rest[..labels], fresh: &self.fresh[row * labels..][..labels] }
    }

    fn steps(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        range.map(|at| self.step(at))
    }

    /// Sets the truth of label `slot` at the step made `steps_back` steps before the newest one (0
    /// is the newest).
    ///
    /// Returns whether it was taken. It is not if that step is no longer in memory, or if the value
    /// is not finite.
    ///
    /// # Panics
    ///
    /// If there is no label `slot`.
    pub fn label(&mut self, steps_back: usize, slot: usize, value: f32) -> bool {
        let SequenceShape { inputs, labels, state, .. } = self.shape;
        assert!(slot < labels, "label {slot} of {labels}");

        let Some(at) = self.len().checked_sub(1).and_then(|newest| newest.checked_sub(steps_back)) else {
            return false;
        };
        if value.is_finite() {
            let row = self.row(at);
            self.rows[row * self.shape.width() + inputs + state + slot] = value;
            self.fresh[row * labels + slot] = true;
        }

        value.is_finite()
    }

    /// The state that `weights` carry.
    pub(super) fn state(&self, weights: WeightSet) -> &[f32] {
        match weights {
            WeightSet::Raw => &self.state,
            WeightSet::Averaged => &self.state_ema,
        }
    }

    /// Appends a step of `input` from the carried state; the oldest step makes room once the memory
    /// is full.
    pub(super) fn push(&mut self, input: impl Iterator<Item = f32>) {
        let SequenceShape { inputs, labels, state, .. } = self.shape;
        let (steps, capacity) = (self.len(), self.shape.capacity());

        let row = if steps < capacity {
            if self.rows.len() == self.rows.capacity() {
                let more = steps.max(8).min(capacity - steps);
                self.rows.reserve_exact(more * self.shape.width());
                self.fresh.reserve_exact(more * labels);
            }

            self.rows.resize((steps + 1) * self.shape.width(), 0.0);
            self.fresh.resize((steps + 1) * labels, false);
            steps
        } else {
            let next = (self.oldest + 1) % capacity;
            std::mem::replace(&mut self.oldest, next)
        };

        let (own, rest) = self.rows[row * self.shape.width()..].split_at_mut(inputs);
        own.iter_mut().zip(input).for_each(|(own, input)| *own = input);
        rest[..state].copy_from_slice(&self.state);
        rest[state..][..labels].fill(f32::NAN);
        self.fresh[row * labels..][..labels].fill(false);
        self.since_offer += 1;
    }

    /// Lets `next` write the state that the newest step led to under `weights`.
    pub(super) fn carry(&mut self, weights: WeightSet, next: impl FnOnce(&mut [f32])) {
        let state = match weights {
            WeightSet::Raw => &mut self.state,
            WeightSet::Averaged => &mut self.state_ema,
        };
        next(state);
        restart_if_overflown(state);
    }

    /// The last T steps.
    pub(super) fn window(&self) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        self.steps(self.len().saturating_sub(self.shape.window)..self.len())
    }

    /// The oldest T steps.
    fn oldest_window(&self) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        self.steps(0..self.len().min(self.shape.window))
    }

    /// Fresh labels in the last T steps.
    pub(super) fn fresh(&self) -> usize {
        self.window().map(|step| step.fresh().count()).sum()
    }

    /// No label is fresh any more.
    pub(super) fn learned(&mut self) {
        self.fresh.fill(false);
    }

    /// Whether the oldest T steps can go to the replay pool. All their labels have to be known, and
    /// half a window has to have passed since the last offer: windows that overlap more would fill
    /// the pool with one stretch of time.
    pub(super) fn offers(&self) -> bool {
        let due = self.since_offer >= self.shape.window.div_ceil(2);
        let full = self.len() == self.shape.capacity();
        due && full && self.oldest_window().flat_map(|step| step.labels).all(|label| !label.is_nan())
    }

    /// Copies the oldest T steps.
    pub(super) fn offer(&mut self, place: &mut ReplayWindow) {
        self.since_offer = 0;
        place.steps = self.shape.window;
        place.start.clear();
        place.start.extend(self.oldest_window().take(1).flat_map(|step| step.start));
        place.inputs.clear();
        place.inputs.extend(self.oldest_window().flat_map(|step| step.input));
        place.labels.clear();
        place.labels.extend(self.oldest_window().flat_map(|step| step.labels));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(buffer: &mut SequenceBuffer, input: f32, state: f32) {
        buffer.push([input].into_iter());
        buffer.carry(WeightSet::Raw, |next| next[0] = state);
        buffer.carry(WeightSet::Averaged, |next| next[0] = -state);
    }

    fn buffer(steps: usize) -> SequenceBuffer {
        let mut buffer =
            SequenceBuffer::new(SequenceShape { inputs: 1, labels: 2, state: 1, window: 4, longest_lag: 2 });
        (0..steps).for_each(|at| step(&mut buffer, at as f32, at as f32 + 0.5));
        buffer
    }

    #[test]
    fn a_label_finds_its_step_or_is_ignored() {
        let mut buffer = buffer(8);
        assert_eq!(buffer.len(), 6);
        assert!(buffer.label(1, 0, 9.0));
        assert!(buffer.label(5, 1, 7.0), "the oldest in memory");
        assert!(!buffer.label(6, 0, 1.0), "gone");
        assert!(!buffer.label(0, 0, f32::NAN));

        // Steps 4 to 7; the label of step 2 came too late to be learned live.
        assert_eq!(buffer.window().map(|step| step.input[0]).collect::<Vec<_>>(), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(buffer.window().next().unwrap().start, [3.5]);
        assert_eq!(buffer.window().nth(2).unwrap().fresh().collect::<Vec<_>>(), [(0, 9.0)]);
        assert_eq!(buffer.fresh(), 1);
        buffer.learned();
        assert_eq!(buffer.fresh(), 0);
    }

    #[test]
    fn a_window_is_offered_once_all_its_labels_are_known() {
        let mut buffer = buffer(6);
        for back in 2..6 {
            assert!(!buffer.offers());
            assert!(buffer.label(back, 0, back as f32) && buffer.label(back, 1, -1.0));
        }

        assert!(buffer.offers());

        let mut window = ReplayWindow::default();
        buffer.offer(&mut window);
        assert_eq!(window.start, [0.0]);
        assert_eq!(window.inputs, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(window.labels, [5.0, -1.0, 4.0, -1.0, 3.0, -1.0, 2.0, -1.0]);
        assert!(!buffer.offers(), "not twice");

        step(&mut buffer, 6.0, 0.0);
        assert!(buffer.label(2, 0, 1.0) && buffer.label(2, 1, 1.0));
        assert!(!buffer.offers(), "not yet");
    }

    #[test]
    fn a_state_that_overflowed_starts_again() {
        let mut buffer = buffer(1);
        step(&mut buffer, 1.0, f32::INFINITY);
        assert_eq!(buffer.state(WeightSet::Raw), [0.0]);
        assert_eq!(buffer.state(WeightSet::Averaged), [0.0]);
    }
}
