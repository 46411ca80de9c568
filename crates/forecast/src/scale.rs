//! Causal scales: what a series' level and steps have been so far, forgetting slowly.
//! It must not see the future: a scale is updated with a value before it is used for what follows
//! it.

use serde::{Deserialize, Serialize};

/// Moves are clipped to ±8 sigma wherever somebody learns from them: labels of the network,
/// forecasts of experts, errors that drift is looked for in. All must agree: a label beyond what a
/// forecast can say would never be met, and a forecast beyond what a label can say would never be
/// judged.
pub const MOVE_CLIP: f64 = 8.0;

/// The slowest forgetting: a month of hourly windows.
const ALPHA: f64 = 1.0 / 720.0;

/// A value this many scales away moves a level no further: one absurd reading must not drown the
/// ordinary ones.
const OUTLIER: f64 = 100.0;
/// The same for steps, and for values in means. A mean of many windows holds an absurd reading as
/// often as it is long, and each time would add to the last.
const STEP_OUTLIER: f64 = 10.0;
/// Observations before a scale knows what is absurd.
const KNOWN: u64 = 10;
/// The largest difference: its square is still a number.
const LARGEST: f64 = 1e150;

/// How large a difference may be that is not absurd.
fn limit(n: u64, scale: f64, outlier: f64) -> f64 {
    if n > KNOWN && scale > 0.0 { (outlier * scale).min(LARGEST) } else { LARGEST }
}

/// A difference as a scale takes it in.
fn tame(difference: f64, n: u64, scale: f64, outlier: f64) -> f64 {
    let limit = limit(n, scale, outlier);
    difference.clamp(-limit, limit)
}

/// The weight of the n-th observation: a plain mean at first, exponential forgetting later.
fn weight(n: u64) -> f64 {
    (1.0 / n as f64).max(ALPHA)
}

/// Exponentially weighted mean and variance of a column:
/// `m += a (x - m)`, `v = (1 - a) (v + a (x - m_old)^2)`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Level {
    n: u64,
    mean: f64,
    variance: f64,
}

impl Level {
    /// Takes in a value.
    pub fn update(&mut self, x: f64) {
        self.n += 1;
        let a = weight(self.n);
        let d = tame(x - self.mean, self.n, self.variance.sqrt(), OUTLIER);
        self.mean += a * d;
        self.variance = (1.0 - a) * (self.variance + a * d * d);
    }

    /// The value, or where it is absurd the nearest that is not.
    pub fn tame(&self, x: f64) -> f64 {
        let limit = limit(self.n, self.variance.sqrt(), STEP_OUTLIER);
        x.clamp(self.mean - limit, self.mean + limit).clamp(-LARGEST, LARGEST)
    }

    /// The standardised value, 0 while nothing varies.
    pub fn z(&self, x: f64) -> f64 {
        let sd = self.variance.sqrt();
        if sd > 0.0 { (x - self.mean) / sd } else { 0.0 }
    }
}

/// Exponentially weighted root mean square of differences: `s^2 += a (d^2 - s^2)`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StepScale {
    n: u64,
    mean_square: f64,
}

impl StepScale {
    /// Takes in a difference.
    pub fn update(&mut self, difference: f64) {
        self.n += 1;
        let difference = tame(difference, self.n, self.rms(), STEP_OUTLIER);
        self.mean_square += weight(self.n) * (difference * difference - self.mean_square);
    }

    /// Differences so far.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// In the column's unit; 0 while no step has been seen or none moved.
    pub fn rms(&self) -> f64 {
        self.mean_square.sqrt()
    }

    /// The difference in units of the scale, 0 while there is none.
    pub fn scaled(&self, difference: f64) -> f64 {
        let rms = self.rms();
        if rms > 0.0 { difference / rms } else { 0.0 }
    }
}

/// Mean size of errors: a plain mean at first, an exponential one later. One error counts as at
/// most [`ERROR_JUMP`] means.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MeanError {
    /// The mean |error|.
    pub mean: f64,
    /// Errors so far.
    pub n: u64,
}

const ERROR_JUMP: f64 = 5.0;

impl MeanError {
    /// Takes in an error. `rate`: of the mean, once it is warm; `known`: errors before their size
    /// is known, which count whole.
    pub fn update(&mut self, error: f64, rate: f64, known: u64) {
        self.n += 1;
        let most = if self.n > known { ERROR_JUMP * self.mean } else { f64::INFINITY };
        self.mean += rate.max(1.0 / self.n as f64) * (error.abs().min(most) - self.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_first_the_level_is_the_plain_mean_and_variance() {
        let mut level = Level::default();
        [1.0, 2.0, 6.0].iter().for_each(|&x| level.update(x));
        assert!((level.mean - 3.0).abs() < 1e-12);
        assert!((level.variance - 14.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn an_absurd_value_passes() {
        let (mut level, mut step) = (Level::default(), StepScale::default());
        for n in 0..2000 {
            let x = if n == 300 { 1e308 } else { f64::from(n % 7) };
            level.update(x);
            step.update(x);
        }
        assert!(level.z(3.0).is_finite() && step.rms().is_finite());
        assert!(step.rms() < 50.0, "{}", step.rms());
    }

    #[test]
    fn a_constant_series_has_no_scale_and_no_z() {
        let (mut level, mut step) = (Level::default(), StepScale::default());
        for _ in 0..5 {
            level.update(4.0);
            step.update(0.0);
        }
        assert_eq!((level.z(4.0), step.scaled(1.0), step.rms()), (0.0, 0.0, 0.0));
    }
}
