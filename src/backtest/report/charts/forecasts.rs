//! The chart of forecasts over truth: some series closely, with their intervals as bands.
//! It must not choose what is kept of a series.

use plotly::common::{Fill, HoverInfo, Line, Mode};
use plotly::{Plot, Scatter};
use serde_json::{Value, json};
use tickcast_stream::evaluate::text::percent;
use tickcast_stream::evaluate::{Interval, Pair};

use super::chart::{Chart, View};
use super::style::{COLOURS, TRUTH, ahead, axis, layout, millis, time_axis};
use crate::backtest::JudgedTarget;
use crate::backtest::chart_data::RecentPairs;
use crate::backtest::partition_eval::{SHOWN, SeriesEval};

/// Horizons whose forecasts are shown.
const HORIZONS: usize = 4;
/// Of the intervals, the widest first.
const BANDS: [&str; 3] = ["#d9e8f3", "#a6cbe4", "#74add4"];

/// The latest windows and those around the largest error, for each series and horizon.
pub fn forecasts(judged: &JudgedTarget<'_>) -> Chart {
    let measured = judged.measured;
    let mut views = Vec::new();
    let is_shown = |series: &SeriesEval| series.horizons.iter().any(|horizon| horizon.recent.is_some());
    let series = judged.evals.values().flat_map(|eval| &eval.series);

    for (name, series) in series.filter(|(_, series)| is_shown(series)).take(SHOWN) {
        for (eval, of) in series.horizons.iter().zip(&measured.horizons).take(HORIZONS) {
            let Some(recent) = &eval.recent else { continue };
            let levels: Vec<f64> = of.levels.iter().map(|level| level.level).collect();
            let name = format!("{name}, {}", ahead(of.horizon, judged.order));
            views.extend(both_views(recent, &name, &levels, &measured.target));
        }
    }

    Chart {
        id: "forecasts",
        title: "Forecasts over truth",
        about: "At each time the truth, and the forecast that was issued for it so many windows before \
                with its intervals."
            .to_owned(),
        views,
    }
}

fn both_views(recent: &RecentPairs, name: &str, levels: &[f64], target: &str) -> Vec<View> {
    let views: [(&str, Vec<&Pair>); 2] = [
        ("the latest windows", recent.latest().collect()),
        ("around its largest error", recent.around_the_worst().collect()),
    ];
    let view = |(which, pairs): (&str, Vec<&Pair>)| View {
        name: format!("{name}: {which}"),
        figure: band_figure(&pairs, levels, target),
    };
    views.into_iter().filter(|(_, pairs)| !pairs.is_empty()).map(view).collect()
}

fn band_figure(pairs: &[&Pair], levels: &[f64], target: &str) -> Value {
    let mut plot = Plot::new();
    for (index, &level) in levels.iter().enumerate().rev() {
        let colour = BANDS[(levels.len() - 1 - index).min(BANDS.len() - 1)];
        add_band(&mut plot, pairs, index, level, colour);
    }

    let times: Vec<i64> = pairs.iter().map(|pair| millis(pair.target_time)).collect();
    let line = |of: fn(&Pair) -> f64, name: &str, colour: &'static str, width: f64| {
        let values: Vec<f32> = pairs.iter().map(|pair| of(pair) as f32).collect();
        Scatter::new(times.clone(), values)
            .mode(Mode::Lines)
            .name(name)
            .line(Line::new().color(colour).width(width))
    };
    plot.add_trace(line(|pair| pair.actual, "truth", TRUTH, 1.6));
    plot.add_trace(line(|pair| pair.forecast, "forecast", COLOURS[0], 1.8));
    plot.set_layout(layout(time_axis("time of the truth"), axis(target)));
    json!(plot)
}

/// The intervals of one level: their lower edge, then the upper one with the colour between.
fn add_band(plot: &mut Plot, pairs: &[&Pair], index: usize, level: f64, colour: &'static str) {
    let times: Vec<i64> = pairs.iter().map(|pair| millis(pair.target_time)).collect();
    // Half the digits are enough for a picture.
    let side = |of: fn(&Interval) -> f64| -> Vec<Option<f32>> {
        pairs.iter().map(|pair| pair.intervals.get(index).map(|interval| of(interval) as f32)).collect()
    };
    let edge = |values| {
        Scatter::new(times.clone(), values)
            .mode(Mode::Lines)
            .line(Line::new().width(0.0).color(colour))
            .hover_info(HoverInfo::Skip)
    };

    plot.add_trace(edge(side(|interval| interval.lower)).show_legend(false));
    plot.add_trace(
        edge(side(|interval| interval.upper))
            .fill(Fill::ToNextY)
            .fill_color(colour)
            .name(format!("{}% interval", percent(level))),
    );
}
