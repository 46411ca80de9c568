//! The forecast operator: a closed window in, forecasts and scores out, the networks trained on the way.
//! It must not reorder: for every window it predicts, scores what came true, then learns.

mod state;
#[cfg(test)]
mod tests;
mod weights;

pub use weights::{Weights, meaning};

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use self::state::{Member, Newest, State, learner_of};
use super::bank::{Bank, Kit, Predicted, Window};
use super::drift::Drift;
use super::features::Features;
use super::network::{label, recipe};
use super::records::{Forecasts, Scores, forecast_schema, score_schema};
use super::rows::{window_rows, window_start};
use super::series::Series;
use crate::config::plan::{Expert, ForecastPlan, Loss, Scope};
use crate::error::{Error, Kind, Result};
use crate::mean::Mean;
use crate::message::{EventTime, Stream};
use crate::model::{DVector, Learned, Learner, Recipe, Track, Workspace};
use crate::operator::{Frozen, Operator, Output, Stats, Weight};

/// Rows of a window that are forecast together. Few enough that a snapshot which is written out meanwhile, in the same
/// order, gets ahead of the series that change, and they need not be copied; and that they stay in the caches.
const ROWS: usize = 64;

/// Forecasts every series of one partition at every horizon.
pub struct ForecastOperator {
    plan: ForecastPlan,
    /// Length of a window in microseconds.
    size_us: i64,
    features: Features,
    memory: i64,
    kit: Kit,
    forecasts: SchemaRef,
    scores: SchemaRef,
    /// Of the newest window: each horizon's errors in sigmas, and its experts' shares.
    errors: Vec<Mean>,
    weights: Vec<Vec<Mean>>,
    recipe: Arc<Recipe>,
    /// Where its learners work, one after another.
    workspace: Workspace,
    /// What new networks begin with instead of nothing learned.
    initial: Option<DVector<f32>>,
    state: State,
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

impl ForecastOperator {
    pub fn new(plan: &ForecastPlan, size_us: i64) -> Self {
        let features = Features::new(plan);
        let (recipe, kit) = (recipe(plan), Kit::new(plan));
        ForecastOperator {
            plan: plan.clone(),
            size_us,
            memory: Features::memory(plan),
            features,
            errors: vec![Mean::default(); plan.horizons.len()],
            weights: vec![vec![Mean::default(); kit.names.len()]; plan.horizons.len()],
            kit,
            forecasts: forecast_schema(&plan.levels, plan.direction),
            scores: score_schema(&plan.levels),
            workspace: recipe.workspace(),
            recipe,
            initial: None,
            state: State::default(),
        }
    }

    fn has_network(&self) -> bool {
        self.plan.experts.contains(&Expert::Rnn)
    }

    /// The rows of a closed window that can be forecast: a series appears with its first value of the target.
    fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in window_rows(batch, &self.plan.features)? {
            let member = match self.state.series.get_index_of(row.series) {
                Some(member) => member,
                None if row.values[0].is_none() => continue,
                None => self.admit(row.series)?,
            };
            rows.push(Row { member, values: row.values, observed: row.observed });
        }
        Ok(rows)
    }

    fn admit(&mut self, name: &str) -> Result<usize> {
        if self.state.learners.is_empty() || self.plan.model.scope == Scope::Series {
            self.state.learners.push(Arc::new(self.new_learner()?));
        }
        let learner = &self.state.learners[self.state.learners.len() - 1];
        let series = Series::new(&self.plan, self.memory);
        let member = Member { series, bank: Bank::new(&self.kit), track: learner.new_track(), step: 0 };
        Ok(self.state.series.insert_full(name.into(), Arc::new(member)).0)
    }

    /// Runs `work` for every learner with the rows and tracks of its series, in order.
    fn for_each_learner(
        &mut self,
        rows: &[Row],
        mut work: impl FnMut(&mut Learner, &mut Workspace, &[usize], &mut [&mut Track]),
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
                let (order, mut tracks): (Vec<usize>, Vec<&mut Track>) = state.series.as_mut_slice()
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

    /// Takes in what the window starting at `start` says of the series.
    fn observe(&mut self, rows: &[Row], start: EventTime) {
        let number = start.0.div_euclid(self.size_us);
        for row in rows {
            let member = Arc::make_mut(&mut self.state.series[row.member]);
            member.series.update(number, &row.values, row.observed);
            member.step += 1;
        }
    }

    /// What the network sees and says of every row.
    fn predict(&mut self, rows: &[Row], start: EventTime) -> Vec<Predicted> {
        let of = |row: &Row| Predicted {
            inputs: self.features.of(&self.state.series[row.member].series, start),
            raw: vec![0.0; self.plan.horizons.len()],
            averaged: vec![0.0; self.plan.horizons.len()],
            heads: Vec::new(),
            prob_up: Vec::new(),
        };
        let mut predicted: Vec<Predicted> = rows.iter().map(of).collect();
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
    fn score(&mut self, rows: &[Row], start: EventTime, scores: &mut Scores) -> Result<()> {
        for row in rows {
            let (name, member) = self.state.series.get_index_mut(row.member).ok_or_else(no_member)?;
            let Member { series, bank, track, step } = Arc::make_mut(member);
            let window = window(series, row, start, self.size_us, *step);
            for (slot, &horizon) in self.plan.horizons.iter().enumerate() {
                let Some(scored) = bank.score(&self.kit, slot, &window) else { continue };
                let (made, actual) = (&scored.made, scored.actual);
                scores.push(name, horizon, &scored, &self.kit.names)?;
                if let Some(label) = label(actual, made.naive, made.sigma) {
                    // The newest step is this window's; the forecast came from an earlier one.
                    track.label(usize::try_from(*step - made.step).unwrap_or(usize::MAX), slot, label);
                }
                if made.sigma > 0.0 {
                    self.errors[slot].add(((actual - made.forecast) / made.sigma).abs());
                }
            }
        }
        Ok(())
    }

    /// Issues the forecasts of every row.
    fn issue(
        &mut self,
        rows: &[Row],
        predicted: &[Predicted],
        start: EventTime,
        out: &mut Forecasts,
    ) -> Result<()> {
        for (row, predicted) in rows.iter().zip(predicted) {
            let updates = match self.state.learners.get(learner_of(row.member, self.plan.model.scope)) {
                Some(learner) if self.has_network() => learner.updates(),
                _ => 0,
            };
            let (name, member) = self.state.series.get_index_mut(row.member).ok_or_else(no_member)?;
            let Member { series, bank, step, .. } = Arc::make_mut(member);
            let window = window(series, row, start, self.size_us, *step);
            bank.issue(&self.kit, predicted, &window, |slot, issued| {
                let expert = issued.heaviest.map_or("naive", |heaviest| self.kit.names[heaviest]);
                let prob_up = predicted.prob_up.get(slot).copied().flatten();
                let intervals = (&issued.made, &*issued.intervals);
                out.push(name, self.plan.horizons[slot], intervals, prob_up, expert, updates);
            });
            for (slot, means) in self.weights.iter_mut().enumerate() {
                means.iter_mut().zip(bank.weights(slot)).for_each(|(mean, weight)| mean.add(weight));
            }
        }
        Ok(())
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
        if let Some(Learned { loss, gradient_norm, .. }) = newest {
            self.state.newest = Newest { loss, gradient_norm };
        }
    }
}

/// The network's own interval of each level, where it has them.
fn bounds(loss: &Loss, outputs: &[f32], levels: &[f64]) -> Vec<(f64, f64)> {
    let bounds = levels.iter().filter_map(|&level| loss.bounds(outputs, level));
    bounds.map(|(lower, upper)| (f64::from(lower), f64::from(upper))).collect()
}

fn window<'a>(series: &'a Series, row: &Row, start: EventTime, size_us: i64, step: u64) -> Window<'a> {
    let number = start.0.div_euclid(size_us);
    Window { series, number, end: start.plus_us(size_us), size_us, step, is_truth: row.truth().is_some() }
}

fn no_member() -> Error {
    Error::new(Kind::State, "a series is missing from its own list")
}

impl Operator for ForecastOperator {
    fn name(&self) -> &'static str {
        "forecast"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let start = window_start(batch);
        let rows = self.rows(batch)?;
        let records = rows.len() * self.plan.horizons.len();
        let mut forecasts =
            Forecasts::new(Arc::clone(&self.forecasts), start, self.plan.levels.len(), records);
        let mut scores = Scores::new(Arc::clone(&self.scores), self.plan.levels.len(), records);
        self.errors.fill(Mean::default());
        self.weights.iter_mut().for_each(|means| means.fill(Mean::default()));
        for rows in rows.chunks(ROWS) {
            self.observe(rows, start);
            let predicted = self.predict(rows, start);
            self.score(rows, start, &mut scores)?;
            self.issue(rows, &predicted, start, &mut forecasts)?;
        }
        self.learn(&rows);
        self.watch_drift();
        for (stream, records) in
            [(Stream::Forecasts, forecasts.finish()?), (Stream::Scores, scores.finish()?)]
        {
            if records.num_rows() > 0 {
                out.results(stream, records)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn snapshot(&self) -> Frozen {
        self.state.freeze()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.state = State::read(state, &self.recipe, &self.kit, self.plan.model.scope)?;
        Ok(())
    }

    fn report(&self, stats: &mut Stats) {
        let sum = |of: fn(&Learner) -> u64| self.state.learners.iter().map(|learner| of(learner)).sum();
        stats.train_steps = sum(Learner::updates);
        stats.model_rollbacks = sum(|learner| learner.guard().rollbacks());
        stats.train_loss = f64::from(self.state.newest.loss);
        stats.gradient_norm = f64::from(self.state.newest.gradient_norm);
        let horizons = || self.plan.horizons.iter().copied();
        stats.drift_alarms = horizons().zip(self.state.drifts.iter().map(Drift::alarms)).collect();
        for (horizon, means) in horizons().zip(&self.weights) {
            let weight = |(mean, &expert): (&Mean, &&'static str)| {
                Some(Weight { horizon, expert, weight: mean.value()? })
            };
            stats.weights.extend(means.iter().zip(&self.kit.names).filter_map(weight));
        }
    }
}
