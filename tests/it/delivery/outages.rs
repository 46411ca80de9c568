//! What is done to a cluster of three brokers in its life: they are restarted one after the other, too
//! few of them are left to write, their controller is gone. Two instances live through all of it, and
//! what they commit is what an undisturbed run makes.
//! The file must not know how exactly once is made.

use crate::support::broker::skip;
use crate::support::cluster::{SHORT_SESSION, TestCluster};
use crate::support::kafka::set_topic;
use crate::support::nodes::Nodes;
use crate::support::process::{Instance, StartFrom, is_waiting_for};
use crate::support::wait::wait_till;

/// The topics whose leaders are the coordinators of groups and of transactions.
const COORDINATORS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

struct Deployment {
    nodes: Nodes,
    cluster: TestCluster,
    instances: Vec<Instance>,
    /// Records that every partition was sent.
    sent: u64,
}

impl Deployment {
    fn start(nodes: Nodes) -> Deployment {
        let cluster =
            TestCluster::new(nodes.addr(), "outages", 6, SHORT_SESSION, "transaction.timeout.ms: 4000");
        // Without names: a coordinator that begins anew on another broker may take a named member for
        // a second one, which ends it (see the chaos test).
        let instances = ["one", "two"].map(|name| cluster.start(name, &StartFrom::serving())).into();
        let mut deployment = Deployment { nodes, cluster, instances, sent: 0 };
        deployment.feed();
        deployment.goes_on();
        deployment
    }

    fn feed(&mut self) {
        self.cluster.feed(self.sent, self.sent + 200);
        self.sent += 200;
    }

    /// All that was sent gets committed, and nobody ends.
    fn goes_on(&mut self) {
        let mut instances: Vec<&mut Instance> = self.instances.iter_mut().collect();
        self.cluster.await_position(self.sent * self.cluster.partitions as u64, &mut instances);
    }

    /// Each broker leaves in order and comes back, and the work goes on while it is away.
    fn restart_one_after_the_other(&mut self) {
        let at_first = COORDINATORS.map(|topic| self.nodes.leaders(topic));
        let mut moved = [false; 2];
        for broker in 0..3 {
            self.nodes.stop(broker);
            self.feed();
            self.goes_on();
            for (of, moved) in moved.iter_mut().enumerate() {
                *moved |= self.nodes.leaders(COORDINATORS[of]) != at_first[of];
            }
            self.nodes.start_again(broker);
            self.nodes.await_all();
        }
        assert_eq!(moved, [true; 2], "coordinators moved");
    }

    /// One broker of three is no two copies: the input comes in, and nothing can be written.
    fn lose_the_second_copy(&mut self) {
        set_topic(self.nodes.addr(), &self.cluster.topic("in"), "min.insync.replicas", "1");
        (0..2).for_each(|broker| self.nodes.kill(broker));
        self.feed();
        let addresses: Vec<String> = self.instances.iter().map(Instance::http).collect();
        wait_till("503 while nothing can be written", || {
            self.instances.iter_mut().for_each(Instance::lives);
            addresses.iter().any(|http| is_waiting_for(http, ""))
        });
        let committed = self.cluster.position();
        assert!(
            committed.is_none_or(|at| at < (self.sent * 6) as i64),
            "committed without copies: {committed:?}"
        );
        (0..2).for_each(|broker| self.nodes.start_again(broker));
        self.nodes.await_all();
        self.goes_on();
    }

    /// A leader dies while nobody is there to name another one.
    fn lose_the_controller(&mut self) {
        self.nodes.kill_controller();
        self.nodes.kill(2);
        self.instances.iter_mut().for_each(Instance::lives);
        self.nodes.start_controller_again();
        self.feed();
        self.goes_on();
        self.nodes.start_again(2);
        self.nodes.await_all();
    }
}

#[test]
fn outages_of_a_cluster_are_lived_through() {
    let Some(nodes) = Nodes::start().or_else(|why| skip(&why).ok_or(())).ok() else { return };
    let mut deployment = Deployment::start(nodes);
    deployment.restart_one_after_the_other();
    deployment.lose_the_second_copy();
    deployment.lose_the_controller();

    deployment.feed();
    deployment.goes_on();
    deployment.instances.iter_mut().for_each(Instance::stop);
    deployment.cluster.audit().insist(true);
}
