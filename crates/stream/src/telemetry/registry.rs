//! The metrics of the contract by name, each made and registered once, in the groups that are
//! filled together.
//! It must not fill them, nor know what they are filled from. A metric nothing can fill is not
//! registered.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, Result, exponential_buckets,
};

/// What comes in.
#[derive(Debug)]
pub struct InputMetrics {
    /// `records_received_total`
    pub received: IntCounterVec,
    /// `records_rejected_total`
    pub rejected: IntCounterVec,
    /// `cells_rejected_total`
    pub blank: IntCounterVec,
    /// `records_passed_over_total`
    pub passed: IntCounterVec,
    /// `records_late_total`
    pub late: IntCounter,
    /// `records_lost_total`
    pub lost: IntCounterVec,
    /// `rejects_cut_total`
    pub cut: IntCounter,
    /// `ingest_requests_total`
    pub ingest_requests: IntCounterVec,
    /// `ingest_records_total`
    pub ingest_records: IntCounterVec,
    /// `certificate_reloads_total`
    pub certificates: IntCounter,
    /// `consumer_lag_records`
    pub lag: GaugeVec,
}

impl InputMetrics {
    /// Registered.
    pub fn new(make: Maker<'_>) -> Result<Self> {
        let topic = &["topic", "partition"];

        Ok(InputMetrics {
            received: make.counters("records_received_total", "Records read from the source.", topic)?,
            rejected: make.counters("records_rejected_total", "Records not taken in.", &["reason"])?,
            blank: make.counters(
                "cells_rejected_total",
                "Cells that cannot be read and are null.",
                &["column"],
            )?,
            passed: make.counters(
                "records_passed_over_total",
                "Records that are no readings and no rejects.",
                &["reason"],
            )?,
            late: make.counter("records_late_total", "Records whose window had closed.")?,
            cut: make.counter("rejects_cut_total", "Rejects cut to what their topic takes.")?,
            ingest_requests: make.counters(
                "ingest_requests_total",
                "Requests that brought records, by what became of them.",
                &["outcome"],
            )?,
            ingest_records: make.counters(
                "ingest_records_total",
                "Records that came by HTTP or MQTT and are durable.",
                &[],
            )?,
            certificates: make.counter(
                "certificate_reloads_total",
                "Times that all connections were made anew for new certificates.",
            )?,
            lost: make.counters("records_lost_total", "Records gone before they were read.", topic)?,
            lag: make.gauges(
                "consumer_lag_records",
                "Offsets from the commit to the log's end, all partitions.",
                &[],
            )?,
        })
    }
}

/// What the windows hold.
#[derive(Debug)]
pub struct WindowMetrics {
    /// `watermark_lag_seconds`
    pub watermark_lag: GaugeVec,
    /// `watermark_ahead_seconds`
    pub watermark_ahead: GaugeVec,
    /// `windows_closed_total`
    pub closed: IntCounter,
    /// `idle_closes_total`
    pub closed_by_clock: IntCounter,
    /// `expressions_failed_total`
    pub failed: IntCounter,
    /// `windows_open`
    pub open: IntGauge,
    /// `series_active`
    pub series: IntGauge,
    /// `series_stale`
    pub stale: IntGauge,
    /// `series_forgotten_total`
    pub forgotten: IntCounter,
    /// `records_filtered_total`
    pub filtered: IntCounter,
    /// `records_forgotten_total`
    pub records_forgotten: IntCounter,
}

impl WindowMetrics {
    /// Registered.
    pub fn new(make: Maker<'_>) -> Result<Self> {
        Ok(WindowMetrics {
            watermark_lag: make.gauges(
                "watermark_lag_seconds",
                "Wall time less the watermark of the partition furthest behind.",
                &[],
            )?,
            watermark_ahead: make.gauges(
                "watermark_ahead_seconds",
                "The furthest watermark less wall time; 0 while none is in the future.",
                &[],
            )?,

            closed: make.counter("windows_closed_total", "Windows closed.")?,
            closed_by_clock: make.counter(
                "idle_closes_total",
                "Times that a partition's windows were closed because nothing came.",
            )?,
            failed: make.counter(
                "expressions_failed_total",
                "Selected columns of closed windows that could not be computed.",
            )?,

            open: make.gauge("windows_open", "Windows open now.")?,
            series: make.gauge("series_active", "Series known now.")?,
            stale: make.gauge("series_stale", "Series that stand still while others go on.")?,
            forgotten: make
                .counter("series_forgotten_total", "Series forgotten because there were too many.")?,
            filtered: make.counter("records_filtered_total", "Records that `where` has left out.")?,
            records_forgotten: make.counter(
                "records_forgotten_total",
                "Records that `deduplicate` forgot early, because there were too many.",
            )?,
        })
    }
}

/// How the networks learn; where there are several targets, each has its own.
#[derive(Debug)]
pub struct TrainingMetrics {
    /// `train_steps_total`
    pub steps: IntCounterVec,
    /// `train_loss`
    pub loss: GaugeVec,
    /// `gradient_norm`
    pub gradient_norm: GaugeVec,
    /// `model_rollbacks_total`
    pub rollbacks: IntCounterVec,
}

impl TrainingMetrics {
    /// Registered.
    pub fn new(make: Maker<'_>) -> Result<Self> {
        let labels = &make.of_target(&[])[..];
        Ok(TrainingMetrics {
            steps: make.counters("train_steps_total", "Training steps taken.", labels)?,
            loss: make.gauges("train_loss", "Loss of the newest step, mean over partitions.", labels)?,
            gradient_norm: make.gauges(
                "gradient_norm",
                "Gradient norm before clipping, mean over partitions.",
                labels,
            )?,
            rollbacks: make.counters(
                "model_rollbacks_total",
                "Times the last good weights came back.",
                labels,
            )?,
        })
    }
}

/// What is forecast, and how good it was; where there are several targets, each has its own.
#[derive(Debug)]
pub struct ForecastMetrics {
    /// `forecasts_emitted_total`
    pub emitted: IntCounterVec,
    /// `forecast_latency_seconds`
    pub latency: Histogram,
    /// `end_to_end_latency_seconds`
    pub end_to_end: Histogram,
    /// `end_to_end_clamped_total`
    pub clamped: IntCounter,
    /// `forecast_abs_error`
    pub abs_error: GaugeVec,
    /// `forecast_skill_ratio`
    pub skill: GaugeVec,
    /// `interval_coverage_ratio`
    pub coverage: GaugeVec,
    /// `expert_weight`
    pub expert_weight: GaugeVec,
    /// `drift_alarms_total`
    pub drift_alarms: IntCounterVec,
}

impl ForecastMetrics {
    /// Registered.
    pub fn new(make: Maker<'_>) -> Result<Self> {
        let [horizon, expert, level] =
            [&["horizon"][..], &["horizon", "expert"], &["horizon", "level"]].map(|of| make.of_target(of));
        let (horizon, expert) = (&horizon[..], &expert[..]);

        Ok(ForecastMetrics {
            emitted: make.counters("forecasts_emitted_total", "Forecasts made.", horizon)?,
            latency: make
                .histogram("forecast_latency_seconds", "Record in to its forecast handed to the sink.")?,
            end_to_end: make.histogram(
                "end_to_end_latency_seconds",
                "Kafka timestamp of a record to the commit that makes its forecasts visible.",
            )?,
            clamped: make.counter(
                "end_to_end_clamped_total",
                "Latencies below 0, observed as 0: the producer's clock is ahead of ours.",
            )?,
            abs_error: make.gauges(
                "forecast_abs_error",
                "Mean absolute error since the start; expert=\"published\" is the forecast sent out.",
                expert,
            )?,
            skill: make.gauges("forecast_skill_ratio", "1 - MAE / naive MAE since the start.", horizon)?,
            coverage: make.gauges(
                "interval_coverage_ratio",
                "Share of truths inside their interval since the start.",
                &level,
            )?,
            expert_weight: make.gauges(
                "expert_weight",
                "Share of an expert in the mixture, mean over the newest windows' series.",
                expert,
            )?,
            drift_alarms: make.counters(
                "drift_alarms_total",
                "Times a detector found that the errors have changed.",
                horizon,
            )?,
        })
    }
}

/// What is written for good, and read again.
#[derive(Debug)]
pub struct CommitMetrics {
    /// `commits_total`
    pub commits: IntCounterVec,
    /// `commit_seconds`
    pub seconds: Histogram,
    /// `snapshot_bytes`
    pub snapshot_bytes: GaugeVec,
    /// `snapshot_written_bytes_total`
    pub snapshot_written: IntCounter,
    /// `snapshot_seconds`
    pub snapshot_seconds: Histogram,
    /// `restore_seconds`
    pub restore_seconds: Histogram,
    /// `replayed_records_total`
    pub replayed: IntCounter,
}

impl CommitMetrics {
    /// Registered.
    pub fn new(make: Maker<'_>) -> Result<Self> {
        Ok(CommitMetrics {
            commits: make.counters("commits_total", "Commits by their outcome.", &["outcome"])?,
            seconds: make.histogram("commit_seconds", "Duration of a commit.")?,
            snapshot_bytes: make.gauges(
                "snapshot_bytes",
                "Size of the newest snapshot, with what it shares with an earlier one.",
                &[],
            )?,
            snapshot_written: make
                .counter("snapshot_written_bytes_total", "Bytes that were written of all snapshots.")?,
            snapshot_seconds: make.histogram("snapshot_seconds", "Duration of a snapshot.")?,
            restore_seconds: make.histogram("restore_seconds", "Duration of a restore, replay included.")?,
            replayed: make.counter("replayed_records_total", "Records read again to restore.")?,
        })
    }
}

/// How busy the stages of the dataflow are.
#[derive(Debug)]
pub struct StageMetrics {
    /// `channel_depth`
    pub depth: IntGaugeVec,
    /// `stage_busy_seconds_total`
    pub busy: CounterVec,
}

impl StageMetrics {
    /// Registered.
    pub fn new(make: Maker<'_>) -> Result<Self> {
        let stage = &["stage"];
        Ok(StageMetrics {
            depth: make.depths("channel_depth", "Messages waiting for a stage.", stage)?,
            busy: make.seconds("stage_busy_seconds_total", "Time a stage spent working.", stage)?,
        })
    }
}

/// Makes metrics and registers them. Errors: when the registry refuses one, which only a fault here
/// can cause.
#[derive(Clone, Copy)]
pub struct Maker<'a> {
    /// Where they are registered.
    pub registry: &'a Registry,
    /// The name of each, without the prefix that all have.
    pub names: &'a RefCell<Vec<String>>,
    /// Whether what is of a target says of which.
    pub by_target: bool,
}

impl Maker<'_> {
    /// The labels of what is of a target.
    fn of_target<'l>(self, others: &[&'l str]) -> Vec<&'l str> {
        let target = self.by_target.then_some("target");
        target.into_iter().chain(others.iter().copied()).collect()
    }

    fn keep<M: Collector + Clone + 'static>(self, metric: Result<M>) -> Result<M> {
        let metric = metric?;
        self.registry.register(Box::new(metric.clone()))?;
        self.names.borrow_mut().extend(metric.desc().iter().map(|desc| desc.fq_name.clone()));
        Ok(metric)
    }

    fn counter(self, name: &str, help: &str) -> Result<IntCounter> {
        self.keep(IntCounter::new(name, help))
    }

    fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn seconds(self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec> {
        self.keep(CounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(self, name: &str, help: &str) -> Result<IntGauge> {
        self.keep(IntGauge::new(name, help))
    }

    fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.keep(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn depths(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// From half a millisecond to a minute.
    fn histogram(self, name: &str, help: &str) -> Result<Histogram> {
        let buckets = exponential_buckets(0.0005, 2.0, 18)?;
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }
}
