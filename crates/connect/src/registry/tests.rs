//! The client against servers that answer rightly, wrongly, slowly or not at all.
//! It must not reach beyond this machine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tickcast_stream::error::{Error, Retry};

use super::{NewSchema, Registry, RegistrySpec, SchemaKind, SchemaReference, UnknownSchema};
use crate::secret::Secret;
use certificates::Authority;
use server::{Asked, Reply, Server};

#[path = "../../../../tests/it/support/certificates.rs"]
mod certificates;
mod server;

fn spec(url: &str) -> RegistrySpec {
    RegistrySpec { url: url.to_owned(), ..RegistrySpec::default() }
}

fn registry(url: &str) -> Registry {
    Registry::open(&spec(url)).unwrap()
}

fn says(status: u16, body: &Value) -> Reply {
    Reply::Says(status, body.to_string())
}

fn unknown(code: u32) -> Reply {
    says(404, &json!({ "error_code": code, "message": "not here" }))
}

/// The only schema of a server that knows one.
fn only_seven(asked: &Asked) -> Reply {
    match asked.line.as_str() {
        "GET /schemas/ids/7" => says(200, &json!({ "schema": "\"string\"" })),
        _ => unknown(40403),
    }
}

/// Why schema 7 of a server cannot be had, the address left out.
fn refused(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (String, Retry) {
    let server = Server::start(reply);
    why(&registry(&server.url()).schema(7).unwrap_err(), &server)
}

fn why(error: &Error, server: &Server) -> (String, Retry) {
    let text = error.to_string();
    let address = format!("{}/schemas/ids/7", server.url());
    assert!(text.contains(&address), "{text}");
    let text = text.replace("source: schema registry: cannot ask for schema 7: ", "");
    (text.replace(&format!("{address}: "), ""), error.retry)
}

#[test]
fn a_schema_is_fetched_once_and_an_unknown_one_each_time() {
    let server = Server::start(only_seven);
    let registry = registry(&server.url());
    let shared = registry.clone();
    let schema = registry.schema(7).unwrap();
    assert_eq!((schema.id, schema.kind, schema.text.as_str()), (7, SchemaKind::Avro, "\"string\""));
    assert_eq!(*shared.schema(7).unwrap(), *schema);
    for _ in 0..2 {
        let error = registry.schema(8).unwrap_err();
        let unknown = UnknownSchema::cause_of(&error).unwrap();
        assert_eq!((unknown.what.as_str(), unknown.message.as_str()), ("schema 8", "not here"));
        assert!(error.to_string().contains("the registry has no schema 8: \"not here\""), "{error}");
    }
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(asked, ["GET /schemas/ids/7", "GET /schemas/ids/8", "GET /schemas/ids/8"]);
}

#[test]
fn a_failure_is_not_kept() {
    let times = AtomicUsize::new(0);
    let server = Server::start(move |asked| match times.fetch_add(1, Ordering::Relaxed) {
        0 => says(503, &json!({ "error_code": 50003, "message": "no leader" })),
        _ => only_seven(asked),
    });
    let registry = registry(&server.url());
    let first = registry.schema(7).unwrap_err();
    assert_eq!(why(&first, &server), ("HTTP 503: \"no leader\"".to_owned(), Retry::Later));
    assert!(registry.schema(7).is_ok());
}

/// A reply, what is said of it, and whether to try again.
type Case = (fn(&Asked) -> Reply, &'static str, Retry);

#[test]
fn each_answer_that_is_none_names_its_cause_and_whether_to_try_again() {
    let html = || Reply::Says(404, "<h1>Not\nFound</h1>".to_owned());
    let cases: [Case; 9] = [
        (
            |_| Reply::Says(200, "{\"schema\":".to_owned()),
            "its answer is not a schema registry's",
            Retry::Never,
        ),
        (
            |_| says(200, &json!({ "schema": 7 })),
            "invalid type: integer `7`, expected a string",
            Retry::Never,
        ),
        (
            |_| says(200, &json!({ "schema": "", "schemaType": "XML" })),
            "unknown variant `XML`, expected one of `AVRO`, `PROTOBUF`, `JSON`",
            Retry::Never,
        ),
        (|_| says(200, &json!([1])), "its answer is not a schema registry's", Retry::Never),
        (|_| says(429, &json!({ "message": "slow down" })), "HTTP 429: \"slow down\"", Retry::Later),
        (|_| says(400, &json!({ "message": "a\u{1b}[31mb" })), "HTTP 400: \"a\\u{1b}[31mb\"", Retry::Never),
        (|_| Reply::HangUp, "it may want TLS", Retry::Later),
        (|_| Reply::Endless, "its answer has more than 4 MiB", Retry::Never),
        (|_| unknown(404), "is registry.url right?", Retry::Never),
    ];
    for (reply, expected, retry) in cases {
        let (text, found) = refused(reply);
        assert!(text.contains(expected) && found == retry, "{expected}: {text} {found:?}");
    }
    let (text, retry) = refused(move |_| html());
    assert!(text.ends_with("It says \"<h1>Not Found</h1>\"") && retry == Retry::Never, "{text}");
}

#[test]
fn a_registry_that_is_down_silent_or_slow_is_one_to_try_again() {
    let nobody = registry("http://127.0.0.1:1").schema(7).unwrap_err();
    assert!(nobody.to_string().contains("no connection: nobody listens there"), "{nobody}");
    assert_eq!(nobody.retry, Retry::Later);
    let nameless = registry("http://registry.invalid").schema(7).unwrap_err();
    assert!(nameless.to_string().contains("its name cannot be resolved"), "{nameless}");
    assert_eq!(nameless.retry, Retry::Later);

    for reply in [|| Reply::Silence, || Reply::Drip] {
        let server = Server::start(move |_| reply());
        let registry = Registry::open_with(&spec(&server.url()), Duration::from_millis(300)).unwrap();
        let found = why(&registry.schema(7).unwrap_err(), &server);
        assert_eq!(found, ("no answer in time".to_owned(), Retry::Later));
    }
}

#[test]
fn a_redirect_is_not_followed_and_gets_no_password() {
    let other = Server::start(only_seven);
    let place = other.url().replace("http://", "http://me:hunter2@");
    let server = Server::start(move |_| Reply::SentTo(format!("{place}/schemas/ids/7?token=hunter2")));
    let password = Some(Secret::text("hunter2"));
    let spec = RegistrySpec { username: Some("me".to_owned()), password, ..spec(&server.url()) };
    let error = Registry::open(&spec).unwrap().schema(7).unwrap_err();
    let (text, retry) = why(&error, &server);
    let expected = format!("it sends us to {}/schemas/ids/7 (HTTP 302)", other.url());
    assert!(text.starts_with(&expected) && retry == Retry::Never, "{text}");
    assert!(!format!("{text} {error:?} {spec:?}").contains("hunter2"));
    assert!(other.asked().is_empty());
}

#[test]
fn a_login_is_sent_and_a_wrong_one_is_named_but_never_shown() {
    let server = Server::start(|asked| match asked.login.as_deref() {
        Some("Basic bWU6aHVudGVyMg==") => only_seven(asked), // me:hunter2
        Some("Basic bWU6b3RoZXI=") => says(403, &json!({ "message": "no right to read" })),
        _ => says(401, &json!({ "error_code": 401, "message": "Unauthorized" })),
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    let login = |password| RegistrySpec {
        username: Some("me".to_owned()),
        password: Some(password),
        ..spec(&server.url())
    };
    let kept = Registry::open(&login(Secret::in_file(file.path()))).unwrap();
    assert!(kept.schema(7).is_ok());

    // A password that was changed counts at once.
    std::fs::write(file.path(), "wrong-1\n").unwrap();
    let error = kept.latest("a").unwrap_err();
    assert!(error.to_string().contains("the username (me) or the password is wrong (HTTP 401)"), "{error}");
    assert!(!format!("{error} {error:?} {kept:?}").contains("wrong-1"));
    let forbidden = Registry::open(&login(Secret::text("other"))).unwrap().schema(7).unwrap_err();
    assert!(
        forbidden.to_string().contains("it forbids the user me to do that (HTTP 403): \"no right to read\"")
    );
    let stranger = registry(&server.url()).schema(7).unwrap_err();
    assert!(stranger.to_string().contains("see registry.username and registry.password_file"), "{stranger}");
    for error in [error, forbidden, stranger] {
        assert_eq!(error.retry, Retry::Never);
    }
}

#[test]
fn addresses_are_tried_in_turn_and_the_one_that_answers_is_asked_first() {
    let busy = Server::start(|_| says(500, &json!({ "message": "busy" })));
    let good = Server::start(only_seven);
    let urls = format!("http://127.0.0.1:1, {},{}", busy.url(), good.url());
    let registry = registry(&urls);
    assert!(registry.schema(7).is_ok());
    assert!(UnknownSchema::cause_of(&registry.schema(8).unwrap_err()).is_some());
    assert_eq!((busy.asked().len(), good.asked().len()), (1, 2));
    let none = super::Registry::open(&spec(&format!("http://127.0.0.1:1,{}", busy.url()))).unwrap();
    let error = none.schema(7).unwrap_err().to_string();
    assert!(error.contains("nobody listens") && error.contains("HTTP 500: \"busy\""), "{error}");
}

#[test]
fn what_a_schema_uses_is_fetched_with_it_and_each_once() {
    let server = Server::start(|asked| {
        let uses = |names: &[&str]| -> Vec<Value> {
            let of = |name: &&str| json!({ "name": name, "subject": format!("{name}/x y"), "version": 2 });
            names.iter().map(of).collect()
        };
        let body = |text: &str, names: &[&str]| {
            says(200, &json!({ "schema": text, "schemaType": "PROTOBUF", "references": uses(names) }))
        };
        match asked.line.as_str() {
            "GET /schemas/ids/7" => body("root", &["a", "b"]),
            "GET /subjects/a%2Fx%20y/versions/2" => body("A", &["c"]),
            "GET /subjects/b%2Fx%20y/versions/2" => body("B", &["c", "a"]),
            "GET /subjects/c%2Fx%20y/versions/2" => {
                says(200, &json!({ "schema": "C", "schemaType": "PROTOBUF", "references": null }))
            }
            _ => unknown(40402),
        }
    });
    let schema = registry(&server.url()).schema(7).unwrap();
    let found: Vec<(&str, &str)> =
        schema.references.iter().map(|used| (used.name.as_str(), used.text.as_str())).collect();
    assert_eq!(found, [("c", "C"), ("a", "A"), ("b", "B")]);
    assert_eq!((server.asked().len(), schema.kind), (4, SchemaKind::Protobuf));
}

#[test]
fn references_without_an_end_are_refused() {
    let circle = Server::start(|asked| {
        let next = if asked.line.contains("/a/") { "b" } else { "a" };
        let reference = json!([{ "name": next, "subject": next, "version": 1 }]);
        says(200, &json!({ "schema": "", "references": reference }))
    });
    let error = registry(&circle.url()).schema(7).unwrap_err();
    let expected = "lead in a circle: a version 1 -> b version 1 -> a version 1";
    assert!(error.to_string().ends_with(expected), "{error}");

    let deeper = Server::start(|asked| {
        let depth = asked.line.split('/').nth(2).and_then(|name| name.parse().ok()).unwrap_or(0) + 1;
        let reference = json!([{ "name": "", "subject": depth.to_string(), "version": 1 }]);
        says(200, &json!({ "schema": "", "references": reference }))
    });
    let error = registry(&deeper.url()).schema(7).unwrap_err().to_string();
    assert!(error.contains("more than 32 deep") && deeper.asked().len() == 33, "{error}");

    let wide = Server::start(|asked| {
        let used = |n: u32| json!({ "name": n.to_string(), "subject": "s", "version": n });
        let is_root = asked.line.contains("ids");
        let references: Vec<Value> = (0..300).filter(|_| is_root).map(used).collect();
        says(200, &json!({ "schema": "", "references": references }))
    });
    let error = registry(&wide.url()).schema(7).unwrap_err().to_string();
    assert!(error.contains("are more than 256") && wide.asked().len() == 257, "{error}");
}

#[test]
fn a_subject_is_looked_up_and_a_new_schema_is_registered() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "GET /subjects/a-value/versions/latest" => {
            says(200, &json!({ "subject": "a-value", "version": 3, "id": 9, "schema": "\"int\"" }))
        }
        "POST /subjects/a-value/versions" => says(200, &json!({ "id": 10 })),
        "POST /subjects/b-value/versions" => {
            says(409, &json!({ "error_code": 409, "message": "is incompatible with an earlier schema" }))
        }
        _ => unknown(40401),
    });
    let registry = registry(&server.url());
    assert_eq!(registry.latest("a-value").unwrap().id, 9);
    assert_eq!(registry.schema(9).unwrap().text, "\"int\"");
    assert!(UnknownSchema::cause_of(&registry.latest("none").unwrap_err()).is_some());

    let reference = SchemaReference { name: "n".to_owned(), subject: "s".to_owned(), version: 1 };
    let mut new = NewSchema { kind: SchemaKind::Avro, text: "\"int\"".to_owned(), references: Vec::new() };
    assert_eq!(registry.register("a-value", &new).unwrap(), 10);
    new = NewSchema { kind: SchemaKind::Protobuf, references: vec![reference], ..new };
    let error = registry.register("b-value", &new).unwrap_err();
    assert!(
        error.to_string().starts_with("sink: schema registry: cannot ask for the registration"),
        "{error}"
    );
    assert!(error.to_string().ends_with("HTTP 409: \"is incompatible with an earlier schema\""), "{error}");
    assert_eq!(error.retry, Retry::Never);

    let bodies: Vec<Value> =
        server.asked().iter().filter_map(|a| serde_json::from_str(&a.body).ok()).collect();
    let reference = json!([{ "name": "n", "subject": "s", "version": 1 }]);
    let second = json!({ "schema": "\"int\"", "schemaType": "PROTOBUF", "references": reference });
    assert_eq!(bodies, [json!({ "schema": "\"int\"" }), second]);
}

#[test]
fn a_certificate_is_believed_only_where_it_should_be() {
    let (authority, other) = (Authority::new("tests"), Authority::new("others"));
    let dir = tempfile::tempdir().unwrap();
    let [known, unknown, empty] = ["known.pem", "unknown.pem", "empty.pem"].map(|name| dir.path().join(name));
    std::fs::write(&known, authority.pem()).unwrap();
    std::fs::write(&unknown, other.pem()).unwrap();
    std::fs::write(&empty, "no certificate").unwrap();

    let serve = |host, days| Server::with_tls(&authority.issue("registry", Some(host), days), only_seven);
    let good = serve("127.0.0.1", 2);
    let late = serve("127.0.0.1", -1);
    let elsewhere = serve("registry.example", 2);
    let plain = Server::start(only_seven);

    let ask = |url: &str, ca_file| {
        let spec = RegistrySpec { ca_file, ..spec(url) };
        Registry::open(&spec).unwrap().schema(7).map_err(|error| error.to_string())
    };
    assert!(ask(&good.url(), Some(known.clone())).is_ok());
    for (url, ca_file, expected) in [
        (good.url(), Some(unknown), "its certificate is not signed by an authority that is known here"),
        (good.url(), None, "its certificate is not signed by an authority that is known here"),
        (good.url(), Some(empty), "TLS: no certificate can be read from registry.ca_file"),
        (late.url(), Some(known.clone()), "TLS: its certificate has expired"),
        (elsewhere.url(), Some(known.clone()), "its certificate is for another host ("),
        (plain.url().replace("http:", "https:"), Some(known.clone()), "it does not answer with TLS there"),
        (good.url().replace("https:", "http:"), None, "it may want TLS"),
    ] {
        let error = ask(&url, ca_file).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }

    let missing = RegistrySpec { ca_file: Some(dir.path().join("none")), ..spec(&good.url()) };
    let error = Registry::open(&missing).unwrap_err().to_string();
    assert!(error.starts_with("pipeline: registry.ca_file: cannot read "), "{error}");
}
