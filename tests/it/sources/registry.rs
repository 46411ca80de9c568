//! The client of schema registries against a real one: what it registers it finds again, and what
//! the registry refuses is said in its words. The file must not know how schemas are read.

use serde_json::json;
use tickcast_connect::registry::{
    NewSchema, ReferencedSchema, Registry, RegistrySpec, SchemaKind, SchemaReference, UnknownSchema,
};
use tickcast_stream::error::Retry;

use crate::support::certificates::Authority;
use crate::support::registry::TestRegistry;

fn avro(text: serde_json::Value) -> NewSchema {
    NewSchema { kind: SchemaKind::Avro, text: text.to_string(), references: Vec::new() }
}

fn reading(fields: serde_json::Value) -> NewSchema {
    avro(json!({ "type": "record", "name": "Reading", "fields": fields }))
}

fn open(url: String) -> Registry {
    Registry::open(&RegistrySpec { url, ..RegistrySpec::default() }).unwrap()
}

#[test]
fn a_real_registry_takes_schemas_of_each_language_and_gives_them_back() {
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let registry = open(server.url());
    let unit = avro(json!({ "type": "enum", "name": "Unit", "symbols": ["C", "K"] }));
    let unit_id = registry.register("unit", &unit).unwrap();
    assert_eq!(registry.register("unit", &unit).unwrap(), unit_id);

    let fields = json!([{ "name": "v", "type": "double" }, { "name": "unit", "type": "Unit" }]);
    let reference = SchemaReference { name: "Unit".into(), subject: "unit".into(), version: 1 };
    let new = NewSchema { references: vec![reference], ..reading(fields) };
    let id = registry.register("a/b c-value", &new).unwrap();
    let found = registry.schema(id).unwrap();
    assert_eq!((found.kind, &found.text), (SchemaKind::Avro, &new.text));
    assert_eq!(found.references, [ReferencedSchema { name: "Unit".into(), text: unit.text }]);
    assert_eq!(registry.latest("a/b c-value").unwrap(), found);

    let proto = "syntax = \"proto3\";\nmessage Reading {\n  double v = 1;\n}\n";
    let new = NewSchema { kind: SchemaKind::Protobuf, text: proto.into(), references: Vec::new() };
    let found = registry.schema(registry.register("proto", &new).unwrap()).unwrap();
    assert_eq!(found.kind, SchemaKind::Protobuf);
    assert!(found.text.contains("double v = 1"), "{}", found.text);
    let text = json!({ "type": "object", "properties": { "v": { "type": "number" } } }).to_string();
    let new = NewSchema { kind: SchemaKind::Json, text, references: Vec::new() };
    let found = registry.schema(registry.register("json", &new).unwrap()).unwrap();
    assert_eq!((found.kind, &found.text), (SchemaKind::Json, &new.text));
}

#[test]
fn what_a_real_registry_does_not_know_or_refuses_is_said_in_its_words() {
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let registry = open(server.url());
    for error in [registry.schema(1).unwrap_err(), registry.latest("readings-value").unwrap_err()] {
        let unknown = UnknownSchema::cause_of(&error).unwrap_or_else(|| panic!("{error}"));
        assert!(unknown.message.starts_with("No "), "{unknown}");
    }

    // The same client finds it once it is there.
    let first = reading(json!([{ "name": "v", "type": "double" }]));
    let id = registry.register("readings-value", &first).unwrap();
    assert_eq!((id, registry.schema(1).unwrap().text.as_str()), (1, first.text.as_str()));
    let (status, answer) = server.call("PUT", "/config/readings-value", r#"{"compatibility":"BACKWARD"}"#);
    assert_eq!(status, 200, "{answer}");
    for (new, expected) in [
        (reading(json!([{ "name": "w", "type": "double" }])), "HTTP 409"),
        (NewSchema { text: "{".into(), ..first }, "HTTP 422"),
    ] {
        let error = registry.register("readings-value", &new).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(error.retry, Retry::Never);
    }
    let lost = open(server.url().replace("/apis/", "/api/")).schema(1).unwrap_err();
    assert!(lost.to_string().contains("is registry.url right?"), "{lost}");
}

#[test]
fn a_real_registry_is_reached_over_tls_by_its_authority() {
    let authority = Authority::new("tests");
    let identity = authority.issue("registry", Some("127.0.0.1"), 2);
    let Some(server) = TestRegistry::start_or_skip(Some(&identity)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let spec = RegistrySpec { url: server.tls_url(), ca_file: Some(ca_file), ..RegistrySpec::default() };

    let registry = Registry::open(&spec).unwrap();
    let id = registry.register("readings-value", &reading(json!([]))).unwrap();
    assert_eq!(registry.schema(id).unwrap().kind, SchemaKind::Avro);
    let stranger = open(server.tls_url()).schema(id).unwrap_err();
    assert!(stranger.to_string().contains("not signed by an authority that is known here"), "{stranger}");
}
