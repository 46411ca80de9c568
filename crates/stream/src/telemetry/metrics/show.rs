//! Metrics of what is newest, set when they are asked for: sums over partitions, lags, scores.
//! It must not count: it shows what was said last.

use std::collections::BTreeMap;

use tickcast_forecast::{Horizon, Mean};

use super::{Metrics, now_us, set};
use crate::evaluate::HorizonScore;
use crate::lock::lock;
use crate::operator::{OperatorStats, TargetStats};
use crate::place::PartitionId;

impl Metrics {
    pub(super) fn sum_partitions(&self) {
        let partitions = lock(&self.partitions);
        let sum = |of: fn(&OperatorStats) -> u64| partitions.values().map(of).sum::<u64>() as i64;
        self.windows.open.set(sum(|stats| stats.windows_open));
        self.windows.series.set(sum(|stats| stats.series_active));
        self.windows.stale.set(sum(|stats| stats.series_stale));
        self.show_training(&partitions);
        self.show_weights(&partitions);

        let watermarks = partitions.values().filter_map(|stats| stats.watermark_us);
        let behind_s = |watermark_us: i64| (now_us() - watermark_us as f64) / 1e6;
        // The partition that is furthest behind: its windows close last.
        if let Some(watermark_us) = watermarks.clone().min() {
            set(&self.windows.watermark_lag, behind_s(watermark_us));
        }
        // What is before the one furthest ahead is late there.
        if let Some(watermark_us) = watermarks.max() {
            set(&self.windows.watermark_ahead, (-behind_s(watermark_us)).max(0.0));
        }
    }

    fn show_training(&self, partitions: &BTreeMap<PartitionId, OperatorStats>) {
        let mut newest: BTreeMap<&str, (Mean, Mean)> = BTreeMap::new();
        for TargetStats { target, forecaster } in partitions.values().flat_map(|stats| &stats.targets) {
            if forecaster.train_steps > 0 {
                let (loss, gradient_norm) = newest.entry(target).or_default();
                loss.add(forecaster.train_loss);
                gradient_norm.add(forecaster.gradient_norm);
            }
        }

        for (target, (loss, gradient_norm)) in newest {
            let labels = self.of_target(target, &[]);
            for (gauge, mean) in [(&self.training.loss, loss), (&self.training.gradient_norm, gradient_norm)]
            {
                gauge.with_label_values(&labels).set(mean.value().unwrap_or_default());
            }
        }
    }

    fn show_weights(&self, partitions: &BTreeMap<PartitionId, OperatorStats>) {
        let mut weights: BTreeMap<(&str, Horizon, &str), Mean> = BTreeMap::new();
        for TargetStats { target, forecaster } in partitions.values().flat_map(|stats| &stats.targets) {
            for weight in &forecaster.weights {
                weights.entry((target, weight.horizon, weight.expert)).or_default().add(weight.weight);
            }
        }

        for ((target, horizon, expert), mean) in weights {
            let horizon = horizon.to_string();
            let labels = self.of_target(target, &[&horizon, expert]);
            self.forecasts.expert_weight.with_label_values(&labels).set(mean.value().unwrap_or_default());
        }
    }

    pub(super) fn show_lag(&self) {
        match lock(&self.lags).total() {
            Some(records) => set(&self.input.lag, records as f64),
            None => self.input.lag.reset(),
        }
    }

    pub(super) fn show_scores(&self) {
        for of in &lock(&self.scoreboard).targets {
            of.horizons.iter().for_each(|(horizon, score)| self.show_score(&of.target, *horizon, score));
        }
    }

    fn show_score(&self, target: &str, horizon: Horizon, score: &HorizonScore) {
        let horizon = horizon.to_string();
        let experts = score.experts.iter().map(|(name, mean)| (name.as_str(), mean));
        for (expert, mean) in experts.chain([("published", &score.published)]) {
            if let Some(mean) = mean.value() {
                let labels = self.of_target(target, &[&horizon, expert]);
                self.forecasts.abs_error.with_label_values(&labels).set(mean);
            }
        }

        if let Some(skill) = score.skill() {
            self.forecasts.skill.with_label_values(&self.of_target(target, &[&horizon])).set(skill);
        }

        for (level, mean) in &score.coverage {
            if let Some(share) = mean.value() {
                let level = level.to_string();
                let labels = self.of_target(target, &[&horizon, &level]);
                self.forecasts.coverage.with_label_values(&labels).set(share);
            }
        }
    }
}
