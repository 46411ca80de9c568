//! The way to one worker: its channel, and in order behind that what the channel has no room for.
//! It must not wait: the reader has to poll its source, or a group takes its partitions away.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use super::channels::{ToWorker, closed};
use crate::error::Result;

/// What was told to one worker, and not taken by it yet.
pub(super) struct WorkerQueue {
    to_worker: Sender<ToWorker>,
    /// What the full channel could not take; the worker's partitions are paused while there is any.
    backlog: VecDeque<ToWorker>,
}

impl WorkerQueue {
    /// The way over this channel.
    pub fn new(to_worker: Sender<ToWorker>) -> Self {
        WorkerQueue { to_worker, backlog: VecDeque::new() }
    }

    /// Whether the worker is behind by more than its channel holds.
    pub fn is_full(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Messages in the channel.
    pub fn depth(&self) -> usize {
        self.to_worker.len()
    }

    /// Tells the worker something, after all that it was told before. Errors: the worker has ended.
    pub fn push(&mut self, command: ToWorker) -> Result<()> {
        let left = if self.is_full() { Some(command) } else { self.try_send(command)? };
        self.backlog.extend(left);
        Ok(())
    }

    /// Moves what waits to the channel, as far as there is room. Errors: the worker has ended.
    pub fn drain(&mut self) -> Result<()> {
        while let Some(command) = self.backlog.pop_front() {
            if let Some(command) = self.try_send(command)? {
                self.backlog.push_front(command);
                break;
            }
        }
        Ok(())
    }

    /// Tells the worker all that still waits and that nothing more comes, waiting for room.
    /// `alive` is called every `period` of waiting. Errors: the worker has ended, or `alive`'s.
    pub fn finish(&mut self, period: Duration, alive: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        for mut command in self.backlog.drain(..).chain([ToWorker::SaveAll]) {
            loop {
                match self.to_worker.send_timeout(command, period) {
                    Ok(()) => break,
                    Err(SendTimeoutError::Timeout(unsent)) => command = unsent,
                    Err(SendTimeoutError::Disconnected(_)) => return Err(closed("a worker")),
                }
                alive()?;
            }
        }
        Ok(())
    }

    /// What the channel has no room for.
    fn try_send(&self, command: ToWorker) -> Result<Option<ToWorker>> {
        match self.to_worker.try_send(command) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(command)) => Ok(Some(command)),
            Err(TrySendError::Disconnected(_)) => Err(closed("a worker")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::error::{Error, Kind};
    use crate::place::PartitionId;

    fn ends(from_reader: &Receiver<ToWorker>) -> Vec<i32> {
        let id = |command| if let ToWorker::End(id) = command { id.0 } else { -1 };
        from_reader.try_iter().map(id).collect()
    }

    #[test]
    fn what_a_full_channel_cannot_take_follows_in_order() {
        let (to_worker, from_reader) = bounded(2);
        let mut queue = WorkerQueue::new(to_worker);
        (0..4).for_each(|id| queue.push(ToWorker::End(PartitionId(id))).unwrap());
        assert!(queue.is_full() && queue.depth() == 2);
        assert_eq!(ends(&from_reader), [0, 1]);
        // There is room, but what waits goes first.
        queue.push(ToWorker::End(PartitionId(4))).unwrap();
        queue.drain().unwrap();
        assert!(queue.is_full());
        assert_eq!(ends(&from_reader), [2, 3]);
        queue.drain().unwrap();
        assert!(!queue.is_full());
        assert_eq!(ends(&from_reader), [4]);
    }

    #[test]
    fn the_end_of_a_worker_and_the_callers_own_error_end_the_waiting() {
        let (to_worker, from_reader) = bounded(1);
        let mut queue = WorkerQueue::new(to_worker);
        queue.push(ToWorker::End(PartitionId(0))).unwrap();
        let mut alive = || Err(Error::new(Kind::Sink, "it hangs"));
        let error = queue.finish(Duration::from_millis(1), &mut alive).unwrap_err();
        assert!(error.to_string().contains("it hangs"));
        drop(from_reader);
        assert!(
            queue.push(ToWorker::End(PartitionId(1))).is_err()
                && queue.finish(Duration::ZERO, &mut || Ok(())).is_err()
        );
    }
}
