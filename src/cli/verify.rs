//! `verify`: everything made again from the input, and compared with what the sinks hold.
//! It must not change anything anywhere: it may run beside a run that is idle.

use std::collections::BTreeMap;
use std::sync::Arc;

use tickcast_connect::Span;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::runtime::{Verified, verify as make_again};
use tickcast_stream::source::Source;
use tickcast_stream::{Offset, PartitionId};

use super::run;
use super::say::say;
use crate::config::Pipeline;
use crate::config::plan::{Delivery, Plan};
use crate::factory::factory_for;
use crate::failure::{Failure, Outcome, check_clients, placed};

/// Shows how far the sinks hold what the input makes. Errors: when they do not, also `Sink`.
pub fn verify(pipeline: &Pipeline) -> Outcome {
    let plan = &pipeline.plan;
    check_clients(pipeline)?;
    if plan.delivery != Delivery::ExactlyOnce {
        let what = "verify needs delivery: exactly_once: otherwise records may come twice, and no commit says how many";
        return Err(Failure::Runtime(Error::new(Kind::State, what)));
    }

    let watch = run::watch(plan, Arc::new(|_| ()))?;
    let mut open = plan.source.open_history(Span::default())?;
    let factory = placed(pipeline, factory_for(plan, &mut open))?;
    let firsts = firsts(plan, open.source.as_mut())?;

    let audit = plan.ends().audit()?;
    let verified = make_again(&factory, open.source.as_mut(), audit.as_ref(), &firsts, &watch)?;
    let Some(verified) = verified else {
        return Err(Failure::Runtime(Error::new(Kind::Io, "stopped before everything was compared")));
    };

    say(&table(&verified));
    if verified.is_good() {
        say(&format!("verified: {} records read, all results are as the input makes them", verified.records));
        return Ok(());
    }

    for finding in verified.findings.iter().filter(|finding| finding.differing > 0) {
        let (partition, stream) = (finding.partition, finding.stream.name());
        eprintln!("partition {partition} {stream}: {}", finding.first.as_deref().unwrap_or_default());
    }
    Err(Failure::Runtime(Error::new(Kind::Sink, "the sinks do not hold what the input makes")))
}

/// The first record of every partition that can still be read.
fn firsts(plan: &Plan, source: &mut dyn Source) -> Result<BTreeMap<PartitionId, Offset>> {
    if plan.source.traits().is_bounded {
        return Ok(BTreeMap::new());
    }
    let firsts = (0..plan.source.partitions()?)
        .map(PartitionId)
        .map(|id| Ok(source.offset_range(id)?.map(|offset_range| (id, offset_range.start))));
    Ok(firsts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn table(verified: &Verified) -> String {
    let mut text = format!(
        "{:>9}  {:<9}  {:>10}  {:>10}  {:>9}",
        "partition", "stream", "committed", "compared", "differing"
    );
    for finding in &verified.findings {
        let (stream, committed) = (finding.stream.name(), finding.committed);
        text.push_str(&format!(
            "\n{:>9}  {stream:<9}  {committed:>10}  {:>10}  {:>9}",
            finding.partition, finding.compared, finding.differing
        ));
    }
    text
}
