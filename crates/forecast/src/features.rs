//! What the network sees of a series: standardised levels, scaled steps, seasonal hints and the
//! calendar.
//! It must not see a value later than the window it describes.

use crate::horizon::Horizon;
use crate::lags::{LAGS, seasons, to_phase};
use crate::season_level::SeasonLevel;
use crate::series::SeriesHistory;
use crate::spec::{Calendar, ForecastSpec};
use crate::time::EventTime;

/// How many of the lags the fast learners see.
const SHORT_LAGS: usize = 3;
/// Inputs are clipped to this many scales.
const CLIP: f64 = 5.0;

const HOUR_US: f64 = 3_600e6;

/// The inputs of a network, in order.
#[derive(Debug, Clone)]
pub struct Features {
    horizons: Vec<Horizon>,
    seasons: Vec<u32>,
    week: Option<u32>,
    calendar: Vec<Calendar>,
    columns: usize,
}

impl Features {
    /// The inputs of a spec.
    pub fn new(spec: &ForecastSpec) -> Self {
        Features {
            horizons: spec.horizons.clone(),
            seasons: seasons(spec),
            week: spec.week,
            calendar: spec.calendar.clone(),
            columns: spec.features.len(),
        }
    }

    /// Number of inputs.
    pub fn width(&self) -> usize {
        let waves: usize = self.calendar.iter().map(|&calendar| harmonics(calendar).len()).sum();
        let week = usize::from(self.week.is_some());
        self.columns * 2 - 1 + LAGS.len() + self.seasonal() + week + 2 * waves
    }

    /// Number of those that seasons give: first where the phase was a season ago, then how far it
    /// is from what is usual.
    fn seasonal(&self) -> usize {
        let usual = self.seasons.iter().filter(|&&season| SeasonLevel::is_for(season)).count();
        (self.seasons.len() + usual) * self.horizons.len()
    }

    /// Indices of the inputs that tell most about the newest steps and the seasons.
    pub fn short(&self) -> impl Iterator<Item = usize> {
        let lags = self.columns * 2 - 1;
        let seasonal = self.seasonal();
        (lags..lags + SHORT_LAGS).chain((0..seasonal).map(move |at| lags + LAGS.len() + at))
    }

    /// Windows of the target that a series must remember, the newest included.
    pub fn memory(spec: &ForecastSpec) -> i64 {
        let horizons = spec.horizons.iter().map(|horizon| horizon.0);
        let longest = horizons.chain(LAGS).chain(seasons(spec)).max();
        longest.map_or(1, |steps| i64::from(steps) + 1)
    }

    /// The inputs at the newest window of `series`, which starts at `start`; shape (width).
    pub fn of(&self, series: &SeriesHistory, start: EventTime) -> Vec<f32> {
        let mut inputs = Vec::with_capacity(self.width());
        let mut put = |value: f64| inputs.push(clipped(value));
        for (index, column) in series.columns.iter().enumerate() {
            put(column.value.map_or(0.0, |value| column.level.z(value)));
            // The target's own steps follow at several lags.
            if index > 0 {
                put(column.step.scaled(column.difference));
            }
        }
        for lag in LAGS {
            put(scaled_difference(series, lag));
        }

        self.put_seasons(series, &mut put);
        for &calendar in &self.calendar {
            for harmonic in harmonics(calendar) {
                let angle = std::f64::consts::TAU * harmonic * phase(calendar, start);
                put(libm::sin(angle));
                put(libm::cos(angle));
            }
        }
        inputs
    }

    fn put_seasons(&self, series: &SeriesHistory, put: &mut impl FnMut(f64)) {
        for &season in &self.seasons {
            for &h in &self.horizons {
                // Where the target's phase was a season ago: x[t + h - S] - x[t].
                let back = to_phase(season, h);
                put(series.difference(back).map_or(0.0, |d| series.step_scale(back).scaled(-d)));
            }
        }

        for &season in self.seasons.iter().filter(|&&season| SeasonLevel::is_for(season)) {
            // How far it is from what is usual there.
            self.horizons.iter().for_each(|&h| put(series.to_usual(season, h)));
        }

        if let Some(week) = self.week {
            put(scaled_difference(series, week));
        }
    }
}

/// The target's difference over a lag, in units of its scale; 0 before there is one.
fn scaled_difference(series: &SeriesHistory, lag: u32) -> f64 {
    series.difference(lag).map_or(0.0, |difference| series.step_scale(lag).scaled(difference))
}

fn clipped(value: f64) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-CLIP, CLIP) as f32 }
}

/// The waves of a calendar input, as multiples of its frequency: a day has a morning and an
/// evening, and a week of days is any sum of three.
fn harmonics(calendar: Calendar) -> &'static [f64] {
    match calendar {
        Calendar::Hour => &[1.0, 2.0],
        Calendar::DayOfWeek => &[1.0, 2.0, 3.0],
        Calendar::DayOfYear => &[1.0],
    }
}

/// Where `time` is in its day, week or year, in [0, 1), in UTC.
fn phase(calendar: Calendar, time: EventTime) -> f64 {
    let hours = time.0 as f64 / HOUR_US;
    let period_hours = match calendar {
        Calendar::Hour => 24.0,
        Calendar::DayOfWeek => 24.0 * 7.0,
        Calendar::DayOfYear => 24.0 * 365.2425,
    };
    (hours / period_hours).rem_euclid(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_run_through_day_and_year() {
        let at = |text: &str| EventTime(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        assert_eq!(phase(Calendar::Hour, at("2013-06-01T06:00:00Z")), 0.25);
        assert_eq!(phase(Calendar::Hour, at("1969-12-31T18:00:00Z")), 0.75);
        assert!((phase(Calendar::DayOfYear, at("2013-07-02T12:00:00Z")) - 0.5).abs() < 0.01);
    }
}
