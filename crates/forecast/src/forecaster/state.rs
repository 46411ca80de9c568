//! What the forecasters remember, as bytes and back.
//! It must not compute: what goes in comes out, bit for bit.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tickcast_model::{Learner, LearnerState, LearnerTemplate, SequenceBuffer};

use crate::drift::Drift;
use crate::error::{ForecastError, Result};
use crate::layout::ForecasterLayout;
use crate::series::SeriesHistory;
use crate::series_forecaster::SeriesForecaster;
use crate::spec::Scope;

/// A state on its way out. The call makes its bytes, later and on another thread, whatever the
/// forecaster does meanwhile.
pub type FrozenForecaster = Box<dyn FnOnce() -> Result<Vec<u8>> + Send>;

/// What is learned. Series and learners are shared with snapshots that are not written yet. Who
/// changes one takes a copy of its own (`Arc::make_mut`), so that freezing a hundred thousand of
/// them copies pointers.
#[derive(Default)]
pub struct ForecasterState {
    /// In the order in which they first appeared.
    pub series: IndexMap<Arc<str>, Arc<SeriesState>>,
    /// One for all series, or one a series in their order.
    pub learners: Vec<Arc<Learner>>,
    /// What the newest training step did.
    pub newest: NewestStep,
    /// One a horizon, once there was a window.
    pub drifts: Vec<Drift>,
}

/// A series and its place in the network.
#[derive(Clone, Serialize, Deserialize)]
pub struct SeriesState {
    /// Its values.
    pub history: SeriesHistory,
    /// Its experts, mixtures and intervals.
    pub forecaster: SeriesForecaster,
    /// Its window of the network.
    pub buffer: SequenceBuffer,
    /// Windows it was forecast from.
    pub step: u64,
    /// The number of the newest window that it was observed in.
    pub seen: i64,
}

/// Of the newest training step.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct NewestStep {
    /// Before the update.
    pub loss: f32,
    /// Before clipping.
    pub gradient_norm: f32,
}

/// The state as it is read: what is learned, without what the spec defines.
#[derive(Deserialize)]
struct ForecasterImage {
    series: IndexMap<String, SeriesState>,
    learners: Vec<LearnerState>,
    newest: NewestStep,
    drifts: Vec<Drift>,
}

/// The index of a series' learner.
pub fn learner_of(series_idx: usize, scope: Scope) -> usize {
    match scope {
        Scope::Shared => 0,
        Scope::Series => series_idx,
    }
}

impl ForecasterState {
    /// Keeps the series that stay; with the others networks of their own go.
    pub fn keep(&mut self, stays: &[bool], scope: Scope) {
        let mut kept = stays.iter();
        self.series.retain(|_, _| kept.next().copied().unwrap_or(true));
        if scope == Scope::Series {
            let mut kept = stays.iter();
            self.learners.retain(|_| kept.next().copied().unwrap_or(true));
        }
    }

    /// The state as of now.
    pub fn freeze(&self) -> FrozenForecaster {
        let share = |(name, series): (&Arc<str>, &Arc<SeriesState>)| (Arc::clone(name), Arc::clone(series));
        let series: Vec<_> = self.series.iter().map(share).collect();
        let (learners, newest, drifts) = (self.learners.clone(), self.newest, self.drifts.clone());

        Box::new(move || {
            write(series, &learners, newest, &drifts)
                .map_err(ForecastError::because("its memory cannot be encoded"))
        })
    }

    /// The state that these bytes hold. Errors: when they are not of these networks and experts.
    pub fn read(
        bytes: &[u8],
        template: &Arc<LearnerTemplate>,
        layout: &ForecasterLayout,
        scope: Scope,
    ) -> Result<ForecasterState> {
        const OTHER: &str = "this state is of another model";
        let ForecasterImage { mut series, learners, newest, drifts } =
            postcard::from_bytes(bytes).map_err(ForecastError::because("its memory cannot be decoded"))?;
        let learners = learners.into_iter().map(|state| {
            Ok(Arc::new(Learner::resume(template, state).map_err(ForecastError::because(OTHER))?))
        });
        let learners = learners.collect::<Result<Vec<_>>>()?;

        let fits = |(index, series): (usize, &SeriesState)| {
            let learner = learners.get(learner_of(index, scope));
            series.forecaster.fits(layout) && learner.is_some_and(|learner| learner.fits(&series.buffer))
        };
        if !series.values().enumerate().all(fits) {
            return Err(ForecastError::new(OTHER));
        }

        series.values_mut().try_for_each(|series| series.forecaster.revive(layout))?;
        let series = series.into_iter().map(|(name, series)| (name.into(), Arc::new(series))).collect();
        Ok(ForecasterState { series, learners, newest, drifts })
    }
}

/// The bytes of a `ForecasterImage`. Every series is let go once it is written: the forecaster need
/// not copy it any more.
fn write(
    all: Vec<(Arc<str>, Arc<SeriesState>)>,
    learners: &[Arc<Learner>],
    newest: NewestStep,
    drifts: &[Drift],
) -> postcard::Result<Vec<u8>> {
    let count = all.len();
    let mut bytes = postcard::to_stdvec(&count)?;
    // The forecaster has a copy of these already. To free them while it allocates more would make
    // both wait.
    let mut replaced = Vec::new();
    for (index, (name, series)) in all.into_iter().enumerate() {
        bytes = postcard::to_extend(&(&*name, &*series), bytes)?;
        if index == 0 {
            // The others are about as long.
            bytes.reserve(bytes.len() * count);
        }
        if Arc::strong_count(&series) == 1 {
            replaced.push(series);
        }
    }

    let learners: Vec<&LearnerState> = learners.iter().map(|learner| learner.state()).collect();
    postcard::to_extend(&(learners, newest, drifts), bytes)
}
