//! Which snapshots stay when a newer one is there: `verify` begins at the oldest that the input
//! still reaches.
//! It must not delete: it says what may go.

use tickcast_stream::Offset;

/// Bytes of snapshots that stay in a log beside the newest.
const LOG_BYTES: u64 = 32 << 20;

/// Of the snapshots of a directory, by their positions in order, those that stay beside a newer one
/// at `newest`: the oldest that the input reaches, from `first` on, and one on the way to the
/// newest, which takes its place once the input begins after it. That one is replaced by a newer
/// one when it lies in the first third of the way.
pub(super) fn in_directory(kept: &[Offset], newest: Offset, first: Option<Offset>) -> Vec<Offset> {
    let is_reached = |at: &Offset| *at < newest && first.is_none_or(|first| *at >= first);
    let mut reached = kept.iter().copied().filter(is_reached);
    let Some(anchor) = reached.next() else { return vec![newest] };

    let rest: Vec<Offset> = reached.collect();
    let third = anchor.0 + (newest.0 - anchor.0) / 3;
    let midway = rest.iter().find(|at| at.0 >= third).or(rest.last()).copied();
    [anchor].into_iter().chain(midway).chain([newest]).collect()
}

/// A whole snapshot in a log, and the light ones that refer to it: they stay and go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InLog {
    /// The next record to read after the last of them. None: it stands for some that were not
    /// looked at.
    pub position: Option<Offset>,
    /// Where they begin in the log.
    pub first: Offset,
    /// How much they take.
    pub bytes: u64,
}

impl InLog {
    /// One more that refers to it.
    pub fn join(&mut self, position: Offset, bytes: u64) {
        self.position = self.position.map(|at| at.max(position));
        self.bytes += bytes;
    }
}

/// Drops what need not stay of the snapshots in a log, of which the last is the newest. A log can
/// be cut only at its beginning, so the last ones stay: those that the input reaches, from `first`
/// on, as far as they take little beside the newest.
pub(super) fn in_log(kept: &mut Vec<InLog>, first: Option<Offset>) {
    let mut bytes = 0;
    let stays = |snapshot: &&InLog| {
        bytes += snapshot.bytes;
        let is_reached = |at: Offset| first.is_none_or(|first| at >= first);
        bytes <= LOG_BYTES && snapshot.position.is_none_or(is_reached)
    };
    let stay = kept.iter().rev().skip(1).take_while(stays).count();
    kept.drain(..kept.len().saturating_sub(stay + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stays after snapshots at every tenth record up to `to`, in an input that keeps its last
    /// `retained`.
    fn after(to: i64, retained: i64) -> Vec<i64> {
        let mut kept = Vec::new();
        for newest in (10..=to).step_by(10) {
            kept = in_directory(&kept, Offset(newest), Some(Offset((newest - retained).max(0))));
            assert!(kept.len() <= 3);
        }
        kept.into_iter().map(|at| at.0).collect()
    }

    #[test]
    fn an_anchor_stays_for_as_long_as_the_input_reaches_it() {
        assert_eq!(after(10, 1000), [10]);
        assert_eq!(after(20, 1000), [10, 20]);
        assert_eq!(after(30, 1000), [10, 20, 30]);
        let kept = after(1000, 1000);
        assert_eq!((kept[0], kept[2]), (10, 1000));
        assert!((340..1000).contains(&kept[1]), "{kept:?}");
        assert_eq!(in_directory(&[Offset(5)], Offset(9), None), [Offset(5), Offset(9)]);
        // What an input no longer reaches, and what is of a time before the partition went back.
        assert_eq!(in_directory(&[Offset(5), Offset(12)], Offset(9), Some(Offset(6))), [Offset(9)]);
    }

    #[test]
    fn when_retention_passes_the_anchor_one_takes_its_place() {
        for to in (2000..4000).step_by(10) {
            let kept = after(to, 1000);
            assert!(kept.len() == 3 && kept[0] >= to - 1000, "at {to}: {kept:?}");
            // What is left of the input is mostly after it.
            assert!(kept[0] <= to - 400, "at {to}: {kept:?}");
        }
    }

    #[test]
    fn a_log_keeps_its_last_snapshots_as_far_as_they_are_small_and_of_use() {
        let snapshot = |n: i64, bytes| InLog { position: Some(Offset(n * 10)), first: Offset(n), bytes };
        let kept = |bytes, first| {
            let mut kept: Vec<InLog> = (0..6).map(|n| snapshot(n, bytes)).collect();
            in_log(&mut kept, first);
            kept.iter().map(|snapshot| snapshot.first.0).collect::<Vec<_>>()
        };
        assert_eq!(kept(1000, None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(kept(1000, Some(Offset(21))), [3, 4, 5]);
        assert_eq!(kept(1000, Some(Offset(1000))), [5]);
        assert_eq!(kept(LOG_BYTES / 2, None), [3, 4, 5]);
        assert_eq!(kept(3 << 30, None), [5]);
        // What a restart has not looked at stays for as long as there is room.
        for (bytes, stays) in [(1000, 3), (LOG_BYTES, 2)] {
            let before = InLog { position: None, first: Offset(0), bytes };
            let mut kept = vec![before, snapshot(3, 1000), snapshot(4, 1000)];
            in_log(&mut kept, Some(Offset(5)));
            assert_eq!(kept.len(), stays);
        }
        // Light ones make their base useful for longer, and take room.
        let [mut first, second] = [snapshot(1, 1000), snapshot(2, 1000)];
        first.join(Offset(19), 1000);
        for (bytes, readable, stays) in [(0, 15, 2), (0, 20, 1), (LOG_BYTES, 15, 1)] {
            first.bytes += bytes;
            let mut kept = vec![first, second];
            in_log(&mut kept, Some(Offset(readable)));
            assert_eq!(kept.len(), stays);
        }
        let mut none = Vec::new();
        in_log(&mut none, None);
        assert_eq!(none, []);
    }
}
