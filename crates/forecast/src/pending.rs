//! Forecasts of one series and horizon that wait for their truth.
//! It must not know how they were made, nor how they are scored.
//!
//! A series has dozens of them. So only what was published is kept whole: what their learners want
//! back is kept in single precision or as halves, and bounds as distances from the forecast in
//! units of its scale. A distance is rounded outwards: what a bound held when it was published, it
//! holds when it is judged.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::{half, le_blob};

use super::mixture::MixtureOutput;
use super::series::ROUNDING;
use super::spread::Spread;
use crate::bounds::Bounds;
use crate::room;
use crate::time::EventTime;

/// A forecast that waits for its truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PendingForecast {
    /// The end of the window that it was made from.
    pub issued_at: EventTime,
    /// The end of the window that it is about; none where nobody knows it.
    pub target_time: Option<EventTime>,
    /// What was published, in the target's unit.
    pub forecast: f64,
    /// The last value of the target when it was made.
    pub naive: f64,
    /// sigma_h at the origin, in the target's unit; 0: there was no scale.
    pub sigma: f64,
    /// The step of the series that made it.
    pub step: u64,
    /// Whether the target was observed in the window that made it.
    pub from_truth: bool,
    /// What the mixture predicted.
    pub mixture: MixtureOutput,
    /// The spread that was expected of it.
    pub spread: Spread,
}

/// Intervals of a forecast: one (lower, upper) a level; none while there was no scale.
pub type Intervals = Vec<(f64, f64)>;

/// A forecast whose window has closed.
#[derive(Debug, Clone, PartialEq)]
pub struct DueForecast {
    /// The forecast.
    pub made: PendingForecast,
    /// Its intervals.
    pub intervals: Intervals,
    /// What its learners want back.
    pub details: Vec<f32>,
}

/// What the forecasts of a queue have in common.
#[derive(Debug, Clone, Copy)]
pub struct QueueShape {
    /// Most that wait at a time: the horizon in windows.
    pub most: usize,
    /// Of the intervals.
    pub levels: usize,
    /// Numbers that learners want back. The nearest halves of them are kept.
    pub details: usize,
    /// How many of the first of those are kept whole.
    pub whole: usize,
}

impl QueueShape {
    /// Words of 16 bits for the details of a forecast.
    fn words(&self) -> usize {
        self.details + self.whole
    }
}

/// The window that a truth came in.
#[derive(Debug, Clone, Copy)]
pub struct TruthWindow {
    /// When it ended.
    pub end: EventTime,
    /// When the window ended that its forecast was made from; none where only the forecast knows
    /// it.
    pub issued_at: Option<EventTime>,
    /// The series' windows so far.
    pub step: u64,
}

/// The forecasts of a horizon. They are copied and written for snapshots: so their numbers lie
/// together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PendingQueue {
    /// In the order of their target windows.
    forecasts: VecDeque<QueuedForecast>,
    /// Lower, upper, lower, upper, ...: from the forecast, in its unit.
    #[serde(with = "le_blob")]
    bounds: VecDeque<f32>,
    /// What their learners want back.
    #[serde(with = "le_blob")]
    details: VecDeque<u16>,
}

/// What is kept of a [`PendingForecast`], and which of the queue's numbers are its own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct QueuedForecast {
    /// The end of the window that it is about; where nobody knows that, of the one that made it.
    time: EventTime,
    forecast: f64,
    naive: f64,
    sigma: f64,
    mixture: [f32; 4],
    spread: [f32; 2],
    /// Its lowest bits: the rest is that of now.
    step: u32,
    from_truth: bool,
    has_bounds: bool,
    has_details: bool,
}

/// What bounds are measured in.
fn unit(sigma: f64, naive: f64) -> f64 {
    if sigma > 0.0 { sigma } else { ROUNDING * naive.abs() }
}

/// How far a bound is from a forecast.
fn distance(bound: f64, forecast: f64, unit: f64, outwards: fn(f32) -> f32) -> f32 {
    let distance = ((bound - forecast) / unit) as f32;
    if distance == 0.0 || distance.is_nan() { 0.0 } else { outwards(distance) }
}

/// A bound at a distance from a forecast. What is zero but for the rounding of the distance is
/// zero: that is where bounds of values lie that are never negative.
fn bound(forecast: f64, unit: f64, distance: f32) -> f64 {
    // Zero times an infinite unit would be no number.
    let away = if distance == 0.0 { 0.0 } else { unit * f64::from(distance) };
    let bound = forecast + away;
    if bound.abs() < f64::from(2.0 * f32::EPSILON) * away.abs() { 0.0 } else { bound }
}

impl PendingQueue {
    /// Adds a forecast. No other one waits for its target window or a later one. `intervals` are of
    /// all levels or of none, and so are `details`.
    pub fn push(
        &mut self,
        shape: &QueueShape,
        made: &PendingForecast,
        intervals: &[(f64, f64)],
        details: &[f32],
    ) {
        let &PendingForecast { issued_at, target_time, forecast, naive, sigma, step, from_truth, .. } = made;
        let QueueShape { most, levels, whole, .. } = *shape;
        room::at_the_end(&mut self.forecasts, 1, most);
        self.forecasts.push_back(QueuedForecast {
            time: target_time.unwrap_or(issued_at),
            forecast,
            naive,
            sigma,
            mixture: made.mixture.to_singles(),
            spread: made.spread.to_singles(),
            step: step as u32,
            from_truth,
            has_bounds: !intervals.is_empty(),
            has_details: !details.is_empty(),
        });

        let unit = unit(sigma, naive);
        room::at_the_end(&mut self.bounds, 2 * intervals.len(), 2 * levels * most);
        self.bounds.extend(intervals.iter().flat_map(|&(lower, upper)| {
            [distance(lower, forecast, unit, f32::next_down), distance(upper, forecast, unit, f32::next_up)]
        }));

        let (whole, halves) = details.split_at(whole.min(details.len()));
        room::at_the_end(&mut self.details, 2 * whole.len() + halves.len(), shape.words() * most);
        for number in whole.iter().map(|number| number.to_bits()) {
            self.details.extend([number as u16, (number >> 16) as u16]);
        }
        self.details.extend(halves.iter().map(|&number| half::of(number)));
    }

    /// Takes out the forecast for a window. Those for earlier ones go too: their windows passed, no
    /// truth will come. `limits`: between them its intervals lay.
    pub fn take(&mut self, shape: &QueueShape, limits: &Bounds, window: TruthWindow) -> Option<DueForecast> {
        while let Some(next) = self.forecasts.pop_front_if(|next| next.target(shape, window).is_le()) {
            let bounds = if next.has_bounds { 2 * shape.levels } else { 0 };
            let words = if next.has_details { shape.words() } else { 0 };
            let mut bounds = self.bounds.drain(..self.bounds.len().min(bounds));
            let words = self.details.drain(..self.details.len().min(words));

            if next.target(shape, window).is_eq() {
                let unit = unit(next.sigma, next.naive);
                let bound = |distance| limits.clamp(bound(next.forecast, unit, distance));
                let intervals = std::iter::from_fn(|| bounds.next().zip(bounds.next()));
                return Some(DueForecast {
                    made: next.made(window),
                    intervals: intervals.map(|(lower, upper)| (bound(lower), bound(upper))).collect(),
                    details: details_of(words, shape.whole),
                });
            }
        }
        None
    }
}

impl QueuedForecast {
    /// Windows of the series since the one that made it.
    fn steps_to(&self, window: TruthWindow) -> u32 {
        (window.step as u32).wrapping_sub(self.step)
    }

    /// Its target window beside this one: before it, the same, or after it. Without a grid that is
    /// counted in windows of the series.
    fn target(&self, shape: &QueueShape, window: TruthWindow) -> Ordering {
        match window.issued_at {
            Some(_) => self.time.cmp(&window.end),
            None => shape.most.cmp(&(self.steps_to(window) as usize)),
        }
    }

    fn made(&self, window: TruthWindow) -> PendingForecast {
        let steps = self.steps_to(window);
        PendingForecast {
            issued_at: window.issued_at.unwrap_or(self.time),
            target_time: window.issued_at.map(|_| self.time),
            forecast: self.forecast,
            naive: self.naive,
            sigma: self.sigma,
            step: window.step.saturating_sub(steps.into()),
            from_truth: self.from_truth,
            mixture: MixtureOutput::of_singles(self.mixture),
            spread: Spread::of_singles(self.spread),
        }
    }
}

/// Numbers of which the first `whole` take two words.
fn details_of(mut words: impl Iterator<Item = u16>, whole: usize) -> Vec<f32> {
    let pair = std::iter::from_fn(|| words.next().zip(words.next()));
    let whole = pair.take(whole).map(|(low, high)| f32::from_bits(u32::from(low) | u32::from(high) << 16));
    let mut details: Vec<f32> = whole.collect();
    details.extend(words.map(half::value));
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: QueueShape = QueueShape { most: 3, levels: 2, details: 2, whole: 1 };

    fn forecast(time: i64) -> PendingForecast {
        PendingForecast {
            issued_at: EventTime(time - 3),
            target_time: Some(EventTime(time)),
            forecast: time as f64,
            naive: 0.0,
            sigma: 1.0,
            step: 1 << 33,
            from_truth: true,
            mixture: MixtureOutput::default(),
            spread: Spread::default(),
        }
    }

    fn take(queue: &mut PendingQueue, time: i64) -> Option<DueForecast> {
        let window =
            TruthWindow { end: EventTime(time), issued_at: Some(EventTime(time - 3)), step: (1 << 33) + 5 };
        queue.take(&SHAPE, &Bounds::default(), window)
    }

    #[test]
    fn a_forecast_comes_out_at_its_time_with_its_own_numbers() {
        let mut queue = PendingQueue::default();
        queue.push(&SHAPE, &forecast(1), &[], &[]);
        queue.push(&SHAPE, &forecast(2), &[(1.0, 2.0), (0.0, 3.0)], &[0.5, 1.5]);
        queue.push(&SHAPE, &forecast(3), &[(2.0, 5.0), (1.0, 3.0)], &[0.1, 0.1]);
        let bytes = postcard::to_stdvec(&queue).unwrap();
        let mut queue: PendingQueue = postcard::from_bytes(&bytes).unwrap();

        assert_eq!(take(&mut queue, 0), None);
        let first = DueForecast { made: forecast(1), intervals: vec![], details: vec![] };
        assert_eq!(take(&mut queue, 1), Some(first));
        let third = take(&mut queue, 3).unwrap();
        assert_eq!((third.made, third.details), (forecast(3), vec![0.1, 0.099_975_586]), "2 is gone");
        assert_eq!(third.intervals[1].1, 3.0, "the forecast itself");
        let [lower, upper] = [third.intervals[0].0, third.intervals[0].1];
        assert!((2.0 - 1e-6..2.0).contains(&lower) && (5.0..5.0 + 1e-6).contains(&upper), "{lower} {upper}");
        assert_eq!(take(&mut queue, 9), None);
        assert!(queue.bounds.is_empty() && queue.details.is_empty());
    }

    /// Of three windows ahead, each made by its own window of the series, whenever that ended.
    #[test]
    fn without_a_grid_a_forecast_comes_out_so_many_windows_later() {
        let mut queue = PendingQueue::default();
        let made = |step: u64| PendingForecast {
            issued_at: EventTime(100 - step as i64),
            target_time: None,
            step,
            ..forecast(step as i64)
        };
        let mut out = Vec::new();
        // The fifth window makes no forecast, and the seventh asks for none.
        for step in [1, 2, 3, 4, 5, 6, 7, 8, 9] {
            let window = TruthWindow { end: EventTime(7), issued_at: None, step };
            if step != 7 {
                out.extend(queue.take(&SHAPE, &Bounds::default(), window).map(|due| (step, due.made)));
            }
            if step != 5 {
                queue.push(&SHAPE, &made(step), &[], &[]);
            }
        }
        assert_eq!(out, [4, 5, 6, 9].map(|step| (step, made(step - 3))));
    }

    /// A price that stands at its lower bound must not fall out of the interval by a rounding.
    #[test]
    fn what_a_bound_held_it_holds_however_it_is_kept() {
        for n in 1..2000u32 {
            let (forecast_value, sigma) = (f64::from(n).sqrt() * 1e-3, f64::from(n % 7 + 1) / 3.0);
            let made = PendingForecast { forecast: forecast_value, sigma, ..forecast(1) };
            let bounds = [(0.0, forecast_value + sigma * 0.7), (-1.0 / 3.0, 1e300)];
            let mut queue = PendingQueue::default();
            queue.push(&SHAPE, &made, &bounds, &[]);

            let due = take(&mut queue, 1).unwrap();
            for ((lower, upper), (kept_lower, kept_upper)) in bounds.into_iter().zip(due.intervals) {
                assert!(kept_lower <= lower && upper <= kept_upper);
                assert!(lower - kept_lower < 1e-6 * sigma.max(forecast_value));
            }
        }
    }

    #[test]
    fn a_value_that_never_moved_keeps_the_bounds_of_its_rounding() {
        let value = 1e300;
        let made = PendingForecast { forecast: value, naive: value, sigma: 0.0, ..forecast(1) };
        let bounds = [(value - 1e288, value + 1e288); 2];
        let mut queue = PendingQueue::default();
        queue.push(&SHAPE, &made, &bounds, &[]);
        let (lower, upper) = take(&mut queue, 1).unwrap().intervals[0];
        assert!(lower <= bounds[0].0 && upper >= bounds[0].1 && upper - lower < 2.001e288);
    }
}
