//! The forecast operator: a closed window in, forecasts and scores out, the networks trained on the way.
//! It must not reorder: for every window it predicts, scores what came true, then learns.

mod weights;

pub use weights::{Weights, meaning};

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::features::Features;
use super::interval::central;
use super::network::{label, recipe};
use super::records::{Forecasts, Scores, forecast_schema, score_schema};
use super::rows::{window_rows, window_start};
use super::series::{Series, Waiting};
use crate::config::plan::{Expert, ForecastPlan, Scope};
use crate::error::{Error, Kind, OrFail, Result};
use crate::message::{EventTime, Stream};
use crate::model::{DVector, Learned, Learner, Memory, Recipe, Track, Workspace};
use crate::operator::{Operator, Output, Stats};

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

#[derive(Default)]
struct State {
    /// In the order in which they first appeared.
    series: IndexMap<String, Member>,
    /// One for all series, or one a series in their order.
    learners: Vec<Learner>,
    newest: Newest,
}

/// A series and its place in the network.
#[derive(Serialize, Deserialize)]
struct Member {
    series: Series,
    track: Track,
    /// Windows it was forecast from.
    step: u64,
}

/// Of the newest training step.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Newest {
    loss: f32,
    gradient_norm: f32,
}

/// The state as it is written: what is learned, without what the plan says.
#[derive(Serialize, Deserialize)]
struct Image<Series, Memory> {
    series: Series,
    memories: Vec<Memory>,
    newest: Newest,
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
            self.state.learners.push(self.new_learner()?);
        }
        let learner = &self.state.learners[self.state.learners.len() - 1];
        let series = Series::new(&self.plan, self.memory);
        let member = Member { series, track: learner.new_track(), step: 0 };
        Ok(self.state.series.insert_full(name.to_owned(), member).0)
    }

    /// The learner of a series.
    fn learner_of(&self, member: usize) -> usize {
        match self.plan.model.scope {
            Scope::Shared => 0,
            Scope::Series => member,
        }
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
                let Some(learner) = state.learners.first_mut() else { return };
                let members: Vec<usize> = rows.iter().map(|row| row.member).collect();
                let mut at = vec![None; state.series.len()];
                members.iter().enumerate().for_each(|(row, &member)| at[member] = Some(row));
                // Rows stand in the order of the series, so the tracks come out in the order of the rows.
                let (order, mut tracks): (Vec<usize>, Vec<&mut Track>) = state
                    .series
                    .values_mut()
                    .zip(&at)
                    .filter_map(|(member, row)| row.map(|row| (row, &mut member.track)))
                    .unzip();
                work(learner, workspace, &order, &mut tracks);
            }
            Scope::Series => {
                for (index, row) in rows.iter().enumerate() {
                    let (learner, member) = (&mut state.learners[row.member], &mut state.series[row.member]);
                    work(learner, workspace, &[index], &mut [&mut member.track]);
                }
            }
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
            for (index, &horizon) in self.plan.horizons.iter().enumerate() {
                let memory = &mut member.series.horizons[index];
                while memory.waiting.front().is_some_and(|waiting| waiting.target_time < end) {
                    // Its window passed without an observation: no truth will come.
                    memory.waiting.pop_front();
                }
                let due = memory.waiting.front().is_some_and(|waiting| waiting.target_time == end);
                let (Some(actual), true) = (row.truth(), due) else { continue };
                let Some(made) = memory.waiting.pop_front() else { continue };
                scores.push(name, horizon, &made, actual)?;
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
        for (row, outputs) in rows.iter().zip(outputs) {
            let updates = match self.state.learners.get(self.learner_of(row.member)) {
                Some(learner) if self.has_network() => learner.updates(),
                _ => 0,
            };
            let (name, member) = self.state.series.get_index_mut(row.member).ok_or_else(no_member)?;
            let Some(naive) = member.series.back(0) else { continue };
            for (index, (&horizon, &output)) in self.plan.horizons.iter().zip(outputs).enumerate() {
                let sigma = member.series.step_scale(horizon).rms();
                let rnn = Some(naive + sigma * output).filter(|value| value.is_finite());
                // A network that knows nothing says exactly zero; one with imported weights knows before its first update.
                let learned = rnn.is_some() && (updates > 0 || output != 0.0);
                let forecast = rnn.unwrap_or(naive);
                let memory = &mut member.series.horizons[index];
                let intervals = (sigma > 0.0).then(|| {
                    let sorted = memory.residuals.sorted();
                    let bounds = |&level: &f64| {
                        let (lower, upper) = central(&sorted, level);
                        (forecast + sigma * lower, forecast + sigma * upper)
                    };
                    self.plan.levels.iter().map(bounds).collect()
                });
                let made = Waiting {
                    issued_at: end,
                    target_time: end.plus_us(self.size_us.saturating_mul(i64::from(horizon))),
                    forecast,
                    naive,
                    rnn: rnn.filter(|_| self.plan.experts.contains(&Expert::Rnn)),
                    sigma,
                    step: member.step,
                    intervals,
                };
                out.push(name, start, horizon, &made, if learned { "rnn" } else { "naive" }, updates);
                memory.waiting.push_back(made);
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
        let number = start.0.div_euclid(self.size_us);
        for row in &rows {
            let member = &mut self.state.series[row.member];
            member.series.update(number, &row.values, row.observed);
            member.step += 1;
        }
        let records = rows.len() * self.plan.horizons.len();
        let mut forecasts = Forecasts::new(Arc::clone(&self.forecasts), self.plan.levels.len(), records);
        let mut scores = Scores::new(Arc::clone(&self.scores), self.plan.levels.len(), records);
        let outputs = self.predict(&rows, start);
        self.score(&rows, start.plus_us(self.size_us), &mut scores)?;
        self.issue(&rows, &outputs, start, &mut forecasts)?;
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

    fn snapshot(&self) -> Result<Vec<u8>> {
        let image = Image {
            series: &self.state.series,
            memories: self.state.learners.iter().map(Learner::memory).collect(),
            newest: self.state.newest,
        };
        postcard::to_stdvec(&image).or_fail(Kind::State, || "cannot write the forecasters' state")
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let image: Image<IndexMap<String, Member>, Memory> =
            postcard::from_bytes(state).or_fail(Kind::State, || "cannot read the forecasters' state")?;
        let learners = image.memories.into_iter().map(|memory| {
            Learner::resume(&self.recipe, memory).or_fail(Kind::State, || "this state is of another model")
        });
        let learners = learners.collect::<Result<Vec<_>>>()?;
        self.state = State { series: image.series, learners, newest: image.newest };
        Ok(())
    }

    fn report(&self, stats: &mut Stats) {
        let sum = |of: fn(&Learner) -> u64| self.state.learners.iter().map(of).sum();
        stats.train_steps = sum(Learner::updates);
        stats.model_rollbacks = sum(|learner| learner.guard().rollbacks());
        stats.train_loss = f64::from(self.state.newest.loss);
        stats.gradient_norm = f64::from(self.state.newest.gradient_norm);
    }
}
