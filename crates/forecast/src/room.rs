//! Room for one more: lists that grow by half of what they hold, and never beyond their bound.
//! It must not know what is in the lists.
//!
//! A list that doubles keeps room for as much again as it holds. There are dozens of lists a
//! series, and a million series.

use std::collections::VecDeque;

/// The least that a list grows by.
const LEAST: usize = 4;

/// How much a list of `len` grows by that will hold at most `most`.
fn more(len: usize, most: usize) -> usize {
    (len / 2).max(LEAST).min(most.saturating_sub(len)).max(1)
}

/// Makes room in a list that will hold at most `most`.
pub fn for_one_more<T>(list: &mut Vec<T>, most: usize) {
    if list.len() == list.capacity() {
        list.reserve_exact(more(list.len(), most));
    }
}

/// Makes room at the end of a queue that will hold at most `most`, for `count` items that come
/// together.
pub fn at_the_end<T>(queue: &mut VecDeque<T>, count: usize, most: usize) {
    if queue.len() + count > queue.capacity() {
        queue.reserve_exact(more(queue.len(), most).max(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_by_half_to_their_bound() {
        let (mut list, mut queue) = (Vec::new(), VecDeque::new());
        for n in 0..100usize {
            for_one_more(&mut list, 100);
            list.push(n);
            assert!(list.capacity() <= (n + n / 2 + LEAST).min(100));

            queue.drain(..if n >= 30 { 3 } else { 0 });
            at_the_end(&mut queue, 3, 90);
            queue.extend([n; 3]);
            assert!(queue.capacity() <= 90);
        }
    }
}
