//! The charts of the experts: their skill beside the published forecast, and their weights in it.
//! It must not compute a skill.

use std::collections::BTreeMap;

use plotly::common::{Line, Marker, Mode};
use plotly::layout::{AxisType, BarMode};
use plotly::{Bar, Plot, Scatter};
use serde_json::json;
use tickcast_forecast::Horizon;

use super::chart::{Chart, View, one_view};
use super::style::{COLOURS, Curve, ahead, axis, layout, millis, time_axis};
use crate::backtest::{JudgedTarget, TargetMeasures};

/// Bars end here: what is far worse than naive must not make the others small.
const LEAST_SKILL: f64 = -50.0;

/// A name, and its skill in percent at every horizon.
type Bars<'a> = (&'a str, Vec<Option<f64>>);

/// Bars a horizon: the published forecast, then every expert but naive.
pub fn skill(judged: &JudgedTarget<'_>) -> Chart {
    let measured = judged.measured;
    let label = |horizon| match judged.order.ahead(horizon) {
        Some(time) => format!("{horizon} ({time})"),
        None => format!("{horizon}"),
    };
    let labels: Vec<String> = measured.horizons.iter().map(|of| label(of.horizon)).collect();

    let bars = skill_bars(measured);
    let (lowest, highest) = bars
        .iter()
        .flat_map(|(_, values)| values.iter().flatten())
        .fold((0.0f64, 1.0f64), |(lowest, highest), &skill| (lowest.min(skill), highest.max(skill)));
    let range = vec![1.1 * lowest.max(LEAST_SKILL), 1.1 * highest];

    let mut plot = Plot::new();
    for ((name, values), colour) in bars.into_iter().zip(COLOURS.iter().cycle()) {
        plot.add_trace(Bar::new(labels.clone(), values).name(name).marker(Marker::new().color(*colour)));
    }
    let horizons = axis("horizon in windows").type_(AxisType::Category);
    plot.set_layout(layout(horizons, axis("skill, %").range(range)).bar_mode(BarMode::Group));

    Chart {
        id: "skill",
        title: "Skill beside every expert",
        about: "1 - MAE / naive MAE; naive itself is the line at zero. Bars below -50 % are cut off."
            .to_owned(),
        views: one_view(&plot, measured.scored > 0),
    }
}

fn skill_bars(measured: &TargetMeasures) -> Vec<Bars<'_>> {
    let published = measured.horizons.iter().map(|of| of.skill.map(|skill| 100.0 * skill)).collect();
    let mut experts: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for (index, of) in measured.horizons.iter().enumerate() {
        for expert in of.experts.iter().filter(|expert| expert.name != "naive") {
            let values = experts.entry(&expert.name).or_insert_with(|| vec![None; measured.horizons.len()]);
            values[index] = expert.skill.map(|skill| 100.0 * skill);
        }
    }
    std::iter::once(("published forecast", published)).chain(experts).collect()
}

/// A line an expert, a view a horizon.
pub fn weights(judged: &JudgedTarget<'_>) -> Chart {
    let mut lines: BTreeMap<(Horizon, &str), Curve> = BTreeMap::new();
    for (time, stats) in judged.samples.of(judged.nth) {
        for weight in &stats.weights {
            let line = lines.entry((weight.horizon, weight.expert)).or_default();
            line.0.push(millis(time));
            line.1.push(weight.weight as f32);
        }
    }

    let mut plots: BTreeMap<Horizon, Plot> = BTreeMap::new();
    for ((horizon, expert), (times, values)) in lines {
        let plot = plots.entry(horizon).or_default();
        let colour = COLOURS[plot.data().len() % COLOURS.len()];
        plot.add_trace(
            Scatter::new(times, values).mode(Mode::Lines).name(expert).line(Line::new().color(colour)),
        );
    }

    let view = |(horizon, mut plot): (Horizon, Plot)| {
        plot.set_layout(layout(time_axis("time"), axis("weight").range(vec![0.0, 1.0])));
        View { name: ahead(horizon, judged.order), figure: json!(plot) }
    };
    Chart {
        id: "weights",
        title: "Weights of the experts",
        about: "How much each expert counts in the published forecast, the mean over the series.".to_owned(),
        views: plots.into_iter().map(view).collect(),
    }
}
