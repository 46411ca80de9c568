//! `state` and `delivery`: their defaults, the two families of ends that can commit as one, and
//! what each misfit is told.
//! It must not test how a commit is made.

use std::fs;

use super::*;

const TOPICS: &str =
    "sinks: {forecasts: {kafka: {topic: f}}, scores: {kafka: {topic: s}}, rejects: {kafka: {topic: r}}}\n";
const DIRS: &str = "sinks: {forecasts: {file: {path: out}}, scores: {file: {path: out}}}\n";
const KAFKA: &str = "{kafka: {topic: t}}";
const FILE: &str = "{file: {path: in.csv}}";
const STDIN: &str = "{file: {path: '-'}, format: csv}";
const GENERATED: &str = "{generate: {}}";

/// The smallest pipeline with this source and these lines more.
fn from(source: &str, lines: &str) -> String {
    SMALLEST.replace(KAFKA, source) + lines
}

/// State and delivery as one word each.
fn kept(text: &str) -> (String, Delivery) {
    let plan = plan(text);
    let state = match &plan.state {
        None => "none".to_string(),
        Some(StateSpec::Dir(dir)) => dir.display().to_string(),
        Some(StateSpec::Kafka(KafkaTopicSpec { client, topic })) => format!("{topic} at {}", client.brokers),
    };
    (state, plan.delivery)
}

#[test]
fn the_defaults_follow_from_source_and_sinks() {
    use Delivery::{AtLeastOnce, ExactlyOnce};
    let topic = "weather.state at localhost:9092";
    let dir = "/base/state/weather";
    let at = |lines: &str| format!("{TOPICS}delivery: {lines}\n");
    let cases = [
        (KAFKA, TOPICS.to_string(), topic, ExactlyOnce),
        (KAFKA, at("exactly_once"), topic, ExactlyOnce),
        (KAFKA, at("at_least_once"), dir, AtLeastOnce),
        (KAFKA, at("at_least_once\nstate: {kafka: {topic: k}}"), "k at localhost:9092", AtLeastOnce),
        ("{kafka: {topic: t, brokers: 'b:1'}}", TOPICS.to_string(), "weather.state at b:1", ExactlyOnce),
        (KAFKA, TOPICS.replace("topic: s", "topic: s, brokers: 'b:1'"), dir, AtLeastOnce),
        (KAFKA, TOPICS.replace("scores: {kafka: {topic: s}}", "scores: stdout"), dir, AtLeastOnce),
        (KAFKA, TOPICS.replace("{kafka: {topic: s}}", "{file: {path: out}}"), dir, AtLeastOnce),
        // Forecasts go to standard output unless the file says otherwise.
        (KAFKA, "sinks: {scores: {kafka: {topic: s}}}\n".to_string(), dir, AtLeastOnce),
        (KAFKA, String::new(), dir, AtLeastOnce),
        (KAFKA, format!("{TOPICS}state: {{dir: d}}\n"), "/base/d", AtLeastOnce),
        (KAFKA, DIRS.to_string(), dir, ExactlyOnce),
        (KAFKA, format!("{DIRS}delivery: exactly_once\n"), dir, ExactlyOnce),
        (KAFKA, format!("{DIRS}delivery: at_least_once\n"), dir, AtLeastOnce),
        (FILE, DIRS.to_string(), "none", AtLeastOnce),
        (FILE, format!("{DIRS}state: {{dir: d}}\n"), "/base/d", ExactlyOnce),
        (FILE, format!("{DIRS}state: {{dir: d}}\ndelivery: at_least_once\n"), "/base/d", AtLeastOnce),
        (FILE, TOPICS.to_string(), "none", AtLeastOnce),
        (FILE, format!("{TOPICS}state: {{kafka: {{topic: k}}}}\n"), "k at localhost:9092", ExactlyOnce),
        (GENERATED, format!("{TOPICS}state: {{kafka: {{topic: k}}}}\n"), "k at localhost:9092", ExactlyOnce),
        (GENERATED, format!("{DIRS}state: {{dir: d}}\n"), "/base/d", ExactlyOnce),
        (GENERATED, "state: {kafka: {topic: k}}\n".to_string(), "k at localhost:9092", AtLeastOnce),
        (STDIN, DIRS.to_string(), "none", AtLeastOnce),
        (STDIN, TOPICS.to_string(), "none", AtLeastOnce),
    ];
    for (source, lines, state, delivery) in cases {
        assert_eq!(kept(&from(source, &lines)), (state.to_string(), delivery), "{source} {lines}");
    }
}

#[test]
fn at_least_once_lets_every_end_be_anything() {
    for source in [KAFKA, FILE, GENERATED] {
        for sinks in [TOPICS, DIRS, "sinks: {forecasts: stdout, scores: {kafka: {topic: s}}}\n"] {
            for state in ["{dir: d}", "{kafka: {topic: k}}", "{kafka: {topic: k, brokers: 'else:1'}}"] {
                let text = from(source, &format!("{sinks}state: {state}\ndelivery: at_least_once\n"));
                assert_eq!(faults(&text), [""; 0], "{text}");
            }
        }
    }
}

/// The faults of `delivery: exactly_once` in line 6, sinks in line 7 and the state in line 8.
fn exactly_once(source: &str, sinks: &str, state: &str) -> Vec<String> {
    let state = if state.is_empty() { String::new() } else { format!("state: {state}\n") };
    faults(&from(source, &format!("delivery: exactly_once\n{sinks}{state}")))
}

#[test]
fn what_has_no_home_cannot_take_part() {
    let stdout = "sinks: {forecasts: stdout, scores: {kafka: {topic: s}}}\n";
    assert_eq!(
        exactly_once(KAFKA, stdout, ""),
        ["7:9: sinks.forecasts: standard output cannot take part in exactly_once \
          (write forecasts: { kafka: { topic: weather.forecasts } }, or delivery: at_least_once)"]
    );
    assert_eq!(
        exactly_once(KAFKA, "", ""),
        ["1:1: sinks.forecasts: standard output, the default, cannot take part in exactly_once \
          (write forecasts: { kafka: { topic: weather.forecasts } }, or delivery: at_least_once)"]
    );
    assert_eq!(
        exactly_once(KAFKA, "sinks: {scores: stdout}\n", "{dir: d}"),
        [
            "7:1: sinks.forecasts: standard output, the default, cannot take part in exactly_once \
             (write forecasts: { file: { path: out/ } }, or delivery: at_least_once)",
            "7:9: sinks.scores: standard output cannot take part in exactly_once \
             (write scores: { file: { path: out/ } }, or delivery: at_least_once)",
        ]
    );
    let stdin = "1:17: source.file.path: standard input cannot take part in exactly_once: it cannot be read again \
                 (save it in a file first, or delivery: at_least_once)";
    assert_eq!(exactly_once(STDIN, TOPICS, ""), [stdin]);
    assert_eq!(
        exactly_once(STDIN, DIRS, "{dir: d}"),
        [stdin, "8:1: state: standard input cannot be read again from a saved position"]
    );
}

#[test]
fn a_missing_state_is_told_at_the_delivery() {
    let missing = |state: &str| {
        let message = "6:1: delivery: exactly_once needs a state to go on from";
        format!("{message} (add {state}, or delivery: at_least_once)")
    };
    let in_topic = "state: { kafka: { brokers: \"localhost:9092\", topic: weather.state } }";
    for source in [FILE, GENERATED] {
        assert_eq!(exactly_once(source, DIRS, ""), [missing("state: { dir: state/weather }")]);
        assert_eq!(exactly_once(source, TOPICS, ""), [missing(in_topic)]);
    }
    let found = exactly_once(FILE, "", "");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], missing("state: { dir: state/weather }"));
}

#[test]
fn a_mixed_pair_is_told_at_the_state() {
    assert_eq!(
        exactly_once(KAFKA, TOPICS, "{dir: d}"),
        ["8:1: state: a directory cannot take part in exactly_once beside the topic of source \
          (write state: { kafka: { topic: weather.state } }, or delivery: at_least_once)"]
    );
    assert_eq!(
        exactly_once(GENERATED, TOPICS, "{dir: d}"),
        ["8:1: state: a directory cannot take part in exactly_once beside the topic of sinks.forecasts \
          (write state: { kafka: { brokers: \"localhost:9092\", topic: weather.state } }, or delivery: at_least_once)"]
    );
    for source in [KAFKA, FILE] {
        assert_eq!(
            exactly_once(source, DIRS, "{kafka: {topic: k}}"),
            ["8:1: state: a topic cannot take part in exactly_once beside the directory of sinks.forecasts \
              (write state: { dir: state/weather }, or delivery: at_least_once)"]
        );
    }
}

#[test]
fn a_sink_that_is_unlike_the_others_is_told_so() {
    let mixed = TOPICS.replace("{kafka: {topic: s}}", "{file: {path: out}}");
    let scores = "7:41: sinks.scores: a directory cannot take part in exactly_once beside the topic of source \
                  (write scores: { kafka: { topic: weather.scores } }, or delivery: at_least_once)";
    for state in ["", "{kafka: {topic: k}}"] {
        assert_eq!(exactly_once(KAFKA, &mixed, state), [scores]);
    }
    // A state in a directory is not alone there: it is the topics that do not fit.
    let topics = ["7:9: sinks.forecasts", "7:70: sinks.rejects"].map(|place| {
        let stream = place.rsplit('.').next().unwrap();
        format!(
            "{place}: a topic cannot take part in exactly_once beside the directory of state \
             (write {stream}: {{ file: {{ path: out/ }} }}, or delivery: at_least_once)"
        )
    });
    assert_eq!(exactly_once(FILE, &mixed, "{dir: d}"), topics);
}

#[test]
fn a_commit_is_within_one_cluster() {
    let elsewhere = |place: &str, own: &str, brokers: &str, owner: &str| {
        format!(
            "{place}: \"{own}\" cannot take part in exactly_once with \"{brokers}\" of {owner}: a commit is within one \
             cluster (write brokers: \"{brokers}\", or delivery: at_least_once)"
        )
    };
    let scores = TOPICS.replace("{topic: s}", "{topic: s, brokers: 'b:1'}");
    let scores_path = "7:68: sinks.scores.kafka.brokers";
    let local = "localhost:9092";
    let of_source = elsewhere(scores_path, "b:1", local, "source");
    assert_eq!(exactly_once(KAFKA, &scores, ""), std::slice::from_ref(&of_source));
    assert_eq!(
        exactly_once(KAFKA, &scores, "{kafka: {topic: k, brokers: 'b:1'}}"),
        [of_source, elsewhere("8:27: state.kafka.brokers", "b:1", local, "source")]
    );
    assert_eq!(
        exactly_once(GENERATED, &scores, "{kafka: {topic: k}}"),
        [elsewhere(scores_path, "b:1", local, "state")]
    );
    let all = TOPICS.replace("topic:", "brokers: 'b:1', topic:");
    assert_eq!(
        exactly_once(FILE, &all, "{kafka: {topic: k}}"),
        [elsewhere("8:9: state.kafka.brokers", local, "b:1", "sinks.forecasts")]
    );
    assert_eq!(exactly_once(FILE, &all, "{kafka: {topic: k, brokers: 'b:1'}}"), [""; 0]);
}

#[test]
fn an_end_with_a_fault_is_not_judged_too() {
    assert_eq!(
        exactly_once(
            KAFKA,
            "sinks: {forecasts: parquet, scores: {kafka: {topic: s}}}\n",
            "{dir: 1x, kfka: 2}"
        )
        .iter()
        .map(|fault| fault.split(": ").nth(1).unwrap())
        .collect::<Vec<_>>(),
        ["sinks.forecasts", "state.kfka"]
    );
    assert_eq!(exactly_once(FILE, DIRS, "{}"), ["8:1: state: needs one of dir, kafka"]);
    assert_eq!(exactly_once("{}", "", ""), ["1:1: source: needs one of kafka, file, http, mqtt, generate"]);
    let named = with_sets(&from(KAFKA, TOPICS), &["name=a=b"]).unwrap_err();
    assert_eq!(named.0.len(), 1, "{named}");
}

#[test]
fn the_state_topic_is_nobody_elses() {
    let state = |block: &str| faults(&from(KAFKA, &format!("{TOPICS}state: {{kafka: {block}}}\n")));
    assert_eq!(
        state("{topic: t}"),
        ["7:17: state.kafka.topic: is the source's topic: the pipeline would read what it writes"]
    );
    assert_eq!(
        state("{topic: s}"),
        [
            "7:17: state.kafka.topic: s is the topic of sinks.scores already (the state needs a topic of its own)"
        ]
    );
    assert_eq!(state("{topic: s, brokers: 'b:1'}"), [""; 0]);
    assert_eq!(
        state("{topic: k, group: g, start: latest}"),
        [
            "7:27: state.kafka.group: belongs to a source, not to the state",
            "7:37: state.kafka.start: belongs to a source, not to the state",
        ]
    );
    assert_eq!(state("{}"), ["7:9: state.kafka.topic: missing (the name of the topic)"]);
    let by_default = TOPICS.replace("topic: s", "topic: weather.state");
    assert_eq!(
        faults(&from(KAFKA, &by_default)),
        [
            "1:1: state.kafka.topic: weather.state is the topic of sinks.scores already (the state needs a topic of its own)"
        ]
    );
    assert_eq!(
        faults(&from("{kafka: {topic: weather.state}}", TOPICS)),
        ["1:1: state.kafka.topic: is the source's topic: the pipeline would read what it writes"]
    );
}

#[test]
fn sinks_and_state_inherit_only_what_a_client_that_writes_has() {
    let source = "{kafka: {topic: t, properties: {security.protocol: SSL, group.instance.id: a, group.protocol: consumer, \
                  fetch.min.bytes: 9, session.timeout.ms: 9000, heartbeat.interval.ms: 1, max.poll.interval.ms: 9000, \
                  group.remote.assignor: uniform, queued.min.messages: 1, sasl.username: me, client.rack: r}}}";
    let plan = plan(&from(source, TOPICS));
    let SourceSpec::Kafka(kafka) = &plan.source else { panic!("not Kafka") };
    assert_eq!(kafka.client.properties.len(), 11);
    let written: Vec<_> = plan.ends().topics_written().collect();
    let names: Vec<(&str, &str)> =
        written.iter().map(|(end, to)| (end.as_str(), to.topic.as_str())).collect();
    let expected =
        [("sinks.forecasts", "f"), ("sinks.scores", "s"), ("sinks.rejects", "r"), ("state", "weather.state")];
    assert_eq!(names, expected);
    for (end, topic) in written {
        let names: Vec<&str> = topic.client.properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["security.protocol", "sasl.username", "client.rack"], "{end}");
    }
    // What is written in place is taken as it is, and the way into the same cluster stays.
    let names = |block: &str| -> Vec<String> {
        plan_of_state(source, block).properties.into_iter().map(|(name, _)| name).collect()
    };
    let way = ["security.protocol", "sasl.username", "linger.ms"];
    assert_eq!(names("{topic: k, properties: {linger.ms: 0}}"), way);
    assert_eq!(names("{topic: k, brokers: other, properties: {linger.ms: 0}}"), ["linger.ms"]);
    assert_eq!(names("{topic: k, properties: {security.protocol: PLAINTEXT}}"), ["security.protocol"]);
}

#[test]
fn a_secret_file_is_kept_by_its_place_and_other_files_are_found_from_the_pipeline_file() {
    let dir = tempfile::tempdir().unwrap();
    let [secret, ca] = ["secret", "ca.pem"].map(|name| dir.path().join(name));
    fs::write(&secret, "hunter2\n").unwrap();
    fs::write(&ca, "").unwrap();
    let properties = |ca: &str| {
        let lines = format!("sasl.password_file: '{}', ssl.ca.location: '{ca}'", secret.display());
        from(&format!("{{kafka: {{topic: t, properties: {{{lines}}}}}}}"), TOPICS)
    };
    let found = plan(&properties(&ca.display().to_string()));
    for (end, topic) in found.ends().topics_written() {
        let client = &topic.client;
        assert_eq!(client.property("sasl.password"), Some("hunter2"), "{end}");
        let [(name, file)] = client.secret_files.as_slice() else { panic!("{client:?}") };
        assert_eq!((name.as_str(), file.read().unwrap().as_str()), ("sasl.password", "hunter2"));
    }
    assert!(!format!("{found:?}").contains("hunter2"));

    let found = faults(&properties("no/ca.pem"));
    let refused = "source.kafka.properties.ssl.ca.location: its file cannot be read: entity not found";
    assert!(found.iter().any(|fault| fault.contains(refused)), "{found:?}");
    let probe = plan(&properties("probe"));
    let SourceSpec::Kafka(kafka) = &probe.source else { panic!("not Kafka") };
    assert_eq!(kafka.client.property("ssl.ca.location"), Some("probe"));
}

fn plan_of_state(source: &str, block: &str) -> KafkaClientSpec {
    match plan(&from(source, &format!("{TOPICS}state: {{kafka: {block}}}\n"))).state {
        Some(StateSpec::Kafka(topic)) => topic.client,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_commit_needs_is_not_a_property_to_set() {
    let good =
        "{topic: k, properties: {acks: all, enable.idempotence: true, isolation.level: read_committed}}";
    assert_eq!(plan_of_state(KAFKA, good).properties.len(), 3);
    for property in ["transactional.id", "enable.idempotence", "isolation.level", "statistics.interval.ms"] {
        for state in ["{topic: k, properties: {PROPERTY: x}}", "{topic: k, properties: {PROPERTY_file: x}}"] {
            let block = state.replace("PROPERTY", property);
            let found = faults(&from(KAFKA, &format!("{TOPICS}state: {{kafka: {block}}}\n")));
            let refused = |fault: &String| fault.contains("not a property to set (tickcast ");
            assert!(found.iter().any(refused), "{found:?}");
        }
    }
}
