//! The thread that writes states out: a worker only freezes them, which is quick; writing one out
//! can take seconds.
//! It must not know what is in a state, nor where it is kept.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::channels::{ToSink, ToSnapshots, closed};
use crate::error::Result;

/// Writes out what workers have frozen, until the last of them has ended. Errors: an operator's, or
/// the writer has ended.
pub(super) fn snapshot_loop(from_workers: &Receiver<ToSnapshots>, to_sink: &Sender<ToSink>) -> Result<()> {
    for ToSnapshots { frozen, incarnation, took, ticket } in from_workers {
        let from = Instant::now();
        let snapshot = frozen.write()?;
        let took = took + from.elapsed();
        let save = ToSink::Save { snapshot, incarnation, took, ticket };
        to_sink.send(save).map_err(|_| closed("the sink"))?;
    }
    Ok(())
}
