//! Records that are gone before they were read, and topics that are made anew: told, counted, and
//! stopped at unless the file says to go on. On a real broker.

use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::Value;
use tickcast_stream::{Offset, PartitionId};

use crate::support::broker::brokers_or_skip;
use crate::support::cluster::{TestCluster, record};
use crate::support::kafka::{
    TestProducer, client, count, delete_records, delete_topic, produce, send_record, try_create_topic, values,
};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{Instance, StartFrom, get};
use crate::support::readings::{AN_HOUR, bench, closed, from_records, make_topics, readings, run_until};
use crate::support::wait::{PATIENCE, wait_till};

const P: PartitionId = PartitionId(0);

fn feed(addr: &str, id: &str, hours: std::ops::Range<usize>) {
    let readings = readings(P, hours.end as i64);
    let new = readings[hours.start * AN_HOUR..].iter().map(String::as_bytes);
    produce(addr, &format!("{id}.in"), P, new);
}

fn forecasts(addr: &str, id: &str) -> usize {
    count(addr, &format!("{id}.forecasts"), 1)
}

fn start(bench: &TestPipeline, name: &str, sets: &[&str]) -> Instance {
    let sets: Vec<&str> = sets.iter().copied().chain(["serve.http=127.0.0.1:0"]).collect();
    Instance::start(&bench.file(), &bench.path(name), &StartFrom::sets(&sets))
}

/// A sample of the metrics page.
fn sample(http: &str, name: &str) -> Option<f64> {
    let text = get(http, "/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("tickcast_{name}")))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// F1: the broker's retention was faster than a run that was down. It went on behind the gap with a
/// line in the log, and was ready.
#[test]
fn records_that_are_gone_before_a_start_stop_the_run_unless_the_file_says_to_go_on() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "lost-down";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    feed(addr, id, 0..20);
    run_until(&bench, || forecasts(addr, id) >= closed(20));
    feed(addr, id, 20..60);
    let kept = 30 * AN_HOUR as i64;
    delete_records(addr, &format!("{id}.in"), P, Offset(kept));

    // Twice: stopping must not forget.
    for life in ["first", "second"] {
        let said = start(&bench, life, &[]).fails();
        let lost = format!("40 records, from 80 to {}, were gone before they were read", kept - 1);
        assert!(said.contains(&lost) && said.contains("on_loss: continue"), "{said}");
        assert_eq!(forecasts(addr, id), closed(20));
    }

    let mut going_on = start(&bench, "on", &["source.kafka.on_loss=continue"]);
    wait_till("the rest", || forecasts(addr, id) >= closed(60));
    let http = going_on.http();
    assert_eq!(sample(&http, "records_lost_total"), Some(40.0));
    let ready = get(&http, "/ready");
    assert!(
        ready.contains("ready\n40 records of lost-down.in partition 0, from 80 to 119, were gone"),
        "{ready}"
    );
    assert!(going_on.said().contains("were gone before they were read"), "{}", going_on.said());
    going_on.stop();

    // As if they had never been: the series are carried over them.
    let mut left = readings(P, 60);
    left.drain(20 * AN_HOUR..30 * AN_HOUR);
    let expected = from_records(&left);
    for stream in ["forecasts", "scores"] {
        assert_eq!(values(addr, &format!("{id}.{stream}"), P), expected[stream], "{stream}");
    }

    // What was lost once is not lost again.
    let mut again = start(&bench, "again", &[]);
    again.await_share();
    let http = again.http();
    wait_till("the metric", || sample(&http, "records_lost_total") == Some(0.0));
    again.stop();
}

/// F1: a run that stands still while its records are deleted jumped over them inside the client
/// library: 16,000 of 40,000 records were gone, and nothing said so.
#[test]
fn records_that_are_gone_while_a_run_stands_still_are_told_and_are_in_the_entry() {
    let Some(addr) = brokers_or_skip() else { return };
    for (id, on_loss) in [("lost-stop", "stop"), ("lost-go", "continue")] {
        let rig = TestCluster::new(addr, id, 1, "", "");
        let on_loss_set = format!("source.kafka.on_loss={on_loss}");
        let sets = StartFrom::sets(&[&on_loss_set, "serve.http=127.0.0.1:0"]);
        rig.feed(0, 2_000);
        let mut instance = rig.start("run", &sets);
        rig.await_position(2_000, &mut [&mut instance]);

        instance.signal("STOP");
        // A fetch that was on its way waits at the broker for half a second, or for one record.
        rig.feed(2_000, 2_001);
        std::thread::sleep(Duration::from_secs(1));
        rig.feed(2_001, 12_000);
        delete_records(addr, &rig.topic("in"), P, Offset(11_000));
        instance.signal("CONT");

        if on_loss == "stop" {
            let said = instance.fails();
            assert!(said.contains("were gone before they were read"), "{said}");
            // What it had prefetched is worked on; what it never saw is not passed over.
            assert!(rig.position().unwrap() < 11_000);
            continue;
        }

        rig.await_position(12_000, &mut [&mut instance]);
        let http = instance.http();
        let lost = sample(&http, "records_lost_total").unwrap();
        assert!(lost > 0.0, "{lost}");
        // What it read, and what it did not, is all there was.
        assert_eq!(sample(&http, "records_received_total"), Some(12_000.0 - lost));
        instance.stop();
        let entry = rig.entry(P);
        assert_eq!(entry["progress"]["lost"], Value::from(lost as u64), "{entry}");

        // Nothing of it has to be made again.
        let mut again = rig.start("again", &sets);
        rig.feed(12_000, 12_100);
        rig.await_position(12_100, &mut [&mut again]);
        again.stop();
        assert_eq!(rig.entry(P)["progress"]["lost"], Value::from(lost as u64));
    }
}

/// Offsets that transactions' markers, aborted records and a compaction have taken are no loss.
#[test]
fn gaps_that_nobody_has_lost_a_record_in_are_no_loss() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "no-loss";
    let rig = TestCluster::new(addr, id, 1, "", "");
    let topic = rig.topic("in");
    let writer: TestProducer = client(addr).set("transactional.id", "no-loss-writer").create().unwrap();
    writer.init_transactions(PATIENCE).unwrap();
    for part in 0..6 {
        writer.begin_transaction().unwrap();
        for n in part * 50..part * 50 + 50 {
            let record = record(P, n);
            send_record(
                &writer,
                BaseRecord::to(&topic).partition(0).key(b"k" as &[u8]).payload(record.as_bytes()),
            );
        }
        writer.flush(PATIENCE).unwrap();
        match part % 3 {
            2 => writer.abort_transaction(PATIENCE).unwrap(),
            _ => writer.commit_transaction(PATIENCE).unwrap(),
        }
    }

    let mut instance = rig.start("run", &StartFrom::serving());
    // The last record that counts is before the abort of the last transaction.
    rig.await_position(254, &mut [&mut instance]);
    let http = instance.http();
    assert_eq!(sample(&http, "records_lost_total"), Some(0.0));
    instance.stop();
}

/// F2: a source topic that was deleted and made anew within the refresh of metadata was taken for
/// the old one: 20,000 of its 30,000 records were never read, and two topics were in one state.
#[test]
fn a_topic_made_anew_stops_the_run_however_quickly_and_however_long_it_has_grown() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "anew-longer";
    let rig = TestCluster::new(addr, id, 1, "", "");
    rig.feed(0, 1_000);
    let mut instance = rig.start("run", &StartFrom::serving());
    rig.await_position(1_000, &mut [&mut instance]);

    let topic = rig.topic("in");
    delete_topic(addr, &topic);
    wait_till("the new topic", || try_create_topic(addr, &topic, 1));
    rig.feed(0, 3_000);
    let said = instance.fails();
    assert!(said.contains("made anew") && said.contains("--rebuild"), "{said}");

    // The broker has forgotten the commits with the old topic, and the state is of that.
    let said = rig.start("again", &StartFrom::default()).fails();
    assert!(said.contains("--bootstrap"), "{said}");
    let before = count(addr, &rig.topic("forecasts"), 1);
    let mut anew = rig.start("anew", &StartFrom { args: vec!["--bootstrap"], ..StartFrom::default() });
    // The first one may have read and committed all of the new topic before it looked at its id: so
    // no position tells that this one has.
    wait_till("as many forecasts again, of the new topic from its first record", || {
        anew.lives();
        count(addr, &rig.topic("forecasts"), 1) >= 2 * before
    });
    anew.stop();
}

/// F2: with fewer records than the old position it began at 0, and the committed position ran
/// backwards. Here the state is in a directory: it remembers, whatever the broker forgets.
#[test]
fn a_topic_made_anew_while_nothing_ran_is_refused_by_its_id() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "anew-down";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    feed(addr, id, 0..5);
    run_until(&bench, || forecasts(addr, id) >= closed(5));

    let topic = format!("{id}.in");
    delete_topic(addr, &topic);
    wait_till("the new topic", || try_create_topic(addr, &topic, 1));
    feed(addr, id, 0..9);
    let said = start(&bench, "again", &[]).fails();
    assert!(said.contains("topic anew-down.in was deleted and made anew: its id was"), "{said}");
    assert_eq!(forecasts(addr, id), closed(5));
}

/// F21: after a restart an empty topic was made in place of the one that was deleted, and nothing
/// said that committed results were gone.
#[test]
fn a_topic_of_results_that_was_deleted_is_missed_at_the_next_start() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "results-gone";
    let rig = TestCluster::new(addr, id, 1, "", "");
    rig.feed(0, 500);
    let mut instance = rig.start("run", &StartFrom::default());
    rig.await_position(500, &mut [&mut instance]);
    instance.stop();

    delete_topic(addr, &rig.topic("forecasts"));
    let said = rig.start("again", &StartFrom::default()).fails();
    assert!(said.contains("topic results-gone.forecasts was deleted and made anew"), "{said}");
    assert!(said.contains("The results that were committed to it are gone"), "{said}");

    let mut going_on = rig.start("on", &StartFrom { args: vec!["--bootstrap"], ..StartFrom::default() });
    rig.feed(500, 1_000);
    rig.await_position(1_000, &mut [&mut going_on]);
    going_on.stop();
    assert!(count(addr, &rig.topic("forecasts"), 1) > 0);

    // It has been said once.
    let mut again = rig.start("once", &StartFrom::default());
    rig.feed(1_000, 1_100);
    rig.await_position(1_100, &mut [&mut again]);
    again.stop();
}
