//! The forecast operator: a closed window in, forecasts and scores out.
//! It must not know how a forecast is made; it takes rows out of Arrow, and puts records into it.

use std::ops::{Deref, DerefMut};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{ForecastSpec, Forecaster, WindowOrder};

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
}

impl ForecastOperator {
    /// An operator whose forecaster knows nothing yet.
    pub fn new(spec: &ForecastSpec, order: impl Into<WindowOrder>) -> Self {
        ForecastOperator {
            forecaster: Forecaster::new(spec, order),
            forecasts: forecast_schema(&spec.levels, spec.direction),
            scores: score_schema(&spec.levels),
        }
    }
}

/// Its weights go out and in as the forecaster's own.
impl Deref for ForecastOperator {
    type Target = Forecaster;

    fn deref(&self) -> &Forecaster {
        &self.forecaster
    }
}

impl DerefMut for ForecastOperator {
    fn deref_mut(&mut self) -> &mut Forecaster {
        &mut self.forecaster
    }
}

impl Operator for ForecastOperator {
    fn name(&self) -> &'static str {
        "forecast"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let Some(window) = closed_window::window(batch)? else { return Ok(()) };
        let spec = self.forecaster.spec();
        let rows = closed_window::rows(batch, &spec.features)?;
        let records = rows.len() * spec.horizons.len();
        let mut results = ResultBatches::new(&self.forecasts, &self.scores, window.start, records);
        let lesson = self
            .forecaster
            .forecast(window, rows, &mut results)
            .or_fail(Kind::State, || "cannot forecast from a window")?;

        let (forecasts, scores) = results.finish()?;
        for (stream, records) in [(Stream::Forecasts, forecasts), (Stream::Scores, scores)] {
            if records.num_rows() > 0 {
                out.results(stream, records)?;
            }
        }
        out.send_on()?;
        self.forecaster.learn(lesson);
        Ok(())
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn snapshot(&self) -> SnapshotWriter {
        let frozen = self.forecaster.freeze();
        Box::new(move || frozen().or_fail(Kind::State, || "cannot write the forecasters' state"))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
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
