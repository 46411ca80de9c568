//! Series whose clocks are far behind the others' are named, once, with what becomes of them.

use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_stream::message::{RawRecord, Records};
use tickcast_stream::runtime::PartitionOutput;
use tickcast_stream::{BehindFate, EventTime, Offset, PartitionId};

use crate::sources::times::{pipeline, rejects};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{text, tickcast};

/// A record each minute of two hours of `a`, and of a device that is `b`.
fn lines(b: impl Fn(usize) -> Option<usize>) -> Vec<String> {
    let line = |id: &str, minute: usize| {
        format!("{{\"id\":\"{id}\",\"t\":\"2024-05-01T{:02}:{:02}:00Z\",\"v\":1}}", minute / 60, minute % 60)
    };
    let of_minute = |minute: usize| {
        let of_b = b(minute).map(|minute| line("b", minute));
        [Some(line("a", minute + 180)), of_b]
    };
    (0..120).flat_map(of_minute).flatten().collect()
}

/// What a run says of series, a line each.
fn said(bench: &TestPipeline, about: &str) -> Vec<String> {
    let output = tickcast("run", &bench.file(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stderr).lines().filter(|line| line.contains(about)).map(str::to_owned).collect()
}

/// Its windows would stay open without a word.
#[test]
fn a_series_that_stands_still_is_named_where_each_has_its_own_watermark() {
    let window = "tumbling: 1m, watermark: series, gaps: skip";
    let bench = pipeline("in.ndjson", "id", "t", window, "v");
    let still = lines(|minute| (minute < 10).then_some(minute + 180));
    bench.write("in.ndjson", still.join("\n"));
    let said = said(&bench, "stands still");
    assert_eq!(said.len(), 1, "{said:?}");
    let words =
        "series `b` stands still at 2024-05-01T03:09:00Z, 1h 50m behind the latest, 2024-05-01T04:59:00Z";
    assert!(said[0].contains(words) && said[0].contains("its windows stay open"), "{said:?}");

    let mut partition =
        factory(&bench.load().plan, SourceSchema::default()).unwrap().partition(PartitionId(0)).unwrap();
    let mut stale = Vec::new();
    for (nth, line) in still.iter().enumerate() {
        let record = RawRecord {
            offset: Offset(nth as i64),
            payload: Some(line.clone().into()),
            ..RawRecord::default()
        };
        partition.take(Records::Raw(vec![record]), &mut |_: PartitionOutput| Ok(())).unwrap();
        let stats = partition.stats();
        assert_eq!(stats.series_stale > 0, stats.far_behind.is_some());
        stale.push(stats.series_stale);
        if let Some(behind) = stats.far_behind {
            assert_eq!((behind.series.as_str(), behind.fate), ("b", BehindFate::Open));
            assert!(behind.latest > EventTime(behind.at.0 + 20 * 60_000_000));
        }
    }
    // 20 windows after its last record, and not before.
    assert_eq!(stale.iter().position(|count| *count == 1), Some(20 + 21));
    assert_eq!(stale.last(), Some(&1));
}

/// All that it sends is lost, and only the first reject was in the log.
#[test]
fn a_device_whose_records_are_all_late_is_named() {
    let bench = pipeline("in.ndjson", "id", "t", "tumbling: 1m, lateness: 5m, gaps: skip", "v");
    let late = |minute: usize| (minute >= 5).then_some(minute);
    bench.write("in.ndjson", lines(late).join("\n"));
    let told = said(&bench, "were all late");
    assert_eq!(told.len(), 1, "{told:?}");
    let words = "the last 20 records of series `b` were all late: the newest is of 2024-05-01T00:24:00Z, 3h behind the \
                 latest of its partition, 2024-05-01T03:24:00Z";
    assert!(told[0].contains(words) && told[0].contains("`window.watermark: series`"), "{told:?}");
    assert_eq!(rejects(&bench).len(), 115);

    // As it says: by series nothing of it is lost, and it is not one that stands still.
    let bench = pipeline("in.ndjson", "id", "t", "tumbling: 1m, watermark: series, gaps: skip", "v");
    bench.write("in.ndjson", lines(|minute| Some(minute + 175)).join("\n"));
    assert_eq!(said(&bench, "series `b`"), [] as [&str; 0]);
    assert_eq!(rejects(&bench), []);
}
