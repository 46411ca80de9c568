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
//!
//! The modules in the order of the data: [`config`] says what to run; [`ingest`] reads and decodes; [`window`]
//! aggregates; [`model`] learns, and [`forecast`] asks it; [`sink`] writes and [`ledger`] remembers; [`runtime`] drives
//! them all; [`backtest`] judges a pipeline by its past; [`serve`] and [`query`] let people look.

pub use tickcast_model as model;

pub mod backtest;
pub mod cli;
pub mod config;
pub mod error;
pub mod forecast;
pub mod ingest;
pub mod kafka;
pub mod ledger;
pub mod mean;
pub mod message;
pub mod operator;
pub mod query;
pub mod runtime;
pub mod serve;
pub mod sink;
pub mod window;
