//! Holds the learner to what it promises: it learns, it survives bad numbers, it resumes bit for
//! bit.
//! It must not know the inside of the network.

use super::*;
use crate::engine::Backend;
use crate::loss::Loss;
use crate::optimizer::Optimizer;
use crate::spec::{Activation, CellKind, NetworkSpec};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};

fn spec(cell: CellKind) -> NetworkSpec {
    NetworkSpec {
        cell,
        activation: Activation::Tanh,
        inputs: 2,
        hidden: 4,
        layers: 1,
        outputs: 2,
        skip: true,
    }
}

fn settings(lr: f64) -> LearnerSettings {
    LearnerSettings {
        bptt: 8,
        longest_lag: 3,
        stride: 1,
        replay: 2,
        loss: Loss::Huber { delta: 1.5 },
        optimizer: Optimizer::adam(lr),
        clip: 1.0,
        ema: 0.995,
        seed: 9,
        backend: Backend::Fused,
    }
}

/// A learner with memory of its own.
#[derive(Clone)]
struct Alone {
    learner: Learner,
    workspace: LearnerWorkspace,
}

impl Alone {
    fn new(spec: NetworkSpec, settings: LearnerSettings) -> Alone {
        let template = LearnerTemplate::new(spec, settings);
        Alone { learner: Learner::new(&template), workspace: template.workspace() }
    }

    fn predict(&mut self, buffers: &mut [&mut SequenceBuffer], inputs: &[Vec<f32>]) -> LearnerPrediction {
        self.learner.predict(&mut self.workspace, buffers, &inputs.concat()).clone()
    }

    fn learn(&mut self, buffers: &mut [&mut SequenceBuffer]) -> Option<UpdateReport> {
        self.learner.learn(&mut self.workspace, buffers)
    }
}

impl std::ops::Deref for Alone {
    type Target = Learner;

    fn deref(&self) -> &Learner {
        &self.learner
    }
}

fn noise(rng: &mut Pcg64) -> f32 {
    // Twelve uniforms less six: variance 1.
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// Mean squared errors of one-step and six-step forecasts over the last third, divided by naive's.
fn skill_on_a_noisy_sine(cell: CellKind) -> [f32; 2] {
    let spec = NetworkSpec {
        cell,
        activation: Activation::Tanh,
        inputs: 4,
        hidden: 16,
        layers: 1,
        outputs: 2,
        skip: true,
    };

    let settings = LearnerSettings { bptt: 16, longest_lag: 6, ..settings(3e-3) };
    let mut learner = Alone::new(spec, settings);
    let mut rng = Pcg64::seed_from_u64(2);
    let (steps, horizons) = (1500, [1usize, 6]);

    let series: Vec<Vec<f32>> = (0..3)
        .map(|k| {
            let angle = |t: usize| std::f32::consts::TAU * (t + 8 * k) as f32 / 24.0;
            (0..steps).map(|t| angle(t).sin() + 0.1 * noise(&mut rng)).collect()
        })
        .collect();

    let mut buffers: Vec<SequenceBuffer> = series.iter().map(|_| learner.new_buffer()).collect();
    let mut outputs: Vec<LearnerPrediction> = Vec::new();
    let (mut squares, mut naive) = ([0.0f32; 2], [0.0f32; 2]);
    for t in 6..steps {
        let mut buffers: Vec<&mut SequenceBuffer> = buffers.iter_mut().collect();
        let input = |x: &Vec<f32>| vec![x[t], x[t] - x[t - 1], x[t] - x[t - 3], x[t] - x[t - 6]];
        outputs.push(learner.predict(&mut buffers, &series.iter().map(input).collect::<Vec<_>>()));

        for (output, lag) in horizons.into_iter().enumerate().filter(|(_, lag)| t >= 6 + lag) {
            for (k, x) in series.iter().enumerate() {
                let change = x[t] - x[t - lag];
                buffers[k].label(lag, output, change);
                if t > 2 * steps / 3 {
                    squares[output] += (outputs[t - 6 - lag].ema(k)[output] - change).powi(2);
                    naive[output] += change.powi(2);
                }
            }
        }

        learner.learn(&mut buffers);
    }

    [0, 1].map(|output| squares[output] / naive[output])
}

#[test]
fn it_learns_a_noisy_sine() {
    for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
        let [one, six] = skill_on_a_noisy_sine(cell);
        // The label's own noise bounds them below: 0.01 / (0.034 + 0.02) at one step, 0.01 / 1.02
        // at six.
        assert!(one < 0.3 && six < 0.02, "{cell:?}: {one} {six}");
    }
}

#[test]
fn nothing_fresh_nothing_learned() {
    let mut learner = Alone::new(spec(CellKind::Gru), settings(1e-2));
    let mut buffer = learner.new_buffer();
    assert_eq!(learner.learn(&mut [&mut buffer]), None);

    learner.predict(&mut [&mut buffer], &[vec![1.0, 2.0]]);
    assert_eq!(learner.learn(&mut [&mut buffer]), None);

    buffer.label(0, 1, 1.0);
    let learned = learner.learn(&mut [&mut buffer]).unwrap();
    assert!(learned.applied && learned.labels == 1, "{learned:?}");

    // A fresh network says 0: Huber's loss of 1 is a half.
    assert_eq!(learned.loss, 0.5);
    assert_eq!(learner.learn(&mut [&mut buffer]), None);
    assert_eq!(learner.updates(), 1);
    assert!(learner.predict(&mut [], &[]).is_empty());
}

/// At lr = 0 a network keeps saying 0; with every label 1 each mean Huber loss is a half.
#[test]
fn the_replayed_windows_weigh_a_half() {
    let mut learner = Alone::new(spec(CellKind::Gru), settings(0.0));
    let mut buffers: Vec<SequenceBuffer> = (0..3).map(|_| learner.new_buffer()).collect();
    for step in 1..=30 {
        let mut buffers: Vec<&mut SequenceBuffer> = buffers.iter_mut().collect();
        learner.predict(&mut buffers, &vec![vec![1.0, step as f32]; 3]);

        for buffer in &mut buffers {
            buffer.label(1, 0, 1.0);
            buffer.label(3, 1, 1.0);
        }

        let learned = learner.learn(&mut buffers);
        // The first windows are whole after T + h_max = 11 steps, and learned again from the next
        // step on.
        let expected = if step > 11 { 0.75 } else { 0.5 };
        assert!(learned.is_none_or(|l| (l.loss - expected).abs() < 1e-5), "step {step}: {learned:?}");
        assert_eq!(learned.is_some(), step > 1);
    }
}

#[test]
fn bad_numbers_cannot_poison_the_weights() {
    let mut learner = Alone::new(spec(CellKind::Gru), LearnerSettings { loss: Loss::Mse, ..settings(1e-2) });
    let mut buffer = learner.new_buffer();
    let finite = |learner: &Alone| learner.params().iter().all(|value| value.is_finite());

    for input in [[f32::NAN, 1.0], [f32::INFINITY, -1.0], [0.5, 0.5]] {
        let prediction = learner.predict(&mut [&mut buffer], &[input.to_vec()]);
        assert!(prediction.raw.iter().chain(prediction.ema.iter()).all(|value| value.is_finite()));
        assert!(!buffer.label(0, 0, f32::NAN) && buffer.label(0, 0, 1.0));
        assert!(learner.learn(&mut [&mut buffer]).unwrap().applied && finite(&learner));
    }

    let before = learner.params().clone();
    // Its square overflows.
    for bad in 1..=10u64 {
        buffer.label(0, 0, 1e30);
        let learned = learner.learn(&mut [&mut buffer]).unwrap();
        assert!(!learned.applied && learned.rolled_back == bad.is_multiple_of(5), "{bad}: {learned:?}");
        assert!(bad >= 5 || learner.params() == before);
    }

    assert_eq!((learner.guard().skipped(), learner.guard().rollbacks()), (10, 2));
    // The copy was the untrained network.
    assert_eq!(learner.updates(), 0);
    assert_eq!(learner.params(), Alone::new(spec(CellKind::Gru), settings(1e-2)).params());
}

#[test]
fn weights_come_in_only_whole() {
    let mut learner = Alone::new(spec(CellKind::Rnn), settings(1e-2));
    let other = Alone::new(spec(CellKind::Gru), settings(1e-2));
    assert!(learner.learner.import(&other.params()).is_err());
    assert!(Learner::resume(&learner.template, other.state().clone()).is_err());
    let params = learner.params() * 2.0;
    assert!(learner.learner.import(&(params.clone() * f32::NAN)).is_err());
    learner.learner.import(&params).unwrap();
    assert_eq!((learner.params(), learner.ema_params()), (params.clone(), params));
}

/// A learner and its series, with everything that happens to them drawn from a step's number.
#[derive(Clone)]
struct World {
    learner: Alone,
    buffers: Vec<SequenceBuffer>,
}

impl World {
    fn new(cell: CellKind) -> World {
        let learner = Alone::new(spec(cell), settings(1e-2));
        World { buffers: (0..4).map(|_| learner.new_buffer()).collect(), learner }
    }

    /// Predicts for the series in `present`, labels some of them, learns; returns the bits of the
    /// outputs.
    fn step(&mut self, number: u64, present: u8) -> Vec<u32> {
        let mut rng = Pcg64::seed_from_u64(number);
        if present & 16 != 0 {
            self.buffers[0] = self.learner.new_buffer();
        }

        let mut buffers: Vec<&mut SequenceBuffer> = self
            .buffers
            .iter_mut()
            .enumerate()
            .filter_map(|(k, buffer)| (present >> k & 1 == 1).then_some(buffer))
            .collect();

        let inputs: Vec<Vec<f32>> = buffers.iter().map(|_| vec![noise(&mut rng), noise(&mut rng)]).collect();
        let prediction = self.learner.predict(&mut buffers, &inputs);

        for buffer in &mut buffers {
            buffer.label(1, 0, noise(&mut rng));
            buffer.label(3, 1, noise(&mut rng));
        }

        let learned = self.learner.learn(&mut buffers);
        let numbers = prediction.raw.iter().chain(prediction.ema.iter()).copied();
        numbers.chain(learned.map(|l| l.loss)).map(f32::to_bits).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(self.learner.state(), &self.buffers)).unwrap()
    }

    fn restored(&self) -> World {
        let (state, buffers): (LearnerState, Vec<SequenceBuffer>) =
            postcard::from_bytes(&self.bytes()).unwrap();
        let learner = Learner::resume(&self.learner.template, state).unwrap();
        assert!(buffers.iter().all(|buffer| learner.fits(buffer)));
        let workspace = self.learner.template.workspace();
        World { learner: Alone { learner, workspace }, buffers }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_restored_learner_goes_on_bit_for_bit(
        presence in prop::collection::vec(0u8..32, 20..70),
        at in any::<prop::sample::Index>(),
        kind in 0usize..3,
    ) {
        let cut = at.index(presence.len());

        let mut undisturbed = World::new([CellKind::Rnn, CellKind::Lstm, CellKind::Gru][kind]);
        let mut killed = undisturbed.clone();
        for (number, present) in presence.into_iter().enumerate() {
            if number == cut {
                killed = killed.restored();
            }
            let number = number as u64;
            prop_assert_eq!(undisturbed.step(number, present), killed.step(number, present));
        }

        prop_assert_eq!(undisturbed.bytes(), killed.bytes());
    }
}
