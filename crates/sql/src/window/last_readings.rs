//! The last reading of each meter and series before the windows that are open, and the steps from
//! them into a window.
//! It must not know when a window closes: it is told of windows in the order of time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, Result};

use super::aggregate::{OpenWindow, RowSet, SeriesId};
use super::plan::Aggregation;
use crate::meter::{Meter, first_of, last_of, peaks_of};

/// By meter, then by series; those at the end that have none need not be there.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LastReadings(Vec<Vec<Option<f64>>>);

impl LastReadings {
    /// Puts steps in the place of readings among the aggregates' values of a window, a row a
    /// series. A series without a reading before it, or in it, has none.
    pub fn make_steps(
        &self,
        aggregation: &Aggregation,
        series: &RowSet<SeriesId>,
        values: &mut [ArrayRef],
    ) -> Result<()> {
        for (nth, (at, meter)) in aggregation.meters().enumerate() {
            let readings = Readings::of(&values[at])?;
            let step = |(row, &id)| readings.step(meter, row, self.before(nth, id));
            let steps: Float64Array = series.iter().enumerate().map(step).collect();
            values[at] = Arc::new(steps);
        }
        Ok(())
    }

    /// The same for windows of one series each, which may be of the same: one after the other, in
    /// the order in which they closed, `series[i]` that of window i. After each, readings that no
    /// later window has are those before.
    pub fn step_through(
        &mut self,
        aggregation: &Aggregation,
        series: &[SeriesId],
        values: &mut [ArrayRef],
        passed: &Passed,
    ) -> Result<()> {
        for (nth, (at, meter)) in aggregation.meters().enumerate() {
            let readings = Readings::of(&values[at])?;
            let gone = passed.values.get(at).map(Readings::of).transpose()?;
            let mut next = 0;
            let step = |(row, &id)| {
                let step = readings.step(meter, row, self.before(nth, id));
                let gone_now = next..passed.until[row];
                next = passed.until[row];
                for gone in gone_now.filter_map(|row| gone.as_ref()?.last_at(row)) {
                    self.know(nth, id, gone);
                }
                step
            };
            let steps: Float64Array = series.iter().enumerate().map(step).collect();
            values[at] = Arc::new(steps);
        }
        Ok(())
    }

    /// The windows from now on come after this one: its readings are those before. They are what
    /// the aggregates at these places evaluate to.
    pub fn pass(
        &mut self,
        aggregation: &Aggregation,
        series: &RowSet<SeriesId>,
        readings_of: impl Fn(usize) -> Result<ArrayRef>,
    ) -> Result<()> {
        for (nth, (at, _)) in aggregation.meters().enumerate() {
            let readings = readings_of(at)?;
            let last = last_of(&readings).ok_or_else(no_readings)?;
            for (&id, reading) in series.iter().zip(last) {
                reading.into_iter().for_each(|reading| self.know(nth, id, reading));
            }
        }
        Ok(())
    }

    fn know(&mut self, nth: usize, id: SeriesId, reading: f64) {
        if self.0.len() <= nth {
            self.0.resize(nth + 1, Vec::new());
        }
        let known = &mut self.0[nth];
        if known.len() <= id as usize {
            known.resize(id as usize + 1, None);
        }
        known[id as usize] = Some(reading);
    }

    /// [`LastReadings::pass`] for a pane, whose readings are in its states.
    pub fn pass_pane(&mut self, aggregation: &Aggregation, pane: &OpenWindow) -> Result<()> {
        if aggregation.meters().next().is_none() {
            return Ok(());
        }
        let rows = pane.pending_rows(aggregation)?;
        self.pass(aggregation, &pane.series, |at| pane.value(aggregation, at, &rows))
    }

    fn before(&self, nth: usize, id: SeriesId) -> Option<f64> {
        *self.0.get(nth)?.get(id as usize)?
    }

    /// Gives each series its new place; one without a place is gone.
    pub fn move_to(&mut self, places: &[Option<SeriesId>]) {
        for known in &mut self.0 {
            let mut kept = places.iter().map(Option::is_some);
            known.retain(|_| kept.next().unwrap_or(false));
        }
    }
}

/// Readings that no later window has.
pub(super) struct Passed {
    /// What the aggregates evaluate to, of each series in the order of time; nothing where there is
    /// nothing to tell.
    pub values: Vec<ArrayRef>,
    /// How many rows of them are passed after each window.
    pub until: Vec<usize>,
}

impl Passed {
    /// So many windows with these values that share no records.
    pub fn windows(values: &[ArrayRef], count: usize) -> Self {
        Passed { values: values.to_vec(), until: (1..=count).collect() }
    }
}

/// What a meter's aggregate evaluates to, a row a window.
struct Readings<'a> {
    first: &'a Float64Array,
    last: &'a Float64Array,
    peaks: &'a Float64Array,
}

impl<'a> Readings<'a> {
    fn of(values: &'a ArrayRef) -> Result<Self> {
        let readings = || {
            let (first, last, peaks) = (first_of(values)?, last_of(values)?, peaks_of(values)?);
            Some(Readings { first, last, peaks })
        };
        readings().ok_or_else(no_readings)
    }

    fn last_at(&self, row: usize) -> Option<f64> {
        self.last.is_valid(row).then(|| self.last.value(row))
    }

    /// From the reading before; none, where one is missing.
    fn step(&self, meter: Meter, row: usize, before: Option<f64>) -> Option<f64> {
        let last = self.last_at(row).filter(|_| self.first.is_valid(row))?;
        Some(meter.step(before?, self.first.value(row), last, self.peaks.value(row)))
    }
}

fn no_readings() -> Error {
    Error::new(Kind::Query, "a meter has no readings")
}
