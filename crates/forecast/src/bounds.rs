//! Between what a forecast and its intervals lie.
//! It must not know how either is made.

use serde::{Deserialize, Serialize};

/// Values of a series after which what it has never crossed is taken for a bound.
const LONG: u64 = 100;

/// What is known of where a target can be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// It is never below.
    pub min: Option<f64>,
    /// It is never above.
    pub max: Option<f64>,
    /// Whether, where `min` is none, a series that has never been below 0 is taken never to be.
    pub learned: bool,
}

impl Default for Bounds {
    /// None that is known, one that is learned.
    fn default() -> Self {
        Bounds { min: None, max: None, learned: true }
    }
}

impl Bounds {
    /// The nearest value within those that are known.
    pub fn clamp(&self, value: f64) -> f64 {
        value.max(self.min.unwrap_or(f64::NEG_INFINITY)).min(self.max.unwrap_or(f64::INFINITY))
    }

    /// What holds for a series of this past.
    pub fn limits(&self, past: &LowestValue) -> Limits {
        let upper = self.max.unwrap_or(f64::INFINITY);
        let learned = (self.learned && upper > 0.0 && past.is_never_negative()).then_some(0.0);
        Limits { lower: self.min.or(learned).unwrap_or(f64::NEG_INFINITY), upper }
    }
}

/// The lowest value of a series, over its life.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LowestValue {
    /// None before the first.
    lowest: Option<f64>,
    /// Values so far.
    count: u64,
}

impl LowestValue {
    /// Takes in a value that was observed.
    pub fn update(&mut self, value: f64) {
        self.lowest = Some(self.lowest.map_or(value, |lowest| lowest.min(value)));
        self.count += 1;
    }

    /// Whether it is not to be expected below 0: it has been at 0 or long above, and never below.
    fn is_never_negative(&self) -> bool {
        self.lowest.is_some_and(|lowest| lowest == 0.0 || (lowest > 0.0 && self.count >= LONG))
    }
}

/// Where forecasts of a series and their intervals have to lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    lower: f64,
    upper: f64,
}

impl Limits {
    /// The nearest move from `naive`, in units of `sigma`, that leads to a value within them.
    pub fn clamp_move(&self, moved: f64, naive: f64, sigma: f64) -> f64 {
        moved.clamp((self.lower - naive) / sigma, (self.upper - naive) / sigma)
    }

    /// The nearest value within them, and nothing that is infinite.
    pub fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.lower, self.upper).clamp(f64::MIN, f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(values: impl IntoIterator<Item = f64>) -> LowestValue {
        let mut past = LowestValue::default();
        values.into_iter().for_each(|value| past.update(value));
        past
    }

    #[test]
    fn zero_is_a_bound_for_who_was_at_it_or_long_above_until_it_is_crossed() {
        let lower = |values: Vec<f64>| Bounds::default().limits(&past(values)).lower;
        let none = f64::NEG_INFINITY;
        assert_eq!([lower(vec![]), lower(vec![2.0; 99]), lower(vec![2.0; 100])], [none, none, 0.0]);
        assert_eq!(
            [lower(vec![0.0]), lower(vec![0.0, -1.0]), lower(vec![0.0, -1.0, 3.0])],
            [0.0, none, none]
        );
    }

    #[test]
    fn bounds_that_are_given_hold_whatever_came() {
        let given = Bounds { min: Some(-1.0), max: Some(5.0), learned: true };
        let limits = given.limits(&past([0.0, -7.0]));
        assert_eq!([limits.clamp(-2.0), limits.clamp(1.0), limits.clamp(9.0)], [-1.0, 1.0, 5.0]);
        assert_eq!(limits.clamp_move(9.0, 3.0, 2.0), 1.0);

        let below = Bounds { min: None, max: Some(-3.0), learned: true };
        assert_eq!(below.limits(&past([0.0])).clamp(-9.0), -9.0, "zero is above the maximum");
    }
}
