//! Which records have been seen, as far back as they are remembered.
//! It must not know what makes two records the same, nor what is done with the second.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::EventTime;
use tickcast_stream::operator::SnapshotWriter;
use tickcast_stream::{Offset, new_places, who_stays};

/// Bytes that are remembered of a partition. Where they are more, the half that came first is
/// forgotten.
const BYTES_MAX: usize = 256 << 20;
/// What is outdated is not looked for before there are so many bytes.
const SWEEP_BYTES_MIN: usize = 1 << 16;
/// What a record takes beside its identity.
const OVERHEAD_BYTES: usize = 96;

/// A set that is asked once a record: by a hash that costs less than the standard one and is seeded
/// as well, because identities come from outside.
type Hash = foldhash::fast::RandomState;

/// Records that are remembered. A record is outdated where one of its clock is more than `within`
/// later: it is as if it had never been, whether it is still here or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// By identity, in the order in which they came.
    records: IndexMap<Arc<[u8]>, Record, Hash>,
    /// Whose times say what is outdated: the partition's, or a series'.
    clocks: IndexSet<Arc<str>, Hash>,
    /// The latest time of each clock.
    latest: Vec<EventTime>,
    /// What they take, by our own count.
    bytes: usize,
    /// How many bytes there are at the next look for what is outdated.
    sweep_at: usize,
    /// Records that were forgotten before they were outdated.
    pub forgotten: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Record {
    time: EventTime,
    offset: Offset,
    clock: u32,
}

#[derive(Serialize, Deserialize)]
struct Image<Identity, Name> {
    records: Vec<(Identity, Record)>,
    clocks: Vec<(Name, EventTime)>,
    bytes: usize,
    sweep_at: usize,
    forgotten: u64,
}

impl Seen {
    /// The place of a clock, known or new. Of `most` clocks and a new one, those that have stood
    /// still for longest are forgotten, and their records.
    pub fn clock(&mut self, name: &str, most: usize) -> u32 {
        if let Some(known) = self.clocks.get_index_of(name) {
            return known as u32;
        }
        if self.clocks.len() >= most {
            self.forget_clocks(most);
        }
        self.latest.push(EventTime::MIN);
        self.clocks.insert_full(name.into()).0 as u32
    }

    fn forget_clocks(&mut self, most: usize) {
        let stays = who_stays(self.clocks.len(), 1, most, |at| Some(self.latest[at]));
        let places = new_places(&stays);

        let mut kept = stays.iter();
        self.clocks.retain(|_| kept.next().copied().unwrap_or(false));
        let mut kept = stays.iter();
        self.latest.retain(|_| kept.next().copied().unwrap_or(false));
        self.records.retain(|_, record| match places.get(record.clock as usize).copied().flatten() {
            Some(place) => {
                record.clock = place;
                true
            }
            None => false,
        });
        self.bytes = self.records.keys().map(|identity| cost(identity)).sum();
    }

    /// Where this record came before: no further than `within_us` from it, by a clock that is not
    /// further past that. Else it is remembered.
    pub fn before(
        &mut self,
        identity: &[u8],
        (time, offset): (EventTime, Offset),
        clock: u32,
        within_us: i64,
    ) -> Option<Offset> {
        let latest = &mut self.latest[clock as usize];
        *latest = time.max(*latest);
        let from = latest.plus_us(-within_us);
        let record = Record { time, offset, clock };
        if let Some(known) = self.records.get_mut(identity) {
            let is_near = known.time <= time.plus_us(within_us) && time <= known.time.plus_us(within_us);
            if known.time >= from && is_near {
                return Some(known.offset);
            }
            if time >= from {
                *known = record;
            }
            return None;
        }

        if time >= from {
            self.records.insert(identity.into(), record);
            self.bytes += cost(identity);
            if self.bytes >= self.sweep_at.clamp(SWEEP_BYTES_MIN, BYTES_MAX) {
                self.sweep(within_us);
            }
        }
        None
    }

    fn sweep(&mut self, within_us: i64) {
        let latest = &self.latest;
        self.records.retain(|_, record| record.time >= latest[record.clock as usize].plus_us(-within_us));
        self.bytes = self.records.keys().map(|identity| cost(identity)).sum();
        if self.bytes > BYTES_MAX / 2 {
            self.forget_down_to(BYTES_MAX / 2);
        }
        self.sweep_at = 2 * self.bytes;
    }

    fn forget_down_to(&mut self, bytes: usize) {
        let mut count = 0;
        for identity in self.records.keys() {
            if self.bytes <= bytes {
                break;
            }
            self.bytes -= cost(identity);
            count += 1;
        }
        self.records.drain(..count);
        self.forgotten += count as u64;
    }

    /// All of it as bytes, later.
    pub fn writer(&self) -> SnapshotWriter {
        let seen = self.clone();
        Box::new(move || {
            let image = Image {
                records: seen.records.iter().map(|(identity, record)| (&**identity, *record)).collect(),
                clocks: seen.clocks.iter().map(|name| &**name).zip(seen.latest.iter().copied()).collect(),
                bytes: seen.bytes,
                sweep_at: seen.sweep_at,
                forgotten: seen.forgotten,
            };
            postcard::to_stdvec(&image).or_fail(Kind::State, || "cannot write which records were seen")
        })
    }

    /// What [`Seen::writer`] wrote. Errors: `State`.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let fail = || "cannot read which records were seen";
        let image: Image<&[u8], String> = postcard::from_bytes(bytes).or_fail(Kind::State, fail)?;
        let clocks = image.clocks.len() as u32;
        if image.records.iter().any(|(_, record)| record.clock >= clocks) {
            return Err(Error::new(Kind::State, fail()));
        }
        let (names, latest): (Vec<String>, Vec<EventTime>) = image.clocks.into_iter().unzip();
        Ok(Seen {
            records: image.records.into_iter().map(|(identity, record)| (identity.into(), record)).collect(),
            clocks: names.into_iter().map(Arc::from).collect(),
            latest,
            bytes: image.bytes,
            sweep_at: image.sweep_at,
            forgotten: image.forgotten,
        })
    }
}

fn cost(identity: &[u8]) -> usize {
    identity.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seen: &mut Seen, identity: &str, time: i64) -> Option<i64> {
        let clock = seen.clock("", 1);
        let at = (EventTime(time), Offset(time));
        seen.before(identity.as_bytes(), at, clock, 10).map(|offset| offset.0)
    }

    #[test]
    fn a_record_is_remembered_as_long_as_no_other_is_further_past_it() {
        let mut all = Seen::default();
        assert_eq!(seen(&mut all, "a", 100), None);
        assert_eq!(seen(&mut all, "a", 105), Some(100));
        assert_eq!(seen(&mut all, "b", 110), None);
        assert_eq!(seen(&mut all, "a", 100), Some(100));
        assert_eq!(seen(&mut all, "b", 111), Some(110));
        // The first is outdated now, and counts anew.
        assert_eq!(seen(&mut all, "a", 111), None);
        assert_eq!(seen(&mut all, "a", 112), Some(111));
        // Too old to be judged.
        assert_eq!(seen(&mut all, "c", 50), None);
        assert_eq!(seen(&mut all, "c", 50), None);
    }

    /// Of too many clocks those that stand still for longest go, and take their records along; a
    /// state that is read back goes on in the same way.
    #[test]
    fn records_go_with_their_clock_and_states_come_back_as_they_were() {
        let mut all = Seen::default();
        let at = |all: &mut Seen, name: &str, time: i64| {
            let clock = all.clock(name, 2);
            all.before(name.as_bytes(), (EventTime(time), Offset(time)), clock, 10).map(|offset| offset.0)
        };
        assert_eq!(
            [at(&mut all, "a", 1), at(&mut all, "b", 1000), at(&mut all, "a", 2)],
            [None, None, Some(1)]
        );
        assert_eq!([at(&mut all, "c", 500), at(&mut all, "b", 1001)], [None, Some(1000)]);

        let mut again = Seen::read(&all.writer()().unwrap()).unwrap();
        assert_eq!(all.writer()().unwrap(), again.writer()().unwrap());
        for seen in [&mut all, &mut again] {
            // The clock of a was forgotten for c; now that of c is for a.
            assert_eq!([at(seen, "a", 2), at(seen, "b", 1002), at(seen, "c", 500)], [None, Some(1000), None]);
        }
        assert!(Seen::read(b"no state").is_err());
    }

    /// However many come, memory is bounded: what is outdated goes, then what came first.
    #[test]
    fn what_is_remembered_is_bounded() {
        let mut all = Seen::default();
        for n in 0..200_000 {
            assert_eq!(seen(&mut all, &n.to_string(), n), None);
        }
        assert!(all.bytes < 4 * SWEEP_BYTES_MIN && all.forgotten == 0, "{} bytes", all.bytes);
        assert_eq!(seen(&mut all, "199990", 199_990), Some(199_990));

        let long = "x".repeat(1 << 20);
        for n in 0..200 {
            assert_eq!(seen(&mut all, &format!("{long}{n}"), 200_000), None);
            assert!(all.bytes <= BYTES_MAX);
        }
        assert_eq!(seen(&mut all, &format!("{long}199"), 200_000), Some(200_000));
        for n in 200..300 {
            assert_eq!(seen(&mut all, &format!("{long}{n}"), 200_000), None);
        }
        assert!(all.forgotten > 100 && all.bytes <= BYTES_MAX, "{} forgotten", all.forgotten);
        assert_eq!(seen(&mut all, &format!("{long}299"), 200_000), Some(200_000));
    }
}
