//! Closed windows as histories to train on: the features and labels that the forecast operator would have had.
//! It must not forecast: no network is asked, so nothing that it records depends on weights.

use std::collections::VecDeque;

use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;

use super::features::Features;
use super::network::label;
use super::rows::{WindowRow, window_rows, window_start};
use super::series::Series;
use crate::config::plan::ForecastPlan;
use crate::error::{Error, Kind, Result};
use crate::message::EventTime;
use crate::model::Sequence;

/// Bytes that histories may take.
const HISTORY_BYTES: usize = 4 << 30;

/// Records the series of all partitions.
pub struct Recorder {
    plan: ForecastPlan,
    /// Length of a window in microseconds.
    size_us: i64,
    features: Features,
    memory: i64,
    /// By partition and name, in the order in which they first appeared.
    series: IndexMap<(i32, String), Recorded>,
    steps: usize,
    /// Numbers of the first and the last window.
    span: Option<(i64, i64)>,
}

struct Recorded {
    series: Series,
    /// Of each horizon, in the order of their target times.
    waiting: Vec<VecDeque<Origin>>,
    sequence: Sequence,
}

/// A step whose truth has not come yet.
struct Origin {
    target_time: EventTime,
    naive: f64,
    sigma: f64,
    step: usize,
}

impl Recorder {
    pub fn new(plan: &ForecastPlan, size_us: i64) -> Self {
        Recorder {
            plan: plan.clone(),
            size_us,
            features: Features::new(plan),
            memory: Features::memory(plan),
            series: IndexMap::new(),
            steps: 0,
            span: None,
        }
    }

    /// Takes in a closed window of a partition. Errors: `Query`, when its columns are not the plan's; `Source`, when
    /// the history is larger than memory should be asked for.
    pub fn take(&mut self, partition: i32, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let start = window_start(batch);
        let number = start.0.div_euclid(self.size_us);
        let (first, last) = self.span.unwrap_or((number, number));
        self.span = Some((first.min(number), last.max(number)));
        for row in window_rows(batch, &self.plan.features)? {
            self.record(partition, &row, start, number);
        }
        let bytes = self.steps * (self.features.width() + self.plan.horizons.len()) * size_of::<f32>();
        if bytes <= HISTORY_BYTES {
            return Ok(());
        }
        let (steps, limit) = (self.steps, HISTORY_BYTES >> 30);
        let what = format!(
            "a history of more than {steps} windows and series takes over {limit} GiB: train on fewer, or on longer windows"
        );
        Err(Error::new(Kind::Source, what))
    }

    /// In the operator's order: the series takes the values in, its features are seen, truths come true, forecasts
    /// begin to wait.
    fn record(&mut self, partition: i32, row: &WindowRow<'_>, start: EventTime, number: i64) {
        let key = (partition, row.series.to_owned());
        // A series appears with its first value of the target.
        if row.values[0].is_none() && !self.series.contains_key(&key) {
            return;
        }
        let horizons = self.plan.horizons.len();
        let recorded = self.series.entry(key).or_insert_with(|| Recorded {
            series: Series::new(&self.plan, self.memory),
            waiting: (0..horizons).map(|_| VecDeque::new()).collect(),
            sequence: Sequence::new(self.features.width(), horizons),
        });
        let Recorded { series, waiting, sequence } = recorded;
        series.update(number, &row.values, row.observed);
        sequence.push(number, &self.features.of(series, start));
        self.steps += 1;
        let end = start.plus_us(self.size_us);
        let truth = row.values[0].filter(|_| row.observed);
        for (slot, (waiting, &horizon)) in waiting.iter_mut().zip(&self.plan.horizons).enumerate() {
            while let Some(origin) = waiting.pop_front_if(|origin| origin.target_time <= end) {
                let label = truth.and_then(|actual| label(actual, origin.naive, origin.sigma));
                // One whose window passed without an observation has no truth.
                if let (Some(label), true) = (label, origin.target_time == end) {
                    sequence.label(origin.step, slot, label);
                }
            }
            let Some(naive) = series.back(0) else { continue };
            waiting.push_back(Origin {
                target_time: end.plus_us(self.size_us.saturating_mul(i64::from(horizon))),
                naive,
                sigma: series.sigma(horizon),
                step: sequence.len() - 1,
            });
        }
    }

    /// Series so far.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// Windows from the first to the last, those without rows included.
    pub fn windows(&self) -> i64 {
        self.span.map_or(0, |(first, last)| last - first + 1)
    }

    /// Whether the target of any series has changed.
    pub fn moves(&self) -> bool {
        self.series.values().any(|recorded| recorded.series.columns[0].step.rms() > 0.0)
    }

    /// The histories; their times are the numbers of the windows, a label slot is a horizon.
    pub fn finish(self) -> Vec<Sequence> {
        self.series.into_values().map(|recorded| recorded.sequence).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
    use std::collections::BTreeMap;

    use super::*;
    use crate::forecast::ForecastOperator;
    use crate::forecast::bench::{SIZE_US, plan_of, window};
    use crate::message::Stream;
    use crate::operator::{Collected, Operator};

    fn plan() -> ForecastPlan {
        plan_of("horizons: [1, 3], season: 4, calendar: [hour], model: { hidden: 2 }")
    }

    /// Two series with nulls, carried rows and a gap of four windows.
    fn history() -> Vec<RecordBatch> {
        let of = |number: i64| {
            let t = number as f64;
            let (a, b) = ((t * 0.7).sin() * 5.0 + t / 10.0, (t * 1.3).cos());
            let a = (number % 7 != 3).then_some(a);
            match number {
                0..4 => window(number, &[("a", a, t, false)]),
                30..34 => window(number, &[]),
                _ => window(number, &[("a", a, t, false), ("b", Some(b), -t, number % 5 == 2)]),
            }
        };
        (0..60).map(of).collect()
    }

    #[test]
    fn labels_are_the_truths_that_the_operator_scores() {
        let plan = plan();
        let mut operator = ForecastOperator::new(&plan, SIZE_US);
        let mut recorder = Recorder::new(&plan, SIZE_US);
        let mut out = Collected::default();
        for rows in history() {
            operator.on_batch(&rows, &mut out).unwrap();
            recorder.take(0, &rows).unwrap();
        }
        assert_eq!((recorder.series(), recorder.windows(), recorder.moves()), (2, 60, true));
        let sequences = recorder.finish();
        assert_eq!(sequences[0].width(), Features::new(&plan).width());
        let mut scored = BTreeMap::new();
        for (_, scores) in out.results.iter().filter(|(stream, _)| *stream == Stream::Scores) {
            let number = |name: &str| scores[name].as_primitive::<Float64Type>();
            for row in 0..scores.num_rows() {
                let series = usize::from(scores["series"].as_string::<i32>().value(row) == "b");
                let issued = scores["issued_at"].as_primitive::<TimestampMicrosecondType>().value(row);
                let slot = usize::from(scores["horizon"].as_primitive::<Int32Type>().value(row) == 3);
                let moved = number("actual").value(row) - number("naive").value(row);
                scored.insert((series, issued / SIZE_US - 1, slot), moved);
            }
        }
        let mut labelled = 0;
        for (at, sequence) in sequences.iter().enumerate() {
            for (step, &time) in sequence.times().iter().enumerate() {
                for (slot, label) in sequence.labels(step) {
                    let moved = scored[&(at, time, slot)];
                    assert!(f64::from(label) * moved > 0.0, "{at} {time} {slot}: {label} {moved}");
                    labelled += 1;
                }
            }
        }
        // Only those made before there was a scale have none.
        assert!(labelled + 10 > scored.len() && labelled <= scored.len(), "{labelled} of {}", scored.len());
    }

    #[test]
    fn a_label_is_the_move_in_units_of_the_scale_at_its_origin() {
        let plan = plan();
        let mut recorder = Recorder::new(&plan, SIZE_US);
        for (number, x) in [1.0, 3.0, 7.0, 4.0].into_iter().enumerate() {
            recorder.take(0, &window(number as i64, &[("a", Some(x), 0.0, false)])).unwrap();
        }
        // The same name in another partition is another series.
        recorder.take(1, &window(9, &[("a", Some(1.0), 0.0, false)])).unwrap();
        let sequences = recorder.finish();
        assert_eq!((sequences.len(), sequences[0].times()), (2, &[0, 1, 2, 3][..]));
        let labels: Vec<Vec<(usize, f32)>> = (0..4).map(|step| sequences[0].labels(step).collect()).collect();
        // At step 1 the only step seen is 2; at step 2 they are 2 and 4.
        let rms = (10.0f64).sqrt();
        assert_eq!(labels, [vec![], vec![(0, 2.0)], vec![(0, (-3.0 / rms) as f32)], vec![]]);
    }
}
