//! One seed: a group of instances on one ledger, a scheduler that does to them what happens to
//! deployments, and the check of all that becomes visible. It must not know how a commit is made:
//! it sees what the ledger holds.

use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, Retry};
use tickcast_stream::ledger::{CHUNK_BYTES, Committed};
use tickcast_stream::message::Stream;
use tickcast_stream::runtime::RunContext;
use tickcast_stream::testing::{CRASHED, InstanceId, World};

use super::clock::Clock;
use super::faults::Chance;
use super::input::Input;
use super::instance::{Instance, Place, Saved};
use super::seeds::Report;

/// Instances beside zombies, at most.
const MOST: usize = 3;
/// How often an instance that gives a partition back tries its last commit.
const TRIES: usize = 4;

/// Why a seed ends before its time.
pub enum Stop {
    /// A claim found a torn snapshot and said so.
    Torn,
    Failed(String),
}

type PartitionOutput<T = ()> = Result<T, Stop>;

fn failed<T>(why: impl Into<String>) -> PartitionOutput<T> {
    Err(Stop::Failed(why.into()))
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error.to_string())
    }
}

pub fn run(seed: u64, watch: &RunContext, trace: bool) -> Report {
    let torn = seed % 16 == 5;
    let chance = Chance::new(seed, torn, trace);
    let input = Input::new(seed);
    let mut deployment = Deployment {
        // Chunks are large: few seeds have states that take more than one epoch.
        padding: if seed % 64 == 9 { 9 * CHUNK_BYTES } else { 0 },
        world: World::default(),
        input: &input,
        instances: Vec::new(),
        chance: chance.clone(),
        watch,
        torn,
        started: 0,
        newest: 0,
    };
    let failure = match deployment.live(seed % 32 == 7) {
        Ok(()) => None,
        Err(Stop::Torn) => {
            chance.count("torn chunks that stopped a claim", 1);
            None
        }
        Err(Stop::Failed(why)) => Some(why),
    };
    Report { tally: chance.take_tally(), trace: chance.take_trace(), failure }
}

struct Deployment<'a> {
    world: World,
    input: &'a Input,
    instances: Vec<Instance>,
    chance: Chance,
    watch: &'a RunContext,
    /// Whether chunks are torn in this seed.
    torn: bool,
    padding: usize,
    started: usize,
    /// The last name given.
    newest: InstanceId,
}

impl Deployment<'_> {
    fn live(&mut self, forgets: bool) -> PartitionOutput {
        (0..self.chance.pick(1..MOST + 1)).for_each(|_| self.start());
        self.rebalance()?;
        for _ in 0..self.chance.pick(30..150) {
            self.step()?;
            self.meet_cuts()?;
        }
        if forgets {
            return self.forget();
        }
        self.end()
    }

    fn step(&mut self) -> PartitionOutput {
        match self.chance.pick(0..112) {
            0..40 => self.any(Self::work),
            40..58 => self.any(Self::hear),
            58..76 => self.any(|it, at| it.commit(at).map(drop)),
            76..84 => self.any(Self::save),
            84..87 => self.any(Self::kill),
            87..91 => self.rebalance(),
            91..93 => {
                if self.with(Place::is_in_group).len() < MOST {
                    self.start();
                }
                self.rebalance()
            }
            93..95 => self.cut_off(),
            95 => self.replace(),
            96..98 => self.be_late(),
            100..104 => self.part(),
            104..108 => self.mend(),
            108..112 => self.any(Self::be_quiet),
            _ => self.tell_zombie(),
        }
    }

    /// Where instances are in the list.
    fn with(&self, holds: impl Fn(Place) -> bool) -> Vec<usize> {
        (0..self.instances.len()).filter(|&at| holds(self.instances[at].place)).collect()
    }

    fn choose(&self, among: &[usize]) -> Option<usize> {
        (!among.is_empty()).then(|| among[self.chance.pick(0..among.len())])
    }

    fn find(&self, id: usize) -> Option<usize> {
        self.instances.iter().position(|instance| instance.id == id)
    }

    /// Does it with one of the instances.
    fn any(&mut self, act: impl FnOnce(&mut Self, usize) -> PartitionOutput) -> PartitionOutput {
        self.choose(&self.with(|_| true)).map_or(Ok(()), |at| act(self, at))
    }

    fn start(&mut self) {
        self.newest += 1;
        self.start_as(self.newest);
    }

    fn start_as(&mut self, member: InstanceId) {
        self.chance.say(|| format!("start member {member}"));
        self.started += 1;
        let ledger = self.world.open(member, self.chance.fates(&self.world, member));
        self.instances.push(Instance::start(ledger, self.started, member, Clock::new(&self.chance)));
    }

    fn work(&mut self, at: usize) -> PartitionOutput {
        let instance = &mut self.instances[at];
        let ids = instance.partitions();
        if ids.is_empty() {
            return Ok(());
        }
        let id = ids[self.chance.pick(0..ids.len())];
        let most = [2, 10, 60][self.chance.pick(0..3)];
        let worked = instance.work(self.input, id, self.chance.pick(1..most + 1))?;
        self.chance.count("records worked on", worked);
        self.chance.say(|| format!("{instance} works on {worked} of partition {id}"));
        Ok(())
    }

    /// Nothing comes of a partition for so long that a clock closes its windows.
    fn be_quiet(&mut self, at: usize) -> PartitionOutput {
        let instance = &mut self.instances[at];
        let ids = instance.partitions();
        if ids.is_empty() {
            return Ok(());
        }
        let id = ids[self.chance.pick(0..ids.len())];
        let closes = instance.close_open(id)?;
        self.chance.count("closes by a clock", usize::from(closes));
        self.chance.say(|| format!("{instance} hears nothing of partition {id}: closes {closes}"));
        Ok(())
    }

    fn hear(&mut self, at: usize) -> PartitionOutput {
        let instance = &mut self.instances[at];
        let queued = instance.queued();
        let count = self.chance.pick(0..queued + 1);
        self.chance.say(|| format!("{instance}'s sink takes {count} of {queued}"));
        Ok(instance.hear(count)?)
    }

    /// Saves the states, and perhaps again when they are kept and little has changed.
    fn save(&mut self, at: usize) -> PartitionOutput {
        let id = self.instances[at].id;
        self.save_all(at)?;
        if self.chance.one_in(2) {
            return Ok(());
        }
        let queued = self.instances[at].queued();
        self.instances[at].hear(queued)?;
        if self.commit(at)? != Some(true) {
            return Ok(());
        }
        self.meet_cuts()?;
        self.find(id).map_or(Ok(()), |at| {
            self.work(at)?;
            self.save_all(at)
        })
    }

    fn save_all(&mut self, at: usize) -> PartitionOutput {
        let instance = &mut self.instances[at];
        for id in instance.partitions() {
            let saved = instance.save(id, self.padding)?;
            let is_whole = saved == Saved::Whole;
            self.chance.count("snapshots", usize::from(is_whole));
            self.chance.count("light snapshots", usize::from(saved == Saved::Light));
            self.chance.count("snapshots of several epochs", usize::from(is_whole && self.padding > 0));
            self.chance.say(|| format!("{instance} saves partition {id}: {saved:?}"));
        }
        Ok(())
    }

    /// One attempt: whether all that the sink had was committed; none, when the instance died of
    /// it.
    fn commit(&mut self, at: usize) -> PartitionOutput<Option<bool>> {
        let instance = &mut self.instances[at];
        let committed = instance.commit();
        self.chance.say(|| format!("{instance} commits: {committed:?}"));
        self.check()?;
        match committed {
            Ok(Committed::Done(any)) => {
                self.chance.count("commits", usize::from(any));
                Ok(Some(true))
            }
            Ok(Committed::Later { refused, .. }) => {
                self.chance.count("commits refused", usize::from(refused));
                Ok(Some(false))
            }
            Err(error) if error.to_string().contains(CRASHED) => {
                self.bury(at)?;
                Ok(None)
            }
            Err(error) => failed(format!("a commit failed: {error}")),
        }
    }

    fn kill(&mut self, at: usize) -> PartitionOutput {
        self.chance.count("kills", 1);
        self.chance.say(|| format!("kill {}", self.instances[at]));
        self.bury(at)
    }

    /// An instance is gone. It may come back at once under its name, as one with a static
    /// membership does: the group does not notice, and it has its partitions again. Otherwise they
    /// lie idle until the next rebalance.
    fn bury(&mut self, at: usize) -> PartitionOutput {
        let gone = self.instances.remove(at);
        if gone.place != Place::InstanceId || !self.chance.one_in(3) {
            return Ok(());
        }
        self.start_as(gone.member);
        let last = self.instances.len() - 1;
        gone.partitions().into_iter().try_for_each(|id| self.claim(last, id))
    }

    /// The group's members share the partitions anew: who has to give some back does it in order,
    /// then they are claimed.
    fn rebalance(&mut self) -> PartitionOutput {
        if self.with(Place::is_in_group).is_empty() {
            self.start();
        }
        for instance in self.instances.iter_mut().filter(|instance| instance.place == Place::Late) {
            instance.place = Place::InstanceId;
            self.chance.count("rejoined late", 1);
        }
        self.regroup();
        self.chance.count("graceful rebalances", 1);
        for id in self.input.ids() {
            let owner = self.instances.iter().position(|it| it.place == Place::InstanceId && it.has(id));
            if let (Some(at), true) = (owner, self.chance.one_in(2)) {
                self.chance.count("partitions moved", 1);
                self.give_back(self.instances[at].id, id)?;
            }
        }
        self.regroup();
        self.claim_idle()
    }

    /// All that are no zombies know the group's new generation.
    fn regroup(&mut self) {
        let current = self.instances.iter().filter(|instance| instance.place == Place::InstanceId);
        let members: Vec<InstanceId> = current.map(|instance| instance.member).collect();
        self.chance.say(|| format!("the group is {members:?}"));
        self.chance.regroup(&self.world, &members);
    }

    /// A partition's state, its last results, and it is given back, committed or not.
    fn give_back(&mut self, who: usize, id: PartitionId) -> PartitionOutput {
        let Some(at) = self.find(who) else { return Ok(()) };
        let instance = &mut self.instances[at];
        self.chance.say(|| format!("{instance} gives partition {id} back"));
        instance.save(id, self.padding)?;
        instance.hear(instance.queued())?;
        for _ in 0..TRIES {
            match self.commit(at)? {
                Some(false) => {}
                Some(true) => break,
                None => return Ok(()),
            }
        }
        self.meet_cuts()?;
        // Cut off meanwhile, it does not get to give back what it has lost.
        match self.find(who) {
            Some(at) if self.instances[at].place == Place::InstanceId => Ok(self.instances[at].release(id)?),
            _ => Ok(()),
        }
    }

    /// Partitions that nobody in the group has go to any of its members.
    fn claim_idle(&mut self) -> PartitionOutput {
        for id in self.input.ids() {
            let in_group = self.with(Place::is_in_group);
            if in_group.iter().any(|&at| self.instances[at].has(id)) {
                continue;
            }
            let Some(at) = self.choose(&self.with(|place| place == Place::InstanceId)) else { return Ok(()) };
            self.claim(at, id)?;
        }
        Ok(())
    }

    fn claim(&mut self, at: usize, id: PartitionId) -> PartitionOutput {
        let end = self.input.end_of(id, &self.chance);
        let instance = &mut self.instances[at];
        let claimed = instance.claim(self.input, (id, end), self.watch);
        self.chance.say(|| {
            let (told, entry) = (claimed.as_ref().map_err(ToString::to_string), self.world.entry(id));
            format!("{instance} claims partition {id}: replays {told:?}, {entry:?}")
        });
        match claimed {
            Ok(replays) => {
                self.chance.count("claims", 1);
                self.chance.count("claims that replay", usize::from(replays));
                self.chance.count("claims of a light snapshot", usize::from(self.world.base(id).is_some()));
                let has_closes = self.world.entry(id).is_some_and(|entry| !entry.closes.is_empty());
                self.chance.count("claims with closes to come", usize::from(has_closes));
                Ok(())
            }
            Err(error)
                if self.torn && error.kind == Kind::State && error.to_string().contains("not whole") =>
            {
                self.check()?;
                Err(Stop::Torn)
            }
            // It stays idle: the next rebalance, or the network's return, claims it again.
            Err(error) if error.retry == Retry::Later && self.world.is_away(instance.member) => {
                self.chance.count("claims without an answer", 1);
                Ok(())
            }
            Err(error) => failed(format!("partition {id} cannot be claimed: {error}")),
        }
    }

    /// One of several members is cut off without being told; the others have its partitions.
    fn cut_off(&mut self) -> PartitionOutput {
        let members = self.with(|place| place == Place::InstanceId);
        let (Some(at), true) = (self.choose(&members), members.len() > 1) else { return Ok(()) };
        self.become_zombie(at)
    }

    fn become_zombie(&mut self, at: usize) -> PartitionOutput {
        self.chance.count("zombies", 1);
        self.chance.say(|| format!("{} is cut off", self.instances[at]));
        self.instances[at].place = Place::Zombie;
        self.regroup();
        self.claim_idle()
    }

    /// The network of one that runs goes down: nothing it sends arrives. Its session may time out.
    fn part(&mut self) -> PartitionOutput {
        let reached = |&at: &usize| !self.world.is_away(self.instances[at].member);
        let reached: Vec<usize> = self.with(Place::is_in_group).into_iter().filter(reached).collect();
        let Some(at) = self.choose(&reached) else { return Ok(()) };
        self.chance.count("network partitions", 1);
        self.chance.say(|| format!("the network of {} goes down", self.instances[at]));
        self.world.part(self.instances[at].member);
        let is_alone = self.with(|place| place == Place::InstanceId).len() < 2;
        let times_out = self.instances[at].place == Place::InstanceId && self.chance.one_in(2);
        if times_out && !is_alone { self.become_zombie(at) } else { Ok(()) }
    }

    /// The network of one is whole again. What the group has given it is claimed, and it gets on:
    /// with nothing else going wrong, its commits are made.
    fn mend(&mut self) -> PartitionOutput {
        let away = |&at: &usize| self.world.is_away(self.instances[at].member);
        let away: Vec<usize> = self.with(|_| true).into_iter().filter(away).collect();
        let Some(at) = self.choose(&away) else { return Ok(()) };
        let (id, member) = (self.instances[at].id, self.instances[at].member);
        self.chance.say(|| format!("the network of {} is whole again", self.instances[at]));
        self.world.mend(member);
        self.claim_idle()?;

        let Some(at) = self.find(id).filter(|&at| self.instances[at].place == Place::InstanceId) else {
            return Ok(());
        };
        self.chance.heal();
        self.settle_down(at)?;
        self.chance.worsen();
        self.chance.count("commits after a network partition", 1);
        Ok(())
    }

    /// Liveness: while nothing goes wrong, all that an instance has is committed within a few
    /// attempts.
    fn settle_down(&mut self, at: usize) -> PartitionOutput {
        let mut tries = 0;
        while !self.instances[at].is_clean() {
            let instance = &mut self.instances[at];
            instance.hear(instance.queued())?;
            // The first may tell only what became of the one before, or that somebody had its name.
            tries += usize::from(self.commit(at)? != Some(true));
            if tries > 1 {
                return failed("commits are not made though nothing goes wrong");
            }
        }
        Ok(())
    }

    /// Somebody starts an instance under the name of one that still runs.
    fn replace(&mut self) -> PartitionOutput {
        let Some(at) = self.choose(&self.with(|place| place == Place::InstanceId)) else { return Ok(()) };
        self.chance.count("names taken", 1);
        self.chance.say(|| format!("another instance takes the name of {}", self.instances[at]));
        self.instances[at].place = Place::Replaced;
        self.start_as(self.instances[at].member);
        self.claim_idle()
    }

    /// Those who were cut off in the middle of a commit.
    fn meet_cuts(&mut self) -> PartitionOutput {
        for member in self.chance.take_cut() {
            let is_it = |it: &Instance| it.member == member && it.place == Place::InstanceId;
            if let Some(at) = self.instances.iter().position(is_it) {
                self.become_zombie(at)?;
            }
        }
        Ok(())
    }

    /// The group begins a generation, and one of its members is slow to join it: it keeps what it
    /// has.
    fn be_late(&mut self) -> PartitionOutput {
        if let Some(at) = self.choose(&self.with(|place| place == Place::InstanceId)) {
            self.chance.say(|| format!("{} is late for a rebalance", self.instances[at]));
            self.instances[at].place = Place::Late;
            self.regroup();
        }
        Ok(())
    }

    /// A zombie hears that it has lost everything, and joins again.
    fn tell_zombie(&mut self) -> PartitionOutput {
        let Some(at) = self.choose(&self.with(|place| !place.is_in_group())) else { return Ok(()) };
        let may_join = self.with(Place::is_in_group).len() < MOST;
        let instance = &mut self.instances[at];
        self.chance.say(|| format!("{instance} hears that it was cut off"));
        instance.lose_all()?;
        if instance.place == Place::Zombie && may_join {
            instance.place = Place::InstanceId;
            return self.rebalance();
        }
        self.instances.remove(at);
        Ok(())
    }

    /// Whatever happens: what is committed is how an undisturbed run begins, and the entry says how
    /// far it goes.
    fn check(&self) -> PartitionOutput {
        for id in self.input.ids() {
            let entry = self.world.entry(id);
            let live = entry.as_ref().and_then(|entry| entry.progress.live);
            self.chance.count("checks of partitions with a past", usize::from(live.is_some()));
            let undisturbed = self.input.undisturbed(id, live, &self.world.closes(id));
            let counts = entry.as_ref().map(|entry| entry.progress.counts).unwrap_or_default();
            for stream in Stream::ALL {
                let (name, kept) = (stream.name(), self.world.results(id, stream));
                let expected = &undisturbed.results[&stream];
                if !expected.starts_with(&kept) {
                    let at = kept.iter().zip(expected).take_while(|(is, should)| is == should).count();
                    return failed(format!(
                        "partition {id}, {name}: committed record {at} of {} is {:?}, undisturbed it is {:?}",
                        kept.len(),
                        kept.get(at),
                        expected.get(at)
                    ));
                }
                if counts.of(stream) != kept.len() as u64 {
                    let (said, is) = (counts.of(stream), kept.len());
                    return failed(format!(
                        "partition {id}, {name}: {is} records are committed, the entry says {said}"
                    ));
                }
            }
            let Some(entry) = entry else { continue };
            let position = entry.progress.position;
            // Some of what the next records make may be there too, ahead of their position.
            let should = undisturbed.counts.get(&position).copied().unwrap_or_default();
            if !counts.reach(&should) {
                return failed(format!(
                    "partition {id} is at {position} with {counts:?}, undisturbed {should:?}"
                ));
            }
        }
        Ok(())
    }

    /// The faults are over: one instance has everything and brings it to its end.
    fn end(&mut self) -> PartitionOutput {
        self.chance.say(|| "the faults are over".to_owned());
        self.chance.heal();
        self.instances.iter().for_each(|instance| self.world.mend(instance.member));
        match self.choose(&self.with(|place| place == Place::InstanceId)) {
            Some(at) if self.chance.one_in(2) => {
                let healthy = self.instances.swap_remove(at);
                self.instances = vec![healthy];
            }
            _ => {
                self.instances.clear();
                self.start();
            }
        }
        self.regroup();
        self.claim_idle()?;
        for id in self.input.ids() {
            while !self.instances[0].is_done(id) {
                let count = self.chance.pick(1..80);
                self.instances[0].work(self.input, id, count)?;
            }
            self.instances[0].save(id, 0)?;
        }
        self.settle_down(0)?;
        self.input.ids().try_for_each(|id| self.compare(id))
    }

    /// A partition at its end, with the undisturbed one.
    fn compare(&mut self, id: PartitionId) -> PartitionOutput {
        let live = self.world.entry(id).and_then(|entry| entry.progress.live);
        let undisturbed = self.input.undisturbed(id, live, &self.world.closes(id));
        let state = self.instances[0].state(id)?.map(|snapshot| snapshot.state);
        if state.as_ref() != Some(&undisturbed.state) {
            return failed(format!("the state of partition {id} is another than that of an undisturbed run"));
        }
        for stream in Stream::ALL {
            let (kept, expected) = (self.world.results(id, stream).len(), undisturbed.results[&stream].len());
            // They are the same as far as they go.
            if kept != expected {
                return failed(format!("partition {id}, {}: {kept} records of {expected}", stream.name()));
            }
        }
        Ok(())
    }

    /// The broker forgets the group's offsets while nobody is there: where there are results, a
    /// claim has to stop.
    fn forget(&mut self) -> PartitionOutput {
        self.chance.heal();
        self.instances.iter().for_each(|instance| self.world.mend(instance.member));
        self.instances.clear();
        self.world.expire_offsets();
        self.chance.count("offsets forgotten", 1);
        self.start();
        self.regroup();
        for id in self.input.ids() {
            let has_results = Stream::ALL.iter().any(|&stream| !self.world.results(id, stream).is_empty());
            let end = self.input.end_of(id, &self.chance);
            match self.instances[0].claim(self.input, (id, end), self.watch) {
                Err(error) if error.kind == Kind::State => {}
                Ok(_) if !has_results => {}
                other => {
                    return failed(format!(
                        "partition {id}, with results {has_results}, was claimed: {other:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
