//! A forecaster as its users see it: results as values, own experts, states of one and the other.

use serde::{Deserialize, Serialize};

use super::*;
use crate::collect::CollectedScore;
use crate::experts::expert::{Expert, Label, Observation};
use crate::horizon::Horizon;
use crate::time::EventTime;

const HOUR_US: i64 = 3_600_000_000;

/// Remembers the last label of each horizon, and forecasts it; counts windows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Echo {
    moves: Vec<f64>,
    windows: u64,
}

impl Expert for Echo {
    fn memo_len(&self) -> usize {
        2
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        self.windows += 1;
        self.moves.resize(observation.horizons().len(), 0.0);
    }

    fn forecast(&self, observation: &Observation<'_>, horizon_idx: usize, _: f64, memo: &mut [f32]) -> f64 {
        let horizon = i64::from(observation.horizons()[horizon_idx]);
        let target_time = observation.end().plus_us(horizon * HOUR_US);
        assert_eq!(observation.target_time(horizon_idx), Some(target_time));
        assert_eq!(memo, [0.0, 0.0]);
        memo.copy_from_slice(&[horizon_idx as f32, observation.features()[0] as f32]);
        self.moves[horizon_idx] + 1e-3 * (self.windows % 7) as f64
    }

    fn learn(&mut self, horizon_idx: usize, label: &Label<'_>, memo: &[f32]) {
        assert_eq!(memo, [horizon_idx as f32, 1.0]);
        assert!(label.from_observed() && label.features()[0] == 1.0);
        self.moves[horizon_idx] = label.moved();
    }
}

fn spec() -> ForecastSpec {
    let mut spec = ForecastSpec::new("x");
    spec.horizons = vec![Horizon(1), Horizon(3)];
    spec.model.hidden = 2;
    spec
}

fn with(names: &[&'static str]) -> Result<Forecaster> {
    let experts = names.iter().map(|&name| CustomExpert::new(name, Echo::default())).collect();
    Forecaster::with_experts(&spec(), HOUR_US, experts)
}

fn close(forecaster: &mut Forecaster, hour: i64) -> CollectedResults {
    let value = |salt: i64| ((hour * 7919 + salt * 104_729) % 1009) as f64 / 504.5;
    let rows =
        vec![WindowRow::observed(0, "a", &[value(1)]), WindowRow::observed(1, "b", &[10.0 * value(2)])];
    forecaster.collect(ClosedWindow::numbered(hour, HOUR_US), rows).unwrap()
}

#[test]
fn collected_results_have_a_forecast_a_horizon_and_its_score_when_it_is_due() {
    let mut forecaster = Forecaster::new(&spec(), HOUR_US);
    let first = close(&mut forecaster, 0);
    assert_eq!((first.forecasts.len(), first.scores.len()), (4, 0));
    assert_eq!(first.forecasts[0].series, "a");
    assert_eq!(first.forecasts[1].target_time, Some(EventTime(4 * HOUR_US)));

    let second = close(&mut forecaster, 1);
    assert_eq!((second.forecasts.len(), second.scores.len()), (4, 2));
    let score = &second.scores[1];
    assert_eq!(
        (score.series.as_str(), score.horizon, score.forecast),
        ("b", Horizon(1), first.forecasts[2].forecast)
    );
    assert_eq!(score.experts[0], ("naive".to_owned(), score.naive));
    assert_eq!(score.is_covered(0), None, "there was no scale");
}

#[test]
fn an_interval_covers_what_lies_within_its_bounds() {
    let mut forecaster = Forecaster::new(&spec(), HOUR_US);
    let scores: Vec<CollectedScore> = (0..50).flat_map(|hour| close(&mut forecaster, hour).scores).collect();
    let held = |score: &CollectedScore| {
        let (lower, upper) = score.intervals[0];
        (lower..=upper).contains(&score.actual)
    };
    let with_scale = || scores.iter().filter(|score| !score.intervals.is_empty());
    assert!(with_scale().count() > 90 && with_scale().all(|score| score.is_covered(0) == Some(held(score))));
}

#[test]
fn an_own_expert_is_named_weighed_and_goes_on_from_the_state_bit_for_bit() {
    let mut whole = with(&["echo"]).unwrap();
    (0..60).for_each(|hour| _ = close(&mut whole, hour));
    let state = whole.freeze()().unwrap();
    let mut resumed = with(&["echo"]).unwrap();
    resumed.restore(&state).unwrap();
    assert_eq!(resumed.freeze()().unwrap(), state);

    for hour in 60..90 {
        let results = close(&mut whole, hour);
        assert_eq!(close(&mut resumed, hour), results);
        let echoes = |score: &CollectedScore| score.experts.last().is_some_and(|(name, _)| name == "echo");
        assert!(results.scores.iter().all(echoes));
    }
    assert!(whole.stats().weights.iter().any(|weight| weight.expert == "echo" && weight.weight > 0.0));
}

#[test]
fn a_state_without_own_experts_is_what_it_was_before_there_were_any() {
    let mut plain = Forecaster::new(&spec(), HOUR_US);
    let mut none = with(&[]).unwrap();
    for hour in 0..30 {
        assert_eq!(close(&mut plain, hour), close(&mut none, hour));
    }
    assert_eq!(plain.freeze()().unwrap(), none.freeze()().unwrap());
}

#[test]
fn states_of_other_experts_are_refused() {
    let mut own = with(&["echo"]).unwrap();
    let mut plain = Forecaster::new(&spec(), HOUR_US);
    close(&mut own, 0);
    close(&mut plain, 0);
    let (own, plain) = (own.freeze()().unwrap(), plain.freeze()().unwrap());

    assert!(Forecaster::new(&spec(), HOUR_US).restore(&own).is_err());
    assert!(with(&["echo"]).unwrap().restore(&plain).is_err());
    let error = with(&["other"]).unwrap().restore(&own).unwrap_err();
    assert_eq!(error.to_string(), "this state has the expert echo in place of other");
}

#[test]
fn two_experts_may_not_have_one_name() {
    let error = with(&["rls"]).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "two experts have the name rls");
    assert!(with(&["echo", "echo"]).is_err());
}

/// One window; each series has its own values.
fn close_of(forecaster: &mut Forecaster, hour: i64, names: &[&'static str]) -> CollectedResults {
    let row = |(id, name): (usize, &&'static str)| {
        let salt: i64 = name.bytes().map(i64::from).sum();
        let value = ((hour * 7919 + salt * 104_729) % 1009) as f64 / 504.5;
        WindowRow::observed(id as u32, name, &[value])
    };
    let rows = names.iter().enumerate().map(row).collect();
    forecaster.collect(ClosedWindow::numbered(hour, HOUR_US), rows).unwrap()
}

fn of_series(results: &CollectedResults, name: &str) -> String {
    let forecasts: Vec<_> = results.forecasts.iter().filter(|forecast| forecast.series == name).collect();
    let scores: Vec<_> = results.scores.iter().filter(|score| score.series == name).collect();
    format!("{forecasts:?}{scores:?}")
}

/// With networks of their own, series know nothing of each other: one that stays is forecast as if
/// there were no others, and one that was forgotten is as new.
#[test]
fn of_too_many_series_those_silent_for_longest_are_forgotten() {
    let mut few = spec();
    (few.model.scope, few.most_series) = (Scope::Series, 3);
    let mut forecaster = Forecaster::new(&few, HOUR_US);
    let mut alone = Forecaster::new(&few, HOUR_US);
    let mut again = Forecaster::new(&few, HOUR_US);

    for hour in 0..60 {
        let names: &[&str] = match hour {
            0..20 => &["gone", "stays", "silent"],
            20..25 => &["stays", "silent"],
            25..30 => &["stays", "gone"],
            // It takes the place of the one that was silent for longest.
            30..40 => &["new", "stays"],
            // Its id is that of another series now, and the one that it had is another's.
            40..50 => &["silent", "new", "stays"],
            _ => &["stays", "newer", "silent"],
        };
        let results = close_of(&mut forecaster, hour, names);
        assert_eq!(of_series(&results, "stays"), of_series(&close_of(&mut alone, hour, &["stays"]), "stays"));
        if hour >= 40 {
            let fresh = close_of(&mut again, hour, &["silent"]);
            assert_eq!(of_series(&results, "silent"), of_series(&fresh, "silent"), "{hour}");
        }

        // What is left is a whole state.
        let state = forecaster.freeze()().unwrap();
        forecaster = Forecaster::new(&few, HOUR_US);
        forecaster.restore(&state).unwrap();
        assert_eq!(forecaster.freeze()().unwrap(), state);
        assert!(forecaster.state.series.len() <= 3);
    }
}

#[test]
fn no_series_of_the_window_at_hand_is_forgotten() {
    let few = ForecastSpec { most_series: 2, ..spec() };
    let mut forecaster = Forecaster::new(&few, HOUR_US);
    close_of(&mut forecaster, 0, &["a", "b"]);
    let results = close_of(&mut forecaster, 1, &["b", "c", "d", "e"]);
    assert_eq!(results.forecasts.len(), 8);
    assert!(results.scores.iter().all(|score| score.series == "b"));
    assert_eq!(forecaster.state.series.len(), 4);
}
