//! The metrics of the contract in Prometheus' text form, each filled by one cheap call of the
//! runtime.
//! It must not read the pipeline: it counts what it is told, and reads the clock only to say how
//! far behind it a watermark is.

mod ingest;
mod rejects;
mod show;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::record_batch::RecordBatch;
use prometheus::{GaugeVec, Registry, TextEncoder};
use tickcast_forecast::{EventTime, Horizon};

use super::lag::Lags;
use super::registry::{
    CommitMetrics, ForecastMetrics, InputMetrics, Maker, StageMetrics, TrainingMetrics, WindowMetrics,
};
use crate::error::{Kind, OrFail, Result};
use crate::evaluate::Scoreboard;
use crate::lock::lock;
use crate::message::{Reason, Records, Stream};
use crate::operator::OperatorStats;
use crate::passed_over::PassReason;
use crate::place::{Offset, PartitionId};
use crate::record::ForecastRows;

/// What all names begin with.
const PREFIX: &str = "tickcast";
/// A watermark so far ahead of the clock is no matter of clocks that differ a little.
const FAR_AHEAD: Duration = Duration::from_secs(300);
/// How a commit can end.
const OUTCOMES: [&str; 4] = ["committed", "aborted", "refused", "failed"];

/// A drift detector has rung: the errors of these forecasts have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftAlarm {
    /// The column that is forecast.
    pub target: Arc<str>,
    /// How far ahead.
    pub horizon: Horizon,
}

/// One pipeline's metrics. Gauges of something newest (a loss, a lag) are absent until there is
/// one.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    names: Vec<String>,
    by_target: bool,
    input: InputMetrics,
    windows: WindowMetrics,
    training: TrainingMetrics,
    forecasts: ForecastMetrics,
    commits: CommitMetrics,
    stages: StageMetrics,
    /// What every partition said last.
    partitions: Mutex<BTreeMap<PartitionId, OperatorStats>>,
    lags: Mutex<Lags>,
    /// Partitions whose watermark is far ahead of the clock.
    ahead: Mutex<BTreeSet<PartitionId>>,
    scoreboard: Mutex<Scoreboard>,
}

impl Metrics {
    /// Of a pipeline of this name. Errors: `Io`, when the registry refuses a metric, which only a
    /// fault here can cause.
    pub fn new(pipeline: &str) -> Result<Self> {
        Metrics::of(pipeline, false)
    }

    /// As [`Metrics::new`], for a pipeline of several targets: what is of a target has the label
    /// `target`.
    pub fn by_target(pipeline: &str) -> Result<Self> {
        Metrics::of(pipeline, true)
    }

    fn of(pipeline: &str, by_target: bool) -> Result<Self> {
        let labels = HashMap::from([("pipeline".to_owned(), pipeline.to_owned())]);
        let registry =
            Registry::new_custom(Some(PREFIX.into()), Some(labels)).or_fail(Kind::Io, || "no metrics")?;
        let metrics =
            Self::registered(registry, by_target).or_fail(Kind::Io, || "cannot register the metrics")?;

        for reason in Reason::ALL {
            metrics.input.rejected.with_label_values(&[reason.word()]);
        }
        for reason in PassReason::ALL {
            metrics.passed_over(reason, 0);
        }
        for outcome in OUTCOMES {
            metrics.commits.commits.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    fn registered(registry: Registry, by_target: bool) -> prometheus::Result<Self> {
        let names = RefCell::default();
        let make = Maker { registry: &registry, names: &names, by_target };
        let metrics = Metrics {
            input: InputMetrics::new(make)?,
            windows: WindowMetrics::new(make)?,
            training: TrainingMetrics::new(make)?,
            forecasts: ForecastMetrics::new(make)?,
            commits: CommitMetrics::new(make)?,
            stages: StageMetrics::new(make)?,
            partitions: Mutex::default(),
            lags: Mutex::default(),
            ahead: Mutex::default(),
            scoreboard: Mutex::default(),
            names: Vec::new(),
            by_target,
            registry: registry.clone(),
        };
        Ok(Metrics { names: names.into_inner(), ..metrics })
    }

    /// The names of all metrics, also of those that have no value yet.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.names.iter().map(|name| format!("{PREFIX}_{name}"))
    }

    /// Records that were read from a partition.
    pub fn records_received(&self, topic: &str, partition: PartitionId, records: &Records) {
        let counter = self.input.received.with_label_values(&[topic, &partition.to_string()]);
        counter.inc_by(records.len() as u64);
        if let Some(first) = records.first_offset() {
            lock(&self.lags).read(partition, first);
        }
    }

    /// Records of a partition that were gone before they were read; with 0, none is known to be.
    pub fn records_lost(&self, topic: &str, partition: PartitionId, records: u64) {
        self.input.lost.with_label_values(&[topic, &partition.to_string()]).inc_by(records);
    }

    /// The windows of a partition were closed because nothing came.
    pub fn closed_by_clock(&self) {
        self.windows.closed_by_clock.inc();
    }

    /// Series that were forgotten in this run.
    pub fn series_forgotten(&self) -> u64 {
        self.windows.forgotten.get()
    }

    /// A partition is ours, new or restored: what it says now was counted before, growth counts
    /// from here.
    pub fn begin(&self, partition: PartitionId, stats: &OperatorStats) {
        lock(&self.partitions).insert(partition, stats.clone());
        self.count_from(stats);
    }

    /// Counters of what is of a target are there from the first word of it on.
    fn count_from(&self, stats: &OperatorStats) {
        for of in &stats.targets {
            let labels = self.of_target(&of.target, &[]);
            self.training.steps.with_label_values(&labels);
            self.training.rollbacks.with_label_values(&labels);
        }
    }

    /// Takes in what a partition says of itself; the drift detectors that have rung since. Without
    /// [`Metrics::begin`] its first word is where counting begins.
    pub fn stats(&self, partition: PartitionId, stats: &OperatorStats) -> Vec<DriftAlarm> {
        let Some(before) = lock(&self.partitions).insert(partition, stats.clone()) else {
            self.count_from(stats);
            return Vec::new();
        };
        self.windows.closed.inc_by(stats.windows_closed.saturating_sub(before.windows_closed));
        self.windows.filtered.inc_by(stats.records_filtered.saturating_sub(before.records_filtered));
        self.windows.failed.inc_by(stats.expressions_failed.saturating_sub(before.expressions_failed));
        let forgotten = stats.records_forgotten.saturating_sub(before.records_forgotten);
        self.windows.records_forgotten.inc_by(forgotten);
        self.windows.forgotten.inc_by(stats.series_forgotten.saturating_sub(before.series_forgotten));

        let mut rung = Vec::new();
        for (nth, of) in stats.targets.iter().enumerate() {
            let (is, was) = (&of.forecaster, before.targets.get(nth).map(|of| &of.forecaster));
            let labels = self.of_target(&of.target, &[]);
            let steps = is.train_steps.saturating_sub(was.map_or(0, |was| was.train_steps));
            self.training.steps.with_label_values(&labels).inc_by(steps);
            let rollbacks = is.model_rollbacks.saturating_sub(was.map_or(0, |was| was.model_rollbacks));
            self.training.rollbacks.with_label_values(&labels).inc_by(rollbacks);

            for (at, (horizon, alarms)) in is.drift_alarms.iter().enumerate() {
                let known = was.and_then(|was| was.drift_alarms.get(at)).map_or(0, |(_, alarms)| *alarms);
                let (more, label) = (alarms.saturating_sub(known), horizon.to_string());
                let labels = self.of_target(&of.target, &[&label]);
                self.forecasts.drift_alarms.with_label_values(&labels).inc_by(more);
                rung.extend(
                    (more > 0).then(|| DriftAlarm { target: Arc::clone(&of.target), horizon: *horizon }),
                );
            }
        }
        rung
    }

    /// The values of the labels of what is of a target.
    fn of_target<'a>(&self, target: &'a str, others: &[&'a str]) -> Vec<&'a str> {
        self.by_target.then_some(target).into_iter().chain(others.iter().copied()).collect()
    }

    /// Forgets a partition that is no longer ours: its windows and series. What was counted stays.
    pub fn forget(&self, partition: PartitionId) {
        lock(&self.partitions).remove(&partition);
    }

    /// The source has given us a partition, of which all before `committed` is committed.
    pub fn assigned(&self, partition: PartitionId, committed: Option<Offset>) {
        lock(&self.lags).assign(partition, committed);
    }

    /// The source has taken a partition away: it has no lag here.
    pub fn revoked(&self, partition: PartitionId) {
        lock(&self.lags).revoke(partition);
    }

    /// All before this position of a partition is durable.
    pub fn committed(&self, partition: PartitionId, position: Offset) {
        lock(&self.lags).commit(partition, position);
    }

    /// What the source has still to hand on of a partition. The lag is from the committed position
    /// to the end of that.
    pub fn unread(&self, partition: PartitionId, unread: Range<Offset>) {
        lock(&self.lags).unread(partition, unread);
    }

    /// Counts forecasts by horizon and takes scores into the scoreboard. Records that are none are
    /// a fault of an operator: they are logged, and the run goes on.
    pub fn results(&self, stream: Stream, records: &RecordBatch) {
        let taken = match stream {
            Stream::Forecasts => self.count_forecasts(records),
            Stream::Scores => lock(&self.scoreboard).add(records),
            Stream::Rejects => Ok(()),
        };
        if let Err(cause) = taken {
            tracing::error!(%cause, stream = stream.name(), "records are not counted in the metrics");
        }
    }

    fn count_forecasts(&self, records: &RecordBatch) -> Result<()> {
        let rows = ForecastRows::of(records)?;
        let mut counts: BTreeMap<(&str, Horizon), u64> = BTreeMap::new();
        for row in rows.iter() {
            *counts.entry((row.target(), row.horizon())).or_default() += 1;
        }
        for ((target, horizon), count) in counts {
            let horizon = horizon.to_string();
            let labels = self.of_target(target, &[&horizon]);
            self.forecasts.emitted.with_label_values(&labels).inc_by(count);
        }
        Ok(())
    }

    /// Time that a stage has worked.
    pub fn busy(&self, stage: &str, spent: Duration) {
        self.stages.busy.with_label_values(&[stage]).inc_by(spent.as_secs_f64());
    }

    /// Messages that wait for a stage now.
    pub fn depth(&self, stage: &str, messages: usize) {
        self.stages.depth.with_label_values(&[stage]).set(messages as i64);
    }

    /// From a record's arrival to its forecast handed to the sink.
    pub fn latency(&self, waited: Duration) {
        self.forecasts.latency.observe(waited.as_secs_f64());
    }

    /// A commit has made forecasts visible that come of a record of this time, which is the
    /// source's. Where the clocks disagree so much that they came before it, they took no time.
    pub fn visible(&self, recorded: EventTime) {
        let waited_us = now_us() - recorded.0 as f64;
        if waited_us < 0.0 {
            self.forecasts.clamped.inc();
        }
        self.forecasts.end_to_end.observe(waited_us.max(0.0) / 1e6);
    }

    /// How far a partition's watermark is ahead of the clock, when it has just got far ahead.
    pub fn far_ahead(&self, partition: PartitionId, watermark_us: i64) -> Option<Duration> {
        let ahead_us = watermark_us as f64 - now_us();
        let ahead = Duration::try_from_secs_f64(ahead_us / 1e6).unwrap_or_default();
        if ahead > FAR_AHEAD {
            lock(&self.ahead).insert(partition).then_some(ahead)
        } else {
            lock(&self.ahead).remove(&partition);
            None
        }
    }

    /// A commit that ended as one of [`OUTCOMES`].
    pub fn commit(&self, outcome: &str, took: Duration) {
        self.commits.commits.with_label_values(&[outcome]).inc();
        self.commits.seconds.observe(took.as_secs_f64());
    }

    /// A snapshot of a state of `size` bytes, of which so many were `written`.
    pub fn snapshot(&self, size: u64, written: u64, took: Duration) {
        set(&self.commits.snapshot_bytes, size as f64);
        self.commits.snapshot_written.inc_by(written);
        self.commits.snapshot_seconds.observe(took.as_secs_f64());
    }

    /// A partition that was restored, its replay included.
    pub fn restored(&self, took: Duration) {
        self.commits.restore_seconds.observe(took.as_secs_f64());
    }

    /// Records that were read again to restore.
    pub fn replayed(&self, records: u64) {
        self.commits.replayed.inc_by(records);
    }

    /// The scores since the start of this process.
    pub fn scoreboard(&self) -> Scoreboard {
        lock(&self.scoreboard).clone()
    }

    /// Everything in Prometheus' exposition format.
    pub fn text(&self) -> String {
        self.sum_partitions();
        self.show_lag();
        self.show_scores();
        // The encoder fails only for a metric without a name or a sample, and the registry yields
        // neither.
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|cause| format!("# {cause}\n"))
    }
}

/// The clock, in microseconds since the epoch.
pub(crate) fn now_us() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e6
}

/// Sets a gauge that has no labels of its own and is absent until now.
fn set(gauge: &GaugeVec, value: f64) {
    gauge.with_label_values::<&str>(&[]).set(value);
}

#[cfg(test)]
mod tests {
    use tickcast_forecast::{ExpertWeight as Weight, ForecasterStats};

    use super::*;
    use crate::evaluate::fixture::{Scored, forecasts, scores};
    use crate::message::RawRecord;
    use crate::operator::TargetStats;

    fn value(text: &str, sample: &str) -> Option<f64> {
        let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == sample));
        line.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    fn records(offsets: Range<i64>) -> Records {
        let record = |offset| RawRecord { offset: Offset(offset), ..RawRecord::default() };
        Records::Raw(offsets.map(record).collect())
    }

    /// What a partition says whose forecasters have trained once, and have rung so often.
    fn said(targets: &[(&str, u64)]) -> OperatorStats {
        let of = |&(target, alarms): &(&str, u64)| TargetStats {
            target: target.into(),
            forecaster: ForecasterStats {
                train_steps: 1,
                train_loss: 0.5,
                gradient_norm: 2.0,
                weights: vec![Weight { horizon: Horizon(6), expert: "rls", weight: 0.75 }],
                drift_alarms: vec![(Horizon(6), alarms)],
                ..ForecasterStats::default()
            },
        };
        let targets = targets.iter().map(of).collect();
        OperatorStats { watermark_us: Some(0), targets, ..OperatorStats::default() }
    }

    fn drift(target: &str) -> DriftAlarm {
        DriftAlarm { target: target.into(), horizon: Horizon(6) }
    }

    #[test]
    fn names_and_labels_are_those_of_the_contract() {
        let metrics = Metrics::new("weather").unwrap();
        metrics.assigned(PartitionId(3), None);
        metrics.records_received("observations", PartitionId(3), &records(10..15));
        metrics.records_lost("observations", PartitionId(3), 0);
        metrics.records_lost("observations", PartitionId(3), 4);
        metrics.closed_by_clock();
        metrics.unread(PartitionId(3), Offset(15)..Offset(25));
        metrics.rejected(Reason::Late, 2);
        metrics.rejected(Reason::BadTime, 1);
        metrics.blank_cells("temp", 3);
        assert_eq!(metrics.passed_over(PassReason::Delete, 2), 0);
        assert!(metrics.rejects().ends_with("; passed over: 2 delete"), "{}", metrics.rejects());
        metrics.latency(Duration::from_millis(3));
        metrics.visible(EventTime(0));
        metrics.visible(EventTime(i64::MAX));
        metrics.commit("committed", Duration::from_millis(16));
        metrics.snapshot(4096, 96, Duration::from_millis(2));
        metrics.restored(Duration::from_secs(1));
        metrics.replayed(9);
        metrics.busy("forecast", Duration::from_millis(250));
        metrics.depth("sink", 11);
        assert!(metrics.stats(PartitionId(3), &said(&[("temp", 1)])).is_empty());
        assert_eq!(metrics.stats(PartitionId(3), &said(&[("temp", 3)])), [drift("temp")]);
        let row = Scored { horizon: Horizon(6), ..Scored::default() };
        metrics.results(Stream::Scores, &scores(&[row]));
        metrics.results(Stream::Forecasts, &forecasts(&[row]));
        let text = metrics.text();
        let expected = [
            ("records_received_total{partition=\"3\",topic=\"observations\",P}", 5.0),
            ("records_lost_total{partition=\"3\",topic=\"observations\",P}", 4.0),
            ("records_rejected_total{reason=\"late\",P}", 2.0),
            ("cells_rejected_total{column=\"temp\",P}", 3.0),
            ("records_rejected_total{reason=\"bad_time\",P}", 1.0),
            ("records_rejected_total{reason=\"too_large\",P}", 0.0),
            ("records_late_total{P}", 2.0),
            ("records_passed_over_total{reason=\"delete\",P}", 2.0),
            ("records_passed_over_total{reason=\"tombstone\",P}", 0.0),
            ("rejects_cut_total{P}", 0.0),
            ("certificate_reloads_total{P}", 0.0),
            ("consumer_lag_records{P}", 15.0),
            ("watermark_ahead_seconds{P}", 0.0),
            ("end_to_end_latency_seconds_count{P}", 2.0),
            ("end_to_end_clamped_total{P}", 1.0),
            ("windows_closed_total{P}", 0.0),
            ("idle_closes_total{P}", 1.0),
            ("windows_open{P}", 0.0),
            ("series_active{P}", 0.0),
            ("series_forgotten_total{P}", 0.0),
            ("expressions_failed_total{P}", 0.0),
            ("series_stale{P}", 0.0),
            ("records_filtered_total{P}", 0.0),
            ("records_forgotten_total{P}", 0.0),
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
            ("snapshot_written_bytes_total{P}", 96.0),
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
    fn with_several_targets_what_is_of_one_says_of_which() {
        let metrics = Metrics::by_target("p").unwrap();
        metrics.stats(PartitionId(0), &said(&[("temp", 0), ("wind", 0)]));
        assert_eq!(metrics.stats(PartitionId(0), &said(&[("temp", 0), ("wind", 2)])), [drift("wind")]);
        let row = |target| Scored { target, horizon: Horizon(6), ..Scored::default() };
        let worse = Scored { forecast: 7.0, ..row("wind") };
        metrics.results(Stream::Scores, &scores(&[row("temp"), worse]));
        metrics.results(Stream::Forecasts, &forecasts(&[row("temp"), worse, worse]));

        let text = metrics.text();
        for (sample, [temp, wind]) in [
            ("train_steps_total{T,P}", [0.0, 0.0]),
            ("model_rollbacks_total{T,P}", [0.0, 0.0]),
            ("train_loss{T,P}", [0.5, 0.5]),
            ("gradient_norm{T,P}", [2.0, 2.0]),
            ("forecasts_emitted_total{horizon=\"6\",T,P}", [1.0, 2.0]),
            ("forecast_abs_error{expert=\"published\",horizon=\"6\",T,P}", [1.0, 3.0]),
            ("forecast_skill_ratio{horizon=\"6\",T,P}", [0.5, -0.5]),
            ("interval_coverage_ratio{horizon=\"6\",level=\"0.9\",T,P}", [1.0, 1.0]),
            ("expert_weight{expert=\"rls\",horizon=\"6\",T,P}", [0.75, 0.75]),
            ("drift_alarms_total{horizon=\"6\",T,P}", [0.0, 2.0]),
        ] {
            for (target, expected) in [("temp", temp), ("wind", wind)] {
                let labels =
                    sample.replace('P', "pipeline=\"p\"").replace('T', &format!("target=\"{target}\""));
                assert_eq!(
                    value(&text, &format!("tickcast_{labels}")),
                    Some(expected),
                    "{labels} in\n{text}"
                );
            }
        }
    }

    #[test]
    fn a_watermark_far_ahead_is_told_once_and_again_after_it_was_near() {
        let metrics = Metrics::new("p").unwrap();
        let (far, near) = (now_us() as i64 + 3_600_000_000, now_us() as i64);
        let told =
            [far, far, near, far].map(|watermark| metrics.far_ahead(PartitionId(0), watermark).is_some());
        assert_eq!(told, [true, false, false, true]);
        assert!(metrics.far_ahead(PartitionId(1), far).is_some_and(|ahead| ahead > FAR_AHEAD));
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
        metrics.begin(PartitionId(0), &said(100, 2));
        metrics.stats(PartitionId(1), &said(0, 1));
        assert_eq!(seen(), (0.0, 3.0));
        metrics.stats(PartitionId(0), &said(105, 2));
        metrics.stats(PartitionId(1), &said(1, 0));
        assert_eq!(seen(), (6.0, 2.0));
        // Revoked, then assigned again and restored from an older snapshot.
        metrics.forget(PartitionId(0));
        assert_eq!(seen(), (6.0, 0.0));
        metrics.stats(PartitionId(0), &said(90, 4));
        metrics.stats(PartitionId(0), &said(91, 4));
        assert_eq!(seen(), (7.0, 4.0));
        // Restored without being revoked.
        metrics.stats(PartitionId(0), &said(80, 1));
        assert_eq!(seen(), (7.0, 1.0));
    }
}
