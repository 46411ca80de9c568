//! Where a journal ends durably: told by its writer, waited for by its reader.
//! It must not know files.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tickcast_stream::Offset;
use tickcast_stream::lock::lock;

/// The end of what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurableEnd {
    /// After the last durable record.
    pub offset: Offset,
    /// The first record of the last segment.
    pub segment: Offset,
    /// Where that segment ends durably, in bytes from its beginning.
    pub bytes: u64,
}

/// The durable end of a journal, shared by its one writer and its reader in this process. What is
/// written and not yet durable must not be read: after a power cut other records may have its
/// numbers.
#[derive(Clone, Default)]
pub struct Tail(Arc<Shared>);

#[derive(Default)]
struct Shared {
    end: Mutex<Option<DurableEnd>>,
    moved: Condvar,
}

impl Tail {
    /// The writer has made all before `end` durable.
    pub(super) fn set(&self, end: DurableEnd) {
        *lock(&self.0.end) = Some(end);
        self.0.moved.notify_all();
    }

    /// Where it ends; none, before a writer has opened the journal.
    pub(super) fn end(&self) -> Option<DurableEnd> {
        *lock(&self.0.end)
    }

    /// Waits until it ends behind `position`, at most `timeout`; where it ends then.
    pub(super) fn wait_beyond(&self, position: Offset, timeout: Duration) -> Option<DurableEnd> {
        let until = Instant::now() + timeout;
        let mut end = lock(&self.0.end);
        while end.is_none_or(|end| end.offset <= position) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            end = self.0.moved.wait_timeout(end, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *end
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tail({:?})", self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_waits_until_there_is_more() {
        let tail = Tail::default();
        assert_eq!(tail.wait_beyond(Offset(0), Duration::from_millis(1)), None);
        let end = |offset| DurableEnd { offset: Offset(offset), segment: Offset(0), bytes: 9 };
        tail.set(end(1));
        assert_eq!(tail.wait_beyond(Offset(1), Duration::from_millis(1)), Some(end(1)));
        let writer = tail.clone();
        let later = std::thread::spawn(move || writer.set(end(2)));
        assert_eq!(tail.wait_beyond(Offset(1), Duration::from_secs(60)), Some(end(2)));
        later.join().unwrap();
    }
}
