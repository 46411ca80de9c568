//! Records that are posted, to the binary: durable once they are answered, whatever happens then.
//! The file must not know how the journal stores them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tickcast::{LaunchOptions, launch};
use tickcast_connect::ingest::{IngestLogSpec, IngestSpec};
use tickcast_connect::{JournalSpec, SourceKind, Span, Tail};
use tickcast_stream::PartitionId;
use tickcast_stream::message::{RawRecord, Records};
use tickcast_stream::source::Event;

use crate::delivery::file_faults::Disk;
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, values};
use crate::support::pipeline::{Runner, TestPipeline, read_dir};
use crate::support::post::{ask, post, post_until_taken};
use crate::support::process::{Instance, StartFrom, get, is_ready, is_waiting_for, text, tickcast};
use crate::support::wait::wait_till;

const PATH: &str = "/ingest/w";

fn pipeline(source: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: posted
source: {{ http: {{ path: {PATH}, {source} }} }}
key: k
time: t
window: {{ tumbling: 10s, lateness: 60s, select: {{ x: avg(v), n: count(*) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 4, bptt: 12, replay: 1 }} }}
state: {{ dir: state }}
commit_every: 20ms
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

fn line(n: u64) -> String {
    let (k, t, v) = (n % 3, 1_704_067_200 + n / 3, (n * 37 % 101) as f64 / 7.0);
    format!(r#"{{"k":"s{k}","t":{t},"v":{v},"n":{n}}}"#)
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| line(n) + "\n").collect()
}

/// All records of a journal.
pub fn journal(dir: &Path) -> Vec<RawRecord> {
    let spec = JournalSpec {
        dir: dir.to_owned(),
        keep: Duration::MAX,
        segment_bytes: JournalSpec::SEGMENT_BYTES,
        tail: Tail::default(),
    };
    let mut source = spec.open_history(Span::default()).unwrap().source;
    source.poll(Duration::ZERO).unwrap();
    source.start(PartitionId(0), None).unwrap();
    let mut all = Vec::new();
    loop {
        match source.poll(Duration::ZERO).unwrap() {
            Event::Records { records: Records::Raw(records), .. } => all.extend(records),
            Event::End { .. } => return all,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// How often each number is in a journal.
pub fn numbers(records: &[RawRecord]) -> BTreeMap<u64, usize> {
    let mut numbers = BTreeMap::new();
    for record in records {
        let value: Value = serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap();
        *numbers.entry(value["n"].as_u64().unwrap()).or_default() += 1;
    }
    numbers
}

fn start(bench: &TestPipeline, from: &StartFrom) -> Instance {
    Instance::start(&bench.file(), &bench.path("log"), from)
}

fn received(http: &str) -> f64 {
    metric(http, "records_received_total")
}

/// The sum of a metric's series.
fn metric(http: &str, name: &str) -> f64 {
    series(http, name).iter().sum()
}

fn series(http: &str, name: &str) -> Vec<f64> {
    let page = get(http, "/metrics");
    let of_name = page.lines().filter(|line| line.starts_with(&format!("tickcast_{name}")));
    of_name.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect()
}

/// Kills amid posts lose nothing that was answered; and what comes out is what any reading of the
/// journal makes.
#[test]
fn ingest_nothing_that_was_answered_is_lost_and_any_batching_gives_the_same_bytes() {
    let bench = pipeline("journal: journal");
    let instance = Mutex::new(start(&bench, &StartFrom::serving()));
    let http = || {
        let instance = instance.lock().unwrap();
        instance.http()
    };
    let all = 1200;
    thread::scope(|scope| {
        for sender in 0..4 {
            let http = &http;
            scope.spawn(move || {
                for nth in 0..20 {
                    let first = sender * 300 + nth * 15;
                    post_until_taken(http, PATH, lines(first..first + 15).as_bytes());
                    thread::sleep(Duration::from_millis(30));
                }
            });
        }
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(400));
            let mut running = instance.lock().unwrap();
            running.kill();
            *running = start(&bench, &StartFrom::serving());
        }
    });

    let stored = journal(&bench.path("journal"));
    let counts = numbers(&stored);
    assert_eq!(counts.len(), all as usize, "each is there");
    let address = http();
    let mut instance = instance.into_inner().unwrap();
    wait_till("that all is read", || series(&address, "consumer_lag_records") == [0.0]);
    instance.stop();
    let out = bench.out();
    assert!(out.values().map(String::len).sum::<usize>() > 10_000);

    for (runner, batch) in [(Runner::Inline, 1), (Runner::Inline, 4096), (Runner::Threads(2), 7)] {
        let fresh = pipeline("journal: journal");
        let fresh = fresh.with("serve: { http: 127.0.0.1:0 }");
        copy(&bench.path("journal"), &fresh.path("journal"));
        fresh.run_until(runner, batch, Some(stored.len() as u64));
        assert!(fresh.out() == out, "{runner:?}, batches of {batch}");
    }
    let verified = tickcast("verify", &bench.file(), &["--set", "serve.http=127.0.0.1:0"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A death between the write and its answer: the sender sends again, and the record is there twice.
/// `deduplicate` counts it once.
#[test]
fn ingest_a_death_before_the_answer_makes_a_record_come_twice_and_deduplicate_sees_it() {
    let bench = pipeline("journal: journal").with("deduplicate: { by: [n] }");
    let points =
        StartFrom { fail_points: Some("journal.synced=2*off->return".into()), ..StartFrom::serving() };
    let mut instance = start(&bench, &points);
    let http = instance.http();
    for part in 0..2 {
        post_until_taken(&|| http.clone(), PATH, lines(part * 10..part * 10 + 10).as_bytes());
    }
    assert!(post(&http, PATH, &[], lines(20..30).as_bytes()).is_err());
    instance.aborts();

    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    post_until_taken(&|| http.clone(), PATH, lines(20..30).as_bytes());
    wait_till("the duplicates", || metric(&http, "records_rejected_total{") >= 10.0);
    let page = get(&http, "/metrics");
    assert!(page.contains("reason=\"duplicate\",pipeline=\"posted\"} 10"), "{page}");
    instance.stop();
    let counts = numbers(&journal(&bench.path("journal")));
    assert_eq!((counts.len(), counts.values().sum::<usize>()), (30, 40));
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap()
}

/// A page of anybody's in a browser of this machine could post to an address of loopback.
#[test]
fn ingest_takes_nothing_of_a_web_page_without_a_token() {
    let bench = pipeline("journal: journal");
    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    wait_till("that it is ready", || is_ready(&http));
    let send = |headers: &[&str]| post(&http, PATH, headers, line(0).as_bytes()).unwrap();
    let refused = send(&["Origin: http://pages.example", "Content-Type: text/plain"]);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("source.http.token_file"), "{}", refused.body);
    assert_eq!(send(&[]).status, 204);
    instance.stop();
    assert_eq!(numbers(&journal(&bench.path("journal"))).len(), 1);
}

#[test]
fn ingest_what_is_refused_is_refused_whole_with_the_reason_and_the_rest_is_taken() {
    let bench = pipeline("journal: journal, token_file: token, body_bytes: 1000000");
    bench.write("token", "s3cret\n");
    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    wait_till("that it is ready", || is_ready(&http));
    let bearer = "Authorization: Bearer s3cret";
    let send = |headers: &[&str], body: &[u8]| post(&http, PATH, headers, body).unwrap();
    let status = |headers: &[&str], body: &[u8]| send(headers, body).status;

    assert_eq!(send(&[], line(0).as_bytes()).status, 401);
    assert_eq!(status(&["Authorization: Bearer s3creT"], line(0).as_bytes()), 401);
    let bad = send(&[bearer], format!("{}{{\"n\":", lines(0..2)).as_bytes());
    assert_eq!(bad.status, 400);
    assert!(bad.body.starts_with("line 3: it is not JSON"), "{}", bad.body);
    assert_eq!(status(&[bearer, "Content-Type: image/png"], b"{}"), 415);
    assert_eq!(status(&[bearer, "Content-Encoding: br"], b"{}"), 415);
    assert_eq!(status(&[bearer], &vec![b' '; 1_000_001]), 413);
    assert_eq!(status(&[bearer, "Content-Encoding: gzip"], &zip(&vec![b' '; 100 << 20])), 413);
    let long = format!("{{\"n\":1,\"x\":\"{}\"}}", "x".repeat(900_000));
    assert_eq!(status(&[bearer], long.as_bytes()), 413);
    let large =
        ask(&http, &format!("POST {PATH}"), &[bearer, "Content-Length: 104857600"], &vec![b' '; 2 << 20]);
    assert_eq!(large.map(|answer| answer.status).unwrap_or(413), 413);
    assert_eq!(ask(&http, &format!("GET {PATH}"), &[bearer], b"").unwrap().status, 405);
    assert_eq!(post(&http, "/ingest/other", &[bearer], b"{}").unwrap().status, 404);

    // Half a request, and one that comes slowly, keep nobody out.
    let half = |bytes: &str| {
        let mut socket = TcpStream::connect(&http).unwrap();
        write!(socket, "POST {PATH} HTTP/1.1\r\nHost: x\r\n{bearer}\r\nContent-Length: 99\r\n\r\n{bytes}")
            .unwrap();
        socket
    };
    drop(half("{\"n\":"));
    let _slow = half("{\"n\":7}\n");
    assert_eq!(status(&[bearer], lines(0..3).as_bytes()), 204);
    assert_eq!(
        status(&[bearer, "Content-Type: application/json"], b"[{\"k\":\"a\",\"t\":1,\"n\":3},{\"n\":4}]"),
        204
    );
    assert_eq!(status(&[bearer, "Content-Encoding: gzip"], &zip(lines(5..7).as_bytes())), 204);
    assert_eq!(status(&[bearer, "Content-Type: text/plain"], b"m,k=a n=7i,v=1 1704067200000000000"), 204);

    wait_till("that all is counted", || {
        let page = get(&http, "/metrics");
        let is = |outcome: &str, count: u64| {
            page.lines().any(|line| {
                line.contains("ingest_requests_total")
                    && line.contains(&format!("\"{outcome}\""))
                    && line.ends_with(&format!(" {count}"))
            })
        };
        is("unauthorized", 2)
            && is("not_records", 1)
            && is("wrong_type", 2)
            && is("cut_off", 1)
            && is("taken", 4)
    });
    assert_eq!(metric(&http, "ingest_records_total"), 8.0);
    instance.stop();
    let counts = numbers(&journal(&bench.path("journal")));
    assert_eq!(counts, (0..8).map(|n| (n, 1)).collect());
    assert!(!instance.said().contains("s3cret"));
}

/// Without room it takes nothing and says so; with room again it goes on, and what it answered is
/// there.
#[test]
fn ingest_a_full_disk_is_answered_with_503_until_there_is_room() {
    let bench = pipeline("journal: journal");
    let points =
        StartFrom { fail_points: Some("journal.full=2*off->3*return->off".into()), ..StartFrom::serving() };
    let mut instance = start(&bench, &points);
    let http = instance.http();
    wait_till("that it is ready", || is_ready(&http));
    let take =
        |part: u64| post_until_taken(&|| http.clone(), PATH, lines(part * 10..part * 10 + 10).as_bytes());
    assert_eq!((take(0), take(1)), (1, 1));
    let full = post(&http, PATH, &[], lines(20..30).as_bytes()).unwrap();
    assert_eq!(full.status, 503);
    assert!(full.head.to_lowercase().contains("retry-after: 1"), "{}", full.head);
    assert!(!full.body.contains("journal"), "no path is shown: {}", full.body);
    assert_eq!(take(2), 3);
    take(3);
    wait_till("that all is read", || received(&http) == 40.0);
    instance.stop();
    assert!(instance.said().contains("cannot write to the journal"), "{}", instance.last_words());
    assert_eq!(numbers(&journal(&bench.path("journal"))), (0..40).map(|n| (n, 1)).collect());
}

/// The same on a disk that is full: of a write that did not fit nothing is left.
#[test]
fn ingest_on_a_small_disk_what_was_answered_is_there_and_nothing_else() {
    let bench = pipeline("journal: disk/journal");
    let Some(_disk) = Disk::mount(&bench.path("disk"), "size=4m") else { return };
    let filler = bench.path("disk/filler");
    fs::write(&filler, vec![0; 3 << 20]).unwrap();
    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    wait_till("that it is ready", || is_ready(&http));

    let mut taken = 0;
    let next = |taken: u64| lines(taken..taken + 1000);
    while post(&http, PATH, &[], next(taken).as_bytes()).unwrap().status == 204 {
        taken += 1000;
        assert!(taken < 50_000, "the disk does not fill");
    }
    assert_eq!(post(&http, PATH, &[], next(taken).as_bytes()).unwrap().status, 503);
    wait_till("word of it", || instance.said().contains("No space left"));
    fs::remove_file(filler).unwrap();
    post_until_taken(&|| http.clone(), PATH, next(taken).as_bytes());
    instance.stop();
    let counts = numbers(&journal(&bench.path("disk/journal")));
    assert_eq!(counts, (0..taken + 1000).map(|n| (n, 1)).collect());
}

/// What no snapshot needs goes, and nothing that one needs: a run goes on in what is left.
#[test]
fn ingest_old_segments_of_the_journal_go_and_restarts_find_what_they_need() {
    let bench =
        pipeline("journal: journal, keep: 0s").with("recover_within: 2ms\nserve: { http: 127.0.0.1:0 }");
    let segments = || {
        let files = fs::read_dir(bench.path("journal")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".journal")?.parse::<u64>().ok()).min().unwrap()
    };
    let mut posted = 0;
    for life in 0..3 {
        let mut pipeline = bench.load();
        let Some(IngestSpec { log: IngestLogSpec::Journal(journal), .. }) = &mut pipeline.plan.ingest else {
            panic!("no journal")
        };
        journal.segment_bytes = 2000;
        let running = launch(pipeline, LaunchOptions::default()).unwrap();
        let address = running.http_addr().unwrap().to_string();
        let until = posted + 900;
        while posted < until || segments() <= life * 600 {
            post_until_taken(&|| address.clone(), PATH, lines(posted..posted + 15).as_bytes());
            posted += 15;
            assert!(posted < 20_000, "no segment goes");
            thread::sleep(Duration::from_millis(20));
        }
        running.stop();
        running.wait().unwrap();
    }
    assert!(segments() > 1200, "the first record is {}", segments());
    let verified = tickcast("verify", &bench.file(), &[]);
    // Not all can be compared: what made the first results is gone.
    assert!(matches!(verified.status.code(), Some(0 | 3)), "{}", text(&verified.stderr));
    assert_eq!(journal(&bench.path("journal")).last().unwrap().offset.next().0 as u64, posted);
    assert!(!bench.out().is_empty());
}

/// Where it has an address of its own, records are taken there, and nothing is shown.
#[test]
fn ingest_has_an_address_of_its_own_where_one_is_asked_for() {
    let bench = pipeline("journal: journal, listen: '127.0.0.1:0'");
    let running = launch(bench.load(), LaunchOptions::default()).unwrap();
    assert_eq!(running.http_addr(), None);
    let address = running.ingest_addr().unwrap().to_string();
    post_until_taken(&|| address.clone(), PATH, lines(0..3).as_bytes());
    assert!(get(&address, "/health").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/metrics").starts_with("HTTP/1.1 404"));

    let second = Instance::start(&bench.file(), &bench.path("log"), &StartFrom::default()).fails();
    assert!(second.contains("another run writes to it; stop it first"), "{second}");
    running.stop();
    running.wait().unwrap();
    assert_eq!(journal(&bench.path("journal")).len(), 3);
}

/// A state goes on in the journal that it was learned from, and in no other of its name.
#[test]
fn ingest_a_journal_that_is_made_anew_is_another_one() {
    let bench = pipeline("journal: journal");
    for life in 0..2 {
        let mut instance = start(&bench, &StartFrom::serving());
        let http = instance.http();
        if life == 0 {
            post_until_taken(&|| http.clone(), PATH, lines(0..600).as_bytes());
            wait_till("that all is read", || series(&http, "consumer_lag_records") == [0.0]);
            instance.stop();
            fs::remove_dir_all(bench.path("journal")).unwrap();
        } else {
            let said = instance.fails();
            assert!(said.contains("journal journal was removed and made anew"), "{said}");
        }
    }
}

/// Without the brokers nothing is taken, and both senders and whoever looks on are told.
#[test]
fn ingest_into_a_topic_that_is_away_is_answered_with_503() {
    let bench = pipeline("into: { kafka: { brokers: \"127.0.0.1:1\", topic: t } }");
    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    let answer = post(&http, PATH, &[], lines(0..3).as_bytes()).unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "records cannot be stored for now; send them again\n")
    );
    wait_till("the reason", || is_waiting_for(&http, "127.0.0.1:1"));
    instance.stop();
}

/// The log is a topic: what is posted is there by its series, and is forecast.
#[test]
fn ingest_into_a_topic_is_read_as_a_topic() {
    let Some(addr) = brokers_or_skip() else { return };
    let into = format!("into: {{ kafka: {{ brokers: \"{addr}\", topic: posted.in, start: earliest }} }}");
    let bench = pipeline(&into);
    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    for part in 0..20 {
        post_until_taken(&|| http.clone(), PATH, lines(part * 15..part * 15 + 15).as_bytes());
    }
    assert_eq!(count(addr, "posted.in", 1), 300);
    assert!(values(addr, "posted.in", PartitionId(0)).contains(&line(7)));
    wait_till("that all is read", || received(&http) == 300.0);
    instance.stop();
    assert!(!read_dir(&bench.path("out")).is_empty());
}
