//! A real Kafka broker for the tests. The first of these that is there is taken:
//! `$TICKCAST_TEST_BROKERS`, a single KRaft node from Maven's jars on JDK 17, a container. With
//! none of them a test prints `SKIPPED <test>: <reason>` and passes, and `.ci/run` fails on that
//! line.
//!
//! [`brokers_or_skip`] is one broker for the whole test process: take topic names that nobody else
//! has. [`private_or_skip`] is a test's own broker, to be killed, paused and restarted. A watchdog
//! shell is the broker's parent. When the test process ends, however it ends, the pipe to the shell
//! closes, and the shell kills the broker and removes its folder. The file must not know tickcast.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use tickcast_stream::PartitionId;

use super::kafka::consumer;
use super::wait::{PATIENCE, wait_until};

const POM: &str = include_str!("../../kafka/pom.xml");
/// The id of every cluster here.
pub(super) const CLUSTER: &str = "dGlja2Nhc3QtdGVzdHMtMQ";

/// The shared broker's address. None, when there is none: the test is reported as skipped and must
/// return.
pub fn brokers_or_skip() -> Option<&'static str> {
    static SHARED: OnceLock<Result<(String, Option<Broker>), String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var("TICKCAST_TEST_BROKERS") {
        Ok(addr) if !addr.is_empty() => Ok((addr, None)),
        _ => Broker::start().map(|broker| (broker.addr().to_owned(), Some(broker))),
    });
    match shared {
        Ok((addr, _)) => Some(addr),
        Err(reason) => skip(reason),
    }
}

/// A broker of the test's own, gone when it is dropped.
pub fn private_or_skip() -> Option<Broker> {
    Broker::start().map_or_else(|reason| skip(&reason), Some)
}

/// Reports that the test of this thread is skipped: past libtest's capture, which swallows what a
/// passing test prints; at a line's start, which `.ci/run` looks for.
pub fn skip<T>(reason: &str) -> Option<T> {
    let thread = thread::current();
    // libtest gives a test's thread its name.
    let test = thread.name().unwrap_or("a test");
    let _ = std::io::stderr().write_all(format!("\nSKIPPED {test}: {reason}\n").as_bytes());
    None
}

/// A broker on free loopback ports. Addresses and records survive [`Broker::kill`] and
/// [`Broker::restart`].
#[derive(Debug)]
pub struct Broker {
    addr: String,
    folder: PathBuf,
    watchdog: Watchdog,
}

impl Broker {
    /// Starts a broker and waits until it answers. `Err` says what this machine lacks; a broker
    /// that was started but never became ready is a failure, not a skip, and panics with the end of
    /// its log.
    pub fn start() -> Result<Self, String> {
        let launcher = Launcher::find()?;
        let mut attempt = 1;
        loop {
            let mut broker = Self::launch(&launcher)?;
            match broker.await_ready() {
                Ok(()) => return Ok(broker),
                // The port was free when it was chosen, but somebody else may have been quicker.
                Err(_) if attempt < 3 => attempt += 1,
                Err(why) => panic!("Kafka did not start: {why}"),
            }
        }
    }

    /// `host:port`, the value of `bootstrap.servers`.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Kills the broker on the spot, as a power cut would; its records stay.
    pub fn kill(&mut self) {
        self.watchdog.tell("kill");
    }

    /// Starts it again on the same port with the records it had, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        self.watchdog.tell("start");
        self.await_ready().unwrap_or_else(|why| panic!("Kafka did not start again: {why}"));
    }

    /// Stops the process but keeps its connections: clients see silence, not a closed port.
    pub fn pause(&mut self) {
        self.watchdog.tell("pause");
    }

    /// Lets a paused broker go on.
    pub fn resume(&mut self) {
        self.watchdog.tell("resume");
    }

    fn launch(launcher: &Launcher) -> Result<Self, String> {
        let [port, controller] = free_ports().map_err(|e| e.to_string())?;
        let folder =
            tempfile::Builder::new().prefix("tickcast-kafka-").tempdir().map_err(|e| e.to_string())?;
        let script = launcher.script(folder.path(), port, controller)?;
        let watchdog = Watchdog::start(&script)?;
        // From here on the watchdog removes the folder.
        Ok(Self { addr: format!("127.0.0.1:{port}"), folder: folder.keep(), watchdog })
    }

    fn await_ready(&mut self) -> Result<(), String> {
        let probe = consumer(&self.addr);
        let answered = wait_until(PATIENCE, || {
            let answer = probe.fetch_metadata(None, Duration::from_millis(500));
            match answer {
                Ok(metadata) if !metadata.brokers().is_empty() => Some(true),
                _ => self.watchdog.child_died().then_some(false),
            }
        });
        let why = match answered {
            Some(true) => return Ok(()),
            Some(false) => "the process ended",
            None => "no answer in time",
        };
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        Err(format!("{why}; its log ends\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
    }
}

/// The shell that is the broker's parent and obeys this process's orders from a pipe; at the pipe's
/// end it kills the broker and removes what it left.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: String,
}

impl Watchdog {
    pub(super) fn start(script: &str) -> Result<Self, String> {
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .process_group(0) // Ctrl-C is for the tests; the watchdog outlives them by a moment.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("sh: {e}"))?;
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("a piped stdout"));
        let mut watchdog = Self { shell, orders, answers, pid: String::new() };
        watchdog.tell("start");
        Ok(watchdog)
    }

    /// Gives an order and waits until it is carried out; every answer is the broker's pid.
    pub(super) fn tell(&mut self, order: &str) {
        writeln!(self.orders.as_mut().expect("an open pipe"), "{order}").expect("a living watchdog");
        self.pid.clear();
        self.answers.read_line(&mut self.pid).expect("the watchdog's answer");
    }

    /// Whether the broker ended by itself: the watchdog has not yet reaped it. Without /proc nobody
    /// knows.
    pub(super) fn child_died(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid.trim())).is_ok_and(|stat| stat.contains(") Z "))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.shell.wait();
    }
}

/// What this machine can start a broker with.
enum Launcher {
    Java { java: PathBuf, jars: PathBuf },
    Container,
}

impl Launcher {
    fn find() -> Result<Self, String> {
        static JAVA: OnceLock<Result<(PathBuf, PathBuf), String>> = OnceLock::new();
        let no_java = match JAVA.get_or_init(|| find_java().and_then(|java| Ok((java, find_jars()?)))) {
            Ok((java, jars)) => return Ok(Self::Java { java: java.clone(), jars: jars.clone() }),
            Err(reason) => reason,
        };
        match run(Command::new("docker").args(["image", "inspect", &image()]))
            .or_else(|_| run(Command::new("docker").args(["pull", "--quiet", &image()])))
        {
            Ok(_) => Ok(Self::Container),
            Err(no_docker) => {
                Err(format!("no Kafka broker: {no_java}; no container: {no_docker}").replace('\n', " "))
            }
        }
    }

    /// The watchdog's script. `start` sets `pid`, which is empty while no broker runs.
    fn script(&self, folder: &Path, port: u16, controller: u16) -> Result<String, String> {
        let dir = folder.display();
        let [start, kill, pause, resume, remove] = match self {
            Self::Java { java, jars } => {
                for (name, text) in [
                    ("server.properties", server_properties(folder, port, controller)),
                    ("fence.properties", fence_properties(folder, controller)),
                ] {
                    fs::write(folder.join(name), text).map_err(|e| e.to_string())?;
                }
                java_orders(&dir.to_string(), &java.display().to_string(), &jars.display().to_string())
            }
            Self::Container => container_orders(port),
        };
        Ok(format!(
            r#"trap '' HUP INT TERM PIPE
exec 3>&1 >>'{dir}/log' 2>&1
pid=
while read -r order; do
  case $order in
    start) {start} ;;
    kill) if [ "$pid" ]; then {kill}; pid=; fi ;;
    pause) {pause} ;;
    resume) {resume} ;;
  esac
  echo "$pid" >&3
done
if [ "$pid" ]; then {kill}; fi
{remove}
rm -rf '{dir}'
"#
        ))
    }
}

/// The command that runs a class of the jars.
pub(super) fn run_java(java: &str, jars: &str, level: &str) -> String {
    format!(
        "'{java}' -Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.level={level} -cp '{jars}/*'"
    )
}

fn java_orders(dir: &str, java: &str, jars: &str) -> [String; 5] {
    let run = |level: &str| run_java(java, jars, level);
    let properties = format!("'{dir}/server.properties'");
    let format =
        format!("{} kafka.tools.StorageTool format --standalone -t {CLUSTER} -c {properties}", run("WARN"));
    // Forty seconds at most (a busy machine takes ten): a broker that died before it was let in is
    // fenced already.
    let fence = format!(
        "{} kafka.Kafka '{dir}/fence.properties' >'{dir}/fence' 2>&1 3>&- & pid=$!; n=0; \
         until grep -q 'Fencing broker' '{dir}/fence' || [ $n -gt 400 ]; do sleep 0.1; n=$((n + 1)); done; \
         sleep 0.3; kill -9 $pid; wait $pid",
        run("INFO")
    );
    [
        format!(
            "if [ -d '{dir}/data' ]; then {fence}; else {format}; fi; {} kafka.Kafka {properties} 3>&- & pid=$!",
            run("WARN")
        ),
        "kill -9 $pid; wait $pid".to_owned(),
        "kill -STOP $pid".to_owned(),
        "kill -CONT $pid".to_owned(),
        ":".to_owned(),
    ]
}

fn container_orders(port: u16) -> [String; 5] {
    let name = format!("tickcast-test-{}-{port}", std::process::id());
    let variable = |key: &str| format!("KAFKA_{}", key.replace('.', "_").to_uppercase());
    let properties = container_properties(port);
    let env: String =
        properties.iter().map(|(key, value)| format!(" -e '{}={value}'", variable(key))).collect();
    let publish = format!("-p 127.0.0.1:{port}:{port}");
    [
        format!("docker start {name} || docker run -d --name {name} {publish}{env} {}; pid=0", image()),
        format!("docker kill {name}"),
        format!("docker pause {name}"),
        format!("docker unpause {name}"),
        format!("docker rm -fv {name}"),
    ]
}

/// A JDK or JRE of at least 17, which Kafka 4's broker needs.
pub(super) fn find_java() -> Result<PathBuf, String> {
    let java = match std::env::var_os("JAVA_HOME") {
        Some(home) if Path::new(&home).join("bin/java").exists() => Path::new(&home).join("bin/java"),
        _ => PathBuf::from("java"),
    };
    let version = run(Command::new(&java).arg("-version"))?;
    let major =
        version.split('"').nth(1).and_then(|v| v.split(['.', '-', '+']).next()).and_then(|v| v.parse().ok());
    match major {
        Some(17..) => Ok(java),
        Some(old) => Err(format!("java is {old}, Kafka needs 17")),
        None => Err(format!("java -version said {version:?}")),
    }
}

/// The broker's jars, fetched by Maven once a machine.
pub(super) fn find_jars() -> Result<PathBuf, String> {
    fetched(&format!("kafka-{}", kafka_version()), |whole| {
        maven("tests/kafka/pom.xml", &["dependency:copy-dependencies", "-DincludeScope=runtime"], whole)
    })
}

/// A folder of the cache, which `fetch` fills once a machine. What it brings comes into a folder of
/// its own that is renamed when it is whole, so a fetch cut short leaves nothing that looks like one.
pub(super) fn fetched(
    name: &str,
    fetch: impl FnOnce(&Path) -> Result<String, String>,
) -> Result<PathBuf, String> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").ok_or("HOME is not set")?).join(".cache"),
    };
    let cache = cache.join("tickcast");
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
    let coming = tempfile::Builder::new().prefix("coming-").tempdir_in(&cache).map_err(|e| e.to_string())?;
    let whole = coming.path().join("whole");
    fetch(&whole)?;
    match fs::rename(&whole, &folder) {
        Err(why) if !folder.is_dir() => Err(format!("{}: {why}", folder.display())),
        _ => Ok(folder), // Renamed, or another test process was quicker.
    }
}

/// Runs Maven with a file of this repository; what it brings goes to a folder.
pub(super) fn maven(pom: &str, goal: &[&str], whole: &Path) -> Result<String, String> {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join(pom);
    let output = format!("-DoutputDirectory={}", whole.display());
    run(Command::new("mvn").args(["-q", "-B", "-f"]).arg(pom).args(goal).arg(output))
}

fn kafka_version() -> &'static str {
    let from = POM.split("<artifactId>kafka_2.13</artifactId>").nth(1).expect("the broker in the pom");
    from.split(['<', '>']).nth(2).expect("its version")
}

fn image() -> String {
    format!("apache/kafka:{}", kafka_version())
}

/// What both kinds of broker are told: small internal topics start quickly, nothing vanishes by
/// age, and time-outs are short enough for tests that wait for them.
const COMMON: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.num.partitions", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("log.retention.ms", "-1"),
    ("log.message.timestamp.after.max.ms", "9223372036854775807"),
    ("log.cleaner.dedupe.buffer.size", "8388608"),
];

fn server_properties(folder: &Path, port: u16, controller: u16) -> String {
    // A pause, or a machine that is too busy, is not a death.
    format!(
        "{}broker.session.timeout.ms=30000\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n",
        java_properties(folder, controller)
    )
}

/// A controller alone, which soon finds that its broker has died, and fences it. In a cluster the
/// controllers live on and do that; a broker that is its own controller would begin again as the
/// leader that it was, end the transactions that its death had cut short, and only then be fenced
/// for a moment. Kafka 4.3 takes a partition without a leader for a deleted one and leaves its end
/// of a transaction out: results without their offsets, or open for ever.
fn fence_properties(folder: &Path, controller: u16) -> String {
    format!(
        "{}process.roles=controller\nbroker.session.timeout.ms=500\nbroker.heartbeat.interval.ms=200\n\
         listeners=CONTROLLER://127.0.0.1:{controller}\n",
        java_properties(folder, controller)
    )
}

/// What every broker here is told that is alone.
pub(super) fn common_properties() -> String {
    COMMON.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

fn java_properties(folder: &Path, controller: u16) -> String {
    let common = common_properties();
    format!(
        "{common}controller.quorum.bootstrap.servers=127.0.0.1:{controller}\nlog.dirs={}\n",
        folder.join("data").display()
    )
}

fn container_properties(port: u16) -> Vec<(&'static str, String)> {
    let mut all: Vec<_> = COMMON.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    // A restarted broker is let in only when its former self's session has ended: 9 s by default.
    all.push(("broker.session.timeout.ms", "3000".to_owned()));
    all.push(("broker.heartbeat.interval.ms", "500".to_owned()));
    all.push(("controller.quorum.voters", "1@localhost:9093".to_owned()));
    all.push(("listeners", format!("PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:9093")));
    all.push(("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")));
    all
}

/// So many ports nobody has now, held together so that they differ.
pub(super) fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Runs a command to its end: what it printed, or what was wrong.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(format!("{name} failed: {}", said.trim())) }
}

#[cfg(test)]
mod tests {
    use super::super::kafka::{create_topic, produce, values};
    use super::*;

    fn put(addr: &str, topic: &str, payload: &str) {
        produce(addr, topic, PartitionId(0), [payload.as_bytes()]);
    }

    #[test]
    fn the_shared_broker_gives_back_what_it_took() {
        let Some(addr) = brokers_or_skip() else { return };
        create_topic(addr, "broker-round-trip", 2);
        put(addr, "broker-round-trip", "one");
        assert_eq!(values(addr, "broker-round-trip", PartitionId(0)), ["one"]);
    }

    #[test]
    fn a_private_broker_keeps_its_records_over_a_kill_and_is_silent_when_paused() {
        let Some(mut broker) = private_or_skip() else { return };
        let addr = broker.addr().to_owned();
        create_topic(&addr, "kept", 1);
        put(&addr, "kept", "before");

        broker.kill();
        let probe = consumer(&addr);
        assert!(probe.fetch_metadata(None, Duration::from_millis(500)).is_err(), "a killed broker answers");
        broker.restart();
        put(&addr, "kept", "after");
        assert_eq!(values(&addr, "kept", PartitionId(0)), ["before", "after"]);

        broker.pause();
        assert!(probe.fetch_metadata(None, Duration::from_millis(500)).is_err(), "a paused broker answers");
        broker.resume();
        assert_eq!(values(&addr, "kept", PartitionId(0)), ["before", "after"]);

        let folder = broker.folder.clone();
        drop(broker);
        assert!(!folder.exists(), "the dropped broker's folder stays");
    }
}
