//! What a run says of itself in numbers, held to what its input makes of it: each metric that the
//! registry knows has its assertion here. The file must not know how a metric is filled.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tickcast::factory::factory;
use tickcast::{LaunchOptions, Running, launch};
use tickcast_connect::{OpenOptions, SourceSchema};
use tickcast_forecast::ForecasterStats;
use tickcast_stream::message::{Reason, Records};
use tickcast_stream::operator::OperatorStats;
use tickcast_stream::source::Event;
use tickcast_stream::{Mean, Offset, PartitionId, PassReason};

use crate::support::broker::brokers_or_skip;
use crate::support::cluster::{TestCluster, record};
use crate::support::kafka::{client, committed, end_of, input, produce};
use crate::support::pipeline::{self, Runner};
use crate::support::process::{StartFrom, get};
use crate::support::readings::{bench, make_topics, readings};
use crate::support::wait::{PATIENCE, wait_till, wait_until};

const LAG: &str = "consumer_lag_records";
const PARTITIONS: [PartitionId; 2] = [PartitionId(0), PartitionId(1)];

/// The samples of an exposition, without the prefix and the pipeline's label.
fn samples(text: &str, pipeline: &str) -> BTreeMap<String, f64> {
    let label = format!("pipeline=\"{pipeline}\"");
    let lines = text.lines().filter_map(|line| line.strip_prefix("tickcast_")?.rsplit_once(' '));
    let plain = |name: &str| {
        let others = name.replace(&format!(",{label}"), "").replace(&label, "");
        others.trim_end_matches("{}").to_owned()
    };
    lines.map(|(name, value)| (plain(name), value.parse().unwrap())).collect()
}

/// Sends values to partitions in one transaction, made `ahead` of the clock. It leaves a mark at the
/// end of each log that is no record.
fn transact(addr: &str, topic: &str, ahead: Duration, values: &[(PartitionId, String)]) {
    let producer: BaseProducer = client(addr).set("transactional.id", topic).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let made = (SystemTime::now() + ahead).duration_since(UNIX_EPOCH).unwrap().as_millis();
    for (partition, value) in values {
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition.0).payload(value.as_bytes()).timestamp(made as i64);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.commit_transaction(PATIENCE).unwrap();
}

/// The records `from` to `to` of every partition.
fn records(from: u64, to: u64) -> Vec<(PartitionId, String)> {
    (from..to).flat_map(|n| PARTITIONS.map(|partition| (partition, record(partition, n)))).collect()
}

/// Found by: hostile testing. With exactly_once, the default on Kafka, the metric did not exist,
/// and elsewhere it stood still while nothing was read.
#[test]
fn metrics_the_lag_is_what_is_not_committed_also_while_nothing_is_read() {
    let Some(addr) = brokers_or_skip() else { return };
    // An instance that comes back has its partitions at once.
    let cluster = TestCluster::new(addr, "lag", 2, "group.instance.id: lag", "");
    let start = StartFrom::serving();
    // After a few commits the writer stands still, and then all that waits for it.
    let stuck = StartFrom { fail_points: Some("ledger.begin=3*off->pause".into()), ..start.clone() };
    let mut instance = cluster.start("stuck", &stuck);
    let http = instance.http();
    let lag = |http: &str| samples(&get(http, "/metrics"), "lag").get(LAG).copied();
    for part in 0..30 {
        cluster.feed(part * 10, part * 10 + 10);
        if part < 4 {
            // Else one commit could take them all. The last of them is not committed.
            let all = (part as i64 + 1) * 20;
            wait_until(Duration::from_secs(2), || (cluster.position() == Some(all)).then_some(()));
        }
    }
    wait_till("the lag of what is not committed", || {
        let position = cluster.position().unwrap_or_default();
        assert!(position < 600, "the writer does not stand still");
        position > 0 && lag(&http) == Some((600 - position) as f64)
    });
    instance.kill();

    let mut instance = cluster.start("again", &start);
    let http = instance.http();
    wait_till("no lag", || lag(&http) == Some(0.0));
    assert_eq!(cluster.position(), Some(600));
    transact(addr, &cluster.topic("in"), Duration::ZERO, &records(300, 310));
    wait_till("no lag behind a transaction", || cluster.position() == Some(620) && lag(&http) == Some(0.0));
    assert_eq!(end_of(addr, &cluster.topic("in"), PARTITIONS[0]).0, 311, "the log ends with a mark");
    instance.stop();

    // With nothing to read and nothing to commit it is no other.
    let mut instance = cluster.start("idle", &start);
    let http = instance.http();
    wait_till("no lag of a run without records", || lag(&http) == Some(0.0));
    instance.stop();
}

/// What is paused is fetched until its queue is full: then nobody says by himself that its log has
/// grown.
#[test]
fn metrics_the_end_of_a_paused_partition_is_asked_for() {
    let Some(addr) = brokers_or_skip() else { return };
    let cluster = TestCluster::new(addr, "paused", 2, "queued.min.messages: 1", "");
    let [still, read] = PARTITIONS;
    cluster.feed(0, 10);
    let mut source = cluster.plan().source.open(OpenOptions::default()).unwrap().source;
    let mut ends = BTreeMap::new();
    let mut poll = || {
        let event = source.poll(Duration::from_millis(20)).unwrap();
        if let Event::Assigned(ids) = &event {
            ids.iter().for_each(|&id| source.start(id, None).unwrap());
        }
        if let Event::Records { partition, .. } = event {
            source.set_paused(partition, partition == still).unwrap();
        }
        ends.extend(source.unread());
        ends.clone()
    };
    wait_till("both to be read", || poll() == PARTITIONS.map(|id| (id, Offset(10)..Offset(10))).into());
    for end in [25, 40] {
        cluster.feed(end as u64 - 15, end as u64);
        let expected = BTreeMap::from([(still, Offset(10)..Offset(end)), (read, Offset(end)..Offset(end))]);
        wait_till("the end of what is paused", || poll() == expected);
    }
}

#[test]
fn metrics_the_lag_of_at_least_once_ends_with_the_state_that_has_seen_all() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "lag-alo";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let values = readings(PartitionId(0), 20).into_iter().map(|value| (PartitionId(0), value));
    transact(addr, &format!("{id}.in"), Duration::ZERO, &values.collect::<Vec<_>>());
    let running =
        pipeline::start(&bench.load(), Runner::Threads(1), 50, Arc::default(), Arc::new(|_| ())).unwrap();
    wait_till("no lag", || samples(&running.metrics().text(), id).get(LAG) == Some(&0.0));
    let received = format!("records_received_total{{partition=\"0\",topic=\"{id}.in\"}}");
    assert_eq!(samples(&running.metrics().text(), id)[&received], 80.0);
    running.stop();
    running.wait().unwrap();
}

/// The samples of a run, and which metrics were looked at.
struct Scrape {
    samples: BTreeMap<String, f64>,
    asserted: RefCell<BTreeSet<String>>,
}

impl Scrape {
    fn value(&self, metric: &str, rest: &str) -> f64 {
        self.asserted.borrow_mut().insert(format!("tickcast_{metric}"));
        let sample = format!("{metric}{rest}");
        *self.samples.get(&sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples))
    }

    /// It has a sample only where there is something to count.
    #[track_caller]
    fn has_none(&self, metric: &str) {
        self.asserted.borrow_mut().insert(format!("tickcast_{metric}"));
        let found: Vec<&String> = self.samples.keys().filter(|name| name.starts_with(metric)).collect();
        assert!(found.is_empty(), "{found:?}");
    }

    /// `rest`: what follows the metric's name in the sample's.
    #[track_caller]
    fn is(&self, metric: &str, rest: &str, expected: f64) {
        let found = self.value(metric, rest);
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{metric}{rest}: {found}, not {expected}");
    }

    #[track_caller]
    fn is_in(&self, metric: &str, rest: &str, from: f64, to: f64) {
        let found = self.value(metric, rest);
        assert!((from..=to).contains(&found), "{metric}{rest}: {found}, not from {from} to {to}");
    }
}

/// Three records of reasons that [`record`] has not.
fn odd(partition: PartitionId) -> [String; 3] {
    let huge = "x".repeat(980_000);
    [
        format!(r#"{{"k":"p{partition}s0","t":"2199-01-01T00:00:00Z","v":1}}"#),
        format!(r#"{{"k":"p{partition}s0","t":"2024-01-01T00:03:00Z","v":1e999}}"#),
        format!(r#"{{"k":"p{partition}s0","t":"2024-01-01T00:03:00Z","v":1,"pad":"{huge}"}}"#),
    ]
}

/// A first life that commits 200 records of each partition and dies without a state; then a second
/// one that reads these again and the rest, and commits once, at its end.
#[test]
fn metrics_each_is_true_of_a_run_whose_input_is_known() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "metrics";
    let cluster = TestCluster::new(addr, id, 2, "group.instance.id: metrics", "");
    let topic = cluster.topic("in");
    cluster.feed(0, 200);
    let mut first = cluster.start("first", &StartFrom::sets(&["recover_within=1h"]));
    cluster.await_position(400, &mut [&mut first]);
    first.kill();
    let before = Results::of(&cluster);

    cluster.feed(200, 400);
    PARTITIONS.iter().for_each(|&p| produce(addr, &topic, p, odd(p).iter().map(String::as_bytes)));
    let sets = ["commit_every=1h", "recover_within=1h"].map(str::to_owned);
    let pipeline = tickcast::config::load(&cluster.yaml(), &sets).unwrap_or_else(|faults| panic!("{faults}"));
    let worked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&worked);
    let progress = Arc::new(move |new| _ = count.fetch_add(new, Ordering::Relaxed));
    let mut running = launch(pipeline, LaunchOptions { progress, ..LaunchOptions::default() }).unwrap();
    let await_records = |records: u64| {
        wait_till(&format!("{records} records"), || worked.load(Ordering::Relaxed) >= records);
    };
    await_records(2 * 403);
    transact(addr, &topic, Duration::ZERO, &records(400, 440));
    await_records(2 * 443);
    // Of a producer whose clock is an hour ahead of ours.
    transact(addr, &topic, Duration::from_secs(3600), &records(440, 480));
    await_records(2 * 483);

    // One offset between the transactions is no record, and is passed over with them; the one after
    // the last is not waited for.
    let waiting = (2 * (484 - 200)) as f64;
    wait_till("the lag of all that is not committed", || {
        samples(&running.metrics().text(), id).get(LAG) == Some(&waiting)
    });
    running.stop();
    running.finish().unwrap();

    let scrape = scrape(&running, id);
    input_and_windows(&scrape, &cluster);
    results(&scrape, &before, &Results::of(&cluster));
    commits(&scrape);
    work(&scrape);
    let all: BTreeSet<String> = running.metrics().names().collect();
    assert_eq!(scrape.asserted.into_inner(), all, "each metric has its assertion, and none is made up");
    let page = include_str!("../../../docs/metrics.md");
    let untold: Vec<&String> = all.iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert!(untold.is_empty(), "docs/metrics.md does not list {untold:?}");
}

fn scrape(running: &Running, id: &str) -> Scrape {
    Scrape { samples: samples(&running.metrics().text(), id), asserted: RefCell::default() }
}

/// What each partition says of itself after all its records, in a life without any fault.
fn undisturbed(cluster: &TestCluster) -> Vec<OperatorStats> {
    let factory = factory(&cluster.plan(), SourceSchema::default()).unwrap();
    let stats = |&id: &PartitionId| {
        let mut partition = factory.partition(id).unwrap();
        let records = Records::Raw(input(&cluster.addr, &cluster.topic("in"), id));
        partition.take(records, &mut |_| Ok(())).unwrap();
        partition.work_off();
        partition.stats()
    };
    PARTITIONS.iter().map(stats).collect()
}

fn input_and_windows(scrape: &Scrape, cluster: &TestCluster) {
    let topic = cluster.topic("in");
    for partition in PARTITIONS {
        let labels = format!("{{partition=\"{partition}\",topic=\"{topic}\"}}");
        scrape.is("records_received_total", &labels, 483.0);
        scrape.is("records_lost_total", &labels, 0.0);
    }
    scrape.is(LAG, "", 0.0);
    scrape.is("rejects_cut_total", "", 0.0);
    scrape.is("certificate_reloads_total", "", 0.0);
    // Which of its records are broken, and how, `record` says; late are those two minutes back. What
    // was rejected in the first life is not rejected again.
    let count = |is: &dyn Fn(u64) -> bool| 2.0 * (200..480).filter(|&n| is(n)).count() as f64;
    let is_broken = |n: u64| [11, 29, 47].contains(&(n % 53));
    let late = count(&|n| n % 41 == 40 && !is_broken(n));
    for reason in Reason::ALL {
        let rejected = match reason {
            Reason::Late => late,
            Reason::Undecodable => count(&|n| n % 53 == 11),
            Reason::MissingKey => count(&|n| n % 53 == 29),
            Reason::BadTime => count(&|n| n % 53 == 47),
            Reason::Future | Reason::NotFinite | Reason::TooLarge => 2.0,
            Reason::Duplicate => 0.0,
        };
        scrape.is("records_rejected_total", &format!("{{reason=\"{reason}\"}}"), rejected);
    }
    scrape.is("records_late_total", "", late);
    // Each has a value; those that have none are counted in `change_events`.
    for reason in PassReason::ALL {
        scrape.is("records_passed_over_total", &format!("{{reason=\"{reason}\"}}"), 0.0);
    }
    // All columns are of the target: what cannot be read costs the record.
    scrape.has_none("cells_rejected_total");
    // What is pushed is counted where something can be: `sources/ingest_http.rs` does.
    scrape.has_none("ingest_requests_total");
    scrape.has_none("ingest_records_total");

    let stats = undisturbed(cluster);
    let sum = |of: fn(&OperatorStats) -> u64| stats.iter().map(of).sum::<u64>() as f64;
    let learned: Vec<&ForecasterStats> = stats.iter().map(|stats| &stats.targets[0].forecaster).collect();
    let sum_learned =
        |of: fn(&ForecasterStats) -> u64| learned.iter().map(|of_one| of(of_one)).sum::<u64>() as f64;
    let mean = |of: fn(&ForecasterStats) -> f64| learned.iter().map(|of_one| of(of_one)).sum::<f64>() / 2.0;
    scrape.is("windows_closed_total", "", sum(|stats| stats.windows_closed));
    scrape.is("windows_open", "", sum(|stats| stats.windows_open));
    scrape.is("idle_closes_total", "", 0.0);
    scrape.is("series_active", "", 6.0);
    scrape.is("series_forgotten_total", "", 0.0);
    scrape.is("expressions_failed_total", "", 0.0);
    scrape.is("series_stale", "", 0.0);
    scrape.is("records_filtered_total", "", 0.0);
    scrape.is("records_forgotten_total", "", 0.0);
    scrape.is("train_steps_total", "", sum_learned(|stats| stats.train_steps));
    scrape.is("train_loss", "", mean(|stats| stats.train_loss));
    scrape.is("gradient_norm", "", mean(|stats| stats.gradient_norm));
    scrape.is("model_rollbacks_total", "", sum_learned(|stats| stats.model_rollbacks));
    for (at, (horizon, _)) in learned[0].drift_alarms.iter().enumerate() {
        let alarms: u64 = learned.iter().map(|stats| stats.drift_alarms[at].1).sum();
        scrape.is("drift_alarms_total", &format!("{{horizon=\"{horizon}\"}}"), alarms as f64);
    }
    for weight in &learned[0].weights {
        let mut mean = Mean::default();
        let all = learned.iter().flat_map(|stats| &stats.weights);
        let same = all.filter(|other| (other.horizon, other.expert) == (weight.horizon, weight.expert));
        same.for_each(|weight| mean.add(weight.weight));
        let labels = format!("{{expert=\"{}\",horizon=\"{}\"}}", weight.expert, weight.horizon);
        scrape.is("expert_weight", &labels, mean.value().unwrap());
    }
    // The input is of 2024: the clock is years ahead of it, and the same years as of these records.
    let watermark_s = stats.iter().filter_map(|stats| stats.watermark_us).min().unwrap() as f64 / 1e6;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    scrape.is_in("watermark_lag_seconds", "", 0.0, now_s - watermark_s);
    scrape.is("watermark_ahead_seconds", "", 0.0);
}

/// What is committed of forecasts and scores.
struct Results {
    forecasts: Vec<Value>,
    scores: Vec<Value>,
}

impl Results {
    fn of(cluster: &TestCluster) -> Results {
        let all = |end: &str| {
            let sent = PARTITIONS.map(|id| committed(&cluster.addr, &cluster.topic(end), id));
            sent.iter().flatten().map(|sent| serde_json::from_slice(&sent.value).unwrap()).collect()
        };
        Results { forecasts: all("forecasts"), scores: all("scores") }
    }
}

/// Records by horizon, without those that were there before.
fn new(all: &[Value], before: &[Value]) -> BTreeMap<u64, Vec<Value>> {
    let known: BTreeSet<String> = before.iter().map(Value::to_string).collect();
    let mut new: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for record in all.iter().filter(|record| !known.contains(&record.to_string())) {
        new.entry(record["horizon"].as_u64().unwrap()).or_default().push(record.clone());
    }
    new
}

fn results(scrape: &Scrape, before: &Results, all: &Results) {
    let mut forecasts = 0.0;
    for (horizon, made) in new(&all.forecasts, &before.forecasts) {
        forecasts += made.len() as f64;
        scrape.is("forecasts_emitted_total", &format!("{{horizon=\"{horizon}\"}}"), made.len() as f64);
    }
    let made = scrape.value("forecast_latency_seconds", "_count");
    assert!((1.0..=forecasts).contains(&made), "{made} of {forecasts}");
    // What was read again to restore is in none of them.
    scrape.is_in("end_to_end_latency_seconds", "_count", 2.0, made);
    let visible = scrape.value("end_to_end_latency_seconds", "_count");
    scrape.is_in("end_to_end_clamped_total", "", 1.0, visible - 1.0);

    for (horizon, scores) in new(&all.scores, &before.scores) {
        let number = |score: &Value, name: &str| score[name].as_f64().unwrap();
        let mean = |of: &dyn Fn(&Value) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
        let published = mean(&|score| number(score, "error").abs());
        let naive = mean(&|score| (number(score, "actual") - number(score, "naive")).abs());
        let of = |expert: &str| format!("{{expert=\"{expert}\",horizon=\"{horizon}\"}}");
        scrape.is("forecast_abs_error", &of("published"), published);
        for expert in scores[0]["experts"].as_object().unwrap().keys() {
            let error = mean(&|score| (number(score, "actual") - number(&score["experts"], expert)).abs());
            scrape.is("forecast_abs_error", &of(expert), error);
        }
        let skill = 1.0 - published / naive;
        scrape.is("forecast_skill_ratio", &format!("{{horizon=\"{horizon}\"}}"), skill);
        for name in scores[0].as_object().unwrap().keys() {
            let Some(percent) = name.strip_prefix("covered_") else { continue };
            let level = percent.parse::<f64>().unwrap() / 100.0;
            let labels = format!("{{horizon=\"{horizon}\",level=\"{level}\"}}");
            let covered = mean(&|score| f64::from(u8::from(score[name].as_bool().unwrap())));
            scrape.is("interval_coverage_ratio", &labels, covered);
        }
    }
}

/// One commit, of everything; in it the states of both partitions.
fn commits(scrape: &Scrape) {
    let outcomes = ["committed", "aborted", "refused", "failed"];
    let of = |outcome: &&str| scrape.value("commits_total", &format!("{{outcome=\"{outcome}\"}}"));
    scrape.is("commits_total", "{outcome=\"committed\"}", 1.0);
    scrape.is("commits_total", "{outcome=\"failed\"}", 0.0);
    scrape.is("commit_seconds", "_count", outcomes.iter().map(of).sum());
    scrape.is("snapshot_seconds", "_count", 2.0);
    scrape.is_in("snapshot_bytes", "", 1000.0, 1e6);
    scrape.is_in("snapshot_written_bytes_total", "", 2000.0, 2e6);
    scrape.is("restore_seconds", "_count", 2.0);
    scrape.is("replayed_records_total", "", 400.0);
}

/// At the end nothing waits for anybody, and every stage has worked.
fn work(scrape: &Scrape) {
    for stage in ["worker", "sink"] {
        scrape.is("channel_depth", &format!("{{stage=\"{stage}\"}}"), 0.0);
    }
    for stage in ["decode", "window", "forecast", "sink"] {
        let labels = format!("{{stage=\"{stage}\"}}");
        scrape.is_in("stage_busy_seconds_total", &labels, f64::MIN_POSITIVE, f64::MAX);
    }
}
