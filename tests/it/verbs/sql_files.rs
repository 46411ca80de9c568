//! `sql` over the files that a pipeline's own sinks write: both formats give the same answers, and
//! no query writes.

use std::io::Write;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use tickcast::config::{self, Plan};
use tickcast_connect::{FileSinkSpec, SinkFileFormat, SinkSpec, SinkSpecs, StdoutSpec};
use tickcast_sql::query::{OutputFormat, Session};
use tickcast_stream::error::{Kind, Result};
use tickcast_stream::message::Stream;
use tickcast_stream::record::{RejectBatch, RejectRow, forecast_schema, score_schema};
use tickcast_stream::sink::Begin;
use tickcast_stream::{EventTime, Offset, PartitionId};

use crate::support::pipeline::watch;

fn run(plan: &Plan, sql: &str, format: OutputFormat, out: &mut (dyn Write + Send)) -> Result<()> {
    Session::open(plan.tables()?, 1 << 28)?.answer(sql, format, out)
}

fn plan(sinks: SinkSpecs) -> Plan {
    let text = "{source: {kafka: {topic: t}}, key: station, time: at, window: {tumbling: 1h}, \
                    forecast: {target: temp, levels: [0.9]}}";
    let plan = config::parse(text, "weather.yaml", Path::new("/"), &[], &|_| None).unwrap().plan;
    Plan { sinks, ..plan }
}

fn rows(schema: SchemaRef, lines: &str) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(schema).build_decoder().unwrap();
    decoder.decode(lines.as_bytes()).unwrap();
    decoder.flush().unwrap().unwrap()
}

fn forecasts(series: &str) -> RecordBatch {
    let line = |hour: u32| {
        format!(
            r#"{{"series":"{series}","target":"temp","window_start":"2024-01-01T0{hour}:00:00Z","horizon":1,
                "issued_at":"2024-01-01T0{}:00:00Z","target_time":"2024-01-01T0{}:00:00Z","forecast":{hour}.5,
                "lower_90":null,"upper_90":9,"naive":{hour},"expert":"rnn","model_updates":3,"carried":false}}"#,
            hour + 1,
            hour + 2
        )
    };
    rows(forecast_schema(&[0.9], false), &(line(0) + &line(1)))
}

fn scores() -> RecordBatch {
    let line = r#"{"series":"JFK","target":"temp","issued_at":"2024-01-01T01:00:00Z","target_time":"2024-01-01T02:00:00Z",
            "horizon":1,"actual":2,"forecast":1.5,"naive":1,"error":0.5,"covered_90":true,
            "experts":{"naive":1,"rnn":1.5}}"#;
    rows(score_schema(&[0.9]), line)
}

fn rejects() -> RecordBatch {
    let mut batch = RejectBatch::default();
    batch.push(&RejectRow {
        value: Some(b"\xff{"),
        reason: "undecodable",
        detail: "no JSON",
        topic: "observations",
        partition: PartitionId(0),
        offset: Offset(41),
        key: Some(b"k\0"),
        headers: vec![("trace", Some(b"1\xfe")), ("trace", None)],
        timestamp: Some(EventTime(1_704_067_200_123_000)),
        cut: None,
    });
    batch.take().unwrap()
}

/// A pipeline whose three streams share one directory.
fn in_files(dir: &Path, format: SinkFileFormat) -> Plan {
    let sink = Some(SinkSpec::File(FileSinkSpec { dir: dir.to_owned(), format }));
    plan(SinkSpecs { forecasts: sink.clone(), scores: sink.clone(), rejects: sink })
}

fn write(plan: &Plan, stream: Stream, partition: PartitionId, rows: &RecordBatch) {
    let patience = watch(Default::default(), std::sync::Arc::new(|_| ())).patience();
    let mut sink = plan.sinks.of(stream).unwrap().open(stream, &rows.schema(), &patience).unwrap();
    sink.begin(partition, Begin::Resume).unwrap();
    sink.write(partition, rows).unwrap();
    sink.sync().unwrap();
}

/// What the pipeline's own sinks write: forecasts of partitions 0 and 11, a score, a reject.
fn filled(dir: &Path, format: SinkFileFormat) -> Plan {
    let plan = in_files(dir, format);
    let write = |stream, partition, rows: RecordBatch| write(&plan, stream, partition, &rows);
    write(Stream::Forecasts, PartitionId(0), forecasts("JFK"));
    write(Stream::Forecasts, PartitionId(11), forecasts("LGA"));
    write(Stream::Forecasts, PartitionId(11), forecasts("EWR"));
    write(Stream::Scores, PartitionId(0), scores());
    write(Stream::Rejects, PartitionId(0), rejects());
    plan
}

fn ask(plan: &Plan, sql: &str, format: OutputFormat) -> String {
    let mut out = Vec::new();
    run(plan, sql, format, &mut out).unwrap_or_else(|error| panic!("{sql}: {error}"));
    String::from_utf8(out).unwrap()
}

fn refused(plan: &Plan, sql: &str) -> String {
    let error = run(plan, sql, OutputFormat::Json, &mut Vec::new()).expect_err(sql);
    assert_eq!(error.kind, Kind::Query, "{error}");
    error.to_string()
}

/// Found while `target` was added: older records of the same sink made every query fail.
#[test]
fn records_from_before_they_named_their_target_are_read_beside_those_that_do() {
    for format in [SinkFileFormat::Ndjson, SinkFileFormat::Parquet] {
        let dir = tempfile::tempdir().unwrap();
        let plan = in_files(dir.path(), format);
        let older = |rows: &RecordBatch| {
            let kept: Vec<usize> =
                (0..rows.num_columns()).filter(|&at| rows.schema().field(at).name() != "target").collect();
            rows.project(&kept).unwrap()
        };
        write(&plan, Stream::Forecasts, PartitionId(0), &older(&forecasts("JFK")));
        write(&plan, Stream::Forecasts, PartitionId(1), &forecasts("LGA"));
        write(&plan, Stream::Scores, PartitionId(0), &older(&scores()));

        let json = |sql: &str| ask(&plan, sql, OutputFormat::Json);
        let targets =
            "SELECT target, count(*) AS n, max(forecast) AS f FROM forecasts GROUP BY target ORDER BY target";
        assert_eq!(
            json(targets),
            "{\"target\":\"temp\",\"n\":2,\"f\":1.5}\n{\"target\":null,\"n\":2,\"f\":1.5}\n",
            "{format:?}"
        );
        assert_eq!(
            json("SELECT target, error FROM scores"),
            "{\"target\":null,\"error\":0.5}\n",
            "{format:?}"
        );
    }
}

#[test]
fn both_kinds_of_files_answer_alike() {
    for format in [SinkFileFormat::Ndjson, SinkFileFormat::Parquet] {
        let dir = tempfile::Builder::new().prefix("a [b]*% c").tempdir().unwrap();
        let plan = filled(dir.path(), format);
        let json = |sql: &str| ask(&plan, sql, OutputFormat::Json);
        assert_eq!(json("SELECT count(*) AS n FROM forecasts"), "{\"n\":6}\n", "{format:?}");
        assert_eq!(
            json("SELECT * FROM Forecasts WHERE series = 'LGA' AND issued_at > '2024-01-01T01:00:00Z'"),
            concat!(
                r#"{"series":"LGA","target":"temp","window_start":"2024-01-01T01:00:00Z","#,
                r#""issued_at":"2024-01-01T02:00:00Z","#,
                r#""target_time":"2024-01-01T03:00:00Z","horizon":1,"forecast":1.5,"lower_90":null,"#,
                r#""upper_90":9.0,"naive":1.0,"expert":"rnn","model_updates":3,"carried":false}"#,
                "\n"
            ),
            "{format:?}"
        );
        let joined = "SELECT f.series, s.actual - f.forecast AS error, s.experts['rnn'] AS rnn FROM scores s \
                          JOIN forecasts f USING (series, target, target_time, horizon)";
        assert_eq!(json(joined), "{\"series\":\"JFK\",\"error\":1.5,\"rnn\":1.5}\n", "{format:?}");
        let rejects = "SELECT encode(value, 'hex') AS bytes, reason, \"offset\" FROM rejects";
        assert_eq!(json(rejects), "{\"bytes\":\"ff7b\",\"reason\":\"undecodable\",\"offset\":41}\n");
        let record = "SELECT encode(key, 'hex') AS key, timestamp, cut, headers[1]['name'] AS name, \
                          encode(headers[1]['value'], 'hex') AS first, headers[2]['value'] AS second FROM rejects";
        assert_eq!(
            json(record),
            concat!(
                r#"{"key":"6b00","timestamp":"2024-01-01T00:00:00.123Z","cut":null,"name":"trace","#,
                r#""first":"31fe","second":null}"#,
                "\n"
            ),
            "{format:?}"
        );
    }
}

#[test]
fn the_three_formats_keep_names_and_say_times_with_z() {
    let dir = tempfile::tempdir().unwrap();
    let plan = filled(dir.path(), SinkFileFormat::Ndjson);
    let sql = "SELECT target_time, covered_90, experts, NULL AS \"None\" FROM scores";
    assert_eq!(
        ask(&plan, sql, OutputFormat::Csv),
        "target_time,covered_90,experts,None\n\
             2024-01-01T02:00:00Z,true,\"{\"\"naive\"\":1.0,\"\"rnn\"\":1.5}\",\n"
    );
    assert_eq!(
        ask(&plan, sql, OutputFormat::Json),
        "{\"target_time\":\"2024-01-01T02:00:00Z\",\"covered_90\":true,\
             \"experts\":{\"naive\":1.0,\"rnn\":1.5},\"None\":null}\n"
    );
    assert_eq!(
        ask(&plan, sql, OutputFormat::Table),
        "\
+----------------------+------------+------------------------+------+
| target_time          | covered_90 | experts                | None |
+----------------------+------------+------------------------+------+
| 2024-01-01T02:00:00Z | true       | {naive: 1.0, rnn: 1.5} | NULL |
+----------------------+------------+------------------------+------+
"
    );
}

#[test]
fn no_file_yet_is_no_row() {
    let dir = tempfile::tempdir().unwrap();
    for dir in [dir.path().to_owned(), dir.path().join("not made yet")] {
        for format in [SinkFileFormat::Ndjson, SinkFileFormat::Parquet] {
            let plan = in_files(&dir, format);
            assert_eq!(ask(&plan, "SELECT count(*) AS n FROM scores", OutputFormat::Json), "{\"n\":0}\n");
            assert_eq!(ask(&plan, "SELECT series, error FROM scores", OutputFormat::Json), "");
            assert_eq!(ask(&plan, "SELECT series, error FROM scores", OutputFormat::Csv), "series,error\n");
            let table = ask(&plan, "SELECT series FROM scores", OutputFormat::Table);
            assert_eq!(table, "+--------+\n| series |\n+--------+\n+--------+\n");
        }
    }
}

#[test]
fn half_a_line_at_the_end_waits_and_a_broken_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let plan = filled(dir.path(), SinkFileFormat::Ndjson);
    let path = dir.path().join("scores-0.ndjson");
    let whole = std::fs::read_to_string(&path).unwrap();
    let count = "SELECT count(*) AS n FROM scores";
    std::fs::write(&path, format!("{whole}{}", &whole[..40])).unwrap();
    assert_eq!(ask(&plan, count, OutputFormat::Json), "{\"n\":1}\n");
    std::fs::write(&path, format!("{whole}{}\n{whole}", &whole[..40])).unwrap();
    let error = refused(&plan, count);
    assert!(error.contains("scores-0.ndjson: line 2: "), "{error}");
}

#[test]
fn nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let plan = filled(dir.path(), SinkFileFormat::Parquet);
    let copied = dir.path().join("copied.csv");
    for sql in [
        "INSERT INTO scores SELECT * FROM scores",
        "DELETE FROM scores",
        "DROP TABLE scores",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE EXTERNAL TABLE mine STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO scores SELECT * FROM scores",
        &format!("COPY scores TO '{}'", copied.display()),
    ] {
        let error = refused(&plan, sql);
        assert!(error.contains("only queries that read are answered"), "{sql}: {error}");
    }
    assert!(!copied.exists());
    assert_eq!(ask(&plan, "SELECT count(*) AS n FROM scores", OutputFormat::Json), "{\"n\":1}\n");
    refused(&plan, "SELECT * FROM '/etc/passwd'");
}

#[test]
fn faults_are_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = filled(dir.path(), SinkFileFormat::Ndjson);
    plan.sinks.forecasts = Some(SinkSpec::Stdout(StdoutSpec));
    plan.sinks.rejects = None;
    for (sql, expected) in [
        ("SELECT * FROM forecast", "query: there is no table forecast: the tables are scores"),
        ("SELECT * FROM forecasts", "query: forecasts go to stdout: nothing to query"),
        ("SELECT * FROM rejects", "query: rejects have no sink: nothing to query"),
        (
            "SELECT * FROM elsewhere.scores",
            "query: there is no table elsewhere.scores: the tables are scores",
        ),
        ("SELECT sreies FROM scores", "No field named sreies"),
        ("SELEC 1", "Expected: an SQL statement, found: SELEC"),
        ("", "No SQL statements"),
        ("SELECT 1; SELECT 2", "single SQL statement"),
        ("SELECT no_such(1)", "Invalid function 'no_such'"),
        ("SELECT 1 / (horizon - 1) FROM scores", "Divide by zero"),
    ] {
        let error = refused(&plan, sql);
        assert!(error.contains(expected), "{sql}: {error}");
        assert!(!error.contains("backtrace") && !error.contains("ParserError("), "{sql}: {error}");
    }
}

#[test]
fn tables_can_be_described() {
    let dir = tempfile::tempdir().unwrap();
    let plan = filled(dir.path(), SinkFileFormat::Ndjson);
    for table in ["forecasts", "scores", "rejects"] {
        assert!(ask(&plan, "SHOW TABLES", OutputFormat::Csv).contains(table));
    }
    assert!(ask(&plan, "DESCRIBE scores", OutputFormat::Csv).contains("covered_90,Boolean,YES"));
    assert!(ask(&plan, "EXPLAIN SELECT * FROM scores", OutputFormat::Table).contains("scores"));
    let hour = "SELECT date_trunc('day', issued_at) AS day, now() > issued_at AS past FROM scores";
    assert_eq!(ask(&plan, hour, OutputFormat::Json), "{\"day\":\"2024-01-01T00:00:00Z\",\"past\":true}\n");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let plan = filled(dir.path(), SinkFileFormat::Ndjson);
    for format in [OutputFormat::Csv, OutputFormat::Json, OutputFormat::Table] {
        run(&plan, "SELECT * FROM forecasts", format, &mut Gone).unwrap();
    }
}
