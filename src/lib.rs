//! tickcast: Kafka topics of ticks in, calibrated forecasts out, learning while it runs.
//!
//! ```text
//! ingest ──RecordBatch──▶ window ──one batch per closed window, a row per series──▶ forecast ──▶ sink
//!  kafka|file|generate     watermark, late          experts, RNN + TBPTT, intervals        forecasts, scores, rejects
//! ```
//!
//! Two invariants carry everything:
//! 1. The partition is the unit: it has its own windows, model and state, and nothing crosses partitions.
//! 2. A partition's output is a pure function of its records and its pipeline file: not of batches, threads or restarts.

pub mod backtest;
pub mod cli;
pub mod config;
pub mod factory;
pub mod failure;
pub mod launch;
pub mod serve;

pub use failure::Failure;
pub use launch::{LaunchOptions, Running, launch};
