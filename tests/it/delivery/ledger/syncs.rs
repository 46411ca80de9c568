//! Every sync of a commit to files fails, each in its turn: nothing is lost, nothing stands twice.
//! It must not cut the power: `power_cuts.rs` does.

use tickcast_connect::SinkFileFormat;
use tickcast_stream::PartitionId;
use tickcast_stream::ledger::{CHUNK_BYTES, Committed, Committer};

use super::harness::{Files, Harness};
use super::{Forecasts, Offset, lines, progress, rows, snapshot};
use crate::disk::{Faults, Image, Recording};

const BOTH: [PartitionId; 2] = [PartitionId(0), PartitionId(1)];

/// Where the name of a manifest could not be synced for want of room, the commit was taken back and
/// made again, though the manifest was there: results stood twice, or were fewer than the manifest
/// named. A snapshot of several epochs lost its beginning. Found by failing syncs.
#[test]
fn a_sync_that_fails_loses_nothing_and_doubles_nothing() {
    for format in [SinkFileFormat::Ndjson, SinkFileFormat::Parquet] {
        for errno in [libc::EIO, libc::ENOSPC, libc::EDQUOT] {
            let failed = (0..).take_while(|&nth| fail_nth(format, errno, nth)).count();
            assert!(failed > 10, "only {failed} syncs");
        }
    }
}

/// False where there is no such sync.
fn fail_nth(format: SinkFileFormat, errno: i32, nth: u32) -> bool {
    let files = Files::new(format, true);
    let (mut recover, commit) = files.open(1, false);
    let mut committer = Committer::new(commit);
    for id in BOTH {
        recover.claim(id).unwrap();
        committer.begin(id, None).unwrap();
        committer.results(id, vec![(Forecasts, rows(0, 3))], Some(progress(Offset(10), 3, 0)));
    }
    assert_eq!(committer.commit().unwrap(), Committed::Done(true));

    for id in BOTH {
        committer.results(id, vec![(Forecasts, rows(3, 7))], Some(progress(Offset(4711), 7, 0)));
    }
    // It takes two epochs.
    committer.snapshot(snapshot(PartitionId(0), Offset(4711), 9 * CHUNK_BYTES + 5));
    let recording = Recording::begin(files.root(), &Image::read(files.root()), Faults::one_sync(nth, errno));
    let mut is_said = true;
    while is_said && !committer.is_clean() {
        // A failure ends the run; a want of room is waited for.
        is_said = committer.commit().is_ok();
    }
    // A run that ends gives its partitions back.
    BOTH.into_iter().for_each(|id| _ = committer.release(id));
    let has_failed = recording.faults_met() > 0;
    drop((recording, recover, committer));

    let (mut recover, mut commit) = files.open(1, false);
    for id in BOTH {
        let claim = recover.claim(id).unwrap();
        commit.begin(id, claim.entry.as_ref()).unwrap();
        let made = claim.entry.unwrap().progress.counts.forecasts;
        assert!(made == 7 || !is_said && made == 3, "{format:?}, {errno}, sync {nth}: {made}");
        assert!(files.committed(id, Forecasts) == lines(made), "{format:?}, {errno}, sync {nth}");
        assert!(claim.snapshot.is_some() || !is_said || id == PartitionId(1));
    }
    has_failed
}
