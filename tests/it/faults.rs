//! One fault each, on a real broker with real processes: what the run says of it, and that every byte is right in the end.
//! It must not know how exactly once is made.

use std::thread::sleep;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tickcast_stream::message::Stream;

use crate::audit::{committed, read_all};
use crate::broker::{brokers_or_skip, create_topic, private_or_skip};
use crate::cli::get;
use crate::instance::{Instance, StartFrom, wait_for};
use crate::rig::{SHORT_SESSION, TestCluster, producer, send};

const SHORT_TRANSACTIONS: &str = "transaction.timeout.ms: 3000";
const PATIENCE: Duration = Duration::from_secs(60);

fn fail_points(points: &str) -> StartFrom {
    StartFrom { fail_points: Some(points.to_owned()), ..StartFrom::default() }
}

fn sets(sets: &[&str]) -> StartFrom {
    StartFrom { sets: sets.iter().map(|&set| set.to_owned()).collect(), ..StartFrom::default() }
}

fn admin(addr: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", addr).create().unwrap()
}

fn is_ready(http: &str) -> bool {
    get(http, "/ready").starts_with("HTTP/1.1 200")
}

/// Runs the pipeline until all of `records` are committed, and ends it in order.
fn finish(rig: &TestCluster, records: u64) {
    let mut instance = rig.start("last", &StartFrom::default());
    rig.await_position(records, &mut [&mut instance]);
    instance.stop();
}

#[test]
fn faults_a_lost_reply_to_a_commit_is_asked_for() {
    let Some(addr) = brokers_or_skip("faults_a_lost_reply") else { return };
    let rig = TestCluster::new(addr, "reply-lost", 2, "", "");
    let start = StartFrom { args: vec!["-v"], ..fail_points("ledger.reply_lost=40%return") };
    let mut instance = rig.start("a", &start);
    for part in 0..10 {
        rig.feed(part * 100, part * 100 + 100);
        rig.await_position((part + 1) * 200, &mut [&mut instance]);
    }
    instance.stop();
    assert!(instance.said().contains("a fail point lost the reply"), "{}", instance.last_words());
    rig.audit().insist(true);
}

#[test]
fn faults_a_transaction_that_timed_out_is_made_again() {
    let Some(addr) = brokers_or_skip("faults_a_transaction_that_timed_out") else { return };
    let rig = TestCluster::new(addr, "timed-out", 1, "", SHORT_TRANSACTIONS);
    for (round, step) in ["drained", "offsets"].into_iter().enumerate() {
        let points = format!("ledger.{step}=3*off->1*sleep(6000)->off");
        let mut instance = rig.start("a", &StartFrom { args: vec!["-v"], ..fail_points(&points) });
        let before = round as u64 * 3000;
        rig.feed(before, before + 1500);
        rig.await_position(before + 1500, &mut [&mut instance]);
        rig.feed(before + 1500, before + 3000);
        rig.await_position(before + 3000, &mut [&mut instance]);
        instance.stop();
        assert!(instance.said().contains("was not made"), "{}", instance.last_words());
    }
    rig.audit().insist(true);
}

#[test]
fn faults_a_torn_snapshot_stops_the_run_and_says_what_is_torn() {
    let Some(addr) = brokers_or_skip("faults_a_torn_snapshot") else { return };
    let rig = TestCluster::new(addr, "torn", 1, "", "");
    rig.feed(0, 2000);
    finish(&rig, 2000);
    let topic = rig.topic("state");
    let writer = producer(addr);
    let put = |bytes: &[u8]| {
        send(&writer, &topic, 0, bytes);
        writer.flush(PATIENCE).unwrap();
    };
    // Rubbish beside it is no reason to stop.
    put(b"rubbish");
    rig.feed(2000, 2100);
    finish(&rig, 2100);
    rig.audit().insist(true);
    let records = read_all(addr, &topic, 0, |record| (record.offset(), record.payload().unwrap().to_vec()));
    let (last, mut chunk) = records.last().expect("a snapshot").clone();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(last + 1)).unwrap();
    block_on(admin(addr).delete_records(&list, &AdminOptions::new())).unwrap();
    let said = rig.start("gone", &StartFrom::default()).fails_within(PATIENCE);
    assert!(said.contains("error: state") && said.contains("is not whole"), "{said}");
    *chunk.last_mut().unwrap() ^= 1;
    put(&chunk);
    let said = rig.start("damaged", &StartFrom::default()).fails_within(PATIENCE);
    assert!(said.contains("error: state") && said.contains("checksum"), "{said}");
    // What is committed stays as it was.
    assert_eq!(rig.position(), Some(2100));
    for (stream, expected) in &rig.undisturbed(0, None).results {
        assert!(committed(addr, &rig.topic(stream.name()), 0) == *expected, "{}", stream.name());
    }
}

#[test]
fn faults_an_orderly_end_under_full_load_is_quick() {
    let Some(addr) = brokers_or_skip("faults_an_orderly_end_under_full_load") else { return };
    let rig = TestCluster::new(addr, "full-load", 4, "", "");
    rig.feed(0, 20_000);
    for _ in 0..2 {
        let before = rig.position().unwrap_or_default() as u64;
        let mut instance = rig.start("a", &StartFrom::default());
        rig.await_position(before + 2000, &mut [&mut instance]);
        instance.stop();
        assert!(rig.position().unwrap() < 80_000, "there was no load left");
    }
    finish(&rig, 80_000);
    rig.audit().insist(true);
}

#[test]
fn faults_a_broker_that_is_away_for_a_while_changes_no_byte() {
    let Some(mut broker) = private_or_skip("faults_a_broker_that_is_away") else { return };
    let rig = TestCluster::new(broker.addr(), "outage", 2, "", "");
    rig.feed(0, 4000);
    let mut instance = rig.start("a", &StartFrom::default());
    rig.await_position(1000, &mut [&mut instance]);
    // Silence, with transactions under way.
    broker.pause();
    sleep(Duration::from_secs(8));
    broker.resume();
    rig.await_position(8000, &mut [&mut instance]);
    // Death, with none under way: a lone node may leave those half ended (ARCHITECTURE.md).
    sleep(Duration::from_secs(1));
    broker.kill();
    sleep(Duration::from_secs(8));
    broker.restart();
    rig.feed(4000, 6000);
    rig.await_position(12_000, &mut [&mut instance]);
    instance.stop();
    rig.audit().insist(true);
}

#[test]
fn faults_a_deleted_sink_topic_is_waited_for_and_said() {
    let Some(addr) = brokers_or_skip("faults_a_deleted_sink_topic") else { return };
    let rig = TestCluster::new(addr, "deleted", 1, "", SHORT_TRANSACTIONS);
    let mut instance = rig.start("a", &sets(&["serve.http=127.0.0.1:0"]));
    let http = instance.http();
    rig.feed(0, 1000);
    rig.await_position(1000, &mut [&mut instance]);
    let topic = rig.topic("scores");
    block_on(admin(addr).delete_topics(&[&topic], &AdminOptions::new())).unwrap();
    rig.feed(1000, 2000);
    wait_for("503 that names the topic", PATIENCE, || {
        assert!(instance.ended().is_none(), "{}", instance.last_words());
        let ready = get(&http, "/ready");
        (ready.starts_with("HTTP/1.1 503") && ready.contains(&topic)).then_some(())
    });
    assert!(instance.said().contains("commits are not made"), "{}", instance.last_words());
    create_topic(addr, &topic, 1);
    rig.await_position(2000, &mut [&mut instance]);
    wait_for("200", PATIENCE, || is_ready(&http).then_some(()));
    instance.stop();
    // What was in the topic is gone; all else, and all scores since, are as they should be.
    let undisturbed = rig.undisturbed(0, None);
    for (stream, expected) in &undisturbed.results {
        let found = committed(addr, &rig.topic(stream.name()), 0);
        match stream {
            Stream::Scores => {
                assert!(!found.is_empty() && expected.ends_with(&found), "{} scores", found.len())
            }
            _ => assert!(*expected == found, "{} {}", found.len(), stream.name()),
        }
    }
}

#[test]
fn faults_of_two_instances_with_one_name_the_older_one_ends() {
    let Some(addr) = brokers_or_skip("faults_of_two_instances_with_one_name") else { return };
    let rig = TestCluster::new(addr, "namesakes", 2, SHORT_SESSION, "");
    let named = sets(&["source.kafka.properties.group.instance.id=one"]);
    rig.feed(0, 500);
    let mut older = rig.start("older", &named);
    rig.await_position(1000, &mut [&mut older]);
    let mut newer = rig.start("newer", &named);
    let said = older.fails_within(PATIENCE);
    assert!(said.contains("group.instance.id"), "{said}");
    rig.feed(500, 1000);
    rig.await_position(2000, &mut [&mut newer]);
    newer.stop();
    rig.audit().insist(true);
}

#[test]
fn faults_of_two_instances_with_one_name_the_newer_one_ends_in_the_new_protocol() {
    let Some(addr) = brokers_or_skip("faults_of_two_instances_with_one_name_in_the_new_protocol") else {
        return;
    };
    let rig = TestCluster::new(addr, "new-namesakes", 2, "group.protocol: consumer", "");
    let named = sets(&["source.kafka.properties.group.instance.id=one"]);
    rig.feed(0, 500);
    let mut older = rig.start("older", &named);
    rig.await_position(1000, &mut [&mut older]);
    let said = rig.start("newer", &named).fails_within(PATIENCE);
    assert!(said.contains("group.instance.id"), "{said}");
    rig.feed(500, 1000);
    rig.await_position(2000, &mut [&mut older]);
    older.stop();
    rig.audit().insist(true);
}

#[test]
fn faults_partitions_that_are_added_are_forecast_too() {
    let Some(addr) = brokers_or_skip("faults_partitions_that_are_added") else { return };
    let mut rig = TestCluster::new(addr, "grown", 1, "topic.metadata.refresh.interval.ms: 500", "");
    let mut instance = rig.start("a", &StartFrom::default());
    rig.feed(0, 1000);
    rig.await_position(1000, &mut [&mut instance]);
    let topic = rig.topic("in");
    let wanted = NewPartitions::new(&topic, 3);
    block_on(admin(addr).create_partitions([&wanted], &AdminOptions::new())).unwrap();
    rig.partitions = 3;
    sleep(Duration::from_secs(1));
    rig.feed(1000, 2000);
    rig.await_position(4000, &mut [&mut instance]);
    instance.stop();
    let audit = rig.audit();
    audit.insist(true);
    assert!(!committed(addr, &rig.topic("forecasts"), 2).is_empty());
}

/// One is started, another beside it, and the first one is stopped, while records come.
fn come_and_go(rig: &TestCluster) {
    let mut sent = 0;
    let mut more = |members: &mut [&mut Instance]| {
        for _ in 0..5 {
            rig.feed(sent, sent + 300);
            sent += 300;
            sleep(Duration::from_millis(200));
        }
        rig.await_position(sent * rig.partitions as u64, members);
    };
    let mut first = rig.start("first", &StartFrom::default());
    more(&mut [&mut first]);
    let mut second = rig.start("second", &StartFrom::default());
    more(&mut [&mut first, &mut second]);
    wait_for("the second one's share", PATIENCE, || second.said().contains("assigned").then_some(()));
    more(&mut [&mut first, &mut second]);
    rig.feed(sent, sent + 2000);
    first.stop();
    rig.await_position((sent + 2000) * rig.partitions as u64, &mut [&mut second]);
    second.stop();
    rig.audit().insist(true);
}

#[test]
fn faults_instances_come_and_go_in_order() {
    let Some(addr) = brokers_or_skip("faults_instances_come_and_go") else { return };
    come_and_go(&TestCluster::new(addr, "in-order", 4, "", ""));
}

#[test]
fn faults_instances_come_and_go_in_the_new_protocol() {
    let Some(addr) = brokers_or_skip("faults_instances_come_and_go_in_the_new_protocol") else { return };
    come_and_go(&TestCluster::new(addr, "new-protocol", 4, "group.protocol: consumer", ""));
}
