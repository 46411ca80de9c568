//! Checks the `sinks` block: one place a sink, and a format that the place can take.
//! It must not create directories nor topics.

use tickcast_connect::{
    FileSinkSpec, KafkaSinkSpec, KafkaTopicSpec, PayloadSpec, SinkFileFormat, SinkSpec, SinkSpecs,
    SourceSpec, StdoutSpec,
};
use tickcast_stream::Stream;

use super::Checker;
use super::sink_setting::SinkSetting;
use crate::config::raw::{RawSink, RawSinkFile, RawSinkFormat, RawSinks};

impl Checker<'_> {
    /// The sinks; forecasts always have one.
    pub fn sinks(
        &mut self,
        raw: Option<RawSinks>,
        source: &SourceSpec,
        setting: SinkSetting<'_>,
    ) -> SinkSpecs {
        let raw = raw.unwrap_or(RawSinks { forecasts: None, scores: None, rejects: None });
        let mut sink =
            |raw, stream| self.sink(raw, stream, &format!("sinks.{}", stream.name()), source, setting);
        let forecasts = match raw.forecasts {
            Some(raw) => sink(raw, Stream::Forecasts),
            None => Some(SinkSpec::Stdout(StdoutSpec)),
        };
        let scores = raw.scores.and_then(|raw| sink(raw, Stream::Scores));
        let rejects = raw.rejects.and_then(|raw| sink(raw, Stream::Rejects));
        SinkSpecs { forecasts, scores, rejects }
    }

    fn sink(
        &mut self,
        mut raw: RawSink,
        stream: Stream,
        path: &str,
        source: &SourceSpec,
        setting: SinkSetting<'_>,
    ) -> Option<SinkSpec> {
        self.exactly_one(
            path,
            &[("stdout", raw.stdout), ("file", raw.file.is_some()), ("kafka", raw.kafka.is_some())],
        );
        let payload = self.payload_of(&mut raw, stream, path, setting);

        let file = raw.file.map(|file| self.file_sink(file, raw.format, path));
        let kafka = raw.kafka.map(|kafka| {
            let (client, topic) = self.topic_written(kafka, path, "a sink", source);
            SinkSpec::Kafka(KafkaSinkSpec { to: KafkaTopicSpec { client, topic }, payload })
        });
        kafka.or(file).or(raw.stdout.then_some(SinkSpec::Stdout(StdoutSpec)))
    }

    /// How the records of a stream are written, as far as the place where they go can take it.
    fn payload_of(
        &mut self,
        raw: &mut RawSink,
        stream: Stream,
        path: &str,
        setting: SinkSetting<'_>,
    ) -> PayloadSpec {
        if raw.kafka.is_some() && stream != Stream::Rejects {
            return self.payload(raw, path, setting);
        }
        let what = match (stream, raw.file.is_some()) {
            (Stream::Rejects, _) => "rejects, which are the records that came in",
            (_, true) => "files",
            _ => "standard output",
        };
        self.only_for_results(raw, path, what);

        let refused = match (raw.format, raw.file.is_some()) {
            (Some(RawSinkFormat::Parquet), false) => Some(("only a file sink writes parquet", "write json")),
            (Some(RawSinkFormat::Avro | RawSinkFormat::Protobuf), true) => {
                Some(("is for a topic", "files are ndjson or parquet"))
            }
            (Some(RawSinkFormat::Avro | RawSinkFormat::Protobuf), false) => {
                Some(("is for forecasts and scores on a topic", "write json"))
            }
            _ => None,
        };
        if let Some((message, help)) = refused {
            self.fault_with_help(&format!("{path}.format"), message, help);
        }
        PayloadSpec::default()
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
