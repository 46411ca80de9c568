//! Who an instance is in its group: one that is killed comes back as the same member, two on one
//! machine are two, one that ends in order is gone, and one whose name the group has given away
//! goes on. The oracle is the group as the broker describes it, and an undisturbed run.

use std::fs;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::support::broker::brokers_or_skip;
use crate::support::cluster::TestCluster;
use crate::support::kafka::{client, consumer};
use crate::support::process::{Instance, StartFrom};
use crate::support::wait::{wait_for, wait_till};

const START: StartFrom = StartFrom { sets: Vec::new(), fail_points: None, args: Vec::new(), files: None };

/// The ids of the group's members, as the broker has them: a named member's begins with its name.
fn members(rig: &TestCluster) -> Vec<String> {
    let list = consumer(&rig.addr).fetch_group_list(Some(&rig.id), Duration::from_secs(30)).unwrap();
    let members = list.groups().iter().flat_map(|group| group.members());
    members.map(|member| member.id().to_owned()).collect()
}

/// The name under which an instance says that it joins.
fn name(instance: &Instance) -> String {
    wait_for("its name", || {
        let said = instance.said();
        let (_, name) = said.split_once(" as tickcast-")?;
        Some(format!("tickcast-{}", name.get(..16)?))
    })
}

/// Kills an instance, starts it again, and insists that it is the member that it was, the only one.
fn comes_back(rig: &TestCluster) -> Instance {
    rig.feed(0, 500);
    let mut killed = rig.start("a", &START);
    rig.await_position(1000, &mut [&mut killed]);
    killed.kill();

    rig.feed(500, 1000);
    let mut back = rig.start("a", &START);
    rig.await_position(2000, &mut [&mut back]);
    let (name, members) = (name(&killed), members(rig));
    assert!(members.len() == 1 && members[0].starts_with(&name), "{name} became {members:?}");
    back
}

/// Found by: an audit of recovery. By default the group waited ten seconds for the dead instance
/// before it gave its partitions to the one in its place.
#[test]
fn instances_a_killed_one_is_back_as_the_same_member() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "same-member", 2, "", "");
    comes_back(&rig).stop();
    rig.audit().insist(true);
}

/// Found by: measuring recovery. Nobody had told the group of the dead instance's transaction, so
/// no claim ended it: until its time-out readers saw nothing of what was committed after it.
#[test]
fn instances_what_a_killed_one_left_open_hides_nothing() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "left-open", 2, "", "transaction.timeout.ms: 600000");
    rig.feed(0, 1000);
    // Its first transaction has records, and never an end.
    rig.start("a", &StartFrom::fail_points("ledger.produced=return")).aborts();

    let mut back = rig.start("a", &START);
    rig.await_position(2000, &mut [&mut back]);
    back.stop();
    // As readers do that wait for the end of transactions.
    rig.audit().insist(true);
}

#[test]
fn instances_a_name_is_kept_in_a_state_directory() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "member-in-directory", 2, "", "");
    let text = fs::read_to_string(rig.yaml()).unwrap();
    let lines = text.lines().map(|line| match line.split_once(':') {
        Some(("state", _)) => "state: { dir: state }",
        Some(("delivery", _)) => "delivery: at_least_once",
        _ => line,
    });
    fs::write(rig.yaml(), lines.collect::<Vec<_>>().join("\n")).unwrap();

    let mut back = comes_back(&rig);
    let kept = rig.folder.path().join("state/instance-0");
    assert!(fs::read_to_string(&kept).unwrap().starts_with(&name(&back)));
    // Found by this test: with delivery at least once nobody heard of the last commit's answer, and
    // after five seconds the process ended without leaving the group.
    back.stop();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "", "{}", back.last_words());
    assert_eq!(members(&rig), Vec::<String>::new());
}

#[test]
fn instances_two_of_one_machine_are_two_and_who_ends_in_order_leaves_the_group() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "two-members", 2, "", "");
    let mut leaving = rig.start("leaving", &START);
    rig.feed(0, 500);
    rig.await_position(1000, &mut [&mut leaving]);
    let mut staying = rig.start("staying", &START);
    staying.await_share();
    let (left, stayed) = (name(&leaving), name(&staying));
    assert_ne!(left, stayed);
    wait_till("two members", || members(&rig).len() == 2);

    // It is out of the group when it has ended: nobody waits for its session.
    leaving.stop();
    let members = members(&rig);
    assert!(members.len() == 1 && members[0].starts_with(&stayed), "{left} left {members:?}");
    rig.feed(500, 1000);
    rig.await_position(2000, &mut [&mut staying]);
    staying.stop();
    rig.audit().insist(true);
}

/// Somebody else joins under a name.
fn twin(rig: &TestCluster, name: &str) -> BaseConsumer {
    let config = client(&rig.addr)
        .set("group.id", &rig.id)
        .set("group.instance.id", name)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("enable.auto.commit", "false")
        .clone();
    let twin: BaseConsumer = config.create().unwrap();
    twin.subscribe(&[&rig.topic("in")]).unwrap();
    twin
}

/// Lets somebody else join under a name, again and again, until an instance has said something so
/// often.
fn twin_until(rig: &TestCluster, name: &str, instance: &mut Instance, says: &str, times: usize) {
    let mut other = twin(rig, name);
    wait_till(says, || {
        instance.lives();
        if let Some(Err(KafkaError::MessageConsumptionFatal(_))) = other.poll(Duration::from_millis(50)) {
            other = twin(rig, name);
        }
        instance.said().matches(says).count() >= times
    });
}

/// A broker that takes a group over may remember a named member's former life, and take the present
/// one for a second instance of the name. With names by default every instance would have ended
/// with exit code 1 where a broker dies.
#[test]
fn instances_one_whose_name_was_given_away_joins_again() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "given-away", 2, "heartbeat.interval.ms: 500", "");
    rig.feed(0, 500);
    let mut instance = rig.start("a", &START);
    rig.await_position(1000, &mut [&mut instance]);
    let first = name(&instance);

    // Once: it takes its name back.
    let again = format!("joining again as {first}");
    twin_until(&rig, &first, &mut instance, &again, 1);
    rig.feed(500, 1000);
    rig.await_position(2000, &mut [&mut instance]);

    // Twice: that is a twin, such as a copy of the machine, who has as good a right to it.
    twin_until(&rig, &first, &mut instance, "joining again as", 2);
    rig.feed(1000, 1500);
    rig.await_position(3000, &mut [&mut instance]);
    assert_eq!(instance.said().matches(&again).count(), 1, "{}", instance.last_words());

    instance.stop();
    rig.audit().insist(true);
}

#[test]
fn instances_without_a_place_for_a_name_wait_and_say_for_whom() {
    let Some(addr) = brokers_or_skip() else { return };
    let session = "session.timeout.ms: 15000, heartbeat.interval.ms: 500";
    let rig = TestCluster::new(addr, "without-a-name", 2, session, "");
    // Where the directory would be is a file.
    fs::write(rig.folder.path().join("tickcast"), "").unwrap();
    rig.feed(0, 500);
    let mut killed = rig.start("a", &START);
    rig.await_position(1000, &mut [&mut killed]);
    assert!(killed.said().contains("without a name"), "{}", killed.last_words());
    killed.kill();

    rig.feed(500, 1000);
    let mut back = rig.start("a", &START);
    rig.await_position(2000, &mut [&mut back]);
    assert!(back.said().contains("killed up to 15 s (session.timeout.ms)"), "{}", back.last_words());
    back.stop();
    rig.audit().insist(true);
}
