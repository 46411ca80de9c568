//! Sources that records are pushed to: what the keys become, and the faults of each.
//! It must not test how records come in.

use tickcast_connect::ingest::{HttpIngestSpec, IngestLogSpec, IngestSpec, IngestWay};
use tickcast_connect::mqtt::{MqttSpec, MqttVersion};

use super::*;

fn with_source(source: &str, more: &str) -> String {
    let rest = "window: {tumbling: 1h}\nforecast: {target: temp}";
    format!("name: w\nsource: {source}\nkey: station\ntime: t\n{rest}\n{more}\n")
}

fn http(keys: &str) -> String {
    with_source(&format!("{{http: {{{keys}}}}}"), "serve: {http: '127.0.0.1:8088'}")
}

fn mqtt(keys: &str) -> String {
    with_source(&format!("{{mqtt: {{{keys}}}}}"), "")
}

/// What is wrong, without the places.
fn wrong(text: &str) -> Vec<String> {
    faults(text).into_iter().map(|fault| fault.splitn(3, ':').nth(2).unwrap().trim().to_owned()).collect()
}

fn posted(text: &str) -> (HttpIngestSpec, IngestLogSpec) {
    let Some(IngestSpec { way: IngestWay::Http(http), log }) = plan(text).ingest else { panic!("no http") };
    (http, log)
}

fn sent(text: &str) -> MqttSpec {
    let Some(IngestSpec { way: IngestWay::Mqtt(mqtt), .. }) = plan(text).ingest else { panic!("no mqtt") };
    mqtt
}

#[test]
fn a_path_is_enough_and_the_pipeline_reads_what_is_written() {
    let text = http("path: /ingest/w");
    let (spec, log) = posted(&text);
    assert_eq!((spec.path.as_str(), spec.listen, spec.body_bytes_max), ("/ingest/w", None, 8 << 20));
    assert!(spec.token.is_none() && !spec.is_open && spec.key_columns.is_empty());
    let (IngestLogSpec::Journal(written), SourceSpec::Journal(read)) = (log, plan(&text).source) else {
        panic!("no journal")
    };
    assert_eq!(written.dir, Path::new("/base/journal/w"));
    assert_eq!((read.dir, read.keep.as_secs()), (written.dir, 7 * 86_400));
    assert!(matches!(plan(&text).state, Some(StateSpec::Dir(dir)) if dir == Path::new("/base/state/w")));

    let (spec, log) = posted(&http("path: /a/b, listen: '[::1]:9', journal: j, keep: 0s, body_bytes: 2000"));
    assert_eq!((spec.listen.unwrap().port(), spec.body_bytes_max), (9, 2000));
    assert!(matches!(log, IngestLogSpec::Journal(journal) if journal.dir == Path::new("/base/j")));
    let files = "sinks: {forecasts: {file: {path: out}}}";
    let source = "{http: {path: /ingest/w, listen: '127.0.0.1:1'}}";
    assert_eq!(plan(&with_source(source, files)).delivery, Delivery::ExactlyOnce);
}

#[test]
fn into_a_topic_it_is_read_as_a_topic() {
    let text =
        http("path: /ingest/w, into: {kafka: {brokers: 'b:1', topic: in, properties: {fetch.min.bytes: 9}}}");
    let (spec, log) = posted(&text);
    let (IngestLogSpec::Kafka(written), SourceSpec::Kafka(read)) = (log, plan(&text).source) else {
        panic!("no topic")
    };
    assert_eq!((written.topic.as_str(), written.client.brokers.as_str()), ("in", "b:1"));
    assert!(written.client.properties.is_empty(), "those of a consumer are not a producer's");
    assert_eq!((read.topic.as_str(), read.group.as_str()), ("in", "w"));
    assert_eq!(spec.key_columns, ["station"]);
    assert_eq!(
        wrong(&http("path: /i/w, journal: j, into: {kafka: {topic: t}}")),
        ["source.http.journal: belongs to a journal; into is there already"]
    );
    assert_eq!(
        wrong(&http("path: /i/w, into: {}"))[..1],
        ["source.http.into.kafka: missing (the topic that keeps the records)"]
    );
}

#[test]
fn faults_of_http_name_the_key_and_what_to_write() {
    let help = "(a path like /ingest/w)";
    for path in ["ingest", "/", "/metrics", "/ingest", "/a//b", "/a/../b", "/a?b", "/{a}", "/api/x"] {
        let expected = format!("source.http.path: \"{path}\" cannot be the path {help}");
        assert_eq!(wrong(&http(&format!("path: '{path}'"))), [expected]);
    }
    assert_eq!(wrong(&http("")), [format!("source.http.path: missing {help}")]);
    assert_eq!(
        wrong(&http("path: /i/w, listen: here")),
        ["source.http.listen: \"here\" is no address (write it like 127.0.0.1:8090)"]
    );
    assert_eq!(
        wrong(&http("path: /i/w, listen: '127.0.0.1:8088'")),
        ["source.http.listen: is the address of serve.http (leave listen out: that is the default)"]
    );
    assert_eq!(
        wrong(&http("path: /i/w, listen: '0.0.0.0:1'")),
        ["source.http.listen: \"0.0.0.0:1\" takes records from other machines without a token (add \
         source.http.token_file, or open: true to allow it)"]
    );
    assert!(posted(&http("path: /i/w, listen: '0.0.0.0:1', open: true")).0.is_open);
    assert_eq!(
        wrong(&http("path: /i/w, token_file: nowhere")),
        ["source.http.token_file: its file cannot be read: entity not found"]
    );
    assert_eq!(
        wrong(&with_source("{http: {path: /i/w}}", "")),
        ["source.http: needs an address (add listen: 127.0.0.1:8090, or serve.http)"]
    );
    assert_eq!(
        wrong(&http("path: /i/w, tokenfile: x")),
        ["source.http.tokenfile: unknown key; did you mean \"token_file\"?"]
    );
    assert!(wrong(&http("path: /i/w, body_bytes: 5"))[0].starts_with("source.http.body_bytes"));
    let csv = with_source("{http: {path: /i/w}, format: csv}", "serve: {http: '127.0.0.1:1'}");
    assert!(wrong(&csv)[0].contains("csv messages carry no column names"));
}

#[test]
fn a_broker_and_topics_are_enough() {
    let spec = sent(&mqtt("broker: b, topics: a/+"));
    assert_eq!((spec.host.as_str(), spec.port, spec.has_tls), ("b", 1883, false));
    assert_eq!((&spec.topics[..], spec.client_id.as_str()), (&["a/+".to_owned()][..], "tickcast-w"));
    assert_eq!(spec.version, MqttVersion::V5);
    for (broker, host, port, has_tls) in [
        ("h:7", "h", 7, false),
        ("mqtt://h", "h", 1883, false),
        ("tcp://h:1/", "h", 1, false),
        ("mqtts://h.example", "h.example", 8883, true),
        ("ssl://[::1]:9", "::1", 9, true),
    ] {
        let spec = sent(&mqtt(&format!("broker: '{broker}', topics: [a, 'b/#'], qos: 1, version: 3.1.1")));
        assert_eq!((spec.host.as_str(), spec.port, spec.has_tls), (host, port, has_tls), "{broker}");
        assert_eq!(spec.version, MqttVersion::V311);
    }
}

#[test]
fn faults_of_mqtt_name_the_key_and_what_to_write() {
    for broker in ["http://h", "h:x", "h:0", "mqtt://", "a b", "[::1"] {
        let expected = format!(
            "source.mqtt.broker: \"{broker}\" is no broker (write it like localhost:1883, or mqtts://host:8883)"
        );
        assert_eq!(wrong(&mqtt(&format!("broker: '{broker}', topics: a"))), [expected]);
    }
    for topic in ["a/#/b", "a+", "#a", ""] {
        let found = wrong(&mqtt(&format!("broker: h, topics: ['{topic}']")));
        assert!(found[0].starts_with(&format!("source.mqtt.topics: \"{topic}\" is no topic")), "{found:?}");
    }
    let one = |keys: &str| wrong(&mqtt(&format!("broker: h, topics: a, {keys}"))).join("\n");
    assert!(one("qos: 0").starts_with("source.mqtt.qos: only 1 is taken"));
    assert!(one("qos: 2").starts_with("source.mqtt.qos: only 1 is taken"));
    assert_eq!(one("version: 4"), "source.mqtt.version: \"4\" is no version that is spoken (3.1.1 or 5)");
    assert_eq!(one("ca_file: x"), "source.mqtt.ca_file: the broker is reached without TLS (write mqtts://)");
    assert!(one("password_file: x").contains("source.mqtt.password_file: needs username beside it"));
    assert!(one("client_id: ''").starts_with("source.mqtt.client_id: without a name"));
    assert_eq!(
        wrong(&mqtt("topics: []")),
        [
            "source.mqtt.broker: missing (write it like localhost:1883, or mqtts://host:8883)",
            "source.mqtt.topics: an empty list"
        ]
    );
    let both =
        wrong(&with_source("{mqtt: {broker: h, topics: a}, http: {path: /i/w, listen: '127.0.0.1:1'}}", ""));
    assert_eq!(both, ["source.mqtt: only one of kafka, file, http, mqtt, generate; http is there already"]);
}

/// What the page of docs shows can be copied.
#[test]
fn the_pipelines_of_the_page_are_good() {
    let page = include_str!("../../../docs/pushed.md");
    let blocks = page.split("```yaml\n# ").skip(1).filter_map(|rest| rest.split("```").next());
    let names: Vec<&str> = blocks
        .map(|block| {
            let (name, text) = block.split_once('\n').unwrap();
            assert!(plan(text).ingest.is_some(), "{name}");
            name
        })
        .collect();
    assert_eq!(names, ["http", "mqtt"]);
}
