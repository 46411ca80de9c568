//! `start: warm`: the records that a topic has when it is first seen are learned and give no
//! forecasts. The records after them give forecasts. Restarts, a rebuild and `verify` agree on the
//! border between both. The oracle is an undisturbed run that is told the border.

use tickcast_stream::message::Stream;
use tickcast_stream::{Offset, PartitionId};

use crate::support::broker::brokers_or_skip;
use crate::support::cluster::{SHORT_SESSION, TestCluster};
use crate::support::kafka::{Sent, committed, create_topic};
use crate::support::process::{StartFrom, text, tickcast};
use crate::support::wait::wait_till;

fn warm(more: &[&str]) -> StartFrom {
    StartFrom::sets(&[&["source.kafka.start=warm"], more].concat())
}

fn sent(rig: &TestCluster, stream: Stream, partition: PartitionId) -> Vec<Sent> {
    committed(&rig.addr, &rig.topic(stream.name()), partition)
}

/// All streams of all partitions are what an undisturbed life makes that knows where the past
/// ended.
fn insist(rig: &TestCluster, live: Offset) {
    for partition in (0..rig.partitions).map(PartitionId) {
        let whole = rig.undisturbed(partition, None);
        for (at, (stream, expected)) in rig.undisturbed(partition, Some(live)).results.iter().enumerate() {
            assert!(sent(rig, *stream, partition) == *expected, "{} {partition}", stream.name());
            // Whoever is told of the past too hears the same afterwards.
            assert!(whole.results[at].1.ends_with(expected), "{} {partition}", stream.name());
            assert_eq!(*stream == Stream::Rejects, expected.len() == whole.results[at].1.len());
        }
    }
}

#[test]
fn a_past_is_learned_in_silence_and_no_window_is_missed_after_it() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "warm", 2, SHORT_SESSION, "");
    for stream in ["forecasts", "scores", "rejects"] {
        create_topic(addr, &rig.topic(stream), rig.partitions);
    }
    const PAST: u64 = 20_000;
    const ALL: u64 = PAST + 700;
    rig.feed(0, PAST);
    // Killed while it learns, it still knows where the past ended, though the topic has grown
    // since.
    let mut first = rig.start("first", &warm(&[]));
    rig.await_position(PAST / 10, &mut [&mut first]);
    first.kill();
    rig.feed(PAST, PAST + 300);
    let mut second = rig.start("second", &warm(&[]));
    rig.await_position((PAST + 300) * 2, &mut [&mut second]);
    let live = |second: &str| second.matches("live: the past is learned").count();
    assert!(live(&(first.said() + &second.said())) >= 2, "{}", second.last_words());
    rig.feed(PAST + 300, ALL);
    rig.await_position(ALL * 2, &mut [&mut second]);
    second.stop();
    insist(&rig, Offset(PAST as i64));
    let verified = tickcast("verify", &rig.yaml(), &[]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    // A rebuilt state knows the border too. `--reset-state` is the former name of `--rebuild`.
    let mut anew = rig.start("anew", &StartFrom { args: vec!["--reset-state"], ..warm(&[]) });
    rig.feed(ALL, ALL + 100);
    rig.await_position((ALL + 100) * 2, &mut [&mut anew]);
    anew.stop();
    insist(&rig, Offset(PAST as i64));
}

#[test]
fn without_transactions_the_end_of_the_past_is_kept_before_anything_is_told() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "warm-least", 1, SHORT_SESSION, "");
    let start = warm(&["delivery=at_least_once", "state={dir: state}", "recover_within=1h"]);
    rig.feed(0, 600);
    let mut first = rig.start("first", &start);
    wait_till("the first state", || {
        let files = std::fs::read_dir(rig.folder.path().join("state")).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().ends_with(".snapshot"))
    });
    rig.feed(600, 900);
    first.kill();
    rig.feed(900, 1200);
    let mut second = rig.start("second", &start);
    let expected = rig.undisturbed(PartitionId(0), Some(Offset(600))).results;
    let of = |stream| expected.iter().find(|(of, _)| *of == stream).map(|(_, sent)| sent.clone()).unwrap();
    let last = of(Stream::Scores).pop().unwrap();
    wait_till("the last score", || {
        second.lives();
        sent(&rig, Stream::Scores, PartitionId(0)).last() == Some(&last)
    });
    second.stop();
    for stream in Stream::ALL {
        let (told, expected) = (sent(&rig, stream, PartitionId(0)), of(stream));
        // Perhaps twice, but nothing else and nothing less.
        assert!(told.iter().all(|sent| expected.contains(sent)), "{}", stream.name());
        assert!(expected.iter().all(|sent| told.contains(sent)), "{}", stream.name());
    }
}
