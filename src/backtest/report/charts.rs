//! The charts of the page, as plotly draws them: each with one or several views of the same kind.
//! It must not know the page around them.

mod chart;
mod experts;
mod forecasts;
mod intervals;
mod loss;
mod style;

pub use chart::{Chart, View};
pub use style::time;

use super::super::{Backtest, JudgedTarget};

/// Every chart that has something to show; with several targets the views say of which they are.
pub fn all(backtest: &Backtest) -> Vec<Chart> {
    let mut charts: Vec<Chart> = Vec::new();
    let are_several = backtest.measured.targets.len() > 1;
    for judged in backtest.targets() {
        for mut chart in of_target(&judged) {
            if are_several {
                let target = &judged.measured.target;
                chart.views.iter_mut().for_each(|view| view.name = named(target, &view.name));
            }
            match charts.iter_mut().find(|known| known.id == chart.id) {
                Some(known) => known.views.append(&mut chart.views),
                None => charts.push(chart),
            }
        }
    }
    charts.into_iter().filter(|chart| !chart.views.is_empty()).collect()
}

fn of_target(judged: &JudgedTarget<'_>) -> [Chart; 6] {
    [
        forecasts::forecasts(judged),
        experts::skill(judged),
        experts::weights(judged),
        intervals::coverage(judged),
        intervals::calibration(judged.measured),
        loss::loss(judged),
    ]
}

/// The only view of a chart has no name of its own.
fn named(target: &str, view: &str) -> String {
    if view.is_empty() { target.to_owned() } else { format!("{target}: {view}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tickcast_forecast::{ExpertWeight, ForecasterStats, Horizon};
    use tickcast_stream::message::EventTime;
    use tickcast_stream::operator::{OperatorStats, TargetStats};

    use super::*;
    use crate::backtest::chart_data::Samples;
    use crate::backtest::{Measured, TargetMeasures};

    fn said(weights: Vec<ExpertWeight>) -> OperatorStats {
        let of = |target: &str| TargetStats {
            target: target.into(),
            forecaster: ForecasterStats { weights: weights.clone(), ..ForecasterStats::default() },
        };
        OperatorStats { targets: vec![of("temp"), of("wind")], ..OperatorStats::default() }
    }

    fn backtest(targets: &[&str], weights: Vec<ExpertWeight>) -> Backtest {
        let mut samples = Samples::default();
        samples.add(EventTime(2_000_000), said(weights));
        let of = |target: &&str| TargetMeasures { target: target.to_string(), ..TargetMeasures::default() };
        let measured = Measured { targets: targets.iter().map(of).collect(), ..Measured::default() };
        let evals = targets.iter().map(|_| BTreeMap::new()).collect();
        Backtest { measured, evals, samples, order: 60_000_000.into() }
    }

    fn weights() -> Vec<ExpertWeight> {
        let weight = |horizon, expert, weight| ExpertWeight { horizon, expert, weight };
        vec![
            weight(Horizon(1), "naive", 0.25),
            weight(Horizon(1), "rnn", 0.75),
            weight(Horizon(6), "naive", 1.0),
        ]
    }

    fn names(chart: &Chart) -> Vec<&str> {
        chart.views.iter().map(|view| view.name.as_str()).collect()
    }

    #[test]
    fn weights_are_drawn_by_horizon_once_there_are_any() {
        assert!(all(&backtest(&["temp"], Vec::new())).is_empty());
        let drawn = all(&backtest(&["temp"], weights()));
        let [chart] = &drawn[..] else { panic!("{} charts", drawn.len()) };
        assert_eq!(
            (chart.id, names(chart)),
            ("weights", vec!["1 window (1m) ahead", "6 windows (6m) ahead"])
        );
        let rnn = &chart.views[0].figure["data"][1];
        assert_eq!((&rnn["name"], &rnn["x"][0], &rnn["y"][0]), (&json!("rnn"), &json!(2000), &json!(0.75)));
    }

    #[test]
    fn with_several_targets_a_chart_has_views_of_each() {
        let drawn = all(&backtest(&["temp", "wind"], weights()));
        let [chart] = &drawn[..] else { panic!("{} charts", drawn.len()) };
        let both = ["temp", "wind"].map(|target| {
            [format!("{target}: 1 window (1m) ahead"), format!("{target}: 6 windows (6m) ahead")]
        });
        assert_eq!(names(chart), both.concat());
        assert_eq!((named("temp", ""), named("temp", "now")), ("temp".to_owned(), "temp: now".to_owned()));
    }
}
