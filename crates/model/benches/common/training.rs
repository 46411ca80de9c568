//! One training step: inputs filled in, forward, mean squared error at every step, backward through
//! time, clip of the gradient's norm, Adam (and the averaged weights, which ride along in the same
//! pass).
//! It must not know time.

use tickcast_model::kernel::{
    AlignedFloats, BeforeAfter, KernelEngine, KernelMoments, KernelTape, KernelUpdate,
};
use tickcast_model::{Activation, BETAS, CellKind, Loss, Network, NetworkSpec, OptimizerRule};

/// What decides how much work a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub cell: CellKind,
    pub inputs: usize,
    pub hidden: usize,
    pub steps: usize,
    pub batch: usize,
}

impl Shape {
    /// One layer, one output.
    fn spec(&self) -> NetworkSpec {
        NetworkSpec {
            cell: self.cell,
            activation: Activation::Tanh,
            inputs: self.inputs,
            hidden: self.hidden,
            layers: 1,
            outputs: 1,
            skip: false,
        }
    }

    /// FLOP of a step's matrix products, two a multiply-add: forward, back to the states, and to
    /// the weights, of cell and head. What bends, the loss and the optimiser are not counted,
    /// though timed.
    pub fn flop(&self) -> usize {
        let rows = self.spec().gates() * self.hidden;
        let cell = 2 * rows * (self.inputs + self.hidden) + rows * self.hidden;
        let head = 3 * self.hidden;
        2 * (cell + head) * self.steps * self.batch
    }
}

/// Weights and what the optimiser carries with them.
#[derive(Clone)]
struct Fit {
    params: AlignedFloats,
    ema: AlignedFloats,
    moments: KernelMoments,
}

/// A network in training on a window of made-up numbers.
pub struct Training {
    shape: Shape,
    engine: KernelEngine,
    tape: KernelTape,
    gradient: AlignedFloats,
    fit: Fit,
    next: Fit,
    /// T × B × I.
    inputs: Vec<f32>,
    /// T × B.
    labels: Vec<f32>,
}

impl Training {
    pub fn new(shape: Shape) -> Training {
        let engine = KernelEngine::new(shape.spec());
        let params = AlignedFloats::from_slice(&engine.pack(&Network::new(shape.spec()).initial_params(1)));
        let fit = Fit { ema: params.clone(), params, moments: KernelMoments::new(engine.len()) };
        let columns = shape.steps * shape.batch;
        let wave = |at: usize| (at as f32 * 0.7).sin();

        Training {
            tape: engine.tape(),
            gradient: AlignedFloats::zeros(engine.len()),
            next: fit.clone(),
            fit,
            inputs: (0..columns * shape.inputs).map(wave).collect(),
            labels: (0..columns).map(wave).collect(),
            engine,
            shape,
        }
    }

    /// One step; the loss before it.
    pub fn step(&mut self) -> f32 {
        let Training { shape, engine, tape, gradient, fit, next, .. } = self;
        tape.begin(shape.steps, shape.batch);
        let columns = (0..shape.steps).flat_map(|t| (0..shape.batch).map(move |b| (t, b)));
        for ((t, b), input) in columns.clone().zip(self.inputs.chunks_exact(shape.inputs)) {
            tape.input_mut(t, b).copy_from_slice(input);
        }
        engine.forward(&fit.params, tape);
        let weight = 1.0 / self.labels.len() as f32;

        let mut loss = 0.0;
        for ((t, b), label) in columns.zip(&self.labels) {
            let (output, slope) = tape.output_and_slope_mut(t, b);
            loss += Loss::Mse.add(output, *label, weight, slope);
        }

        gradient.fill(0.0);
        engine.prepare_backward(&fit.params, tape);
        engine.backward(&fit.params, tape, gradient);

        engine.update(KernelUpdate {
            rule: OptimizerRule::Adam { betas: BETAS },
            lr: 1e-3,
            scale: (1.0 / (engine.norm(gradient) + 1e-6)).min(1.0),
            ema_decay: 0.995,
            gradient,
            params: BeforeAfter { before: &fit.params, after: &mut next.params },
            ema: BeforeAfter { before: &fit.ema, after: &mut next.ema },
            moments: BeforeAfter { before: &fit.moments, after: &mut next.moments },
        });

        std::mem::swap(fit, next);
        loss
    }
}
