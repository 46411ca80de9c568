//! The loss over windows of series and its gradient, tape by tape. `tbptt.rs` is the plain
//! reference of it.
//! It must not know where windows come from or what is done with the gradient.

use super::engine::{Engine, EngineTape};
use super::kernel::KernelTape;
use super::loss::Loss;
use super::tbptt::{TrainingExample, TrainingTarget};
use super::workspace::batch_of_a_tape;

/// One series' window to learn from.
///
/// The shorter windows of a batch are filled up with zero inputs *after* their last step. No label
/// is there and time runs forwards, so the filling adds exactly nothing to loss or gradient.
pub trait WindowSample: Copy {
    /// Steps in it, at most T.
    fn steps(self) -> usize;
    /// Writes start state and inputs as series `b` of the tape.
    fn fill(self, tape: &mut KernelTape, b: usize);
    /// The weighted loss at its labels from the tape's outputs; its slopes are added to the tape's.
    fn add_loss(self, tape: &mut KernelTape, b: usize, loss: &Loss) -> f32;
}

/// What a gradient is of: a loss under some parameters, by the passes of their network.
#[derive(Debug, Clone, Copy)]
pub struct GradientPass<'a> {
    /// Runs the network's passes.
    pub engine: &'a Engine,
    /// In the order of the panels.
    pub params: &'a [f32],
    /// What is made small.
    pub loss: &'a Loss,
    /// No window has more steps.
    pub longest: usize,
}

impl GradientPass<'_> {
    /// L over all `samples`. Its gradient by the parameters is left in `gradient`, in the order of
    /// the panels.
    pub fn run<S: WindowSample>(
        self,
        samples: impl Iterator<Item = S> + Clone,
        tape: &mut EngineTape,
        gradient: &mut [f32],
    ) -> f32 {
        let GradientPass { engine, params, loss, longest } = self;
        gradient.fill(0.0);
        engine.prepare_backward(params, tape);

        let (mut rest, mut total) = (samples, 0.0);
        loop {
            let batch = rest.clone().take(batch_of_a_tape(engine, longest));
            let Some(steps) = batch.clone().map(WindowSample::steps).max() else { return total };
            let series = batch.clone().count();

            tape.begin(steps, series);
            batch.clone().enumerate().for_each(|(b, sample)| sample.fill(tape, b));
            engine.forward(params, tape);

            total = batch.enumerate().fold(total, |sum, (b, sample)| sum + sample.add_loss(tape, b, loss));
            engine.backward(params, tape, gradient);
            rest.nth(series - 1);
        }
    }
}

/// The weighted loss of one label of series `b`, from the tape's outputs; its slopes are added to
/// the tape's.
pub fn add_label(tape: &mut KernelTape, b: usize, loss: &Loss, label: TrainingTarget<f32>) -> f32 {
    let (outputs, slopes) = tape.output_and_slope_mut(label.step, b);
    let read = label.output..label.output + loss.width();
    loss.add(&outputs[read.clone()], label.value, label.weight, &mut slopes[read])
}

impl WindowSample for &TrainingExample<'_, f32> {
    fn steps(self) -> usize {
        self.inputs.len()
    }

    fn fill(self, tape: &mut KernelTape, b: usize) {
        tape.set_start(b, self.start);
        for (step, input) in self.inputs.iter().enumerate() {
            tape.input_mut(step, b).copy_from_slice(input);
        }
    }

    fn add_loss(self, tape: &mut KernelTape, b: usize, loss: &Loss) -> f32 {
        let mut total = 0.0;
        for target in &self.targets {
            assert!(target.step < self.inputs.len(), "a label outside its window");
            total += add_label(tape, b, loss, *target);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Backend;
    use crate::kernel::AlignedFloats;
    use crate::network::Network;
    use crate::spec::{Activation, CellKind, NetworkSpec};
    use crate::tbptt;
    use nalgebra::DVector;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    /// Windows of many lengths over several tapes, of every loss.
    #[test]
    fn it_is_what_the_plain_network_says() {
        let rng = &mut Pcg64::seed_from_u64(5);
        let losses = [
            Loss::Mse,
            Loss::Huber { delta: 1.5 },
            Loss::Pinball { levels: vec![0.1, 0.5, 0.9] },
            Loss::GaussianNll,
            Loss::CrossEntropy { classes: 3 },
            Loss::Directed { point: Box::new(Loss::Huber { delta: 1.5 }) },
        ];

        for (cell, loss) in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru]
            .into_iter()
            .flat_map(|c| losses.iter().map(move |l| (c, l)))
        {
            let spec = NetworkSpec {
                cell,
                activation: Activation::Tanh,
                inputs: 3,
                hidden: 20,
                layers: 2,
                outputs: 2 * loss.width(),
                skip: true,
            };
            let network = Network::new(spec);
            let random = |len: usize, rng: &mut Pcg64| -> Vec<f32> {
                (0..len).map(|_| rng.random::<f32>() - 0.5).collect()
            };
            let params = DVector::from_vec(random(network.layout().len(), rng));
            let series: Vec<(_, Vec<f32>, Vec<TrainingTarget<f32>>)> = (0..150)
                .map(|k| {
                    let steps = 1 + k % 9;
                    let target = |step: usize| TrainingTarget {
                        step,
                        output: (k % 2) * loss.width(),
                        value: (step % 3) as f32,
                        weight: 0.01,
                    };
                    let inputs = random(3 * steps, rng);
                    (random(spec.state_len(), rng), inputs, (0..steps).map(target).collect())
                })
                .collect();
            let examples: Vec<TrainingExample<'_, f32>> = series
                .iter()
                .map(|(start, inputs, targets)| TrainingExample {
                    start,
                    inputs: inputs.chunks_exact(3).collect(),
                    targets: targets.clone(),
                })
                .collect();
            let (value, gradient) = tbptt::loss_and_gradient(&network, &params, loss, &examples);
            for backend in Backend::ALL {
                let engine = Engine::new(spec, backend);
                let (mut tape, mut packed) = (engine.tape(), AlignedFloats::zeros(engine.len()));
                let pass = GradientPass { engine: &engine, params: &engine.pack(&params), loss, longest: 9 };
                let total = pass.run(examples.iter(), &mut tape, &mut packed);
                assert!((total / value - 1.0).abs() < 1e-5, "{cell:?} {loss:?}: {total} {value}");
                let error = (engine.unpack(&packed) - &gradient).norm() / gradient.norm();
                assert!(error < 1e-5, "{backend:?} {cell:?} {loss:?}: {error}");
            }
        }
    }
}
