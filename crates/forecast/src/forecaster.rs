//! Forecasts of every series of one partition at every horizon, learned from one closed window
//! after the other.
//! It must not reorder: for every window it predicts, scores what came true, then learns.

mod admission;
#[cfg(test)]
mod limit_tests;
mod row;
#[cfg(test)]
mod size_tests;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod weights;

use std::sync::Arc;

use tickcast_model::{
    DVector, Learner, LearnerTemplate, LearnerWorkspace, Loss, SequenceBuffer, UpdateReport,
};

use self::row::Row;
use self::state::{ForecasterState, NewestStep, SeriesState, learner_of};
use crate::collect::CollectedResults;
use crate::drift::Drift;
use crate::error::{ForecastError, Result};
use crate::experts::custom::CustomExpert;
use crate::experts::kind::ExpertKind;
use crate::features::Features;
use crate::layout::ForecasterLayout;
use crate::mean::Mean;
use crate::network::{NetworkOutput, label, template_of};
use crate::spec::{ForecastSpec, Scope};
use crate::window::{ClosedWindow, Forecast, Results, Score, WindowRow};
use crate::window_order::WindowOrder;
use crate::window_times::WindowTimes;

pub use self::state::FrozenForecaster;
pub use self::stats::{ExpertWeight, ForecasterStats};
pub use self::weights::{WeightsKind, meaning};

/// Rows of a window that are forecast together. They are few, so that they stay in the caches. A
/// snapshot that is written out meanwhile, in the same order, gets ahead of the series that change,
/// and they need not be copied.
const ROWS: usize = 64;

/// Forecasts many series at every horizon, and learns from every closed window.
pub struct Forecaster {
    spec: ForecastSpec,
    /// How windows follow each other.
    order: WindowOrder,
    features: Features,
    /// Windows that a series remembers.
    memory: i64,
    layout: ForecasterLayout,
    /// Each horizon's errors in the newest window, in sigmas.
    errors: Vec<Mean>,
    /// Each horizon's and expert's weights in the newest window.
    weights: Vec<Vec<Mean>>,
    template: Arc<LearnerTemplate>,
    /// Where its learners work, one after another.
    workspace: LearnerWorkspace,
    /// What new networks begin with instead of nothing learned.
    initial: Option<DVector<f32>>,
    /// A series' index in the state, by its id; none: not looked up yet. It is made from the state,
    /// and no part of it.
    indices: Vec<Option<usize>>,
    state: ForecasterState,
}

/// What is to be learned from a window whose results are out.
#[must_use]
pub struct WindowLesson(Vec<Row>);

/// What a network works on at once: its rows, and the buffers of their series in the same order.
struct LearnerRows<'a, 'b> {
    rows: &'a [usize],
    buffers: &'a mut [&'b mut SequenceBuffer],
}

impl Forecaster {
    /// A forecaster that knows nothing yet. `order`: how windows follow each other; for windows of
    /// one length, from the Unix epoch on, that is their length in microseconds.
    pub fn new(spec: &ForecastSpec, order: impl Into<WindowOrder>) -> Self {
        Forecaster::of_layout(spec, order.into(), ForecasterLayout::new(spec, Vec::new()))
    }

    /// A forecaster that mixes experts of your own with those that the spec names. They are weighed
    /// after them; their names are part of the state. Errors: when two experts have one name.
    pub fn with_experts(
        spec: &ForecastSpec,
        order: impl Into<WindowOrder>,
        experts: Vec<CustomExpert>,
    ) -> Result<Self> {
        let layout = ForecasterLayout::new(spec, experts);
        let names = &layout.names;
        if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(ForecastError::new(format!("two experts have the name {name}")));
        }
        Ok(Forecaster::of_layout(spec, order.into(), layout))
    }

    fn of_layout(spec: &ForecastSpec, order: WindowOrder, layout: ForecasterLayout) -> Self {
        let template = template_of(spec);

        Forecaster {
            spec: spec.clone(),
            order,
            memory: Features::memory(spec),
            features: Features::new(spec),
            errors: vec![Mean::default(); spec.horizons.len()],
            weights: vec![vec![Mean::default(); layout.names.len()]; spec.horizons.len()],
            layout,
            workspace: template.workspace(),
            template,
            initial: None,
            indices: Vec::new(),
            state: ForecasterState::default(),
        }
    }

    /// What it forecasts.
    pub fn spec(&self) -> &ForecastSpec {
        &self.spec
    }

    /// Takes in a closed window, its rows in the order in which the series first appeared. Scores
    /// and forecasts go to `out`. Errors: when weights that were given to begin with do not fit.
    pub fn close(
        &mut self,
        window: ClosedWindow,
        rows: Vec<WindowRow<'_>>,
        out: &mut dyn Results,
    ) -> Result<()> {
        let lesson = self.forecast(window, rows, out)?;
        self.learn(lesson);
        Ok(())
    }

    /// The first half of [`close`](Forecaster::close), up to the window's last result, for whoever
    /// sends those off before the networks learn. The second is [`learn`](Forecaster::learn).
    /// Errors: as `close`.
    pub fn forecast(
        &mut self,
        window: ClosedWindow,
        rows: Vec<WindowRow<'_>>,
        out: &mut dyn Results,
    ) -> Result<WindowLesson> {
        let rows = self.admit_all(rows)?;
        self.errors.fill(Mean::default());
        self.weights.iter_mut().for_each(|means| means.fill(Mean::default()));

        let times = self.order.times_of(window, &self.spec.horizons);
        for rows in rows.chunks(ROWS) {
            self.observe(rows, window);
            let predicted = self.predict(rows, window);
            self.score(rows, window, &times, out);
            self.issue(rows, &predicted, window, &times, out);
        }
        self.watch_drift();
        Ok(WindowLesson(rows))
    }

    /// The networks learn from the window that was forecast last.
    pub fn learn(&mut self, WindowLesson(rows): WindowLesson) {
        if !self.has_network() {
            return;
        }

        let mut newest = None;
        self.for_each_learner(&rows, |learner, workspace, LearnerRows { buffers, .. }| {
            newest = learner.learn(workspace, buffers).or(newest.take());
        });
        if let Some(UpdateReport { loss, gradient_norm, .. }) = newest {
            self.state.newest = NewestStep { loss, gradient_norm };
        }
    }

    /// [`close`](Forecaster::close) for those who want the results of the window as values.
    pub fn collect(&mut self, window: ClosedWindow, rows: Vec<WindowRow<'_>>) -> Result<CollectedResults> {
        let mut results = CollectedResults::default();
        self.close(window, rows, &mut results)?;
        Ok(results)
    }

    /// The state as of now, to be written out later and elsewhere.
    pub fn freeze(&self) -> FrozenForecaster {
        self.state.freeze()
    }

    /// Goes back to a state. Errors: when the bytes are not of these networks and experts.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.state = ForecasterState::read(state, &self.template, &self.layout, self.spec.model.scope)?;
        self.indices.clear();
        Ok(())
    }

    fn has_network(&self) -> bool {
        self.spec.experts.contains(&ExpertKind::Rnn)
    }

    /// Runs `work` for every learner with the rows and buffers of its series, in order.
    fn for_each_learner(
        &mut self,
        rows: &[Row],
        mut work: impl FnMut(&mut Learner, &mut LearnerWorkspace, LearnerRows<'_, '_>),
    ) {
        let (state, workspace) = (&mut self.state, &mut self.workspace);
        match self.spec.model.scope {
            Scope::Shared => {
                let Some(learner) = state.learners.first_mut().map(Arc::make_mut) else { return };
                let indices = rows.iter().map(|row| row.series_idx);
                let Some((first, last)) = indices.clone().min().zip(indices.clone().max()) else { return };
                let mut row_of = vec![None; last - first + 1];
                indices.enumerate().for_each(|(row, index)| row_of[index - first] = Some(row));

                // Rows are in the order of the series, so the buffers come out in the order of
                // rows.
                let (rows, mut buffers): (Vec<usize>, Vec<&mut SequenceBuffer>) = state.series.as_mut_slice()
                    [first..=last]
                    .values_mut()
                    .zip(&row_of)
                    .filter_map(|(series, row)| row.map(|row| (row, &mut Arc::make_mut(series).buffer)))
                    .unzip();
                work(learner, workspace, LearnerRows { rows: &rows, buffers: &mut buffers });
            }
            Scope::Series => {
                for (index, row) in rows.iter().enumerate() {
                    let learner = Arc::make_mut(&mut state.learners[row.series_idx]);
                    let series = Arc::make_mut(&mut state.series[row.series_idx]);
                    let buffers = &mut [&mut series.buffer];
                    work(learner, workspace, LearnerRows { rows: &[index], buffers });
                }
            }
        }
    }

    /// Takes in the values of the window.
    fn observe(&mut self, rows: &[Row], window: ClosedWindow) {
        for row in rows {
            let series = Arc::make_mut(&mut self.state.series[row.series_idx]);
            series.step += 1;
            let number = self.order.number_of(window, series.step);
            series.history.update(number, &row.values, row.observed);
            if row.observed {
                series.seen = window.number;
            }
        }
    }

    /// What the network sees and predicts of every row.
    fn predict(&mut self, rows: &[Row], window: ClosedWindow) -> Vec<NetworkOutput> {
        let of = |row: &Row| {
            let history = &self.state.series[row.series_idx].history;
            NetworkOutput::none(self.features.of(history, window.start), self.spec.horizons.len())
        };
        let mut predicted: Vec<NetworkOutput> = rows.iter().map(of).collect();
        if !self.has_network() {
            return predicted;
        }

        let (loss, levels) = (self.spec.model.loss.clone(), self.spec.levels.clone());
        self.for_each_learner(rows, |learner, workspace, LearnerRows { rows, buffers }| {
            let inputs: Vec<f32> = rows.iter().flat_map(|&row| &predicted[row].inputs).copied().collect();
            let prediction = learner.predict(workspace, buffers, &inputs);
            for (column, &row) in rows.iter().enumerate() {
                let averaged = prediction.ema(column);
                predicted[row].raw = points(&loss, prediction.raw(column));
                predicted[row].averaged = points(&loss, averaged);
                let horizons = || averaged.chunks(loss.width());
                predicted[row].heads = horizons().map(|outputs| bounds(&loss, outputs, &levels)).collect();
                predicted[row].prob_up = horizons().map(|outputs| loss.prob_up(outputs)).collect();
            }
        });
        predicted
    }

    /// Scores the forecasts whose truth is in these rows. Mixtures, intervals and experts learn
    /// from them, and the networks get them as labels.
    fn score(&mut self, rows: &[Row], window: ClosedWindow, times: &WindowTimes, out: &mut dyn Results) {
        for row in rows {
            let Some((name, series)) = self.state.series.get_index_mut(row.series_idx) else { continue };
            let SeriesState { history, forecaster, buffer, step, .. } = Arc::make_mut(series);
            let number = self.order.number_of(window, *step);
            let window = row.context(history, number, times, *step);

            for (horizon_idx, &horizon) in self.spec.horizons.iter().enumerate() {
                let Some(scored) = forecaster.score(&self.layout, horizon_idx, &window) else { continue };
                let (made, actual) = (&scored.made, scored.actual);
                out.score(&Score {
                    series: name,
                    issued_at: made.issued_at,
                    target_time: times.end,
                    horizon,
                    actual,
                    forecast: made.forecast,
                    naive: made.naive,
                    intervals: &scored.intervals,
                    experts: (&self.layout.names, &scored.experts),
                });

                if let Some(label) = label(actual, made.naive, made.sigma) {
                    // The newest step is this window's; the forecast came from an earlier one.
                    let steps_back = usize::try_from(*step - made.step).unwrap_or(usize::MAX);
                    buffer.label(steps_back, horizon_idx, label);
                }
                if made.sigma > 0.0 {
                    self.errors[horizon_idx].add(((actual - made.forecast) / made.sigma).abs());
                }
            }
        }
    }

    /// Issues the forecasts of every row.
    fn issue(
        &mut self,
        rows: &[Row],
        predicted: &[NetworkOutput],
        window: ClosedWindow,
        times: &WindowTimes,
        out: &mut dyn Results,
    ) {
        for (row, predicted) in rows.iter().zip(predicted) {
            let learner = learner_of(row.series_idx, self.spec.model.scope);
            let model_updates = match self.state.learners.get(learner) {
                Some(learner) if self.has_network() => learner.updates(),
                _ => 0,
            };
            let Some((name, series)) = self.state.series.get_index_mut(row.series_idx) else { continue };
            let SeriesState { history, forecaster, step, .. } = Arc::make_mut(series);
            let number = self.order.number_of(window, *step);
            let window = row.context(history, number, times, *step);

            forecaster.issue(&self.layout, predicted, &window, |horizon_idx, issued| {
                let made = &issued.made;
                out.forecast(&Forecast {
                    series: name,
                    issued_at: made.issued_at,
                    target_time: made.target_time,
                    horizon: self.spec.horizons[horizon_idx],
                    forecast: made.forecast,
                    naive: made.naive,
                    intervals: &issued.intervals,
                    prob_up: predicted.prob_up.get(horizon_idx).copied().flatten(),
                    expert: issued.heaviest.map_or("naive", |heaviest| self.layout.names[heaviest]),
                    model_updates,
                    carried: !row.observed,
                });
            });

            for (horizon_idx, means) in self.weights.iter_mut().enumerate() {
                let weights = forecaster.weights(horizon_idx);
                means.iter_mut().zip(weights).for_each(|(mean, weight)| mean.add(weight));
            }
        }
    }

    /// Each horizon's mean error of this window, in sigmas, to its detectors.
    fn watch_drift(&mut self) {
        let drifts = &mut self.state.drifts;
        drifts.resize_with(self.spec.horizons.len(), Drift::default);
        for ((drift, error), &horizon) in drifts.iter_mut().zip(&self.errors).zip(&self.spec.horizons) {
            if let Some(error) = error.value() {
                drift.update(error, horizon);
            }
        }
    }
}

/// The network's move to each horizon.
fn points(loss: &Loss, outputs: &[f32]) -> Vec<f64> {
    outputs.chunks(loss.width()).map(|outputs| f64::from(loss.point(outputs))).collect()
}

/// The network's own interval of each level, where it has them.
fn bounds(loss: &Loss, outputs: &[f32], levels: &[f64]) -> Vec<(f64, f64)> {
    let bounds = levels.iter().filter_map(|&level| loss.bounds(outputs, level));
    bounds.map(|(lower, upper)| (f64::from(lower), f64::from(upper))).collect()
}
