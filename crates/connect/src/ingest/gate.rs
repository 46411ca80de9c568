//! The way of records into the log: many senders, one write for all that wait.
//! It must not know who the senders are.
//!
//! A sender that finds nobody writing writes for all that have queued up, itself among them; the
//! others wait until that is durable. So a hundred requests at a time cost one sync of the disk,
//! and a single one waits for nobody.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tickcast_stream::error::{Error, Retry};
use tickcast_stream::lock::lock;
use tickcast_stream::message::RawRecord;

use super::log::RecordLog;

/// Bytes of records that one write takes, about; what comes with the sender that passes it is the
/// last.
const GROUP_BYTES: usize = 16 << 20;

/// Where records go in. It is shut until a log is opened behind it.
#[derive(Clone)]
pub struct IngestGate(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    log: LogState,
    waiting: Vec<Arrival>,
}

enum LogState {
    Shut(String),
    Open(Box<dyn RecordLog>),
    /// Somebody writes with it. Whether it is to be shut after that, and why.
    Writing(Option<String>),
}

/// The records of one sender, and where it learns what became of them.
struct Arrival {
    records: Vec<RawRecord>,
    bytes: usize,
    outcome: Arc<Mutex<Option<Stored>>>,
}

/// What became of the records of a sender.
type Stored = Result<(), NotStored>;

/// Why records are not in the log, or why nobody knows whether they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStored {
    /// Whether the same records may be stored later.
    pub retry: Retry,
    /// For a person who runs the pipeline; not for senders, as it may name files.
    pub why: String,
}

impl From<Error> for NotStored {
    fn from(error: Error) -> Self {
        NotStored { retry: error.retry, why: error.to_string() }
    }
}

impl Default for IngestGate {
    fn default() -> Self {
        let state = State { log: LogState::Shut("starting".into()), waiting: Vec::new() };
        IngestGate(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }))
    }
}

impl IngestGate {
    /// From now on records go into this log.
    pub fn open(&self, log: Box<dyn RecordLog>) {
        self.state().log = LogState::Open(log);
        self.0.changed.notify_all();
    }

    /// From now on no records are taken; those under way still are. Returns when the log is closed.
    pub fn shut(&self, why: &str) {
        let mut state = self.state();
        if let LogState::Writing(shut) = &mut state.log {
            *shut = Some(why.to_owned());
            while matches!(state.log, LogState::Writing(_)) {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }

        let log = mem::replace(&mut state.log, LogState::Shut(why.to_owned()));
        self.0.changed.notify_all();
        drop(state);
        drop(log);
    }

    /// Returns when the records are durable, all of them. Errors: the log's, and `Retry::Later`
    /// while there is none.
    pub fn append(&self, records: Vec<RawRecord>) -> Stored {
        if records.is_empty() {
            return Ok(());
        }
        let outcome = Arc::default();
        let bytes = records.iter().map(size_of_record).sum();
        let mut state = self.state();
        state.waiting.push(Arrival { records, bytes, outcome: Arc::clone(&outcome) });

        loop {
            if let Some(stored) = lock(&outcome).take() {
                return stored;
            }
            state = match mem::replace(&mut state.log, LogState::Writing(None)) {
                LogState::Open(log) => self.write(state, log),
                LogState::Shut(why) => {
                    let waiting = mem::take(&mut state.waiting);
                    let why_not = format!("no records are taken: {why}");
                    tell(&waiting, &Err(NotStored { retry: Retry::Later, why: why_not }));
                    state.log = LogState::Shut(why);
                    self.0.changed.notify_all();
                    state
                }
                writing @ LogState::Writing(_) => {
                    state.log = writing;
                    self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Writes what waits, as one group.
    fn write<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut log: Box<dyn RecordLog>,
    ) -> MutexGuard<'a, State> {
        let mut bytes = 0;
        let fits = |arrival: &&Arrival| {
            let is_first = bytes == 0;
            bytes += arrival.bytes;
            is_first || bytes <= GROUP_BYTES
        };
        let count = state.waiting.iter().take_while(fits).count();
        let mut group: Vec<Arrival> = state.waiting.drain(..count).collect();
        drop(state);

        let records: Vec<RawRecord> =
            group.iter_mut().flat_map(|arrival| mem::take(&mut arrival.records)).collect();
        let stored = log.append(&records).map_err(NotStored::from);
        tell(&group, &stored);

        let mut state = self.state();
        state.log = match mem::replace(&mut state.log, LogState::Writing(None)) {
            LogState::Writing(Some(why)) => {
                drop(log);
                LogState::Shut(why)
            }
            _ => LogState::Open(log),
        };
        self.0.changed.notify_all();
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

fn tell(group: &[Arrival], stored: &Stored) {
    for arrival in group {
        *lock(&arrival.outcome) = Some(stored.clone());
    }
}

fn size_of_record(record: &RawRecord) -> usize {
    record.payload.as_ref().map_or(0, |value| value.len())
        + record.key.as_ref().map_or(0, |key| key.len())
        + mem::size_of::<RawRecord>()
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use tickcast_stream::error::{Kind, Result};

    use super::*;

    /// Keeps what it takes, a group an entry, slowly; fails while it is told to.
    struct Slow(Arc<Mutex<Vec<Vec<RawRecord>>>>);

    impl RecordLog for Slow {
        fn append(&mut self, records: &[RawRecord]) -> Result<()> {
            thread::sleep(Duration::from_millis(20));
            if records.iter().any(|record| record.payload.is_none()) {
                return Err(Error::transient(Kind::Source, "the disk is full"));
            }
            lock(&self.0).push(records.to_vec());
            Ok(())
        }
    }

    fn record(value: &str) -> RawRecord {
        RawRecord { payload: Some(value.to_owned().into()), ..RawRecord::default() }
    }

    #[test]
    fn many_senders_share_writes_and_each_record_is_there_once_in_its_senders_order() {
        let (gate, kept) = (IngestGate::default(), Arc::default());
        gate.open(Box::new(Slow(Arc::clone(&kept))));
        thread::scope(|scope| {
            for sender in 0..40 {
                let gate = &gate;
                scope.spawn(move || {
                    for nth in 0..3 {
                        gate.append(vec![record(&format!("{sender}:{nth}:a")), record("b")]).unwrap();
                    }
                });
            }
        });

        let kept = lock(&kept);
        assert!(kept.len() < 40, "{} writes of 120 appends", kept.len());
        let all: Vec<RawRecord> = kept.iter().flatten().cloned().collect();
        assert_eq!(all.len(), 240);
        for sender in 0..40 {
            let place = |nth| {
                let first = record(&format!("{sender}:{nth}:a"));
                all.iter().position(|other| *other == first).unwrap()
            };
            assert!(place(0) < place(1) && place(1) < place(2));
            assert_eq!(all[place(0) + 1], record("b"));
        }
    }

    #[test]
    fn it_takes_nothing_before_it_is_open_nor_after_it_is_shut_and_says_why() {
        let gate = IngestGate::default();
        let refused = |gate: &IngestGate, records| {
            let NotStored { retry, why } = gate.append(records).unwrap_err();
            (retry, why)
        };
        let shut = |why: &str| (Retry::Later, format!("no records are taken: {why}"));
        assert_eq!(refused(&gate, vec![record("x")]), shut("starting"));
        gate.append(Vec::new()).unwrap();

        let kept = Arc::default();
        gate.open(Box::new(Slow(Arc::clone(&kept))));
        let full = refused(&gate, vec![RawRecord::default()]);
        assert_eq!(full, (Retry::Later, "source: the disk is full".to_owned()));
        let other = gate.clone();
        let under_way = thread::spawn(move || other.append(vec![record("x")]));
        thread::sleep(Duration::from_millis(5));
        gate.shut("stopping");
        under_way.join().unwrap().unwrap();
        assert_eq!(refused(&gate, vec![record("x")]), shut("stopping"));
        assert_eq!(lock(&kept).len(), 1);
    }
}
