//! What a backtest says, as `--json` prints it: of each target overall and a series, a row a
//! horizon.
//! It must not compute a measure: it puts those of the partitions together.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tickcast_forecast::{ForecastSpec, Horizon};
use tickcast_stream::PartitionId;
use tickcast_stream::evaluate::{CoverageTimeline, ErrorSums, HorizonMeasures, RollingCoverage};

use super::partition_eval::{HorizonEval, PartitionEval, SeriesEval};

/// All that was measured. Its keys are those of the JSON document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    /// The name of the pipeline.
    pub pipeline: String,
    /// Records read.
    pub records: u64,
    /// Records not taken in.
    pub rejected: u64,
    /// Windows closed.
    pub windows: u64,
    /// Windows at the beginning of a series that are not scored.
    pub skip: u64,
    /// Of each target, in the order of the pipeline file; the keys of a single one stand among
    /// these.
    #[serde(flatten, serialize_with = "one_or_several")]
    pub targets: Vec<TargetMeasures>,
    /// The only wall-clock time.
    pub elapsed_seconds: f64,
}

/// What was measured of one target.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TargetMeasures {
    /// The column that is forecast.
    pub target: String,
    /// Forecasts made.
    pub forecasts: u64,
    /// Forecasts whose truths the measures are made of.
    pub scored: u64,
    /// Forecasts whose truths came in the skipped windows.
    pub skipped: u64,
    /// Forecasts whose truths never came.
    pub unscored: u64,
    /// Forecasts whose truths lie after the end of the input.
    pub pending: u64,
    /// All series together.
    pub horizons: Vec<HorizonMeasures>,
    /// Each series alone.
    pub series: Vec<SeriesMeasures>,
}

fn one_or_several<S: Serializer>(targets: &[TargetMeasures], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Several<'a> {
        targets: &'a [TargetMeasures],
    }

    match targets {
        [only] => only.serialize(serializer),
        targets => Several { targets }.serialize(serializer),
    }
}

/// One series. A series in two partitions is two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesMeasures {
    /// Its name.
    pub series: String,
    /// The partition that it came from.
    pub partition: PartitionId,
    /// A row a horizon.
    pub horizons: Vec<HorizonMeasures>,
}

impl Measured {
    /// A count of all targets together.
    pub fn sum(&self, of: fn(&TargetMeasures) -> u64) -> u64 {
        self.targets.iter().map(of).sum()
    }
}

impl TargetMeasures {
    /// What the evaluations of the partitions say.
    pub(super) fn of(plan: &ForecastSpec, evals: &BTreeMap<PartitionId, PartitionEval>) -> Self {
        let mut measured = TargetMeasures { target: plan.target.clone(), ..TargetMeasures::default() };
        evals.values().for_each(|eval| measured.count(eval));

        for (index, &horizon) in plan.horizons.iter().enumerate() {
            measured.horizons.push(together(plan, evals, index, horizon));
        }

        for (&partition, eval) in evals {
            measured.series.extend(eval.series.iter().map(|(name, series)| {
                let horizons = plan.horizons.iter().zip(&series.horizons);
                let horizons = horizons.map(|(&horizon, eval)| alone(plan, series, eval, horizon));
                SeriesMeasures { series: name.to_string(), partition, horizons: horizons.collect() }
            }));
        }
        measured
    }

    fn count(&mut self, eval: &PartitionEval) {
        let counts = &eval.counts;
        self.forecasts += counts.forecasts;
        self.scored += counts.scored;
        self.skipped += counts.skipped;
        self.unscored += counts.overflowed;
        for horizon in eval.series.values().flat_map(|series| &series.horizons) {
            self.unscored += horizon.open.dropped;
            self.pending += horizon.open.len();
        }
    }
}

/// One series at one horizon.
fn alone(plan: &ForecastSpec, series: &SeriesEval, eval: &HorizonEval, horizon: Horizon) -> HorizonMeasures {
    let worst: Vec<Option<f64>> = eval.worst.iter().map(RollingCoverage::worst).collect();
    eval.errors.measures(horizon, &plan.levels, &worst, mase(series, eval))
}

/// All series at one horizon; MASE is the mean over the scored forecasts, each in the scale of its
/// series.
fn together(
    plan: &ForecastSpec,
    evals: &BTreeMap<PartitionId, PartitionEval>,
    index: usize,
    horizon: Horizon,
) -> HorizonMeasures {
    let (mut errors, mut timeline) = (ErrorSums::default(), CoverageTimeline::default());
    let (mut scaled, mut count) = (0.0, 0);

    for eval in evals.values() {
        timeline.merge(&eval.timelines[index]);
        for series in eval.series.values() {
            let eval = &series.horizons[index];
            errors.merge(&eval.errors);
            if let Some(mase) = mase(series, eval) {
                scaled += mase * eval.errors.scored() as f64;
                count += eval.errors.scored();
            }
        }
    }

    let worst: Vec<Option<f64>> = (0..plan.levels.len()).map(|level| timeline.worst(level)).collect();
    let mase = (count > 0).then(|| scaled / count as f64);
    errors.measures(horizon, &plan.levels, &worst, mase)
}

fn mase(series: &SeriesEval, eval: &HorizonEval) -> Option<f64> {
    Some(eval.errors.mae()? / series.scale()?)
}
