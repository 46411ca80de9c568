//! One series' memory: the state it carries, and its last steps with their inputs, states and
//! labels.
//! It must not know weights or other series.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::real::restart_if_overflown;
use super::replay::ReplayWindow;
use super::{half, le_blob, packed_state};

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

    /// Words of 16 bits for which of a step's labels are fresh.
    fn flags(&self) -> usize {
        self.labels.div_ceil(16)
    }

    /// Words of 16 bits a step.
    fn width(&self) -> usize {
        self.inputs + self.labels + self.flags() + packed_state::places(self.state)
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
    /// Halves.
    pub inputs: &'a [u16],
    /// Halves, NaN while unknown.
    labels: &'a [u16],
    flags: &'a [u16],
    start: &'a [u16],
}

impl<'a> BufferedStep<'a> {
    /// The inputs of the step.
    fn inputs(self) -> impl Iterator<Item = f32> + 'a {
        self.inputs.iter().map(|&input| half::value(input))
    }

    /// The carried state before the step.
    pub fn start(self) -> impl Iterator<Item = f32> + 'a {
        packed_state::unpack(self.start)
    }

    fn labels(self) -> impl Iterator<Item = f32> + 'a {
        self.labels.iter().map(|&label| half::value(label))
    }

    /// The labels that arrived since the last learning, each with its number.
    pub fn fresh(self) -> impl Iterator<Item = (usize, f32)> + 'a {
        let is_fresh = move |label: usize| self.flags[label / 16] >> (label % 16) & 1 == 1;
        self.labels().enumerate().filter(move |(label, _)| is_fresh(*label))
    }

    /// How many of them there are.
    fn fresh_count(self) -> usize {
        self.flags.iter().map(|flags| flags.count_ones() as usize).sum()
    }
}

/// The memory of one series. At most T + h_max steps of 16 bits an input and label, and of 8 bits a
/// number of the state: they are learned from, and no forecast goes on from them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SequenceBuffer {
    shape: SequenceShape,
    /// One row a step: its I inputs and its labels as halves (NaN while unknown), a bit a label
    /// for whether it arrived since the last learning, the state before it. All rows are one piece,
    /// so that copies and snapshots run at the memory's speed. Once the buffer is full, a new step
    /// takes the row of the oldest one.
    #[serde(with = "le_blob")]
    rows: Vec<u16>,
    /// The row of the oldest step.
    oldest: usize,
    #[serde(with = "le_blob")]
    state: Box<[f32]>,
    /// The state that the averaged weights carry: each set of weights has its own.
    #[serde(with = "le_blob")]
    state_ema: Box<[f32]>,
    /// Steps since this series last gave a window to the replay pool.
    since_offer: usize,
}

impl SequenceBuffer {
    /// A series not seen before: it carries zero.
    pub(super) fn new(shape: SequenceShape) -> SequenceBuffer {
        SequenceBuffer {
            rows: Vec::new(),
            oldest: 0,
            state: vec![0.0; shape.state].into(),
            state_ema: vec![0.0; shape.state].into(),
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
            && steps <= shape.capacity()
            && (self.oldest == 0 || self.oldest < steps && steps == shape.capacity())
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
        let SequenceShape { inputs, labels, .. } = self.shape;
        let (inputs, rest) = self.rows[self.row(at) * self.shape.width()..].split_at(inputs);
        let (labels, rest) = rest.split_at(labels);
        let (flags, rest) = rest.split_at(self.shape.flags());
        BufferedStep { inputs, labels, flags, start: &rest[..packed_state::places(self.shape.state)] }
    }

    fn steps(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        range.map(|at| self.step(at))
    }

    /// Sets the truth of label `slot` at the step made `steps_back` steps before the newest one (0
    /// is the newest).
    ///
    /// Returns whether it was taken. It is not if that step is no longer in memory, or if the value
    /// is not finite. The nearest half of it is kept: from 65520 on that is infinite, as is its loss.
    ///
    /// # Panics
    ///
    /// If there is no label `slot`.
    pub fn label(&mut self, steps_back: usize, slot: usize, value: f32) -> bool {
        let SequenceShape { inputs, labels, .. } = self.shape;
        assert!(slot < labels, "label {slot} of {labels}");

        let Some(at) = self.len().checked_sub(1).and_then(|newest| newest.checked_sub(steps_back)) else {
            return false;
        };
        if value.is_finite() {
            let row = self.row(at) * self.shape.width();
            self.rows[row + inputs + slot] = half::of(value);
            self.rows[row + inputs + labels + slot / 16] |= 1 << (slot % 16);
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
        let (steps, capacity, width) = (self.len(), self.shape.capacity(), self.shape.width());
        let row = if steps < capacity {
            if self.rows.len() == self.rows.capacity() {
                let more = (steps / 2).max(8).min(capacity - steps);
                self.rows.reserve_exact(more * width);
            }

            self.rows.resize((steps + 1) * width, 0);
            steps
        } else {
            let next = (self.oldest + 1) % capacity;
            std::mem::replace(&mut self.oldest, next)
        };

        let SequenceShape { inputs, labels, .. } = self.shape;
        let (own, rest) = self.rows[row * width..][..width].split_at_mut(inputs);
        own.iter_mut()
            .zip(input)
            .for_each(|(own, input)| *own = half::of(input.clamp(-half::MAX, half::MAX)));
        let (own, rest) = rest.split_at_mut(labels);
        own.fill(half::of(f32::NAN));
        let (flags, start) = rest.split_at_mut(self.shape.flags());
        flags.fill(0);
        packed_state::pack(&self.state, start);
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
        self.window().map(BufferedStep::fresh_count).sum()
    }

    /// No label is fresh any more.
    pub(super) fn learned(&mut self) {
        let SequenceShape { inputs, labels, .. } = self.shape;
        let flags = inputs + labels..inputs + labels + self.shape.flags();
        self.rows.chunks_exact_mut(self.shape.width()).for_each(|row| row[flags.clone()].fill(0));
    }

    /// Whether the oldest T steps can go to the replay pool. All their labels have to be known, and
    /// half a window has to have passed since the last offer: windows that overlap more would fill
    /// the pool with one stretch of time.
    pub(super) fn offers(&self) -> bool {
        let due = self.since_offer >= self.shape.window.div_ceil(2);
        let full = self.len() == self.shape.capacity();
        due && full && self.oldest_window().flat_map(BufferedStep::labels).all(|label| !label.is_nan())
    }

    /// Copies the oldest T steps.
    pub(super) fn offer(&mut self, place: &mut ReplayWindow) {
        self.since_offer = 0;
        place.steps = self.shape.window;
        place.start.clear();
        place.start.extend(self.oldest_window().take(1).flat_map(BufferedStep::start).take(self.shape.state));
        place.inputs.clear();
        place.inputs.extend(self.oldest_window().flat_map(BufferedStep::inputs));
        place.labels.clear();
        place.labels.extend(self.oldest_window().flat_map(BufferedStep::labels));
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
        assert_eq!(buffer.window().flat_map(BufferedStep::inputs).collect::<Vec<_>>(), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(buffer.window().next().unwrap().start().next(), Some(3.5));
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
