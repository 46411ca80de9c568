//! How large a record a topic takes, and a reject cut to that.
//! It must not ask a broker.
//!
//! The broker compares the size of a batch after compression with the topic's `max.message.bytes`.
//! Here a record is counted before compression, with the frame of a batch of its own, so that what
//! is cut depends on nothing but the record and the setting.

use tickcast_stream::record::RejectRow;

use super::reject_headers::said_of;

/// The most bytes that a record may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room(pub usize);

impl Room {
    /// No limit.
    pub const ANY: Room = Room(usize::MAX);
}

/// The header of a batch, and the lengths and numbers of its record.
const FRAME: usize = 61 + 40;
/// The lengths of a header's name and value.
const HEADER_FRAME: usize = 10;

/// The bytes that a reject takes as a record.
pub fn size_of(row: &RejectRow<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let own = row.headers.iter().map(|(name, value)| HEADER_FRAME + name.len() + length(*value));
    let said = said_of(row);
    let ours = said.iter().map(|(name, value)| HEADER_FRAME + name.len() + value.len());
    FRAME + length(row.key) + length(row.value) + own.sum::<usize>() + ours.sum::<usize>()
}

/// The reject cut to the room there is, or none where it fits as it is. Its value is cut; where key
/// and headers do not fit either, they are left out first.
pub(super) fn fitted<'a>(row: &RejectRow<'a>, room: Room) -> Option<RejectRow<'a>> {
    if size_of(row) <= room.0 {
        return None;
    }
    let value = row.value.unwrap_or_default();
    let cut = row.cut.unwrap_or(value.len() as i64);
    let mut bare = RejectRow { value: row.value.map(|_| &[][..]), cut: Some(cut), ..row.clone() };
    if size_of(&bare) > room.0 {
        (bare.key, bare.headers) = (None, Vec::new());
    }

    let left = room.0.saturating_sub(size_of(&bare)).min(value.len());
    Some(RejectRow { value: row.value.map(|_| &value[..left]), ..bare })
}

#[cfg(test)]
mod tests {
    use tickcast_stream::{EventTime, Offset, PartitionId};

    use super::*;

    fn reject<'a>(value: Option<&'a [u8]>, header: &'a [u8]) -> RejectRow<'a> {
        RejectRow {
            value,
            reason: "late",
            detail: "its window has closed",
            topic: "observations",
            partition: PartitionId(3),
            offset: Offset(12),
            key: Some(b"JFK"),
            headers: vec![("trace", Some(header))],
            timestamp: Some(EventTime(1_000)),
            cut: None,
        }
    }

    #[test]
    fn what_fits_is_left_alone_and_what_does_not_is_cut_to_the_byte() {
        let value = [b'x'; 5000];
        let row = reject(Some(&value), b"1");
        assert_eq!(fitted(&row, Room(size_of(&row))), None);
        assert_eq!(fitted(&row, Room::ANY), None);

        for room in [1000, size_of(&row) - 1] {
            let cut = fitted(&row, Room(room)).unwrap();
            assert_eq!((size_of(&cut), cut.cut), (room, Some(5000)));
            assert_eq!((cut.key, &cut.headers), (row.key, &row.headers));
        }
    }

    #[test]
    fn the_length_before_any_cut_is_kept() {
        let value = [b'x'; 5000];
        let row = RejectRow { cut: Some(7000), ..reject(Some(&value), b"1") };
        assert_eq!(fitted(&row, Room(1000)).unwrap().cut, Some(7000));
    }

    #[test]
    fn headers_that_do_not_fit_are_left_out_and_a_tombstone_stays_one() {
        let header = [b'h'; 5000];
        let cut = fitted(&reject(None, &header), Room(1000)).unwrap();
        assert_eq!((cut.value, cut.cut, cut.key), (None, Some(0), None));
        assert!(cut.headers.is_empty());
        let cut = fitted(&reject(Some(&header), &header), Room(1000)).unwrap();
        assert_eq!(size_of(&cut), 1000);
    }
}
