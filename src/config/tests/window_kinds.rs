//! Session and count windows: what they become, and the keys that have no meaning for them.
//! It must not test windows of a length.

use super::*;

const HOUR_US: i64 = 3_600_000_000;

fn with_window(window: &str) -> String {
    SMALLEST.replace("{tumbling: 1h}", window)
}

#[test]
fn sessions_are_bounded_by_a_day_or_ten_gaps_where_nobody_says_more() {
    let kind = |window: &str| plan(&with_window(window)).window.kind;
    let session = |gap_us, max_us| WindowKind::Session { gap_us, max_us };
    assert_eq!(kind("{session: {gap: 30m}}"), session(HOUR_US / 2, 24 * HOUR_US));
    assert_eq!(kind("{session: {gap: 5h}}"), session(5 * HOUR_US, 50 * HOUR_US));
    assert_eq!(kind("{session: {gap: 30m, max: 30m}}"), session(HOUR_US / 2, HOUR_US / 2));
    assert_eq!(kind("{count: 100}"), WindowKind::Count { records: 100 });

    let plan = plan(&with_window("{session: {gap: 30m}, lateness: 5m, watermark: series, gaps: auto}"));
    assert_eq!(plan.window.lateness_us, HOUR_US / 12);
    let forecast = &plan.targets.shared();
    assert_eq!((forecast.season, forecast.week, &forecast.experts[..]), (None, None, ExpertKind::ALL));
    let shape = serde_json::to_string(&plan.window).unwrap();
    let expected = r#"{"gap_us":1800000000,"max_us":86400000000,"lateness_us":300000000,"watermark":"series","gaps":"Auto""#;
    assert!(shape.starts_with(expected), "{shape}");
}

#[test]
fn keys_without_a_meaning_are_refused_by_name() {
    let begins = "such windows begin with a record of their series (leave it out)";
    let orders = "such windows count records as they come, and none is late (leave it out)";
    let cases = [
        (
            "{session: {gap: 30m}, zone: UTC}",
            format!("4:31: window.zone: has no meaning with session: {begins}"),
        ),
        (
            "{session: {gap: 30m}, offset: 6h}",
            format!("4:31: window.offset: has no meaning with session: {begins}"),
        ),
        (
            "{session: {gap: 30m}, stamps: end}",
            format!("4:31: window.stamps: has no meaning with session: {begins}"),
        ),
        (
            "{session: {gap: 30m}, gaps: carry}",
            "4:31: window.gaps: has no meaning with session: no such window is silent (leave it out)".into(),
        ),
        ("{count: 9, stamps: start}", format!("4:20: window.stamps: has no meaning with count: {begins}")),
        ("{count: 9, lateness: 5m}", format!("4:20: window.lateness: has no meaning with count: {orders}")),
        (
            "{count: 9, watermark: series}",
            format!("4:20: window.watermark: has no meaning with count: {orders}"),
        ),
        (
            "{count: 9, gaps: {temp: zero}}",
            "4:20: window.gaps: has no meaning with count: no such window is silent (leave it out)".into(),
        ),
        (
            "{session: {gap: 30m, max: 10m}}",
            "4:30: window.session.max: 10m is shorter than gap, 30m: a session would end before its silence \
             (write what is as long, or longer)"
                .into(),
        ),
        ("{session: {max: 10m}}", "4:10: window.session: needs gap (write it like { gap: 30m })".into()),
        (
            "{session: {gap: 30}}",
            "4:20: window.session.gap: a duration without its unit \
          (which unit: 30ms, 30s, 30m, 30h or 30d?)"
                .into(),
        ),
        ("{count: 0}", "4:10: window.count: 0 is too small, at least 1".into()),
        (
            "{session: {gap: 30m}, count: 100}",
            "4:31: window.count: only one of tumbling, hopping, session, count; session is there already"
                .into(),
        ),
    ];
    for (window, fault) in cases {
        assert_eq!(faults(&with_window(window)), [fault], "{window}");
    }

    let season = with_window("{count: 9}").replace("{target: temp}", "{target: temp, season: 24}");
    let fault = "5:26: forecast.season: has no meaning with session and count: nobody knows how many of their \
                 windows a season has (leave it out)";
    assert_eq!(faults(&season), [fault]);
    let seasonal =
        with_window("{count: 9}").replace("{target: temp}", "{target: temp, experts: [seasonal_naive]}");
    let fault = "5:36: forecast.experts[0]: seasonal_naive needs a season (leave it out)";
    assert_eq!(faults(&seasonal), [fault]);
    let none = with_window("{count: 9}").replace("{target: temp}", "{target: temp, season: none}");
    assert_eq!(plan(&none).targets.shared().season, None);
}
