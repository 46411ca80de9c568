//! The forecast operator: a closed window in, forecasts and scores out.
//! It must not know how a forecast is made; it takes rows out of Arrow, and puts records into it.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{ForecastSpec, Forecaster, WindowLesson, WindowOrder};

use crate::closed_window;
use crate::error::{Kind, OrFail, Result};
use crate::message::{EventTime, Stream};
use crate::operator::{Operator, OperatorStats, Output, SnapshotWriter};
use crate::record::{ResultBatches, forecast_schema, score_schema};

/// Forecasts every series of one partition at every horizon.
pub struct ForecastOperator {
    forecaster: Forecaster,
    forecasts: SchemaRef,
    scores: SchemaRef,
    /// What the networks have not learned yet of the window that was forecast last.
    lesson: Option<WindowLesson>,
}

impl ForecastOperator {
    /// An operator whose forecaster knows nothing yet.
    pub fn new(spec: &ForecastSpec, order: impl Into<WindowOrder>) -> Self {
        ForecastOperator::of(Forecaster::new(spec, order))
    }

    /// An operator that goes on with this forecaster.
    pub fn of(forecaster: Forecaster) -> Self {
        let spec = forecaster.spec();
        let (forecasts, scores) = (forecast_schema(&spec.levels, spec.direction), score_schema(&spec.levels));
        ForecastOperator { forecaster, forecasts, scores, lesson: None }
    }
}

impl Operator for ForecastOperator {
    fn name(&self) -> &'static str {
        "forecast"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let Some(window) = closed_window::window(batch)? else { return Ok(()) };
        if self.lesson.is_some() {
            out.send_on()?;
            self.work_off();
        }

        let spec = self.forecaster.spec();
        let rows = closed_window::rows(batch, &spec.features)?;
        let records = rows.len() * spec.horizons.len();
        let mut results = ResultBatches::new(&self.forecasts, &self.scores, window.start, records);
        let target = spec.target.clone();
        let lesson = self
            .forecaster
            .forecast(window, rows, &mut results.of(&target))
            .or_fail(Kind::State, || "cannot forecast from a window")?;

        let (forecasts, scores) = results.finish()?;
        for (stream, records) in [(Stream::Forecasts, forecasts), (Stream::Scores, scores)] {
            if records.num_rows() > 0 {
                out.results(stream, records)?;
            }
        }
        self.lesson = Some(lesson);
        Ok(())
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn work_off(&mut self) -> bool {
        let lesson = self.lesson.take();
        lesson.map(|lesson| self.forecaster.learn(lesson)).is_some()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        self.work_off();
        let frozen = self.forecaster.freeze();
        Box::new(move || frozen().or_fail(Kind::State, || "cannot write the forecasters' state"))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.lesson = None;
        self.forecaster.restore(state).or_fail(Kind::State, || "cannot read the forecasters' state")
    }

    fn report(&self, stats: &mut OperatorStats) {
        let own = self.forecaster.stats();
        stats.series_forecast = own.series;
        stats.train_steps = own.train_steps;
        stats.train_loss = own.train_loss;
        stats.gradient_norm = own.gradient_norm;
        stats.model_rollbacks = own.model_rollbacks;
        stats.weights = own.weights;
        stats.drift_alarms = own.drift_alarms;
    }
}
