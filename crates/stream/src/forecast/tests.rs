//! The operator on windows by hand: nothing is seen before its time, and nothing that comes breaks
//! it.

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Calendar, ExpertKind, ForecastSpec, Horizon, week_of};
use tickcast_model::Loss;

use super::ForecastOperator;
use super::fixture::{SIZE_US, spec_with, window};
use crate::message::Stream;
use crate::operator::{Collected, Operator, OperatorStats};

/// What the network's loss becomes with a direction head.
fn directed(point: Loss) -> Loss {
    Loss::Directed { point: Box::new(point) }
}

fn seasonal() -> ForecastSpec {
    spec_with(|spec| {
        spec.horizons = vec![Horizon(1), Horizon(3)];
        spec.season = Some(4);
        spec.calendar = vec![Calendar::Hour];
        spec.levels = vec![0.5, 0.9];
        spec.direction = true;
        spec.model.loss = directed(spec.model.loss.clone());
        spec.model.hidden = 3;
    })
}

fn operator(spec: &ForecastSpec) -> ForecastOperator {
    ForecastOperator::new(spec, SIZE_US)
}

fn noise(n: i64) -> f64 {
    let x = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (x >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// Windows of one series; a missing value is no row.
fn windows(values: impl IntoIterator<Item = Option<f64>>) -> Vec<RecordBatch> {
    let of = |(n, value): (usize, Option<f64>)| match value {
        Some(value) => window(n as i64, &[("a", Some(value), noise(n as i64), false)]),
        None => window(n as i64, &[]),
    };
    values.into_iter().enumerate().map(of).collect()
}

fn run(operator: &mut ForecastOperator, windows: &[RecordBatch]) -> Collected {
    let mut out = Collected::default();
    windows.iter().for_each(|rows| operator.on_batch(rows, &mut out).unwrap());
    out
}

/// A number column of all records of a stream.
fn numbers(out: &Collected, stream: Stream, name: &str) -> Vec<Option<f64>> {
    let batches = out.results.iter().filter(|(of, _)| *of == stream);
    let column = |rows: &RecordBatch| rows[name].as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
    batches.flat_map(|(_, rows)| column(rows)).collect()
}

/// Mean |error| of the forecasts one window ahead, and of the last value, over the scores `from` to
/// `to`.
fn errors(out: &Collected, from: usize, to: usize) -> (f64, f64) {
    let mut all = Vec::new();
    for (_, rows) in out.results.iter().filter(|(of, _)| *of == Stream::Scores) {
        let number = |name: &str| -> &Float64Array { rows[name].as_primitive() };
        let horizons = rows["horizon"].as_primitive::<Int32Type>();
        for row in (0..rows.num_rows()).filter(|&row| horizons.value(row) == 1) {
            let naive = number("actual").value(row) - number("naive").value(row);
            all.push((number("error").value(row).abs(), naive.abs()));
        }
    }
    let part = &all[from..to.min(all.len())];
    let mean = |of: fn(&(f64, f64)) -> f64| part.iter().map(of).sum::<f64>() / part.len() as f64;
    (mean(|pair| pair.0), mean(|pair| pair.1))
}

fn is_sound(out: &Collected) {
    for name in ["forecast", "naive", "lower_50", "upper_50", "lower_90", "upper_90", "prob_up"] {
        let found = numbers(out, Stream::Forecasts, name);
        assert!(found.iter().flatten().all(|value| value.is_finite()), "{name}");
    }
    let column = |name| numbers(out, Stream::Forecasts, name);
    let inner = column("lower_50").into_iter().zip(column("upper_50"));
    for ((lower, upper), (outer_lower, outer_upper)) in
        inner.zip(column("lower_90").into_iter().zip(column("upper_90")))
    {
        assert!(lower <= upper && outer_lower <= lower && upper <= outer_upper);
    }
    assert!(column("prob_up").iter().flatten().all(|p| (0.0..=1.0).contains(p)));
    assert!(numbers(out, Stream::Scores, "error").iter().flatten().all(|error| error.is_finite()));
}

#[test]
fn the_future_changes_no_forecast_before_it() {
    let wave = |n: i64| (n as f64 * 0.7).sin() * 3.0 + noise(n);
    let past = windows((0..150).map(|n| Some(wave(n))));
    let other = |n: i64| Some(if n < 100 { wave(n) } else { 50.0 - 3.0 * wave(n) });
    let one = run(&mut operator(&seasonal()), &past);
    let two = run(&mut operator(&seasonal()), &windows((0..150).map(other)));
    let until = |out: &Collected| {
        out.results
            .iter()
            .take_while(|(stream, rows)| {
                *stream == Stream::Scores
                    || rows["issued_at"].as_primitive::<TimestampMicrosecondType>().value(0) <= 100 * SIZE_US
            })
            .filter(|(stream, _)| *stream == Stream::Forecasts)
            .map(|(_, rows)| rows.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(until(&one).len(), 100);
    assert_eq!(until(&one), until(&two));
    assert_ne!(
        one.results.last().map(|(_, rows)| rows.clone()),
        two.results.last().map(|(_, rows)| rows.clone())
    );
}

#[test]
fn with_a_week_beside_the_season_it_goes_on_from_its_state_bit_for_bit() {
    let mut weekly = seasonal();
    weekly.calendar.push(Calendar::DayOfWeek);
    weekly.week = week_of(&weekly.calendar, SIZE_US);
    assert_eq!(weekly.week, Some(168));
    let wave = |n: i64| (n as f64 * 0.7).sin() * 3.0 + f64::from(n / 24 % 7 > 4) * 5.0 + noise(n);
    let all = windows((0..420).map(|n| (n % 37 != 5).then(|| wave(n))));
    let mut whole = operator(&weekly);
    is_sound(&run(&mut whole, &all[..400]));
    let mut resumed = operator(&weekly);
    Operator::restore(&mut resumed, &whole.snapshot()().unwrap()).unwrap();
    let (whole, resumed) = (run(&mut whole, &all[400..]), run(&mut resumed, &all[400..]));
    assert!(!whole.results.is_empty());
    assert_eq!(whole.results, resumed.results);
}

#[test]
fn until_a_truth_has_come_the_forecast_is_the_last_value() {
    let out = run(&mut operator(&seasonal()), &windows([0.0, 1.0, 3.0].map(Some)));
    assert_eq!(numbers(&out, Stream::Forecasts, "forecast")[..4], [0.0, 0.0, 1.0, 1.0].map(Some));
    let words = out.results.iter().filter(|(stream, _)| *stream == Stream::Forecasts);
    assert!(
        words
            .take(2)
            .all(|(_, rows)| rows["expert"].as_string::<i32>().iter().all(|word| word == Some("naive")))
    );
}

#[test]
fn whatever_comes_forecasts_are_finite_and_intervals_in_order() {
    let some = |n: i64, value: f64| (n >= 0).then_some(value);
    let cases: Vec<(&str, Vec<Option<f64>>)> = vec![
        ("constant", vec![Some(7.0); 200]),
        ("three points", vec![Some(1.0), Some(4.0), Some(2.0)]),
        (
            "weeks of nothing",
            (0..900).map(|n| some(if (200..700).contains(&n) { -1 } else { n }, noise(n))).collect(),
        ),
        ("still, then not", (0..400).map(|n| Some(if n < 200 { 0.0 } else { noise(n) })).collect()),
        ("the largest numbers", (0..200).map(|n| Some(noise(n) * 1.7e308)).collect()),
        ("the smallest numbers", (0..200).map(|n| Some(noise(n) * 1e-308)).collect()),
        (
            "a target that jumps by 1e9",
            (0..400).map(|n| Some(if n < 200 { noise(n) } else { 1e9 + noise(n) })).collect(),
        ),
        (
            "counts that are seldom not zero",
            (0..400).map(|n| Some(if n % 29 == 0 { 3.0 } else { 0.0 })).collect(),
        ),
    ];
    for (kind, values) in cases {
        println!("{kind}");
        is_sound(&run(&mut operator(&seasonal()), &windows(values.clone())));
        let mut quantiles = seasonal();
        quantiles.model.loss = directed(Loss::Pinball { levels: vec![0.05, 0.25, 0.5, 0.75, 0.95] });
        is_sound(&run(&mut operator(&quantiles), &windows(values.clone())));
        // A horizon that is longer than all of it.
        let mut far = seasonal();
        far.horizons = vec![Horizon(1), Horizon(500)];
        far.model.bptt = 508;
        is_sound(&run(&mut operator(&far), &windows(values)));
    }
}

#[test]
fn a_column_without_any_value_and_series_of_all_sizes_do_no_harm() {
    let sizes = [1e-6, 1.0, 1e6];
    let rows = |n: i64| -> Vec<(&str, Option<f64>, f64, bool)> {
        let of = |(at, name)| (name, Some(sizes[at] * noise(n * 3 + at as i64)), f64::NAN, false);
        ["small", "middle", "large"].into_iter().enumerate().map(of).collect()
    };
    let out = run(&mut operator(&seasonal()), &(0..400).map(|n| window(n, &rows(n))).collect::<Vec<_>>());
    is_sound(&out);
    // White noise: the mean is better than the last value by 1 - 1/sqrt(2).
    let (error, naive) = errors(&out, 900, 1200);
    assert!(error < 0.85 * naive, "{error} {naive}");
}

#[test]
fn one_absurd_tick_wrecks_neither_the_model_nor_the_scales() {
    let wave = |n: i64| (n as f64 * 0.5).sin() * 3.0 + 0.3 * noise(n);
    for spike in [1e12, -1e12, 1e300] {
        let poisoned = |n: i64| Some(if n == 400 { spike } else { wave(n) });
        let mut operator = operator(&seasonal());
        let out = run(&mut operator, &windows((0..900).map(poisoned)));
        is_sound(&out);
        let (before, after) = (errors(&out, 200, 399), errors(&out, 600, 898));
        assert!(after.0 < 1.5 * before.0 && after.0 < 0.8 * after.1, "{spike}: {before:?} {after:?}");
        // Its bounds are as narrow again as they were.
        let width = |lower: &[Option<f64>], upper: &[Option<f64>]| {
            upper.iter().zip(lower).map(|(upper, lower)| upper.unwrap() - lower.unwrap()).sum::<f64>()
                / upper.len() as f64
        };
        let column = |name| numbers(&out, Stream::Forecasts, name);
        let (lower, upper) = (column("lower_90"), column("upper_90"));
        let (before, after) =
            (width(&lower[400..700], &upper[400..700]), width(&lower[1500..], &upper[1500..]));
        assert!(after < 3.0 * before, "{spike}: {before} {after}");
    }
}

#[test]
fn a_series_that_changes_its_ways_is_followed_soon() {
    // Every step turns back, then goes on: what was learned is worse than nothing.
    let ratio = |seed: i64| {
        let (mut x, mut step) = (0.0, 0.0);
        let next = |n: i64| {
            step = if n < 600 { -0.8 } else { 0.8 } * step + noise(n + seed * 10_000);
            x += step;
            Some(x)
        };
        let values: Vec<Option<f64>> = (0..900).map(next).collect();
        let changed = run(&mut operator(&seasonal()), &windows(values.clone()));
        let anew = run(&mut operator(&seasonal()), &windows(values[600..].to_vec()));
        errors(&changed, 650, 850).0 / errors(&anew, 50, 250).0
    };
    let mean = (0..8).map(ratio).sum::<f64>() / 8.0;
    assert!(mean < 1.15, "{mean}");
}

#[test]
fn a_drift_is_told_and_changes_nothing() {
    let scale = |n: i64| if n < 600 { 1.0 } else { 6.0 };
    let mut operator = operator(&spec_with(|spec| spec.experts = vec![ExpertKind::Naive]));
    run(&mut operator, &windows((0..600).map(|n| Some(noise(n)))));
    let mut stats = OperatorStats::default();
    operator.report(&mut stats);
    assert_eq!(stats.targets[0].forecaster.drift_alarms, [(Horizon(1), 0)]);
    let later: Vec<RecordBatch> =
        (600..900).map(|n| window(n, &[("a", Some(scale(n) * noise(n)), 0.0, false)])).collect();
    let out = run(&mut operator, &later);
    operator.report(&mut stats);
    assert!(stats.targets[0].forecaster.drift_alarms[0].1 > 0);
    assert_eq!(numbers(&out, Stream::Forecasts, "forecast"), numbers(&out, Stream::Forecasts, "naive"));
}

#[test]
fn weights_are_shares_and_a_state_keeps_them() {
    let mut operator = operator(&seasonal());
    let wave = windows((0..300).map(|n| Some((n as f64 * 0.5).sin() * 3.0)));
    run(&mut operator, &wave[..200]);
    let state = operator.snapshot()().unwrap();
    let mut again = ForecastOperator::new(&seasonal(), SIZE_US);
    Operator::restore(&mut again, &state).unwrap();
    assert!(again.snapshot()().unwrap() == state);
    let (mut one, mut two) = (OperatorStats::default(), OperatorStats::default());
    assert_eq!(run(&mut operator, &wave[200..]).results, run(&mut again, &wave[200..]).results);
    operator.report(&mut one);
    again.report(&mut two);
    assert_eq!(one, two);
    for horizon in [Horizon(1), Horizon(3)] {
        let of = one.targets[0]
            .forecaster
            .weights
            .iter()
            .filter(|weight| weight.horizon == horizon)
            .map(|weight| weight.weight);
        // They are kept in single precision.
        assert!((of.sum::<f64>() - 1.0).abs() < 1e-6);
    }
    // Another list of experts is another state.
    let mut other = ForecastOperator::new(&ForecastSpec { season: None, ..seasonal() }, SIZE_US);
    assert!(Operator::restore(&mut other, &state).is_err());
}

/// Whoever waits for results does not wait for the networks; whoever asks for the state does.
#[test]
fn networks_learn_when_there_is_time_or_when_what_they_have_learned_is_needed() {
    let steps = |operator: &ForecastOperator| {
        let mut stats = OperatorStats::default();
        operator.report(&mut stats);
        stats.targets[0].forecaster.train_steps
    };
    let wave = windows((0..60).map(|n| Some((n as f64 * 0.5).sin() * 3.0)));
    let [mut at_leisure, mut pressed] = [(); 2].map(|()| operator(&seasonal()));
    for (nth, window) in wave.iter().enumerate() {
        let [one, two] =
            [&mut at_leisure, &mut pressed].map(|operator| run(operator, std::slice::from_ref(window)));
        assert_eq!(one.results, two.results);
        assert!(at_leisure.work_off() && !at_leisure.work_off());
        if nth % 7 == 6 {
            assert!(steps(&pressed) < steps(&at_leisure));
            assert!(pressed.snapshot()().unwrap() == at_leisure.snapshot()().unwrap());
            assert_eq!(steps(&pressed), steps(&at_leisure));
        }
    }
}
