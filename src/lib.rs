//! tickcast: Kafka topics of ticks in, calibrated forecasts out, learning while it runs.
//!
//! A pipeline is a page of YAML. A program runs one like this; the verb `run` does the same:
//!
//! ```
//! use tickcast::config::Pipeline;
//! use tickcast::{LaunchOptions, launch};
//!
//! let text = "
//!     source: { generate: { process: weather, series: 2, ticks: 2000 } }
//!     window: { tumbling: 1h }
//!     forecast: { target: temp, model: { hidden: 4 } }
//!     sinks: { forecasts: { file: { path: out/ } } }
//! ";
//! let dir = tempfile::tempdir()?;
//! let running = launch(Pipeline::from_yaml(text, dir.path())?, LaunchOptions::default())?;
//!
//! // It runs on threads of its own. Here its input ends; `running.stop()` would end it too.
//! let summary = running.wait()?.expect("it was not stopped");
//! assert_eq!(summary.records, 2000);
//! assert!(summary.forecasts > 0);
//! assert!(dir.path().join("out").is_dir());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! ingest ──RecordBatch──▶ window ──a batch a closed window, a row a series──▶ forecast ──▶ sink
//!  kafka|file|generate     watermark, late     experts, RNN + TBPTT, intervals     one commit
//! ```
//!
//! Two invariants carry everything:
//! 1. The partition is the unit: it has its own windows, model and state, and nothing crosses
//!    partitions.
//! 2. A partition's output is a pure function of its records and its pipeline file: not of batches,
//!    threads or restarts.

pub mod backtest;
pub mod cli;
pub mod clock;
pub mod config;
pub mod factory;
pub mod failure;
pub mod launch;
mod renewal;
mod running;
mod schemas;
pub mod serve;

pub use failure::Failure;
pub use launch::{LaunchOptions, launch};
pub use running::Running;
