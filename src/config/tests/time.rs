//! The `time` block: what it becomes, and the faults of formats and zones.
//! It must not test how a time is read.

use tickcast_connect::{Ambiguous, TimeCount, TimeFrom, TimeSpec};

use super::*;

fn with_time(time: &str) -> String {
    let rest = "window: {tumbling: 1h}\nforecast: {target: temp}";
    format!("source: {{kafka: {{topic: t}}}}\nkey: station\ntime: {time}\n{rest}\n")
}

fn faults_of(time: &str) -> Vec<String> {
    let parsed = parse(&with_time(time), "a.yaml", Path::new(""), &[], &|_| None);
    parsed.unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_column_alone_or_with_how_it_is_written() {
    assert_eq!(plan(&with_time("at")).time, TimeSpec::of("at"));
    assert_eq!(plan(&with_time("{column: at}")).time, TimeSpec::of("at"));
    let local = TimeSpec {
        format: Some("%d.%m.%Y %H:%M".into()),
        zone: Some("Europe/Berlin".into()),
        ambiguous: Ambiguous::Later,
        ..TimeSpec::of("at")
    };
    let text = "{column: at, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin, ambiguous: later}";
    assert_eq!(plan(&with_time(text)).time, local);
    let computed = TimeSpec {
        from: TimeFrom::Expression("concat(date, ' ', hour)".into()),
        zone: Some("Europe/Berlin".into()),
        ..TimeSpec::default()
    };
    assert_eq!(plan(&with_time("{expr: \"concat(date, ' ', hour)\", zone: Europe/Berlin}")).time, computed);
    for (word, unit) in [
        ("s", TimeCount::S),
        ("ms", TimeCount::Ms),
        ("us", TimeCount::Us),
        ("ns", TimeCount::Ns),
        ("days", TimeCount::Days),
    ] {
        let spec = TimeSpec { unit: Some(unit), ..TimeSpec::of("at") };
        assert_eq!(plan(&with_time(&format!("{{column: at, unit: {word}}}"))).time, spec);
    }
}

#[test]
fn what_cannot_be_is_said_where_it_stands() {
    for (time, said) in [
        (
            "{column: at, zone: Europe/Belin}",
            "a.yaml:3:20: time.zone: no time zone \"Europe/Belin\"; did you mean \"Europe/Berlin\"?",
        ),
        ("{column: at, zone: Berlin}", "did you mean \"Europe/Berlin\"?"),
        ("{column: at, zone: '?'}", "time.zone: no time zone \"?\" (write it like Europe/Berlin)"),
        ("{column: at, format: '%H:%M'}", "a.yaml:3:20: time.format: no time is read so: "),
        ("{column: at, format: '%I:%M %Y'}", "`%I` needs `%p`"),
        ("{column: at, format: '%Y', unit: s}", "time.unit: only one of unit, format"),
        ("{column: at, unit: weeks}", "time.unit: "),
        ("{colum: at}", "did you mean \"column\"?"),
        ("{expr: \"a || b\", column: at}", "time.expr: only one of column, expr"),
        ("{expr: ' '}", "time.expr: no expression (write it like concat(date, ' ', hour, ':00'))"),
        ("{unit: s}", "time.column: missing (the column that holds a record's time)"),
        ("station", "time: \"station\" is the key already"),
        ("{column: station}", "time: \"station\" is the key already"),
    ] {
        let faults = faults_of(time);
        assert!(faults.iter().any(|fault| fault.contains(said)), "{time}: {faults:?}");
        assert!(faults.len() <= 2, "{time}: {faults:?}");
    }
}
