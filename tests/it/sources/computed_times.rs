//! Times that an SQL expression makes of several columns, from the file to the forecasts; and every
//! text of case 27, read as it is or by the key that its refusal names.

use std::collections::BTreeMap;

use crate::sources::times::{pipeline, rejects, windows};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};

const SKIP: &str = "tumbling: 1h, gaps: skip";

fn starts(bench: &TestPipeline) -> Vec<(String, f64)> {
    windows(bench).into_iter().map(|(_, start, value)| (start, value)).collect()
}

fn hours(hours: &[(u32, f64)]) -> Vec<(String, f64)> {
    hours.iter().map(|(hour, value)| (format!("2024-05-01T{hour:02}:00:00Z"), *value)).collect()
}

/// The date and the hour in two columns: nothing could read them together.
#[test]
fn a_date_and_an_hour_in_two_columns_are_one_time() {
    let csv = "id,date,hour,v\nx,2024-05-01,0,1\nx,2024-05-01,7,2\nx,2024-05-01,13,3\n";
    let json = "{\"id\":\"x\",\"date\":\"2024-05-01\",\"hour\":0,\"v\":1}\n\
                {\"id\":\"x\",\"date\":\"2024-05-01\",\"hour\":\"07\",\"v\":2}\n\
                {\"id\":\"x\",\"date\":\"2024-05-01\",\"hour\":13,\"v\":3}\n";
    for (file, input) in [("in.csv", csv), ("in.ndjson", json)] {
        for expr in [
            "concat(date, ' ', hour, ':00')",
            "date || 'T' || lpad(hour, 2, '0')",
            "to_timestamp(concat(date, 'T', lpad(hour, 2, '0'), ':00:00'))",
        ] {
            for (runner, batch) in [(Runner::Inline, 100), (Runner::Threads(2), 1)] {
                let bench = pipeline(file, "id", &format!("{{ expr: \"{expr}\" }}"), SKIP, "v");
                bench.write(file, input);
                bench.run(runner, batch);
                assert_eq!(rejects(&bench), [], "{expr}");
                assert_eq!(starts(&bench), hours(&[(0, 1.0), (7, 2.0), (13, 3.0)]), "{file}: {expr}");
            }
        }
    }
}

/// What comes out of the expression is read as a column of that kind would be.
#[test]
fn its_value_is_read_by_format_zone_and_unit() {
    let input = "id,day,clock,seconds,jd,v\nx,01.05.2024,15:30,1714570200,2460432.0625,1\n";
    for time in [
        "{ expr: \"concat(day, ' ', clock)\", format: '%d.%m.%Y %H:%M', zone: Europe/Berlin }",
        "{ expr: \"to_timestamp(concat(day, ' ', clock), '%d.%m.%Y %H:%M')\", zone: Europe/Berlin }",
        "{ expr: seconds + 0 }",
        "{ expr: seconds * 1000, unit: ms }",
        "{ expr: jd - 2440587.5, unit: days }",
        "{ expr: \"coalesce(seconds, jd)\" }",
    ] {
        let bench = pipeline("in.csv", "id", time, SKIP, "v");
        bench.write("in.csv", input);
        bench.run(Runner::Inline, 10);
        assert_eq!(rejects(&bench), [], "{time}");
        assert_eq!(starts(&bench), hours(&[(13, 1.0)]), "{time}");
    }
}

/// Types of a schema are kept: a date and an integer here.
#[test]
fn columns_of_a_schema_keep_their_types() {
    let bench = pipeline("in.ndjson", "id", "{ expr: \"concat(day, ' ', hour, ':00')\" }", SKIP, "hour");
    let yaml = std::fs::read_to_string(bench.file()).unwrap();
    let bench = TestPipeline::new(&yaml.replace("ndjson }", "ndjson }, schema: a.avsc"));
    bench.write(
        "a.avsc",
        r#"{"type": "record", "name": "r", "fields": [
            {"name": "id", "type": "string"}, {"name": "hour", "type": "int"},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}}]}"#,
    );
    bench.write("in.ndjson", "{\"id\":\"x\",\"day\":\"2024-05-01\",\"hour\":7}\n");
    bench.run(Runner::Inline, 10);
    assert_eq!(rejects(&bench), []);
    assert_eq!(starts(&bench), hours(&[(7, 7.0)]));
}

#[test]
fn a_record_for_which_it_fails_or_is_null_is_a_reject() {
    let lines = [
        r#"{"id":"x","d":"2024-05-01","s":1,"v":1}"#,
        r#"{"id":"x","d":"2024-05-01","s":0,"v":1}"#,
        r#"{"id":"x","d":"2024-05-01","v":1}"#,
        r#"{"id":"x","d":"2024-05-32","s":1,"v":1}"#,
        r#"{"id":"x","d":"2024-05-01","s":"one","v":1}"#,
        r#"{"id":"x","d":"2024-05-01","s":1,"v":2}"#,
    ];
    let expr = "{ expr: \"CASE WHEN cast(7 AS BIGINT) / cast(s AS BIGINT) > 0 THEN d END\" }";
    for batch in [1, 4, 100] {
        let bench = pipeline("in.ndjson", "id", expr, "tumbling: 1d", "v");
        bench.write("in.ndjson", lines.join("\n"));
        bench.run(Runner::Inline, batch);
        let found: Vec<_> = rejects(&bench)
            .into_iter()
            .map(|(offset, reason, detail)| {
                assert_eq!(reason, "bad_time");
                (offset, detail)
            })
            .collect();
        let name = "`CASE WHEN cast(7 AS BIGINT) / cast(s AS …`";
        let expected = [
            (1, format!("time {name}: Divide by zero error")),
            (2, format!("the time {name} is missing or null")),
            (3, format!("time {name}: `2024-05-32` is no time of the calendar")),
            (4, "column `s`: `one` is no number".to_owned()),
        ];
        assert_eq!(found, expected);
        assert_eq!(windows(&bench), [("x".into(), "2024-05-01T00:00:00Z".into(), 1.5)]);
    }
}

#[test]
fn all_verbs_read_it() {
    let row = |n: usize| format!("x,2024-05-{:02},{},{n}", 1 + n / 24, n % 24);
    let csv = format!("id,date,hour,v\n{}\n", (0..200).map(row).collect::<Vec<_>>().join("\n"));
    let time = "{ expr: \"concat(date, ' ', hour, ':00')\", zone: UTC }";
    let bench = pipeline("in.csv", "id", time, "tumbling: 1h", "v").with("state: { dir: state }");
    bench.write("in.csv", &csv);
    for verb in ["check", "backtest", "run", "verify"] {
        let output = tickcast(verb, &bench.file(), &[]);
        let log = text(&output.stderr);
        assert!(output.status.success(), "{verb}: {log}");
        if verb == "run" {
            let said = "the first record's time: 2024-05-01T00:00:00Z, read from `2024-05-01 0:00`";
            assert!(log.contains(said), "{log}");
        }
    }
    assert_eq!(windows(&bench).len(), 200);
}

#[test]
fn what_is_wrong_with_it_is_a_fault_of_the_file() {
    for (time, said) in [
        ("{ expr: 'max(v)' }", "time.expr: this is no expression over the columns of one record"),
        ("{ expr: 'v > 1' }", "time.expr: a time is a text, a number, a date or a timestamp"),
        ("{ expr: 'now()' }", "time.expr: now() differs from run to run"),
        ("{ expr: 'concat(day' }", "time.expr: "),
        ("{ expr: 'concat(day, hour)', column: day }", "only one of column, expr"),
        ("{ expr: 'concat(dya, hour)' }", "has no column `dya`, did you mean `day`?"),
    ] {
        let bench = pipeline("in.csv", "id", time, "tumbling: 1h", "v");
        bench.write("in.csv", "id,day,hour,v\n");
        let output = tickcast("check", &bench.file(), &[]);
        let log = text(&output.stderr);
        assert!(output.status.code() == Some(78) && log.contains(said), "{time}: {log}");
    }
}

const FORMATS: &str = include_str!("../../fixtures/cases/27-formats.json");

/// What settles the texts that could mean another time.
const KEYS: [(&str, &str); 7] = [
    ("01/05/2024 13:30", r#"{ column: t, format: "%d/%m/%Y %H:%M" }"#),
    ("05/01/2024 01:30:00 PM", r#"{ column: t, format: "%m/%d/%Y %I:%M:%S %p" }"#),
    ("24-05-01 13:30:00", r#"{ column: t, format: "%y-%m-%d %H:%M:%S" }"#),
    ("20240501133000", r#"{ column: t, format: "%Y%m%d%H%M%S" }"#),
    ("2024", r#"{ column: t, format: "%Y" }"#),
    ("2460432.0625", r#"{ expr: "t - 2440587.5", unit: days }"#),
    ("-1", r#"{ column: t, unit: s }"#),
];

/// The second of each series' one record, and the refusals by series.
fn read(time: &str, texts: &[&str]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let window = "tumbling: 1s, gaps: skip, watermark: series, select: { n: count(v) }";
    let bench = pipeline("in.ndjson", "id", time, window, "n");
    let record = |(nth, text): (usize, &&str)| format!("{{\"id\": \"{nth}\", \"t\": {text:?}, \"v\": 1}}");
    bench.write("in.ndjson", texts.iter().enumerate().map(record).collect::<Vec<_>>().join("\n"));
    bench.run(Runner::Inline, 5);
    let of = |nth: &str| texts[nth.parse::<usize>().unwrap()].to_owned();
    let times = windows(&bench).into_iter().map(|(nth, start, _)| (of(&nth), start)).collect();
    let refused =
        rejects(&bench).into_iter().map(|(nth, _, detail)| (of(&nth.to_string()), detail)).collect();
    (times, refused)
}

/// Case 27: every text that is a time is read as that time: as it is, or with the key that its
/// refusal names. What is none is refused.
#[test]
fn every_text_of_the_case_is_read_as_its_time_or_settled_by_the_key_that_is_named() {
    let cases: Vec<(String, Option<String>)> = serde_json::from_str(FORMATS).unwrap();
    let texts: Vec<&str> = cases.iter().map(|(text, _)| text.as_str()).collect();
    let (times, refused) = read("t", &texts);
    let second = |time: &str| format!("{}Z", &time[..19]);
    for (text, meant) in &cases {
        let (Some(meant), Some(detail)) = (meant, refused.get(text)) else {
            assert_eq!(times.get(text), meant.as_deref().map(second).as_ref(), "{text}");
            continue;
        };
        let key = KEYS.iter().find(|(of, _)| of == text).unwrap_or_else(|| panic!("{text}: {detail}")).1;
        assert!(detail.contains(&format!("`time: {key}`")), "{key} is not in: {detail}");
        assert_eq!(read(key, &[text]).0.get(text), Some(&second(meant)), "{text}: {key}");
    }
    assert_eq!(refused.len(), KEYS.len() + 2, "{refused:?}");
}
