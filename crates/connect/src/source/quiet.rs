//! Tells of a partition of which nothing comes, once it has lasted.
//! It must not know how a source finds out that nothing waits to be read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tickcast_stream::PartitionId;

/// A source that has not said for so long that all is read may have been away from its broker, and
/// so may those who write: then it begins anew.
const HEARSAY: Duration = Duration::from_secs(5);

/// Partitions of which nothing comes.
#[derive(Debug, Default)]
pub(crate) struct QuietWatch {
    /// None: nobody wants to know.
    after: Option<Duration>,
    of: BTreeMap<PartitionId, Quiet>,
}

#[derive(Debug)]
struct Quiet {
    since: Instant,
    heard: Instant,
    is_told: bool,
}

impl QuietWatch {
    /// Tells when nothing has come for so long.
    pub fn new(after: Option<Duration>) -> Self {
        QuietWatch { after, of: BTreeMap::new() }
    }

    /// Something has come of a partition, or waits to be read; or it is not ours any more.
    pub fn stir(&mut self, partition: PartitionId) {
        self.of.remove(&partition);
    }

    /// At this moment all of a partition is read. True once, when that has lasted.
    pub fn is_quiet(&mut self, partition: PartitionId, now: Instant) -> bool {
        let Some(after) = self.after else { return false };
        let quiet = self.of.entry(partition).or_insert(Quiet { since: now, heard: now, is_told: false });
        if now.duration_since(quiet.heard) > HEARSAY {
            quiet.since = now;
        }
        quiet.heard = now;

        let is_news = !quiet.is_told && now.duration_since(quiet.since) >= after;
        quiet.is_told |= is_news;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(3);

    /// Whether it is told at each of these seconds, at which all is read.
    fn told(watch: &mut QuietWatch, from: Instant, seconds: &[u64]) -> Vec<u64> {
        let at = |second: &&u64| watch.is_quiet(P, from + Duration::from_secs(**second));
        seconds.iter().filter(at).copied().collect()
    }

    #[test]
    fn it_is_told_once_until_something_comes() {
        let (mut watch, from) = (QuietWatch::new(Some(Duration::from_secs(4))), Instant::now());
        assert_eq!(told(&mut watch, from, &[0, 2, 4, 6, 8, 10]), [4]);
        watch.stir(P);
        assert_eq!(told(&mut watch, from, &[11, 13, 15, 17]), [15]);
        assert!(told(&mut QuietWatch::new(None), from, &[0, 100]).is_empty());
    }

    #[test]
    fn a_time_in_which_nobody_could_tell_does_not_count() {
        let (mut watch, from) = (QuietWatch::new(Some(Duration::from_secs(4))), Instant::now());
        assert_eq!(told(&mut watch, from, &[0, 2, 60, 62, 64]), [64]);
    }
}
