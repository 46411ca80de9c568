//! One conformance suite for every ledger. The simulation commits to a ledger in memory; this suite
//! shows that the memory follows the same rules as files and a real broker. The file must not know
//! how a ledger stores what it stores.

mod harness;
mod random;
#[cfg(target_os = "linux")]
mod syncs;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use Stream::{Forecasts, Scores};
use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use harness::{Files, Harness, Memory, STREAMS, Topics};
use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use random::any_sequence_ends_as_in_memory;
use tickcast_connect::ledger::StateTopicStore;
use tickcast_connect::{KafkaClientSpec, KafkaTopicSpec, SinkFileFormat};
use tickcast_stream::error::Kind;
use tickcast_stream::ledger::{
    Base, CHUNK_BYTES, Checkpoint, Chunk, Claim, Commit, CommitBatch, CommitOutcome, Committed, Committer,
    OutputPosition, Position, Recover, Snapshot, SnapshotRef, SnapshotStore,
};
use tickcast_stream::message::Stream;
use tickcast_stream::testing::{Fate, Step, World};
use tickcast_stream::{Offset, PartitionId};

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, delete_records};

type Case = fn(&dyn Harness);

const CASES: [(&str, Case); 18] = [
    ("nothing is claimed from an empty ledger", nothing_is_claimed_from_an_empty_ledger),
    ("an epoch is claimed and read in its order", an_epoch_is_claimed_and_read_in_its_order),
    ("results show with their commit only", results_show_with_their_commit_only),
    ("a state without results is kept as it is", a_state_without_results_is_kept_as_it_is),
    ("results wait for their entry", results_wait_for_their_entry),
    ("a death within the first epoch leaves nothing", a_death_within_the_first_epoch_leaves_nothing),
    (
        "a death within a later epoch leaves what was there",
        a_death_within_a_later_epoch_leaves_what_was_there,
    ),
    ("a snapshot is named with its last chunk", a_snapshot_is_named_with_its_last_chunk),
    ("of two snapshots in one epoch the newer stays", of_two_snapshots_in_one_epoch_the_newer_stays),
    ("a snapshot left half written is no obstacle", a_snapshot_left_half_written_is_no_obstacle),
    ("a partition given back goes on elsewhere", a_partition_given_back_goes_on_elsewhere),
    ("settling tells of our own commits", settling_tells_of_our_own_commits),
    ("a light snapshot is claimed with its base", a_light_snapshot_is_claimed_with_its_base),
    ("a damaged base stops the claim", a_damaged_base_stops_the_claim),
    ("a damaged snapshot stops the claim", a_damaged_snapshot_stops_the_claim),
    ("results that nobody remembers stop the claim", results_that_nobody_remembers_stop_the_claim),
    ("never two writers", never_two_writers),
    ("any sequence ends as in memory", any_sequence_ends_as_in_memory),
];

fn hold(make: impl Fn(&str) -> Box<dyn Harness>) {
    let fails = |&(name, case): &(&str, Case)| {
        let began = Instant::now();
        let fails = catch_unwind(AssertUnwindSafe(|| case(make(name).as_ref()))).is_err();
        println!("{name}: {}, {:.1} s", if fails { "FAILED" } else { "ok" }, began.elapsed().as_secs_f64());
        fails
    };
    let failed: Vec<&str> = CASES.iter().filter(|case| fails(case)).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn the_ledger_in_memory_conforms() {
    hold(|_| Box::new(Memory::default()));
}

/// With somebody else at the input, a claim waits for who has the partition: nobody would let go of
/// it here.
fn is_shared(case: &str) -> bool {
    case != "never two writers"
}

#[test]
fn the_ledger_of_files_conforms() {
    hold(|case| Box::new(Files::new(SinkFileFormat::Ndjson, is_shared(case))));
}

#[test]
fn the_ledger_of_files_conforms_with_parquet() {
    hold(|case| Box::new(Files::new(SinkFileFormat::Parquet, is_shared(case))));
}

#[test]
fn the_ledger_of_topics_conforms() {
    let Some(addr) = brokers_or_skip() else { return };
    hold(|_| Box::new(Topics::new(addr)));
}

/// A full disk is told of when something is written, never in between: the same epoch is committed
/// when there is room.
#[test]
fn a_full_disk_takes_nothing_with_it() {
    for format in [SinkFileFormat::Ndjson, SinkFileFormat::Parquet] {
        let files = Files::new(format, true);
        let (mut recover, commit, _) = begin(&files, 1, PartitionId(0));
        let mut committer = Committer::new(commit);
        committer.begin(PartitionId(0), None).unwrap();
        let state = snapshot(PartitionId(0), Offset(4711), 2 * CHUNK_BYTES);
        committer.results(PartitionId(0), vec![(Forecasts, rows(0, 3))], Some(progress(Offset(10), 3, 0)));
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        committer.results(PartitionId(0), vec![(Forecasts, rows(3, 7))], Some(progress(Offset(4711), 7, 0)));
        committer.snapshot(state.clone());
        files.fill();
        assert!(matches!(committer.commit().unwrap(), Committed::Later { refused: false, .. }));
        assert_eq!(files.committed(PartitionId(0), Forecasts), lines(3));
        assert_eq!(recover.claim(PartitionId(0)).unwrap().entry, Some(entry(Offset(10), 3, 0)));
        // The device is gone with the file that was to be written.
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        assert_eq!(files.committed(PartitionId(0), Forecasts), lines(7));
        let claim = recover.claim(PartitionId(0)).unwrap();
        assert_eq!(claim.entry.map(|entry| entry.progress), Some(progress(Offset(4711), 7, 0)));
        assert!(claim.snapshot == Some(state));
    }
}

/// At least once nothing names a snapshot: a light one without its base is no reason to begin anew
/// in silence, and none to overlook a whole one.
#[test]
fn a_state_topic_without_a_base_says_so_or_has_another_snapshot() {
    let Some(addr) = brokers_or_skip() else { return };
    let (id, topic) = (PartitionId(1), format!("at-least-once-{}.state", std::process::id()));
    create_topic(addr, &topic, 2);
    let client = KafkaClientSpec { brokers: addr.to_owned(), ..KafkaClientSpec::default() };
    let store =
        StateTopicStore::open(&KafkaTopicSpec { client, topic: topic.clone() }, "at-least-once").unwrap();
    let [first, second] = [10, 30].map(|at| snapshot(id, Offset(at), 2 * CHUNK_BYTES));
    let [[light, whole], [late, _]] = [20, 40].map(|at| light(&first, at, 100));
    for (snapshot, whole) in [(&first, &first), (&light, &whole)] {
        store.save(snapshot).unwrap();
        assert!(store.newest(id).unwrap().as_ref() == Some(whole), "at {}", snapshot.position);
    }

    delete_records(addr, &topic, id, Offset(1));
    let error = store.newest(id).unwrap_err();
    assert_eq!(error.kind, Kind::State);
    assert!(error.to_string().contains("position 10, which it needs"), "{error}");

    // Who has lost the partition may write on for a while.
    store.save(&second).unwrap();
    store.save(&late).unwrap();
    assert!(store.newest(id).unwrap() == Some(second));
}

/// While nobody knows whether an epoch is committed, what comes is of the next one: the ledger can
/// tell only of the entries that were sent to it.
#[test]
fn what_comes_while_an_outcome_is_unknown_waits_its_turn() {
    for (fate, is_made) in [(Fate::LoseReply, true), (Fate::LoseRequest, false)] {
        let world = World::default();
        let mut fates = vec![fate].into_iter();
        let fate =
            move |step| if step == Step::Produced { fates.next().unwrap_or(Fate::Go) } else { Fate::Go };
        let (_recover, commit) = world.open(1, Box::new(fate));
        world.rebalance(&[1]);
        let mut committer = Committer::new(commit);
        for partition in [0, 1].map(PartitionId) {
            committer.begin(partition, None).unwrap();
            committer.results(partition, vec![(Forecasts, rows(0, 3))], Some(progress(Offset(10), 3, 0)));
        }
        assert!(matches!(committer.commit().unwrap(), Committed::Later { refused: false, .. }));
        assert_eq!(world.results(PartitionId(0), Forecasts).is_empty(), !is_made);
        committer.results(PartitionId(0), vec![(Forecasts, rows(3, 5))], Some(progress(Offset(20), 5, 0)));
        committer.release(PartitionId(1)).unwrap();
        assert!(!committer.is_clean());
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        assert!(committer.is_clean());
        assert_eq!(world.results(PartitionId(0), Forecasts), lines(5));
        assert_eq!(world.entry(PartitionId(0)), Some(entry(Offset(20), 5, 0)));
        assert_eq!(world.results(PartitionId(1), Forecasts), lines(if is_made { 3 } else { 0 }));
    }
}

/// Rows `from` to `to` of a stream without end.
fn rows(from: u64, to: u64) -> RecordBatch {
    let fields = vec![Field::new("series", DataType::Utf8, false), Field::new("n", DataType::Int64, false)];
    let series = StringArray::from_iter_values((from..to).map(|n| format!("s{}", n % 3)));
    let numbers = Int64Array::from_iter_values((from..to).map(|n| n as i64));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(series), Arc::new(numbers)]).unwrap()
}

/// The first rows of that stream, as they are read.
fn lines(to: u64) -> Vec<String> {
    (0..to).map(|n| format!(r#"{{"series":"s{}","n":{n}}}"#, n % 3)).collect()
}

fn progress(position: Offset, forecasts: u64, scores: u64) -> Position {
    let counts = OutputPosition { forecasts, scores, rejects: 0 };
    Position { position, counts, ..Position::begin(Offset(3)) }
}

fn entry(position: Offset, forecasts: u64, scores: u64) -> Checkpoint {
    Checkpoint::of(progress(position, forecasts, scores))
}

fn epoch(
    results: Vec<(PartitionId, Stream, RecordBatch)>,
    entries: &[(PartitionId, Checkpoint)],
) -> CommitBatch {
    CommitBatch { results, chunks: Vec::new(), entries: entries.iter().cloned().collect() }
}

fn state(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = vec![0; bytes];
    Pcg64Mcg::seed_from_u64(seed).fill_bytes(&mut state);
    state
}

fn snapshot(partition: PartitionId, position: Offset, bytes: usize) -> Snapshot {
    Snapshot::new(partition, position, state(position.0 as u64, bytes))
}

/// A life that has claimed a partition.
fn begin(
    ledger: &dyn Harness,
    member: u64,
    partition: PartitionId,
) -> (Box<dyn Recover>, Box<dyn Commit>, Claim) {
    let (mut recover, mut commit) = ledger.open(member, false);
    let claim = recover.claim(partition).unwrap();
    commit.begin(partition, claim.entry.as_ref()).unwrap();
    (recover, commit, claim)
}

fn commit_forecasts(commit: &mut dyn Commit, partition: PartitionId, from: u64, to: u64) -> Checkpoint {
    let entry = entry(Offset(to as i64), to, 0);
    let epoch = epoch(vec![(partition, Forecasts, rows(from, to))], &[(partition, entry.clone())]);
    assert_eq!(commit.attempt(&epoch).unwrap(), CommitOutcome::Committed);
    entry
}

fn nothing_is_claimed_from_an_empty_ledger(ledger: &dyn Harness) {
    let (mut recover, mut commit, claim) = begin(ledger, 1, PartitionId(0));
    assert_eq!(claim, Claim::default());
    assert_eq!(recover.claim(PartitionId(1)).unwrap(), Claim::default());
    assert_eq!(commit.settle(&[PartitionId(0)]).unwrap(), BTreeMap::new());
    assert_eq!(commit.settle(&[]).unwrap(), BTreeMap::new());
    assert!(STREAMS.iter().all(|&stream| ledger.committed(PartitionId(0), stream).is_empty()));
}

fn an_epoch_is_claimed_and_read_in_its_order(ledger: &dyn Harness) {
    let (mut recover, mut commit, _) = begin(ledger, 1, PartitionId(0));
    recover.claim(PartitionId(2)).unwrap();
    commit.begin(PartitionId(2), None).unwrap();
    let results = vec![
        (PartitionId(0), Forecasts, rows(0, 2)),
        (PartitionId(2), Scores, rows(0, 4)),
        (PartitionId(0), Scores, rows(0, 1)),
        (PartitionId(0), Forecasts, rows(2, 5)),
    ];
    let entries = [(PartitionId(0), entry(Offset(40), 5, 1)), (PartitionId(2), entry(Offset(70), 0, 4))];
    assert_eq!(commit.attempt(&epoch(results, &entries)).unwrap(), CommitOutcome::Committed);
    commit_forecasts(commit.as_mut(), PartitionId(0), 5, 300);
    drop((recover, commit));
    let (mut recover, _commit) = ledger.open(1, false);
    assert_eq!(
        recover.claim(PartitionId(0)).unwrap(),
        Claim { entry: Some(entry(Offset(300), 300, 0)), snapshot: None }
    );
    assert_eq!(recover.take_over(PartitionId(2)).unwrap(), Some(entry(Offset(70), 0, 4)));
    assert_eq!(
        recover.claim(PartitionId(2)).unwrap(),
        Claim { entry: Some(entry(Offset(70), 0, 4)), snapshot: None }
    );
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(300));
    assert_eq!(ledger.committed(PartitionId(0), Scores), lines(1));
    assert_eq!(ledger.committed(PartitionId(2), Forecasts), lines(0));
    assert_eq!(ledger.committed(PartitionId(2), Scores), lines(4));
}

fn results_show_with_their_commit_only(ledger: &dyn Harness) {
    let (mut recover, commit, claim) = begin(ledger, 1, PartitionId(0));
    let mut committer = Committer::new(commit);
    committer.begin(PartitionId(0), claim.entry).unwrap();
    assert_eq!(committer.commit().unwrap(), Committed::Done(false));
    committer.results(
        PartitionId(0),
        vec![(Forecasts, rows(0, 3)), (Scores, rows(0, 2))],
        Some(progress(Offset(9), 3, 2)),
    );
    assert!(!committer.is_clean());
    assert!(STREAMS.iter().all(|&stream| ledger.committed(PartitionId(0), stream).is_empty()));
    assert_eq!(recover.claim(PartitionId(0)).unwrap(), Claim::default());
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    assert!(committer.is_clean());
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(3));
    assert_eq!(ledger.committed(PartitionId(0), Scores), lines(2));
    // What is dropped is never seen.
    committer.results(PartitionId(0), vec![(Forecasts, rows(3, 7))], Some(progress(Offset(20), 7, 2)));
    committer.release(PartitionId(0)).unwrap();
    assert_eq!(committer.commit().unwrap(), Committed::Done(false));
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(3));
    assert_eq!(recover.claim(PartitionId(0)).unwrap().entry, Some(entry(Offset(9), 3, 2)));
}

/// A partition that replays may hand over new results before it can say how far they go; a commit
/// for another partition's sake must leave them out.
fn results_wait_for_their_entry(ledger: &dyn Harness) {
    let (mut recover, mut commit, _) = begin(ledger, 1, PartitionId(0));
    commit_forecasts(commit.as_mut(), PartitionId(0), 0, 2);
    recover.claim(PartitionId(1)).unwrap();
    let mut committer = Committer::new(commit);
    committer.begin(PartitionId(0), Some(entry(Offset(2), 2, 0))).unwrap();
    committer.begin(PartitionId(1), None).unwrap();
    committer.results(PartitionId(0), vec![(Forecasts, rows(2, 5))], None);
    committer.results(PartitionId(1), vec![(Scores, rows(0, 1))], Some(progress(Offset(8), 0, 1)));
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    assert_eq!(ledger.committed(PartitionId(1), Scores), lines(1));
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(2));
    committer.results(PartitionId(0), vec![(Forecasts, rows(5, 6))], Some(progress(Offset(6), 6, 0)));
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(6));
}

/// A partition may begin with a state that somebody else has left, and end before anything comes.
fn a_state_without_results_is_kept_as_it_is(ledger: &dyn Harness) {
    let (mut recover, commit, _) = begin(ledger, 1, PartitionId(0));
    let mut committer = Committer::new(commit);
    committer.begin(PartitionId(0), None).unwrap();
    committer.snapshot(snapshot(PartitionId(0), Offset(10), 100));
    for _ in 0..3 {
        committer.commit().unwrap();
    }
    assert!(committer.is_clean());
    assert_eq!(recover.claim(PartitionId(0)).unwrap().entry, None);
}

fn a_death_within_the_first_epoch_leaves_nothing(ledger: &dyn Harness) {
    ledger.die_writing(1, PartitionId(0), Forecasts, &rows(0, 5));
    let (_recover, mut commit, claim) = begin(ledger, 1, PartitionId(0));
    assert_eq!(claim, Claim::default());
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(0));
    commit_forecasts(commit.as_mut(), PartitionId(0), 0, 3);
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(3));
}

fn a_death_within_a_later_epoch_leaves_what_was_there(ledger: &dyn Harness) {
    let (recover, mut commit, _) = begin(ledger, 1, PartitionId(0));
    let last = commit_forecasts(commit.as_mut(), PartitionId(0), 0, 4);
    drop((recover, commit));
    ledger.die_writing(1, PartitionId(0), Forecasts, &rows(4, 9));
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(4));
    let (_recover, mut commit, claim) = begin(ledger, 1, PartitionId(0));
    assert_eq!(claim.entry, Some(last));
    commit_forecasts(commit.as_mut(), PartitionId(0), 4, 6);
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(6));
}

/// More than the committer puts into one epoch.
const LARGE: usize = 9 * CHUNK_BYTES + 1;

fn a_snapshot_is_named_with_its_last_chunk(ledger: &dyn Harness) {
    let (mut recover, commit, _) = begin(ledger, 1, PartitionId(0));
    let mut committer = Committer::new(commit);
    committer.begin(PartitionId(0), None).unwrap();
    let (small, large) =
        (snapshot(PartitionId(0), Offset(10), 100), snapshot(PartitionId(0), Offset(4711), LARGE));
    committer.results(PartitionId(0), vec![(Forecasts, rows(0, 3))], Some(progress(Offset(10), 3, 0)));
    committer.snapshot(small.clone());
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    assert_eq!(recover.claim(PartitionId(0)).unwrap().snapshot.as_ref(), Some(&small));
    committer.results(PartitionId(0), vec![(Forecasts, rows(3, 5))], Some(progress(Offset(4711), 5, 0)));
    committer.snapshot(large.clone());
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    let claim = recover.claim(PartitionId(0)).unwrap();
    assert_eq!(claim.entry.map(|entry| entry.progress), Some(progress(Offset(4711), 5, 0)));
    assert!(claim.snapshot.as_ref() == Some(&small) && !committer.is_clean());
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    let claim = recover.claim(PartitionId(0)).unwrap();
    let named = SnapshotRef { position: Offset(4711), chunks: 10, digest: large.digest };
    assert_eq!(claim.entry, Some(Checkpoint { snapshot: Some(named), ..entry(Offset(4711), 5, 0) }));
    assert!(claim.snapshot == Some(large.clone()) && committer.is_clean());
    drop((recover, committer));
    let (_recover, _commit, again) = begin(ledger, 1, PartitionId(0));
    assert!(again == claim, "another life claims something else");
}

/// An epoch that is tried again takes what has come meanwhile, so it may complete two snapshots.
/// Trimming for the older one deleted the newer one, which the commit names. Found by cutting the
/// power.
fn of_two_snapshots_in_one_epoch_the_newer_stays(ledger: &dyn Harness) {
    let (recover, mut commit, _) = begin(ledger, 1, PartitionId(0));
    let [older, newer] = [10, 20].map(|at| snapshot(PartitionId(0), Offset(at), 2 * CHUNK_BYTES));
    commit.attempt(&two_snapshots(&older, &newer)).unwrap();
    drop((recover, commit));
    let (_recover, _commit, claim) = begin(ledger, 1, PartitionId(0));
    assert!(claim.snapshot == Some(newer));
}

/// An epoch that completes two snapshots of partition 0.
fn two_snapshots(older: &Snapshot, newer: &Snapshot) -> CommitBatch {
    let chunks = [older, newer].map(|of| {
        let snapshot = Arc::new(of.clone());
        (0..2).map(move |index| Chunk { snapshot: Arc::clone(&snapshot), index, count: 2 })
    });
    let named = SnapshotRef { position: newer.position, chunks: 2, digest: newer.digest };
    let entry = Checkpoint { snapshot: Some(named), ..entry(newer.position, 3, 0) };
    let results = vec![(PartitionId(0), Forecasts, rows(0, 3))];
    CommitBatch {
        chunks: chunks.into_iter().flatten().collect(),
        ..epoch(results, &[(PartitionId(0), entry)])
    }
}

/// A state may be saved again where it was saved before; the second name of the same file was an
/// error that ended the run.
#[test]
fn a_snapshot_that_comes_twice_in_one_epoch_is_named_once() {
    let files = Files::new(SinkFileFormat::Ndjson, true);
    let (recover, mut commit, _) = begin(&files, 1, PartitionId(0));
    let twice = snapshot(PartitionId(0), Offset(20), 2 * CHUNK_BYTES);
    assert_eq!(commit.attempt(&two_snapshots(&twice, &twice)).unwrap(), CommitOutcome::Committed);
    drop((recover, commit));
    assert!(begin(&files, 1, PartitionId(0)).2.snapshot == Some(twice));
}

fn a_snapshot_left_half_written_is_no_obstacle(ledger: &dyn Harness) {
    let large = snapshot(PartitionId(0), Offset(4711), LARGE);
    for life in 0..3 {
        let (_recover, commit, claim) = begin(ledger, 1, PartitionId(0));
        let mut committer = Committer::new(commit);
        committer.begin(PartitionId(0), claim.entry.clone()).unwrap();
        match claim.entry {
            None => committer.results(
                PartitionId(0),
                vec![(Forecasts, rows(0, 3))],
                Some(progress(Offset(4711), 3, 0)),
            ),
            Some(entry) => assert_eq!(entry.progress, progress(Offset(4711), 3, 0)),
        }
        committer.snapshot(large.clone());
        // The first life dies before the last chunk, the second one writes all of them again.
        for _ in 0..life + 1 {
            assert_eq!(committer.commit().unwrap(), Committed::Done(true));
            if committer.is_clean() {
                break;
            }
        }
        assert_eq!(claim.snapshot.is_some(), life == 2);
    }
    let (_recover, _commit, claim) = begin(ledger, 1, PartitionId(0));
    assert!(claim.snapshot == Some(large));
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(3));
}

/// A state that begins with all but the last byte of a whole one, light and whole.
fn light(of: &Snapshot, position: i64, bytes: usize) -> [Snapshot; 2] {
    let (shared, rest) = (of.state.len() - 1, state(position as u64, bytes));
    let whole = [&of.state[..shared], &rest].concat();
    let position = Offset(position);
    let light = Snapshot::light(of.partition, position, Base::of(of, shared), rest);
    [light, Snapshot::new(of.partition, position, whole)]
}

/// Whatever a ledger clears away when a newer snapshot is committed, a base stays for as long as
/// the newest one needs it.
fn a_light_snapshot_is_claimed_with_its_base(ledger: &dyn Harness) {
    let id = PartitionId(1);
    let (mut recover, commit, _) = begin(ledger, 1, id);
    let mut committer = Committer::new(commit);
    committer.begin(id, None).unwrap();
    let [first, second] = [(10, LARGE), (1000, 2000)].map(|(at, bytes)| snapshot(id, Offset(at), bytes));
    let of = |whole: &Snapshot, ats: [i64; 3], bytes: usize| ats.map(|at| light(whole, at, bytes));
    let states = [[first.clone(), first.clone()]].into_iter().chain(of(&first, [20, 30, 40], 100));
    let states =
        states.chain(of(&first, [50, 60, 70], 2 * CHUNK_BYTES)).chain([[second.clone(), second.clone()]]);
    let states: Vec<_> = states.chain(of(&second, [1010, 1020, 1030], 7)).collect();
    for (n, [snapshot, whole]) in (1..).zip(states) {
        let reached = progress(snapshot.position, n, 0);
        committer.results(id, vec![(Forecasts, rows(n - 1, n))], Some(reached));
        committer.snapshot(snapshot);
        while !committer.is_clean() {
            assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        }
        let claim = recover.claim(id).unwrap();
        assert!(claim.snapshot == Some(whole), "at {}", reached.position);
    }
    let claim = recover.claim(id).unwrap();
    drop((recover, committer));
    let (_recover, _commit, again) = begin(ledger, 1, id);
    assert!(again == claim && again.snapshot.is_some(), "another life claims something else");
}

fn a_damaged_base_stops_the_claim(ledger: &dyn Harness) {
    let id = PartitionId(1);
    let (recover, commit, _) = begin(ledger, 1, id);
    let mut committer = Committer::new(commit);
    committer.begin(id, None).unwrap();
    let whole = snapshot(id, Offset(10), 2 * CHUNK_BYTES);
    let [light, _] = light(&whole, 4711, 100);
    for (n, snapshot) in (1..).zip([whole, light]) {
        committer.results(id, vec![(Forecasts, rows(n - 1, n))], Some(progress(snapshot.position, n, 0)));
        committer.snapshot(snapshot);
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    }
    drop((recover, committer));
    ledger.damage_oldest(id);
    let (mut recover, _commit) = ledger.open(1, false);
    let error = recover.claim(id).unwrap_err();
    let said = error.to_string();
    assert!(error.kind == Kind::State && said.contains("4711"), "{said}");
    assert!(said.contains("checksum") || said.contains("position 10, which it needs"), "{said}");
}

fn a_partition_given_back_goes_on_elsewhere(ledger: &dyn Harness) {
    let (mut ours, mut our_commit, _) = begin(ledger, 1, PartitionId(0));
    let (mut theirs, mut their_commit) = ledger.open(2, false);
    let mut last = None;
    for turn in 0..4 {
        let (recover, commit) = match turn % 2 {
            0 => (&mut ours, &mut our_commit),
            _ => (&mut theirs, &mut their_commit),
        };
        let claim = recover.claim(PartitionId(0)).unwrap();
        assert_eq!(claim.entry, last);
        commit.begin(PartitionId(0), claim.entry.as_ref()).unwrap();
        last = Some(commit_forecasts(commit.as_mut(), PartitionId(0), turn * 5, turn * 5 + 5));
        commit.release(PartitionId(0)).unwrap();
    }
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(20));
}

fn settling_tells_of_our_own_commits(ledger: &dyn Harness) {
    let (_ours, mut our_commit, _) = begin(ledger, 1, PartitionId(0));
    let (mut theirs, mut their_commit, _) = begin(ledger, 2, PartitionId(1));
    let first = commit_forecasts(our_commit.as_mut(), PartitionId(0), 0, 2);
    let other = commit_forecasts(their_commit.as_mut(), PartitionId(1), 0, 3);
    assert_eq!(our_commit.settle(&[PartitionId(0)]).unwrap(), BTreeMap::from([(PartitionId(0), first)]));
    assert_eq!(
        their_commit.settle(&[PartitionId(1)]).unwrap(),
        BTreeMap::from([(PartitionId(1), other.clone())])
    );
    // After it one goes on.
    let second = commit_forecasts(our_commit.as_mut(), PartitionId(0), 2, 4);
    assert_eq!(our_commit.settle(&[PartitionId(0)]).unwrap(), BTreeMap::from([(PartitionId(0), second)]));
    if ledger.is_exclusive() {
        return;
    }
    our_commit.release(PartitionId(0)).unwrap();
    let claim = theirs.claim(PartitionId(0)).unwrap();
    their_commit.begin(PartitionId(0), claim.entry.as_ref()).unwrap();
    let third = commit_forecasts(their_commit.as_mut(), PartitionId(0), 4, 5);
    assert_eq!(our_commit.settle(&[PartitionId(0), PartitionId(1)]).unwrap(), BTreeMap::new());
    assert_eq!(
        their_commit.settle(&[PartitionId(0), PartitionId(1)]).unwrap(),
        BTreeMap::from([(PartitionId(0), third), (PartitionId(1), other)])
    );
}

fn a_damaged_snapshot_stops_the_claim(ledger: &dyn Harness) {
    let (recover, commit, _) = begin(ledger, 1, PartitionId(0));
    let mut committer = Committer::new(commit);
    committer.begin(PartitionId(0), None).unwrap();
    for (position, count) in [(10, 1), (4711, 2)] {
        let rows = rows(count - 1, count);
        committer.results(
            PartitionId(0),
            vec![(Forecasts, rows)],
            Some(progress(Offset(position), count, 0)),
        );
        committer.snapshot(snapshot(PartitionId(0), Offset(position), 1000));
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
    }
    drop((recover, committer));
    ledger.damage(PartitionId(0));
    let (mut recover, _commit) = ledger.open(1, false);
    for _ in 0..2 {
        let error = recover.claim(PartitionId(0)).unwrap_err();
        assert!(error.kind == Kind::State && error.to_string().contains("4711"), "{error}");
    }
    // What is committed can be taken over without what was learned.
    let entry = recover.take_over(PartitionId(0)).unwrap().unwrap();
    assert_eq!(entry.progress, progress(Offset(4711), 2, 0));
    assert_eq!(recover.claim(PartitionId(1)).unwrap(), Claim::default());
}

fn results_that_nobody_remembers_stop_the_claim(ledger: &dyn Harness) {
    let (recover, mut commit, _) = begin(ledger, 1, PartitionId(0));
    commit_forecasts(commit.as_mut(), PartitionId(0), 0, 2);
    drop((recover, commit));
    ledger.forget();
    let (mut recover, commit) = ledger.open(1, false);
    let error = recover.claim(PartitionId(0)).unwrap_err();
    assert!(error.kind == Kind::State && error.to_string().contains("results"), "{error}");
    assert_eq!(recover.claim(PartitionId(1)).unwrap(), Claim::default());
    drop((recover, commit));
    let (mut recover, mut commit) = ledger.open(1, true);
    let Ok(claim) = recover.claim(PartitionId(0)) else { return };
    assert_eq!(claim, Claim::default());
    commit.begin(PartitionId(0), None).unwrap();
    commit_forecasts(commit.as_mut(), PartitionId(0), 2, 4);
    // What was there stays.
    assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(4));
}

fn never_two_writers(ledger: &dyn Harness) {
    let (_first, mut former, _) = begin(ledger, 1, PartitionId(0));
    commit_forecasts(former.as_mut(), PartitionId(0), 0, 2);
    let (mut second, mut later) = ledger.open(1, false);
    let claim = second.claim(PartitionId(0));
    let attempt =
        epoch(vec![(PartitionId(0), Forecasts, rows(2, 4))], &[(PartitionId(0), entry(Offset(4), 4, 0))]);
    match claim {
        // It is refused while the first lives: that one goes on.
        Err(error) => {
            assert!(ledger.is_exclusive() && error.kind == Kind::State, "{error}");
            assert_eq!(former.attempt(&attempt).unwrap(), CommitOutcome::Committed);
            assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(4));
        }
        Ok(claim) => {
            assert_eq!(claim.entry, Some(entry(Offset(2), 2, 0)));
            later.begin(PartitionId(0), claim.entry.as_ref()).unwrap();
            let verdict = former.attempt(&attempt);
            assert!(!matches!(verdict, Ok(CommitOutcome::Committed)), "two write: {verdict:?}");
            assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(2));
            commit_forecasts(later.as_mut(), PartitionId(0), 2, 3);
            assert_eq!(ledger.committed(PartitionId(0), Forecasts), lines(3));
            assert_eq!(second.claim(PartitionId(0)).unwrap().entry, Some(entry(Offset(3), 3, 0)));
        }
    }
}
