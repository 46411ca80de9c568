//! The end of a run that cannot have its last commit.
//! The file must not know how a commit is made.

use std::time::Instant;

use tickcast_stream::PartitionId;

use crate::support::broker::private_or_skip;
use crate::support::cluster::{TestCluster, record};
use crate::support::kafka::{create_topic, produce};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{Instance, StartFrom, get, is_ready};
use crate::support::wait::{PATIENCE, wait_till};

/// Found by: hostile testing. Every call that hangs has its own time-out, and together they took
/// 52 s, when a container is killed after 30 s.
#[test]
fn ending_a_run_ends_by_itself_while_its_broker_hangs_and_the_next_one_goes_on() {
    let Some(mut broker) = private_or_skip() else { return };
    let cluster = TestCluster::new(broker.addr(), "hangs", 2, "", "");
    // Its last state is still to be written when it is to end.
    let sets = ["serve.http=127.0.0.1:0", "recover_within=1h"];
    let mut instance = cluster.start("hangs", &StartFrom::sets(&sets));
    let http = instance.http();
    cluster.feed(0, 300);
    cluster.await_position(600, &mut [&mut instance]);
    wait_till("the run to be ready", || is_ready(&http));

    broker.pause();
    instance.signal("TERM");
    let asked = Instant::now();
    let said = instance.fails();
    println!("ended after {:?}: {}", asked.elapsed(), instance.last_words());
    assert!(said.contains("error: "), "{said}");
    assert!(said.contains("made again by the next run") || said.contains("was not made"), "{said}");
    broker.resume();

    cluster.feed(300, 400);
    let mut next = cluster.start("next", &StartFrom::default());
    cluster.await_position(800, &mut [&mut next]);
    next.stop();
    cluster.audit().insist(true);
}

fn at_least_once(addr: &str, id: &str, sink: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: {id}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 10s, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1], model: {{ cell: rnn, hidden: 4, bptt: 9 }} }}
delivery: at_least_once
state: {{ dir: state }}
sinks: {{ forecasts: {sink} }}
"
    ))
}

/// Found by: this test. The last commit of positions was waited for without a limit: with results in
/// files the run did not end within two minutes. What is in files is safe, and what did not begin has nothing to lose; what is on its way to a
/// topic is made again.
#[test]
fn ending_whatever_waits_for_the_broker_the_run_ends_while_it_hangs() {
    let Some(mut broker) = private_or_skip() else { return };
    let addr = broker.addr().to_owned();
    let values: Vec<String> = (0..200).map(|n| record(PartitionId(0), n)).collect();
    for (id, sink, begins) in [
        ("files", "{ file: { path: out/ } }", true),
        ("topics", "{ kafka: { topic: topics.forecasts } }", true),
        ("early", "{ kafka: { topic: early.forecasts } }", false),
    ] {
        create_topic(&addr, &format!("{id}.in"), 1);
        let bench = at_least_once(&addr, id, sink);
        if !begins {
            broker.pause();
        }
        let mut instance = Instance::start(&bench.file(), &bench.path("log"), &StartFrom::serving());
        let http = instance.http();
        if begins {
            wait_till("the run to be ready", || is_ready(&http));
            produce(&addr, &format!("{id}.in"), PartitionId(0), values.iter().map(String::as_bytes));
            wait_till("its records", || get(&http, "/metrics").contains("\"} 200"));
            broker.pause();
        }
        let asked = Instant::now();
        instance.signal("TERM");
        let ended = instance.ended_within(PATIENCE);
        println!("{id} ended after {:?}, {ended:?}: {}", asked.elapsed(), instance.last_words());
        let code = ended.and_then(|status| status.code());
        assert!(code == Some(0) || (id == "topics" && code == Some(1)), "{id}: {code:?}");
        broker.resume();
    }
}
