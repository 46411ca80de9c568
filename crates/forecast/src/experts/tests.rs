//! What every expert must do, whatever it is: one suite for all of them.

use super::expert::{ExpertInputs, Label, NetworkMoves, Observation};
use super::*;
use crate::grid::WindowGrid;
use crate::horizon::Horizon;
use crate::series::SeriesHistory;
use crate::spec::ForecastSpec;

const HORIZONS: [Horizon; 2] = [Horizon(1), Horizon(3)];
const FEATURES: usize = 5;
const SHORT: [usize; 2] = [0, 2];
const SEASON: u32 = 4;
const HOUR_US: i64 = 3_600_000_000;

fn spec() -> ForecastSpec {
    let mut spec = ForecastSpec::new("x");
    spec.horizons = HORIZONS.to_vec();
    spec.season = Some(SEASON);
    spec.model.hidden = 2;
    spec
}

fn all() -> Vec<(&'static str, AnyExpert)> {
    let shape =
        ExpertShape { features: FEATURES, short: SHORT.len(), horizons: HORIZONS.len(), seasonal: true };
    roster(ExpertKind::ALL, Vec::new(), &shape)
}

/// Value, sigma, features, memo.
type Made = (f64, f64, Vec<f32>, Vec<f32>);

/// One expert on one series, with the delays of truths.
struct Course {
    expert: AnyExpert,
    series: SeriesHistory,
    /// Of every window and horizon.
    made: Vec<Vec<Made>>,
    moves: Vec<[f64; 2]>,
}

impl Course {
    fn new(expert: AnyExpert) -> Self {
        Course { expert, series: SeriesHistory::new(&spec(), 8), made: Vec::new(), moves: Vec::new() }
    }

    fn step(&mut self, value: f64) {
        let n = self.made.len();
        self.series.update(n as i64, &[Some(value)], true);
        for (horizon_idx, &horizon) in HORIZONS.iter().enumerate() {
            let Some(origin) = n.checked_sub(horizon.steps()) else { continue };
            let (then, sigma, features, memo) = &self.made[origin][horizon_idx];
            if *sigma > 0.0 {
                let moved = ((value - then) / sigma).clamp(-8.0, 8.0);
                let inputs = ExpertInputs::new(features, &SHORT);
                let label = Label { moved, inputs: &inputs, from_truth: true };
                self.expert.get_mut().learn(horizon_idx, &label, memo);
            }
        }
        let lag =
            |steps| self.series.difference(steps).map_or(0.0, |d| self.series.step_scale(steps).scaled(d));
        let features: Vec<f32> = [1.0, self.series.columns[0].level.z(value), lag(1), lag(2), lag(3)]
            .map(|feature: f64| feature.clamp(-5.0, 5.0) as f32)
            .to_vec();
        let network = [0.25, -0.5];
        let inputs = ExpertInputs::new(&features, &SHORT);
        let observation = Observation {
            series: &self.series,
            times: &WindowGrid::from(HOUR_US).times_of(n as i64, &HORIZONS),
            horizons: &HORIZONS,
            season: Some(SEASON),
            is_truth: true,
            inputs: &inputs,
            network: NetworkMoves { raw: &network, averaged: &network },
        };
        self.expert.get_mut().observe(&observation);
        let mut made = Vec::new();
        let mut moves = [0.0; 2];
        for (horizon_idx, &horizon) in HORIZONS.iter().enumerate() {
            let sigma = self.series.sigma(horizon);
            let mut memo = vec![0.0; self.expert.get().memo_len()];
            if sigma > 0.0 {
                moves[horizon_idx] = self.expert.get().forecast(&observation, horizon_idx, sigma, &mut memo);
                assert_eq!(
                    moves[horizon_idx],
                    self.expert.get().forecast(&observation, horizon_idx, sigma, &mut memo.clone())
                );
            }
            made.push((value, sigma, features.clone(), memo));
        }
        self.made.push(made);
        self.moves.push(moves);
    }
}

fn noise(n: u64) -> f64 {
    let x = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (x >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// Series that are not kind.
fn hostile() -> Vec<(&'static str, Vec<f64>)> {
    let many = 0..600u64;
    vec![
        ("constant", vec![3.5; 300]),
        ("three points", vec![1.0, 2.0, 5.0]),
        ("a spike", many.clone().map(|n| if n == 300 { 1e12 } else { noise(n) }).collect()),
        ("a jump", many.clone().map(|n| if n < 300 { noise(n) } else { 1e9 + noise(n) }).collect()),
        ("the largest numbers", many.clone().map(|n| noise(n) * 1e308).collect()),
        ("the smallest numbers", many.clone().map(|n| noise(n) * 1e-300).collect()),
        ("seldom anything", many.map(|n| if n % 37 == 0 { 5.0 } else { 0.0 }).collect()),
    ]
}

#[test]
fn names_are_distinct_and_naive_is_the_first() {
    let names: Vec<&str> = all().iter().map(|(name, _)| *name).collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{names:?}");
    assert_eq!(names[0], "naive");
    let shape = ExpertShape { features: FEATURES, short: 2, horizons: 1, seasonal: false };
    assert!(
        roster(&[ExpertKind::Rnn, ExpertKind::SeasonalNaive, ExpertKind::Naive], Vec::new(), &shape)
            .iter()
            .all(|(name, _)| *name != "seasonal_naive")
    );
}

#[test]
fn every_expert_says_something_finite_whatever_comes() {
    for (name, expert) in all() {
        for (kind, values) in hostile() {
            let mut course = Course::new(expert.clone());
            values.iter().for_each(|&value| course.step(value));
            let worst = course.moves.iter().flatten().fold(0.0f64, |worst, moves| worst.max(moves.abs()));
            assert!(
                worst.is_finite() && course.moves.iter().flatten().all(|moves| moves.is_finite()),
                "{name}, {kind}: {worst}"
            );
        }
    }
}

#[test]
fn no_expert_sees_what_comes_later() {
    for (name, expert) in all() {
        let (mut one, mut other) = (Course::new(expert.clone()), Course::new(expert));
        for n in 0..200 {
            one.step(noise(n));
            other.step(if n < 150 { noise(n) } else { 40.0 - noise(n) });
        }
        assert_eq!(one.moves[..150], other.moves[..150], "{name}");
    }
}

#[test]
fn every_expert_goes_on_from_its_state_bit_for_bit() {
    for (name, expert) in all() {
        let mut whole = Course::new(expert);
        (0..100).for_each(|n| whole.step(noise(n)));
        let bytes = postcard::to_stdvec(&whole.expert).unwrap();
        let expert: AnyExpert = postcard::from_bytes(&bytes).unwrap();
        let mut resumed = Course {
            expert,
            series: whole.series.clone(),
            made: whole.made.clone(),
            moves: whole.moves.clone(),
        };
        for n in 100..200 {
            whole.step(noise(n));
            resumed.step(noise(n));
        }
        assert_eq!(whole.moves, resumed.moves, "{name}");
    }
}

#[test]
fn what_can_be_learned_is_learned() {
    // Each step is 0.8 of the one before, turned around: all of it is in the last step.
    let mean_error = |name: &str, values: &dyn Fn(u64) -> f64| {
        let (_, expert) = all().into_iter().find(|(known, _)| *known == name).unwrap();
        let mut course = Course::new(expert);
        (0..1500).for_each(|n| course.step(values(n)));
        let (mut error, mut naive) = (0.0, 0.0);
        for n in 1000..1499 {
            let (value, sigma, ..) = course.made[n][0];
            let moved = course.made[n + 1][0].0 - value;
            error += (moved - sigma * course.moves[n][0]).abs();
            naive += moved.abs();
        }
        error / naive
    };
    let steps = {
        let (mut x, mut step) = (0.0, 0.0);
        let walk = (0..1500).map(|n| {
            step = -0.8 * step + noise(n);
            x += step;
            x
        });
        walk.collect::<Vec<f64>>()
    };
    assert!(mean_error("rls_0.9995", &|n| steps[n as usize]) < 0.75);
    assert!(mean_error("rls_0.97", &|n| steps[n as usize]) < 0.8);
    assert!(mean_error("seasonal_naive", &|n| [0.0, 3.0, -1.0, 2.0][n as usize % 4]) < 1e-9);
    assert!(mean_error("ewma", &noise) < 0.8);
}

#[test]
fn the_one_that_begins_anew_is_soon_as_good_as_one_that_began_at_the_change() {
    const CHANGE: u64 = 1500;
    let (mut x, mut step) = (0.0, 0.0);
    let walk = (0..CHANGE + 160).map(|n| {
        step = if n < CHANGE { -0.8 * step } else { 0.8 * step } + noise(n);
        x += step;
        x
    });
    let values: Vec<f64> = walk.collect();
    let error = |name: &str, from: u64| {
        let (_, expert) = all().into_iter().find(|(known, _)| *known == name).unwrap();
        let mut course = Course::new(expert);
        values[from as usize..].iter().for_each(|&value| course.step(value));
        let measured = (CHANGE + 50 - from) as usize..(CHANGE + 150 - from) as usize;
        let errors = measured.map(|n| {
            let (value, sigma, ..) = course.made[n][0];
            (course.made[n + 1][0].0 - value - sigma * course.moves[n][0]).abs()
        });
        errors.sum::<f64>()
    };
    let (restarted, new) = (error("rls_restart", 0), error("rls_restart", CHANGE));
    assert!(restarted < 1.1 * new, "{restarted} {new}");
    assert!(error("rls_0.998", 0) > 1.3 * new);
}
