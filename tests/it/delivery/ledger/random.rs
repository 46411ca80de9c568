//! The last case of the suite: any sequence of what runners do gives on every ledger what it gives
//! in memory. It must not bring faults: those are the simulation's.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tickcast_stream::ledger::{CHUNK_BYTES, Committed, Committer, Position, Recover};
use tickcast_stream::{Offset, PartitionId};

use super::harness::{Harness, Memory, PARTITIONS, STREAMS};
use super::{progress, rows, snapshot};

const SEEDS: u64 = 2;
const STEPS: usize = 30;
const MEMBERS: u64 = 2;

pub fn any_sequence_ends_as_in_memory(ledger: &dyn Harness) {
    // One seed after the other on the same ledger: partitions are never as new.
    let memory = Memory::default();
    for seed in 0..SEEDS {
        let (expected, seen) = (play(&memory, seed), play(ledger, seed));
        for (at, (expected, seen)) in expected.iter().zip(&seen).enumerate() {
            assert_eq!(expected, seen, "seed {seed}, step {at}");
        }
        assert_eq!(expected.len(), seen.len());
    }
}

/// A life of a member, and how far each of its partitions has come.
struct Life {
    recover: Box<dyn Recover>,
    committer: Committer,
    reached: BTreeMap<PartitionId, Position>,
}

impl Life {
    fn new(ledger: &dyn Harness, member: u64) -> Self {
        let (recover, commit) = ledger.open(member, false);
        Life { recover, committer: Committer::new(commit), reached: BTreeMap::new() }
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
        self.committer.begin(partition, claim.entry).unwrap();
        self.reached.insert(partition, claim.entry.map_or(progress(Offset(3), 0, 0), |entry| entry.progress));
        let state = claim.snapshot.map(|found| {
            assert!(found == snapshot(partition, found.position, size(found.position)), "another state");
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

/// Bytes of the state at a position: most fit into a chunk, few into no epoch.
fn size(position: Offset) -> usize {
    match position.0 % 16 {
        0 => 9 * CHUNK_BYTES + 5,
        1..4 => 2 * CHUNK_BYTES,
        other => other as usize * 1000,
    }
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
                let position = life.reached[&id].position;
                life.committer.snapshot(snapshot(id, position, size(position)));
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
