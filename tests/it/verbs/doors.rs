//! The verbs and what they are pointed at: outputs that are full, files that are none, names that
//! are not only names.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::pipeline::TestPipeline;
use crate::support::process::{binary, text, tickcast};

const GENERATED: &str = "
name: ticks
source: { generate: { series: 3, ticks: 3000, process: weather } }
window: { tumbling: 1h, select: { temp: avg(temp) } }
forecast: { target: temp, model: { hidden: 4 } }
sinks: { forecasts: { file: { path: out/ } } }
";

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// F17: `schema`, `check` and `backtest --json` were done (exit code 0) with all of it lost. Found by
/// hostile testing.
#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_none() {
    let bench = TestPipeline::new(GENERATED);
    let file = bench.file();
    let file = file.to_str().unwrap();
    for arguments in [
        &["schema"][..],
        &["schema", "--markdown"],
        &["--help"],
        &["check", file],
        &["backtest", file, "--json"],
    ] {
        let run = |out: Stdio| binary().args(arguments).stdout(out).output().unwrap();
        let full = run(File::options().write(true).open("/dev/full").unwrap().into());
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {}", text(&full.stderr));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = run(writer.into());
        assert_eq!(closed.status.code(), Some(0), "{arguments:?}: {}", text(&closed.stderr));
    }
}

/// F17, the same kind: on a stderr that is full a verb panicked in place of its own exit code.
#[test]
fn a_message_that_cannot_be_written_changes_no_exit_code() {
    let bench = TestPipeline::new("name: x\nsorce: {}\n");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = binary().arg("check").arg(bench.file()).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(78));
}

/// F19: a device was read until the memory was full, and `check` hung on a FIFO. Found by hostile
/// testing.
#[test]
fn what_is_no_file_is_refused_as_pipeline_as_schema_and_as_secret() {
    let kafka = "source: { kafka: { topic: t, properties: { sasl.password_file: PLACE } } }\nkey: k\ntime: t\n\
                 window: { tumbling: 1h }\nforecast: { target: x }\n";
    let schema = "source: { kafka: { topic: t }, schema: PLACE }\nkey: k\ntime: t\n\
                  window: { tumbling: 1h }\nforecast: { target: x }\n";
    let bench = TestPipeline::new("");
    let pipe = bench.path("pipe");
    fifo(&pipe);
    for place in [pipe.to_str().unwrap(), "/dev/zero"] {
        let files = [
            Path::new(place).to_owned(),
            bench.write("secret.yaml", kafka.replace("PLACE", place)),
            bench.write("schema.yaml", schema.replace("PLACE", place)),
        ];
        for file in files {
            let output = tickcast("check", &file, &[]);
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{file:?}: {stderr}");
            assert!(stderr.contains("not a file but a FIFO or a device"), "{file:?}: {stderr}");
        }
    }
}

/// F15: librdkafka's text about a property with a list of values quotes the value. Found by hostile
/// testing.
#[test]
fn a_value_that_a_property_does_not_take_is_not_shown() {
    let bench = TestPipeline::new(
        "source: { kafka: { topic: t, properties: { security.protocol: hunter2SECRET } } }\nkey: k\ntime: t\n\
         window: { tumbling: 1h }\nforecast: { target: x }\n",
    );
    for verb in ["check", "run"] {
        let output = tickcast(verb, &bench.file(), &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains("security.protocol") && !stderr.contains("hunter2"), "{stderr}");
    }
}

/// F18: a series with an escape sequence as its name steered the terminal. Found by hostile testing.
#[test]
fn a_table_steers_no_terminal_and_csv_for_a_program_keeps_its_bytes() {
    let bench = TestPipeline::new(GENERATED);
    let query = "SELECT chr(27) || '[31mred' AS series, 1 AS \"a\u{9b}b\"";
    let asked = |format: &str| {
        let output = tickcast("sql", &bench.file(), &[query, "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let table = asked("table");
    assert!(table.contains(r"\u{1b}[31mred") && table.contains(r"a\u{9b}b"), "{table}");
    assert!(!table.contains('\x1b') && !table.contains('\u{9b}'), "{table}");
    assert_eq!(asked("csv"), "series,a\u{9b}b\n\x1b[31mred,1\n");
    assert!(!asked("json").contains('\x1b'));
}

/// F6: `--report` in place of a link left the link's target as it was. Found by hostile testing.
#[test]
fn a_report_goes_where_a_link_leads_and_into_a_device() {
    let bench = TestPipeline::new(GENERATED);
    let (link, target) = (bench.path("link.html"), bench.write("report.html", "old"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for place in [link.to_str().unwrap(), "/dev/stdout", "/dev/null"] {
        let output = tickcast("backtest", &bench.file(), &["--report", place]);
        assert_eq!(output.status.code(), Some(0), "{place}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout).contains("<html"), place == "/dev/stdout", "{place}");
    }
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read_to_string(&target).unwrap().contains("<html"));
}
