//! Who looks on at a run: metrics, health, progress; both runners tell the same.
//! It must not change what the run does, but for the flag that ends it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::blank_cells::BlankColumn;
use super::first_records::Strange;
use super::heartbeat::Heartbeat;
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use super::retry_policy::RetryPolicy;
use crate::error::{Error, Result, Retry};
use crate::message::Stream;
use crate::operator::{OperatorStats, TargetStats};
use crate::place::{Offset, PartitionId};
use crate::source::{Event, Source};
use crate::telemetry::{DriftAlarm, Health, HealthPart, Metrics};

/// The onlookers of a run.
#[derive(Clone)]
pub struct RunContext {
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Whether the pipeline is ready.
    pub health: Arc<Health>,
    /// Set to end the run: commit, snapshot, leave.
    pub stop: Arc<AtomicBool>,
    /// Called with the number of records just worked on.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
    /// Of the thread that writes.
    pub pulse: Heartbeat,
}

/// So many windows without a value of the target are no beginning any more.
const SILENT_WINDOWS: u64 = 20;

/// What a partition has done with some records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worked {
    /// The time that it took.
    pub took: Duration,
    /// Windows that it has closed since its beginning.
    pub windows: u64,
}

/// Says of which targets there was no value in any window of a partition.
fn silent_targets(stats: &OperatorStats) -> Vec<Strange> {
    let windows = stats.windows_closed;
    if windows < SILENT_WINDOWS {
        return Vec::new();
    }

    let silent = stats.targets.iter().filter(|of| of.forecaster.series == 0);
    let told = |TargetStats { target, .. }: &TargetStats| match &stats.targets[..] {
        [_] => Strange {
            about: "target".into(),
            what: format!("the target was null in all of {windows} windows: nothing is forecast"),
        },
        _ => Strange {
            about: format!("target {target}"),
            what: format!(
                "the target {target} was null in all of {windows} windows: nothing is forecast of it"
            ),
        },
    };
    silent.map(told).collect()
}

impl RunContext {
    /// How sinks wait in this run.
    pub fn patience(&self) -> RetryPolicy {
        RetryPolicy {
            stop: Arc::clone(&self.stop),
            health: Arc::clone(&self.health),
            pulse: self.pulse.clone(),
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes what keeps the source from reading as health; passes on the event, or the error that
    /// will not pass.
    pub(super) fn polled(&self, polled: Result<Event>, assigned: bool) -> Result<Event> {
        match &polled {
            Ok(Event::Idle { problem: Some(why) }) => {
                self.health.set_waiting(HealthPart::Source, why.as_str())
            }
            Ok(Event::Idle { problem: None }) if assigned => self.health.set_ready(HealthPart::Source),
            Ok(Event::Records { .. } | Event::End { .. }) => self.health.set_ready(HealthPart::Source),
            _ => {}
        }

        polled.or_else(|error: Error| match error.retry {
            Retry::Later => {
                self.health.set_waiting(HealthPart::Source, error.to_string());
                Ok(Event::Idle { problem: None })
            }
            Retry::Never => Err(error),
        })
    }

    /// Records of a partition of `topic` were gone before they were read.
    pub(super) fn lost(&self, topic: &str, partition: PartitionId, offsets: &Range<Offset>) {
        let lost = u64::try_from(offsets.end.since(offsets.start)).unwrap_or(0);
        self.metrics.records_lost(topic, partition, lost);
        let (from, to) = (offsets.start.0, offsets.end.0 - 1);
        tracing::error!(
            topic,
            partition = partition.0,
            from,
            to,
            lost,
            "records were gone before they were read"
        );
        let what = format!(
            "{lost} records of {topic} partition {partition}, from {from} to {to}, were gone before they were read"
        );

        self.health.note(format!("{topic}-{partition}-{from}"), what);
    }

    /// What the source has learned of what is still to be read.
    pub(super) fn tell_unread(&self, source: &mut dyn Source) {
        source.unread().into_iter().for_each(|(partition, unread)| self.metrics.unread(partition, unread));
    }

    /// A partition has worked on `records` that it was given. The windows that it has closed since
    /// its first record.
    pub(super) fn worked(&self, partition: &mut Partition, records: u64) -> Worked {
        (self.progress)(records);
        let stats = partition.stats();
        let forgotten = self.metrics.series_forgotten();

        for DriftAlarm { target, horizon } in self.metrics.stats(partition.id(), &stats) {
            tracing::info!(
                partition = partition.id().0,
                target = &*target,
                horizon = horizon.0,
                "drift: the forecasts' errors have changed"
            );
        }
        if forgotten == 0 && self.metrics.series_forgotten() > 0 {
            tracing::warn!(
                partition = partition.id().0,
                series = stats.series_active,
                "there are more series than limits.series; those silent for longest are forgotten, more are only counted. \
                 Is `key` an id of records?"
            );
        }

        let ahead = stats.watermark_us.and_then(|at| self.metrics.far_ahead(partition.id(), at));
        if let Some(ahead) = ahead {
            tracing::warn!(
                partition = partition.id().0,
                ahead_hours = ahead.as_secs_f64() / 3600.0,
                "the watermark is ahead of the clock: a record's time is in the future, and whatever is older is late"
            );
        }

        let silent = silent_targets(&stats);
        let failed = |(column, what): (String, String)| Strange { about: format!("select {column}"), what };
        let failed = stats.failures.into_iter().map(failed);
        let behind = stats.far_behind.as_ref().map(|series| {
            let (about, what) = series.told();
            Strange { about: about.into(), what }
        });
        let strange = partition.take_strange().into_iter().chain(silent).chain(failed).chain(behind);

        for Strange { about, what } in strange {
            if self.health.note(about, what.as_str()) {
                tracing::error!(partition = partition.id().0, "{what}");
            }
        }

        let mut took = Duration::ZERO;
        for (stage, time) in partition.take_busy() {
            self.metrics.busy(stage, time);
            took += time;
        }
        Worked { took, windows: stats.windows_closed }
    }

    /// A clock has closed the windows of a partition.
    pub(super) fn closed_by_clock(&self, partition: &mut Partition) -> Worked {
        let id = partition.id();
        let worked @ Worked { windows, .. } = self.worked(partition, 0);
        self.metrics.closed_by_clock();
        tracing::debug!(partition = id.0, windows, "nothing comes: its windows are closed");
        worked
    }

    /// A partition rejected records or cells of them, or passed records over.
    pub fn rejected(&self, outcome: &PartitionOutput) {
        for reason in &outcome.passed {
            if self.metrics.passed_over(*reason, 1) == 0 {
                tracing::info!(%reason, "a record is passed over; more of this reason are only counted");
            }
        }

        for BlankColumn { column, cells, detail } in &outcome.blank {
            if !self.metrics.has_blank_cells(column) {
                let detail = detail.as_deref().unwrap_or_default();
                tracing::warn!(
                    column,
                    detail,
                    "a cell cannot be read and is null; more of its column are only counted"
                );
            }
            self.metrics.blank_cells(column, *cells);
        }

        for (reason, detail) in &outcome.rejected {
            if !self.metrics.has_rejected(*reason) {
                tracing::warn!(%reason, detail, "a record was rejected; more of this reason are only counted");
            }
            self.metrics.rejected(*reason, 1);
        }
    }

    /// Results went to the sinks.
    pub(super) fn wrote(&self, results: &[(Stream, RecordBatch)]) {
        results.iter().for_each(|(stream, rows)| self.metrics.results(*stream, rows));
    }
}
