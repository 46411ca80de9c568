//! The ways into a cluster: SASL and TLS, each as docs/connections.md shows it, against a real broker.
//! Whoever is not let in is told why within seconds, and no password is seen anywhere. The file must
//! not know how a client is made.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::cluster::TestCluster;
use crate::support::kafka::create_topic;
use crate::support::process::{Instance, StartFrom, binary, get, text, tickcast};
use crate::support::secure_broker::{PASSWORD, SecureBroker, USER};
use crate::support::tokens::{CLIENT, CLIENT_SECRET, TokenServer};
use crate::support::wait::{PATIENCE, wait_till, wait_until};

const PAGE: &str = include_str!("../../../docs/connections.md");

/// Two seconds for what is decided at once, and a busy machine.
const SOON: Duration = Duration::from_secs(9);

fn scram(broker: &SecureBroker) -> String {
    format!(
        "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, sasl.username: {USER}, \
         sasl.password_file: password, ssl.ca.location: '{}'",
        broker.file("ca.pem")
    )
}

/// A pipeline whose helpers come in by the plain listener, and which itself comes another way.
fn cluster(broker: &SecureBroker, id: &str, listener: &str, properties: &str) -> TestCluster {
    let plain = broker.addr("plaintext");
    let cluster = TestCluster::new(&plain, id, 2, properties, "");
    fs::write(cluster.folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    let yaml = fs::read_to_string(cluster.yaml()).unwrap();
    fs::write(cluster.yaml(), yaml.replace(&plain, &broker.addr(listener))).unwrap();
    cluster
}

/// What came out is what an undisturbed run makes, read by the plain listener.
fn insist_exactly_once(cluster: &TestCluster, broker: &SecureBroker, listener: &str) {
    let yaml = fs::read_to_string(cluster.yaml()).unwrap();
    let way = yaml.split("properties: { ").nth(1).unwrap().split(" }").next().unwrap();
    let plain = yaml.replace(&broker.addr(listener), &broker.addr("plaintext")).replace(way, "");
    fs::write(cluster.yaml(), plain).unwrap();
    cluster.audit().insist(true);
    fs::write(cluster.yaml(), yaml).unwrap();
}

#[test]
fn a_pipeline_delivers_exactly_once_over_sasl_ssl_through_kills_and_a_new_password() {
    let Some(mut broker) = SecureBroker::start_or_skip() else { return };
    let properties = format!("{}, session.timeout.ms: 1500, heartbeat.interval.ms: 400", scram(&broker));
    let cluster = cluster(&broker, "scram", "sasl_ssl", &properties);
    cluster.feed(0, 300);
    let mut instance = cluster.start("one", &StartFrom::serving());
    cluster.await_position(600, &mut [&mut instance]);
    instance.kill();
    cluster.feed(300, 600);

    let mut instance = cluster.start("one", &StartFrom::serving());
    cluster.await_position(1200, &mut [&mut instance]);
    // The password changes, and so does its file; then all connections are made anew.
    let changed = "another-horse-8";
    broker.change_password(changed);
    fs::write(cluster.folder.path().join("password"), changed).unwrap();
    wait_till("the new password", || instance.said().contains("they count from now on"));
    broker.restart();
    cluster.feed(600, 900);
    cluster.await_position(1800, &mut [&mut instance]);

    let http = instance.http();
    let shown: String = ["/", "/metrics", "/ready", "/api/status"].map(|path| get(&http, path)).concat();
    instance.stop();
    let told = [shown, instance.said()].concat();
    assert!(!told.contains(PASSWORD) && !told.contains(changed), "a password is shown");
    insist_exactly_once(&cluster, &broker, "sasl_ssl");
    // The others that read and write come in the same way.
    let counted =
        tickcast("sql", &cluster.yaml(), &["SELECT count(*) > 100 FROM forecasts", "--format", "csv"]);
    assert!(text(&counted.stdout).contains("true"), "{}", text(&counted.stderr));
    let verified = tickcast("verify", &cluster.yaml(), &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
}

#[test]
fn new_certificates_count_while_a_pipeline_runs() {
    let Some(mut broker) = SecureBroker::start_or_skip() else { return };
    let cluster = cluster(&broker, "mutual", "mutual", &properties("SSL CA client", &broker));
    cluster.feed(0, 300);
    let mut instance = cluster.start("one", &StartFrom::serving());
    cluster.await_position(600, &mut [&mut instance]);

    // A key without its certificate is waited for.
    let renewed = broker.renew_authority();
    fs::write(broker.file("client.key"), &renewed.key).unwrap();
    wait_till("the warning", || instance.said().contains("cannot be used, the connections stay as they are"));
    cluster.feed(300, 600);
    cluster.await_position(1200, &mut [&mut instance]);
    // So is a certificate that the broker does not believe yet.
    fs::write(broker.file("client.pem"), &renewed.certificate).unwrap();
    cluster.feed(600, 700);
    cluster.await_position(1400, &mut [&mut instance]);
    instance.lives();
    assert!(!instance.said().contains("all connections are made anew"), "{}", instance.last_words());

    // From now on it takes no other.
    broker.restart();
    wait_till("new connections", || instance.said().contains("all connections are made anew"));
    cluster.feed(700, 900);
    cluster.await_position(1800, &mut [&mut instance]);
    let metrics = get(&instance.http(), "/metrics");
    assert!(metrics.contains("tickcast_certificate_reloads_total{pipeline=\"mutual\"} 1"), "{metrics}");
    instance.stop();
    assert!(!instance.said().contains("PRIVATE KEY"));
    insist_exactly_once(&cluster, &broker, "mutual");
}

/// A way in that is refused: the listener, the properties, and what is said.
struct Refused(&'static str, &'static str, &'static str);

const REFUSED: [Refused; 15] = [
    Refused("sasl_ssl", "SASL_SSL SCRAM-SHA-512 wrong CA", "Invalid username or password (SCRAM-SHA-512)"),
    Refused(
        "sasl_ssl",
        "SASL_SSL PLAIN wrong CA",
        "authentication failed at ADDR: Invalid username or password",
    ),
    Refused("sasl_ssl", "SASL_SSL PLAIN right OTHER", "is not signed by an authority that is known here"),
    Refused("sasl_ssl", "SASL_SSL PLAIN right NONE", "is not signed by an authority that is known here"),
    Refused("expired", "SSL CA", "TLS handshake failed at ADDR: its certificate has expired"),
    Refused("elsewhere", "SSL CA", "TLS handshake failed at ADDR: its certificate is for another host"),
    Refused("mutual", "SSL CA", "the broker wants a certificate of ours"),
    Refused(
        "mutual",
        "SSL CA stranger",
        "the broker wants a certificate of ours, or does not take the one it gets",
    ),
    Refused("mutual", "SSL CA late", "the broker does not believe our certificate: it may have expired"),
    Refused("only_plain", "SASL_PLAINTEXT SCRAM-SHA-512 right NONE", "broker's supported mechanisms: PLAIN"),
    Refused("sasl_ssl", "PLAINTEXT", "connection closed by ADDR (it may want TLS, see security.protocol)"),
    Refused(
        "sasl_plaintext",
        "PLAINTEXT",
        "connection closed by ADDR (it may want SASL, see security.protocol)",
    ),
    Refused("sasl_ssl", "SSL CA", "connection closed by ADDR (it may want SASL, see security.protocol)"),
    Refused("plaintext", "SSL CA", "the listener may have no TLS, see security.protocol"),
    Refused("sasl_ssl", "SASL_PLAINTEXT PLAIN right NONE", "(it may want TLS, see security.protocol)"),
];

/// The properties that the words of a case stand for.
fn properties(words: &str, broker: &SecureBroker) -> String {
    let mut all = Vec::new();
    for word in words.split(' ') {
        all.push(match word {
            "CA" => format!("ssl.ca.location: '{}'", broker.file("ca.pem")),
            "OTHER" => format!("ssl.ca.location: '{}'", broker.file("other-ca.pem")),
            "client" | "stranger" | "late" => format!(
                "ssl.certificate.location: '{}', ssl.key.location: '{}'",
                broker.file(&format!("{word}.pem")),
                broker.file(&format!("{word}.key"))
            ),
            "right" => format!("sasl.username: {USER}, sasl.password: {PASSWORD}"),
            "wrong" => format!("sasl.username: {USER}, sasl.password: wrong-horse"),
            "NONE" => continue,
            "PLAIN" | "SCRAM-SHA-512" => format!("sasl.mechanism: {word}"),
            protocol => format!("security.protocol: {protocol}"),
        });
    }
    all.join(", ")
}

fn pipeline(folder: &TempDir, brokers: &str, properties: &str) -> PathBuf {
    let file = folder.path().join("pipeline.yaml");
    let source = format!("{{ brokers: '{brokers}', topic: in, properties: {{ {properties} }} }}");
    let lines =
        "key: k\ntime: t\nwindow: { tumbling: 10s, select: { x: avg(v) } }\nforecast: { target: x }\n";
    fs::write(&file, format!("name: ways\nsource: {{ kafka: {source} }}\n{lines}")).unwrap();
    file
}

#[test]
fn who_is_not_let_in_is_told_why_within_seconds() {
    let Some(broker) = SecureBroker::shared_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    for Refused(listener, words, expected) in REFUSED {
        let addr = broker.addr(listener);
        let file = pipeline(&folder, &addr, &properties(words, broker));
        let output = tickcast("check", &file, &["--connect", "-vv"]);
        let said = text(&output.stderr);
        let expected = expected.replace("ADDR", &addr);
        assert!(said.contains(&expected), "{listener}, {words}: {expected}\n{said}");
        assert!(!said.contains("wrong-horse") && !said.contains(PASSWORD), "{listener}, {words}:\n{said}");
        assert!(!said.contains("within 10 s"), "{listener}, {words}:\n{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
    }

    // A run says the same, and waits for somebody to put it right.
    let file = pipeline(&folder, &broker.addr("sasl_ssl"), &properties("SASL_SSL PLAIN wrong CA", broker));
    let mut instance = Instance::start(&file, &folder.path().join("log"), &StartFrom::default());
    wait_till("the cause", || instance.said().contains("Invalid username or password"));
    instance.lives();
    instance.signal("TERM");
    assert!(instance.ended_within(SOON).is_some(), "{}", instance.last_words());
}

#[test]
fn no_log_of_librdkafka_shows_a_password() {
    let Some(broker) = SecureBroker::shared_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (words, code) in [("SASL_SSL PLAIN right CA", 1), ("SASL_SSL SCRAM-SHA-512 right CA", 1)] {
        let all = format!("{}, debug: all", properties(words, broker));
        let file = pipeline(&folder, &broker.addr("sasl_ssl"), &all);
        let mut command = binary();
        command.env("RUST_LOG", "trace").args(["-v", "-v", "check", "--connect"]).arg(&file);
        let output = command.output().unwrap();
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(said.contains("topic in does not exist"), "{said}");
        assert!(!said.contains(PASSWORD), "{words}");
        assert_eq!(output.status.code(), Some(code));
    }
}

/// The blocks of the page, by their headings.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let sections = PAGE.split("\n## ").skip(1);
    let block = |section: &'static str| {
        let heading = section.lines().next()?;
        Some((heading, section.split("```yaml\n").nth(1)?.split("```").next()?))
    };
    sections.filter_map(block).collect()
}

/// A block of the page with this broker in the place of the cluster that it names.
fn local(block: &str, broker: &SecureBroker, listener: &str, tokens: &TokenServer) -> String {
    let lines = block.lines().map(|line| match line.trim_start().split_once(": ") {
        Some(("brokers", _)) => format!("    brokers: '{}'", broker.addr(listener)),
        Some(("topic", _)) => "    topic: ways.in".to_owned(),
        Some(("sasl.oauthbearer.token.endpoint.url", _)) => {
            format!("      sasl.oauthbearer.token.endpoint.url: '{}'", tokens.url())
        }
        _ => line.to_owned(),
    });
    let mut text: String = lines.map(|line| format!("{line}\n")).collect();
    // These are reached by the system's authorities.
    if text.contains("SASL_SSL") && !text.contains("ssl.ca.location") {
        text = text.replace("    properties:\n", "    properties:\n      ssl.ca.location: ca.pem\n");
    }
    text
}

#[test]
fn every_block_of_the_page_lets_a_pipeline_in() {
    let Some(broker) = SecureBroker::shared_or_skip() else { return };
    let tokens = TokenServer::start(60);
    let folder = tempfile::tempdir().unwrap();
    for name in ["ca.pem", "client.pem", "client.key"] {
        fs::copy(broker.file(name), folder.path().join(name)).unwrap();
    }
    create_topic(&broker.addr("plaintext"), "ways.in", 1);

    let found = blocks();
    assert_eq!(found.len(), 6, "{found:?}");
    for (heading, block) in found {
        let (listener, secret) = match heading {
            "Confluent Cloud" | "Amazon MSK with SCRAM" | "A cluster of your own with SASL" => {
                ("sasl_ssl", PASSWORD)
            }
            "Certificates on both sides" => ("mutual", ""),
            "OpenID Connect" => ("sasl_ssl", CLIENT_SECRET),
            "SASL without TLS" => ("sasl_plaintext", PASSWORD),
            other => panic!("{other}: no broker for it"),
        };
        fs::write(folder.path().join("secret"), format!("{secret}\n")).unwrap();
        let lines =
            "key: k\ntime: t\nwindow: { tumbling: 10s, select: { x: avg(v) } }\nforecast: { target: x }\n";
        let file = folder.path().join("pipeline.yaml");
        fs::write(&file, format!("name: ways\n{}{lines}", local(block, broker, listener, &tokens))).unwrap();

        let mut command = binary();
        command.env("KAFKA_USER", USER).env("OIDC_CLIENT", CLIENT).arg("check").arg(&file).arg("--connect");
        let output = command.output().unwrap();
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(
            output.status.success() && said.contains("source: topic ways.in at 127.0.0.1:"),
            "{heading}: {said}"
        );
    }
}

#[test]
fn a_run_shows_a_new_token_before_the_last_one_ends() {
    let Some(broker) = SecureBroker::shared_or_skip() else { return };
    let tokens = TokenServer::start(12);
    let properties = format!(
        "security.protocol: SASL_SSL, sasl.mechanism: OAUTHBEARER, ssl.ca.location: '{}', \
         sasl.oauthbearer.method: oidc, sasl.oauthbearer.client.id: {CLIENT}, \
         sasl.oauthbearer.client.secret_file: password, sasl.oauthbearer.token.endpoint.url: '{}'",
        broker.file("ca.pem"),
        tokens.url()
    );
    let cluster = cluster(broker, "oidc", "sasl_ssl", &properties);
    let secret = cluster.folder.path().join("password");
    fs::write(&secret, "wrong").unwrap();
    let output = tickcast("check", &cluster.yaml(), &["--connect"]);
    let said = text(&output.stderr);
    let expected = "HTTP 401 \"invalid_client: no such client\": is the client's id or secret wrong?";
    assert!(said.contains(expected), "{said}");

    fs::write(&secret, CLIENT_SECRET).unwrap();
    let mut instance = cluster.start("one", &StartFrom::default());
    for round in 1..=3 {
        let before = tokens.granted();
        cluster.feed(300 * (round - 1), 300 * round);
        let wanted = (600 * round) as i64;
        let committed = wait_until(PATIENCE, || cluster.position().filter(|&position| position >= wanted));
        assert!(committed.is_some(), "round {round}:\n{}", instance.last_words());
        wait_till("another token", || tokens.granted() > before);
    }
    instance.stop();
    assert!(!instance.said().contains(CLIENT_SECRET));
    insist_exactly_once(&cluster, broker, "sasl_ssl");
}
