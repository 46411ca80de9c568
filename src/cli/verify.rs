//! `verify`: everything made again from the input, and compared with what the sinks hold.
//! It must not change anything anywhere: it may run beside a run that is idle.

use std::collections::BTreeMap;
use std::sync::Arc;

use tickcast_connect::Span;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::runtime::{Verified, verify as make_again};
use tickcast_stream::source::Source;
use tickcast_stream::{Offset, PartitionId};

use super::outcome::{Failed, VerbResult};
use super::run;
use super::say::{say, tell};
use crate::config::Pipeline;
use crate::config::plan::{Delivery, Plan};
use crate::factory::factory_for;
use crate::failure::{check_clients, placed};

/// Shows how far the sinks hold what the input makes. Errors: when they do not, or when not all
/// could be compared.
pub fn verify(pipeline: &Pipeline) -> VerbResult {
    let plan = &pipeline.plan;
    check_clients(pipeline)?;
    if plan.delivery != Delivery::ExactlyOnce {
        let what = "verify needs delivery: exactly_once: otherwise records may come twice, and no commit says how many";
        return Err(Error::new(Kind::State, what).into());
    }

    let watch = run::watch(plan, Arc::new(|_| ()))?;
    let mut open = plan.source.open_history(Span::default())?;
    let factory = placed(pipeline, factory_for(plan, &mut open))?;
    let firsts = firsts(plan, open.source.as_mut())?;

    let audit = plan.ends().audit()?;
    let verified = make_again(&factory, open.source.as_mut(), audit.as_ref(), &firsts, &watch)?;
    let Some(verified) = verified else {
        return Err(Error::new(Kind::Io, "stopped before everything was compared").into());
    };

    say(&table(&verified))?;
    judged(&verified)
}

/// What the exit code says of it.
fn judged(verified: &Verified) -> VerbResult {
    let Verified { findings, records } = verified;
    for finding in findings.iter().filter(|finding| finding.differing > 0) {
        let (partition, stream) = (finding.partition, finding.stream.name());
        tell(&format!("partition {partition} {stream}: {}", finding.first.as_deref().unwrap_or_default()));
    }
    if verified.differing() > 0 {
        return Err(Error::new(Kind::Sink, "the sinks do not hold what the input makes").into());
    }

    let (compared, missing) = (verified.compared(), verified.not_comparable());
    if missing > 0 {
        return Err(Failed::Incomplete(format!(
            "not all is verified: {records} records read, {compared} results are as the input makes them, and {missing} \
             results were not compared, because the input that made them is gone, or a state of then to begin from"
        )));
    }
    let gone = findings.iter().map(|finding| finding.committed).sum::<u64>() - compared;
    if compared == 0 && gone > 0 {
        let what =
            format!("nothing is verified: none of the {gone} committed results is in the sinks any more");
        return Err(Failed::Incomplete(what));
    }

    say(&format!("verified: {records} records read, all {compared} results are as the input makes them"))?;
    if gone > 0 {
        say(&format!("{gone} older results are no longer in the sinks"))?;
    }
    Ok(())
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
        "{:>9}  {:<9}  {:>10}  {:>10}  {:>9}  {:>14}",
        "partition", "stream", "committed", "compared", "differing", "not comparable"
    );
    for finding in &verified.findings {
        let (stream, committed) = (finding.stream.name(), finding.committed);
        text.push_str(&format!(
            "\n{:>9}  {stream:<9}  {committed:>10}  {:>10}  {:>9}  {:>14}",
            finding.partition, finding.compared, finding.differing, finding.not_comparable
        ));
    }
    text
}
