//! What a backtest says, as `--json` prints it: overall and a series, a row a horizon.
//! It must not compute a measure: it puts those of the tallies together.

use std::collections::BTreeMap;

use serde::Serialize;
use tickcast_forecast::ForecastSpec;

use super::book::{Cell, PartitionEval, Series};
use super::measure::{ErrorSums, HorizonMeasures, Rolling};
use super::views::Timeline;

/// All that was measured. Its keys are those of the JSON document.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    pub pipeline: String,
    pub target: String,
    /// Records read.
    pub records: u64,
    pub rejected: u64,
    /// Windows closed.
    pub windows: u64,
    /// Windows at the beginning of a series that are not scored.
    pub skip: u64,
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
    pub series: Vec<SeriesMeasures>,
    /// The only wall-clock time.
    pub elapsed_seconds: f64,
}

/// One series. A series in two partitions is two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesMeasures {
    pub series: String,
    pub partition: i32,
    pub horizons: Vec<HorizonMeasures>,
}

impl Measured {
    /// What the books of the partitions say; who and how much is left to the caller.
    pub(super) fn of(plan: &ForecastSpec, books: &BTreeMap<i32, PartitionEval>) -> Self {
        let mut measured = Measured::default();
        for book in books.values() {
            let counts = &book.counts;
            measured.forecasts += counts.forecasts;
            measured.scored += counts.scored;
            measured.skipped += counts.skipped;
            measured.unscored += counts.overflowed;
            for cell in book.series.values().flat_map(|series| &series.cells) {
                measured.unscored += cell.queue.dropped;
                measured.pending += cell.queue.len();
            }
        }
        for (index, &horizon) in plan.horizons.iter().enumerate() {
            measured.horizons.push(together(plan, books, index, horizon as i32));
        }
        for (&partition, book) in books {
            measured.series.extend(book.series.iter().map(|(name, series)| {
                let cells = plan.horizons.iter().zip(&series.cells);
                let horizons = cells.map(|(&horizon, cell)| alone(plan, series, cell, horizon as i32));
                SeriesMeasures { series: name.to_string(), partition, horizons: horizons.collect() }
            }));
        }
        measured
    }
}

/// One series at one horizon.
fn alone(plan: &ForecastSpec, series: &Series, cell: &Cell, horizon: i32) -> HorizonMeasures {
    let worst: Vec<Option<f64>> = cell.worst.iter().map(Rolling::worst).collect();
    cell.tally.measures(horizon, &plan.levels, &worst, mase(series, cell))
}

/// All series at one horizon; MASE is the mean over the scored forecasts, each in the scale of its series.
fn together(
    plan: &ForecastSpec,
    books: &BTreeMap<i32, PartitionEval>,
    index: usize,
    horizon: i32,
) -> HorizonMeasures {
    let (mut tally, mut timeline) = (ErrorSums::default(), Timeline::default());
    let (mut scaled, mut count) = (0.0, 0);
    for book in books.values() {
        timeline.merge(&book.timelines[index]);
        for series in book.series.values() {
            let cell = &series.cells[index];
            tally.merge(&cell.tally);
            if let Some(mase) = mase(series, cell) {
                scaled += mase * cell.tally.scored() as f64;
                count += cell.tally.scored();
            }
        }
    }
    let worst: Vec<Option<f64>> = (0..plan.levels.len()).map(|level| timeline.worst(level)).collect();
    let mase = (count > 0).then(|| scaled / count as f64);
    tally.measures(horizon, &plan.levels, &worst, mase)
}

fn mase(series: &Series, cell: &Cell) -> Option<f64> {
    Some(cell.tally.mae()? / series.scale()?)
}
