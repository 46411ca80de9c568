//! Holds the kernels to the plain network, and all instruction sets to the same bits.
//! It must not know equations: the reference has them.

use super::*;
use crate::network::{Network, NetworkState};
use crate::optimizer::{self, BETAS, OptimizerRule};
use crate::spec::{Activation, CellKind, NetworkSpec};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const KINDS: [(CellKind, Activation); 5] = [
    (CellKind::Rnn, Activation::Tanh),
    (CellKind::Rnn, Activation::Relu),
    (CellKind::Rnn, Activation::Sigmoid),
    (CellKind::Lstm, Activation::Tanh),
    (CellKind::Gru, Activation::Tanh),
];

fn uniform(len: usize, scale: f64, rng: &mut Pcg64) -> Vec<f32> {
    (0..len).map(|_| (scale * (2.0 * rng.random::<f64>() - 1.0)) as f32).collect()
}

/// A network with random weights, a window of random inputs, and random slopes at its outputs.
#[derive(Debug)]
struct Case {
    spec: NetworkSpec,
    steps: usize,
    batch: usize,
    params: DVector<f32>,
    inputs: Vec<f32>,
    starts: Vec<Vec<f32>>,
    slopes: Vec<f32>,
}

/// Outputs O × T·B, end states, gradient in PyTorch's order.
#[derive(Debug, PartialEq)]
struct Run {
    outputs: Vec<f32>,
    states: Vec<Vec<f32>>,
    gradient: DVector<f32>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let rng = &mut Pcg64::seed_from_u64(seed);
        let (cell, activation) = KINDS[rng.random_range(0..KINDS.len())];

        let spec = NetworkSpec {
            cell,
            activation,
            inputs: rng.random_range(1..24),
            // Whole panels are as likely as others.
            hidden: if rng.random() { 16 * rng.random_range(1..6) } else { rng.random_range(1..80) },
            layers: rng.random_range(1..4),
            outputs: rng.random_range(1..20),
            skip: rng.random(),
        };

        let (steps, batch) = (rng.random_range(1..10), rng.random_range(1..20));
        let bound = 1.0 / (spec.hidden as f64).sqrt();

        Case {
            steps,
            batch,
            params: DVector::from_vec(uniform(Network::new(spec).layout().len(), bound, rng)),
            inputs: uniform(spec.inputs * steps * batch, 2.0, rng),
            starts: (0..batch).map(|_| uniform(spec.state_len(), 0.8, rng)).collect(),
            slopes: uniform(spec.outputs * steps * batch, 1.0 / (steps * batch) as f64, rng),
            spec,
        }
    }

    /// By the kernels.
    fn fused(&self, engine: &KernelEngine) -> Run {
        let (mut tape, params) = (engine.tape(), engine.pack(&self.params));
        // What an earlier window leaves behind must not matter.
        tape.begin(self.steps + 1, self.batch + 3);
        (0..self.steps).for_each(|t| tape.input_mut(t, self.batch + 2).fill(f32::NAN));
        engine.forward(&params, &mut tape);
        tape.begin(self.steps, self.batch);
        let columns = || (0..self.steps).flat_map(|t| (0..self.batch).map(move |b| (t, b)));
        for ((t, b), input) in columns().zip(self.inputs.chunks_exact(self.spec.inputs)) {
            tape.input_mut(t, b).copy_from_slice(input);
        }
        self.starts.iter().enumerate().for_each(|(b, start)| tape.set_start(b, start));
        engine.forward(&params, &mut tape);
        for ((t, b), slopes) in columns().zip(self.slopes.chunks_exact(self.spec.outputs)) {
            tape.output_and_slope_mut(t, b).1.copy_from_slice(slopes);
        }
        let mut gradient = AlignedFloats::zeros(engine.len());
        engine.prepare_backward(&params, &mut tape);
        engine.backward(&params, &mut tape, &mut gradient);
        let mut states = vec![vec![0.0; self.spec.state_len()]; self.batch];
        for (b, state) in states.iter_mut().enumerate() {
            tape.end(b, state);
        }

        Run {
            outputs: columns().flat_map(|(t, b)| tape.output(t, b).to_vec()).collect(),
            states,
            gradient: engine.unpack(&gradient),
        }
    }

    /// By the plain network in f64.
    fn plain(&self) -> (DMatrix<f64>, NetworkState<f64>, DVector<f64>) {
        let double = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let network = Network::new(self.spec);
        let params = DVector::from_vec(double(self.params.as_slice()));
        let columns = self.steps * self.batch;
        let inputs = DMatrix::from_vec(self.spec.inputs, columns, double(&self.inputs));
        let starts: Vec<Vec<f64>> = self.starts.iter().map(|start| double(start)).collect();
        let starts: Vec<&[f64]> = starts.iter().map(Vec::as_slice).collect();
        let tape = network.forward(&params, inputs, &NetworkState::from_columns(&self.spec, &starts));
        let slopes = DMatrix::from_vec(self.spec.outputs, columns, double(&self.slopes));
        let gradient = network.backward(&params, &tape, &slopes);

        (tape.outputs().clone(), tape.end(), gradient)
    }
}

/// |a − b| against the size of b.
fn off(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>();
    (squares / b.iter().map(|b| b * b).sum::<f64>().max(1e-12)).sqrt()
}

#[test]
fn a_thousand_random_shapes_are_the_references() {
    let mut worst = [0.0f64; 3];
    for seed in 0..1000 {
        let case = Case::random(seed);
        let run = case.fused(&KernelEngine::new(case.spec));
        let (outputs, end, gradient) = case.plain();
        let states: Vec<f64> = (0..case.batch).flat_map(|b| end.column(b)).collect();

        let errors = [
            off(&run.outputs, outputs.as_slice()),
            off(&run.states.concat(), &states),
            off(run.gradient.as_slice(), gradient.as_slice()),
        ];

        for (worst, error) in worst.iter_mut().zip(errors) {
            assert!(error < 1e-5, "seed {seed}, {:?} {}x{}: {errors:?}", case.spec, case.steps, case.batch);
            *worst = worst.max(error);
        }
    }

    println!("largest relative errors of outputs, states, gradients: {worst:?}");
}

/// Small enough for an interpreter that watches every access: `cargo +nightly miri test
/// kernel::tests::the_smallest`.
#[test]
fn the_smallest_networks_are_the_references() {
    for (cell, activation) in KINDS {
        let spec = NetworkSpec { cell, activation, inputs: 1, hidden: 1, layers: 2, outputs: 1, skip: true };
        let len = Network::new(spec).layout().len();
        let case = Case {
            spec,
            steps: 2,
            batch: 1,
            params: DVector::from_fn(len, |at, _| 0.1 * (at % 7) as f32 - 0.2),
            inputs: vec![0.5, -1.0],
            starts: vec![vec![0.25; spec.state_len()]],
            slopes: vec![1.0, -0.5],
        };
        let run = case.fused(&KernelEngine::new(spec));
        let (outputs, _, gradient) = case.plain();
        assert!(off(&run.outputs, outputs.as_slice()) < 1e-6, "{cell:?}");
        assert!(off(run.gradient.as_slice(), gradient.as_slice()) < 1e-6, "{cell:?}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let paths = InstructionSet::available();
    assert!(paths.contains(&InstructionSet::Portable) && paths.contains(&InstructionSet::Best));

    for seed in 5000..5080 {
        let case = Case::random(seed);
        let runs: Vec<Run> = paths
            .iter()
            .filter_map(|path| KernelEngine::with_instructions(case.spec, *path))
            .map(|e| case.fused(&e))
            .collect();
        for (run, path) in runs.iter().zip(&paths) {
            assert!(*run == runs[0], "seed {seed}: {path:?} differs for {:?}", case.spec);
        }
    }
}

/// A series' numbers do not depend on the series beside it, nor on its place among them.
#[test]
fn a_series_is_alone_in_its_column() {
    for seed in 7000..7030 {
        let case = Case::random(seed);
        let engine = KernelEngine::new(case.spec);
        let all = case.fused(&engine);

        for b in 0..case.batch {
            let of = |values: &[f32], len: usize| -> Vec<f32> {
                values.chunks_exact(len).skip(b).step_by(case.batch).flatten().copied().collect()
            };
            let alone = Case {
                batch: 1,
                inputs: of(&case.inputs, case.spec.inputs),
                starts: vec![case.starts[b].clone()],
                slopes: of(&case.slopes, case.spec.outputs),
                params: case.params.clone(),
                ..case
            };

            let run = alone.fused(&engine);
            assert_eq!(run.outputs, of(&all.outputs, case.spec.outputs), "seed {seed}");
            assert_eq!(run.states[0], all.states[b], "seed {seed}");
        }
    }
}

const RULES: [OptimizerRule; 5] = [
    OptimizerRule::Sgd { momentum: 0.0 },
    OptimizerRule::Sgd { momentum: 0.9 },
    OptimizerRule::Adam { betas: BETAS },
    OptimizerRule::AdamW { betas: BETAS, weight_decay: 0.05 },
    OptimizerRule::RmsProp { alpha: 0.99 },
];

/// Fifty updates: parameters by the kernels on each instruction set, and by the plain optimiser in
/// f64.
#[test]
fn updates_are_the_plain_optimisers() {
    let spec = NetworkSpec { hidden: 20, ..Case::random(1).spec };
    for rule in RULES {
        let engines: Vec<KernelEngine> = InstructionSet::available()
            .into_iter()
            .filter_map(|path| KernelEngine::with_instructions(spec, path))
            .collect();
        let rng = &mut Pcg64::seed_from_u64(3);
        let len = engines[0].len();
        let start = uniform(len, 1.0, rng);

        let mut plain = DVector::from_iterator(len, start.iter().map(|x| f64::from(*x)));
        let mut plain_moments = optimizer::OptimizerMoments::<f64>::new(len);
        let mut fits = vec![
            (
                AlignedFloats::from_slice(&start),
                AlignedFloats::from_slice(&start),
                KernelMoments::new(len)
            );
            engines.len()
        ];

        for _ in 0..50 {
            let gradient = AlignedFloats::from_slice(&uniform(len, 0.2, rng));
            let mut clipped = DVector::from_iterator(len, gradient.iter().map(|x| f64::from(*x)));
            let norm = optimizer::clip_global_norm(&mut clipped, 1.0);
            plain_moments.step(rule, 0.01, &mut plain, &clipped);

            for (engine, (params, ema, moments)) in engines.iter().zip(&mut fits) {
                let found = engine.norm(&gradient);
                assert!((f64::from(found) / norm - 1.0).abs() < 1e-6);
                let (p, e, m) = (params.clone(), ema.clone(), moments.clone());
                let finite = engine.update(KernelUpdate {
                    rule,
                    lr: 0.01,
                    scale: 1.0 / found,
                    ema_decay: 0.9,
                    gradient: &gradient,
                    params: BeforeAfter { before: &p, after: params },
                    ema: BeforeAfter { before: &e, after: ema },
                    moments: BeforeAfter { before: &m, after: moments },
                });
                assert!(finite);
            }
        }

        assert!(fits.iter().all(|fit| *fit == fits[0]), "{rule:?}: bits differ between instruction sets");
        let error = off(&fits[0].0, plain.as_slice());
        assert!(error < 1e-5, "{rule:?}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever a number that is not finite stands, the update says so.
    #[test]
    fn an_update_that_is_not_finite_is_told(at in 0usize..640, rule in 0usize..5, bad in 0usize..3) {
        let spec = NetworkSpec {
            cell: CellKind::Rnn,
            activation: Activation::Tanh,
            inputs: 2,
            hidden: 16,
            layers: 1,
            outputs: 1,
            skip: false,
        };

        let len = 640;
        let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][bad];

        for path in InstructionSet::available() {
            let Some(engine) = KernelEngine::with_instructions(spec, path) else { continue };
            let mut gradient = AlignedFloats::zeros(len);
            let (old, moments) = (AlignedFloats::zeros(len), KernelMoments::new(len));

            let (mut params, mut ema, mut after) = (old.clone(), old.clone(), moments.clone());
            for expected in [true, false] {
                let finite = engine.update(KernelUpdate {
                    rule: RULES[rule],
                    lr: 0.1,
                    scale: 1.0,
                    ema_decay: 0.5,
                    gradient: &gradient,
                    params: BeforeAfter { before: &old, after: &mut params },
                    ema: BeforeAfter { before: &old, after: &mut ema },
                    moments: BeforeAfter { before: &moments, after: &mut after },
                });

                prop_assert_eq!(finite, expected, "{:?}", path);
                gradient[at] = bad;
            }
        }
    }
}
