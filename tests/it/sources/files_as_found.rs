//! Files as people have them: padded archives, stray quotes, odd headers, schemas with fields that
//! nobody reads. What cannot be read is said with what to do about it.

use std::io::Write;

use super::times::{pipeline, rejects, windows};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{text, tickcast};

/// A record each minute of one series.
fn csv(rows: usize) -> String {
    let row = |n: usize| format!("m,2024-01-01 {:02}:{:02}:00,{n},ok\n", n / 60, n % 60);
    std::iter::once("id,t,v,note\n".to_owned()).chain((0..rows).map(row)).collect()
}

fn bench(file: &str, bytes: impl AsRef<[u8]>) -> TestPipeline {
    let bench = pipeline(file, "id", "t", "tumbling: 1m, gaps: skip", "v");
    bench.write(file, bytes);
    bench
}

/// What a run says, and whether it ends well.
fn run(bench: &TestPipeline) -> (bool, String) {
    let output = tickcast("run", &bench.file(), &[]);
    (output.status.success(), text(&output.stderr).to_owned())
}

/// Case 17: the zeros were taken for another member, and the run ended before it wrote anything.
#[test]
fn zeros_behind_gzip_data_are_told_and_all_records_are_read() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(csv(500).as_bytes()).unwrap();
    let padded = [gz.finish().unwrap(), vec![0; 1000]].concat();
    let bench = bench("in.csv.gz", padded);
    let (is_good, said) = run(&bench);
    assert!(is_good && said.contains("in.csv.gz ends with 1000 zeros behind its gzip data"), "{said}");
    assert_eq!(windows(&bench).len(), 500);
}

#[test]
fn a_zip_archive_is_refused_with_what_to_do() {
    for file in ["in.csv.zip", "in.csv"] {
        let (is_good, said) = run(&bench(file, b"PK\x03\x04\x14\0\0\0 anything"));
        assert!(!is_good && said.contains("a zip archive") && said.contains("unzip"), "{said}");
    }
}

/// Case 39: one quote too many took the 989 rows after it.
#[test]
fn a_stray_quote_costs_one_record() {
    for (stray, why) in [
        ("\"3in pipe", "a quote opens a field and none closes it"),
        ("\"3\"in pipe", "text follows the quote that closes a field"),
    ] {
        let text = csv(1000).replacen(",10,ok", &format!(",10,{stray}"), 1);
        let bench = bench("in.csv", text);
        assert!(run(&bench).0);
        assert_eq!(rejects(&bench), [(10, "undecodable".to_owned(), why.to_owned())]);
        let spoken: Vec<f64> = windows(&bench).into_iter().map(|(.., value)| value).collect();
        let expected: Vec<f64> = (0..1000).filter(|n| *n != 10).map(f64::from).collect();
        assert_eq!(spoken, expected);
    }
}

/// Case 16.
#[test]
fn a_header_that_cannot_be_meant_so_is_told() {
    let text = csv(10).replace("id,t,v,note", "id,t,v,v").replace("ok", "7");
    let (is_good, said) = run(&bench("in.csv", text));
    assert!(is_good && said.contains("the CSV header has 2 columns `v`: the last of them is read"), "{said}");
    // Nobody reads the one that is there twice.
    let (is_good, said) = run(&bench("in.csv", csv(10).replace("note", "id2,id2").replace("ok", "7,7")));
    assert!(is_good && !said.contains("2 columns"), "{said}");

    let latin: Vec<u8> = csv(3).replace("note", "temp (°C)").chars().map(|letter| letter as u8).collect();
    let (is_good, said) = run(&bench("in.csv", latin));
    assert!(!is_good && said.contains("not UTF-8 at byte 13") && said.contains("encoding: latin1"), "{said}");
    let (is_good, said) = run(&bench("in.csv", csv(3).replace('\n', "\r")));
    assert!(!is_good && said.contains("line ends of old Macs"), "{said}");
}

/// Case 12: pandas and others write NaN, which is no JSON. The column is null there, and the record
/// is good.
#[test]
fn a_number_that_is_none_is_null_in_json() {
    let line = |n: usize| {
        let v = ["NaN", "1.5", "Infinity", "-Infinity"][n % 4];
        format!("{{\"id\":\"m\",\"t\":\"2024-01-01T{:02}:00:00Z\",\"v\":{n},\"other\":{v}}}\n", n % 24)
    };
    let bench = pipeline("in.ndjson", "id", "t", "tumbling: 1h, select: { v: sum(v), o: count(other) }", "v");
    bench.write("in.ndjson", (0..24).map(line).collect::<String>());
    assert!(run(&bench).0);
    assert_eq!(rejects(&bench), []);
    let sums: Vec<f64> = windows(&bench).into_iter().map(|(.., sum)| sum).collect();
    assert_eq!(sums, (0..24).map(f64::from).collect::<Vec<_>>());
}

/// Case 41.
#[test]
fn fields_of_a_schema_that_nobody_reads_may_be_of_any_type() {
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "v", "type": ["null", {"type": "double", "logicalType": "celsius"}]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}}]}"#;
    let line = |n: i64| {
        let t = 1_704_067_200_000 + n * 60_000;
        format!("{{\"id\":\"m\",\"t\":{t},\"v\":{n},\"tags\":[\"a\"],\"uid\":\"x\"}}\n")
    };
    let of = |target: &str| {
        let bench = TestPipeline::new(&format!(
            "name: fields
source: {{ file: {{ path: in.ndjson }}, schema: in.avsc }}
key: id
time: t
window: {{ tumbling: 1m }}
forecast: {{ target: {target}, experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }} }}
"
        ));
        bench.write("in.avsc", schema);
        bench.write("in.ndjson", (0..20).map(line).collect::<String>());
        bench
    };

    let good = of("v");
    let (is_good, said) = run(&good);
    assert!(is_good, "{said}");
    assert_eq!(windows(&good).len(), 20);
    let (is_good, said) = run(&of("tags"));
    assert!(
        !is_good && said.contains("field `tags` of the schema: it is a list: take it apart by source.unnest"),
        "{said}"
    );
}
