//! Closed windows as histories to train on: the features and labels that a forecaster would have
//! had.
//! It must not forecast: no network is asked, so nothing that it records depends on weights.

use std::collections::VecDeque;

use indexmap::IndexMap;
use tickcast_model::TrainingSequence;

use crate::error::{ForecastError, Result};
use crate::features::Features;
use crate::network::label;
use crate::series::SeriesHistory;
use crate::spec::ForecastSpec;
use crate::window::{ClosedWindow, WindowRow};
use crate::window_order::WindowOrder;

/// Bytes that histories may take.
const HISTORY_BYTES: usize = 4 << 30;

/// Records the series of all partitions.
pub struct Recorder {
    spec: ForecastSpec,
    /// How windows follow each other.
    order: WindowOrder,
    features: Features,
    memory: i64,
    /// By partition and name, in the order in which they first appeared.
    series: IndexMap<(i32, String), Recorded>,
    steps: usize,
    /// Numbers of the first and the last window, as the series count them.
    span: Option<(i64, i64)>,
}

struct Recorded {
    series: SeriesHistory,
    /// Of each horizon, in the order of their target windows.
    pending: Vec<VecDeque<PendingLabel>>,
    sequence: TrainingSequence,
}

/// A step whose truth has not come yet.
struct PendingLabel {
    /// The number of the window that it is about.
    target: i64,
    naive: f64,
    sigma: f64,
    step: usize,
}

impl Recorder {
    /// A recorder without series. `order`: as a forecaster's.
    pub fn new(spec: &ForecastSpec, order: impl Into<WindowOrder>) -> Self {
        Recorder {
            spec: spec.clone(),
            order: order.into(),
            features: Features::new(spec),
            memory: Features::memory(spec),
            series: IndexMap::new(),
            steps: 0,
            span: None,
        }
    }

    /// Takes in a closed window of a partition. Errors: when the history is larger than memory
    /// should be asked for.
    pub fn take(&mut self, partition: i32, window: ClosedWindow, rows: &[WindowRow<'_>]) -> Result<()> {
        rows.iter().for_each(|row| self.record(partition, row, window));

        let bytes = self.steps * (self.features.width() + self.spec.horizons.len()) * size_of::<f32>();
        if bytes <= HISTORY_BYTES {
            return Ok(());
        }
        let (steps, limit) = (self.steps, HISTORY_BYTES >> 30);
        let what = format!(
            "a history of more than {steps} windows and series takes over {limit} GiB: train on fewer, \
             or on longer windows"
        );
        Err(ForecastError::new(what))
    }

    /// In a forecaster's order: the series takes the values in, its features are recorded,
    /// forecasts that are due get their labels, new ones begin to wait.
    fn record(&mut self, partition: i32, row: &WindowRow<'_>, window: ClosedWindow) {
        let key = (partition, row.series.to_owned());
        let before = self.series.get(&key).map_or(0, |recorded| recorded.sequence.len());
        let number = self.order.number_of(window, before as u64 + 1);
        let (first, last) = self.span.unwrap_or((number, number));
        self.span = Some((first.min(number), last.max(number)));
        // A series appears with its first value of the target.
        if row.values[0].is_none() && !self.series.contains_key(&key) {
            return;
        }

        let horizons = self.spec.horizons.len();
        let recorded = self.series.entry(key).or_insert_with(|| Recorded {
            series: SeriesHistory::new(&self.spec, self.memory),
            pending: (0..horizons).map(|_| VecDeque::new()).collect(),
            sequence: TrainingSequence::new(self.features.width(), horizons),
        });
        let Recorded { series, pending, sequence } = recorded;
        series.update(number, &row.values, row.observed);
        sequence.push(number, &self.features.of(series, window.start));
        self.steps += 1;

        let truth = row.values[0].filter(|_| row.observed);
        for (horizon_idx, (pending, &horizon)) in pending.iter_mut().zip(&self.spec.horizons).enumerate() {
            while let Some(origin) = pending.pop_front_if(|origin| origin.target <= number) {
                let label = truth.and_then(|actual| label(actual, origin.naive, origin.sigma));
                // One whose window passed without an observation has no truth.
                if let (Some(label), true) = (label, origin.target == number) {
                    sequence.label(origin.step, horizon_idx, label);
                }
            }

            let Some(naive) = series.back(0) else { continue };
            pending.push_back(PendingLabel {
                target: number.saturating_add(horizon.into()),
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

    /// The histories; their times are the numbers of the windows, label i is that of horizon i.
    pub fn finish(self) -> Vec<TrainingSequence> {
        self.series.into_values().map(|recorded| recorded.sequence).collect()
    }
}
