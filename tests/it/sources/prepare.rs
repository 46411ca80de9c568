//! What is done with records before windows: `where`, `derive`, and the types that expressions ask
//! for.

use serde_json::Value;

use crate::support::pipeline::{Runner, TestPipeline};

const SINKS: &str = "
key: id
time: at
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

/// A record every half hour of a day.
fn records(fields: impl Fn(u64) -> String) -> String {
    let line = |n: u64| {
        format!("{{\"id\":\"m\",\"at\":\"2024-01-01T{:02}:{:02}:00Z\",{}}}\n", n / 2, n % 2 * 30, fields(n))
    };
    (0..48).map(line).collect()
}

fn run(pipeline: &str, input: &str) -> TestPipeline {
    let bench = TestPipeline::new(&format!(
        "name: prepare\nsource: {{ file: {{ path: in.ndjson }} }}{SINKS}{pipeline}"
    ));
    bench.write("in.ndjson", input);
    bench.run(Runner::Threads(1), 7);
    bench
}

/// A number of every line of a stream.
fn numbers(bench: &TestPipeline, stream: &str, field: &str) -> Vec<f64> {
    let text = &bench.out()[&format!("{stream}-0.ndjson")];
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()[field].as_f64().unwrap();
    text.lines().map(number).collect()
}

#[test]
fn records_that_do_not_count_are_left_out_and_columns_are_derived() {
    let fields = |n: u64| {
        let quality = ["\"ok\"", "\"bad\"", "null"][(n % 3) as usize];
        format!(r#""f":{},"quality":{quality},"broken":{}"#, 32 + 18 * (n / 2), n == 3)
    };
    let pipeline = "
derive: { c: (f - 32) / 1.8, k: c + 273 }
where: \"quality = 'ok' AND NOT broken AND k < 473\"
window: { tumbling: 3h, select: { k: avg(k), n: count(*) } }
forecast: { target: k, experts: [naive] }
";
    let bench = run(pipeline, &records(fields));
    // Of six records two are ok, the third among them at every third hour is the broken one.
    let k = |hours: [u64; 2]| 273.0 + (hours[0] + hours[1]) as f64 * 10.0 / 2.0;
    let first = 273.0;
    assert_eq!(numbers(&bench, "forecasts", "forecast")[..3], [first, k([3, 4]), k([6, 7])]);
    assert!(bench.out()["rejects-0.ndjson"].is_empty());
}

/// A text that is no number fails in its own record only.
#[test]
fn a_record_whose_expression_fails_is_a_reject_with_the_reason() {
    let fields = |n: u64| format!(r#""v":"{}""#, if n == 5 { "much".to_owned() } else { n.to_string() });
    let pipeline = "
derive: { x: cast(trim(v) AS DOUBLE) }
window: { tumbling: 1h, select: { x: sum(x) } }
forecast: { target: x, experts: [naive] }
";
    let bench = run(pipeline, &records(fields));
    assert_eq!(numbers(&bench, "forecasts", "forecast")[..4], [1.0, 5.0, 4.0, 13.0]);
    let rejects = &bench.out()["rejects-0.ndjson"];
    assert!(rejects.contains("\"reason\":\"undecodable\"") && rejects.contains("much"), "{rejects}");
    assert_eq!(rejects.lines().count(), 1);
}

/// Found while times by an expression were built: of a row of nulls, on which expressions are tried,
/// `concat` makes an empty text. That is no number, and the pipeline was refused for it.
#[test]
fn what_fails_on_a_row_of_nulls_and_on_no_record_is_good() {
    let number = "cast(concat(v, '') AS DOUBLE)";
    for pipeline in [
        format!("derive: {{ x: \"{number}\" }}\nwindow: {{ tumbling: 1h, select: {{ x: sum(x) }} }}"),
        format!("where: \"{number} >= 0\"\nwindow: {{ tumbling: 1h, select: {{ x: \"sum({number})\" }} }}"),
    ] {
        let pipeline = format!("{pipeline}\nforecast: {{ target: x, experts: [naive] }}\n");
        let bench = run(&pipeline, &records(|n| format!(r#""v":"{n}""#)));
        assert_eq!(numbers(&bench, "forecasts", "forecast")[..4], [1.0, 5.0, 9.0, 13.0], "{pipeline}");
    }
}

/// Functions that DataFusion can only run once it has simplified them: around an aggregate they
/// made every window null without a word, and within one they ended the run at the first record.
#[test]
fn coalesce_and_its_kind_work_within_an_aggregate_and_around_it() {
    let fields =
        |n: u64| if n.is_multiple_of(4) { r#""rain":1.5"#.to_owned() } else { r#""rain":null"#.to_owned() };
    for expression in
        ["sum(coalesce(rain, 0))", "coalesce(sum(rain), 0)", "nvl(sum(rain), 0)", "sum(nvl(rain, 0))"]
    {
        let pipeline = format!(
            "window: {{ tumbling: 1h, select: {{ rain: \"{expression}\" }} }}\nforecast: {{ target: rain, experts: [naive] }}\n"
        );
        let bench = run(&pipeline, &records(fields));
        let found = numbers(&bench, "forecasts", "forecast");
        assert_eq!((found.len(), &found[..4]), (24, &[1.5, 0.0, 1.5, 0.0][..]), "{expression}");
    }
}

#[test]
fn texts_and_booleans_without_a_schema_have_the_type_that_expressions_ask_for() {
    let fields = |n: u64| {
        format!(r#""weather":"{}","windy":{}"#, ["rain", "sun"][(n / 4 % 2) as usize], n.is_multiple_of(2))
    };
    let pipeline = "
window:
  tumbling: 1h
  select: { w: \"count(*) FILTER (WHERE weather = 'rain')\", y: count(*) FILTER (WHERE windy) }
forecast: { target: w, experts: [naive] }
";
    let bench = run(pipeline, &records(fields));
    assert_eq!(numbers(&bench, "forecasts", "forecast")[..4], [2.0, 2.0, 0.0, 0.0]);
}
