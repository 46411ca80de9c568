//! The integration tests, one binary: DataFusion is linked once. `cargo test --test it WORD` runs
//! those whose path or name has the word.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

/// A disk that can lose power. It is no part of `support`, which a benchmark has too.
#[cfg(target_os = "linux")]
mod disk;

/// What tests share: brokers, pipelines, processes, waiting, the audit.
mod support;

/// What comes out, whatever happens: the same bytes, each of them once.
mod delivery {
    mod chaos;
    mod encoded;
    mod ending;
    mod faults;
    pub mod file_faults;
    mod handover;
    mod instances;
    mod invariant;
    mod launch;
    mod ledger;
    mod metrics;
    mod outages;
    mod owner;
    #[cfg(target_os = "linux")]
    mod power_cuts;
    mod recovery;
    mod releases;
    mod schemas;
    mod simulation;
    mod targets;
    mod warm_start;
}

/// Bytes that nobody would send.
mod fuzz;

/// What goes in: topics, files, broken records, and their way into windows.
mod sources {
    mod calendars;
    mod change_events;
    mod computed_times;
    mod connections;
    pub mod dead_letters;
    mod dialects;
    mod duplicates;
    mod failing_windows;
    mod files_as_found;
    mod format_docs;
    mod growing_files;
    pub mod ingest_http;
    mod ingest_mqtt;
    mod json_schemas;
    mod kafka;
    mod losses;
    mod many_files;
    mod meters;
    mod own_window_records;
    mod own_windows;
    mod prepare;
    mod quiet;
    mod registry;
    mod rejects;
    mod shapes;
    mod silence;
    mod slow_readers;
    mod stale_series;
    mod time_order;
    mod times;
    pub mod typed_files;
    pub mod typed_formats;
    mod window_kinds;
    mod windows;
}

/// The commands, as their user meets them.
mod verbs {
    mod backtest;
    mod cli;
    mod doors;
    mod model;
    mod replay;
    mod sql;
    mod sql_files;
    mod sql_limits;
    mod targets;
    mod train;
    mod verify;
}
