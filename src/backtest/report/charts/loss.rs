//! The chart of the training loss, as the network learned.
//! It must not know what the loss is made of.

use plotly::common::{Line, Marker, Mode};
use plotly::layout::RangeMode;
use plotly::{Plot, Scatter};

use super::chart::{Chart, one_view};
use super::style::{COLOURS, Curve, axis, layout, millis, time_axis};
use crate::backtest::JudgedTarget;

/// How much of the mean loss stays from one sample to the next.
const LOSS_MEMORY: f32 = 0.95;

/// The loss of single steps, and their moving mean.
pub fn loss(judged: &JudgedTarget<'_>) -> Chart {
    let trained = judged.samples.of(judged.nth).filter(|(_, stats)| stats.train_steps > 0);
    let (times, losses): Curve = trained.map(|(time, stats)| (millis(time), stats.train_loss as f32)).unzip();
    let means = moving_means(&losses);
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
        about: "Loss of the network's updates as it learned, in units of the series' own scale (first \
                partition)."
            .to_owned(),
        views: one_view(&plot, has_any),
    }
}

/// Single steps are noisy: their exponential mean shows where they go.
fn moving_means(losses: &[f32]) -> Vec<f32> {
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |loss: &f32| {
        (sum, weight) = (LOSS_MEMORY * sum + loss, LOSS_MEMORY * weight + 1.0);
        sum / weight
    };
    losses.iter().map(mean).collect()
}
