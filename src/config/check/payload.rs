//! Checks how results are written to a topic: formats, schema registries, headers.
//! It must not reach a registry.

use tickcast_connect::registry::RegistrySpec;
use tickcast_connect::{PayloadFormat, PayloadSpec, ResultRegistry, Secret, has_proto_number};

use super::Checker;
use super::sink_setting::SinkSetting;
use crate::config::raw::{OrNone, RawHeaders, RawRegistry, RawSink, RawSinkFormat};

impl Checker<'_> {
    /// How the results of the sink at `path`, which is a topic, are written.
    pub fn payload(&mut self, raw: &mut RawSink, path: &str, setting: SinkSetting<'_>) -> PayloadSpec {
        let format_path = format!("{path}.format");
        let format = match raw.format {
            None | Some(RawSinkFormat::Json) => PayloadFormat::Json,
            Some(RawSinkFormat::Avro) => PayloadFormat::Avro,
            Some(RawSinkFormat::Protobuf) => PayloadFormat::Protobuf,
            Some(RawSinkFormat::Ndjson | RawSinkFormat::Parquet) => {
                self.fault_with_help(&format_path, "is for files", "a topic takes json, avro or protobuf");
                PayloadFormat::Json
            }
        };
        if format == PayloadFormat::Protobuf
            && let Some(level) = setting.levels.iter().find(|level| !has_proto_number(**level))
        {
            let message = format!("the level {level} has no number in protobuf: levels go to thousandths");
            self.fault_with_help(&format_path, message, "write avro or json, or another level");
        }

        let registry = self.result_registry(raw, path, format, setting.registry);
        let event_source = matches!(raw.headers, Some(RawHeaders::CloudEvents))
            .then(|| format!("/tickcast/{}", setting.pipeline));
        PayloadSpec { format, key: raw.key_format.unwrap_or_default(), registry, event_source }
    }

    /// The registry for the schemas of results.
    fn result_registry(
        &mut self,
        raw: &mut RawSink,
        path: &str,
        format: PayloadFormat,
        sources: Option<&RegistrySpec>,
    ) -> Option<Box<ResultRegistry>> {
        let spec = match raw.registry.take() {
            Some(OrNone(own)) => own.map(|own| self.registry(own, &format!("{path}.registry"))),
            None => sources.filter(|_| format != PayloadFormat::Json).cloned(),
        };
        if spec.is_none() && raw.subject.is_some() && !self.is_faulty(&format!("{path}.registry")) {
            self.fault_with_help(&format!("{path}.subject"), "is for a registry", "add registry: { url: … }");
        }

        let subject = raw.subject.unwrap_or_default();
        spec.map(|spec| Box::new(ResultRegistry { spec, subject }))
    }

    /// Says which keys of a sink are for results on a topic only.
    pub fn only_for_results(&mut self, raw: &RawSink, path: &str, what: &str) {
        let keys = [
            ("key_format", raw.key_format.is_some()),
            ("registry", raw.registry.is_some()),
            ("subject", raw.subject.is_some()),
            ("headers", raw.headers.is_some()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, is_given)| *is_given) {
            self.fault(
                &format!("{path}.{key}"),
                format!("is for forecasts and scores on a topic, not for {what}"),
            );
        }
    }

    /// How the registry at `path` is reached.
    pub fn registry(&mut self, raw: RawRegistry, path: &str) -> RegistrySpec {
        for (key, is_alone, other) in [
            ("username", raw.username.is_some() && raw.password_file.is_none(), "password_file"),
            ("password_file", raw.password_file.is_some() && raw.username.is_none(), "username"),
        ] {
            if is_alone {
                self.fault(&format!("{path}.{key}"), format!("needs {other} beside it"));
            }
        }

        let url_path = format!("{path}.url");
        let spec = RegistrySpec {
            url: self.required_text(raw.url, &url_path, "write it like https://registry:8081"),
            username: raw.username,
            password: raw.password_file.map(|path| Secret::in_file(self.file_path(&path))),
            ca_file: raw.ca_file.map(|path| self.file_path(&path)),
        };
        if !spec.url.is_empty()
            && let Err(why) = spec.check()
        {
            self.fault(&url_path, why);
        }
        spec
    }
}
