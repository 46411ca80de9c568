//! One series' memory: the state it carries, and its last steps with their inputs, states and labels.
//! It must not know weights or other series.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::replay::Window;
use super::tbptt::{Example, Target};

/// Sizes of a track, the same for all tracks of a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackShape {
    /// Features a step, I.
    pub inputs: usize,
    /// Labels a step, O.
    pub outputs: usize,
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Label {
    Unknown,
    /// Arrived since the last learning.
    Fresh(f32),
    Learned(f32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Step {
    input: Vec<f32>,
    /// The carried state before the step.
    start: Vec<f32>,
    labels: Vec<Label>,
}

/// The memory of one series. At most T + h_max steps of I + S + O numbers.
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

    pub(super) fn shape(&self) -> &TrackShape {
        &self.shape
    }

    /// Steps in memory.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The truth of output `output` at the step made `steps_back` steps before the newest one (0 = the newest).
    /// False and nothing done if that step is no longer in memory or the value is not finite.
    pub fn label(&mut self, steps_back: usize, output: usize, value: f32) -> bool {
        assert!(output < self.shape.outputs, "output {output} of {}", self.shape.outputs);
        match self.steps.iter_mut().nth_back(steps_back) {
            Some(step) if value.is_finite() => {
                step.labels[output] = Label::Fresh(value);
                true
            }
            _ => false,
        }
    }

    /// The carried states by the raw and by the averaged weights.
    pub(super) fn states(&self) -> (&[f32], &[f32]) {
        (&self.state, &self.state_ema)
    }

    /// Appends a step that led to the given states.
    pub(super) fn push(&mut self, input: Vec<f32>, state: Vec<f32>, state_ema: Vec<f32>) {
        if self.steps.len() == self.shape.capacity() {
            self.steps.pop_front();
        }
        let start = std::mem::replace(&mut self.state, finite_or_zeros(state));
        self.state_ema = finite_or_zeros(state_ema);
        self.steps.push_back(Step { input, start, labels: vec![Label::Unknown; self.shape.outputs] });
        self.since_offer += 1;
    }

    /// The last T steps with their fresh labels, each of weight 1; none if no label there is fresh.
    pub(super) fn example(&self) -> Option<Example<'_, f32>> {
        let first = self.steps.len().saturating_sub(self.shape.window);
        let window = || self.steps.range(first..);
        let mut targets = Vec::new();
        for (step, made) in window().enumerate() {
            for (output, label) in made.labels.iter().enumerate() {
                if let Label::Fresh(value) = *label {
                    targets.push(Target { step, output, value, weight: 1.0 });
                }
            }
        }
        let start = &self.steps.get(first)?.start;
        let inputs = window().map(|step| step.input.as_slice()).collect();
        (!targets.is_empty()).then_some(Example { start, inputs, targets })
    }

    /// No label is fresh any more.
    pub(super) fn learned(&mut self) {
        for label in self.steps.iter_mut().flat_map(|step| &mut step.labels) {
            if let Label::Fresh(value) = *label {
                *label = Label::Learned(value);
            }
        }
    }

    /// The oldest T steps for the replay pool, if all their labels are known and half a window has passed since the
    /// last offer: windows that overlap more would fill the pool with one stretch of time.
    pub(super) fn offer(&mut self) -> Option<Window> {
        let due = self.since_offer >= self.shape.window.div_ceil(2);
        if !due || self.steps.len() < self.shape.capacity() {
            return None;
        }
        let window = || self.steps.iter().take(self.shape.window);
        let labels = window().flat_map(|step| &step.labels).map(|label| match *label {
            Label::Unknown => None,
            Label::Fresh(value) | Label::Learned(value) => Some(value),
        });
        let labels = labels.collect::<Option<Vec<f32>>>()?;
        let inputs = window().flat_map(|step| step.input.iter().copied()).collect();
        let start = self.steps.front()?.start.clone();
        self.since_offer = 0;
        Some(Window { start, inputs, labels })
    }
}

/// A state that overflowed (ReLU can) would make all later ones so: the series starts again from zero.
fn finite_or_zeros(state: Vec<f32>) -> Vec<f32> {
    if state.iter().all(|value| value.is_finite()) { state } else { vec![0.0; state.len()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(steps: usize) -> Track {
        let mut track = Track::new(TrackShape { inputs: 1, outputs: 2, state: 1, window: 4, longest_lag: 2 });
        for step in 0..steps {
            track.push(vec![step as f32], vec![step as f32 + 0.5], vec![0.0]);
        }
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
        let example = track.example().unwrap();
        // Steps 4 to 7; the label of step 2 came too late to be learned live.
        assert_eq!(example.inputs, [[4.0], [5.0], [6.0], [7.0]]);
        assert_eq!(example.start, [3.5]);
        assert_eq!(example.targets, [Target { step: 2, output: 0, value: 9.0, weight: 1.0 }]);
        track.learned();
        assert!(track.example().is_none());
    }

    #[test]
    fn a_window_is_offered_once_all_its_labels_are_known() {
        let mut track = track(6);
        for back in 2..6 {
            assert!(track.offer().is_none());
            assert!(track.label(back, 0, back as f32) && track.label(back, 1, -1.0));
        }
        let window = track.offer().unwrap();
        assert_eq!(window.start, [0.0]);
        assert_eq!(window.inputs, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(window.labels, [5.0, -1.0, 4.0, -1.0, 3.0, -1.0, 2.0, -1.0]);
        assert!(track.offer().is_none(), "not twice");
        track.push(vec![6.0], vec![0.0], vec![0.0]);
        assert!(track.label(2, 0, 1.0) && track.label(2, 1, 1.0));
        assert!(track.offer().is_none(), "not yet");
    }

    #[test]
    fn a_state_that_overflowed_starts_again() {
        let mut track = track(1);
        track.push(vec![1.0], vec![f32::INFINITY], vec![f32::NAN]);
        assert_eq!(track.states(), (&[0.0f32][..], &[0.0f32][..]));
    }
}
