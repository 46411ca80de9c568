//! What the forecasters remember, as bytes and back.
//! It must not compute: what goes in comes out, bit for bit.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tickcast_model::{Learner, LearnerState, LearnerTemplate, SequenceBuffer};

use crate::drift::Drift;
use crate::error::{ForecastError, Result};
use crate::series::SeriesHistory;
use crate::series_forecaster::{ForecasterLayout, SeriesForecaster};
use crate::spec::Scope;

/// A state on its way out: the call makes its bytes, later and on another thread, whatever the forecaster does meanwhile.
pub type FrozenForecaster = Box<dyn FnOnce() -> Result<Vec<u8>> + Send>;

/// What is learned. Series and learners are shared with snapshots that are not written yet; who changes one takes a copy
/// of its own (`Arc::make_mut`), so that freezing a hundred thousand of them copies pointers.
#[derive(Default)]
pub struct ForecasterState {
    /// In the order in which they first appeared.
    pub series: IndexMap<Arc<str>, Arc<SeriesState>>,
    /// One for all series, or one a series in their order.
    pub learners: Vec<Arc<Learner>>,
    pub newest: NewestStep,
    /// One a horizon, once there was a window.
    pub drifts: Vec<Drift>,
}

/// A series and its place in the network.
#[derive(Clone, Serialize, Deserialize)]
pub struct SeriesState {
    pub series: SeriesHistory,
    pub bank: SeriesForecaster,
    pub track: SequenceBuffer,
    /// Windows it was forecast from.
    pub step: u64,
}

/// Of the newest training step.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct NewestStep {
    pub loss: f32,
    pub gradient_norm: f32,
}

/// The state as it is read: what is learned, without what the plan says.
#[derive(Deserialize)]
struct ForecasterImage {
    series: IndexMap<String, SeriesState>,
    memories: Vec<LearnerState>,
    newest: NewestStep,
    drifts: Vec<Drift>,
}

/// The learner of a series.
pub fn learner_of(member: usize, scope: Scope) -> usize {
    match scope {
        Scope::Shared => 0,
        Scope::Series => member,
    }
}

impl ForecasterState {
    pub fn freeze(&self) -> FrozenForecaster {
        let share = |(name, member): (&Arc<str>, &Arc<SeriesState>)| (Arc::clone(name), Arc::clone(member));
        let series: Vec<_> = self.series.iter().map(share).collect();
        let (learners, newest, drifts) = (self.learners.clone(), self.newest, self.drifts.clone());
        Box::new(move || {
            write(series, &learners, (newest, drifts))
                .map_err(ForecastError::because("its memory cannot be encoded"))
        })
    }

    /// Errors: `ForecasterState`, when the bytes are not of these networks.
    pub fn read(
        bytes: &[u8],
        recipe: &Arc<LearnerTemplate>,
        kit: &ForecasterLayout,
        scope: Scope,
    ) -> Result<ForecasterState> {
        const OTHER: &str = "this state is of another model";
        let ForecasterImage { series, memories, newest, drifts } =
            postcard::from_bytes(bytes).map_err(ForecastError::because("its memory cannot be decoded"))?;
        let learners = memories.into_iter().map(|memory| {
            Ok(Arc::new(Learner::resume(recipe, memory).map_err(ForecastError::because(OTHER))?))
        });
        let learners = learners.collect::<Result<Vec<_>>>()?;
        let fits = |(at, member): (usize, &SeriesState)| {
            member.bank.fits(kit)
                && learners.get(learner_of(at, scope)).is_some_and(|learner| learner.fits(&member.track))
        };
        if !series.values().enumerate().all(fits) {
            return Err(ForecastError::new(OTHER));
        }
        let series = series.into_iter().map(|(name, member)| (name.into(), Arc::new(member))).collect();
        Ok(ForecasterState { series, learners, newest, drifts })
    }
}

/// The bytes of an `ForecasterImage`. Every series is let go once it is written: the operator need not copy it any more.
fn write(
    series: Vec<(Arc<str>, Arc<SeriesState>)>,
    learners: &[Arc<Learner>],
    (newest, drifts): (NewestStep, Vec<Drift>),
) -> postcard::Result<Vec<u8>> {
    let count = series.len();
    let mut bytes = postcard::to_stdvec(&count)?;
    // The operator has a copy of these already. To give memory back while it asks for more would make both wait.
    let mut replaced = Vec::new();
    for (at, (name, member)) in series.into_iter().enumerate() {
        bytes = postcard::to_extend(&(&*name, &*member), bytes)?;
        if at == 0 {
            // The others are about as long.
            bytes.reserve(bytes.len() * count);
        }
        if Arc::strong_count(&member) == 1 {
            replaced.push(member);
        }
    }
    let memories: Vec<&LearnerState> = learners.iter().map(|learner| learner.state()).collect();
    postcard::to_extend(&(memories, newest, drifts), bytes)
}
