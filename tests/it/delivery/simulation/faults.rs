//! What goes wrong in a seed, and how often: fates for every step of an attempt, all drawn from one
//! generator. It must not know what is committed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tickcast_stream::testing::{Fate, Fates, InstanceId, Step, World};

/// How often each thing was done or happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// What has to happen in a run of many seeds, or it has shown nothing.
pub const KINDS: [&str; 29] = [
    "records worked on",
    "commits",
    "checks of partitions with a past",
    "claims",
    "claims that replay",
    "closes by a clock",
    "claims with closes to come",
    "snapshots",
    "light snapshots",
    "claims of a light snapshot",
    "snapshots of several epochs",
    "kills",
    "deaths within a commit",
    "graceful rebalances",
    "partitions moved",
    "zombies",
    "zombies made within a commit",
    "names taken",
    "rejoined late",
    "commits refused",
    "commits aborted",
    "network partitions",
    "network partitions within a commit",
    "claims without an answer",
    "commits after a network partition",
    "replies lost",
    "requests lost",
    "torn chunks that stopped a claim",
    "offsets forgotten",
];

/// Chances of each fate at one step, in thousandths.
struct Odds {
    crash: u32,
    abort: u32,
    lose_reply: u32,
    lose_request: u32,
    cut: u32,
    part: u32,
    tear: u32,
}

struct Drawn {
    rng: Pcg64Mcg,
    odds: Odds,
    /// Whether anything goes wrong any more.
    faulty: bool,
    /// Who knows the group's generation.
    group: Vec<InstanceId>,
    /// Who was cut off within an attempt.
    cut: Vec<InstanceId>,
    tally: Tally,
    trace: Option<Vec<String>>,
}

/// Chance, the group as it is, and what has happened: shared by the scheduler and the ledgers of
/// one seed.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<Drawn>>);

impl Chance {
    pub fn new(seed: u64, torn: bool, trace: bool) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut draw = |most: &[u32]| most[rng.random_range(0..most.len())];
        let odds = Odds {
            crash: draw(&[0, 5, 20]),
            abort: draw(&[0, 30, 150]),
            lose_reply: draw(&[0, 30, 150]),
            lose_request: draw(&[0, 30, 100]),
            cut: draw(&[0, 5, 30]),
            part: draw(&[0, 5, 20]),
            tear: if torn { 150 } else { 0 },
        };
        let (group, cut, tally, trace) = (Vec::new(), Vec::new(), Tally::new(), trace.then(Vec::new));
        Chance(Arc::new(Mutex::new(Drawn { rng, odds, faulty: true, group, cut, tally, trace })))
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pick(&self, range: Range<usize>) -> usize {
        self.drawn().rng.random_range(range)
    }

    pub fn one_in(&self, n: usize) -> bool {
        self.pick(0..n) == 0
    }

    pub fn count(&self, what: &'static str, times: usize) {
        *self.drawn().tally.entry(what).or_default() += times as u64;
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.drawn().trace {
            trace.push(what());
        }
    }

    /// Nothing goes wrong from here on.
    pub fn heal(&self) {
        self.drawn().faulty = false;
    }

    /// Things go wrong again.
    pub fn worsen(&self) {
        self.drawn().faulty = true;
    }

    /// The group's members of a new generation.
    pub fn regroup(&self, world: &World, members: &[InstanceId]) {
        self.drawn().group = members.to_vec();
        world.rebalance(members);
    }

    pub fn take_cut(&self) -> Vec<InstanceId> {
        std::mem::take(&mut self.drawn().cut)
    }

    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.drawn().tally)
    }

    pub fn take_trace(&self) -> Vec<String> {
        self.drawn().trace.take().unwrap_or_default()
    }

    /// What happens to the attempts of a member's ledger.
    pub fn fates(&self, world: &World, member: InstanceId) -> Fates {
        let (chance, world) = (self.clone(), world.clone());
        Box::new(move |step| chance.fate(&world, member, step))
    }

    fn fate(&self, world: &World, member: InstanceId, step: Step) -> Fate {
        let mut drawn = self.drawn();
        if !drawn.faulty {
            return Fate::Go;
        }
        let mut left = drawn.rng.random_range(0..1000);
        let mut falls = |odds: u32| {
            let falls = left < odds;
            left = left.saturating_sub(odds);
            // Once it has fallen, nothing else does.
            if falls {
                left = u32::MAX;
            }
            falls
        };
        let Odds { crash, abort, lose_reply, lose_request, cut, part, tear } = drawn.odds;
        let within = step != Step::Committed;
        let (fate, what) = if falls(crash) {
            (Fate::Crash, "deaths within a commit")
        } else if falls(lose_reply) {
            (Fate::LoseReply, "replies lost")
        } else if within && falls(abort) {
            (Fate::Abort, "commits aborted")
        } else if within && falls(lose_request) {
            (Fate::LoseRequest, "requests lost")
        } else if within && falls(part) {
            world.part(member);
            (Fate::Go, "network partitions within a commit")
        } else if within && falls(tear) {
            (Fate::Tear, "chunks torn")
        } else if within && falls(cut) && drawn.group.len() > 1 && drawn.group.contains(&member) {
            drawn.group.retain(|&other| other != member);
            drawn.cut.push(member);
            world.rebalance(&drawn.group);
            (Fate::Go, "zombies made within a commit")
        } else {
            return Fate::Go;
        };
        *drawn.tally.entry(what).or_default() += 1;
        if let Some(trace) = &mut drawn.trace {
            trace.push(format!("  member {member}, {step:?}: {what}"));
        }
        fate
    }
}
