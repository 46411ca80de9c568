//! The charts of the page, as plotly draws them: each with one or several views of the same kind.
//! It must not know the page around them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plotly::common::{Anchor, DashType, Fill, Font, HoverInfo, Line, Marker, Mode, Orientation, Title};
use plotly::layout::{Axis, AxisType, BarMode, HoverMode, Legend, Margin, RangeMode};
use plotly::{Bar, Layout, Plot, Scatter};
use serde::Serialize;
use serde_json::{Value, json};
use tickcast_stream::message::EventTime;
use tickcast_stream::telemetry::percent;

use super::super::book::SHOWN;
use super::super::pairing::Pair;
use super::super::views::{Samples, Timeline};
use super::super::{Backtest, Measured};

/// Points of a line; longer ones are thinned.
const POINTS: usize = 1000;
/// Horizons whose forecasts are shown.
const HORIZONS: usize = 4;
/// Told apart with most kinds of colour blindness (Okabe and Ito 2008), then darker ones of them.
const COLOURS: [&str; 11] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#00405f", "#7a3600",
    "#00543d", "#7a4864",
];
/// Bars end here: what is far worse than naive must not make the others small.
const LEAST_SKILL: f64 = -50.0;
const TRUTH: &str = "#1f2933";
/// Of the intervals, the widest first.
const BANDS: [&str; 3] = ["#d9e8f3", "#a6cbe4", "#74add4"];
/// How much of the mean loss stays from one sample to the next.
const LOSS_MEMORY: f32 = 0.95;
const GRID: &str = "#e4e7eb";

/// Times in milliseconds and values.
type Curve = (Vec<i64>, Vec<f32>);

/// A chart with its heading.
pub struct Chart {
    /// Of its element in the page.
    pub id: &'static str,
    pub title: &'static str,
    pub about: String,
    pub views: Vec<View>,
}

/// One figure.
#[derive(Serialize)]
pub struct View {
    /// What a person chooses it by.
    pub name: String,
    pub figure: Value,
}

/// Every chart that has something to show.
pub fn all(backtest: &Backtest) -> Vec<Chart> {
    let charts = [
        forecasts(backtest),
        skill(backtest),
        weights(backtest),
        coverage(backtest),
        calibration(&backtest.measured),
        loss(&backtest.samples),
    ];
    charts.into_iter().filter(|chart| !chart.views.is_empty()).collect()
}

fn forecasts(backtest: &Backtest) -> Chart {
    let mut views = Vec::new();
    let series = backtest.books.values().flat_map(|book| &book.series);
    for (name, series) in
        series.filter(|(_, series)| series.cells.iter().any(|cell| cell.shown.is_some())).take(SHOWN)
    {
        for (cell, of) in series.cells.iter().zip(&backtest.measured.horizons).take(HORIZONS) {
            let Some(shown) = &cell.shown else { continue };
            let levels: Vec<f64> = of.levels.iter().map(|level| level.level).collect();
            let ahead = ahead(of.horizon, backtest.size_us);
            for (which, pairs) in [
                ("the latest windows", shown.latest().collect::<Vec<_>>()),
                ("around its largest error", shown.around_the_worst().collect()),
            ] {
                if !pairs.is_empty() {
                    let figure = band_figure(&pairs, &levels, &backtest.measured.target);
                    views.push(View { name: format!("{name}, {ahead}: {which}"), figure });
                }
            }
        }
    }
    Chart {
        id: "forecasts",
        title: "Forecasts over truth",
        about: "At each time the truth, and the forecast that was issued for it so many windows before with its intervals."
            .to_owned(),
        views,
    }
}

fn band_figure(pairs: &[&Pair], levels: &[f64], target: &str) -> Value {
    let times: Vec<i64> = pairs.iter().map(|pair| millis(pair.target_time)).collect();
    let mut plot = Plot::new();
    for (index, &level) in levels.iter().enumerate().rev() {
        // Half the digits are enough for a picture.
        let side = |of: fn(&(f64, f64)) -> f64| -> Vec<Option<f32>> {
            pairs.iter().map(|pair| pair.bounds.get(index).map(|bounds| of(bounds) as f32)).collect()
        };
        let band = BANDS[(levels.len() - 1 - index).min(BANDS.len() - 1)];
        let edge = |values| {
            Scatter::new(times.clone(), values)
                .mode(Mode::Lines)
                .line(Line::new().width(0.0).color(band))
                .hover_info(HoverInfo::Skip)
        };
        plot.add_trace(edge(side(|bounds| bounds.0)).show_legend(false));
        plot.add_trace(
            edge(side(|bounds| bounds.1))
                .fill(Fill::ToNextY)
                .fill_color(band)
                .name(format!("{}% interval", percent(level))),
        );
    }
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

fn skill(backtest: &Backtest) -> Chart {
    let measured = &backtest.measured;
    let label = |horizon| format!("{horizon} ({:#})", length(horizon, backtest.size_us));
    let labels: Vec<String> = measured.horizons.iter().map(|of| label(of.horizon)).collect();
    let mut bars: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for (index, of) in measured.horizons.iter().enumerate() {
        for expert in of.experts.iter().filter(|expert| expert.name != "naive") {
            let values = bars.entry(&expert.name).or_insert_with(|| vec![None; labels.len()]);
            values[index] = expert.skill.map(|skill| 100.0 * skill);
        }
    }
    let published = measured.horizons.iter().map(|of| of.skill.map(|skill| 100.0 * skill)).collect();
    let mut plot = Plot::new();
    let bars: Vec<(&str, Vec<Option<f64>>)> =
        std::iter::once(("published forecast", published)).chain(bars).collect();
    let (lowest, highest) = bars
        .iter()
        .flat_map(|(_, values)| values.iter().flatten())
        .fold((0.0f64, 1.0f64), |(lowest, highest), &skill| (lowest.min(skill), highest.max(skill)));
    let range = vec![1.1 * lowest.max(LEAST_SKILL), 1.1 * highest];
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
        views: one_view(plot, measured.scored > 0),
    }
}

fn weights(backtest: &Backtest) -> Chart {
    let taken = &backtest.samples.taken;
    let mut lines: BTreeMap<(u32, &str), Curve> = BTreeMap::new();
    for (time, stats) in taken {
        for weight in &stats.weights {
            let line = lines.entry((weight.horizon, weight.expert)).or_default();
            line.0.push(millis(*time));
            line.1.push(weight.weight as f32);
        }
    }
    let mut plots: BTreeMap<u32, Plot> = BTreeMap::new();
    for ((horizon, expert), (times, values)) in lines {
        let plot = plots.entry(horizon).or_default();
        let colour = COLOURS[plot.data().len() % COLOURS.len()];
        plot.add_trace(
            Scatter::new(times, values).mode(Mode::Lines).name(expert).line(Line::new().color(colour)),
        );
    }
    let view = |(horizon, mut plot): (u32, Plot)| {
        plot.set_layout(layout(time_axis("time"), axis("weight").range(vec![0.0, 1.0])));
        View { name: ahead(horizon as i32, backtest.size_us), figure: json!(plot) }
    };
    Chart {
        id: "weights",
        title: "Weights of the experts",
        about: "How much each expert counts in the published forecast, the mean over the series.".to_owned(),
        views: plots.into_iter().map(view).collect(),
    }
}

fn coverage(backtest: &Backtest) -> Chart {
    let mut views = Vec::new();
    for (index, of) in backtest.measured.horizons.iter().enumerate() {
        let mut timeline = Timeline::default();
        backtest.books.values().for_each(|book| timeline.merge(&book.timelines[index]));
        let mut plot = Plot::new();
        for (nth, level) in of.levels.iter().enumerate() {
            let (times, shares): Curve = thinned(timeline.rolling(nth))
                .map(|(time, share)| (millis(time), 100.0 * share as f32))
                .unzip();
            let Some((&first, &last)) = times.first().zip(times.last()) else { continue };
            let colour = COLOURS[nth % COLOURS.len()];
            let name = format!("{}% interval", percent(level.level));
            let nominal = vec![percent(level.level); 2];
            plot.add_trace(
                Scatter::new(vec![first, last], nominal)
                    .mode(Mode::Lines)
                    .line(Line::new().color(colour).width(1.0).dash(DashType::Dash))
                    .show_legend(false)
                    .hover_info(HoverInfo::Skip),
            );
            plot.add_trace(
                Scatter::new(times, shares).mode(Mode::Lines).name(name).line(Line::new().color(colour)),
            );
        }
        if plot.data().is_empty() {
            continue;
        }
        plot.set_layout(layout(
            time_axis("end of the 250 windows"),
            axis("coverage, %").range(vec![0.0, 102.0]),
        ));
        views.push(View { name: ahead(of.horizon, backtest.size_us), figure: json!(plot) });
    }
    Chart {
        id: "coverage",
        title: "Coverage over time",
        about: "Share of truths within their intervals, over the last 250 windows of all series; dashed is what they claim."
            .to_owned(),
        views,
    }
}

fn calibration(measured: &Measured) -> Chart {
    let mut plot = Plot::new();
    plot.add_trace(
        Scatter::new(vec![0.0, 100.0], vec![0.0, 100.0])
            .mode(Mode::Lines)
            .name("as claimed")
            .line(Line::new().color("#9aa5b1").dash(DashType::Dash))
            .hover_info(HoverInfo::Skip),
    );
    for (of, colour) in measured.horizons.iter().zip(COLOURS.iter().cycle()) {
        let (claimed, observed): (Vec<f64>, Vec<f64>) = (of.levels.iter())
            .filter_map(|level| Some((percent(level.level), 100.0 * level.coverage?)))
            .unzip();
        plot.add_trace(
            Scatter::new(claimed, observed)
                .mode(Mode::LinesMarkers)
                .name(format!("horizon {}", of.horizon))
                .line(Line::new().color(*colour))
                .marker(Marker::new().size(9).color(*colour)),
        );
    }
    let percents = |title: &str| axis(title).range(vec![0.0, 102.0]);
    plot.set_layout(layout(percents("level of the interval, %"), percents("coverage observed, %")));
    Chart {
        id: "calibration",
        title: "Calibration",
        about: "A point on the dashed line covers what it claims; below it, intervals are too narrow."
            .to_owned(),
        views: one_view(
            plot,
            measured.horizons.iter().flat_map(|of| &of.levels).any(|level| level.scored > 0),
        ),
    }
}

fn loss(samples: &Samples) -> Chart {
    let trained = samples.taken.iter().filter(|(_, stats)| stats.train_steps > 0);
    let (times, losses): Curve =
        trained.map(|(time, stats)| (millis(*time), stats.train_loss as f32)).unzip();
    // Single steps are noisy: their exponential mean shows where they go.
    let (mut sum, mut weight) = (0.0, 0.0);
    let means: Vec<f32> = losses
        .iter()
        .map(|loss| {
            (sum, weight) = (LOSS_MEMORY * sum + loss, LOSS_MEMORY * weight + 1.0);
            sum / weight
        })
        .collect();
    let has_any = !losses.is_empty();
    let mut plot = Plot::new();
    plot.add_trace(
        Scatter::new(times.clone(), losses)
            .mode(Mode::Markers)
            .name("of a step")
            .marker(Marker::new().size(4).color("rgba(122,122,122,0.45)")),
    );
    plot.add_trace(
        Scatter::new(times, means)
            .mode(Mode::Lines)
            .name("moving mean")
            .line(Line::new().color(COLOURS[1]).width(2.0)),
    );
    plot.set_layout(layout(time_axis("time"), axis("training loss").range_mode(RangeMode::ToZero)));
    Chart {
        id: "loss",
        title: "Training loss",
        about: "Loss of the network's updates as it learned, in units of the series' own scale (first partition)."
            .to_owned(),
        views: one_view(plot, has_any),
    }
}

fn one_view(plot: Plot, has_any: bool) -> Vec<View> {
    if has_any { vec![View { name: String::new(), figure: json!(plot) }] } else { Vec::new() }
}

/// Light, with the legend above the data.
fn layout(x: Axis, y: Axis) -> Layout {
    let legend = Legend::new()
        .orientation(Orientation::Horizontal)
        .x(0.0)
        .y(1.02)
        .x_anchor(Anchor::Left)
        .y_anchor(Anchor::Bottom);
    Layout::new()
        .x_axis(x)
        .y_axis(y)
        .legend(legend)
        .show_legend(true)
        .hover_mode(HoverMode::XUnified)
        .font(Font::new().family("system-ui, sans-serif").size(14).color(TRUTH))
        .margin(Margin::new().left(64).right(16).top(40).bottom(56))
        .paper_background_color("#fff")
        .plot_background_color("#fff")
}

fn axis(title: &str) -> Axis {
    Axis::new()
        .title(Title::with_text(title))
        .auto_margin(true)
        .grid_color(GRID)
        .zero_line_color("#9aa5b1")
        .line_color(GRID)
}

fn time_axis(title: &str) -> Axis {
    axis(title).type_(AxisType::Date)
}

/// At most [`POINTS`] of them, evenly, and the last.
fn thinned<T>(points: Vec<T>) -> impl Iterator<Item = T> {
    let (step, last) = (points.len().div_ceil(POINTS).max(1), points.len().saturating_sub(1));
    points
        .into_iter()
        .enumerate()
        .filter(move |(nth, _)| nth % step == 0 || *nth == last)
        .map(|(_, point)| point)
}

/// `6 windows (6h) ahead`.
fn ahead(horizon: i32, size_us: i64) -> String {
    let time = length(horizon, size_us);
    let windows = if horizon == 1 { "window" } else { "windows" };
    format!("{horizon} {windows} ({time:#}) ahead")
}

fn length(horizon: i32, size_us: i64) -> SignedDuration {
    SignedDuration::from_micros(size_us.saturating_mul(i64::from(horizon)))
}

/// Since the Unix epoch, as plotly reads the numbers of an axis of dates.
fn millis(time: EventTime) -> i64 {
    time.0.div_euclid(1000)
}

/// RFC 3339, or the number of microseconds beyond the years that it can say.
pub fn time(time: EventTime) -> String {
    Timestamp::from_microsecond(time.0).map_or_else(|_| format!("{} us", time.0), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use tickcast_stream::operator::{OperatorStats, Weight};

    use super::*;

    #[test]
    fn lines_are_thinned_and_keep_their_last_point() {
        let thin: Vec<usize> = thinned((0..2500).collect()).collect();
        assert_eq!((thin.len(), thin[1], thin[thin.len() - 1]), (834, 3, 2499));
        assert_eq!(thinned(vec![1, 2]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(thinned(Vec::<u8>::new()).count(), 0);
    }

    #[test]
    fn weights_are_drawn_by_horizon_once_there_are_any() {
        let mut samples = Samples::default();
        let books = BTreeMap::new();
        samples.add(EventTime(0), OperatorStats::default());
        let backtest = Backtest { measured: Measured::default(), books, samples, size_us: 60_000_000 };
        assert!(all(&backtest).is_empty());
        let weight = |horizon, expert, weight| Weight { horizon, expert, weight };
        let weights = vec![weight(1, "naive", 0.25), weight(1, "rnn", 0.75), weight(6, "naive", 1.0)];
        let mut samples = Samples::default();
        samples.add(EventTime(2_000_000), OperatorStats { weights, ..OperatorStats::default() });
        let drawn = all(&Backtest { samples, ..backtest });
        let [chart] = &drawn[..] else { panic!("{} charts", drawn.len()) };
        let names: Vec<&str> = chart.views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!((chart.id, names), ("weights", vec!["1 window (1m) ahead", "6 windows (6m) ahead"]));
        let rnn = &chart.views[0].figure["data"][1];
        assert_eq!((&rnn["name"], &rnn["x"][0], &rnn["y"][0]), (&json!("rnn"), &json!(2000), &json!(0.75)));
    }

    #[test]
    fn horizons_and_times_are_said_in_words() {
        assert_eq!(ahead(1, 3_600_000_000), "1 window (1h) ahead");
        assert_eq!(ahead(24, 60_000_000), "24 windows (24m) ahead");
        assert_eq!(time(EventTime(1_704_067_200_000_000)), "2024-01-01T00:00:00Z");
        assert_eq!(time(EventTime::MAX), "9223372036854775807 us");
    }
}
