//! What a pool of accumulators has of open windows, as bytes and back.
//! It must not know whose windows they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tickcast_stream::error::Result;

use super::plan::Aggregation;
use super::pool::{Pool, WindowRows};
use super::snapshot::{arrays_to_ipc, from_ipc, rows_of, to_ipc};

/// Arrow IPC streams. Neither batches nor what nobody wants can be seen in them.
#[derive(Serialize, Deserialize)]
pub(super) struct PoolImage {
    /// One an aggregate: its states.
    states: Vec<Vec<u8>>,
    rows: Vec<u8>,
}

impl PoolImage {
    /// The states of those of the windows that have one, and the rows at these places, in order.
    pub fn of<'a>(
        pool: &Pool,
        windows: impl Iterator<Item = &'a WindowRows>,
        places: &[u32],
    ) -> Result<Self> {
        let states: Vec<u32> = windows.filter_map(|window| window.state).collect();
        let states = pool.states.gather(&states)?;
        Ok(PoolImage {
            states: states.iter().map(|arrays| arrays_to_ipc(arrays)).collect::<Result<_>>()?,
            rows: to_ipc(&pool.store.gather(places)?)?,
        })
    }

    /// A pool with these states and rows, their places counted from 0. Errors: `State`, when they
    /// are not of this `select`.
    pub fn restored(&self, aggregation: &Arc<Aggregation>) -> Result<Pool> {
        let rows = rows_of(&self.rows, aggregation.argument_schema())?;
        let states = self.states.iter().map(|bytes| Ok(from_ipc(bytes)?.columns().to_vec()));
        Pool::restored(Arc::clone(aggregation), states.collect::<Result<_>>()?, &rows)
    }
}
