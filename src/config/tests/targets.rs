//! `forecast.target`: one column or several.
//! It must not test what is forecast of them.

use super::*;

const SELECT: &str = "  select: {wind: max(wind), temp: avg(temp), rain: sum(rain)}\n";

/// A pipeline with three columns and this `forecast` block.
fn selecting(forecast: &str) -> String {
    forecasting(forecast).replace("{tumbling: 1h}\n", &format!("\n  tumbling: 1h\n{SELECT}"))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.targets.names().collect()
}

#[test]
fn each_target_sees_itself_first_then_the_others_as_it_would_alone() {
    let both = plan(&selecting("{target: [temp, wind], levels: [0.5], season: 3}"));
    assert_eq!(names(&both), ["temp", "wind"]);
    for of in both.targets.iter() {
        let alone = plan(&selecting(&format!("{{target: {}, levels: [0.5], season: 3}}", of.target)));
        assert_eq!(serde_json::json!(of), serde_json::json!(alone.targets));
    }
    let few = plan(&selecting("{target: [temp, wind], features: [rain]}"));
    let features: Vec<&[String]> = few.targets.iter().map(|of| &of.features[..]).collect();
    assert_eq!(features, [["temp", "rain"], ["wind", "rain"]]);
}

#[test]
fn a_list_of_one_is_one() {
    let [list, text] = ["{target: [temp]}", "{target: temp}"].map(|block| plan(&forecasting(block)));
    assert_eq!(serde_json::json!(list.targets), serde_json::json!(text.targets));
    assert!(!list.targets.are_several());
}

#[test]
fn without_a_select_each_target_has_its_average() {
    let found = plan(&forecasting("{target: [temp, wind]}"));
    let select = [("temp", "avg(\"temp\")"), ("wind", "avg(\"wind\")")];
    assert_eq!(found.window.select, select.map(|(name, of)| (name.to_owned(), of.to_owned())));
    assert!(found.targets.iter().all(|of| of.features.len() == 2));
}

#[test]
fn limits_hold_for_each_target() {
    let found = plan(&(forecasting("{target: [temp, wind]}") + "limits: {series: 7}\n"));
    assert!(found.targets.iter().all(|of| of.most_series == 7));
}

#[test]
fn what_is_wrong_with_a_list_is_told_at_its_place() {
    assert_eq!(
        faults(&selecting("{target: [tempp, wind, wind, humidity]}")),
        [
            r#"7:21: forecast.target[0]: "tempp" is not in window.select; did you mean "temp"?"#,
            "7:34: forecast.target[2]: listed twice",
            r#"7:40: forecast.target[3]: "humidity" is not in window.select (valid here: wind, temp, rain)"#,
        ]
    );
    assert_eq!(faults(&forecasting("{target: []}")), ["5:12: forecast.target: an empty list"]);
    assert_eq!(faults(&forecasting("{target: [temp, temp]}")), ["5:27: forecast.target[1]: listed twice"]);
    assert_eq!(
        faults(&forecasting("{target: [temp, \"max(wind)\"]}")),
        ["5:27: forecast.target[1]: \"max(wind)\" cannot be a column name (letters, digits and _, not a \
             digit first, not __ first)"]
    );
    assert_eq!(
        faults(&forecasting("{target: {of: temp}}")),
        ["5:12: forecast.target: needs text or a list of texts, not a block of keys"]
    );
    assert_eq!(
        faults(&forecasting("{target: [temp, {of: wind}]}")),
        ["5:27: forecast.target[1]: needs text, not a block of keys"]
    );
    assert_eq!(faults(&forecasting("{}")), ["5:1: forecast.target: missing (the column to forecast)"]);
}
