//! Kafka in and Kafka out, on a real broker: what the records of one topic become on others, and
//! what happens when the broker, a topic, some records or an instance is gone. The oracle is a run
//! that reads the same records from a file.

use std::collections::BTreeSet;
use std::sync::Arc;

use tickcast_connect::kafka::partition_count;
use tickcast_stream::PartitionId;

use super::rejects::{broken, good};
use crate::support::broker::{brokers_or_skip, private_or_skip};
use crate::support::kafka::{committed, count, create_topic, delete_topic, produce, values};
use crate::support::pipeline::{self, Runner, TestPipeline};
use crate::support::process::{Instance, StartFrom, get, is_ready, is_waiting_for, text, tickcast};
use crate::support::readings::{
    AN_HOUR, PARTITIONS, bench, closed, from_file, make_topics, readings, run_until,
};
use crate::support::wait::wait_till;

/// Sends the readings of these hours to every partition of the pipeline's topic.
fn feed(addr: &str, id: &str, partitions: i32, hours: std::ops::Range<usize>) {
    for partition in (0..partitions).map(PartitionId) {
        let readings = readings(partition, hours.end as i64);
        let new = readings[hours.start * AN_HOUR..].iter().map(String::as_bytes);
        produce(addr, &format!("{id}.in"), partition, new);
    }
}

/// The binary itself, serving on a port it chose.
fn start(bench: &TestPipeline, name: &str) -> (Instance, String) {
    let instance = Instance::start(&bench.file(), &bench.path(name), &StartFrom::serving());
    let http = instance.http();
    (instance, http)
}

#[test]
fn every_record_gives_its_windows_forecasts_on_its_own_partition_across_a_restart() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "roundtrip";
    make_topics(addr, id, PARTITIONS);
    let bench = bench(addr, id);
    let topic = |stream: &str| format!("{id}.{stream}");
    let all_of = |hours: usize| closed(hours) * PARTITIONS as usize;

    feed(addr, id, PARTITIONS, 0..30);
    run_until(&bench, || count(addr, &topic("forecasts"), PARTITIONS) >= all_of(30));
    feed(addr, id, PARTITIONS, 30..60);
    run_until(&bench, || count(addr, &topic("forecasts"), PARTITIONS) >= all_of(60));

    for stream in ["forecasts", "scores"] {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let sent = committed(addr, &topic(stream), partition);
            assert!(
                sent.iter().map(|sent| sent.text()).eq(&from_file(partition, 60)[stream]),
                "{stream} {partition}"
            );
            let prefix = format!("p{partition}s");
            assert!(sent.iter().all(|sent| sent.key.as_ref().unwrap().starts_with(prefix.as_bytes())));
        }
        let query = format!("SELECT count(*) AS n FROM {stream}");
        let sql = tickcast("sql", &bench.file(), &[&query, "--format", "csv"]);
        let expected = format!("n\n{}\n", count(addr, &topic(stream), PARTITIONS));
        assert_eq!(text(&sql.stdout), expected, "{}", text(&sql.stderr));
    }
}

/// Found by: this test. A record of nearly 1 MiB could not leave as a reject under Kafka's default
/// limits.
#[test]
fn broken_records_come_out_with_reason_and_offset_in_their_headers() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "broken";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let topic = format!("{id}.in");
    let goods: Vec<Vec<u8>> = (0..3).map(good).collect();
    let mut bad = broken();
    // The largest one here leaves room for the reason under Kafka's own limit on a record.
    for (value, _) in bad.iter_mut().filter(|(_, reason)| *reason == "too_large") {
        value.truncate(980_000);
    }
    bad.push((br#"{"k":"a","t":"2199-01-01T00:00:00Z","v":1}"#.to_vec(), "future"));
    produce(addr, &topic, PartitionId(0), goods.iter().map(Vec::as_slice));
    produce(addr, &topic, PartitionId(0), bad.iter().map(|(value, _)| value.as_slice()));
    produce(addr, &topic, PartitionId(0), [good(3).as_slice()]);

    let rejects = || committed(addr, &format!("{id}.rejects"), PartitionId(0));
    let forecasts = || count(addr, &format!("{id}.forecasts"), 1);
    run_until(&bench, || rejects().len() >= bad.len() && forecasts() >= 6);
    let rejects = rejects();
    assert_eq!((rejects.len(), forecasts()), (bad.len(), 6));
    for (index, (reject, (value, reason))) in rejects.iter().zip(&bad).enumerate() {
        let headers = reject.named();
        assert_eq!(headers["reason"], *reason);
        assert!(reject.value == *value);
        assert_eq!((headers["offset"], headers["topic"]), ((3 + index).to_string().as_str(), topic.as_str()));
        assert_eq!(headers["partition"], "0");
    }
}

#[test]
fn an_unreachable_broker_is_waited_for_and_ready_says_why() {
    let Some(mut broker) = private_or_skip() else { return };
    let addr = broker.addr().to_owned();
    let bench = bench(&addr, "away");
    create_topic(&addr, "away.in", 1);
    broker.kill();
    let (_running, http) = start(&bench, "log");
    wait_till("503 with a reason", || is_waiting_for(&http, &addr));
    assert!(get(&http, "/health").starts_with("HTTP/1.1 200"));

    broker.restart();
    wait_till("200", || is_ready(&http));
    // The sinks' topics were made with the source's partition count.
    feed(&addr, "away", 1, 0..5);
    wait_till("the forecasts", || count(&addr, "away.forecasts", 1) >= closed(5));
}

#[test]
fn a_killed_consumer_goes_on_from_its_snapshot_and_loses_nothing() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "killed";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let topic = format!("{id}.forecasts");
    for part in 0..4 {
        feed(addr, id, 1, part * 50..part * 50 + 50);
        let before = count(addr, &topic, 1);
        let (running, http) = start(&bench, &format!("log{part}"));
        wait_till("more forecasts", || count(addr, &topic, 1) > before + 50);
        wait_till("a snapshot", || bench.has_snapshot());
        let metrics = get(&http, "/metrics");
        let restored = metrics.contains("tickcast_restore_seconds_count{pipeline=\"killed\"} 1");
        assert_eq!(restored, before > 0, "it goes on from its snapshot, when there is one");
        drop(running);
    }

    // At least once: what came after the last snapshot came twice.
    let distinct = || values(addr, &topic, PartitionId(0)).into_iter().collect::<BTreeSet<String>>();
    run_until(&bench, || distinct().len() >= closed(200));
    let expected: BTreeSet<String> = from_file(PartitionId(0), 200)["forecasts"].iter().cloned().collect();
    assert!(distinct() == expected, "{} forecasts, undisturbed {}", distinct().len(), expected.len());
}

#[test]
fn a_topic_made_anew_is_no_place_to_go_on() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "anew";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let topic = format!("{id}.in");
    feed(addr, id, 1, 0..5);
    run_until(&bench, || count(addr, &format!("{id}.forecasts"), 1) >= closed(5));

    delete_topic(addr, &topic);
    let client = bench.kafka().client;
    wait_till("the topic's end", || partition_count(&client, &topic).is_ok_and(|count| count.is_none()));
    create_topic(addr, &topic, 1);
    let (stop, progress) = (Arc::default(), Arc::new(|_| ()));
    let error = pipeline::run(&bench.load(), Runner::Threads(1), 50, stop, progress).unwrap_err();
    assert!(error.to_string().contains("made anew"), "{error}");
}

#[test]
fn two_instances_share_the_partitions_and_one_goes_on_when_the_other_is_killed() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "group";
    make_topics(addr, id, PARTITIONS);
    let bench = bench(addr, id);
    // A rebalance may write some twice: without transactions nothing keeps it.
    let distinct = || -> BTreeSet<String> {
        (0..PARTITIONS)
            .map(PartitionId)
            .flat_map(|partition| values(addr, &format!("{id}.forecasts"), partition))
            .collect()
    };
    let all_of = |hours: usize| closed(hours) * PARTITIONS as usize;

    feed(addr, id, PARTITIONS, 0..20);
    let (_first, _) = start(&bench, "first");
    wait_till("the first instance's forecasts", || distinct().len() >= all_of(20));
    let (second, http) = start(&bench, "second");
    wait_till("the second instance", || is_ready(&http));
    feed(addr, id, PARTITIONS, 20..40);
    wait_till("both instances' forecasts", || distinct().len() >= all_of(40));
    let received = "tickcast_records_received_total{";
    assert!(get(&http, "/metrics").contains(received), "the second instance had no share");

    drop(second);
    feed(addr, id, PARTITIONS, 40..60);
    wait_till("the rest", || distinct().len() >= all_of(60));
    let expected: BTreeSet<String> = (0..PARTITIONS)
        .map(PartitionId)
        .flat_map(|partition| from_file(partition, 60)["forecasts"].clone())
        .collect();
    assert!(distinct() == expected, "{} forecasts, undisturbed {}", distinct().len(), expected.len());
}

/// Found by: this test. `/ready` did not see the end of an outage while nothing was produced.
#[test]
fn an_outage_in_mid_run_is_waited_out_and_ready_says_so() {
    let Some(mut broker) = private_or_skip() else { return };
    let addr = broker.addr().to_owned();
    let id = "outage";
    make_topics(&addr, id, 1);
    let bench = bench(&addr, id);
    let forecasts = || count(&addr, "outage.forecasts", 1);
    feed(&addr, id, 1, 0..20);
    let (_running, http) = start(&bench, "log");
    wait_till("forecasts", || forecasts() >= closed(20));
    assert!(is_ready(&http));

    broker.kill();
    wait_till("503", || is_waiting_for(&http, ""));
    broker.restart();
    // Nothing is produced yet: that brokers answer again is enough.
    wait_till("200", || is_ready(&http));
    feed(&addr, id, 1, 20..40);
    wait_till("the other forecasts", || forecasts() >= closed(40));
    assert_eq!(values(&addr, "outage.forecasts", PartitionId(0)), from_file(PartitionId(0), 40)["forecasts"]);
}

#[test]
fn sink_topics_are_made_with_the_sources_partitions_and_a_mismatch_is_named() {
    let Some(addr) = brokers_or_skip() else { return };
    let run = |partitions: usize| {
        let bench = TestPipeline::new(&format!(
            "name: made\nsource: {{ generate: {{ series: 6, ticks: 2000, process: weather, partitions: {partitions} }} }}\n\
             window: {{ tumbling: 1h, select: {{ temp: avg(temp) }} }}\nforecast: {{ target: temp, model: {{ hidden: 2 }} }}\n\
             sinks: {{ forecasts: {{ kafka: {{ brokers: \"{addr}\", topic: made.forecasts }} }} }}\n"
        ));
        tickcast("run", &bench.file(), &[])
    };
    let made = run(2);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!((0..2).all(|partition| !values(addr, "made.forecasts", PartitionId(partition)).is_empty()));

    let refused = run(3);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = text(&refused.stderr);
    assert!(stderr.contains("made.forecasts has 2 partitions, the source has 3"), "{stderr}");
}
