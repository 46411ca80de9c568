//! What a value takes on the heap, measured by a copy of it.
//! It must not know what the value is.

use allocation_counter::measure;

/// Beside what it was asked for, an allocator takes about as much for each piece.
pub const PIECE: u64 = 16;

/// Bytes that `work` leaves allocated, with those that the allocator needs.
pub fn left_by(work: impl FnOnce()) -> u64 {
    let counted = measure(work);
    u64::try_from(counted.bytes_current).unwrap() + PIECE * u64::try_from(counted.count_current).unwrap()
}

/// Bytes that `work` gives back.
pub fn freed_by(work: impl FnOnce()) -> u64 {
    let counted = measure(work);
    u64::try_from(-counted.bytes_current).unwrap() + PIECE * u64::try_from(-counted.count_current).unwrap()
}

/// Bytes of a copy of `value` on the heap.
pub fn of<T: Clone>(value: &T) -> u64 {
    let mut copy = None;
    left_by(|| copy = Some(value.clone()))
}
