//! Checks the `sinks` block: one place a sink, and a format that the place can take.
//! It must not create directories nor topics.

use tickcast_connect::{
    FileSinkSpec, KafkaTopicSpec, SinkFileFormat, SinkSpec, SinkSpecs, SourceSpec, StdoutSpec,
};

use super::Checker;
use crate::config::raw::{RawSink, RawSinkFile, RawSinkFormat, RawSinks};

impl Checker<'_> {
    /// The sinks; forecasts always have one.
    pub fn sinks(&mut self, raw: Option<RawSinks>, source: &SourceSpec) -> SinkSpecs {
        let raw = raw.unwrap_or(RawSinks { forecasts: None, scores: None, rejects: None });
        let forecasts = match raw.forecasts {
            Some(sink) => self.sink(sink, "sinks.forecasts", source),
            None => Some(SinkSpec::Stdout(StdoutSpec)),
        };
        let scores = raw.scores.and_then(|sink| self.sink(sink, "sinks.scores", source));
        let rejects = raw.rejects.and_then(|sink| self.sink(sink, "sinks.rejects", source));
        SinkSpecs { forecasts, scores, rejects }
    }

    fn sink(&mut self, raw: RawSink, path: &str, source: &SourceSpec) -> Option<SinkSpec> {
        self.exactly_one(
            path,
            &[("stdout", raw.stdout), ("file", raw.file.is_some()), ("kafka", raw.kafka.is_some())],
        );
        let format_path = format!("{path}.format");
        self.not_built(raw.format == Some(RawSinkFormat::Avro), &format_path, "avro");
        self.not_built(raw.format == Some(RawSinkFormat::Protobuf), &format_path, "protobuf");
        if raw.file.is_none() && raw.format == Some(RawSinkFormat::Parquet) {
            self.fault_with_help(&format_path, "only a file sink writes parquet", "write json");
        }

        let file = raw.file.map(|file| self.file_sink(file, raw.format, path));
        let kafka = raw.kafka.map(|kafka| {
            let (client, topic) = self.topic_written(kafka, path, "a sink", source);
            SinkSpec::Kafka(KafkaTopicSpec { client, topic })
        });
        kafka.or(file).or(raw.stdout.then_some(SinkSpec::Stdout(StdoutSpec)))
    }

    fn file_sink(&mut self, raw: RawSinkFile, format: Option<RawSinkFormat>, path: &str) -> SinkSpec {
        let path = format!("{path}.file.path");
        let dir = self.required_text(raw.path, &path, "a directory, like out/");
        if [".parquet", ".ndjson", ".jsonl", ".json", ".csv"].iter().any(|end| dir.ends_with(end)) {
            // One file a partition: whoever names a file would look for it in vain.
            let help = "it gets one file a partition; the format is a key beside file";
            self.fault_with_help(&path, "needs a directory, not a file", help);
        }
        let format = match format {
            Some(RawSinkFormat::Parquet) => SinkFileFormat::Parquet,
            _ => SinkFileFormat::Ndjson,
        };
        SinkSpec::File(FileSinkSpec { dir: self.file_path(&dir), format })
    }
}
