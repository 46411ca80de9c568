//! Who an instance is in its group: under which name, and how long the group waits for one that was
//! killed.
//! It must not join the group.

use std::path::Path;
use std::time::{Duration, Instant};

use super::instance_name::InstanceName;
use super::spec::KafkaSourceSpec;
use crate::kafka::Life;

/// The property that names a member.
pub(super) const INSTANCE: &str = "group.instance.id";
const SESSION: &str = "session.timeout.ms";

/// A named member is back at once. The group waits so long only for one that does not come back.
const SESSION_MS: &str = "10000";
/// Who has no name waits for his own former self: the least that brokers allow by default.
const NAMELESS_MS: &str = "6000";
/// Three of them fit into the shorter session.
const NAMELESS_HEARTBEAT_MS: &str = "2000";

/// A group has given its partitions out by then, unless there is something to wait for: brokers let
/// the first members of a group gather for 3 s by default.
const PROMPT: Duration = Duration::from_secs(4);
/// Who is shut out again within this time has a twin.
const AGAIN: Duration = Duration::from_secs(60);

/// A member of a group.
pub(super) struct Identity {
    group: String,
    name: Name,
    is_new_protocol: bool,
    /// For a person: how long the group waits for a member that is silent.
    session: String,
    /// Since when the group lets us wait, until that is told.
    waiting: Option<Instant>,
    shut_out: Option<Instant>,
}

enum Name {
    /// Ours alone, as long as this process lives.
    Kept(InstanceName),
    /// The pipeline file's.
    Given,
    /// Why there is none.
    Missing(String),
}

impl Identity {
    /// Takes a name from this directory, where the pipeline file gives none, and says in the log
    /// what a kill will cost.
    pub fn claim(spec: &KafkaSourceSpec, instances: Option<&Path>) -> Self {
        let is_new_protocol = spec.has_new_protocol();
        let name = match (spec.property(INSTANCE), instances) {
            (Some(""), _) => Name::Missing(format!("{INSTANCE} is empty")),
            (Some(_), _) => Name::Given,
            // There the group refuses the next member of the name until the dead one is given up.
            (None, _) if is_new_protocol => Name::Missing("of group.protocol: consumer".into()),
            (None, None) => Name::Missing("no directory can keep one".into()),
            (None, Some(dir)) => match InstanceName::claim(dir) {
                Ok(name) => Name::Kept(name),
                Err(error) => Name::Missing(format!("{} cannot keep one: {error}", dir.display())),
            },
        };

        let ours = if matches!(name, Name::Missing(_)) { NAMELESS_MS } else { SESSION_MS };
        let session = session(is_new_protocol, spec.property(SESSION).unwrap_or(ours));
        let group = spec.group.clone();
        let identity =
            Identity { group, name, is_new_protocol, session, waiting: Some(Instant::now()), shut_out: None };
        identity.tell_recovery();
        identity
    }

    /// What the group is told of us, where the pipeline file does not say it.
    pub fn settings(&self) -> Vec<(&'static str, &str)> {
        match &self.name {
            // The broker decides.
            _ if self.is_new_protocol => Vec::new(),
            Name::Kept(name) => vec![(INSTANCE, name.as_str()), (SESSION, SESSION_MS)],
            Name::Given => vec![(SESSION, SESSION_MS)],
            Name::Missing(_) => {
                vec![(SESSION, NAMELESS_MS), ("heartbeat.interval.ms", NAMELESS_HEARTBEAT_MS)]
            }
        }
    }

    /// The name that a directory keeps.
    pub fn kept_name(&self) -> Option<&str> {
        match &self.name {
            Name::Kept(name) => Some(name.as_str()),
            Name::Given | Name::Missing(_) => None,
        }
    }

    /// Which life of this instance this is, where a directory keeps account of it.
    pub fn life(&self) -> Option<Life> {
        match &self.name {
            Name::Kept(name) => Some(name.life().clone()),
            Name::Given | Name::Missing(_) => None,
        }
    }

    fn tell_recovery(&self) {
        let Identity { group, session, .. } = self;
        match &self.name {
            Name::Kept(name) => tracing::info!(
                "joining group {group} as {}: if this instance is killed, the next one here takes its place at once",
                name.as_str()
            ),
            Name::Given if self.is_new_protocol => tracing::info!(
                "joining group {group}: if this instance is killed, the group refuses it for {session}"
            ),
            Name::Given => {}
            Name::Missing(why) => tracing::info!(
                "joining group {group} without a name, because {why}: if this instance is killed, its partitions are \
                 kept for {session}"
            ),
        }
    }

    /// Whether the group lets us wait, and nobody has said so.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The group has given us our share.
    pub fn is_in(&mut self) {
        self.waiting = None;
    }

    /// Says once what the group waits for, when it lets us wait.
    pub fn tell_wait(&mut self) {
        if self.waiting.is_some_and(|since| since.elapsed() > PROMPT) {
            self.waiting = None;
            tracing::info!(
                "waiting for group {} to give partitions out: it waits for its other members, for one that was \
                 killed up to {}",
                self.group,
                self.session
            );
        }
    }

    /// The group has given our name to another member. True: we join again. At first under the same
    /// name: the other one is most often our own former life, which a broker remembers that has
    /// taken the group over. Who is shut out a second time has a twin, such as a copy of the
    /// machine, and leaves the name to it.
    pub fn joins_again(&mut self) -> bool {
        let Name::Kept(name) = &mut self.name else { return false };
        let former = name.as_str().to_owned();
        let now = Instant::now();
        let is_twin = self.shut_out.take().is_some_and(|at| now.duration_since(at) < AGAIN);
        // A new name has its own two times.
        self.shut_out = (!is_twin).then_some(now);
        if is_twin && let Err(error) = name.renew() {
            tracing::warn!(%error, "the new name of this instance cannot be kept");
        }

        let (group, name) = (&self.group, name.as_str());
        tracing::warn!("group {group} takes another member for {former}: joining again as {name}");
        self.waiting = Some(now);
        true
    }

    /// Whether who leaves waits until the group knows that he has left: it would keep the place of
    /// a named one.
    pub fn says_goodbye(&self) -> bool {
        matches!(self.name, Name::Kept(_))
    }

    /// We have left the group, and it knows our name no more.
    pub fn has_left(&self) {
        if let Name::Kept(name) = &self.name
            && let Err(error) = name.forget()
        {
            tracing::debug!(%error, "the name of this instance stays");
        }
    }
}

fn session(is_new_protocol: bool, ms: &str) -> String {
    if is_new_protocol {
        return "45 s by default (the broker's group.consumer.session.timeout.ms)".into();
    }
    let seconds = ms.parse::<f64>().map(|ms| format!("{} s", ms / 1000.0));
    format!("{} ({SESSION})", seconds.unwrap_or_else(|_| ms.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaClientSpec;
    use crate::source::{OnLoss, StartFrom};

    fn identity(properties: &[(&str, &str)], instances: Option<&Path>) -> Identity {
        let properties = properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let spec = KafkaSourceSpec {
            client: KafkaClientSpec {
                brokers: String::new(),
                properties: properties.collect(),
                ..KafkaClientSpec::default()
            },
            topic: String::new(),
            group: "g".into(),
            start: StartFrom::Earliest,
            on_loss: OnLoss::Stop,
        };
        Identity::claim(&spec, instances)
    }

    #[test]
    fn a_name_is_kept_unless_the_pipeline_file_has_a_word_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = |properties: &[(&str, &str)]| identity(properties, Some(dir.path())).kept_name().is_some();
        assert!(kept(&[]));
        for said in [(INSTANCE, "mine"), (INSTANCE, ""), ("group.protocol", "Consumer")] {
            assert!(!kept(&[said]), "{said:?}");
        }
    }

    #[test]
    fn who_has_no_name_is_waited_for_shortly() {
        let nameless = identity(&[], None);
        assert_eq!(nameless.settings()[0], (SESSION, NAMELESS_MS));
        assert_eq!(nameless.session, "6 s (session.timeout.ms)");
        let said = identity(&[(SESSION, "1500")], None);
        assert_eq!(said.session, "1.5 s (session.timeout.ms)");
        assert!(identity(&[("group.protocol", "consumer")], None).settings().is_empty());
    }

    #[test]
    fn who_is_shut_out_twice_takes_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut identity = identity(&[], Some(dir.path()));
        let names = [(); 3].map(|()| {
            assert!(identity.joins_again());
            identity.kept_name().unwrap().to_owned()
        });
        assert!(names[0] != names[1] && names[1] == names[2], "{names:?}");
    }

    /// Two instances with the pipeline file's own name are a mistake that ends one of them.
    #[test]
    fn who_has_the_files_name_does_not_take_it_back() {
        assert!(!identity(&[(INSTANCE, "mine")], None).joins_again());
    }
}
