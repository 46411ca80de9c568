//! Offline training: a network learns whole histories again and again until it gets no better on
//! their tails.
//! It must not know files, features or the clock: it sees sequences of inputs and labels.
//!
//! ```text
//! initialise ─▶ an epoch: windows ─▶ forward, loss ─▶ BPTT ─▶ clip, update ─▶ held-out loss
//!                  ▲                                                              │
//!                  └──────────────────── patience left ───────────────────────────┴─▶ the best
//! ```

mod epoch;
mod pass;
mod report;
mod sequence;
mod settings;
mod step;
mod task;

use std::ops::ControlFlow;

use nalgebra::DVector;
use rand_pcg::Pcg64;

use self::epoch::Lesson;
pub use self::report::{EpochReport, ProgressFn, TrainedNetwork, TrainingEnd, TrainingProgress};
pub use self::sequence::TrainingSequence;
pub use self::settings::{TrainingMode, TrainingSettings};
use self::step::Stepper;
use self::task::TrainingTask;
use super::error::Result;
use super::spec::NetworkSpec;

/// Trains a fresh network of `spec` on `sequences`, at most one a series, and tells `progress` how
/// far it is. The same arguments give the same bits.
///
/// # Errors
/// If there is nothing to train on or to hold out, if the tape of a full batch would be too large,
/// or if no step can be taken because none is finite.
///
/// # Panics
///
/// If `training` or `sequences` have other shapes than `spec`.
pub fn train(
    spec: NetworkSpec,
    training: &TrainingSettings,
    sequences: &[TrainingSequence],
    progress: &mut ProgressFn<'_>,
) -> Result<TrainedNetwork> {
    let task = TrainingTask::new(spec, training, sequences)?;
    let mut rng = Pcg64::new(training.seed.into(), 2);
    let initial = task.engine.network().initial_params(training.seed);
    let mut stepper = Stepper::new(task.engine.pack(&initial), training.optimizer, training.clip);
    let mut tape = task.engine.tape();
    let mut survey = task.survey(&mut tape, stepper.params(), &task.rounds(training, &mut rng));
    let mut trained = untrained(&task, initial, survey.held_out, stepper.lr());

    let mut go_on = progress(TrainingProgress::Epoch(&trained.history[0]));
    for number in 1..=training.epochs {
        if go_on.is_break() {
            break;
        }

        let lesson = Lesson { task: &task, training, stepper: &mut stepper, tape: &mut tape };
        let taught = lesson.teach(survey.windows, &mut rng, progress)?;
        let ControlFlow::Continue(train) = taught else {
            go_on = ControlFlow::Break(());
            break;
        };

        survey = task.survey(&mut tape, stepper.params(), &task.rounds(training, &mut rng));
        // A loss that is NaN is not below any other.
        let best = survey.held_out < trained.history[trained.best].held_out;
        if best {
            (trained.params, trained.best) = (task.engine.unpack(stepper.params()), number);
        }

        let epoch = EpochReport { number, train, held_out: survey.held_out, best, lr: stepper.lr() };
        go_on = progress(TrainingProgress::Epoch(&epoch));
        trained.history.push(epoch);

        if number - trained.best >= training.patience.max(1) {
            trained.ended = TrainingEnd::Converged;
            break;
        }
    }

    if go_on.is_break() {
        trained.ended = TrainingEnd::Stopped;
    }
    trained.skipped = stepper.guard().skipped();
    let taught = trained.history.iter().any(|epoch| epoch.train.is_some());

    if trained.skipped > 0 && !taught { Err(stepper.stuck()) } else { Ok(trained) }
}

/// What stands before the first epoch: the initial weights, whose outputs are zero.
fn untrained(task: &TrainingTask<'_>, params: DVector<f32>, held_out: f64, lr: f64) -> TrainedNetwork {
    TrainedNetwork {
        params,
        history: vec![EpochReport { number: 0, train: None, held_out, best: true, lr }],
        best: 0,
        naive: task.naive(),
        ended: TrainingEnd::Epochs,
        split: task.split.at,
        skipped: 0,
    }
}

#[cfg(test)]
mod tests;
