//! The formulas of the measures, of one forecast or of sums over many.
//! It must not sum: it is told what to compare.

use crate::record::Interval;

/// A probability of 0 or 1 that fails must not make the mean infinite.
const LEAST_PROBABILITY: f64 = 1e-12;

/// A sum by a count or by another sum. None where it says nothing: by zero, or not finite.
pub(super) fn ratio(sum: f64, by: f64) -> Option<f64> {
    let ratio = sum / by;
    (by > 0.0 && ratio.is_finite()).then_some(ratio)
}

/// `1 - error / naive`, of absolute errors over the same records, both summed or both means. None
/// while naive, the last value, made no error.
pub fn skill(error: f64, naive: f64) -> Option<f64> {
    ratio(error, naive).map(|ratio| 1.0 - ratio)
}

/// Interval score of an interval of this level, in the target's unit: its width and `2 / (1 -
/// level)` times the distance by which the truth lies outside; less is better.
///
/// Winkler 1972; Gneiting and Raftery 2007, equation 43.
pub fn interval_score(interval: Interval, actual: f64, level: f64) -> f64 {
    let outside = (interval.lower - actual).max(actual - interval.upper).max(0.0);
    interval.width() + 2.0 / (1.0 - level) * outside
}

/// Negative logarithm of the probability that was given to what happened, in nats; less is better.
pub fn log_loss(probability: f64, happened: bool) -> f64 {
    let of_it = if happened { probability } else { 1.0 - probability };
    -of_it.max(LEAST_PROBABILITY).ln()
}

/// Square of the difference between a probability and what happened, as 0 or 1; less is better.
pub fn brier_score(probability: f64, happened: bool) -> f64 {
    (probability - f64::from(u8::from(happened))).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_costs_its_width_and_what_it_misses() {
        let interval = Interval { lower: 9.0, upper: 9.5 };
        assert_eq!([9.0, 9.25, 9.5].map(|actual| interval_score(interval, actual, 0.5)), [0.5; 3]);
        assert_eq!([8.5, 10.0].map(|actual| interval_score(interval, actual, 0.5)), [2.5; 2]);
        assert_eq!([9.0, 9.5, 9.75].map(|actual| interval.covers(actual)), [true, true, false]);
    }

    #[test]
    fn without_a_naive_error_there_is_no_skill() {
        assert_eq!([skill(2.0, 4.0), skill(0.0, 4.0), skill(2.0, 0.0)], [Some(0.5), Some(1.0), None]);
        assert_eq!(skill(f64::INFINITY, 1.0), None);
    }

    #[test]
    fn a_certain_forecast_that_fails_costs_a_finite_loss() {
        assert!(log_loss(0.0, true).is_finite());
        assert_eq!(
            (log_loss(1.0, true), brier_score(1.0, true), brier_score(0.25, false)),
            (0.0, 0.0, 0.0625)
        );
    }
}
