//! The windows that an online update learns from, live ones and replayed ones, as samples for the
//! gradient.
//! It must not know which windows are chosen, nor how the labels are weighed.

use crate::gradient::{WindowSample, add_label};
use crate::half;
use crate::kernel::KernelTape;
use crate::loss::Loss;
use crate::replay::ReplayWindow;
use crate::sequence_buffer::SequenceBuffer;
use crate::tbptt::TrainingTarget;

/// A window and what its labels count in the loss.
#[derive(Clone, Copy)]
pub struct WeightedWindow<'a> {
    /// Where its steps and labels are.
    pub origin: WindowOrigin<'a>,
    /// The factor of each of its labels.
    pub label_weight: f32,
}

/// Where the steps and labels of a window are.
#[derive(Clone, Copy)]
pub enum WindowOrigin<'a> {
    /// The last steps of a series, its fresh labels.
    Live(&'a SequenceBuffer),
    /// A window of the pool, all its labels.
    Replayed(&'a ReplayWindow),
}

impl WindowSample for WeightedWindow<'_> {
    fn steps(self) -> usize {
        match self.origin {
            WindowOrigin::Live(buffer) => buffer.window().len(),
            WindowOrigin::Replayed(window) => window.steps,
        }
    }

    fn fill(self, tape: &mut KernelTape, b: usize) {
        match self.origin {
            WindowOrigin::Live(buffer) => {
                for (t, step) in buffer.window().enumerate() {
                    if t == 0 {
                        tape.start_with(b, step.start());
                    }
                    half::unpack(step.inputs, tape.input_mut(t, b));
                }
            }
            WindowOrigin::Replayed(window) => {
                tape.set_start(b, &window.start);
                for (t, input) in window.inputs.chunks_exact(window.inputs.len() / window.steps).enumerate() {
                    tape.input_mut(t, b).copy_from_slice(input);
                }
            }
        }
    }

    fn add_loss(self, tape: &mut KernelTape, b: usize, loss: &Loss) -> f32 {
        let mut add = |step, slot, value| {
            let (output, weight) = (slot * loss.width(), self.label_weight);
            add_label(tape, b, loss, TrainingTarget { step, output, value, weight })
        };

        let mut total = 0.0;
        match self.origin {
            WindowOrigin::Live(buffer) => {
                for (t, step) in buffer.window().enumerate() {
                    step.fresh().for_each(|(slot, value)| total += add(t, slot, value));
                }
            }
            WindowOrigin::Replayed(window) => {
                for (t, labels) in window.labels.chunks_exact(window.labels.len() / window.steps).enumerate()
                {
                    labels.iter().enumerate().for_each(|(slot, value)| total += add(t, slot, *value));
                }
            }
        }

        total
    }
}
