//! What forecasts and intervals may not be: far out after a change of scale, below zero where
//! nothing has ever been, missing where nothing moves.

use super::*;
use crate::bounds::Bounds;
use crate::collect::CollectedScore;
use crate::horizon::Horizon;

const HOUR_US: i64 = 3_600_000_000;

fn spec() -> ForecastSpec {
    let mut spec = ForecastSpec::new("x");
    spec.horizons = vec![Horizon(1), Horizon(6), Horizon(24)];
    spec.levels = vec![0.5, 0.9, 0.99];
    spec.season = Some(24);
    spec.experts.retain(|&kind| kind != ExpertKind::Rnn);
    spec
}

/// The scores of a series, hour by hour.
fn scores(spec: &ForecastSpec, values: impl Iterator<Item = f64>) -> Vec<Vec<CollectedScore>> {
    let mut forecaster = Forecaster::new(spec, HOUR_US);
    let mut close = |(hour, value): (usize, f64)| {
        let rows = vec![WindowRow::observed(0, "a", &[value])];
        forecaster.collect(ClosedWindow::numbered(hour as i64, HOUR_US), rows).unwrap().scores
    };
    values.enumerate().map(&mut close).collect()
}

/// In (-1, 1), independent of each other.
fn draw(n: u64) -> f64 {
    let x = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (x >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// Mean width of the 90 % interval of a horizon over some hours.
fn width(scores: &[Vec<CollectedScore>], horizon: Horizon, hours: std::ops::Range<usize>) -> f64 {
    let mut mean = Mean::default();
    let of = scores[hours].iter().flatten().filter(|score| score.horizon == horizon);
    of.filter_map(|score| score.intervals.get(1)).for_each(|(lower, upper)| mean.add(upper - lower));
    mean.value().unwrap()
}

/// A quiet series that begins to walk: residuals of forecasts that were made while it was quiet
/// were thousands of the old spreads long, and as quantiles they multiplied the new spread. The
/// 90 % interval a day ahead was 1,400 wide where 16 is right.
#[test]
fn after_a_change_of_scale_intervals_are_of_the_new_scale() {
    for quiet in [0.0, 1e-3] {
        let mut walked = 0.0;
        let step = |n: u64| 3f64.sqrt() * draw(n);
        let values = (0..900).map(|n| {
            walked += if n < 300 { 0.0 } else { step(n) };
            50.0 + walked + if n < 300 { quiet * step(n) } else { 0.0 }
        });
        let scores = scores(&spec(), values);

        for (horizon, right) in [(1, 3.3), (6, 8.1), (24, 16.1)] {
            let width = width(&scores, Horizon(horizon), 400..900);
            assert!(right / 3.0 < width && width < 3.0 * right, "{quiet} {horizon}: {width}, right {right}");
        }
    }
}

/// A level that shifts by four deviations: all 24 forecasts that were out missed by that one jump,
/// and each of them counted. In the days after it, the 90 % interval a day ahead was 3.7 times as
/// wide as before.
#[test]
fn one_jump_of_the_level_does_not_count_as_often_as_it_was_missed() {
    let (mut before, mut after) = (Mean::default(), Mean::default());
    for seed in 0..8 {
        let level = |n: u64| if n < 300 { 50.0 } else { 54.0 };
        let scores = scores(&spec(), (0..420).map(|n| level(n) + 3f64.sqrt() * draw(n + 1_000 * seed)));
        before.add(width(&scores, Horizon(24), 200..300));
        after.add(width(&scores, Horizon(24), 336..420));
    }
    let wider = after.value().unwrap() / before.value().unwrap();
    assert!(wider < 3.3, "{wider}");
}

#[test]
fn a_series_that_has_never_been_negative_is_not_forecast_below_zero() {
    // Mostly nothing, now and then something: linear experts and symmetric quantiles go below.
    let count = |n: u64| if draw(n) > 0.8 { (3.0 + 3.0 * draw(n + 7_000)).round() } else { 0.0 };
    let scores = scores(&spec(), (0..800).map(count));
    for score in scores.iter().flatten() {
        let own = score.experts.iter().map(|(_, forecast)| *forecast);
        let bounds = score.intervals.iter().flat_map(|&(lower, upper)| [lower, upper]);
        assert!(bounds.chain(own).chain([score.forecast]).all(|value| value >= 0.0), "{score:?}");
    }
    let held = scores[200..].iter().flatten().filter(|score| score.is_covered(1) == Some(true)).count();
    assert!(held as f64 > 0.87 * 1800.0, "{held}");
}

#[test]
fn once_it_has_been_negative_it_may_be_forecast_there() {
    let falling = |n: u64| 20.0 - 0.1 * n as f64 + draw(n);
    let scores = scores(&spec(), (0..400).map(falling));
    let lowest = |hours: std::ops::Range<usize>| {
        let lower = scores[hours].iter().flatten().map(|score| score.intervals[2].0.min(score.forecast));
        lower.fold(f64::INFINITY, f64::min)
    };
    assert_eq!(lowest(150..190), 0.0, "it has been long above");
    assert!(lowest(240..400) < -5.0);
}

#[test]
fn forecasts_and_intervals_lie_between_the_bounds_that_are_given() {
    let mut spec = spec();
    spec.bounds = Bounds { min: Some(-2.0), max: Some(1.5), learned: true };
    // What comes does not keep to them.
    for score in scores(&spec, (0..300).map(|n| 4.0 * draw(n))).iter().flatten() {
        let bounds = score.intervals.iter().flat_map(|&(lower, upper)| [lower, upper]);
        assert!(bounds.chain([score.forecast]).all(|value| (-2.0..=1.5).contains(&value)), "{score:?}");
    }
}

#[test]
fn a_series_that_never_moves_has_the_interval_of_its_value() {
    let scores = scores(&spec(), (0..100).map(|_| 0.3));
    for score in scores[70..].iter().flatten() {
        assert_eq!((score.forecast, score.intervals.len()), (0.3, 3));
        let is_narrow = |&(lower, upper): &(f64, f64)| upper - lower < 1e-9;
        assert!(score.intervals.iter().all(is_narrow) && score.is_covered(2) == Some(true));
    }
    assert!(scores[10].iter().all(|score| score.intervals.is_empty()), "ten windows tell nothing");
}

#[test]
fn a_series_that_moves_has_no_interval_of_one_value() {
    // Whole days have not passed yet, so there is no scale a day ahead.
    let scores = scores(&spec(), (0..60).map(draw));
    let widths = scores.iter().flatten().flat_map(|score| &score.intervals);
    assert!(widths.map(|(lower, upper)| upper - lower).all(|width| width > 1e-3));
}
