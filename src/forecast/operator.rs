//! The forecast operator: a closed window in, forecasts and scores out, the networks trained on the way.
//! It must not reorder: for every window it predicts, scores what came true, then learns.

mod state;
mod weights;

pub use weights::{Weights, meaning};

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use self::state::{Member, Newest, State, learner_of};
use super::features::Features;
use super::interval::central;
use super::network::{label, recipe};
use super::records::{Forecasts, Scores, forecast_schema, score_schema};
use super::rows::{window_rows, window_start};
use super::series::Series;
use super::waiting::{Intervals, Waiting};
use crate::config::plan::{Expert, ForecastPlan, Scope};
use crate::error::{Error, Kind, Result};
use crate::message::{EventTime, Stream};
use crate::model::{DVector, Learned, Learner, Recipe, Track, Workspace};
use crate::operator::{Frozen, Operator, Output, Stats};

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
    forecasts: SchemaRef,
    scores: SchemaRef,
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
        let recipe = recipe(plan);
        ForecastOperator {
            plan: plan.clone(),
            size_us,
            memory: Features::memory(plan),
            features,
            forecasts: forecast_schema(&plan.levels),
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
        let member = Member { series, track: learner.new_track(), step: 0 };
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

    /// The network's point forecasts, one a horizon for every row, in units of sigma_h; zeros without a network.
    fn predict(&mut self, rows: &[Row], start: EventTime) -> Vec<Vec<f64>> {
        let mut predicted = vec![vec![0.0; self.plan.horizons.len()]; rows.len()];
        if !self.has_network() {
            return predicted;
        }
        let inputs: Vec<Vec<f32>> =
            rows.iter().map(|row| self.features.of(&self.state.series[row.member].series, start)).collect();
        let loss = self.plan.model.loss.clone();
        self.for_each_learner(rows, |learner, workspace, order, tracks| {
            let inputs: Vec<f32> = order.iter().flat_map(|&row| &inputs[row]).copied().collect();
            let prediction = learner.predict(workspace, tracks, &inputs);
            for (column, &row) in order.iter().enumerate() {
                let outputs = prediction.ema(column).chunks(loss.width());
                for (value, outputs) in predicted[row].iter_mut().zip(outputs) {
                    *value = f64::from(loss.point(outputs));
                }
            }
        });
        predicted
    }

    /// Scores the forecasts whose truth is in these rows, and hands the truths to the networks as labels.
    fn score(&mut self, rows: &[Row], end: EventTime, scores: &mut Scores) -> Result<()> {
        for row in rows {
            let (name, member) = self.state.series.get_index_mut(row.member).ok_or_else(no_member)?;
            let member = Arc::make_mut(member);
            for (index, &horizon) in self.plan.horizons.iter().enumerate() {
                let memory = &mut member.series.horizons[index];
                let Some((made, intervals)) = memory.waiting.take(end) else { continue };
                let Some(actual) = row.truth() else { continue };
                scores.push(name, horizon, (&made, &intervals), actual)?;
                let residual = (actual - made.forecast) / made.sigma;
                if made.sigma > 0.0 && residual.is_finite() {
                    memory.residuals.push(residual);
                    // The newest step is this window's; the forecast came from an earlier one.
                    let back = usize::try_from(member.step - made.step).unwrap_or(usize::MAX);
                    if let Some(label) = label(actual, made.naive, made.sigma) {
                        member.track.label(back, index, label);
                    }
                }
            }
        }
        Ok(())
    }

    /// Issues the forecasts of every row.
    fn issue(
        &mut self,
        rows: &[Row],
        outputs: &[Vec<f64>],
        start: EventTime,
        out: &mut Forecasts,
    ) -> Result<()> {
        let end = start.plus_us(self.size_us);
        let mut intervals = Intervals::new();
        for (row, outputs) in rows.iter().zip(outputs) {
            let updates = match self.state.learners.get(learner_of(row.member, self.plan.model.scope)) {
                Some(learner) if self.has_network() => learner.updates(),
                _ => 0,
            };
            let (name, member) = self.state.series.get_index_mut(row.member).ok_or_else(no_member)?;
            let member = Arc::make_mut(member);
            let Some(naive) = member.series.back(0) else { continue };
            for (index, (&horizon, &output)) in self.plan.horizons.iter().zip(outputs).enumerate() {
                let sigma = member.series.step_scale(horizon).rms();
                let rnn = Some(naive + sigma * output).filter(|value| value.is_finite());
                // A network that knows nothing says exactly zero; one with imported weights knows before its first update.
                let learned = rnn.is_some() && (updates > 0 || output != 0.0);
                let forecast = rnn.unwrap_or(naive);
                let memory = &mut member.series.horizons[index];
                intervals.clear();
                if sigma > 0.0 {
                    let sorted = memory.residuals.sorted();
                    intervals.extend(self.plan.levels.iter().map(|&level| {
                        let (lower, upper) = central(&sorted, level);
                        (forecast + sigma * lower, forecast + sigma * upper)
                    }));
                }
                let made = Waiting {
                    issued_at: end,
                    target_time: end.plus_us(self.size_us.saturating_mul(i64::from(horizon))),
                    forecast,
                    naive,
                    rnn: rnn.filter(|_| self.plan.experts.contains(&Expert::Rnn)),
                    sigma,
                    step: member.step,
                };
                let expert = if learned { "rnn" } else { "naive" };
                out.push(name, horizon, &made, &intervals, expert, updates);
                memory.waiting.push(made, &intervals);
            }
        }
        Ok(())
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
        for rows in rows.chunks(ROWS) {
            self.observe(rows, start);
            let outputs = self.predict(rows, start);
            self.score(rows, start.plus_us(self.size_us), &mut scores)?;
            self.issue(rows, &outputs, start, &mut forecasts)?;
        }
        self.learn(&rows);
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
        self.state = State::read(state, &self.recipe, self.plan.model.scope)?;
        Ok(())
    }

    fn report(&self, stats: &mut Stats) {
        let sum = |of: fn(&Learner) -> u64| self.state.learners.iter().map(|learner| of(learner)).sum();
        stats.train_steps = sum(Learner::updates);
        stats.model_rollbacks = sum(|learner| learner.guard().rollbacks());
        stats.train_loss = f64::from(self.state.newest.loss);
        stats.gradient_norm = f64::from(self.state.newest.gradient_norm);
    }
}
