//! Checks the `source` block: exactly one source, its defaults, and the format of its records.
//! It must not open files nor reach brokers.

use std::path::{Path, PathBuf};

use tickcast_connect::ingest::IngestSpec;
use tickcast_connect::registry::RegistrySpec;
use tickcast_connect::{
    CsvSpec, FileEnd, FileFormat, FileOrder, FileSourceSpec, GeneratorSpec, KafkaClientSpec, KafkaSourceSpec,
    OnLoss, Process, Shape, SourceSpec, StartFrom, WireFormat,
};

use super::Checker;
use crate::config::fault::quoted;
use crate::config::plan::RecordsSpec;
use crate::config::raw::{RawFile, RawFormat, RawGenerate, RawKafka, RawRegistry, RawSource};

/// The brokers where the file names none.
pub const BROKERS: &str = "localhost:9092";

impl Checker<'_> {
    /// The source, and how its records are written.
    pub fn source(
        &mut self,
        raw: Option<RawSource>,
        name: &str,
    ) -> (SourceSpec, RecordsSpec, Option<IngestSpec>) {
        let Some(raw) = raw else {
            self.required(None::<()>, "source", "needs one of kafka, file, http, mqtt, generate");
            return (self.generate_source(RawGenerate::default()), RecordsSpec::default(), None);
        };
        // What comes a message at a time, and has a time of its own.
        let is_of_messages = raw.kafka.is_some() || raw.http.is_some() || raw.mqtt.is_some();

        let kinds = [
            ("kafka", raw.kafka.is_some()),
            ("file", raw.file.is_some()),
            ("http", raw.http.is_some()),
            ("mqtt", raw.mqtt.is_some()),
            ("generate", raw.generate.is_some()),
        ];
        self.exactly_one("source", &kinds);
        let schema = raw.schema.as_deref().and_then(|path| self.schema(path));
        let format = match raw.format {
            None | Some(RawFormat::Json) => WireFormat::Json,
            Some(RawFormat::Csv) => WireFormat::Csv,
            Some(RawFormat::Avro) => WireFormat::Avro,
            Some(RawFormat::Protobuf) => WireFormat::Protobuf,
        };
        let is_asked = raw.kafka.is_some() && schema.is_none();
        let registry = raw.registry.map(|registry| self.source_registry(registry, format, is_asked));
        if matches!(format, WireFormat::Avro | WireFormat::Protobuf) {
            let has_schema = schema.is_some() || registry.is_some();
            if is_of_messages {
                self.typed_messages(has_schema);
            } else {
                self.typed_file(format, raw.file.is_some(), registry.is_some());
            }
        }
        if raw.message.is_some() && format != WireFormat::Protobuf {
            self.fault("source.message", "belongs to format: protobuf");
        }
        let csv = self.csv(raw.csv);
        if is_of_messages {
            self.csv_of_messages(&csv, format, schema.is_some());
        }
        let (nulls, shape) = (self.nulls(raw.nulls), self.shape(raw.unnest, raw.melt));
        let shape = Shape { envelope: raw.envelope, tombstones: raw.tombstones.unwrap_or_default(), ..shape };

        // Every block is checked, also a second one that must not be there.
        let kafka = raw.kafka.map(|kafka| self.kafka_source(kafka, "source.kafka", name));
        let file = raw.file.map(|file| self.file_source(file, raw.format, csv.clone()));
        let generate = raw.generate.map(|generate| self.generate_source(generate));
        let records = RecordsSpec { format, schema, registry, message: raw.message, csv, nulls, shape };
        let http = raw.http.map(|http| self.http_source(http, name, &records));
        let mqtt = raw.mqtt.map(|mqtt| self.mqtt_source(mqtt, name));
        let (pushed, ingest) = http.or(mqtt).unzip();
        let source = kafka.or(file).or(pushed).or(generate);
        let source = source.unwrap_or_else(|| self.generate_source(RawGenerate::default()));
        self.envelope(&records.shape, format, &source);
        (source, records, ingest)
    }

    /// What messages need that do not name their fields.
    fn typed_messages(&mut self, has_schema: bool) {
        let is_broken = ["source.schema", "source.registry"].iter().any(|path| self.is_faulty(path));
        if !has_schema && !is_broken {
            let help = "add source.schema, the file that has it, or source.registry";
            self.fault_with_help("source.format", "needs a schema", help);
        }
    }

    /// What a file of a typed format cannot be.
    fn typed_file(&mut self, format: WireFormat, is_file: bool, has_registry: bool) {
        if format == WireFormat::Protobuf || !is_file {
            self.fault("source.format", "is for messages; files are csv, json, avro or parquet");
        }
        if has_registry {
            self.fault("source.registry", "is for messages; an Avro file has its own schema");
        }
    }

    /// What CSV needs, and what it cannot have, where each record comes by itself.
    fn csv_of_messages(&mut self, csv: &CsvSpec, format: WireFormat, has_schema: bool) {
        let has_columns = has_schema || self.broken.contains("source.schema") || csv.names().is_some();
        if format == WireFormat::Csv && !has_columns {
            let help = "name them in order by source.csv.header: [a, b], or add source.schema";
            self.fault_with_help("source.format", "csv messages carry no column names", help);
        }

        let of_files = [
            ("skip", csv.skip > 0),
            ("comment", csv.comment.is_some()),
            ("encoding", csv.encoding.is_some()),
        ];
        for (key, _) in of_files.into_iter().filter(|of| of.1) {
            self.fault(&format!("source.csv.{key}"), "is for files, not for messages");
        }
    }

    fn schema(&mut self, path: &str) -> Option<PathBuf> {
        if path.contains("://") {
            let help = "a schema registry is named by source.registry: { url: … }";
            self.fault_with_help("source.schema", "needs a path", help);
            return None;
        }
        Some(self.file_path(path))
    }

    /// How the registry is reached; `is_asked`: also by a format that needs it for types alone.
    fn source_registry(&mut self, raw: RawRegistry, format: WireFormat, is_asked: bool) -> RegistrySpec {
        if format == WireFormat::Json && !is_asked {
            let help = "without source.schema, the subject TOPIC-value says the types of a topic's records";
            self.fault_with_help("source.registry", "is asked for nothing: JSON is read without it", help);
        }
        if format == WireFormat::Csv {
            self.fault("source.registry", "belongs to format: avro, protobuf or json");
        }
        self.registry(raw, "source.registry")
    }

    /// A topic that is read, as the block at `path` says.
    pub fn kafka_source(&mut self, raw: RawKafka, path: &str, name: &str) -> SourceSpec {
        let brokers = raw.brokers.unwrap_or_else(|| BROKERS.to_string());
        let properties = raw.properties.unwrap_or_default().0;
        let (properties, secret_files) = self.properties(properties, &format!("{path}.properties"));
        SourceSpec::Kafka(KafkaSourceSpec {
            topic: self.topic(raw.topic, &format!("{path}.topic")),
            group: raw.group.unwrap_or_else(|| name.to_string()),
            start: raw.start.unwrap_or(StartFrom::Warm),
            on_loss: raw.on_loss.unwrap_or(OnLoss::Stop),
            client: KafkaClientSpec {
                brokers: self.required_text(
                    Some(brokers),
                    &format!("{path}.brokers"),
                    "write it like host:9092",
                ),
                properties,
                secret_files,
            },
        })
    }

    fn file_source(&mut self, raw: RawFile, format: Option<RawFormat>, csv: CsvSpec) -> SourceSpec {
        let path = self.required_text(raw.path, "source.file.path", "a file, or - for standard input");
        self.not_built(path.contains("://"), "source.file.path", "files in object stores and on web servers");
        let named = if path.is_empty() { Some(FileFormat::Csv) } else { FileFormat::of_name(&path) };
        let is_of_several = path.ends_with('/') || path.contains(['*', '?', '[']);
        let format = named.or(match format {
            Some(RawFormat::Csv) => Some(FileFormat::Csv),
            Some(RawFormat::Json) => Some(FileFormat::Ndjson),
            Some(RawFormat::Avro) => Some(FileFormat::Avro),
            // Refused above; one fault is enough.
            Some(RawFormat::Protobuf) => Some(FileFormat::Csv),
            None => is_of_several.then_some(FileFormat::ByName),
        });
        if format.is_none() && !self.broken.contains("source.format") {
            let message = format!("no format is known for {}", quoted(&path));
            let is_zip = path.to_lowercase().ends_with(".zip");
            let help = if is_zip {
                "a zip archive holds files: unzip it and read those"
            } else {
                "add source.format: json, csv or avro; a directory's path ends with /"
            };
            self.fault_with_help("source.file.path", message, help);
        }

        let path = if path == "-" { PathBuf::from(path) } else { self.file_path(&path) };
        let (end, order) = (raw.end.unwrap_or(FileEnd::Close), raw.order.unwrap_or_default());
        if order == FileOrder::Time && end == FileEnd::Keep {
            let message =
                "end: keep is for a file that grows, and what is added would stand among what was read";
            self.fault_with_help(
                "source.file.order",
                message,
                "leave end out, or take records as they arrive",
            );
        }
        if order == FileOrder::Time && path == Path::new("-") {
            self.fault("source.file.order", "standard input cannot be read again, and so not be sorted");
        }
        SourceSpec::File(FileSourceSpec { path, format: format.unwrap_or(FileFormat::Csv), csv, end, order })
    }

    fn generate_source(&mut self, raw: RawGenerate) -> SourceSpec {
        if raw.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            self.fault("source.generate.rate", "must be more than 0");
        }
        SourceSpec::Generate(GeneratorSpec {
            series: raw.series.map_or(10, |series| series.0 as u32),
            ticks: raw.ticks.map_or(100_000, |ticks| ticks.0 as u64),
            rate: raw.rate,
            seed: raw.seed.map_or(1, |seed| seed.0 as u64),
            process: raw.process.unwrap_or(Process::Market),
            partitions: raw.partitions.map_or(1, |partitions| partitions.0 as i32),
        })
    }
}
