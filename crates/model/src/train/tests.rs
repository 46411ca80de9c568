//! Holds training to what it promises: it learns, it does not peek, it ends, it repeats itself.

use super::*;
use crate::engine::Backend;
use crate::loss::Loss;
use crate::optimizer::{LrSchedule, Optimizer, OptimizerMoments, OptimizerRule};
use crate::spec::{Activation, CellKind};
use crate::{Network, NetworkState};
use nalgebra::DMatrix;
use rand::Rng;

const SPEC: NetworkSpec = NetworkSpec {
    cell: CellKind::Gru,
    activation: Activation::Tanh,
    inputs: 1,
    hidden: 8,
    layers: 1,
    outputs: 1,
    skip: true,
};
const HUBER: Loss = Loss::Huber { delta: 1.5 };

fn training(mode: TrainingMode) -> TrainingSettings {
    TrainingSettings {
        mode,
        bptt: 16,
        lags: vec![1],
        epochs: 30,
        patience: 30,
        holdout: 0.2,
        loss: HUBER,
        optimizer: Optimizer::adam(1e-2),
        clip: 1.0,
        seed: 1,
        backend: Backend::Fused,
    }
}

fn noise(rng: &mut Pcg64) -> f32 {
    // The sum of twelve uniforms less six: variance 1.
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// Histories of `values` in which a step sees its value, and its label is the step to the next.
fn next_steps(values: &[f32]) -> TrainingSequence {
    let mut sequence = TrainingSequence::new(1, 1);
    for (step, value) in values.iter().enumerate() {
        sequence.push(step as i64, &[*value]);
        if let Some(next) = values.get(step + 1) {
            sequence.label(step, 0, next - value);
        }
    }
    sequence
}

/// sin with a period of 20 steps and noise of a tenth: the values before tell the phase, one value
/// does not.
fn sine(count: usize, steps: usize) -> Vec<TrainingSequence> {
    let mut rng = Pcg64::new(5, 1);
    let value = |step: usize, shift: f32, rng: &mut Pcg64| {
        libm::sinf(std::f32::consts::TAU * (step as f32 / 20.0 + shift)) + 0.1 * noise(rng)
    };
    let series = |at: usize, rng: &mut Pcg64| {
        next_steps(&(0..steps).map(|step| value(step, at as f32 / 7.0, rng)).collect::<Vec<f32>>())
    };
    (0..count).map(|at| series(at, &mut rng)).collect()
}

/// x_t = 1.2 x_{t−1} − 0.8 x_{t−2} + e_t, scaled to about 1.
fn ar2(count: usize, steps: usize) -> Vec<TrainingSequence> {
    let mut rng = Pcg64::new(6, 1);
    let series = |rng: &mut Pcg64| {
        let mut x = vec![0.0f32, 0.0];
        for step in 2..steps {
            x.push(1.2 * x[step - 1] - 0.8 * x[step - 2] + noise(rng) / 2.0);
        }
        next_steps(&x)
    };
    (0..count).map(|_| series(&mut rng)).collect()
}

fn quietly(training: &TrainingSettings, sequences: &[TrainingSequence]) -> TrainedNetwork {
    train(SPEC, training, sequences, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The losses of every epoch, to the bit.
fn losses(trained: &TrainedNetwork) -> Vec<(Option<u64>, u64)> {
    trained.history.iter().map(|epoch| (epoch.train.map(f64::to_bits), epoch.held_out.to_bits())).collect()
}

#[test]
fn every_mode_learns_a_noisy_sine_and_an_ar2() {
    // Of the naive loss: what the truth and the noise leave is a tenth for the sine, a third for
    // the AR(2).
    for (data, bound) in [(sine(3, 400), 0.35), (ar2(3, 400), 0.6)] {
        for (mode, epochs) in
            [(TrainingMode::Online, 30), (TrainingMode::MiniBatch(8), 30), (TrainingMode::FullBatch, 200)]
        {
            let trained = quietly(&TrainingSettings { epochs, ..training(mode) }, &data);
            let held_out = trained.history[trained.best].held_out;
            assert_eq!(trained.history[0].held_out, trained.naive, "untrained is naive");
            assert!(held_out < bound * trained.naive, "{mode:?}: {held_out} of {}", trained.naive);
            assert_eq!(trained.skipped, 0);
        }
    }
}

#[test]
fn the_full_batch_is_full_bptt() {
    let data = ar2(2, 60);
    let training =
        TrainingSettings { epochs: 5, optimizer: Optimizer::adam(1e-3), ..training(TrainingMode::FullBatch) };
    let trained = quietly(&training, &data);
    assert_eq!((trained.best, trained.split, trained.ended), (5, 48, TrainingEnd::Epochs));

    let network = Network::new(SPEC);

    let mut params: DVector<f32> = network.initial_params(training.seed);
    let mut adam = OptimizerMoments::new(params.len());
    for _ in 0..5 {
        let mut gradient = DVector::zeros(params.len());
        for sequence in &data {
            let inputs = DMatrix::from_vec(1, 48, sequence.inputs(0..48).concat());
            let tape = network.forward(&params, inputs, &NetworkState::zeros(&SPEC, 1));
            // The truth of step 47 is at 48, which is held out: 47 labels a sequence.
            let slope = |step: usize| {
                let (_, value) = sequence.labels(step).next().unwrap();
                (tape.outputs()[step] - value).clamp(-1.5, 1.5) / 94.0
            };
            let slopes = DMatrix::from_fn(1, 48, |_, step| if step < 47 { slope(step) } else { 0.0 });
            gradient += network.backward(&params, &tape, &slopes);
        }

        crate::optimizer::clip_global_norm(&mut gradient, 1.0);
        adam.step(OptimizerRule::Adam { betas: crate::BETAS }, 1e-3, &mut params, &gradient);
    }

    assert!((&params - &trained.params).amax() < 1e-5, "{}", (&params - &trained.params).amax());
}

#[test]
fn truths_of_the_tail_never_move_the_weights() {
    let lagged = |spoil: i64| {
        let mut sequences = Vec::new();
        for series in ar2(2, 100) {
            let mut sequence = TrainingSequence::new(1, 1);
            for (step, input) in series.inputs(0..100).iter().enumerate() {
                sequence.push(step as i64, input);
                // The truth comes four steps later: step 75 is the last with a truth before 80.
                let value = if step as i64 >= spoil { 1000.0 } else { input[0] };
                sequence.label(step, 0, value);
            }
            sequences.push(sequence);
        }

        sequences
    };

    for mode in [TrainingMode::Online, TrainingMode::MiniBatch(3), TrainingMode::FullBatch] {
        let training = TrainingSettings { lags: vec![4], epochs: 4, ..training(mode) };
        let course = |spoil: i64| -> Vec<Option<f64>> {
            let trained = quietly(&training, &lagged(spoil));
            assert_eq!(trained.split, 80);
            trained.history.iter().map(|epoch| epoch.train).collect()
        };
        assert_eq!(course(i64::MAX), course(76), "{mode:?}: a truth of the tail was learned");
        assert_ne!(course(i64::MAX), course(75), "{mode:?}: the last truth before it was not");
    }
}

#[test]
fn patience_ends_it_with_the_best_weights() {
    // Nothing can be learned of noise: the tail gets worse while the past is learned by heart.
    let mut rng = Pcg64::new(9, 1);
    let mut sequence = TrainingSequence::new(1, 1);
    for step in 0..200 {
        sequence.push(step, &[noise(&mut rng)]);
        sequence.label(step as usize, 0, noise(&mut rng));
    }

    let training = TrainingSettings { patience: 3, epochs: 100, ..training(TrainingMode::MiniBatch(4)) };
    let trained = quietly(&training, std::slice::from_ref(&sequence));
    assert_eq!(trained.ended, TrainingEnd::Converged);
    assert_eq!(trained.history.len(), trained.best + 3 + 1);

    let lowest = trained.history.iter().map(|epoch| epoch.held_out).fold(f64::INFINITY, f64::min);
    assert_eq!(trained.history[trained.best].held_out, lowest);
    // The weights are of that epoch: a shorter training ends with them.
    let shorter = quietly(&TrainingSettings { epochs: trained.best, ..training }, &[sequence]);
    assert_eq!(shorter.params, trained.params);
}

#[test]
fn the_watch_can_stop_it_within_an_epoch() {
    let mut updates = 0;
    let trained = train(SPEC, &training(TrainingMode::MiniBatch(4)), &sine(2, 200), &mut |progress| {
        updates += usize::from(matches!(progress, TrainingProgress::Updates { .. }));
        if updates < 15 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .unwrap();
    // 160 steps of two series in windows of 16 are some 21 windows, 6 updates an epoch.
    assert_eq!((trained.ended, trained.history.len(), updates), (TrainingEnd::Stopped, 3, 15));
}

#[test]
fn both_backends_train_to_the_same_losses() {
    let sequences = sine(3, 240);
    for mode in [TrainingMode::Online, TrainingMode::MiniBatch(8), TrainingMode::FullBatch] {
        let by = |backend| {
            let training = TrainingSettings { epochs: 10, backend, ..training(mode) };
            quietly(&training, &sequences)
        };
        let [fused, plain] = Backend::ALL.map(by);
        assert_eq!((fused.best, fused.history.len()), (plain.best, plain.history.len()), "{mode:?}");
        for (a, b) in fused.history.iter().zip(&plain.history) {
            assert!((a.held_out / b.held_out - 1.0).abs() < 1e-4, "{mode:?}: {a:?} {b:?}");
        }
        assert_ne!(fused.params, plain.params, "two ways");
    }
}

#[test]
fn the_same_arguments_give_the_same_bits() {
    for mode in [TrainingMode::Online, TrainingMode::MiniBatch(5), TrainingMode::FullBatch] {
        let training = TrainingSettings { epochs: 3, ..training(mode) };
        let data = [sine(2, 120), ar2(1, 90)].concat();
        let (once, again) = (quietly(&training, &data), quietly(&training, &data));
        assert_eq!((losses(&once), &once.params), (losses(&again), &again.params));
        let other = quietly(&TrainingSettings { seed: 2, ..training }, &data);
        assert_ne!(losses(&once), losses(&other));
    }
}

#[test]
fn what_cannot_be_trained_says_why() {
    let refused = |training: &TrainingSettings, sequences: &[TrainingSequence]| {
        train(SPEC, training, sequences, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let usual = training(TrainingMode::MiniBatch(8));
    assert!(refused(&usual, &[]).contains("no history"));
    assert!(
        refused(&TrainingSettings { lags: vec![24], ..usual.clone() }, &ar2(1, 20))
            .contains("24 steps ahead")
    );
    assert!(refused(&TrainingSettings { holdout: 1.0, ..usual }, &ar2(1, 20)).contains("between 0 and 1"));

    let mut long = TrainingSequence::new(1, 1);
    for step in 0..400_000 {
        long.push(step, &[0.0]);
        long.label(step as usize, 0, 0.0);
    }

    let many = vec![long; 10];
    assert!(refused(&training(TrainingMode::FullBatch), &many).contains("use mini_batch"));
}

#[test]
fn steps_that_are_not_finite_are_skipped_and_end_it_if_there_are_no_others() {
    let mut data = sine(1, 200);
    // Its square is infinite: the windows with it are passed over, the others are learned.
    data[0].label(40, 0, 1e30);
    let usual = TrainingSettings { loss: Loss::Mse, epochs: 3, ..training(TrainingMode::MiniBatch(1)) };
    let trained = quietly(&usual, &data);
    assert_eq!(trained.skipped, 3);
    assert!(trained.params.iter().all(|value| value.is_finite()));
    assert!(trained.history[trained.best].held_out < trained.naive);

    let mad =
        Optimizer { rule: OptimizerRule::Sgd { momentum: 0.0 }, lr: 1e39, schedule: LrSchedule::Constant };
    let mad = TrainingSettings { optimizer: mad, clip: f32::MAX, ..usual };
    let error = train(SPEC, &mad, &data, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("gets nowhere"), "{error}");
    let error = train(SPEC, &TrainingSettings { mode: TrainingMode::FullBatch, ..mad }, &data, &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(error.unwrap_err().to_string().contains("gets nowhere"));
}
