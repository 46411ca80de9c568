//! The metrics of the contract in Prometheus' text form, each filled by one cheap call of the runtime.
//! It must not read the pipeline: it counts what it is told, and reads the clock only to say how far behind it a
//! watermark is. A metric nothing can fill is not registered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use prometheus::core::Collector;
use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, exponential_buckets,
};
use tickcast_forecast::Mean;

use super::scoreboard::{HorizonScore, Scoreboard};
use crate::error::{Kind, OrFail, Result};
use crate::message::{Reason, Stream};
use crate::operator::OperatorStats;

/// How a commit can end.
const OUTCOMES: [&str; 4] = ["committed", "aborted", "refused", "failed"];

/// One pipeline's metrics. Gauges of something newest (a loss, a lag) are absent until there is one.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    records_received: IntCounterVec,
    records_rejected: IntCounterVec,
    records_late: IntCounter,
    consumer_lag: GaugeVec,
    watermark_lag: GaugeVec,
    windows_closed: IntCounter,
    windows_open: IntGauge,
    series_active: IntGauge,
    forecasts_emitted: IntCounterVec,
    forecast_latency: Histogram,
    commit_seconds: Histogram,
    commits: IntCounterVec,
    train_steps: IntCounter,
    train_loss: GaugeVec,
    gradient_norm: GaugeVec,
    model_rollbacks: IntCounter,
    abs_error: GaugeVec,
    skill: GaugeVec,
    coverage: GaugeVec,
    expert_weight: GaugeVec,
    drift_alarms: IntCounterVec,
    snapshot_bytes: GaugeVec,
    snapshot_seconds: Histogram,
    restore_seconds: Histogram,
    replayed_records: IntCounter,
    channel_depth: IntGaugeVec,
    stage_busy: CounterVec,
    /// What every partition said last.
    partitions: Mutex<BTreeMap<i32, OperatorStats>>,
    lags: Mutex<BTreeMap<(String, i32), i64>>,
    scoreboard: Mutex<Scoreboard>,
}

impl Metrics {
    /// Errors: `Io`, when the registry refuses a metric, which only a fault here can cause.
    pub fn new(pipeline: &str) -> Result<Self> {
        let labels = HashMap::from([("pipeline".to_owned(), pipeline.to_owned())]);
        let registry =
            Registry::new_custom(Some("tickcast".into()), Some(labels)).or_fail(Kind::Io, || "no metrics")?;
        let metrics =
            Self::registered(Maker(&registry)).or_fail(Kind::Io, || "cannot register the metrics")?;
        for reason in Reason::ALL {
            metrics.records_rejected.with_label_values(&[reason.word()]);
        }
        for outcome in OUTCOMES {
            metrics.commits.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    fn registered(make: Maker<'_>) -> prometheus::Result<Self> {
        let (topic, horizon) = (&["topic", "partition"][..], &["horizon"][..]);
        Ok(Metrics {
            records_received: make.counters(
                "records_received_total",
                "Records read from the source.",
                topic,
            )?,
            records_rejected: make.counters(
                "records_rejected_total",
                "Records not taken in.",
                &["reason"],
            )?,
            records_late: make.counter("records_late_total", "Records whose window had closed.")?,
            consumer_lag: make.gauges("consumer_lag_records", "Records in the topic not read yet.", &[])?,
            watermark_lag: make.gauges(
                "watermark_lag_seconds",
                "Wall time less the watermark of the partition furthest behind.",
                &[],
            )?,
            windows_closed: make.counter("windows_closed_total", "Windows closed.")?,
            windows_open: make.gauge("windows_open", "Windows open now.")?,
            series_active: make.gauge("series_active", "Series known now.")?,
            forecasts_emitted: make.counters("forecasts_emitted_total", "Forecasts made.", horizon)?,
            forecast_latency: make
                .histogram("forecast_latency_seconds", "Record in to its forecast handed to the sink.")?,
            commit_seconds: make.histogram("commit_seconds", "Duration of a commit.")?,
            commits: make.counters("commits_total", "Commits by their outcome.", &["outcome"])?,
            train_steps: make.counter("train_steps_total", "Training steps taken.")?,
            train_loss: make.gauges("train_loss", "Loss of the newest step, mean over partitions.", &[])?,
            gradient_norm: make.gauges(
                "gradient_norm",
                "Gradient norm before clipping, mean over partitions.",
                &[],
            )?,
            model_rollbacks: make
                .counter("model_rollbacks_total", "Times the last good weights came back.")?,
            abs_error: make.gauges(
                "forecast_abs_error",
                "Mean absolute error since the start; expert=\"published\" is the forecast sent out.",
                &["horizon", "expert"],
            )?,
            skill: make.gauges("forecast_skill_ratio", "1 - MAE / naive MAE since the start.", horizon)?,
            coverage: make.gauges(
                "interval_coverage_ratio",
                "Share of truths inside their interval since the start.",
                &["horizon", "level"],
            )?,
            expert_weight: make.gauges(
                "expert_weight",
                "Share of an expert in the mixture, mean over the newest windows' series.",
                &["horizon", "expert"],
            )?,
            drift_alarms: make.counters(
                "drift_alarms_total",
                "Times a detector found that the errors have changed.",
                horizon,
            )?,
            snapshot_bytes: make.gauges("snapshot_bytes", "Size of the newest snapshot.", &[])?,
            snapshot_seconds: make.histogram("snapshot_seconds", "Duration of a snapshot.")?,
            restore_seconds: make.histogram("restore_seconds", "Duration of a restore, replay included.")?,
            replayed_records: make.counter("replayed_records_total", "Records read again to restore.")?,
            channel_depth: make.depths("channel_depth", "Messages waiting for a stage.", &["stage"])?,
            stage_busy: make.seconds(
                "stage_busy_seconds_total",
                "Time a stage spent working.",
                &["stage"],
            )?,
            registry: make.0.clone(),
            partitions: Mutex::default(),
            lags: Mutex::default(),
            scoreboard: Mutex::default(),
        })
    }

    pub fn records_received(&self, topic: &str, partition: i32, records: u64) {
        self.records_received.with_label_values(&[topic, &partition.to_string()]).inc_by(records);
    }

    /// What was rejected, by reason, on one line for a person.
    pub fn rejects(&self) -> String {
        let count = |reason: &Reason| self.records_rejected.with_label_values(&[reason.word()]).get();
        let counts = Reason::ALL.iter().map(|reason| (reason, count(reason))).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(reason, count)| format!("{count} {reason}")).collect();
        if counts.is_empty() {
            "no record was rejected".into()
        } else {
            let hint = match count(&Reason::Late) {
                0 => "",
                _ => " (late: the window had closed; sort a file by time, or raise window.lateness)",
            };
            format!("rejected: {}{hint}", counts.join(", "))
        }
    }

    /// Whether a record was rejected for this reason already.
    pub fn has_rejected(&self, reason: Reason) -> bool {
        self.records_rejected.with_label_values(&[reason.word()]).get() > 0
    }

    pub fn rejected(&self, reason: Reason, records: u64) {
        self.records_rejected.with_label_values(&[reason.word()]).inc_by(records);
        if reason == Reason::Late {
            self.records_late.inc_by(records);
        }
    }

    /// A partition is ours, new or restored: what it says now was counted before, growth counts from here.
    pub fn begin(&self, partition: i32, stats: &OperatorStats) {
        lock(&self.partitions).insert(partition, stats.clone());
    }

    /// Takes in what a partition says of itself; the horizons whose drift detectors have rung since. Without
    /// [`Metrics::begin`] its first word is where counting begins.
    pub fn stats(&self, partition: i32, stats: &OperatorStats) -> Vec<u32> {
        let mut rung = Vec::new();
        if let Some(before) = lock(&self.partitions).insert(partition, stats.clone()) {
            self.windows_closed.inc_by(stats.windows_closed.saturating_sub(before.windows_closed));
            self.train_steps.inc_by(stats.train_steps.saturating_sub(before.train_steps));
            self.model_rollbacks.inc_by(stats.model_rollbacks.saturating_sub(before.model_rollbacks));
            for (at, (horizon, alarms)) in stats.drift_alarms.iter().enumerate() {
                let more =
                    alarms.saturating_sub(before.drift_alarms.get(at).map_or(0, |(_, alarms)| *alarms));
                self.drift_alarms.with_label_values(&[horizon.to_string()]).inc_by(more);
                rung.extend((more > 0).then_some(*horizon));
            }
        }
        rung
    }

    /// Forgets a partition that is no longer ours: its windows, series and lag. What was counted stays.
    pub fn forget(&self, partition: i32) {
        lock(&self.partitions).remove(&partition);
        lock(&self.lags).retain(|(_, known), _| *known != partition);
    }

    /// Counts forecasts by horizon and takes scores into the scoreboard.
    pub fn results(&self, stream: Stream, records: &RecordBatch) {
        match stream {
            Stream::Forecasts => {
                let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
                for &horizon in records["horizon"].as_primitive::<Int32Type>().values() {
                    *counts.entry(horizon).or_default() += 1;
                }
                for (horizon, count) in counts {
                    self.forecasts_emitted.with_label_values(&[horizon.to_string()]).inc_by(count);
                }
            }
            Stream::Scores => lock(&self.scoreboard).add(records),
            Stream::Rejects => {}
        }
    }

    pub fn busy(&self, stage: &str, spent: Duration) {
        self.stage_busy.with_label_values(&[stage]).inc_by(spent.as_secs_f64());
    }

    pub fn depth(&self, stage: &str, messages: usize) {
        self.channel_depth.with_label_values(&[stage]).set(messages as i64);
    }

    /// From a record's arrival to its forecast handed to the sink.
    pub fn latency(&self, waited: Duration) {
        self.forecast_latency.observe(waited.as_secs_f64());
    }

    /// A commit that ended as one of [`OUTCOMES`].
    pub fn commit(&self, outcome: &str, took: Duration) {
        self.commits.with_label_values(&[outcome]).inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub fn snapshot(&self, bytes: usize, took: Duration) {
        set(&self.snapshot_bytes, bytes as f64);
        self.snapshot_seconds.observe(took.as_secs_f64());
    }

    pub fn restored(&self, took: Duration) {
        self.restore_seconds.observe(took.as_secs_f64());
    }

    pub fn replayed(&self, records: u64) {
        self.replayed_records.inc_by(records);
    }

    /// How far a partition's reading is behind its topic's end; the metric is the sum.
    pub fn lag(&self, topic: &str, partition: i32, records: i64) {
        lock(&self.lags).insert((topic.to_owned(), partition), records.max(0));
    }

    /// The scores since the start of this process.
    pub fn scoreboard(&self) -> Scoreboard {
        lock(&self.scoreboard).clone()
    }

    /// Everything in Prometheus' exposition format.
    pub fn text(&self) -> String {
        self.sum_partitions();
        self.show_scores();
        // The encoder fails only for a metric without a name or a sample, and the registry yields neither.
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|cause| format!("# {cause}\n"))
    }

    fn sum_partitions(&self) {
        let partitions = lock(&self.partitions);
        let sum = |of: fn(&OperatorStats) -> u64| partitions.values().map(of).sum::<u64>() as i64;
        self.windows_open.set(sum(|stats| stats.windows_open));
        self.series_active.set(sum(|stats| stats.series_active));
        let trained: Vec<&OperatorStats> =
            partitions.values().filter(|stats| stats.train_steps > 0).collect();
        let mean = |of: fn(&OperatorStats) -> f64| {
            trained.iter().map(|stats| of(stats)).sum::<f64>() / trained.len() as f64
        };
        if !trained.is_empty() {
            set(&self.train_loss, mean(|stats| stats.train_loss));
            set(&self.gradient_norm, mean(|stats| stats.gradient_norm));
        }
        let mut weights: BTreeMap<(u32, &str), Mean> = BTreeMap::new();
        for weight in partitions.values().flat_map(|stats| &stats.weights) {
            weights.entry((weight.horizon, weight.expert)).or_default().add(weight.weight);
        }
        for ((horizon, expert), mean) in weights {
            let gauge = self.expert_weight.with_label_values(&[horizon.to_string().as_str(), expert]);
            gauge.set(mean.value().unwrap_or_default());
        }
        // The partition that is furthest behind: its windows close last.
        if let Some(watermark_us) = partitions.values().filter_map(|stats| stats.watermark_us).min() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            set(&self.watermark_lag, now.as_secs_f64() - watermark_us as f64 / 1e6);
        }
        let lags = lock(&self.lags);
        if !lags.is_empty() {
            set(&self.consumer_lag, lags.values().sum::<i64>() as f64);
        }
    }

    fn show_scores(&self) {
        for (horizon, score) in &lock(&self.scoreboard).horizons {
            let horizon = &horizon.to_string();
            let HorizonScore { published, experts, coverage, .. } = score;
            let experts = experts.iter().map(|(name, mean)| (name.as_str(), mean));
            for (expert, mean) in experts.chain([("published", published)]) {
                if let Some(mean) = mean.value() {
                    self.abs_error.with_label_values(&[horizon.as_str(), expert]).set(mean);
                }
            }
            if let Some(skill) = score.skill() {
                self.skill.with_label_values(&[horizon]).set(skill);
            }
            for (level, mean) in coverage {
                if let Some(share) = mean.value() {
                    self.coverage.with_label_values(&[horizon, &level.to_string()]).set(share);
                }
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts stay counts when the thread that held the lock has panicked.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets a gauge that has no labels of its own and is absent until now.
fn set(gauge: &GaugeVec, value: f64) {
    gauge.with_label_values::<&str>(&[]).set(value);
}

/// Makes metrics and registers them.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> prometheus::Result<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        self.keep(CounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.keep(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn depths(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// From half a millisecond to a minute.
    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let buckets = exponential_buckets(0.0005, 2.0, 18)?;
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }
}

#[cfg(test)]
mod tests {
    use tickcast_forecast::ExpertWeight as Weight;

    use super::super::scoreboard::tests::scores;
    use super::*;

    fn value(text: &str, sample: &str) -> Option<f64> {
        let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == sample));
        line.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    #[test]
    fn names_and_labels_are_those_of_the_contract() {
        let metrics = Metrics::new("weather").unwrap();
        metrics.records_received("observations", 3, 5);
        metrics.rejected(Reason::Late, 2);
        metrics.rejected(Reason::BadTime, 1);
        metrics.lag("observations", 3, 7);
        metrics.lag("observations", 4, 8);
        metrics.latency(Duration::from_millis(3));
        metrics.commit("committed", Duration::from_millis(16));
        metrics.snapshot(4096, Duration::from_millis(2));
        metrics.restored(Duration::from_secs(1));
        metrics.replayed(9);
        metrics.busy("forecast", Duration::from_millis(250));
        metrics.depth("sink", 11);
        let trained =
            OperatorStats { train_steps: 1, train_loss: 0.5, gradient_norm: 2.0, ..OperatorStats::default() };
        let weights = vec![Weight { horizon: 6, expert: "rls", weight: 0.75 }];
        let said = OperatorStats { watermark_us: Some(0), weights, drift_alarms: vec![(6, 1)], ..trained };
        assert!(metrics.stats(3, &said).is_empty());
        assert_eq!(metrics.stats(3, &OperatorStats { drift_alarms: vec![(6, 3)], ..said }), [6]);
        metrics.results(Stream::Scores, &scores(&[(6, 10.0, 9.0, 8.0, Some(true))]));
        metrics.results(Stream::Forecasts, &scores(&[(6, 10.0, 9.0, 8.0, Some(true))]));
        let text = metrics.text();
        let expected = [
            ("records_received_total{partition=\"3\",topic=\"observations\",P}", 5.0),
            ("records_rejected_total{reason=\"late\",P}", 2.0),
            ("records_rejected_total{reason=\"bad_time\",P}", 1.0),
            ("records_rejected_total{reason=\"too_large\",P}", 0.0),
            ("records_late_total{P}", 2.0),
            ("consumer_lag_records{P}", 15.0),
            ("windows_closed_total{P}", 0.0),
            ("windows_open{P}", 0.0),
            ("series_active{P}", 0.0),
            ("forecasts_emitted_total{horizon=\"6\",P}", 1.0),
            ("forecast_latency_seconds_count{P}", 1.0),
            ("commit_seconds_count{P}", 1.0),
            ("commits_total{outcome=\"committed\",P}", 1.0),
            ("commits_total{outcome=\"failed\",P}", 0.0),
            ("train_steps_total{P}", 0.0),
            ("train_loss{P}", 0.5),
            ("gradient_norm{P}", 2.0),
            ("model_rollbacks_total{P}", 0.0),
            ("forecast_abs_error{expert=\"rnn\",horizon=\"6\",P}", 1.0),
            ("forecast_abs_error{expert=\"naive\",horizon=\"6\",P}", 2.0),
            ("forecast_abs_error{expert=\"published\",horizon=\"6\",P}", 1.0),
            ("forecast_skill_ratio{horizon=\"6\",P}", 0.5),
            ("interval_coverage_ratio{horizon=\"6\",level=\"0.9\",P}", 1.0),
            ("expert_weight{expert=\"rls\",horizon=\"6\",P}", 0.75),
            ("drift_alarms_total{horizon=\"6\",P}", 2.0),
            ("snapshot_bytes{P}", 4096.0),
            ("snapshot_seconds_count{P}", 1.0),
            ("restore_seconds_count{P}", 1.0),
            ("replayed_records_total{P}", 9.0),
            ("channel_depth{stage=\"sink\",P}", 11.0),
            ("stage_busy_seconds_total{stage=\"forecast\",P}", 0.25),
        ];
        for (sample, expected) in expected {
            let sample = format!("tickcast_{}", sample.replace('P', "pipeline=\"weather\""));
            assert_eq!(value(&text, &sample), Some(expected), "{sample} in\n{text}");
        }
        // A watermark at the epoch is as far behind as the clock is on.
        assert!(value(&text, "tickcast_watermark_lag_seconds{pipeline=\"weather\"}").unwrap() > 1.7e9);
    }

    #[test]
    fn what_is_not_known_yet_is_absent() {
        let text = Metrics::new("weather").unwrap().text();
        for name in
            ["train_loss", "gradient_norm", "watermark_lag", "consumer_lag", "snapshot_bytes", "skill"]
        {
            assert!(!text.contains(name), "{name} in\n{text}");
        }
        assert!(text.contains("tickcast_windows_closed_total{pipeline=\"weather\"} 0"), "{text}");
    }

    #[test]
    fn only_growth_counts_and_counters_never_fall() {
        let metrics = Metrics::new("p").unwrap();
        let said = |windows_closed, windows_open| OperatorStats {
            windows_closed,
            windows_open,
            ..OperatorStats::default()
        };
        let seen = || {
            let text = metrics.text();
            let sample = |name: &str| value(&text, &format!("tickcast_{name}{{pipeline=\"p\"}}")).unwrap();
            (sample("windows_closed_total"), sample("windows_open"))
        };
        metrics.begin(0, &said(100, 2));
        metrics.stats(1, &said(0, 1));
        assert_eq!(seen(), (0.0, 3.0));
        metrics.stats(0, &said(105, 2));
        metrics.stats(1, &said(1, 0));
        assert_eq!(seen(), (6.0, 2.0));
        // Revoked, then assigned again and restored from an older snapshot.
        metrics.forget(0);
        assert_eq!(seen(), (6.0, 0.0));
        metrics.stats(0, &said(90, 4));
        metrics.stats(0, &said(91, 4));
        assert_eq!(seen(), (7.0, 4.0));
        // Restored without being revoked.
        metrics.stats(0, &said(80, 1));
        assert_eq!(seen(), (7.0, 1.0));
    }
}
