//! An expert of your own beside those of the crate: `cargo run --release --example own_expert`.
//!
//! A machine follows a plan that is published ahead, but not exactly. No built-in expert knows the
//! plan. This one does, and it learns how much of each planned step comes true. The mixture finds
//! out how far to believe it, for every series and horizon.

use serde::{Deserialize, Serialize};
use tickcast_forecast::{
    ClosedWindow, CustomExpert, EventTime, Expert, ForecastSpec, Forecaster, Horizon, Label, Observation,
    Result, WindowRow,
};

const HOUR_US: i64 = 3_600_000_000;
const HOURS: i64 = 24 * 30;

/// The plan for the hour that ends at this time: a level that changes every five hours.
fn plan(end: EventTime) -> f64 {
    let block = end.0 / (5 * HOUR_US);
    ((block * 7919) % 101) as f64 / 10.0
}

/// What was measured: 0.7 of the plan, and noise.
fn measured(hour: i64) -> f64 {
    let noise = ((hour * 104_729) % 1009) as f64 / 504.5 - 1.0;
    20.0 + 0.7 * plan(EventTime((hour + 1) * HOUR_US)) + 0.3 * noise
}

/// Its fields are its state: serde puts them into the forecaster's snapshot.
#[derive(Clone, Serialize, Deserialize)]
struct PlanFollower {
    /// How much of a planned step comes true.
    share: f64,
}

/// Rate of the share.
const RATE: f64 = 0.02;

impl Expert for PlanFollower {
    fn memo_len(&self) -> usize {
        1
    }

    fn forecast(
        &self,
        observation: &Observation<'_>,
        horizon_idx: usize,
        sigma: f64,
        memo: &mut [f32],
    ) -> f64 {
        // Windows that follow each other by the clock have one.
        let Some(target_time) = observation.target_time(horizon_idx) else { return 0.0 };
        let planned = (plan(target_time) - plan(observation.end())) / sigma;
        memo[0] = planned as f32;
        self.share * planned
    }

    /// A step of normalised least mean squares: `share += rate · error · planned / (1 + planned²)`.
    fn learn(&mut self, _: usize, label: &Label<'_>, memo: &[f32]) {
        let planned = f64::from(memo[0]);
        let error = label.moved() - self.share * planned;
        self.share += RATE * error * planned / (1.0 + planned * planned);
    }
}

fn main() -> Result<()> {
    let mut spec = ForecastSpec::new("output");
    spec.horizons = vec![Horizon(1), Horizon(6)];
    let own = || vec![CustomExpert::new("plan", PlanFollower { share: 0.0 })];

    let mut without = Forecaster::new(&spec, HOUR_US);
    let mut with = Forecaster::with_experts(&spec, HOUR_US, own())?;
    println!("mean |error| without the plan: {:.3}", mean_error(&mut without, 0..HOURS)?);
    println!("mean |error| with the plan:    {:.3}", mean_error(&mut with, 0..HOURS)?);
    for weight in with.stats().weights.iter().filter(|weight| weight.weight > 0.05) {
        println!("  {} h ahead: {} has {:.2}", weight.horizon, weight.expert, weight.weight);
    }

    // Its state comes back with the forecaster's.
    let state = with.freeze()()?;
    let mut resumed = Forecaster::with_experts(&spec, HOUR_US, own())?;
    resumed.restore(&state)?;
    let next = HOURS..HOURS + 24;
    assert_eq!(mean_error(&mut resumed, next.clone())?.to_bits(), mean_error(&mut with, next)?.to_bits());
    println!("a forecaster that was restored goes on with the same bits");
    Ok(())
}

/// Feeds these hours, and returns the mean error of the forecasts that came true in them.
fn mean_error(forecaster: &mut Forecaster, hours: std::ops::Range<i64>) -> Result<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for hour in hours {
        let rows = vec![WindowRow::observed(0, "machine", &[measured(hour)])];
        let results = forecaster.collect(ClosedWindow::numbered(hour, HOUR_US), rows)?;
        sum += results.scores.iter().map(|score| score.abs_error()).sum::<f64>();
        count += results.scores.len();
    }
    Ok(sum / count as f64)
}
