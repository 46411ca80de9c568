//! One seed: runs on a disk that fail, are killed and lose power, and a last one that nothing
//! disturbs. It must not know what a power cut leaves: the disk's model says so.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tempfile::TempDir;
use tickcast_connect::{
    FileSinkSpec, GeneratorSpec, PipelineEnds, Process, SinkFileFormat, SinkSpec, SinkSpecs, SourceSpec,
    StateSpec,
};
use tickcast_stream::ledger::{CHUNK_BYTES, Committed};
use tickcast_stream::message::Stream;
use tickcast_stream::record::RecordShape;
use tickcast_stream::runtime::RunContext;
use tickcast_stream::{Offset, PartitionId};

use super::super::simulation::clock::Clock;
use super::super::simulation::faults::Chance;
use super::super::simulation::input::{Input, topic};
use super::super::simulation::instance::{Instance, Saved};
use super::super::simulation::seeds::Report;
use super::left::{Left, dir_of};
use crate::disk::{Counts, Faults, Image, Op, Recording, cut};
use crate::support::pipeline::watch;

/// A topic's partitions may come back; a file is there from its beginning to its end.
static SOURCES: LazyLock<[SourceSpec; 2]> = LazyLock::new(|| {
    let (series, ticks, rate, seed, partitions) = (1, 1, None, 0, 1);
    let file = GeneratorSpec { series, ticks, rate, seed, process: Process::Market, partitions };
    [SourceSpec::Generate(file), SourceSpec::Kafka(topic())]
});

/// Cuts of one stretch.
const CUTS: usize = 4;

type Outcome<T = ()> = Result<T, String>;

/// How far each partition was said to be committed.
type Said = BTreeMap<PartitionId, Offset>;

/// A stretch of time on one disk, from when it got power.
struct Stretch {
    from: Image,
    ops: Vec<Op>,
    /// How much was done when it was said how far each partition is committed.
    said: Vec<(usize, Said)>,
    /// Faults met before the step that is taken.
    faults: u64,
    /// What was done while a commit was made, and while a run recovered.
    commits: Vec<(usize, usize)>,
    recoveries: Vec<(usize, usize)>,
}

struct History<'a> {
    root: TempDir,
    input: &'a Input,
    chance: &'a Chance,
    watch: RunContext,
    format: SinkFileFormat,
    is_topic: bool,
    padding: usize,
    started: usize,
}

pub fn run(seed: u64, trace: bool) -> Report {
    let chance = Chance::new(seed, false, trace);
    let input = Input::new(seed);
    let mut history = History {
        root: tempfile::tempdir().unwrap(),
        input: &input,
        chance: &chance,
        watch: watch(Default::default(), Arc::new(|_| ())),
        format: if seed.is_multiple_of(2) { SinkFileFormat::Ndjson } else { SinkFileFormat::Parquet },
        is_topic: (seed / 2).is_multiple_of(2),
        padding: if seed % 32 == 9 { 9 * CHUNK_BYTES } else { 0 },
        started: 0,
    };
    let failure = history.live().err();
    Report { tally: chance.take_tally(), trace: chance.take_trace(), failure }
}

impl History<'_> {
    fn live(&mut self) -> Outcome {
        let parquet = self.format == SinkFileFormat::Parquet;
        self.chance.count(if self.is_topic { "histories of a topic" } else { "histories of a file" }, 1);
        self.chance.count("histories with parquet", usize::from(parquet));
        let (mut image, mut said) = (Image::default(), Said::new());
        for nth in 0..self.chance.pick(1..5) {
            let stretch = self.stretch(&image, nth, false)?;
            image = self.cuts(&stretch, nth, &mut said)?;
        }
        self.chance.say(|| "the faults are over".to_owned());
        let stretch = self.stretch(&image, 1, true)?;
        let parts =
            |image: &Image| image.files.keys().any(|path| path.to_string_lossy().ends_with("-00001.parquet"));
        let end = Image::read(self.root.path());
        self.chance.count("histories with parquet parts", usize::from(parts(&end)));
        self.left(&end).compare()?;

        // A run that has ended has nothing to lose any more.
        let (seed, mut counts) = (self.chance.pick(0..usize::MAX) as u64, Counts::new());
        let image = cut(&stretch.from, &stretch.ops, Some(seed), &mut counts);
        self.chance.count("power cuts after the end", 1);
        let left = self.left(&image);
        left.compare().and_then(|()| left.check(&said)).map_err(|why| format!("after the end: {why}"))
    }

    /// Without the name that the directory has this time.
    fn plain(&self, said: &impl std::fmt::Debug) -> String {
        format!("{said:?}").replace(&*self.root.path().to_string_lossy(), "")
    }

    fn left<'b>(&'b self, image: &'b Image) -> Left<'b> {
        Left { image, input: self.input, format: self.format }
    }

    /// Cuts the power at several points of a stretch; the last one is what the next begins with.
    fn cuts(&self, stretch: &Stretch, nth: usize, said: &mut Said) -> Outcome<Image> {
        // Nothing is written down wrongly: all of it together is what the process sees.
        let seen = cut(&stretch.from, &stretch.ops, None, &mut Counts::new());
        if seen != Image::read(self.root.path()) {
            return Err("the record of what was done is not what is there".to_owned());
        }
        for _ in 1..CUTS {
            self.cut(stretch, nth, &mut said.clone())?;
        }
        self.cut(stretch, nth, said)
    }

    /// Cuts the power somewhere in a stretch: what is left is checked.
    fn cut(&self, stretch: &Stretch, nth: usize, said: &mut Said) -> Outcome<Image> {
        let ops = &stretch.ops;
        // Most of what matters is done in commits.
        let commits: Vec<_> = stretch.commits.iter().filter(|(from, to)| from < to).collect();
        let at = match commits.get(self.chance.pick(0..2 * commits.len() + 1)) {
            Some(&&(from, to)) => self.chance.pick(from..to + 1),
            None => self.chance.pick(0..ops.len() + 1),
        };
        let seed = self.chance.pick(0..usize::MAX) as u64;
        let mut counts = Counts::new();
        let image = cut(&stretch.from, &ops[..at], Some(seed), &mut counts);
        counts.into_iter().for_each(|(what, times)| self.chance.count(what, times as usize));

        let within = |spans: &[(usize, usize)]| spans.iter().any(|(from, to)| (from + 1..*to).contains(&at));
        let recovers = within(&stretch.recoveries);
        self.chance.count("power cuts", 1);
        self.chance.count("power cuts within a commit", usize::from(within(&stretch.commits)));
        self.chance.count("power cuts within a recovery", usize::from(recovers));
        self.chance.count("power cuts within a recovery from a power cut", usize::from(recovers && nth > 0));
        let news = stretch.said.iter().filter(|(done, _)| *done <= at);
        news.for_each(|(_, committed)| said.extend(committed));
        self.chance.count("power cuts that leave a commit", usize::from(!said.is_empty()));
        self.chance.say(|| format!("the power is cut after {at} of {}, committed {said:?}", ops.len()));
        self.chance
            .say(|| format!("  {:?}", ops[..at].iter().rev().take(6).rev().map(told).collect::<Vec<_>>()));

        let left = self.left(&image);
        left.check(said)?;
        self.chance.count("checks of what a power cut left", 1);
        for id in self.input.ids() {
            let entry = left.entry(id)?;
            let saved = entry.as_ref().and_then(|entry| entry.snapshot);
            let is_light = saved.is_some_and(|named| left.base(id, named.position).is_some());
            self.chance.count("checks of partitions with a commit", usize::from(entry.is_some()));
            self.chance.count("checks of partitions with a snapshot", usize::from(saved.is_some()));
            self.chance.count("checks of partitions with a light snapshot", usize::from(is_light));
        }
        Ok(image)
    }

    /// Runs until there is enough for a cut, or, where nothing disturbs them, to the end.
    fn stretch(&mut self, image: &Image, nth: usize, to_end: bool) -> Outcome<Stretch> {
        image.write(self.root.path());
        let faults = if to_end { Faults::none() } else { self.faults() };
        let recording = Recording::begin(self.root.path(), image, faults);
        let (said, commits, recoveries) = (Vec::new(), Vec::new(), Vec::new());
        let mut stretch =
            Stretch { from: image.clone(), ops: Vec::new(), said, faults: 0, commits, recoveries };
        let lives = if to_end { 1 } else { self.chance.pick(1..4) };
        for life in 0..lives {
            self.started += 1;
            self.chance.say(|| format!("stretch {nth}, run {life} begins"));
            self.chance.count("kills", usize::from(life > 0));
            match self.life(&recording, &mut stretch, to_end) {
                Ok(()) => {}
                // It ends, as it says, by what it could not do; it is started again.
                Err(why) if recording.faults_met() > stretch.faults => {
                    self.chance.count("runs ended by a fault", 1);
                    self.chance.say(|| format!("it ends: {}", self.plain(&why)));
                }
                Err(why) => {
                    recording.end().0.iter().for_each(|op| self.chance.say(|| format!("  {}", told(op))));
                    return Err(why);
                }
            }
        }
        let (ops, counts) = recording.end();
        counts.into_iter().for_each(|(what, times)| self.chance.count(what, times as usize));
        Ok(Stretch { ops, ..stretch })
    }

    /// What fails in a stretch: nothing, one sync, or any of many.
    fn faults(&self) -> Faults {
        let (seed, kind) = (self.chance.pick(0..usize::MAX) as u64, self.chance.pick(0..5));
        match kind {
            0 => Faults::none(),
            1 | 2 => {
                let errno = [libc::EIO, libc::ENOSPC, libc::EDQUOT][self.chance.pick(0..3)];
                Faults::one_sync(self.chance.pick(0..80) as u32, errno)
            }
            3 => Faults::new(seed, 10, 0),
            _ => Faults::new(seed, 15, 10),
        }
    }

    fn start(&self) -> Outcome<Instance> {
        let disk = self.root.path().join("disk");
        let sink = |stream| {
            Some(SinkSpec::File(FileSinkSpec { dir: disk.join(dir_of(stream)), format: self.format }))
        };
        let [forecasts, scores, rejects] = Stream::ALL.map(sink);
        let sinks = SinkSpecs { forecasts, scores, rejects };
        let (state, source) = (StateSpec::Dir(disk.join("state")), &SOURCES[usize::from(self.is_topic)]);
        let shape = RecordShape { levels: &[], direction: false };
        let ends = PipelineEnds { name: "simulated", source, sinks: &sinks, state: Some(&state), shape };
        let ledger = ends.ledger(None, false).map_err(|error| error.to_string())?;
        Ok(Instance::start(ledger, self.started, 1, Clock::new(self.chance)))
    }

    fn claim(&self, instance: &mut Instance, id: PartitionId) -> Outcome {
        let end = self.input.end_of(id, self.chance);
        let replays = instance.claim(self.input, (id, end), &self.watch);
        self.chance.say(|| format!("partition {id} is claimed: {}", self.plain(&replays)));
        replays.map_err(|error| error.to_string())?;
        instance.hear(instance.queued()).map_err(|error| error.to_string())
    }

    /// A run, from its start; it is killed where this ends.
    fn life(&mut self, recording: &Recording, stretch: &mut Stretch, to_end: bool) -> Outcome {
        let began = recording.len();
        stretch.recoveries.push((began, usize::MAX));
        stretch.faults = recording.faults_met();
        let mut instance = self.start()?;
        self.input.ids().try_for_each(|id| self.claim(&mut instance, id))?;
        stretch.recoveries.pop();
        stretch.recoveries.push((began, recording.len()));
        if to_end {
            return self.finish(&mut instance, recording, stretch);
        }
        for _ in 0..self.chance.pick(3..60) {
            stretch.faults = recording.faults_met();
            self.step(&mut instance, recording, stretch)?;
        }
        Ok(())
    }

    fn step(&self, instance: &mut Instance, recording: &Recording, stretch: &mut Stretch) -> Outcome {
        let ids: Vec<PartitionId> = self.input.ids().collect();
        let id = ids[self.chance.pick(0..ids.len())];
        match self.chance.pick(0..20) {
            0..8 => {
                let count = self.chance.pick(1..[3, 12, 40][self.chance.pick(0..3)]);
                let worked = instance.work(self.input, id, count).map_err(|error| error.to_string())?;
                self.chance.count("records worked on", worked);
                self.chance.say(|| format!("works on {worked} of partition {id}"));
                instance.hear(instance.queued()).map_err(|error| error.to_string())
            }
            8 => self.save(instance, id),
            // Again when it is kept and little has changed.
            9 => {
                self.save(instance, id)?;
                if self.commit(instance, recording, stretch)? {
                    instance.work(self.input, id, 1).map_err(|error| error.to_string())?;
                    self.save(instance, id)?;
                }
                Ok(())
            }
            10 if self.is_topic => {
                self.chance.count("partitions given back", 1);
                self.chance.say(|| format!("partition {id} is given back"));
                instance.release(id).map_err(|error| error.to_string())?;
                self.claim(instance, id)
            }
            _ => self.commit(instance, recording, stretch).map(drop),
        }
    }

    fn save(&self, instance: &mut Instance, id: PartitionId) -> Outcome {
        let saved = instance.save(id, self.padding).map_err(|error| error.to_string())?;
        let is_whole = saved == Saved::Whole;
        self.chance.count("snapshots", usize::from(is_whole));
        self.chance.count("light snapshots", usize::from(saved == Saved::Light));
        self.chance.count("snapshots of several epochs", usize::from(is_whole && self.padding > 0));
        self.chance.say(|| format!("saves partition {id}: {saved:?}"));
        instance.hear(instance.queued()).map_err(|error| error.to_string())
    }

    /// Whether it was made.
    fn commit(&self, instance: &mut Instance, recording: &Recording, stretch: &mut Stretch) -> Outcome<bool> {
        let began = recording.len();
        let committed = instance.commit();
        stretch.commits.push((began, recording.len()));
        self.chance.say(|| format!("commits, {began} to {}: {}", recording.len(), self.plain(&committed)));
        match committed {
            Ok(Committed::Done(any)) => {
                self.chance.count("commits", usize::from(any));
                stretch.said.push((recording.len(), instance.committed()));
                Ok(true)
            }
            Ok(Committed::Later { .. }) => {
                self.chance.count("commits aborted", 1);
                Ok(false)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Brings everything to its end.
    fn finish(&self, instance: &mut Instance, recording: &Recording, stretch: &mut Stretch) -> Outcome {
        for id in self.input.ids() {
            while !instance.is_done(id) {
                let count = self.chance.pick(1..80);
                instance.work(self.input, id, count).map_err(|error| error.to_string())?;
                instance.hear(instance.queued()).map_err(|error| error.to_string())?;
                if self.chance.one_in(3) && !self.commit(instance, recording, stretch)? {
                    return Err("a commit is not made though nothing goes wrong".to_owned());
                }
            }
            instance.save(id, 0).map_err(|error| error.to_string())?;
        }
        instance.hear(instance.queued()).map_err(|error| error.to_string())?;
        while !instance.is_clean() {
            if !self.commit(instance, recording, stretch)? {
                return Err("a commit is not made though nothing goes wrong".to_owned());
            }
        }
        self.input.ids().try_for_each(|id| self.compare_state(instance, id))
    }

    fn compare_state(&self, instance: &mut Instance, id: PartitionId) -> Outcome {
        let live = self.left(&Image::read(self.root.path())).entry(id)?.and_then(|entry| entry.progress.live);
        let state = instance.state(id).map_err(|error| error.to_string())?.map(|snapshot| snapshot.state);
        if state.as_ref() != Some(&self.input.undisturbed(id, live, &[]).state) {
            return Err(format!("the state of partition {id} is another than that of an undisturbed run"));
        }
        Ok(())
    }
}

/// An operation for a person, the same for the same seed.
fn told(op: &Op) -> String {
    match op {
        Op::Write { file, at, bytes } => format!("write {} bytes at {at} of {file}", bytes.len()),
        // The process and the time are in its name.
        Op::Name { path, .. } | Op::Remove { path } if path.to_string_lossy().contains("owner.") => {
            "an owner's file beside its name".to_owned()
        }
        other => format!("{other:?}"),
    }
}
