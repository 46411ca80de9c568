//! Whether the pipeline is ready to forecast, and what it waits for if not.
//! It must not decide: the runtime says, the endpoints read.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::lock::lock;

/// What the pipeline said last of its readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Every part works.
    Ready,
    /// Why it is not ready, for a person.
    Waiting(String),
}

/// A part of the pipeline that others may have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthPart {
    /// What is read.
    Source,
    /// What is known of an assigned partition cannot be read yet.
    Claim,
    /// A partition makes again what is committed already.
    Replay,
    /// What is written.
    Sink,
    /// What brings records into the source's log.
    Ingest,
}

/// Shared by the runtime that says and the endpoints that read. It is ready when no part waits.
#[derive(Debug)]
pub struct Health {
    waiting: Mutex<BTreeMap<HealthPart, String>>,
    notes: Mutex<BTreeMap<String, String>>,
}

impl Default for Health {
    fn default() -> Self {
        let waiting = Mutex::new(BTreeMap::from([(HealthPart::Source, "starting".into())]));
        Health { waiting, notes: Mutex::default() }
    }
}

impl Health {
    /// A part has to be waited for, and why, for a person.
    pub fn set_waiting(&self, part: HealthPart, reason: impl Into<String>) {
        self.with(|waiting| _ = waiting.insert(part, reason.into()));
    }

    /// A part need not be waited for any more.
    pub fn set_ready(&self, part: HealthPart) {
        self.with(|waiting| _ = waiting.remove(&part));
    }

    /// Something that a person should know though nothing waits for it; a later note about the same
    /// takes its place. Whether it is the first.
    pub fn note(&self, about: impl Into<String>, what: impl Into<String>) -> bool {
        lock(&self.notes).insert(about.into(), what.into()).is_none()
    }

    /// What is noted, in order of what it is about.
    pub fn notes(&self) -> Vec<String> {
        lock(&self.notes).values().cloned().collect()
    }

    /// Whether any part waits.
    pub fn status(&self) -> Readiness {
        let reasons: Vec<String> = self.with(|waiting| waiting.values().cloned().collect());
        if reasons.is_empty() { Readiness::Ready } else { Readiness::Waiting(reasons.join("; ")) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<HealthPart, String>) -> T) -> T {
        work(&mut lock(&self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_no_part_waits() {
        let health = Health::default();
        assert_eq!(health.status(), Readiness::Waiting("starting".into()));
        health.set_ready(HealthPart::Source);
        assert_eq!(health.status(), Readiness::Ready);
        health.note("partition 0", "1 record was lost");
        health.note("partition 0", "2 records were lost");
        assert_eq!(
            (health.status(), health.notes()),
            (Readiness::Ready, vec!["2 records were lost".to_owned()])
        );
        health.set_waiting(HealthPart::Sink, "no broker");
        health.set_ready(HealthPart::Source);
        assert_eq!(health.status(), Readiness::Waiting("no broker".into()));
    }
}
