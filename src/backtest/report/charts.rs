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

use super::super::Backtest;

/// Every chart that has something to show.
pub fn all(backtest: &Backtest) -> Vec<Chart> {
    let charts = [
        forecasts::forecasts(backtest),
        experts::skill(backtest),
        experts::weights(backtest),
        intervals::coverage(backtest),
        intervals::calibration(&backtest.measured),
        loss::loss(&backtest.samples),
    ];
    charts.into_iter().filter(|chart| !chart.views.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tickcast_forecast::{ExpertWeight, Horizon};
    use tickcast_stream::message::EventTime;
    use tickcast_stream::operator::OperatorStats;

    use super::*;
    use crate::backtest::Measured;
    use crate::backtest::chart_data::Samples;

    #[test]
    fn weights_are_drawn_by_horizon_once_there_are_any() {
        let mut samples = Samples::default();
        let evals = BTreeMap::new();
        samples.add(EventTime(0), OperatorStats::default());
        let backtest = Backtest { measured: Measured::default(), evals, samples, order: 60_000_000.into() };
        assert!(all(&backtest).is_empty());
        let weight = |horizon, expert, weight| ExpertWeight { horizon, expert, weight };
        let weights = vec![
            weight(Horizon(1), "naive", 0.25),
            weight(Horizon(1), "rnn", 0.75),
            weight(Horizon(6), "naive", 1.0),
        ];
        let mut samples = Samples::default();
        samples.add(EventTime(2_000_000), OperatorStats { weights, ..OperatorStats::default() });
        let drawn = all(&Backtest { samples, ..backtest });
        let [chart] = &drawn[..] else { panic!("{} charts", drawn.len()) };
        let names: Vec<&str> = chart.views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!((chart.id, names), ("weights", vec!["1 window (1m) ahead", "6 windows (6m) ahead"]));
        let rnn = &chart.views[0].figure["data"][1];
        assert_eq!((&rnn["name"], &rnn["x"][0], &rnn["y"][0]), (&json!("rnn"), &json!(2000), &json!(0.75)));
    }
}
