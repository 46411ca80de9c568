//! A broker that lets clients in only by TLS and SASL, one listener for each way, and one without
//! for the tests themselves. It needs a JDK and the broker's jars. The file must not know tickcast.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::broker::{Watchdog, common_properties, find_jars, find_java, free_ports, run, skip};
use super::certificates::{Authority, Identity};
use super::kafka::consumer;
use super::nodes::orders;
use super::wait::{PATIENCE, wait_until};

/// Whom PLAIN and SCRAM let in.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "correct-horse-7";

/// The listeners: their names, the protocol, and the SASL mechanisms.
const LISTENERS: [(&str, &str, &str); 7] = [
    ("plaintext", "PLAINTEXT", ""),
    ("sasl_ssl", "SASL_SSL", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
    ("sasl_plaintext", "SASL_PLAINTEXT", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
    ("only_plain", "SASL_PLAINTEXT", "PLAIN"),
    ("mutual", "SSL", ""),
    ("expired", "SSL", ""),
    ("elsewhere", "SSL", ""),
];

/// The broker and the files of its clients.
pub struct SecureBroker {
    ports: Vec<u16>,
    /// `ca.pem`, `other-ca.pem`, `client.pem`, `client.key`: for clients.
    pub files: PathBuf,
    watchdog: Watchdog,
}

impl SecureBroker {
    /// One for all tests that only come in.
    pub fn shared_or_skip() -> Option<&'static SecureBroker> {
        static SHARED: OnceLock<Result<SecureBroker, String>> = OnceLock::new();
        SHARED.get_or_init(SecureBroker::start).as_ref().map_or_else(|why| skip(why), Some)
    }

    /// A test's own.
    pub fn start_or_skip() -> Option<SecureBroker> {
        SecureBroker::start().map_or_else(|why| skip(&why), Some)
    }

    /// Starts one and waits until it answers.
    fn start() -> Result<SecureBroker, String> {
        let found = find_java().and_then(|java| Ok((java, find_jars()?)));
        let (java, jars) = found.map_err(|why| format!("no Kafka broker: {why}"))?;
        let folder = tempfile::Builder::new().prefix("tickcast-secure-").tempdir().unwrap().keep();
        write_certificates(&folder);
        let ports = free_ports::<{ LISTENERS.len() + 1 }>().unwrap().to_vec();
        fs::write(folder.join("server.properties"), properties(&folder, &ports)).unwrap();

        let watchdog = Watchdog::start(&orders(&folder, (&java, &jars), &format_options())).unwrap();
        let mut broker = SecureBroker { ports, files: folder, watchdog };
        broker.await_ready();
        Ok(broker)
    }

    /// `host:port` of a listener.
    pub fn addr(&self, listener: &str) -> String {
        let index = LISTENERS.iter().position(|(name, ..)| *name == listener).unwrap();
        format!("127.0.0.1:{}", self.ports[index])
    }

    /// The path of a client's file.
    pub fn file(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    /// Gives the user of SCRAM another password.
    pub fn change_password(&self, password: &str) {
        let (java, jars) = (find_java().unwrap(), find_jars().unwrap());
        let class_path = format!("{}/*", jars.display());
        let change = format!("SCRAM-SHA-512=[password={password}]");
        run(Command::new(java)
            .args(["-Xmx200m", "-XX:TieredStopAtLevel=1", "-cp", &class_path])
            .args(["kafka.admin.ConfigCommand", "--bootstrap-server", &self.addr("plaintext")])
            .args(["--alter", "--entity-type", "users", "--entity-name", USER, "--add-config", &change]))
        .unwrap();
    }

    /// Makes an authority that is the only one whose clients the broker lets in once it is started
    /// again, and a client's certificate by it. The broker's own certificate stays.
    pub fn renew_authority(&self) -> Identity {
        let authority = Authority::new("renewed");
        let trusted = self.files.join("clients-ca.pem");
        fs::write(trusted, authority.pem()).unwrap();
        authority.issue("client", None, 2)
    }

    /// Ends the broker and starts it again with what it had.
    pub fn restart(&mut self) {
        self.watchdog.tell("stop");
        self.watchdog.tell("start");
        self.await_ready();
    }

    fn await_ready(&mut self) {
        let probe = consumer(&self.addr("plaintext"));
        let ready = wait_until(PATIENCE, || {
            let answer = probe.fetch_metadata(None, Duration::from_millis(500));
            let answers = answer.is_ok_and(|metadata| !metadata.brokers().is_empty());
            if answers { Some(true) } else { self.watchdog.child_died().then_some(false) }
        });
        let log = || fs::read_to_string(self.files.join("log")).unwrap_or_default();
        assert!(ready == Some(true), "Kafka did not start:\n{}", log());
    }
}

/// What the broker shows at each of its listeners, and what clients know and show.
fn write_certificates(folder: &Path) {
    let (authority, other) = (Authority::new("tests"), Authority::new("others"));
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("ca.pem", &authority.pem());
    write("other-ca.pem", &other.pem());
    write("clients-ca.pem", &authority.pem());
    for (name, host, days) in
        [("broker", "127.0.0.1", 2), ("expired", "127.0.0.1", -1), ("elsewhere", "kafka.example", 2)]
    {
        let identity = authority.issue(name, Some(host), days);
        write(&format!("{name}.both"), &format!("{}{}", identity.certificate, identity.key));
    }
    for (name, by, days) in [("client", &authority, 2), ("stranger", &other, 2), ("late", &authority, -1)] {
        let identity = by.issue(name, None, days);
        write(&format!("{name}.pem"), &identity.certificate);
        write(&format!("{name}.key"), &identity.key);
    }
}

fn properties(folder: &Path, ports: &[u16]) -> String {
    let dir = folder.display();
    let (controller, ports) = ports.split_last().unwrap();
    let each = |text: &dyn Fn(&str, &str, u16) -> String| -> String {
        let all: Vec<String> = LISTENERS
            .iter()
            .zip(ports)
            .map(|((name, protocol, _), port)| text(name, protocol, *port))
            .collect();
        all.join(",")
    };
    let protocols = each(&|name, protocol, _| format!("{}:{protocol}", name.to_uppercase()));
    let listeners = each(&|name, _, port| format!("{}://127.0.0.1:{port}", name.to_uppercase()));
    let store = |scope: &str, file: &str| {
        format!("{scope}ssl.keystore.type=PEM\n{scope}ssl.keystore.location={dir}/{file}.both\n")
    };

    let mut text = format!(
        "{}controller.quorum.bootstrap.servers=127.0.0.1:{controller}\nlog.dirs={dir}/data\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}\n\
         listeners=CONTROLLER://127.0.0.1:{controller},{listeners}\nadvertised.listeners={listeners}\n\
         inter.broker.listener.name=PLAINTEXT\nlistener.name.mutual.ssl.client.auth=required\n\
         ssl.truststore.type=PEM\nssl.truststore.location={dir}/clients-ca.pem\n",
        common_properties(),
    );
    text += &store("", "broker");
    text += &store("listener.name.expired.", "expired");
    text += &store("listener.name.elsewhere.", "elsewhere");
    for (name, _, mechanisms) in LISTENERS.iter().filter(|(.., mechanisms)| !mechanisms.is_empty()) {
        text += &format!("listener.name.{name}.sasl.enabled.mechanisms={mechanisms}\n");
        for mechanism in mechanisms.split(',') {
            text += &format!(
                "listener.name.{name}.{}.sasl.jaas.config={} required{};\n",
                mechanism.to_lowercase(),
                module(mechanism).0,
                module(mechanism).1
            );
        }
    }
    text
}

/// What a mechanism is made by, and what it is told.
fn module(mechanism: &str) -> (&'static str, String) {
    match mechanism {
        "PLAIN" => (
            "org.apache.kafka.common.security.plain.PlainLoginModule",
            format!(" user_{USER}=\"{PASSWORD}\""),
        ),
        "OAUTHBEARER" => (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
            " unsecuredLoginStringClaim_sub=\"broker\"".to_owned(),
        ),
        _ => ("org.apache.kafka.common.security.scram.ScramLoginModule", String::new()),
    }
}

/// The options of a single node's storage, which knows the users of SCRAM from the beginning.
fn format_options() -> String {
    let user = |mechanism| format!(" --add-scram '{mechanism}=[name={USER},password={PASSWORD}]'");
    format!("--standalone{}", ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(user).concat())
}
