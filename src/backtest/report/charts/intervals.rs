//! The charts of the intervals: their coverage over time, and beside what they claim.
//! It must not compute a coverage.

use plotly::common::{DashType, HoverInfo, Line, Marker, Mode};
use plotly::{Plot, Scatter};
use serde_json::json;
use tickcast_stream::evaluate::CoverageTimeline;
use tickcast_stream::evaluate::text::percent;

use super::chart::{Chart, View, one_view};
use super::style::{COLOURS, Curve, GREY, ahead, axis, layout, millis, thinned, time_axis};
use crate::backtest::{JudgedTarget, TargetMeasures};

/// A line a level, a view a horizon.
pub fn coverage(judged: &JudgedTarget<'_>) -> Chart {
    let mut views = Vec::new();
    for (index, of) in judged.measured.horizons.iter().enumerate() {
        let mut timeline = CoverageTimeline::default();
        judged.evals.values().for_each(|eval| timeline.merge(&eval.timelines[index]));
        let mut plot = Plot::new();
        for (nth, level) in of.levels.iter().enumerate() {
            add_level(&mut plot, &timeline, nth, level.level);
        }

        if !plot.data().is_empty() {
            let shares = axis("coverage, %").range(vec![0.0, 102.0]);
            plot.set_layout(layout(time_axis("end of the 250 windows"), shares));
            views.push(View { name: ahead(of.horizon, judged.order), figure: json!(plot) });
        }
    }

    Chart {
        id: "coverage",
        title: "Coverage over time",
        about: "Share of truths within their intervals, over the last 250 windows of all series; dashed \
                is what they claim."
            .to_owned(),
        views,
    }
}

/// The coverage of the `nth` level, and a dashed line where it should be; nothing before there are
/// enough windows.
fn add_level(plot: &mut Plot, timeline: &CoverageTimeline, nth: usize, level: f64) {
    let (times, shares): Curve =
        thinned(timeline.rolling(nth)).map(|(time, share)| (millis(time), 100.0 * share as f32)).unzip();
    let Some((&first, &last)) = times.first().zip(times.last()) else { return };
    let colour = COLOURS[nth % COLOURS.len()];

    plot.add_trace(
        Scatter::new(vec![first, last], vec![percent(level); 2])
            .mode(Mode::Lines)
            .line(Line::new().color(colour).width(1.0).dash(DashType::Dash))
            .show_legend(false)
            .hover_info(HoverInfo::Skip),
    );
    plot.add_trace(
        Scatter::new(times, shares)
            .mode(Mode::Lines)
            .name(format!("{}% interval", percent(level)))
            .line(Line::new().color(colour)),
    );
}

/// A line a horizon: the coverage observed over the level claimed.
pub fn calibration(measured: &TargetMeasures) -> Chart {
    let mut plot = Plot::new();
    plot.add_trace(
        Scatter::new(vec![0.0, 100.0], vec![0.0, 100.0])
            .mode(Mode::Lines)
            .name("as claimed")
            .line(Line::new().color(GREY).dash(DashType::Dash))
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
    let has_any = measured.horizons.iter().flat_map(|of| &of.levels).any(|level| level.scored > 0);
    Chart {
        id: "calibration",
        title: "Calibration",
        about: "A point on the dashed line covers what it claims; below it, intervals are too narrow."
            .to_owned(),
        views: one_view(&plot, has_any),
    }
}
