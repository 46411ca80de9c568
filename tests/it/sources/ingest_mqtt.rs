//! Messages of a real MQTT broker, to the binary: acknowledged when they are durable. The file must
//! not know how the client speaks.

use std::net::TcpListener;

use tickcast_stream::PartitionId;

use crate::sources::ingest_http::{journal, numbers};
use crate::support::broker::brokers_or_skip;
use crate::support::certificates::Authority;
use crate::support::kafka::{committed, count};
use crate::support::mosquitto::{Mosquitto, mosquitto_or_skip};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{Instance, StartFrom, get, is_ready, is_waiting_for};
use crate::support::wait::wait_till;

fn pipeline(source: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: sent
source: {{ mqtt: {{ topics: [\"plant/+/temp\"], {source} }} }}
key: $key
time: t
window: {{ tumbling: 10s, lateness: 60s, select: {{ x: avg(v), n: count(*) }} }}
forecast: {{ target: x, horizons: [1], model: {{ cell: gru, hidden: 4, bptt: 12, replay: 1 }} }}
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<String> {
    let line = |n: u64| format!(r#"{{"t":{},"v":{},"n":{n}}}"#, 1_704_067_200 + n, n % 11);
    numbers.map(line).collect()
}

fn start(bench: &TestPipeline) -> Instance {
    Instance::start(&bench.file(), &bench.path("log"), &StartFrom::serving())
}

fn subscribed(instance: &Instance, times: usize) {
    wait_till("the subscription", || instance.said().matches("subscribed").count() >= times);
}

fn stored(bench: &TestPipeline) -> usize {
    if bench.path("journal/sent").is_dir() { numbers(&journal(&bench.path("journal/sent"))).len() } else { 0 }
}

/// A subscriber that is killed again and again amid messages, one that is away, and a broker that is
/// killed: each message is there.
#[test]
fn ingest_mqtt_loses_no_message_by_kills_of_the_pipeline_and_of_the_broker() {
    for version in ["5", "3.1.1"] {
        let Some(mut broker) = mosquitto_or_skip("allow_anonymous true") else { return };
        let bench = pipeline(&format!("broker: \"{}\", version: \"{version}\"", broker.address()));
        let mut instance = start(&bench);
        subscribed(&instance, 1);
        for part in 0..3 {
            let publish = |broker: &Mosquitto| {
                broker.publish("plant/a/temp", &[], &lines(part * 1000..part * 1000 + 700));
            };
            std::thread::scope(|scope| {
                let sending = scope.spawn(|| publish(&broker));
                wait_till("some messages", || stored(&bench) as u64 > part * 1000 + 20);
                instance.kill();
                sending.join().unwrap();
            });
            // While nobody is there.
            broker.publish("plant/b/temp", &[], &lines(part * 1000 + 700..part * 1000 + 1000));
            instance = start(&bench);
            wait_till("what came meanwhile", || stored(&bench) as u64 == (part + 1) * 1000);
        }

        let before = instance.said().matches("subscribed").count();
        broker.kill();
        wait_till("word of the broker", || instance.said().contains("no messages are taken"));
        broker.start();
        subscribed(&instance, before + 1);
        broker.publish("plant/a/temp", &[], &lines(3000..3100));
        wait_till("messages of the new broker", || stored(&bench) == 3100);
        let http = instance.http();
        wait_till("that it is ready", || is_ready(&http));
        instance.stop();
        assert!(!bench.out().is_empty(), "{version}");

        let records = journal(&bench.path("journal/sent"));
        println!("{version}: {} records of 3100 messages", records.len());
        let topics = records.iter().map(|record| record.key.clone().unwrap());
        assert!(topics.into_iter().all(|topic| topic == "plant/a/temp" || topic == "plant/b/temp"));
    }
}

#[test]
fn ingest_mqtt_takes_properties_as_headers_and_a_message_that_is_too_large_is_a_reject() {
    let Some(broker) = mosquitto_or_skip("allow_anonymous true") else { return };
    let bench = pipeline(&format!("broker: \"{}\"", broker.address()));
    let mut instance = start(&bench);
    let http = instance.http();
    subscribed(&instance, 1);
    let more = ["-V", "5", "-D", "publish", "user-property", "unit", "°C"];
    broker.publish("plant/a/temp", &more, &lines(0..1));
    let large = broker.write("large", &"x".repeat(10 << 20));
    broker.publish_file("plant/a/temp", &large);
    broker.publish("plant/a/temp", &[], &lines(1..2));
    broker.publish("other/a/temp", &[], &lines(2..3));
    wait_till("the reject", || {
        get(&http, "/metrics").lines().any(|line| line.contains("\"too_large\"") && line.ends_with(" 1"))
    });
    wait_till("what came behind it", || journal(&bench.path("journal/sent")).len() == 3);
    instance.stop();
    let records = journal(&bench.path("journal/sent"));
    assert_eq!(records[0].headers[0].name, "unit");
    assert_eq!(records[0].headers[0].value.as_deref(), Some("°C".as_bytes()));
    assert_eq!((records[1].cut_from, records[2].cut_from), (Some(10 << 20), None));
}

/// Why a pipeline with this source waits.
fn waits_for(source: &str, reason: &str) {
    let bench = pipeline(source);
    bench.write("password", "wr0ng");
    let mut instance = start(&bench);
    let http = instance.http();
    wait_till(reason, || {
        instance.lives();
        is_waiting_for(&http, reason)
    });
    instance.stop();
    assert!(!instance.said().contains("wr0ng"));
}

#[test]
fn ingest_mqtt_names_the_cause_where_nothing_can_be_taken() {
    let Some(broker) = mosquitto_or_skip("allow_anonymous false\npassword_file DIR/users\n") else { return };
    let secret = format!("broker: \"{}\", username: u, password_file: password", broker.address());
    for version in ["5", "3.1.1"] {
        let source = format!("{secret}, version: \"{version}\"");
        waits_for(&source, "not authorized");
    }
    drop(broker);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    waits_for(&format!("broker: \"{free}\""), "cannot be reached: Connection refused");
    waits_for("broker: \"mqtt://nowhere.invalid\"", "cannot be reached: its name is not known");
    let Some(broker) = mosquitto_or_skip("allow_anonymous true\nmax_qos 0\n") else { return };
    waits_for(&format!("broker: \"{}\"", broker.address()), "gives only quality of service 0");
    waits_for(&format!("broker: \"mqtts://{}\"", broker.address()), "no TLS with it");
}

#[test]
fn ingest_mqtt_by_tls_believes_only_who_it_is_to_believe() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let identity = ours.issue("broker", Some("127.0.0.1"), 2);
    let settings = "allow_anonymous true\ncafile DIR/ca\ncertfile DIR/certificate\nkeyfile DIR/key\n";
    let files = [("ca", ours.pem()), ("certificate", identity.certificate), ("key", identity.key)];
    let Some(broker) = Mosquitto::with_files(settings, &files) else { return };
    let source = format!("broker: \"mqtts://{}\", ca_file: ca", broker.address());
    let bench = pipeline(&source);
    bench.write("ca", other.pem());
    let mut instance = start(&bench);
    let http = instance.http();
    wait_till("a refusal", || is_waiting_for(&http, "its certificate is not believed"));
    // The file is read at each connection.
    bench.write("ca", ours.pem());
    wait_till("that it is ready", || is_ready(&http));
    subscribed(&instance, 1);
    instance.stop();
}

/// The log is a topic: the MQTT topic is the record's key there too.
#[test]
fn ingest_mqtt_into_a_topic_of_kafka() {
    let Some(addr) = brokers_or_skip() else { return };
    let Some(broker) = mosquitto_or_skip("allow_anonymous true") else { return };
    let into = format!("into: {{ kafka: {{ brokers: \"{addr}\", topic: sent.in, start: earliest }} }}");
    let bench = pipeline(&format!("broker: \"{}\", {into}", broker.address()));
    let mut instance = start(&bench);
    subscribed(&instance, 1);
    broker.publish("plant/a/temp", &[], &lines(0..300));
    wait_till("the messages", || count(addr, "sent.in", 1) == 300);
    assert_eq!(committed(addr, "sent.in", PartitionId(0))[0].key.as_deref(), Some(&b"plant/a/temp"[..]));
    instance.stop();
}
