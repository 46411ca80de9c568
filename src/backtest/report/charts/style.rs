//! How charts look: colours, axes and layout, and how times and horizons are written.
//! It must not know what is drawn.

use jiff::Timestamp;
use plotly::Layout;
use plotly::common::{Anchor, Font, Orientation, Title};
use plotly::layout::{Axis, AxisType, HoverMode, Legend, Margin};
use tickcast_forecast::{Horizon, WindowOrder};
use tickcast_stream::message::EventTime;

/// Points of a line; longer ones are thinned.
const POINTS: usize = 1000;
/// Told apart with most kinds of colour blindness (Okabe and Ito 2008), then darker ones of them.
pub const COLOURS: [&str; 11] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#00405f", "#7a3600",
    "#00543d", "#7a4864",
];
/// The colour of what was observed, and of text.
pub const TRUTH: &str = "#1f2933";
/// The colour of a line to compare with.
pub const GREY: &str = "#9aa5b1";
const GRID: &str = "#e4e7eb";

/// Times in milliseconds and values.
pub type Curve = (Vec<i64>, Vec<f32>);

/// Light, with the legend above the data.
pub fn layout(x: Axis, y: Axis) -> Layout {
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

/// An axis with a title, as wide as its labels.
pub fn axis(title: &str) -> Axis {
    Axis::new()
        .title(Title::with_text(title))
        .auto_margin(true)
        .grid_color(GRID)
        .zero_line_color(GREY)
        .line_color(GRID)
}

/// An axis of dates.
pub fn time_axis(title: &str) -> Axis {
    axis(title).type_(AxisType::Date)
}

/// At most [`POINTS`] of them, evenly, and the last.
pub fn thinned<T>(points: Vec<T>) -> impl Iterator<Item = T> {
    let (step, last) = (points.len().div_ceil(POINTS).max(1), points.len().saturating_sub(1));
    points
        .into_iter()
        .enumerate()
        .filter(move |(nth, _)| nth % step == 0 || *nth == last)
        .map(|(_, point)| point)
}

/// `6 windows (6h) ahead`.
pub fn ahead(horizon: Horizon, order: &WindowOrder) -> String {
    let windows = if horizon == Horizon(1) { "window" } else { "windows" };
    match order.ahead(horizon) {
        Some(time) => format!("{horizon} {windows} ({time}) ahead"),
        None => format!("{horizon} {windows} ahead"),
    }
}

/// Since the Unix epoch, as plotly reads the numbers of an axis of dates.
pub fn millis(time: EventTime) -> i64 {
    time.0.div_euclid(1000)
}

/// RFC 3339, or the number of microseconds beyond the years that it can say.
pub fn time(time: EventTime) -> String {
    Timestamp::from_microsecond(time.0).map_or_else(|_| format!("{} us", time.0), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_thinned_and_keep_their_last_point() {
        let thin: Vec<usize> = thinned((0..2500).collect()).collect();
        assert_eq!((thin.len(), thin[1], thin[thin.len() - 1]), (834, 3, 2499));
        assert_eq!(thinned(vec![1, 2]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(thinned(Vec::<u8>::new()).count(), 0);
    }

    #[test]
    fn horizons_and_times_are_said_in_words() {
        assert_eq!(ahead(Horizon(1), &3_600_000_000.into()), "1 window (1h) ahead");
        assert_eq!(ahead(Horizon(24), &60_000_000.into()), "24 windows (24m) ahead");
        assert_eq!(ahead(Horizon(2), &WindowOrder::BySeries), "2 windows ahead");
        assert_eq!(time(EventTime(1_704_067_200_000_000)), "2024-01-01T00:00:00Z");
        assert_eq!(time(EventTime::MAX), "9223372036854775807 us");
    }
}
