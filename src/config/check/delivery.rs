//! Checks `state` and `delivery`: where what was learned is kept, and which ends can take part in
//! one commit.
//! It must not know how a commit is made.

use tickcast_connect::{Home, KafkaTopicSpec, SinkSpecs, SourceSpec, StateSpec};

use super::Checker;
use crate::config::fault::Fault;
use crate::config::plan::Delivery;
use crate::config::raw::{RawKafka, RawState};

impl Checker<'_> {
    /// The state and the guarantee; the default of each follows from the other and from the sinks.
    pub fn state_and_delivery(
        &mut self,
        state: Option<RawState>,
        delivery: Option<Delivery>,
        name: &str,
        source: &SourceSpec,
        sinks: &SinkSpecs,
    ) -> (Option<StateSpec>, Delivery) {
        let state = state.and_then(|state| self.given_state(state, source, sinks));
        let misfits = self.misfits(&Endpoints { name, source, sinks, state: state.as_ref() });
        let best = if misfits.is_empty() { Delivery::ExactlyOnce } else { Delivery::AtLeastOnce };
        if delivery == Some(Delivery::ExactlyOnce) {
            self.faults.extend(misfits);
        }

        let delivery = delivery.unwrap_or(best);
        (state.or_else(|| self.default_state(name, source, sinks, delivery)), delivery)
    }

    fn given_state(&mut self, raw: RawState, source: &SourceSpec, sinks: &SinkSpecs) -> Option<StateSpec> {
        self.exactly_one("state", &[("dir", raw.dir.is_some()), ("kafka", raw.kafka.is_some())]);
        if !source.traits().is_replayable {
            self.fault("state", "standard input cannot be read again from a saved position");
        }
        let kafka = raw.kafka.map(|kafka| self.state_topic(kafka, source, sinks));
        kafka.or(raw.dir.map(|dir| StateSpec::Dir(self.file_path(&dir))))
    }

    /// Only what comes from Kafka or a journal is worth a state that nobody asked for: a file is
    /// read again from its beginning.
    fn default_state(
        &mut self,
        name: &str,
        source: &SourceSpec,
        sinks: &SinkSpecs,
        delivery: Delivery,
    ) -> Option<StateSpec> {
        if source.client().is_none() && source.traits().is_bounded {
            return None;
        }

        // Exactly once, one sink that is a topic tells of all of them.
        if delivery == Delivery::ExactlyOnce && sinks.topics().next().is_some() {
            let topic = Some(format!("{name}.state"));
            return Some(self.state_topic(RawKafka { topic, ..RawKafka::default() }, source, sinks));
        }
        Some(StateSpec::Dir(self.file_path("state").join(name)))
    }

    fn state_topic(&mut self, raw: RawKafka, source: &SourceSpec, sinks: &SinkSpecs) -> StateSpec {
        let (client, topic) = self.topic_written(raw, "state", "the state", source);
        for (stream, other) in sinks.topics() {
            if other.topic == topic && other.client.brokers == client.brokers && !topic.is_empty() {
                let message = format!("{topic} is the topic of sinks.{} already", stream.name());
                self.fault_with_help("state.kafka.topic", message, "the state needs a topic of its own");
            }
        }
        StateSpec::Kafka(KafkaTopicSpec { client, topic })
    }

    /// Every end that keeps the pipeline from committing all of them as one; an end with a fault is
    /// not judged.
    fn misfits(&self, ends: &Endpoints) -> Vec<Fault> {
        if self.is_faulty("source") {
            return Vec::new();
        }

        let (_, home) = ends.home();
        let mut misfits = Vec::new();
        if !ends.source.traits().is_replayable {
            let message = "standard input cannot take part in exactly_once: it cannot be read again";
            misfits.push(self.misfit("source.file.path", message.into(), "save it in a file first"));
        } else if ends.state.is_none() && !ends.has_default_state(home) && !self.is_faulty("state") {
            let help = format!("add {}", ends.example("state", home));
            misfits.push(self.misfit("delivery", "exactly_once needs a state to go on from".into(), &help));
        }

        let written = ends.written().into_iter();
        let strangers = written.filter(|(path, own)| *own != Some(home) && !self.is_faulty(path));
        misfits.extend(strangers.map(|(path, own)| self.stranger(ends, &path, own)));
        misfits
    }

    /// What is wrong with an end that is at home elsewhere, or nowhere.
    fn stranger(&self, ends: &Endpoints, path: &str, own: Option<Home>) -> Fault {
        let (owner, home) = ends.home();
        let key = path.rsplit('.').next().unwrap_or(path);
        let help = format!("write {}", ends.example(key, home));

        match (own, home) {
            (None, _) => {
                let is_default = !self.places.positions.contains_key(path);
                let what = if is_default { "standard output, the default," } else { "standard output" };
                self.misfit(path, format!("{what} cannot take part in exactly_once"), &help)
            }
            (Some(Home::Cluster(own)), Home::Cluster(brokers)) => {
                let message = format!(
                    "\"{own}\" cannot take part in exactly_once with \"{brokers}\" of {owner}: a commit is \
                     within one cluster"
                );
                let path = format!("{path}.kafka.brokers");
                self.misfit(&path, message, &format!("write brokers: \"{brokers}\""))
            }
            (Some(own), _) => {
                let (own, other) = (own.word(), home.word());
                let message =
                    format!("a {own} cannot take part in exactly_once beside the {other} of {owner}");
                self.misfit(path, message, &help)
            }
        }
    }

    fn misfit(&self, path: &str, message: String, help: &str) -> Fault {
        self.places.fault(path, message, Some(format!("{help}, or delivery: at_least_once")))
    }
}

/// What a pipeline reads and writes, as far as its file says so.
struct Endpoints<'a> {
    name: &'a str,
    source: &'a SourceSpec,
    sinks: &'a SinkSpecs,
    state: Option<&'a StateSpec>,
}

impl<'a> Endpoints<'a> {
    fn is_from_kafka(&self) -> bool {
        self.source.client().is_some()
    }

    /// Whether a state that goes with this home is there though the file names none.
    fn has_default_state(&self, home: Home) -> bool {
        self.is_from_kafka() || !self.source.traits().is_bounded && home == Home::Files
    }

    /// The path and the home of every end that is written, the state last; standard output has no
    /// home.
    fn written(&self) -> Vec<(String, Option<Home<'a>>)> {
        let sinks = self.sinks.all().map(|(stream, sink)| (format!("sinks.{}", stream.name()), sink.home()));
        let state = self.state.map(StateSpec::home);
        sinks.chain(state.map(|home| ("state".to_string(), Some(home)))).collect()
    }

    /// Where the ends should meet, and whose home that is: the state's, unless the state is alone
    /// there.
    fn home(&self) -> (String, Home<'a>) {
        let homes: Vec<_> =
            self.written().into_iter().filter_map(|(path, home)| Some((path, home?))).collect();
        let is_shared = |home: &Home| homes.iter().filter(|(_, other)| other == home).count() > 1;
        let state = homes.last().filter(|(path, home)| path == "state" && is_shared(home));
        match (state.or(homes.first()), self.source.client()) {
            // What is read is committed with what is written.
            (None | Some((_, Home::Cluster(_))), Some(client)) => {
                ("source".to_string(), Home::Cluster(&client.brokers))
            }
            (found, _) => found.cloned().unwrap_or(("state".to_string(), Home::Files)),
        }
    }

    /// What to write for a key of `sinks`, or for `state`, so that it is at home there.
    fn example(&self, key: &str, home: Home) -> String {
        let name = self.name;
        match home {
            Home::Cluster(_) if self.is_from_kafka() => {
                format!("{key}: {{ kafka: {{ topic: {name}.{key} }} }}")
            }
            Home::Cluster(brokers) => {
                format!("{key}: {{ kafka: {{ brokers: \"{brokers}\", topic: {name}.{key} }} }}")
            }
            Home::Files if key == "state" => format!("state: {{ dir: state/{name} }}"),
            Home::Files => format!("{key}: {{ file: {{ path: out/ }} }}"),
        }
    }
}
