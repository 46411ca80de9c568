//! The last case of the suite: any sequence of what runners do gives on every ledger what it gives
//! in memory. It must not bring faults: those are the simulation's.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tickcast_stream::ledger::{Base, CHUNK_BYTES, Committed, Committer, Position, Recover, Snapshot};
use tickcast_stream::{Offset, PartitionId};

use super::harness::{Harness, Memory, PARTITIONS, STREAMS};
use super::{progress, rows, state};

const SEEDS: u64 = 2;
const STEPS: usize = 60;
const MEMBERS: u64 = 2;
const LIGHT: &str = "a light snapshot";

pub fn any_sequence_ends_as_in_memory(ledger: &dyn Harness) {
    // One seed after the other on the same ledger: partitions are never as new.
    let (memory, mut light) = (Memory::default(), 0);
    for seed in 0..SEEDS {
        let (expected, seen) = (play(&memory, seed), play(ledger, seed));
        for (at, (expected, seen)) in expected.iter().zip(&seen).enumerate() {
            assert_eq!(expected, seen, "seed {seed}, step {at}");
        }
        assert_eq!(expected.len(), seen.len());
        light += expected.iter().filter(|told| *told == LIGHT).count();
    }
    assert!(light > 2, "{light} light snapshots");
}

/// A life of a member, and how far each of its partitions has come.
struct Life {
    recover: Box<dyn Recover>,
    committer: Committer,
    reached: BTreeMap<PartitionId, Position>,
    /// The newest whole snapshot of each of them.
    wholes: BTreeMap<PartitionId, Base>,
}

impl Life {
    fn new(ledger: &dyn Harness, member: u64) -> Self {
        let (recover, commit) = ledger.open(member, false);
        let (reached, wholes) = (BTreeMap::new(), BTreeMap::new());
        Life { recover, committer: Committer::new(commit), reached, wholes }
    }

    fn any_of(&self, rng: &mut Pcg64Mcg) -> Option<PartitionId> {
        let draw = rng.random_range(0..PARTITIONS as usize);
        self.reached.keys().nth(draw % self.reached.len().max(1)).copied()
    }

    /// Commits all there is. Without faults nothing keeps it.
    fn commit_all(&mut self) -> usize {
        let mut epochs = 0;
        while !self.committer.is_clean() {
            assert!(matches!(self.committer.commit().unwrap(), Committed::Done(_)));
            epochs += 1;
        }
        epochs
    }

    fn claim(&mut self, partition: PartitionId) -> String {
        let claim = self.recover.claim(partition).unwrap();
        self.committer.begin(partition, claim.entry.clone()).unwrap();
        self.reached.insert(
            partition,
            claim.entry.as_ref().map_or(progress(Offset(3), 0, 0), |entry| entry.progress),
        );
        self.wholes.remove(&partition);
        let state = claim.snapshot.map(|found| {
            let [beginning, rest] = parts(found.position);
            let whole = Snapshot::new(partition, found.position, [beginning, rest].concat());
            assert!(found == whole, "another state");
            (found.position, found.state.len())
        });
        format!("{partition}: {:?}, {state:?}", claim.entry)
    }

    fn results(&mut self, partition: PartitionId, rng: &mut Pcg64Mcg) {
        let Some(at) = self.reached.get_mut(&partition) else { return };
        at.position = Offset(at.position.0 + rng.random_range(1..20));
        let mut results = Vec::new();
        for _ in 0..rng.random_range(0..3) {
            let stream = STREAMS[rng.random_range(0..STREAMS.len())];
            let (from, count) = (at.counts.of(stream), rng.random_range(1..8));
            results.push((stream, rows(from, from + count)));
            at.counts.add(stream, count);
        }
        self.committer.results(partition, results, Some(*at));
    }
}

impl Life {
    /// Takes a state, a light one where what it shares is committed; whether it is one.
    fn snapshot(&mut self, partition: PartitionId) -> bool {
        let position = self.reached[&partition].position;
        let [beginning, rest] = parts(position);
        let kept = self.committer.kept(partition);
        let base = self.wholes.get(&partition).copied().filter(|base| {
            let is_kept = kept == Some(base.of) && base.of.position < position;
            is_kept && window(base.of.position) == window(position)
        });
        let snapshot = match base {
            Some(base) => Snapshot::light(partition, position, base, rest),
            None => Snapshot::new(partition, position, [&beginning[..], &rest].concat()),
        };
        if base.is_none() {
            self.wholes.insert(partition, Base::of(&snapshot, beginning.len()));
        }
        self.committer.snapshot(snapshot);
        base.is_some()
    }
}

/// States of one window begin alike.
fn window(position: Offset) -> i64 {
    position.0 / 64
}

/// Both parts of the state at a position: most fit into a chunk, few into no epoch.
fn parts(position: Offset) -> [Vec<u8>; 2] {
    let window = window(position) as u64;
    let bytes = match window % 16 {
        5 => 9 * CHUNK_BYTES + 5,
        6..9 => 2 * CHUNK_BYTES,
        other => (other as usize + 1) * 1000,
    };
    [state(window, bytes), state(position.0 as u64, 500 + position.0 as usize % 7)]
}

/// Plays a seed: what every claim found, how commits went, and at last what is visible.
fn play(ledger: &dyn Harness, seed: u64) -> Vec<String> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut lives: Vec<Life> = (1..=MEMBERS).map(|member| Life::new(ledger, member)).collect();
    let mut told = Vec::new();
    for _ in 0..STEPS {
        let at = rng.random_range(0..lives.len());
        let idle: Vec<PartitionId> = (0..PARTITIONS)
            .map(PartitionId)
            .filter(|id| !lives.iter().any(|life| life.reached.contains_key(id)))
            .collect();
        let life = &mut lives[at];
        let owned = life.any_of(&mut rng);
        match (rng.random_range(0..20), owned) {
            (0..4, _) if !idle.is_empty() => told.push(life.claim(idle[rng.random_range(0..idle.len())])),
            (0..10, Some(id)) => life.results(id, &mut rng),
            (10..13, Some(id)) => {
                life.snapshot(id);
                // Again when it is kept and little has changed.
                if rng.random_range(0..2) == 0 {
                    told.push(format!("{} epochs", life.commit_all()));
                    life.results(id, &mut rng);
                    told.extend(life.snapshot(id).then(|| LIGHT.to_owned()));
                }
            }
            (13..16, _) => told.push(format!("{:?}", life.committer.commit().unwrap())),
            (16, Some(id)) => {
                // In order, its last results committed.
                told.push(format!("{} epochs", life.commit_all()));
                life.committer.release(id).unwrap();
                life.reached.remove(&id);
            }
            (17, Some(id)) => {
                // Lost: what is not committed goes.
                life.committer.release(id).unwrap();
                life.reached.remove(&id);
            }
            (18, _) => {
                // It dies and comes back under its name.
                drop(lives.remove(at));
                lives.insert(at, Life::new(ledger, at as u64 + 1));
            }
            _ => {}
        }
    }
    lives.iter_mut().for_each(|life| told.push(format!("{} epochs", life.commit_all())));
    drop(lives);
    let mut life = Life::new(ledger, 1);
    for id in (0..PARTITIONS).map(PartitionId) {
        told.extend(STREAMS.map(|stream| format!("{id} {stream:?} {:?}", ledger.committed(id, stream))));
        told.push(life.claim(id));
    }
    told
}
