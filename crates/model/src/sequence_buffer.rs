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
    /// Steps from one that a window can begin at to the next: the state before those alone is kept.
    pub apart: usize,
}

/// Most steps from one that a window can begin at to the next.
const MOST_APART: usize = 4;

impl SequenceShape {
    /// How many steps may lie between those that a window can begin at. The shortest window has
    /// T - apart + 1 steps; a label must still find its step there after `longest_wait` steps.
    pub fn apart_of(window: usize, longest_wait: usize) -> usize {
        (window + 1).saturating_sub(longest_wait).clamp(1, MOST_APART)
    }

    /// Rows kept: after h_max steps a whole window has all its labels.
    fn rows(&self) -> usize {
        (self.window + self.longest_lag).div_ceil(self.apart)
    }

    /// Words of 16 bits for which of a step's labels are fresh.
    fn flags(&self) -> usize {
        self.labels.div_ceil(16)
    }

    /// Words of 16 bits a step.
    fn step(&self) -> usize {
        self.inputs + self.labels + self.flags()
    }

    /// Words of 16 bits a row.
    fn row(&self) -> usize {
        packed_state::places(self.state) + self.apart * self.step()
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
    row_start: &'a [u16],
}

impl<'a> BufferedStep<'a> {
    /// The inputs of the step.
    fn inputs(self) -> impl Iterator<Item = f32> + 'a {
        self.inputs.iter().map(|&input| half::value(input))
    }

    /// The carried state before the step, which is the first of its row.
    pub fn start(self) -> impl Iterator<Item = f32> + 'a {
        packed_state::unpack(self.row_start)
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

/// The memory of one series. About T + h_max steps of 16 bits an input and label: they are learned
/// from, and no forecast goes on from them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SequenceBuffer {
    shape: SequenceShape,
    /// A row is the state before some steps, in 8 bits a number, then those steps. Each has its I
    /// inputs and its labels as halves (NaN while unknown), and a bit a label for whether it
    /// arrived since the last learning. All rows are one piece, so that copies and snapshots run at
    /// the memory's speed. Once the buffer is full, a new row takes the place of the oldest one.
    #[serde(with = "le_blob")]
    rows: Vec<u16>,
    /// The row of the oldest step, which is its first.
    oldest: usize,
    /// Steps in memory.
    steps: usize,
    /// The state that the weights carry as they are, then the one that the averaged weights carry.
    #[serde(with = "le_blob")]
    states: Box<[f32]>,
    /// Steps since this series last gave a window to the replay pool.
    since_offer: usize,
}

impl SequenceBuffer {
    /// A series not seen before: it carries zero.
    pub(super) fn new(shape: SequenceShape) -> SequenceBuffer {
        let states = vec![0.0; 2 * shape.state].into();
        SequenceBuffer { shape, rows: Vec::new(), oldest: 0, steps: 0, states, since_offer: 0 }
    }

    /// Whether it is whole and of that shape.
    pub(super) fn is_of(&self, shape: &SequenceShape) -> bool {
        let rows = self.steps.div_ceil(shape.apart);
        self.shape == *shape
            && self.states.len() == 2 * shape.state
            && self.rows.len() == rows * shape.row()
            && rows <= shape.rows()
            && (self.oldest == 0 || self.oldest < rows && rows == shape.rows())
    }

    /// Steps in memory.
    pub fn len(&self) -> usize {
        self.steps
    }

    /// Whether no step has come yet.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Where the row of step `at` begins, counted from the oldest step.
    fn row(&self, at: usize) -> usize {
        let (row, rows) = (self.oldest + at / self.shape.apart, self.shape.rows());
        (if row < rows { row } else { row - rows }) * self.shape.row()
    }

    /// Where step `at` begins, counted from the oldest one.
    fn place(&self, at: usize) -> usize {
        let before = at % self.shape.apart * self.shape.step();
        self.row(at) + packed_state::places(self.shape.state) + before
    }

    /// Step `at`, counted from the oldest one.
    fn step(&self, at: usize) -> BufferedStep<'_> {
        let SequenceShape { inputs, labels, state, .. } = self.shape;
        let (inputs, rest) = self.rows[self.place(at)..].split_at(inputs);
        let (labels, rest) = rest.split_at(labels);
        let row_start = &self.rows[self.row(at)..][..packed_state::places(state)];
        BufferedStep { inputs, labels, flags: &rest[..self.shape.flags()], row_start }
    }

    fn steps(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        range.map(|at| self.step(at))
    }

    /// Sets the truth of label `slot` at the step made `steps_back` steps before the newest one (0
    /// is the newest).
    ///
    /// Returns whether it was taken. It is not if that step is no longer in memory, or if the value
    /// is not finite. The nearest half of it is kept: from 65520 on that is infinite, as is its
    /// loss.
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
            let step = self.place(at);
            self.rows[step + inputs + slot] = half::of(value);
            self.rows[step + inputs + labels + slot / 16] |= 1 << (slot % 16);
        }

        value.is_finite()
    }

    /// Which of the two states `weights` carry.
    fn carried(&self, weights: WeightSet) -> Range<usize> {
        match weights {
            WeightSet::Raw => 0..self.shape.state,
            WeightSet::Averaged => self.shape.state..2 * self.shape.state,
        }
    }

    /// The state that `weights` carry.
    pub(super) fn state(&self, weights: WeightSet) -> &[f32] {
        &self.states[self.carried(weights)]
    }

    /// Appends a step of `input` from the carried state; the oldest row makes room once the memory
    /// is full.
    pub(super) fn push(&mut self, input: impl Iterator<Item = f32>) {
        let SequenceShape { inputs, apart, .. } = self.shape;
        if self.steps.is_multiple_of(apart) {
            self.begin_row();
        }
        self.steps += 1;
        self.since_offer += 1;

        let (step, width) = (self.place(self.steps - 1), self.shape.step());
        let (own, rest) = self.rows[step..][..width].split_at_mut(inputs);
        for (own, input) in own.iter_mut().zip(input) {
            *own = half::of(input.clamp(-half::MAX, half::MAX));
        }
        let (labels, flags) = rest.split_at_mut(self.shape.labels);
        labels.fill(half::of(f32::NAN));
        flags.fill(0);
    }

    /// Makes room for a row, and writes its state.
    fn begin_row(&mut self) {
        let SequenceShape { state, apart, .. } = self.shape;
        let (rows, most, width) = (self.steps / apart, self.shape.rows(), self.shape.row());
        if rows < most {
            if self.rows.len() == self.rows.capacity() {
                let more = (rows / 2).max(2).min(most - rows);
                self.rows.reserve_exact(more * width);
            }
            self.rows.resize((rows + 1) * width, 0);
        } else {
            self.oldest = (self.oldest + 1) % most;
            self.steps -= apart;
        }

        let from = self.row(self.steps);
        let places = packed_state::places(state);
        packed_state::pack(&self.states[..state], &mut self.rows[from..][..places]);
    }

    /// Lets `next` write the state that the newest step led to under `weights`.
    pub(super) fn carry(&mut self, weights: WeightSet, next: impl FnOnce(&mut [f32])) {
        let carried = self.carried(weights);
        let state = &mut self.states[carried];
        next(state);
        restart_if_overflown(state);
    }

    /// The last T steps, or some less, from the beginning of a row on.
    pub(super) fn window(&self) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        let from = self.steps.saturating_sub(self.shape.window);
        self.steps(from.next_multiple_of(self.shape.apart)..self.steps)
    }

    /// The oldest T steps.
    fn oldest_window(&self) -> impl ExactSizeIterator<Item = BufferedStep<'_>> {
        self.steps(0..self.steps.min(self.shape.window))
    }

    /// Fresh labels in the window.
    pub(super) fn fresh(&self) -> usize {
        self.window().map(BufferedStep::fresh_count).sum()
    }

    /// No label is fresh any more.
    pub(super) fn learned(&mut self) {
        let SequenceShape { inputs, labels, .. } = self.shape;
        for at in 0..self.steps {
            let flags = self.place(at) + inputs + labels;
            self.rows[flags..][..self.shape.flags()].fill(0);
        }
    }

    /// Whether the oldest T steps can go to the replay pool. All their labels have to be known, and
    /// half a window has to have passed since the last offer: windows that overlap more would fill
    /// the pool with one stretch of time.
    pub(super) fn offers(&self) -> bool {
        let due = self.since_offer >= self.shape.window.div_ceil(2);
        let full = self.steps >= self.shape.window + self.shape.longest_lag;
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

    fn buffer(steps: usize, apart: usize) -> SequenceBuffer {
        let mut buffer = SequenceBuffer::new(SequenceShape {
            apart,
            inputs: 1,
            labels: 2,
            state: 1,
            window: 4,
            longest_lag: 2,
        });
        (0..steps).for_each(|at| step(&mut buffer, at as f32, at as f32 + 0.5));
        buffer
    }

    #[test]
    fn a_label_finds_its_step_or_is_ignored() {
        let mut buffer = buffer(8, 1);
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
        let mut buffer = buffer(6, 1);
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
        let mut buffer = buffer(1, 1);
        step(&mut buffer, 1.0, f32::INFINITY);
        assert_eq!(buffer.state(WeightSet::Raw), [0.0]);
        assert_eq!(buffer.state(WeightSet::Averaged), [0.0]);
    }

    #[test]
    fn a_window_begins_where_a_state_is_kept() {
        for steps in 1..40 {
            let buffer = buffer(steps, 3);
            let inputs: Vec<f32> = buffer.window().flat_map(BufferedStep::inputs).collect();
            let first = steps.saturating_sub(4).next_multiple_of(3);
            let expected: Vec<f32> = (first..steps).map(|step| step as f32).collect();
            assert_eq!(inputs, expected, "{steps}");
            let start = buffer.window().next().unwrap().start().next();
            let carried = if first == 0 { 0.0 } else { first as f32 - 0.5 };
            assert!((start.unwrap() - carried).abs() < 1e-5 * carried.max(1.0));
            let shape = buffer.shape;
            assert!(steps < 6 || (4..=6).contains(&buffer.len()) && buffer.is_of(&shape));
        }
    }

    #[test]
    fn states_are_kept_as_seldom_as_late_labels_allow() {
        let kept = [(32, 6), (32, 29), (32, 30), (32, 32), (8, 40)].map(|(window, wait)| {
            let apart = SequenceShape::apart_of(window, wait);
            assert!(apart == 1 || window + 1 - apart >= wait);
            apart
        });
        assert_eq!(kept, [4, 4, 3, 1, 1]);
    }
}
