//! The end of a run that cannot have its last commit.
//! The file must not know how a commit is made.

use std::time::Instant;

use crate::support::broker::private_or_skip;
use crate::support::cluster::TestCluster;
use crate::support::process::{StartFrom, is_ready};
use crate::support::wait::wait_till;

/// Found by: hostile testing. Every call that hangs has its own time-out, and together they took
/// 52 s, when a container is killed after 30 s.
#[test]
fn ending_a_run_ends_by_itself_while_its_broker_hangs_and_the_next_one_goes_on() {
    let Some(mut broker) = private_or_skip() else { return };
    let cluster = TestCluster::new(broker.addr(), "hangs", 2, "", "");
    // Its last state is still to be written when it is to end.
    let sets = ["serve.http=127.0.0.1:0", "snapshot_every=1h"];
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
