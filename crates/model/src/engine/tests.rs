//! Holds the two backends to each other: over the same steps, learners and trainers of both say the
//! same.
//! It must not know how either computes a pass.

use super::*;
use crate::learner::Learner;
use crate::loss::Loss;
use crate::optimizer::{LrSchedule, Optimizer, OptimizerRule};
use crate::sequence_buffer::SequenceBuffer;
use crate::spec::{Activation, CellKind};
use crate::template::{LearnerSettings, LearnerTemplate};
use crate::workspace::LearnerWorkspace;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const STEPS: usize = 400;
const SERIES: usize = 5;
const INPUTS: usize = 4;
const LAGS: [usize; 2] = [1, 6];
/// How far outputs may be apart. Labels, and so outputs, are of the size of 1.
const APART: f32 = 1e-4;

fn spec(cell: CellKind, layers: usize, loss: &Loss) -> NetworkSpec {
    NetworkSpec {
        cell,
        activation: Activation::Tanh,
        inputs: INPUTS,
        hidden: 12,
        layers,
        outputs: LAGS.len() * loss.width(),
        skip: true,
    }
}

fn settings(loss: Loss, optimizer: Optimizer, backend: Backend) -> LearnerSettings {
    LearnerSettings {
        bptt: 16,
        longest_lag: LAGS[1],
        stride: 1,
        replay: 2,
        loss,
        optimizer,
        clip: 1.0,
        ema: 0.995,
        seed: 5,
        backend,
    }
}

/// A learner, its series, and what it said.
struct Run {
    learner: Learner,
    workspace: LearnerWorkspace,
    buffers: Vec<SequenceBuffer>,
    said: Vec<f32>,
    is_class: bool,
}

impl Run {
    fn new(spec: NetworkSpec, settings: LearnerSettings) -> Run {
        let is_class = matches!(settings.loss, Loss::CrossEntropy { .. });
        let template = LearnerTemplate::new(spec, settings);
        let learner = Learner::new(&template);
        let buffers = (0..SERIES).map(|_| learner.new_buffer()).collect();
        Run { learner, workspace: template.workspace(), buffers, said: Vec::new(), is_class }
    }

    /// Goes on with the same state under other settings.
    fn with(self, spec: NetworkSpec, settings: LearnerSettings) -> Run {
        let template = LearnerTemplate::new(spec, settings);
        let learner = Learner::resume(&template, self.learner.state().clone()).unwrap();
        Run { learner, workspace: template.workspace(), ..self }
    }

    /// Steps `from` to `to` of waves with noise. A class is drawn where the loss wants one.
    fn steps(&mut self, from: usize, to: usize) {
        for t in from..to {
            let rng = &mut Pcg64::seed_from_u64(t as u64);
            let wave = |k: usize, t: usize| (std::f32::consts::TAU * (t + 7 * k) as f32 / 24.0).sin();

            // Not always all: windows of many lengths, batches of many sizes.
            let mut present: Vec<&mut SequenceBuffer> =
                self.buffers.iter_mut().filter(|_| rng.random::<f32>() < 0.9).collect();
            let mut inputs = Vec::new();
            for k in 0..present.len() {
                let noise = |rng: &mut Pcg64| 0.3 * (rng.random::<f32>() - 0.5);
                inputs.extend([wave(k, t), wave(k, t + 6), noise(rng), noise(rng)]);
            }

            let said = self.learner.predict(&mut self.workspace, &mut present, &inputs);
            self.said.extend((0..said.len()).flat_map(|k| [said.raw(k), said.ema(k)]).flatten());

            for (k, buffer) in present.iter_mut().enumerate() {
                for (slot, lag) in LAGS.into_iter().enumerate() {
                    let moved = wave(k, t) - wave(k, t - lag.min(t)) + 0.5 * (rng.random::<f32>() - 0.5);
                    let label = if self.is_class { f32::from(moved > 0.2) } else { moved };
                    buffer.label(lag, slot, label);
                }
            }
            self.learner.learn(&mut self.workspace, &mut present);
        }
    }
}

/// The largest distance between what two runs said, and the largest thing said.
fn apart(one: &Run, other: &Run) -> (f32, f32) {
    assert_eq!(one.said.len(), other.said.len());
    let pairs = || one.said.iter().zip(&other.said);
    (
        pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max),
        pairs().map(|(a, _)| a.abs()).fold(0.0, f32::max),
    )
}

fn losses() -> [Loss; 6] {
    [
        Loss::Mse,
        Loss::Huber { delta: 1.5 },
        Loss::Pinball { levels: vec![0.05, 0.5, 0.95] },
        Loss::GaussianNll,
        Loss::CrossEntropy { classes: 2 },
        Loss::Directed { point: Box::new(Loss::Huber { delta: 1.5 }) },
    ]
}

fn rules() -> [OptimizerRule; 4] {
    let betas = crate::BETAS;
    [
        OptimizerRule::Adam { betas },
        OptimizerRule::AdamW { betas, weight_decay: 0.01 },
        OptimizerRule::Sgd { momentum: 0.9 },
        OptimizerRule::RmsProp { alpha: 0.99 },
    ]
}

#[test]
fn learners_of_both_backends_say_the_same_for_hundreds_of_steps() {
    for cell in CellKind::ALL {
        for (at, loss) in losses().into_iter().enumerate() {
            let rule = rules()[at % rules().len()];
            let optimizer = Optimizer { rule, lr: 1e-3, schedule: LrSchedule::Constant };
            let spec = spec(cell, 1 + at % 2, &loss);
            let [fused, plain] = Backend::ALL.map(|backend| {
                let mut run = Run::new(spec, settings(loss.clone(), optimizer, backend));
                run.steps(0, STEPS);
                run
            });

            let (distance, largest) = apart(&fused, &plain);
            println!("{cell:?} {loss:?} {rule:?}: {distance:.1e} of {largest:.2}");
            assert!(distance < APART, "{cell:?} {loss:?} {rule:?}: {distance:e}");
            assert!(distance > 0.0 && largest > 0.2, "two ways, and both learn: {distance:e} {largest}");
            assert_eq!(fused.learner.updates(), plain.learner.updates());
        }
    }
}

/// A state does not say which backend made it.
#[test]
fn a_learner_goes_on_under_the_other_backend() {
    let loss = Loss::Huber { delta: 1.5 };
    for cell in CellKind::ALL {
        let spec = spec(cell, 1, &loss);
        let by = |backend| settings(loss.clone(), Optimizer::adam(1e-3), backend);
        let mut stays = Run::new(spec, by(Backend::Fused));
        stays.steps(0, STEPS);

        let mut moves = Run::new(spec, by(Backend::Fused));
        moves.steps(0, STEPS / 3);
        let mut moves = moves.with(spec, by(Backend::Nalgebra));
        moves.steps(STEPS / 3, 2 * STEPS / 3);
        let mut moves = moves.with(spec, by(Backend::Fused));
        moves.steps(2 * STEPS / 3, STEPS);

        let (distance, _) = apart(&stays, &moves);
        assert!(distance > 0.0 && distance < APART, "{cell:?}: {distance:e}");
    }
}

#[test]
fn a_word_of_the_pipeline_file_is_a_backend() {
    for backend in Backend::ALL {
        assert_eq!(serde_json::from_value::<Backend>(backend.word().into()).unwrap(), backend);
    }
    assert!(Backend::Fused.is_default() && !Backend::Nalgebra.is_default());
}
