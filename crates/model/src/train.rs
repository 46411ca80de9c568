//! Offline training: a network learns whole histories again and again until it gets no better on their tails.
//! It must not know files, features or the clock: it sees sequences of inputs and labels.
//!
//! ```text
//! initialise ─▶ ┌ windows ─▶ forward, loss ─▶ BPTT ─▶ clip, update ┐ ─▶ held-out loss ─▶ patience left? ─▶ best weights
//!               └──────────────── an epoch ────────────────────────┘◀──────── yes ───────────┘
//! ```

mod epoch;
mod history;
mod pass;
mod report;
mod sequence;
mod settings;
mod step;

use std::ops::ControlFlow;

use rand_pcg::Pcg64;

use self::epoch::Lesson;
use self::history::History;
pub use self::report::{Ended, Epoch, Progress, Trained, Watch};
pub use self::sequence::Sequence;
pub use self::settings::{Mode, Training};
use self::step::Stepper;
use super::error::Result;
use super::spec::NetworkSpec;

/// Trains a fresh network of `spec` on `sequences` (at most one a series). The same arguments give the same bits.
///
/// # Errors
/// If there is nothing to train on or to hold out, if the tape of a full batch would be too large, or if no step can
/// be taken because none is finite.
pub fn train(
    spec: NetworkSpec,
    training: &Training,
    sequences: &[Sequence],
    watch: &mut Watch<'_>,
) -> Result<Trained> {
    let history = History::new(spec, training, sequences)?;
    let mut rng = Pcg64::new(training.seed.into(), 2);
    let initial = history.network.initial_params(training.seed);
    let mut stepper = Stepper::new(history.engine.pack(&initial), training.optimizer, training.clip);
    let mut tape = history.engine.tape();
    let mut survey = history.survey(&mut tape, stepper.params(), &history.rounds(training, &mut rng));
    let mut trained = Trained {
        params: initial,
        history: vec![Epoch {
            number: 0,
            train: None,
            held_out: survey.held_out,
            best: true,
            lr: stepper.lr(),
        }],
        best: 0,
        naive: history.naive(),
        ended: Ended::Epochs,
        split: history.split.at,
        skipped: 0,
    };
    let mut go_on = watch(Progress::Epoch(&trained.history[0]));
    for number in 1..=training.epochs {
        if go_on.is_break() {
            break;
        }
        let lesson = Lesson { history: &history, training, stepper: &mut stepper, tape: &mut tape };
        let taught = lesson.teach(survey.windows, &mut rng, watch)?;
        let ControlFlow::Continue(train) = taught else {
            go_on = ControlFlow::Break(());
            break;
        };
        survey = history.survey(&mut tape, stepper.params(), &history.rounds(training, &mut rng));
        // A loss that is no number is below none.
        let best = survey.held_out < trained.history[trained.best].held_out;
        if best {
            (trained.params, trained.best) = (history.engine.unpack(stepper.params()), number);
        }
        let epoch = Epoch { number, train, held_out: survey.held_out, best, lr: stepper.lr() };
        go_on = watch(Progress::Epoch(&epoch));
        trained.history.push(epoch);
        if number - trained.best >= training.patience.max(1) {
            trained.ended = Ended::Converged;
            break;
        }
    }
    if go_on.is_break() {
        trained.ended = Ended::Stopped;
    }
    trained.skipped = stepper.guard().skipped();
    let taught = trained.history.iter().any(|epoch| epoch.train.is_some());
    if trained.skipped > 0 && !taught { Err(stepper.stuck()) } else { Ok(trained) }
}

#[cfg(test)]
mod tests;
