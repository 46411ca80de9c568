//! A learner at its work: predict, label, learn, for some series at once, on waves.
//! It must not know time.

use tickcast_model::{
    Activation, Backend, CellKind, HUBER_DELTA, Learner, LearnerSettings, LearnerTemplate, LearnerWorkspace,
    Loss, NetworkSpec, Optimizer, SequenceBuffer,
};

/// Rounds after which the waves come again.
const PERIOD: usize = 97;
/// Windows in a full replay pool.
const POOL: usize = 256;

pub struct Online {
    learner: Learner,
    workspace: LearnerWorkspace,
    buffers: Vec<SequenceBuffer>,
    /// Steps from a step to each of its labels.
    lags: Vec<usize>,
    inputs: Vec<Vec<f32>>,
    round: usize,
}

impl Online {
    /// Label `slot` of a step is known `lags[slot]` rounds later.
    fn new(spec: NetworkSpec, settings: LearnerSettings, lags: &[usize], series: usize) -> Online {
        let template = LearnerTemplate::new(spec, settings);
        let learner = Learner::new(&template);
        let wave = |round: usize, k: usize| {
            (std::f32::consts::TAU * (round * (k % 7 + 1)) as f32 / PERIOD as f32).sin()
        };

        Online {
            workspace: template.workspace(),
            buffers: (0..series).map(|_| learner.new_buffer()).collect(),
            lags: lags.to_vec(),
            inputs: (0..PERIOD)
                .map(|round| (0..series * spec.inputs).map(|k| wave(round, k)).collect())
                .collect(),
            round: 0,
            learner,
        }
    }

    /// As the forecaster makes one unless told otherwise, for 24 features and horizons 1, 6 and 24.
    /// Its replay pool is full.
    pub fn of_a_pipeline(series: usize, backend: Backend) -> Online {
        let lags = [1, 6, 24];
        let spec = NetworkSpec { outputs: lags.len(), skip: true, ..spec(CellKind::Gru, 24, 32) };

        let settings = LearnerSettings {
            longest_lag: 24,
            replay: 2,
            loss: Loss::Huber { delta: HUBER_DELTA },
            ..settings(32, backend)
        };

        let mut online = Online::new(spec, settings, &lags, series);
        // A buffer offers a window of 32 steps every 16 rounds once it holds 32 + 24 steps.
        online.rounds(32 + 24 + POOL.div_ceil(series) * 16);
        online
    }

    /// The plainest one: a window of `steps` steps, the label of the newest step, nothing replayed.
    /// Its window is full.
    pub fn plain(cell: CellKind, inputs: usize, hidden: usize, steps: usize, series: usize) -> Online {
        let mut online =
            Online::new(spec(cell, inputs, hidden), settings(steps, Backend::Fused), &[0], series);
        online.rounds(2 * steps);
        online
    }

    fn rounds(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| {
            self.round();
        });
    }

    /// One step of every series. Returns something of what came out.
    pub fn round(&mut self) -> f32 {
        let Online { learner, workspace, buffers, lags, inputs, round } = self;
        let inputs = &inputs[*round % PERIOD];
        let features = inputs.len() / buffers.len();
        let mut buffers: Vec<&mut SequenceBuffer> = buffers.iter_mut().collect();
        let forecast = learner.predict(workspace, &mut buffers, inputs).raw(0)[0];

        for (buffer, input) in buffers.iter_mut().zip(inputs.chunks_exact(features)) {
            for (slot, lag) in lags.iter().enumerate() {
                buffer.label(*lag, slot, input[0]);
            }
        }

        let learned = learner.learn(workspace, &mut buffers);
        *round += 1;
        forecast + learned.map_or(0.0, |learned| learned.loss)
    }
}

fn spec(cell: CellKind, inputs: usize, hidden: usize) -> NetworkSpec {
    NetworkSpec { cell, activation: Activation::Tanh, inputs, hidden, layers: 1, outputs: 1, skip: false }
}

fn settings(bptt: usize, backend: Backend) -> LearnerSettings {
    LearnerSettings {
        bptt,
        longest_lag: 0,
        stride: 1,
        replay: 0,
        loss: Loss::Mse,
        optimizer: Optimizer::adam(1e-3),
        clip: 1.0,
        ema: 0.995,
        seed: 1,
        backend,
    }
}
