//! The integration tests, one binary: DataFusion is linked once.

mod broker;
mod cli;
mod handover;
mod invariant;
mod kafka;
mod model;
mod recovery;
mod rejects;
mod schemas;
mod sql;
mod support;
mod train;
mod windows;
