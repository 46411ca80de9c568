//! What of a partition's output is told: not what is committed already, and of a past nothing but
//! rejects.
//! It must not know how the output was made: it sees pieces of it, counts their records, and cuts
//! them.
//!
//! A partition's output is a pure function of its input, so counts of records are positions in the
//! output. A partition that goes on from an older state makes again what is committed, the same
//! records in the same order: of each stream, as many records are silent as the commit counts more
//! than the state.

use super::partition_output::PartitionOutput;
use crate::ledger::{OutputPosition, Position};
use crate::message::Stream;
use crate::place::Offset;

/// Which records an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    /// From before the position where the partition goes live: forecasts and scores are told
    /// nowhere and not counted.
    Past,
    /// From after it.
    Present,
}

/// The rule for the pieces that one batch of records makes.
#[derive(Debug, Clone)]
pub(super) struct Muting {
    /// What is told of the partition with every piece; the position and the counts are the piece's.
    pub base: Position,
    /// What is committed already; none: nothing.
    pub committed: Option<Position>,
    /// Which records the pieces come from.
    pub tense: Tense,
    /// What was put out before the next piece.
    pub emitted: OutputPosition,
}

impl Muting {
    /// Counts a piece. What is left of it to be told, and how far the partition has come with it.
    pub fn apply(&mut self, mut piece: PartitionOutput) -> PartitionOutput {
        if self.tense == Tense::Past {
            piece.results.retain(|(stream, _)| *stream == Stream::Rejects);
        }
        self.cut(&mut piece);
        piece.reached = piece.reached.and_then(|Position { position, .. }| self.reached(position));
        if piece.reached.is_none() {
            // What is made again was counted.
            piece.blank.clear();
            piece.passed.clear();
        }
        piece
    }

    /// Takes away what is committed already, and counts.
    fn cut(&mut self, piece: &mut PartitionOutput) {
        let committed = self.committed.map(|committed| committed.counts).unwrap_or_default();
        for (stream, rows) in &mut piece.results {
            let (before, count) = (self.emitted.of(*stream), rows.num_rows() as u64);
            self.emitted.add(*stream, count);
            let silent = committed.of(*stream).saturating_sub(before).min(count) as usize;
            if silent > 0 {
                *rows = rows.slice(silent, rows.num_rows() - silent);
                if *stream == Stream::Rejects {
                    piece.rejected.drain(..silent);
                }
            }
        }

        piece.results.retain(|(_, rows)| rows.num_rows() > 0);
    }

    /// How far the partition has come; none while it makes again what is committed. A piece of a
    /// batch names the position before the batch: what the batch's records have put out so far is
    /// among the counts.
    fn reached(&self, position: Offset) -> Option<Position> {
        let counts = self.emitted;
        let Some(committed) = self.committed else {
            return Some(Position { position, counts, ..self.base });
        };

        let is_behind = !counts.reach(&committed.counts);
        let is_there = counts == committed.counts && position < committed.position;
        if is_behind || is_there {
            return None;
        }
        Some(Position { position: position.max(committed.position), counts, ..self.base })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use arrow::record_batch::RecordBatch;

    use super::*;
    use crate::message::Reason;

    /// Begun at 100, committed up to 200 with three forecasts and two rejects.
    fn committed() -> Position {
        let counts = OutputPosition { forecasts: 3, scores: 0, rejects: 2 };
        Position { position: Offset(200), counts, ..Position::begin(Offset(100)) }
    }

    fn muting(committed: Option<Position>) -> Muting {
        let (base, emitted) = (Position::begin(Offset(100)), OutputPosition::default());
        Muting { base, committed, tense: Tense::Present, emitted }
    }

    fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    /// A piece with these records that names this position.
    fn piece(position: Offset, results: Vec<(Stream, std::ops::Range<i64>)>) -> PartitionOutput {
        let rejects = results.iter().filter(|(stream, _)| *stream == Stream::Rejects);
        let rejected = rejects.flat_map(|(_, numbers)| numbers.clone());
        PartitionOutput {
            rejected: rejected.map(|n| (Reason::Late, n.to_string())).collect(),
            blank: Vec::new(),
            passed: Vec::new(),
            results: results.into_iter().map(|(stream, numbers)| (stream, rows(numbers))).collect(),
            rows: Vec::new(),
            reached: Some(Position::begin(position)),
        }
    }

    fn told(piece: &PartitionOutput) -> Vec<(Stream, Vec<i64>)> {
        let numbers = |rows: &RecordBatch| rows["n"].as_primitive::<Int64Type>().values().to_vec();
        piece.results.iter().map(|(stream, rows)| (*stream, numbers(rows))).collect()
    }

    fn position(piece: &PartitionOutput) -> Option<(Offset, u64)> {
        piece.reached.map(|reached| (reached.position, reached.counts.forecasts))
    }

    #[test]
    fn where_nothing_is_committed_all_is_told() {
        let out = muting(None).apply(piece(Offset(150), vec![(Stream::Forecasts, 0..2)]));
        assert_eq!(told(&out), [(Stream::Forecasts, vec![0, 1])]);
        let counts = OutputPosition { forecasts: 2, ..OutputPosition::default() };
        assert_eq!(
            out.reached,
            Some(Position { position: Offset(150), counts, ..Position::begin(Offset(100)) })
        );
    }

    #[test]
    fn before_the_commit_nothing_is_told_and_the_rest_of_a_piece_across_it_is() {
        let mut muting = muting(Some(committed()));
        let out = muting.apply(piece(Offset(150), vec![(Stream::Forecasts, 0..2)]));
        assert_eq!((told(&out), position(&out)), (vec![], None));
        let out = muting.apply(piece(Offset(210), vec![(Stream::Forecasts, 2..5), (Stream::Rejects, 0..2)]));
        assert_eq!(
            (told(&out), position(&out)),
            (vec![(Stream::Forecasts, vec![3, 4])], Some((Offset(210), 5)))
        );
    }

    #[test]
    fn with_the_counts_of_the_commit_its_position_has_to_be_reached_too() {
        let mut muting = muting(Some(committed()));
        let all = vec![(Stream::Forecasts, 0..3), (Stream::Rejects, 0..2)];
        assert_eq!(position(&muting.apply(piece(Offset(190), all))), None);
        assert_eq!(position(&muting.apply(piece(Offset(199), vec![]))), None);
        assert_eq!(position(&muting.apply(piece(Offset(200), vec![]))), Some((Offset(200), 3)));
        assert_eq!(position(&muting.apply(piece(Offset(201), vec![]))), Some((Offset(201), 3)));
    }

    #[test]
    fn a_piece_of_a_batch_that_was_committed_in_part_does_not_go_back() {
        // The batch began at 180, and more than is committed came out before it was taken in whole.
        let mut muting = muting(Some(committed()));
        let out = muting.apply(piece(Offset(180), vec![(Stream::Rejects, 0..2), (Stream::Forecasts, 0..4)]));
        assert_eq!(
            (told(&out), position(&out)),
            (vec![(Stream::Forecasts, vec![3])], Some((Offset(200), 4)))
        );
    }

    #[test]
    fn as_long_as_one_stream_is_behind_no_position_is_told() {
        let mut muting = muting(Some(committed()));
        let out = muting.apply(piece(Offset(250), vec![(Stream::Forecasts, 0..9), (Stream::Rejects, 0..1)]));
        assert_eq!(told(&out), [(Stream::Forecasts, (3..9).collect())]);
        assert_eq!(position(&out), None);
    }

    #[test]
    fn rejects_take_their_reasons_with_them() {
        let out = muting(Some(committed())).apply(piece(Offset(150), vec![(Stream::Rejects, 0..3)]));
        assert_eq!(told(&out), [(Stream::Rejects, vec![2])]);
        assert_eq!(out.rejected, [(Reason::Late, "2".to_owned())]);
    }

    #[test]
    fn of_the_past_only_rejects_are_told_and_counted() {
        let base = Position { live: Some(Offset(180)), lost: 7, ..Position::begin(Offset(100)) };
        let mut muting = Muting { tense: Tense::Past, base, ..muting(None) };
        let all = vec![(Stream::Forecasts, 0..3), (Stream::Scores, 0..3), (Stream::Rejects, 0..1)];
        let out = muting.apply(piece(Offset(150), all));
        assert_eq!(told(&out), [(Stream::Rejects, vec![0])]);
        let counts = OutputPosition { rejects: 1, ..OutputPosition::default() };
        assert_eq!(out.reached, Some(Position { position: Offset(150), counts, ..base }));
    }
}
