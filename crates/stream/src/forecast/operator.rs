//! The forecast operator: a closed window in, forecasts and scores of every target out.
//! It must not know how a forecast is made; it takes rows out of Arrow, and puts records into it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{ForecastSpec, Forecaster, WindowLesson, WindowOrder};

use super::parts;
use crate::closed_window;
use crate::error::{Error, Kind, OrFail, Result};
use crate::message::{EventTime, Stream};
use crate::operator::{Operator, OperatorStats, Output, SnapshotWriter, TargetStats};
use crate::record::{ResultBatches, forecast_schema, score_schema};

/// Forecasts every series of one partition at every horizon, each target by a forecaster that knows
/// nothing of the others: the records of a target are those of a pipeline with it alone.
pub struct ForecastOperator {
    /// In the order of the records.
    targets: Vec<Target>,
    forecasts: SchemaRef,
    scores: SchemaRef,
}

/// One target and who forecasts it.
struct Target {
    name: Arc<str>,
    forecaster: Forecaster,
    /// What the networks have not learned yet of the window that was forecast last.
    lesson: Option<WindowLesson>,
}

impl ForecastOperator {
    /// An operator of one target whose forecaster knows nothing yet.
    pub fn new(spec: &ForecastSpec, order: impl Into<WindowOrder>) -> Self {
        ForecastOperator::of(vec![Forecaster::new(spec, order)])
    }

    /// An operator that goes on with these forecasters, one a target, at least one. They differ in
    /// their targets and features alone.
    pub fn of(forecasters: Vec<Forecaster>) -> Self {
        let shared = forecasters.first().map(Forecaster::spec);
        let levels = shared.map_or(&[][..], |spec| &spec.levels);
        let has_direction = shared.is_some_and(|spec| spec.direction);
        let (forecasts, scores) = (forecast_schema(levels, has_direction), score_schema(levels));

        let target = |forecaster: Forecaster| {
            let name = forecaster.spec().target.as_str().into();
            Target { name, forecaster, lesson: None }
        };
        ForecastOperator { targets: forecasters.into_iter().map(target).collect(), forecasts, scores }
    }
}

impl Operator for ForecastOperator {
    fn name(&self) -> &'static str {
        "forecast"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let Some(window) = closed_window::window(batch)? else { return Ok(()) };
        if self.targets.iter().any(|target| target.lesson.is_some()) {
            out.send_on()?;
            self.work_off();
        }

        let horizons = self.targets.iter().map(|target| target.forecaster.spec().horizons.len());
        let records = batch.num_rows() * horizons.sum::<usize>();
        let mut results = ResultBatches::new(&self.forecasts, &self.scores, window.start, records);
        for Target { name, forecaster, lesson } in &mut self.targets {
            let rows = closed_window::rows(batch, &forecaster.spec().features)?;
            let learned = forecaster
                .forecast(window, rows, &mut results.of(name))
                .or_fail(Kind::State, || "cannot forecast from a window")?;
            *lesson = Some(learned);
        }

        let (forecasts, scores) = results.finish()?;
        for (stream, records) in [(Stream::Forecasts, forecasts), (Stream::Scores, scores)] {
            if records.num_rows() > 0 {
                out.results(stream, records)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn work_off(&mut self) -> bool {
        let mut has_learned = false;
        for Target { forecaster, lesson, .. } in &mut self.targets {
            if let Some(lesson) = lesson.take() {
                forecaster.learn(lesson);
                has_learned = true;
            }
        }
        has_learned
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        self.work_off();
        let frozen: Vec<_> = self.targets.iter().map(|target| target.forecaster.freeze()).collect();
        Box::new(move || {
            let states: tickcast_forecast::Result<_> = frozen.into_iter().map(|write| write()).collect();
            states.map(parts::join).or_fail(Kind::State, || "cannot write the forecasters' state")
        })
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let fail = || "cannot read the forecasters' state";
        let states =
            parts::split(state, self.targets.len()).ok_or_else(|| Error::new(Kind::State, fail()))?;
        for (target, state) in self.targets.iter_mut().zip(states) {
            target.lesson = None;
            target.forecaster.restore(state).or_fail(Kind::State, fail)?;
        }
        Ok(())
    }

    fn report(&self, stats: &mut OperatorStats) {
        let of = |target: &Target| TargetStats {
            target: Arc::clone(&target.name),
            forecaster: target.forecaster.stats(),
        };
        stats.targets = self.targets.iter().map(of).collect();
    }
}
