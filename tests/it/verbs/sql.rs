//! `sql` over topics on a real broker: a query sees all committed records and no others.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tickcast::config::Plan;
use tickcast_sql::query::{OutputFormat, Session};

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{client, create_topic};
use crate::support::pipeline::TestPipeline;
use crate::support::wait::PATIENCE;

const COUNT: &str = "SELECT count(*) AS n, count(DISTINCT forecast) AS d FROM forecasts";

fn ask(plan: &Plan, sql: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let answered = plan
        .tables()
        .and_then(|tables| Session::open(tables, 1 << 28)?.answer(sql, OutputFormat::Json, &mut out));
    answered.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn send(producer: &BaseProducer, from: usize, count: usize) {
    for n in from..from + count {
        let value = format!(
            r#"{{"series":"s{}","target":"temp","window_start":"2024-01-01T00:00:00Z","issued_at":"2024-01-01T01:00:00Z",
               "target_time":"2024-01-01T02:00:00Z","horizon":1,"forecast":{n},"naive":0,"expert":"rnn","model_updates":1,"carried":false}}"#,
            n % 7
        );
        let record = || BaseRecord::<str, str>::to("sql.forecasts").partition((n % 2) as i32).payload(&value);
        while producer.send(record()).is_err() {
            producer.poll(Duration::from_millis(20));
        }
    }
    producer.flush(PATIENCE).unwrap();
}

fn counted(n: usize) -> Result<String, String> {
    Ok(format!("{{\"n\":{n},\"d\":{n}}}\n"))
}

#[test]
fn a_topic_is_read_to_its_end_and_only_what_is_committed() {
    let Some(addr) = brokers_or_skip() else { return };
    create_topic(addr, "sql.forecasts", 3);
    let bench = TestPipeline::new(&format!(
        "source: {{ kafka: {{ brokers: \"{addr}\", topic: t }} }}\nkey: station\ntime: at\nwindow: {{ tumbling: 1h }}\n\
         forecast: {{ target: temp, levels: [0.9] }}\n\
         sinks: {{ forecasts: {{ kafka: {{ topic: sql.forecasts }} }}, scores: {{ kafka: {{ topic: sql.missing }} }} }}\n"
    ));
    let plan = bench.load().plan;
    assert_eq!(ask(&plan, COUNT), counted(0));
    let producer: BaseProducer = client(addr).set("transactional.id", "sql").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();

    producer.begin_transaction().unwrap();
    send(&producer, 0, 20_000);
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(ask(&plan, COUNT), counted(20_000));

    producer.begin_transaction().unwrap();
    send(&producer, 20_000, 1000);
    producer.abort_transaction(PATIENCE).unwrap();
    assert_eq!(ask(&plan, COUNT), counted(20_000), "an aborted tail is invisible");

    producer.begin_transaction().unwrap();
    send(&producer, 30_000, 500);
    assert_eq!(ask(&plan, COUNT), counted(20_000), "an open transaction is invisible");
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(ask(&plan, COUNT), counted(20_500));

    assert!(ask(&plan, "SELECT count(*) FROM scores").unwrap_err().contains("sql.missing"));
    producer.begin_transaction().unwrap();
    let broken = BaseRecord::<str, str>::to("sql.forecasts").partition(1).payload("{broken");
    producer.send(broken).map_err(|(error, _)| error).unwrap();
    producer.commit_transaction(PATIENCE).unwrap();
    let error = ask(&plan, COUNT).unwrap_err();
    assert!(error.contains("topic sql.forecasts at") && error.contains("partition 1"), "{error}");
}
