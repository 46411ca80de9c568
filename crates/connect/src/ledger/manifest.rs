//! A manifest: what is committed of a partition in files.
//! It must not decide when it is replaced.
//!
//! `partition-3.manifest` is a line of JSON and a line with its CRC-32.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::Checkpoint;
use tickcast_stream::{Offset, PartitionId};

use super::staged::Staged;
use crate::sink::CommittedLen;
use crate::whole_file::read_whole_text;

const VERSION: u32 = 1;
/// Far more than the longest manifest.
const BYTES_MAX: u64 = 1 << 20;

/// What is committed of a partition, and how much of its outputs that is.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// What is committed of the partition; none before the first commit.
    pub entry: Option<Checkpoint>,
    /// Before the first commit: the position of the snapshot it began with, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Offset>,
    /// How much of each stream is.
    pub outputs: BTreeMap<String, CommittedLen>,
}

impl Manifest {
    /// In the format of this release.
    pub fn new(
        entry: Option<Checkpoint>,
        from: Option<Offset>,
        outputs: BTreeMap<String, CommittedLen>,
    ) -> Self {
        Manifest { version: VERSION, entry, from, outputs }
    }

    /// Writes it beside its name, to the disk.
    pub fn stage(&self, dir: &Path, partition: PartitionId) -> Result<Staged> {
        let json = serde_json::to_string(self).or_fail(Kind::State, || "cannot write a manifest")?;

        let text = format!("{json}\n{:08x}\n", crc32fast::hash(json.as_bytes()));
        let path = manifest_path(dir, partition);
        let fail = || format!("cannot write {}", path.display());
        Staged::write(&path, text.as_bytes()).or_fail(Kind::State, fail)
    }
}

fn manifest_path(dir: &Path, partition: PartitionId) -> PathBuf {
    dir.join(format!("partition-{partition}.manifest"))
}

/// Errors: `State`, when it is damaged.
pub(super) fn read_manifest(dir: &Path, partition: PartitionId) -> Result<Option<Manifest>> {
    let path = manifest_path(dir, partition);
    let fail = || format!("cannot read {}", path.display());
    let text = match read_whole_text(&path, BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).or_fail(Kind::State, fail),
    };

    let damaged = || {
        Error::new(Kind::State, fail())
            .because("it is damaged; `run --rebuild` learns anew, once the outputs are put right")
    };
    let (json, crc) = text.split_once('\n').ok_or_else(damaged)?;
    if crc.trim_end() != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return Err(damaged());
    }

    let manifest: Manifest = serde_json::from_str(json).or_fail(Kind::State, fail)?;
    if manifest.version != VERSION {
        let what = format!("it is of format version {}, which this tickcast does not read", manifest.version);
        return Err(Error::new(Kind::State, fail()).because(what));
    }
    Ok(Some(manifest))
}
