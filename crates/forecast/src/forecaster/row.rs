//! One row of a closed window, and the context that its series is forecast in.
//! It must not know what is forecast.

use crate::series::SeriesHistory;
use crate::series_forecaster::WindowContext;
use crate::window_times::WindowTimes;

/// One row of a closed window whose series is known.
pub struct Row {
    /// The series' index in the state.
    pub series_idx: usize,
    /// The features, the target first.
    pub values: Vec<Option<f64>>,
    /// False for a row that repeats the last one.
    pub observed: bool,
}

impl Row {
    /// The target, when it was observed in this window.
    pub fn truth(&self) -> Option<f64> {
        self.values[0].filter(|_| self.observed)
    }

    /// The row's window, as the series' forecasters see it. `step`: the series' windows so far.
    pub fn context<'a>(
        &self,
        series: &'a SeriesHistory,
        number: i64,
        times: &'a WindowTimes,
        step: u64,
    ) -> WindowContext<'a> {
        let is_truth = self.truth().is_some();
        WindowContext { series, number, times, step, is_truth }
    }
}
