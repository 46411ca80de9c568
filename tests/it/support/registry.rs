//! A real schema registry for the tests, Apicurio with its records in memory, on loopback; one for
//! each who asks. It needs a JDK and Maven, as the broker does; without them a test is skipped. The
//! file must not know tickcast.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use super::broker::{Watchdog, fetched, find_java, free_ports, maven, skip};
use super::certificates::Identity;
use super::wait::{PATIENCE, wait_until};

const POM: &str = include_str!("../../registry/pom.xml");
/// Where Confluent's API begins.
const API: &str = "/apis/ccompat/v7";

/// A registry that is gone when it is dropped.
pub struct TestRegistry {
    port: u16,
    tls_port: u16,
    watchdog: Watchdog,
}

impl TestRegistry {
    /// Starts one and waits until it answers. With an identity it answers over TLS too.
    pub fn start_or_skip(identity: Option<&Identity>) -> Option<TestRegistry> {
        let found = find_java().and_then(|java| Ok((java, find_registry()?)));
        let (java, folder) = found
            .map_err(|why| format!("no schema registry: {why}"))
            .or_else(|why| skip(&why).ok_or(()))
            .ok()?;
        let [port, tls_port] = free_ports().unwrap();
        let dir = tempfile::Builder::new().prefix("tickcast-registry-").tempdir().unwrap().keep();
        let tls = identity.map_or_else(String::new, |identity| tls_options(&dir, identity, tls_port));
        let watchdog = Watchdog::start(&script(&dir, &java, &folder, port, &tls)).unwrap();

        let registry = TestRegistry { port, tls_port, watchdog };
        let answered = wait_until(PATIENCE, || {
            let answer = registry.try_call("GET", "/subjects", "").filter(|(status, _)| *status == 200);
            answer.map(|_| true).or_else(|| registry.watchdog.child_died().then_some(false))
        });
        let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(answered == Some(true), "the registry did not start:\n{}", log());
        Some(registry)
    }

    /// What clients call its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// The same with TLS.
    pub fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}{API}", self.tls_port)
    }

    /// A call of its API: the status and the body.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.try_call(method, path, body).unwrap()
    }

    fn try_call(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {API}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

/// Its folder, fetched by Maven once a machine.
fn find_registry() -> Result<PathBuf, String> {
    fetched(&format!("apicurio-{}", version()), |whole| {
        maven("tests/registry/pom.xml", &["dependency:unpack"], whole)
    })
}

fn version() -> &'static str {
    let from = POM.split("<artifactId>apicurio-registry-app</artifactId>").nth(1).expect("it in the pom");
    from.split(['<', '>']).nth(2).expect("its version")
}

fn tls_options(dir: &Path, identity: &Identity, port: u16) -> String {
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    fs::write(&certificate, &identity.certificate).unwrap();
    fs::write(&key, &identity.key).unwrap();
    let certificate = certificate.display();
    format!(
        "-Dquarkus.http.ssl-port={port} -Dquarkus.http.ssl.certificate.files='{certificate}' \
         -Dquarkus.http.ssl.certificate.key-files='{}'",
        key.display()
    )
}

/// The watchdog's script: it ends the registry when the test process ends.
fn script(dir: &Path, java: &Path, folder: &Path, port: u16, tls: &str) -> String {
    let (dir, java, folder) = (dir.display(), java.display(), folder.display());
    let jar = format!("{folder}/apicurio-registry-app-{}-runner.jar", version());
    format!(
        r#"trap '' HUP INT TERM PIPE
exec 3>&1 >>'{dir}/log' 2>&1
read -r order
'{java}' -Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dquarkus.http.host=127.0.0.1 \
  -Dquarkus.http.port={port} {tls} -jar '{jar}' 3>&- & pid=$!
echo "$pid" >&3
while read -r order; do echo "$pid" >&3; done
kill -9 $pid; wait $pid
rm -rf '{dir}'
"#
    )
}
