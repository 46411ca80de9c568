//! The last whole snapshot of a partition: what has not changed since it is not written again.
//! It must not know what is in a state, nor where it is kept.
//!
//! The last operator's part is by far the largest, and it is the same until a window closes. So a
//! snapshot in between is a light one: it refers to the whole one before it, once that is kept.

use super::image::{PendingSnapshot, shareable};
use super::outputs::{Kept, Ticket};
use crate::error::Result;
use crate::ledger::{Base, Snapshot};

/// Writes the states of one beginning of a partition out.
#[derive(Default)]
pub struct LastWhole(Option<Whole>);

struct Whole {
    base: Base,
    /// How often the last operator had worked.
    changes: u64,
    kept: Kept,
    bytes: u64,
    /// Bytes of the light ones that refer to it.
    light: u64,
}

impl LastWhole {
    /// Writes a state out, light where that can be.
    pub fn write(&mut self, frozen: PendingSnapshot, ticket: &Ticket) -> Result<Snapshot> {
        if let Some(whole) = self.0.as_mut().filter(|whole| whole.serves(&frozen)) {
            let snapshot = frozen.write_light(whole.base)?;
            whole.light += snapshot.state.len() as u64;
            return Ok(snapshot);
        }

        let changes = frozen.changes;
        let snapshot = frozen.write()?;
        self.remember(&snapshot, changes, ticket);
        Ok(snapshot)
    }

    /// A whole one was written; `changes` is how often the last operator had worked by then.
    pub fn remember(&mut self, whole: &Snapshot, changes: u64, ticket: &Ticket) {
        self.0 = shareable(whole).map(|base| Whole {
            base,
            changes,
            kept: ticket.kept(),
            bytes: whole.size(),
            light: 0,
        });
    }
}

impl Whole {
    /// Whether a light snapshot can refer to it. One of its own position could take its place where
    /// it lies. What light ones take together is no more than a whole one: they stay where it does.
    fn serves(&self, frozen: &PendingSnapshot) -> bool {
        let is_same = self.changes == frozen.changes && self.base.of.position < frozen.position;
        is_same && self.light < self.bytes && self.kept.is_so()
    }
}
