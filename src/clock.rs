//! Where a clock has closed the windows of a pipeline that has run: whoever reads its topic again
//! closes them there too.
//! It must not read a clock, nor change anything.

use std::collections::BTreeMap;

use tickcast_stream::error::Result;
use tickcast_stream::runtime::{committed_clock, saved_clock};
use tickcast_stream::{Offset, PartitionId};

use crate::config::plan::{Delivery, Plan};

/// By partition. Nothing, where no clock closes windows, or nothing is kept. Errors: the source's,
/// and those of where the state is.
pub fn closes(plan: &Plan) -> Result<BTreeMap<PartitionId, Vec<Offset>>> {
    if plan.idle.is_none() || plan.state.is_none() {
        return Ok(BTreeMap::new());
    }
    let ids = (0..plan.source.partitions()?).map(PartitionId);
    let logs: Result<Vec<_>> = match (plan.delivery, plan.ends().states()?) {
        (Delivery::AtLeastOnce, Some(store)) => {
            ids.map(|id| Ok((id, saved_clock(store.as_ref(), id)?))).collect()
        }
        _ => {
            let audit = plan.ends().audit()?;
            ids.map(|id| Ok((id, committed_clock(audit.as_ref(), id)?))).collect()
        }
    };
    Ok(logs?.into_iter().map(|(id, log)| (id, log.after(None).to_vec())).collect())
}
