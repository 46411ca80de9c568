//! The thread that writes states out: a worker only freezes them, which is quick; writing one out
//! can take seconds.
//! It must not know what is in a state, nor where it is kept.

use std::collections::BTreeMap;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::channels::{ToSink, ToSnapshots, closed};
use super::last_whole::LastWhole;
use crate::error::Result;
use crate::place::PartitionId;

/// Writes out what workers have frozen, until the last of them has ended. Errors: an operator's, or
/// the writer has ended.
pub(super) fn snapshot_loop(from_workers: &Receiver<ToSnapshots>, to_sink: &Sender<ToSink>) -> Result<()> {
    let mut last: BTreeMap<PartitionId, (u64, LastWhole)> = BTreeMap::new();
    for ToSnapshots { frozen, incarnation, took, ticket } in from_workers {
        let from = Instant::now();
        let (of, wholes) = last.entry(frozen.partition).or_default();
        if *of != incarnation {
            // What an earlier beginning has kept may be another's to clear away.
            (*of, *wholes) = (incarnation, LastWhole::default());
        }
        let snapshot = wholes.write(frozen, &ticket)?;
        let took = took + from.elapsed();
        let save = ToSink::Save { snapshot, incarnation, took, ticket };
        to_sink.send(save).map_err(|_| closed("the sink"))?;
    }
    Ok(())
}
