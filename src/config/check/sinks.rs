//! Checks the `sinks` block: one place a sink, and a format that the place can take.
//! It must not create directories nor topics.

use super::Checker;
use super::source::BROKERS;
use crate::config::plan::{KafkaClientPlan, SinkFileFormat, SinkPlan, SinksPlan, SourcePlan};
use crate::config::raw::{RawKafka, RawSink, RawSinkFile, RawSinkFormat, RawSinks};

impl Checker<'_> {
    pub fn sinks(&mut self, raw: Option<RawSinks>, source: &SourcePlan) -> SinksPlan {
        let raw = raw.unwrap_or(RawSinks { forecasts: None, scores: None, rejects: None });
        let forecasts = match raw.forecasts {
            Some(sink) => self.sink(sink, "sinks.forecasts", source),
            None => Some(SinkPlan::Stdout),
        };
        let scores = raw.scores.and_then(|sink| self.sink(sink, "sinks.scores", source));
        let rejects = raw.rejects.and_then(|sink| self.sink(sink, "sinks.rejects", source));
        SinksPlan { forecasts, scores, rejects }
    }

    fn sink(&mut self, raw: RawSink, path: &str, source: &SourcePlan) -> Option<SinkPlan> {
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
        let kafka = raw.kafka.map(|kafka| self.kafka_sink(kafka, &format!("{path}.kafka"), source));
        kafka.or(file).or(raw.stdout.then_some(SinkPlan::Stdout))
    }

    fn file_sink(&mut self, raw: RawSinkFile, format: Option<RawSinkFormat>, path: &str) -> SinkPlan {
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
        SinkPlan::File { dir: self.file_path(&dir), format }
    }

    fn kafka_sink(&mut self, raw: RawKafka, path: &str, source: &SourcePlan) -> SinkPlan {
        for (key, is_given) in [("group", raw.group.is_some()), ("start", raw.start.is_some())] {
            if is_given {
                self.fault(&format!("{path}.{key}"), "belongs to a source, not to a sink");
            }
        }
        let source_client = match source {
            SourcePlan::Kafka(kafka) => kafka.client.clone(),
            _ => KafkaClientPlan { brokers: BROKERS.to_string(), properties: Vec::new() },
        };
        let topic_path = format!("{path}.topic");
        let topic = self.topic(raw.topic, &topic_path);
        let client = KafkaClientPlan {
            brokers: raw.brokers.unwrap_or(source_client.brokers),
            properties: match raw.properties {
                Some(properties) => self.properties(properties.0, &format!("{path}.properties")),
                None => source_client.properties,
            },
        };
        if let SourcePlan::Kafka(kafka) = source
            && kafka.topic == topic
            && kafka.client.brokers == client.brokers
            && !topic.is_empty()
        {
            self.fault(&topic_path, "is the source's topic: the pipeline would read what it writes");
        }
        SinkPlan::Kafka { client, topic }
    }
}
