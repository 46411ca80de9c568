//! One fault in each test, on a real broker with real processes. A test looks at what the run
//! reports of the fault, and at the end compares every byte with an undisturbed run. The file must
//! not know how exactly once is made.

use std::thread::sleep;
use std::time::Duration;

use rdkafka::message::Message;
use rdkafka::producer::Producer;
use tickcast_connect::StateSpec;
use tickcast_connect::ledger::StateTopic;
use tickcast_stream::message::Stream;
use tickcast_stream::{Offset, PartitionId};

use crate::support::broker::{brokers_or_skip, private_or_skip};
use crate::support::cluster::{SHORT_SESSION, TestCluster};
use crate::support::kafka::{
    committed, count, create_topic, delete_records, delete_topic, grow_topic, producer, read_all, send,
    try_create_topic,
};
use crate::support::process::{Instance, StartFrom, is_ready, is_waiting_for};
use crate::support::wait::{PATIENCE, wait_till};

const SHORT_TRANSACTIONS: &str = "transaction.timeout.ms: 3000";

fn verbose(start: StartFrom) -> StartFrom {
    StartFrom { args: vec!["-v"], ..start }
}

/// Runs the pipeline until all of `records` are committed, and ends it in order.
fn finish(rig: &TestCluster, records: u64) {
    let mut instance = rig.start("last", &StartFrom::default());
    rig.await_position(records, &mut [&mut instance]);
    instance.stop();
}

#[test]
fn faults_a_lost_reply_to_a_commit_is_asked_for() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "reply-lost", 2, "", "");
    let start = verbose(StartFrom::fail_points("ledger.reply_lost=40%return"));
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
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "timed-out", 1, "", SHORT_TRANSACTIONS);
    let mut sent = 0;
    for step in ["drained", "offsets"] {
        // The instance's sleep outlasts its transactions' time-out, and the second between the
        // broker's looks at it.
        let points = format!("ledger.{step}=3*off->1*sleep(6000)->off");
        let mut instance = rig.start("a", &verbose(StartFrom::fail_points(&points)));
        // A commit at the least for each of them: how many one feed takes is the machine's affair.
        for _ in 0..10 {
            rig.feed(sent, sent + 300);
            sent += 300;
            rig.await_position(sent, &mut [&mut instance]);
        }
        instance.stop();
        assert!(instance.said().contains("was not made"), "{}", instance.last_words());
    }
    rig.audit().insist(true);
}

#[test]
fn faults_a_torn_snapshot_stops_the_run_and_says_what_is_torn() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "torn", 1, "", "");
    rig.feed(0, 2000);
    finish(&rig, 2000);
    let topic = rig.topic("state");
    let writer = producer(addr);
    let put = |bytes: &[u8]| {
        send(&writer, &topic, PartitionId(0), bytes);
        writer.flush(PATIENCE).unwrap();
    };

    // Rubbish beside it is no reason to stop.
    put(b"rubbish");
    rig.feed(2000, 2100);
    finish(&rig, 2100);
    rig.audit().insist(true);

    let records = read_all(addr, &topic, PartitionId(0), |record| {
        (record.offset(), record.payload().unwrap().to_vec())
    });
    let (last, mut chunk) = records.last().expect("a snapshot").clone();
    delete_records(addr, &topic, PartitionId(0), Offset(last).next());
    let said = rig.start("gone", &StartFrom::default()).fails();
    assert!(said.contains("error: state") && said.contains("is not whole"), "{said}");
    *chunk.last_mut().unwrap() ^= 1;
    put(&chunk);
    let said = rig.start("damaged", &StartFrom::default()).fails();
    assert!(said.contains("error: state") && said.contains("checksum"), "{said}");

    // What is committed stays as it was.
    assert_eq!(rig.position(), Some(2100));
    for (stream, expected) in &rig.undisturbed(PartitionId(0), None).results {
        assert!(committed(addr, &rig.topic(stream.name()), PartitionId(0)) == *expected, "{}", stream.name());
    }
}

#[test]
fn faults_an_orderly_end_under_full_load_does_not_wait_for_the_load() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "full-load", 4, "", "");
    rig.feed(0, 20_000);
    for _ in 0..2 {
        let before = rig.position().unwrap_or_default() as u64;
        let mut instance = rig.start("a", &StartFrom::default());
        rig.await_position(before + 2000, &mut [&mut instance]);
        instance.stop();
        assert!(rig.position().unwrap() < 80_000, "it ended with the load, not before it");
    }
    finish(&rig, 80_000);
    rig.audit().insist(true);
}

#[test]
fn faults_commits_of_a_record_or_two_and_a_restart_change_no_byte() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "quiet", 2, "", "");
    let mut sent = 0;
    for name in ["first", "second"] {
        let mut instance = rig.start(name, &StartFrom::default());
        for _ in 0..30 {
            rig.feed(sent, sent + 1);
            sent += 1;
            rig.await_position(sent * 2, &mut [&mut instance]);
        }
        instance.stop();
    }
    rig.audit().insist(true);
}

/// Waits until the newest committed state of every partition is the one at its end: then there is
/// nothing left to commit, and no transaction is under way.
fn await_last_states(rig: &TestCluster, position: Offset) {
    let plan = rig.plan();
    let Some(StateSpec::Kafka(spec)) = &plan.state else { panic!("no state in a topic") };
    let topic = StateTopic::new(&spec.client, &spec.topic);
    for partition in (0..rig.partitions).map(PartitionId) {
        wait_till(&format!("the state of partition {partition} at {position}"), || {
            // An open transaction hides it for a while.
            let newest = topic.load(partition, None).ok().flatten();
            newest.is_some_and(|snapshot| snapshot.position == position)
        });
    }
}

#[test]
fn faults_a_broker_that_is_away_for_a_while_changes_no_byte() {
    let Some(mut broker) = private_or_skip() else { return };
    let rig = TestCluster::new(broker.addr(), "outage", 2, "", "");
    rig.feed(0, 10_000);
    let mut instance = rig.start("a", &StartFrom::serving());
    let http = instance.http();
    rig.await_position(1000, &mut [&mut instance]);

    // Silence, with transactions under way, until the run has noticed that its commits are not
    // made.
    broker.pause();
    wait_till("503 in the silence", || is_waiting_for(&http, ""));
    broker.resume();
    rig.await_position(20_000, &mut [&mut instance]);

    // Death, with none under way: a lone node may leave those half ended
    // (docs/design/exactly-once.md).
    await_last_states(&rig, Offset(10_000));
    broker.kill();
    wait_till("503 without a broker", || is_waiting_for(&http, ""));
    broker.restart();
    rig.feed(10_000, 12_000);
    rig.await_position(24_000, &mut [&mut instance]);
    instance.stop();
    rig.audit().insist(true);
}

/// Found by: hostile testing. Only exactly once knew the ids of what it wrote to.
#[test]
fn faults_a_sink_topic_made_anew_ends_a_run_that_writes_at_least_once() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "remade", 1, "", "");
    let sets =
        ["delivery=at_least_once", "state={dir: state}", "sinks.rejects={kafka: {topic: remade.late}}"];
    let mut instance = rig.start("a", &StartFrom::sets(&sets));
    let topic = rig.topic("scores");
    rig.feed(0, 1000);
    wait_till("scores", || count(addr, &topic, 1) > 0);
    // Its id is known within one look.
    sleep(Duration::from_secs(5));
    delete_topic(addr, &topic);
    wait_till("another topic of the name", || try_create_topic(addr, &topic, 1));
    let said = instance.fails();
    assert!(said.contains("was deleted and made anew") && said.contains("the next run writes"), "{said}");
}

#[test]
fn faults_a_deleted_sink_topic_is_waited_for_and_one_made_anew_ends_the_run() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "deleted", 1, "", SHORT_TRANSACTIONS);
    let mut instance = rig.start("a", &StartFrom::serving());
    let http = instance.http();
    rig.feed(0, 1000);
    rig.await_position(1000, &mut [&mut instance]);

    let topic = rig.topic("scores");
    delete_topic(addr, &topic);
    rig.feed(1000, 2000);
    wait_till("503 that names the topic", || {
        instance.lives();
        is_waiting_for(&http, &topic)
    });
    assert!(instance.said().contains("commits are not made"), "{}", instance.last_words());
    create_topic(addr, &topic, 1);
    let said = instance.fails();
    let way = "The results that were committed to it are gone: `run --bootstrap` goes on without them";
    assert!(said.contains("was deleted and made anew") && said.contains(way), "{said}");

    let mut going_on = rig.start("b", &StartFrom { args: vec!["--bootstrap"], ..StartFrom::serving() });
    rig.await_position(2000, &mut [&mut going_on]);
    let http = going_on.http();
    wait_till("200", || is_ready(&http));
    going_on.stop();

    // What was in the topic is gone; all else, and all scores since, are as they should be.
    let undisturbed = rig.undisturbed(PartitionId(0), None);
    for (stream, expected) in &undisturbed.results {
        let found = committed(addr, &rig.topic(stream.name()), PartitionId(0));
        match stream {
            Stream::Scores => {
                assert!(!found.is_empty() && expected.ends_with(&found), "{} scores", found.len())
            }
            _ => assert!(*expected == found, "{} {}", found.len(), stream.name()),
        }
    }
}

const NAMED: &str = "source.kafka.properties.group.instance.id=one";

#[test]
fn faults_of_two_instances_with_one_name_the_older_one_ends() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "namesakes", 2, SHORT_SESSION, "");
    let named = StartFrom::sets(&[NAMED]);
    rig.feed(0, 500);
    let mut older = rig.start("older", &named);
    rig.await_position(1000, &mut [&mut older]);
    let mut newer = rig.start("newer", &named);
    let said = older.fails();
    assert!(said.contains("group.instance.id"), "{said}");
    rig.feed(500, 1000);
    rig.await_position(2000, &mut [&mut newer]);
    newer.stop();
    rig.audit().insist(true);
}

#[test]
fn faults_of_two_instances_with_one_name_the_newer_one_ends_in_the_new_protocol() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "new-namesakes", 2, "group.protocol: consumer", "");
    let named = StartFrom::sets(&[NAMED]);
    rig.feed(0, 500);
    let mut older = rig.start("older", &named);
    rig.await_position(1000, &mut [&mut older]);
    let said = rig.start("newer", &named).fails();
    assert!(said.contains("group.instance.id"), "{said}");
    rig.feed(500, 1000);
    rig.await_position(2000, &mut [&mut older]);
    older.stop();
    rig.audit().insist(true);
}

/// A client of librdkafka looks for new partitions every five minutes: for as long, claims and
/// commits of a new partition failed.
#[test]
fn faults_partitions_that_are_added_are_forecast_too() {
    let Some(addr) = brokers_or_skip() else { return };
    let mut rig = TestCluster::new(addr, "grown", 1, "topic.metadata.refresh.interval.ms: 500", "");
    let mut instance = rig.start("a", &StartFrom::default());
    rig.feed(0, 1000);
    rig.await_position(1000, &mut [&mut instance]);
    rig.partitions = 3;
    grow_topic(addr, &rig.topic("in"), rig.partitions);
    rig.feed(1000, 2000);
    rig.await_position(4000, &mut [&mut instance]);
    instance.stop();
    let audit = rig.audit();
    audit.insist(true);
    assert!(!committed(addr, &rig.topic("forecasts"), PartitionId(2)).is_empty());
}

/// One is started, another beside it, and the first one is stopped, while records come.
fn come_and_go(rig: &TestCluster) {
    let mut sent = 0;
    let mut more = |members: &mut [&mut Instance]| {
        for _ in 0..5 {
            rig.feed(sent, sent + 300);
            sent += 300;
            // Only a pace, so that records come all through a rebalance of some hundred
            // milliseconds.
            sleep(Duration::from_millis(200));
        }
        rig.await_position(sent * rig.partitions as u64, members);
    };

    let mut first = rig.start("first", &StartFrom::default());
    more(&mut [&mut first]);
    let mut second = rig.start("second", &StartFrom::default());
    more(&mut [&mut first, &mut second]);
    second.await_share();
    more(&mut [&mut first, &mut second]);
    rig.feed(sent, sent + 2000);
    first.stop();
    rig.await_position((sent + 2000) * rig.partitions as u64, &mut [&mut second]);
    second.stop();
    rig.audit().insist(true);
}

#[test]
fn faults_instances_come_and_go_in_order() {
    let Some(addr) = brokers_or_skip() else { return };
    come_and_go(&TestCluster::new(addr, "in-order", 4, "", ""));
}

#[test]
fn faults_instances_come_and_go_in_the_new_protocol() {
    let Some(addr) = brokers_or_skip() else { return };
    come_and_go(&TestCluster::new(addr, "new-protocol", 4, "group.protocol: consumer", ""));
}
