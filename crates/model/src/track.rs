//! One series' memory: the state it carries, and its last steps with their inputs, states and labels.
//! It must not know weights or other series.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::real::restart_if_overflown;
use super::replay::Window;

/// Sizes of a track, the same for all tracks of a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackShape {
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

impl TrackShape {
    /// Steps kept: after h_max steps a whole window has all its labels.
    fn capacity(&self) -> usize {
        self.window + self.longest_lag
    }
}

/// What is known of one output's truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Label {
    #[default]
    Unknown,
    /// Arrived since the last learning.
    Fresh(f32),
    Learned(f32),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub input: Vec<f32>,
    /// The carried state before the step.
    pub start: Vec<f32>,
    labels: Vec<Label>,
}

impl Step {
    /// The labels that arrived since the last learning, each with its number.
    pub fn fresh(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        let fresh = |(slot, label): (usize, &Label)| match *label {
            Label::Fresh(value) => Some((slot, value)),
            _ => None,
        };
        self.labels.iter().enumerate().filter_map(fresh)
    }
}

/// The memory of one series. At most T + h_max steps of I + S + labels numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    shape: TrackShape,
    /// Oldest first.
    steps: VecDeque<Step>,
    state: Vec<f32>,
    /// The state that the averaged weights carry: each set of weights has its own.
    state_ema: Vec<f32>,
    /// Steps since this series last gave a window to the replay pool.
    since_offer: usize,
}

impl Track {
    /// A series not seen before: it carries zero.
    pub(super) fn new(shape: TrackShape) -> Track {
        Track {
            state: vec![0.0; shape.state],
            state_ema: vec![0.0; shape.state],
            steps: VecDeque::new(),
            since_offer: 0,
            shape,
        }
    }

    /// Whether it is whole and of that shape.
    pub(super) fn is_of(&self, shape: &TrackShape) -> bool {
        let whole = |step: &Step| {
            (step.input.len(), step.start.len(), step.labels.len())
                == (shape.inputs, shape.state, shape.labels)
        };
        self.shape == *shape
            && [&self.state, &self.state_ema].iter().all(|state| state.len() == shape.state)
            && self.steps.len() <= shape.capacity()
            && self.steps.iter().all(whole)
    }

    pub(super) fn newest(&self) -> Option<&Step> {
        self.steps.back()
    }

    /// Steps in memory.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The truth of label `slot` at the step made `steps_back` steps before the newest one (0 = the newest).
    /// False and nothing done if that step is no longer in memory or the value is not finite.
    pub fn label(&mut self, steps_back: usize, slot: usize, value: f32) -> bool {
        assert!(slot < self.shape.labels, "label {slot} of {}", self.shape.labels);
        match self.steps.iter_mut().nth_back(steps_back) {
            Some(step) if value.is_finite() => {
                step.labels[slot] = Label::Fresh(value);
                true
            }
            _ => false,
        }
    }

    /// The carried states by the raw and by the averaged weights.
    pub(super) fn states(&self) -> (&[f32], &[f32]) {
        (&self.state, &self.state_ema)
    }

    /// Appends a step of `input` from the carried state; the oldest step makes room once the memory is full.
    pub(super) fn push(&mut self, input: impl Iterator<Item = f32>) {
        let oldest = if self.steps.len() == self.shape.capacity() { self.steps.pop_front() } else { None };
        let mut step = oldest.unwrap_or_default();
        step.input.clear();
        step.input.extend(input);
        step.start.clone_from(&self.state);
        step.labels.clear();
        step.labels.resize(self.shape.labels, Label::Unknown);
        self.steps.push_back(step);
        self.since_offer += 1;
    }

    /// What the newest step led to, by the raw weights or by the averaged ones.
    pub(super) fn carry(&mut self, averaged: bool, next: impl FnOnce(&mut [f32])) {
        let state = if averaged { &mut self.state_ema } else { &mut self.state };
        next(state);
        restart_if_overflown(state);
    }

    /// The last T steps.
    pub(super) fn window(&self) -> impl ExactSizeIterator<Item = &Step> {
        self.steps.range(self.steps.len().saturating_sub(self.shape.window)..)
    }

    /// Fresh labels in the last T steps.
    pub(super) fn fresh(&self) -> usize {
        self.window().map(|step| step.fresh().count()).sum()
    }

    /// No label is fresh any more.
    pub(super) fn learned(&mut self) {
        for label in self.steps.iter_mut().flat_map(|step| &mut step.labels) {
            if let Label::Fresh(value) = *label {
                *label = Label::Learned(value);
            }
        }
    }

    /// Whether the oldest T steps can go to the replay pool: all their labels are known, and half a window has passed
    /// since the last offer: windows that overlap more would fill the pool with one stretch of time.
    pub(super) fn offers(&self) -> bool {
        let due = self.since_offer >= self.shape.window.div_ceil(2);
        let mut labels = self.steps.iter().take(self.shape.window).flat_map(|step| &step.labels);
        due && self.steps.len() == self.shape.capacity() && labels.all(|label| *label != Label::Unknown)
    }

    /// Copies the oldest T steps.
    pub(super) fn offer(&mut self, place: &mut Window) {
        self.since_offer = 0;
        let window = || self.steps.iter().take(self.shape.window);
        place.steps = self.shape.window;
        place.start.clear();
        place.start.extend(window().take(1).flat_map(|step| &step.start));
        place.inputs.clear();
        place.inputs.extend(window().flat_map(|step| &step.input));
        place.labels.clear();
        place.labels.extend(window().flat_map(|step| &step.labels).map(|label| match *label {
            Label::Unknown => f32::NAN,
            Label::Fresh(value) | Label::Learned(value) => value,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(track: &mut Track, input: f32, state: f32) {
        track.push([input].into_iter());
        track.carry(false, |next| next[0] = state);
        track.carry(true, |next| next[0] = -state);
    }

    fn track(steps: usize) -> Track {
        let mut track = Track::new(TrackShape { inputs: 1, labels: 2, state: 1, window: 4, longest_lag: 2 });
        (0..steps).for_each(|at| step(&mut track, at as f32, at as f32 + 0.5));
        track
    }

    #[test]
    fn a_label_finds_its_step_or_is_ignored() {
        let mut track = track(8);
        assert_eq!(track.len(), 6);
        assert!(track.label(1, 0, 9.0));
        assert!(track.label(5, 1, 7.0), "the oldest in memory");
        assert!(!track.label(6, 0, 1.0), "gone");
        assert!(!track.label(0, 0, f32::NAN));
        // Steps 4 to 7; the label of step 2 came too late to be learned live.
        assert_eq!(track.window().map(|step| step.input[0]).collect::<Vec<_>>(), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(track.window().next().unwrap().start, [3.5]);
        assert_eq!(track.window().nth(2).unwrap().fresh().collect::<Vec<_>>(), [(0, 9.0)]);
        assert_eq!(track.fresh(), 1);
        track.learned();
        assert_eq!(track.fresh(), 0);
    }

    #[test]
    fn a_window_is_offered_once_all_its_labels_are_known() {
        let mut track = track(6);
        for back in 2..6 {
            assert!(!track.offers());
            assert!(track.label(back, 0, back as f32) && track.label(back, 1, -1.0));
        }
        assert!(track.offers());
        let mut window = Window::default();
        track.offer(&mut window);
        assert_eq!(window.start, [0.0]);
        assert_eq!(window.inputs, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(window.labels, [5.0, -1.0, 4.0, -1.0, 3.0, -1.0, 2.0, -1.0]);
        assert!(!track.offers(), "not twice");
        step(&mut track, 6.0, 0.0);
        assert!(track.label(2, 0, 1.0) && track.label(2, 1, 1.0));
        assert!(!track.offers(), "not yet");
    }

    #[test]
    fn a_state_that_overflowed_starts_again() {
        let mut track = track(1);
        step(&mut track, 1.0, f32::INFINITY);
        assert_eq!(track.states(), (&[0.0f32][..], &[0.0f32][..]));
    }
}
