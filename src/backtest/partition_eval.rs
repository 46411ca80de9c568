//! What a backtest keeps of one target in one partition: its series, each with what waits and what
//! was scored at every horizon.
//! It must not know how records come about; it takes forecast and score records in the order the
//! operator makes them.

use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use tickcast_forecast::{ForecastSpec, Horizon, WindowOrder};
use tickcast_stream::error::Result;
use tickcast_stream::evaluate::{
    CoverageTimeline, ErrorSums, OpenForecast, OpenForecasts, Pair, RollingCoverage,
};
use tickcast_stream::message::EventTime;
use tickcast_stream::record::{ForecastRow, ForecastRows, ScoreRow, ScoreRows};

use super::chart_data::{RecentPairs, TopErrors};

/// Series that a report shows closely.
pub const SHOWN: usize = 4;

/// The backtest of one target in one partition.
pub struct PartitionEval {
    target: String,
    /// Interval levels, in the order of the columns.
    levels: Vec<f64>,
    /// Horizons in windows, ascending.
    horizons: Vec<Horizon>,
    order: WindowOrder,
    /// Truths in a series' first `skip` windows are not scored.
    skip: u64,
    /// Whether a report wants to draw what it sees.
    is_drawn: bool,
    /// By name, in the order in which they were first seen.
    pub series: IndexMap<Box<str>, SeriesEval>,
    /// By horizon.
    pub timelines: Vec<CoverageTimeline>,
    /// What became of the forecasts.
    pub counts: ForecastCounts,
}

/// What became of the forecasts.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForecastCounts {
    /// Forecasts made.
    pub forecasts: u64,
    /// The measures are made of these.
    pub scored: u64,
    /// Their truths came in the windows that are skipped.
    pub skipped: u64,
    /// Their errors are too large for a number.
    pub overflowed: u64,
}

/// A series.
#[derive(Default)]
pub struct SeriesEval {
    /// Windows since its first.
    windows: u64,
    last: Option<LastValue>,
    steps: StepSums,
    /// By horizon.
    pub horizons: Vec<HorizonEval>,
}

/// The newest value of a series, and the end of its window.
struct LastValue {
    end: EventTime,
    value: f64,
}

/// Steps from one window to the next.
#[derive(Default)]
struct StepSums {
    count: u64,
    /// Sum of their absolute values.
    absolute: f64,
}

/// A series at one horizon.
#[derive(Default)]
pub struct HorizonEval {
    /// Forecasts whose truths have not come.
    pub open: OpenForecasts,
    /// Those that were scored.
    pub errors: ErrorSums,
    /// The worst coverage a level.
    pub worst: Vec<RollingCoverage>,
    /// Truths that were learned from.
    truths: u64,
    /// Rises among them.
    rises: u64,
    /// What a report shows of it; none: it is not shown.
    pub recent: Option<Box<RecentPairs>>,
    /// Empty without a report.
    pub top_errors: TopErrors,
}

impl SeriesEval {
    /// In-sample one-step error of naive, the scale of MASE: the mean absolute step from one window
    /// to the next.
    pub fn scale(&self) -> Option<f64> {
        let scale = self.steps.absolute / self.steps.count as f64;
        (scale > 0.0 && scale.is_finite()).then_some(scale)
    }

    /// A window of it: the forecasts of its shortest horizon stand for it.
    fn window(&mut self, end: EventTime, value: f64, order: &WindowOrder) {
        self.windows += 1;
        if let Some(last) = &self.last
            && order.follows(last.end, end)
        {
            self.steps.count += 1;
            self.steps.absolute += (value - last.value).abs();
        }
        self.last = Some(LastValue { end, value });
    }
}

impl HorizonEval {
    /// Share of rises so far, with one rise and one fall before the first.
    fn base_rate(&self) -> f64 {
        (self.rises + 1) as f64 / (self.truths + 2) as f64
    }

    /// Takes in a pair whose errors are finite, with what every expert forecast.
    fn add<'a>(&mut self, pair: &Pair, levels: &[f64], experts: impl Iterator<Item = (&'a str, f64)>) {
        self.errors.add(pair, levels, experts);
        self.worst.resize(levels.len(), RollingCoverage::default());
        for (rolling, interval) in self.worst.iter_mut().zip(&pair.intervals) {
            rolling.add(interval.covers(pair.actual));
        }
    }
}

impl PartitionEval {
    /// Of a partition that has seen nothing yet. `order`: how windows follow each other; truths
    /// in a series' first `skip` windows are not scored.
    pub fn new(spec: &ForecastSpec, order: WindowOrder, skip: u64, is_drawn: bool) -> Self {
        PartitionEval {
            target: spec.target.clone(),
            levels: spec.levels.clone(),
            horizons: spec.horizons.clone(),
            order,
            skip,
            is_drawn,
            series: IndexMap::new(),
            timelines: vec![CoverageTimeline::default(); spec.horizons.len()],
            counts: ForecastCounts::default(),
        }
    }

    /// Takes in forecast records; those of other targets are passed over. Errors: `Query`, when
    /// they are none.
    pub fn forecasts(&mut self, records: &RecordBatch) -> Result<()> {
        for row in ForecastRows::of(records)?.iter() {
            if row.target() == self.target {
                self.forecast(&row);
            }
        }
        Ok(())
    }

    fn forecast(&mut self, row: &ForecastRow<'_>) {
        let Some(index) = self.index_of(row.horizon()) else { return };
        let at = self.index_of_series(row.series());
        let series = &mut self.series[at];
        if index == 0 {
            series.window(row.issued_at(), row.naive(), &self.order);
        }

        let horizon = &mut series.horizons[index];
        horizon.open.push(OpenForecast::of(row, horizon.base_rate()));
        self.counts.forecasts += 1;
    }

    /// Takes in score records; those of a window come after its forecasts, and those of other
    /// targets are passed over. Errors: `Query`, when they are none.
    pub fn scores(&mut self, records: &RecordBatch) -> Result<()> {
        for row in ScoreRows::of(records)?.iter() {
            if row.target() == self.target {
                self.score(&row);
            }
        }
        Ok(())
    }

    fn score(&mut self, row: &ScoreRow<'_>) {
        let Some(index) = self.index_of(row.horizon()) else { return };
        let skip = self.skip;
        let at = self.index_of_series(row.series());
        let series = &mut self.series[at];
        let is_skipped = series.windows <= skip;
        let horizon = &mut series.horizons[index];
        let Some(made) = horizon.open.take(row.issued_at()) else { return };
        let pair = made.scored(row);
        horizon.truths += 1;
        horizon.rises += u64::from(pair.is_up());

        if is_skipped {
            self.counts.skipped += 1;
        } else if pair.is_finite() {
            self.counts.scored += 1;
            self.judge(row, index, pair);
        } else {
            self.counts.overflowed += 1;
        }
    }

    fn judge(&mut self, row: &ScoreRow<'_>, index: usize, pair: Pair) {
        let Some(series) = self.series.get_mut(row.series()) else { return };
        let horizon = &mut series.horizons[index];
        horizon.add(&pair, &self.levels, row.experts());
        self.timelines[index].add(&pair);
        if self.is_drawn {
            horizon.top_errors.add(&pair);
        }
        if let Some(recent) = &mut horizon.recent {
            recent.add(pair);
        }
    }

    fn index_of(&self, horizon: Horizon) -> Option<usize> {
        self.horizons.iter().position(|&known| known == horizon)
    }

    fn index_of_series(&mut self, name: &str) -> usize {
        self.series.get_index_of(name).unwrap_or_else(|| {
            let recent = (self.is_drawn && self.series.len() < SHOWN).then(Box::<RecentPairs>::default);
            let horizon = || HorizonEval { recent: recent.clone(), ..HorizonEval::default() };
            let horizons = self.horizons.iter().map(|_| horizon()).collect();
            self.series.insert_full(name.into(), SeriesEval { horizons, ..SeriesEval::default() }).0
        })
    }
}

#[cfg(test)]
mod tests {
    use tickcast_forecast::{Forecast, Results, Score};
    use tickcast_stream::record::{ResultBatches, forecast_schema, score_schema};

    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    fn minute(minute: i64) -> EventTime {
        EventTime(minute * MINUTE_US)
    }

    fn batches(fill: impl FnOnce(&mut ResultBatches)) -> (RecordBatch, RecordBatch) {
        let (forecasts, scores) = (forecast_schema(&[0.9], true), score_schema(&[0.9]));
        let mut results = ResultBatches::new(&forecasts, &scores, minute(0), 1);
        fill(&mut results);
        results.finish().unwrap()
    }

    /// One-minute windows, horizon 1: the forecast of the window that ends at `end`.
    fn forecast(end: i64, value: f64) -> RecordBatch {
        let made = Forecast {
            series: "a",
            issued_at: minute(end),
            target_time: Some(minute(end + 1)),
            horizon: Horizon(1),
            forecast: value,
            naive: value,
            intervals: &[(value - 1.0, value + 1.0)],
            prob_up: Some(0.5),
            expert: "naive",
            model_updates: 0,
            carried: false,
        };
        batches(|results| results.of("temp").forecast(&made)).0
    }

    fn score(end: i64, actual: f64, forecast: f64) -> RecordBatch {
        let score = Score {
            series: "a",
            issued_at: minute(end - 1),
            target_time: minute(end),
            horizon: Horizon(1),
            actual,
            forecast,
            naive: forecast,
            intervals: &[(forecast - 1.0, forecast + 1.0)],
            experts: (&["naive"], &[forecast]),
        };
        batches(|results| results.of("temp").score(&score)).1
    }

    /// Values 0, 1, 3, 6 in the windows that end at minutes 1, 2, 3, 4.
    fn eval(skip: u64) -> PartitionEval {
        let mut eval = PartitionEval::new(&ForecastSpec::new("temp"), MINUTE_US.into(), skip, true);
        eval.forecasts(&forecast(1, 0.0)).unwrap();
        for (end, value, last) in [(2, 1.0, 0.0), (3, 3.0, 1.0), (4, 6.0, 3.0)] {
            eval.forecasts(&forecast(end, value)).unwrap();
            eval.scores(&score(end, value, last)).unwrap();
        }
        eval
    }

    #[test]
    fn pairs_are_summed_beside_the_scale_of_the_series() {
        let eval = eval(0);
        let series = &eval.series["a"];
        let horizon = &series.horizons[0];
        assert_eq!((series.windows, series.scale()), (4, Some(2.0)));
        assert_eq!((horizon.errors.scored(), horizon.errors.mae(), horizon.open.len()), (3, Some(2.0), 1));
        assert_eq!((eval.counts.forecasts, eval.counts.scored), (4, 3));
        let measures = horizon.errors.measures(Horizon(1), &[0.9], &[], None);
        // On the bound, and outside by 1 and by 2.
        assert_eq!(measures.levels[0].coverage, Some(1.0 / 3.0));
        assert!((measures.levels[0].winkler.unwrap() - (2.0 + 2.0 + 20.0 + 2.0 + 40.0) / 3.0).abs() < 1e-9);
        let direction = measures.direction.unwrap();
        assert_eq!((direction.ups, direction.brier), (1.0, 0.25));
        // Issued when 0, 0 and 1 truths were known.
        assert!((direction.base_brier - (0.25 + 0.25 + 1.0 / 9.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn skipped_windows_are_learned_from_and_not_scored() {
        let eval = eval(3);
        let horizon = &eval.series["a"].horizons[0];
        // Of the truths in windows 2, 3 and 4 the last.
        assert_eq!((eval.counts.skipped, horizon.errors.scored(), horizon.errors.mae()), (2, 1, Some(3.0)));
        assert_eq!((horizon.truths, horizon.rises), (3, 3));
    }

    #[test]
    fn records_of_other_targets_are_passed_over() {
        let mut other = PartitionEval::new(&ForecastSpec::new("wind"), MINUTE_US.into(), 0, true);
        other.forecasts(&forecast(1, 0.0)).unwrap();
        other.scores(&score(2, 1.0, 0.0)).unwrap();
        assert!(other.series.is_empty() && other.counts.forecasts == 0);
    }

    #[test]
    fn a_truth_that_never_came_is_counted() {
        let mut eval = eval(0);
        eval.forecasts(&forecast(9, 6.0)).unwrap();
        let horizon = &eval.series["a"].horizons[0];
        assert_eq!((horizon.open.dropped, horizon.open.len()), (1, 1));
        // A step over silence is none.
        assert_eq!(eval.series["a"].scale(), Some(2.0));
    }
}
