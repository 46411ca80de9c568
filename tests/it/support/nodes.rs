//! Three brokers and their controller, each a process of its own: what dies with a broker lives on
//! in the others. Records are in three copies, and two of them have to take a write. It needs a JDK
//! and the broker's jars. The file must not know tickcast.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::broker::{Broker, CLUSTER, Watchdog, find_jars, find_java, free_ports, run_java};
use super::kafka::consumer;
use super::wait::{wait_for, wait_till};

const BROKERS: usize = 3;

/// What all nodes are told.
const COMMON: &[(&str, &str)] = &[
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.num.partitions", "3"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.num.partitions", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("log.retention.ms", "-1"),
    ("log.message.timestamp.after.max.ms", "9223372036854775807"),
    ("log.cleaner.dedupe.buffer.size", "8388608"),
];

/// A cluster.
pub struct Nodes {
    brokers: Vec<Watchdog>,
    /// After the brokers: it outlives them.
    controller: Watchdog,
    addr: String,
    /// The broker whose turn it is to die, when nobody says which.
    next: usize,
}

/// The script of a node: its orders are those of a single broker.
fn node(java: &Path, jars: &Path, properties: &str, format: &str) -> Result<Watchdog, String> {
    let folder: PathBuf =
        tempfile::Builder::new().prefix("tickcast-kafka-").tempdir().map_err(|e| e.to_string())?.keep();
    let dir = folder.display();
    let text = format!("{properties}log.dirs={dir}/data\n");
    fs::write(folder.join("server.properties"), text).map_err(|e| e.to_string())?;

    Watchdog::start(&orders(&folder, (java, jars), format))
}

/// What a shell does at the orders of a test: it formats the storage of a node in this folder once,
/// with these options, and starts, stops and kills the node.
pub(super) fn orders(folder: &Path, (java, jars): (&Path, &Path), format: &str) -> String {
    let dir = folder.display();
    let run = run_java(&java.display().to_string(), &jars.display().to_string(), "WARN");
    let file = format!("'{dir}/server.properties'");
    format!(
        r#"trap '' HUP INT TERM PIPE
exec 3>&1 >>'{dir}/log' 2>&1
pid=
while read -r order; do
  case $order in
    start)
      [ -d '{dir}/data' ] || {run} kafka.tools.StorageTool format {format} -t {CLUSTER} -c {file}
      (trap - TERM; exec {run} kafka.Kafka {file}) 3>&- & pid=$! ;;
    stop) if [ "$pid" ]; then kill $pid; wait $pid; pid=; fi ;;
    kill) if [ "$pid" ]; then kill -9 $pid; wait $pid; pid=; fi ;;
  esac
  echo "$pid" >&3
done
if [ "$pid" ]; then kill -9 $pid; wait $pid; fi
rm -rf '{dir}'
"#
    )
}

impl Nodes {
    /// Starts all of them, and waits until every broker answers.
    pub fn start() -> Result<Self, String> {
        let (java, jars) = (find_java()?, find_jars()?);
        let [control] = free_ports().map_err(|e| e.to_string())?;
        let common: String = COMMON.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let common = format!("{common}controller.quorum.bootstrap.servers=127.0.0.1:{control}\n");

        let properties = format!(
            "{common}process.roles=controller\nnode.id=100\nlisteners=CONTROLLER://127.0.0.1:{control}\n"
        );
        let controller = node(&java, &jars, &properties, "--standalone")?;
        let (mut brokers, mut addresses) = (Vec::new(), Vec::new());
        for id in 1..=BROKERS {
            let [port] = free_ports().map_err(|e| e.to_string())?;
            let address = format!("127.0.0.1:{port}");
            let properties = format!(
                "{common}process.roles=broker\nnode.id={id}\nlisteners=PLAINTEXT://{address}\n\
                 advertised.listeners=PLAINTEXT://{address}\n"
            );
            brokers.push(node(&java, &jars, &properties, "")?);
            addresses.push(address);
        }

        let nodes = Nodes { brokers, controller, addr: addresses.join(","), next: 0 };
        nodes.await_all();
        Ok(nodes)
    }

    /// The value of `bootstrap.servers`.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Kills a broker, 0 to 2, on the spot.
    pub fn kill(&mut self, broker: usize) {
        self.brokers[broker].tell("kill");
    }

    /// Has a broker leave in order: others lead its partitions before it goes.
    pub fn stop(&mut self, broker: usize) {
        self.brokers[broker].tell("stop");
    }

    /// Starts a broker again.
    pub fn start_again(&mut self, broker: usize) {
        self.brokers[broker].tell("start");
    }

    pub fn kill_controller(&mut self) {
        self.controller.tell("kill");
    }

    pub fn start_controller_again(&mut self) {
        self.controller.tell("start");
    }

    /// The broker that leads each partition of a topic.
    pub fn leaders(&self, topic: &str) -> Vec<i32> {
        let probe: BaseConsumer = consumer(&self.addr);
        wait_for("the leaders", || {
            let metadata = probe.fetch_metadata(Some(topic), Duration::from_secs(1)).ok()?;
            let leaders = metadata.topics().first()?.partitions().iter();
            Some(leaders.map(|partition| partition.leader()).collect())
        })
    }

    /// Waits until all brokers are there and every partition has all of its copies.
    pub fn await_all(&self) {
        let probe: BaseConsumer = consumer(&self.addr);
        wait_till("three brokers with all copies", || {
            let Ok(metadata) = probe.fetch_metadata(None, Duration::from_secs(1)) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            metadata.brokers().len() == BROKERS
                && partitions.all(|partition| partition.isr().len() == partition.replicas().len())
        });
    }
}

/// What a deployment is at.
pub enum Kafka {
    /// One node that is everything.
    One(Broker),
    /// A cluster.
    Three(Nodes),
}

impl Kafka {
    /// The value of `bootstrap.servers`.
    pub fn addr(&self) -> &str {
        match self {
            Kafka::One(broker) => broker.addr(),
            Kafka::Three(nodes) => nodes.addr(),
        }
    }

    /// Kills a broker on the spot, of a cluster another one each time.
    pub fn kill(&mut self) {
        match self {
            Kafka::One(broker) => broker.kill(),
            Kafka::Three(nodes) => {
                nodes.next = (nodes.next + 1) % BROKERS;
                nodes.kill(nodes.next);
            }
        }
    }

    /// Starts the broker that was killed last again, and waits until all is as before.
    pub fn restart(&mut self) {
        match self {
            Kafka::One(broker) => broker.restart(),
            Kafka::Three(nodes) => {
                nodes.start_again(nodes.next);
                nodes.await_all();
            }
        }
    }
}
