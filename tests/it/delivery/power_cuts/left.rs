//! What a power cut has left, as a reader sees it: what is committed, and that it is what an
//! undisturbed run writes. It must not know what was done before the cut.

use std::collections::BTreeMap;
use std::path::Path;

use axum::body::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tickcast_connect::SinkFileFormat;
use tickcast_stream::ledger::chunk::base_in_head;
use tickcast_stream::ledger::{Base, Checkpoint};
use tickcast_stream::message::Stream;
use tickcast_stream::record::json_lines;
use tickcast_stream::{Offset, PartitionId};

use super::super::simulation::input::Input;
use crate::disk::Image;

/// Rejects are seldom: nothing else syncs their directory.
pub fn dir_of(stream: Stream) -> &'static str {
    if stream == Stream::Rejects { "rejects" } else { "out" }
}

/// What is committed, by the partition.
pub struct Left<'a> {
    pub image: &'a Image,
    pub input: &'a Input,
    pub format: SinkFileFormat,
}

type Found<T = ()> = Result<T, String>;

impl Left<'_> {
    fn file(&self, name: &str) -> Option<&[u8]> {
        self.image.files.get(Path::new(name)).map(Vec::as_slice)
    }

    /// The manifest of a partition, if it has one.
    fn manifest(&self, id: PartitionId) -> Found<Option<serde_json::Value>> {
        let Some(bytes) = self.file(&format!("disk/state/partition-{id}.manifest")) else { return Ok(None) };
        let text = String::from_utf8_lossy(bytes);
        let (json, crc) = text.split_once('\n').ok_or(format!("the manifest of {id} is {text:?}"))?;
        if crc.trim_end() != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
            return Err(format!("the manifest of {id} is damaged: {text:?}"));
        }
        serde_json::from_str(json).map(Some).map_err(|error| error.to_string())
    }

    pub fn entry(&self, id: PartitionId) -> Found<Option<Checkpoint>> {
        let entry = self.manifest(id)?.map(|manifest| manifest["entry"].clone());
        entry.map_or(Ok(None), |entry| serde_json::from_value(entry).map_err(|error| error.to_string()))
    }

    /// The numbers of the parts of a stream.
    fn parts(&self, name: &str) -> Vec<u64> {
        let prefix = format!("{name}-");
        let number =
            |path: &Path| path.to_str()?.strip_prefix(&prefix)?.strip_suffix(".parquet")?.parse::<u64>().ok();
        self.image.files.keys().filter_map(|path| number(path)).collect()
    }

    /// The records of a stream, as text: of what the manifest names, or of all that is there.
    fn text(&self, id: PartitionId, stream: Stream, named: Option<&serde_json::Value>) -> Found<Vec<u8>> {
        let name = format!("disk/{}/{}-{id}", dir_of(stream), stream.name());
        if self.format == SinkFileFormat::Ndjson {
            let bytes = self.file(&format!("{name}.ndjson")).unwrap_or_default();
            let Some(named) = named else { return Ok(bytes.to_vec()) };
            let len = named["bytes"].as_u64().ok_or(format!("{name}: no bytes in {named}"))? as usize;
            let kept = bytes.get(..len);
            return kept.map(<[u8]>::to_vec).ok_or(format!("{name}: {len} bytes of {}", bytes.len()));
        }
        let numbers = match named {
            Some(named) => {
                (0..named["parts"].as_u64().ok_or(format!("{name}: no parts in {named}"))?).collect()
            }
            None => self.parts(&name),
        };
        let mut text = Vec::new();
        for number in numbers {
            let part = self.file(&format!("{name}-{number:05}.parquet"));
            let bytes = part.ok_or(format!("{name}: part {number} is gone"))?.to_vec();
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).and_then(|it| it.build());
            for rows in reader.map_err(|error| format!("{name}: part {number}: {error}"))? {
                let rows = rows.map_err(|error| format!("{name}: part {number}: {error}"))?;
                text.extend(json_lines(&rows).map_err(|error| error.to_string())?);
            }
        }
        Ok(text)
    }

    /// Nothing of what was said to be committed is gone, and what is committed is how an
    /// undisturbed run begins.
    pub fn check(&self, said: &BTreeMap<PartitionId, Offset>) -> Found {
        for id in self.input.ids() {
            let (manifest, entry) = (self.manifest(id)?, self.entry(id)?);
            let position = entry.as_ref().map(|entry| entry.progress.position);
            if position < said.get(&id).copied() {
                return Err(format!("partition {id} is at {position:?}, but {said:?} was committed"));
            }
            let Some((manifest, entry)) = manifest.zip(entry) else { continue };
            self.check_snapshot(id, &entry)?;
            let undisturbed = self.input.undisturbed(id, entry.progress.live, &[]);
            for stream in Stream::ALL {
                let lines = &undisturbed.results[&stream];
                let committed = entry.progress.counts.of(stream) as usize;
                let kept = self.text(id, stream, Some(&manifest["outputs"][stream.name()]))?;
                if lines.get(..committed).map(text_of).as_deref() != Some(kept.as_slice()) {
                    return Err(format!(
                        "{} of partition {id}: what is committed, {committed} records, is not how an undisturbed run \
                         begins: {} lines, {} of them right",
                        stream.name(),
                        lines_of(&kept),
                        String::from_utf8_lossy(&kept).lines().zip(lines).take_while(|(a, b)| a == b).count()
                    ));
                }
            }
        }
        let owned = |dir: &str| {
            self.file(&format!("disk/{dir}/.tickcast-owner")).is_some_and(|it| it.ends_with(b"\n"))
        };
        if !said.is_empty() && !["out", "rejects", "state"].into_iter().all(owned) {
            return Err("something is committed, and the directories are nobody's".to_owned());
        }
        Ok(())
    }

    fn snapshot(&self, id: PartitionId, position: Offset) -> (String, Option<&[u8]>) {
        let name = format!("disk/state/partition-{id}-{position:020}.snapshot");
        let bytes = self.file(&name);
        (name, bytes)
    }

    /// What the snapshot at a position needs, where it is a light one.
    pub fn base(&self, id: PartitionId, position: Offset) -> Option<Base> {
        base_in_head(self.snapshot(id, position).1?)
    }

    /// The snapshot that an entry names is there, and what it needs; whether they are whole says
    /// the next claim.
    fn check_snapshot(&self, id: PartitionId, entry: &Checkpoint) -> Found {
        let Some(named) = entry.snapshot else { return Ok(()) };
        let base = self.base(id, named.position).map(|base| base.of.position);
        for position in [named.position].into_iter().chain(base) {
            match self.snapshot(id, position) {
                (_, Some(bytes)) if !bytes.is_empty() => {}
                (name, _) => return Err(format!("{name} is gone, which the last commit names or needs")),
            }
        }
        Ok(())
    }

    /// All is there, and nothing else, as an undisturbed run writes it.
    pub fn compare(&self) -> Found {
        for id in self.input.ids() {
            let live = self.entry(id)?.and_then(|entry| entry.progress.live);
            let undisturbed = self.input.undisturbed(id, live, &[]);
            for stream in Stream::ALL {
                let (found, expected) =
                    (self.text(id, stream, None)?, text_of(&undisturbed.results[&stream]));
                if found != expected {
                    return Err(format!(
                        "{} of partition {id}: {} lines, {} bytes, undisturbed {} and {}",
                        stream.name(),
                        lines_of(&found),
                        found.len(),
                        lines_of(&expected),
                        expected.len()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn text_of(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().into_bytes()
}

fn lines_of(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}
