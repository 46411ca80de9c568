//! Counts what the learner asks the allocator for: nothing, once its memory is filled.
//! It must not know how the learner works.

use tickcast_model::{
    Activation, Backend, CellKind, Learner, LearnerSettings, LearnerTemplate, Loss, NetworkSpec, Optimizer,
    SequenceBuffer,
};

const SERIES: usize = 8;
const INPUTS: usize = 24;

#[test]
fn a_step_asks_for_no_memory() {
    for (cell, layers, loss) in [
        (CellKind::Gru, 1, Loss::Huber { delta: 1.5 }),
        (CellKind::Lstm, 2, Loss::Pinball { levels: vec![0.05, 0.5, 0.95] }),
        (CellKind::Rnn, 1, Loss::GaussianNll),
    ] {
        let spec = NetworkSpec {
            cell,
            activation: Activation::Tanh,
            inputs: INPUTS,
            hidden: 32,
            layers,
            outputs: 3 * loss.width(),
            skip: true,
        };
        let settings = LearnerSettings {
            bptt: 16,
            longest_lag: 6,
            stride: 1,
            replay: 2,
            loss,
            optimizer: Optimizer::adam(1e-3),
            clip: 1.0,
            ema: 0.995,
            seed: 1,
            backend: Backend::Fused,
        };
        let template = LearnerTemplate::new(spec, settings);
        let (mut learner, mut workspace) = (Learner::new(&template), template.workspace());
        let mut owned: Vec<SequenceBuffer> = (0..SERIES).map(|_| learner.new_buffer()).collect();
        let mut buffers: Vec<&mut SequenceBuffer> = owned.iter_mut().collect();
        let mut inputs = vec![0.0; SERIES * INPUTS];
        let mut step = |number: usize| {
            for (at, input) in inputs.iter_mut().enumerate() {
                *input = ((number * 7 + at * 13) % 29) as f32 / 29.0 - 0.5;
            }
            learner.predict(&mut workspace, &mut buffers, &inputs);
            for buffer in &mut buffers {
                for (slot, lag) in [1, 3, 6].into_iter().enumerate() {
                    buffer.label(lag, slot, ((number + slot) % 5) as f32 - 2.0);
                }
            }
            learner.learn(&mut workspace, &mut buffers)
        };
        // The pool takes in a window a series every half window: 256 of them are there after 256 /
        // 8 * 8 steps.
        for number in 0..400 {
            step(number);
        }
        let mut updates = 0;
        let counted = allocation_counter::measure(|| {
            (400..500).for_each(|number| updates += usize::from(step(number).is_some_and(|l| l.applied)));
        });
        assert_eq!(updates, 100);
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{cell:?}");
    }
}
