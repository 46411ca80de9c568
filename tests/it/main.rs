//! The integration tests, one binary: DataFusion is linked once.

mod audit;
mod backtest;
mod broker;
mod chaos;
mod cli;
mod faults;
mod figures;
mod file_faults;
mod handover;
mod instance;
mod invariant;
mod kafka;
mod ledger;
mod model;
mod recovery;
mod rejects;
mod rig;
mod schemas;
mod simulation;
mod sql;
mod sql_files;
mod support;
mod train;
mod verify;
mod warm_start;
mod windows;
