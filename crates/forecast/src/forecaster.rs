//! Forecasts of every series of one partition at every horizon, learned from one closed window after the other.
//! It must not reorder: for every window it predicts, scores what came true, then learns.

mod state;
mod weights;

use std::sync::Arc;

use tickcast_model::{
    DVector, Learner, LearnerTemplate, LearnerWorkspace, Loss, SequenceBuffer, UpdateReport,
};

use self::state::{ForecasterState, NewestStep, SeriesState, learner_of};
use crate::drift::Drift;
use crate::error::Result;
use crate::features::Features;
use crate::mean::Mean;
use crate::network::{label, recipe};
use crate::series::SeriesHistory;
use crate::series_forecaster::{ForecasterLayout, NetworkOutput, SeriesForecaster, WindowContext};
use crate::spec::{ExpertKind, ForecastSpec, Scope};
use crate::window::{ClosedWindow, Forecast, Results, Score, WindowRow};

pub use self::state::FrozenForecaster;
pub use self::weights::{Weights, meaning};

/// Rows of a window that are forecast together. Few enough that a snapshot which is written out meanwhile, in the same
/// order, gets ahead of the series that change, and they need not be copied; and that they stay in the caches.
const ROWS: usize = 64;

/// Forecasts many series at every horizon, and learns from every closed window.
pub struct Forecaster {
    plan: ForecastSpec,
    /// Length of a window in microseconds.
    size_us: i64,
    features: Features,
    memory: i64,
    kit: ForecasterLayout,
    /// Of the newest window: each horizon's errors in sigmas, and its experts' shares.
    errors: Vec<Mean>,
    weights: Vec<Vec<Mean>>,
    recipe: Arc<LearnerTemplate>,
    /// Where its learners work, one after another.
    workspace: LearnerWorkspace,
    /// What new networks begin with instead of nothing learned.
    initial: Option<DVector<f32>>,
    /// Where a series stands in the state, by its id; none: not looked up yet. It is made from the state, and no part of it.
    places: Vec<Option<usize>>,
    state: ForecasterState,
}

/// How much an expert counts in the published forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertWeight {
    /// In windows.
    pub horizon: u32,
    /// The expert's name.
    pub expert: &'static str,
    /// In [0, 1]; those of a horizon sum to 1.
    pub weight: f64,
}

/// What a forecaster says of itself. Totals count from its first window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForecasterStats {
    /// Updates of all networks.
    pub train_steps: u64,
    /// Of the newest step.
    pub train_loss: f64,
    /// Of the newest step, before clipping.
    pub gradient_norm: f64,
    /// Times that bad steps restored the last good weights.
    pub model_rollbacks: u64,
    /// Mean weight of an expert over the series of the newest window, by horizon; empty while experts are not mixed.
    pub weights: Vec<ExpertWeight>,
    /// Alarms of the drift detectors, by horizon.
    pub drift_alarms: Vec<(u32, u64)>,
}

/// One row of a closed window.
struct Row {
    member: usize,
    values: Vec<Option<f64>>,
    /// False for a row that repeats the last one.
    observed: bool,
}

impl Row {
    /// The target, when it was observed in this window.
    fn truth(&self) -> Option<f64> {
        self.values[0].filter(|_| self.observed)
    }
}

impl Forecaster {
    /// A forecaster that knows nothing yet. `size_us`: the length of a window in microseconds.
    pub fn new(plan: &ForecastSpec, size_us: i64) -> Self {
        let (recipe, kit) = (recipe(plan), ForecasterLayout::new(plan));

        Forecaster {
            plan: plan.clone(),
            size_us,
            memory: Features::memory(plan),
            features: Features::new(plan),
            errors: vec![Mean::default(); plan.horizons.len()],
            weights: vec![vec![Mean::default(); kit.names.len()]; plan.horizons.len()],
            kit,
            workspace: recipe.workspace(),
            recipe,
            initial: None,
            places: Vec::new(),
            state: ForecasterState::default(),
        }
    }

    /// What it forecasts.
    pub fn spec(&self) -> &ForecastSpec {
        &self.plan
    }

    /// Takes in a closed window, its rows in the order in which the series first appeared. Scores and forecasts go to `out`.
    /// Errors: when weights that were given to begin with do not fit.
    pub fn close(
        &mut self,
        window: ClosedWindow,
        rows: Vec<WindowRow<'_>>,
        out: &mut dyn Results,
    ) -> Result<()> {
        let rows = self.admit_all(rows)?;
        self.errors.fill(Mean::default());
        self.weights.iter_mut().for_each(|means| means.fill(Mean::default()));

        for rows in rows.chunks(ROWS) {
            self.observe(rows, window);
            let predicted = self.predict(rows, window);
            self.score(rows, window, out);
            self.issue(rows, &predicted, window, out);
        }

        self.learn(&rows);
        self.watch_drift();
        Ok(())
    }

    /// The state as of now, to be written out later and elsewhere.
    pub fn freeze(&self) -> FrozenForecaster {
        self.state.freeze()
    }

    /// Goes back to a state. Errors: when the bytes are not of these networks.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.state = ForecasterState::read(state, &self.recipe, &self.kit, self.plan.model.scope)?;
        self.places.clear();
        Ok(())
    }

    /// What it says of itself.
    pub fn stats(&self) -> ForecasterStats {
        let sum = |of: fn(&Learner) -> u64| self.state.learners.iter().map(|learner| of(learner)).sum();
        let horizons = || self.plan.horizons.iter().copied();
        let mut weights = Vec::new();
        for (horizon, means) in horizons().zip(&self.weights) {
            let weight = |(mean, &expert): (&Mean, &&'static str)| {
                Some(ExpertWeight { horizon, expert, weight: mean.value()? })
            };
            weights.extend(means.iter().zip(&self.kit.names).filter_map(weight));
        }

        ForecasterStats {
            train_steps: sum(Learner::updates),
            train_loss: f64::from(self.state.newest.loss),
            gradient_norm: f64::from(self.state.newest.gradient_norm),
            model_rollbacks: sum(|learner| learner.guard().rollbacks()),
            weights,
            drift_alarms: horizons().zip(self.state.drifts.iter().map(Drift::alarms)).collect(),
        }
    }

    fn has_network(&self) -> bool {
        self.plan.experts.contains(&ExpertKind::Rnn)
    }

    /// The rows of a closed window that can be forecast: a series appears with its first value of the target.
    fn admit_all(&mut self, rows: Vec<WindowRow<'_>>) -> Result<Vec<Row>> {
        let mut admitted = Vec::with_capacity(rows.len());
        for WindowRow { series_id, series, values, observed } in rows {
            let member = match self.place_of(series_id, series) {
                Some(member) => member,
                None if values[0].is_none() => continue,
                None => self.admit(series_id, series)?,
            };
            admitted.push(Row { member, values, observed });
        }
        Ok(admitted)
    }

    /// Where a series stands, if it was admitted: its name is hashed once, then its id says it.
    fn place_of(&mut self, id: u32, name: &str) -> Option<usize> {
        if let Some(Some(place)) = self.places.get(id as usize) {
            return Some(*place);
        }
        let place = self.state.series.get_index_of(name)?;
        self.keep_place(id, place);
        Some(place)
    }

    fn keep_place(&mut self, id: u32, place: usize) {
        let at = id as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, None);
        }
        self.places[at] = Some(place);
    }

    fn admit(&mut self, id: u32, name: &str) -> Result<usize> {
        if self.state.learners.is_empty() || self.plan.model.scope == Scope::Series {
            self.state.learners.push(Arc::new(self.new_learner()?));
        }

        let learner = &self.state.learners[self.state.learners.len() - 1];
        let series = SeriesHistory::new(&self.plan, self.memory);
        let member = SeriesState {
            series,
            bank: SeriesForecaster::new(&self.kit),
            track: learner.new_buffer(),
            step: 0,
        };
        let place = self.state.series.insert_full(name.into(), Arc::new(member)).0;
        self.keep_place(id, place);
        Ok(place)
    }

    /// Runs `work` for every learner with the rows and tracks of its series, in order.
    fn for_each_learner(
        &mut self,
        rows: &[Row],
        mut work: impl FnMut(&mut Learner, &mut LearnerWorkspace, &[usize], &mut [&mut SequenceBuffer]),
    ) {
        let (state, workspace) = (&mut self.state, &mut self.workspace);
        match self.plan.model.scope {
            Scope::Shared => {
                let Some(learner) = state.learners.first_mut().map(Arc::make_mut) else { return };
                let members = rows.iter().map(|row| row.member);
                let Some((first, last)) = members.clone().min().zip(members.clone().max()) else { return };
                let mut at = vec![None; last - first + 1];
                members.enumerate().for_each(|(row, member)| at[member - first] = Some(row));

                // Rows stand in the order of the series, so the tracks come out in the order of the rows.
                let (order, mut tracks): (Vec<usize>, Vec<&mut SequenceBuffer>) = state.series.as_mut_slice()
                    [first..=last]
                    .values_mut()
                    .zip(&at)
                    .filter_map(|(member, row)| row.map(|row| (row, &mut Arc::make_mut(member).track)))
                    .unzip();
                work(learner, workspace, &order, &mut tracks);
            }
            Scope::Series => {
                for (index, row) in rows.iter().enumerate() {
                    let learner = Arc::make_mut(&mut state.learners[row.member]);
                    let member = Arc::make_mut(&mut state.series[row.member]);
                    work(learner, workspace, &[index], &mut [&mut member.track]);
                }
            }
        }
    }

    /// Takes in what the window says of the series.
    fn observe(&mut self, rows: &[Row], window: ClosedWindow) {
        for row in rows {
            let member = Arc::make_mut(&mut self.state.series[row.member]);
            member.series.update(window.number, &row.values, row.observed);
            member.step += 1;
        }
    }

    /// What the network sees and says of every row.
    fn predict(&mut self, rows: &[Row], window: ClosedWindow) -> Vec<NetworkOutput> {
        let of = |row: &Row| NetworkOutput {
            inputs: self.features.of(&self.state.series[row.member].series, window.start),
            raw: vec![0.0; self.plan.horizons.len()],
            averaged: vec![0.0; self.plan.horizons.len()],
            heads: Vec::new(),
            prob_up: Vec::new(),
        };
        let mut predicted: Vec<NetworkOutput> = rows.iter().map(of).collect();
        if !self.has_network() {
            return predicted;
        }

        let (loss, levels) = (self.plan.model.loss.clone(), self.plan.levels.clone());
        self.for_each_learner(rows, |learner, workspace, order, tracks| {
            let inputs: Vec<f32> = order.iter().flat_map(|&row| &predicted[row].inputs).copied().collect();
            let prediction = learner.predict(workspace, tracks, &inputs);
            let point = |outputs: &[f32]| -> Vec<f64> {
                outputs.chunks(loss.width()).map(|outputs| f64::from(loss.point(outputs))).collect()
            };

            for (column, &row) in order.iter().enumerate() {
                let averaged = prediction.ema(column);
                predicted[row].raw = point(prediction.raw(column));
                predicted[row].averaged = point(averaged);
                predicted[row].heads =
                    averaged.chunks(loss.width()).map(|outputs| bounds(&loss, outputs, &levels)).collect();
                predicted[row].prob_up =
                    averaged.chunks(loss.width()).map(|outputs| loss.prob_up(outputs)).collect();
            }
        });
        predicted
    }

    /// Scores the forecasts whose truth is in these rows; mixtures, intervals and experts learn from them, and the networks
    /// get them as labels.
    fn score(&mut self, rows: &[Row], closed: ClosedWindow, out: &mut dyn Results) {
        for row in rows {
            let Some((name, member)) = self.state.series.get_index_mut(row.member) else { continue };
            let SeriesState { series, bank, track, step } = Arc::make_mut(member);
            let window = window(series, row, closed, self.size_us, *step);

            for (slot, &horizon) in self.plan.horizons.iter().enumerate() {
                let Some(scored) = bank.score(&self.kit, slot, &window) else { continue };
                let (made, actual) = (&scored.made, scored.actual);
                out.score(&Score {
                    series: name,
                    issued_at: made.issued_at,
                    target_time: made.target_time,
                    horizon,
                    actual,
                    forecast: made.forecast,
                    naive: made.naive,
                    intervals: &scored.intervals,
                    experts: (&self.kit.names, &scored.experts),
                });

                if let Some(label) = label(actual, made.naive, made.sigma) {
                    // The newest step is this window's; the forecast came from an earlier one.
                    track.label(usize::try_from(*step - made.step).unwrap_or(usize::MAX), slot, label);
                }
                if made.sigma > 0.0 {
                    self.errors[slot].add(((actual - made.forecast) / made.sigma).abs());
                }
            }
        }
    }

    /// Issues the forecasts of every row.
    fn issue(
        &mut self,
        rows: &[Row],
        predicted: &[NetworkOutput],
        closed: ClosedWindow,
        out: &mut dyn Results,
    ) {
        for (row, predicted) in rows.iter().zip(predicted) {
            let model_updates = match self.state.learners.get(learner_of(row.member, self.plan.model.scope)) {
                Some(learner) if self.has_network() => learner.updates(),
                _ => 0,
            };
            let Some((name, member)) = self.state.series.get_index_mut(row.member) else { continue };
            let SeriesState { series, bank, step, .. } = Arc::make_mut(member);
            let window = window(series, row, closed, self.size_us, *step);

            bank.issue(&self.kit, predicted, &window, |slot, issued| {
                let made = &issued.made;
                out.forecast(&Forecast {
                    series: name,
                    issued_at: made.issued_at,
                    target_time: made.target_time,
                    horizon: self.plan.horizons[slot],
                    forecast: made.forecast,
                    naive: made.naive,
                    intervals: &issued.intervals,
                    prob_up: predicted.prob_up.get(slot).copied().flatten(),
                    expert: issued.heaviest.map_or("naive", |heaviest| self.kit.names[heaviest]),
                    model_updates,
                });
            });

            for (slot, means) in self.weights.iter_mut().enumerate() {
                means.iter_mut().zip(bank.weights(slot)).for_each(|(mean, weight)| mean.add(weight));
            }
        }
    }

    /// Each horizon's mean error of this window, in sigmas, to its detectors.
    fn watch_drift(&mut self) {
        let drifts = &mut self.state.drifts;
        drifts.resize_with(self.plan.horizons.len(), Drift::default);
        for ((drift, error), &horizon) in drifts.iter_mut().zip(&self.errors).zip(&self.plan.horizons) {
            if let Some(error) = error.value() {
                drift.update(error, horizon);
            }
        }
    }

    fn learn(&mut self, rows: &[Row]) {
        if !self.has_network() {
            return;
        }

        let mut newest = None;
        self.for_each_learner(rows, |learner, workspace, _, tracks| {
            newest = learner.learn(workspace, tracks).or(newest.take());
        });
        if let Some(UpdateReport { loss, gradient_norm, .. }) = newest {
            self.state.newest = NewestStep { loss, gradient_norm };
        }
    }
}

/// The network's own interval of each level, where it has them.
fn bounds(loss: &Loss, outputs: &[f32], levels: &[f64]) -> Vec<(f64, f64)> {
    let bounds = levels.iter().filter_map(|&level| loss.bounds(outputs, level));
    bounds.map(|(lower, upper)| (f64::from(lower), f64::from(upper))).collect()
}

fn window<'a>(
    series: &'a SeriesHistory,
    row: &Row,
    closed: ClosedWindow,
    size_us: i64,
    step: u64,
) -> WindowContext<'a> {
    let ClosedWindow { number, start } = closed;
    WindowContext {
        series,
        number,
        end: start.plus_us(size_us),
        size_us,
        step,
        is_truth: row.truth().is_some(),
    }
}
