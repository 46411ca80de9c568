//! Whether a state can be kept: under a pipeline file that has changed since, or by another
//! pipeline; and what to say where it cannot.
//! It must not know what the settings mean: it compares fingerprints, JSON objects of what shapes a
//! state.

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};
use crate::place::PartitionId;

/// Settings that shape what comes, but no state: a change of them holds from the position where it
/// was made.
const KEEPABLE: [&str; 10] = [
    "future_us",
    "limits.series",
    "window.lateness_us",
    "window.gaps",
    "forecast.model.optimizer.lr",
    "forecast.model.optimizer.schedule",
    "forecast.model.clip",
    "forecast.model.ema",
    "forecast.model.seed",
    "forecast.model.backend",
];

/// Where a snapshot lies, seen from what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestorePoint {
    /// Nothing after it is committed, so that what the pipeline file says now may begin here.
    AtEnd,
    /// What comes after it is committed, and has to be made again as it was.
    BeforeEnd,
}

/// Checks that a partition's state, which is of the pipeline `was`, can go on in the pipeline `is`.
/// Errors: `State`, with both names.
pub(super) fn check_pipeline(partition: PartitionId, was: &str, is: &str) -> Result<()> {
    if was == is {
        return Ok(());
    }
    let what = format!(
        "the state of partition {partition} belongs to pipeline {was}, and this is pipeline {is}: give this one a state of \
         its own. If the pipeline was only renamed, take its old name back or learn its state anew with `run --rebuild`"
    );
    Err(Error::new(Kind::State, what))
}

/// Checks that a partition's state, made under the fingerprint `was`, can go on under `is`. Errors:
/// `State`, with what differs and what to do.
pub(super) fn check_fingerprint(
    partition: PartitionId,
    was: &str,
    is: &str,
    point: RestorePoint,
) -> Result<()> {
    let differences = differences(was, is);
    if differences.is_empty() {
        return Ok(());
    }

    let all = listed(differences.iter());
    let fixed = listed(differences.iter().filter(|difference| !difference.is_keepable()));
    let what = if !fixed.is_empty() {
        format!(
            "the state of partition {partition} belongs to another pipeline file: {fixed}. Take that back, or rebuild the \
             state from the input with `run --rebuild`"
        )
    } else if point == RestorePoint::BeforeEnd {
        format!(
            "the pipeline file has changed ({all}), but the run before it did not end in order: what came after the state \
             of partition {partition} has to be made again as it was. Take the change back, run until a signal ends it, \
             then change the file"
        )
    } else {
        tracing::info!(partition = partition.0, changed = all, "the state is kept");
        return Ok(());
    };
    Err(Error::new(Kind::State, what))
}

fn listed<'a>(differences: impl Iterator<Item = &'a Difference>) -> String {
    differences.map(|difference| difference.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// One place where two fingerprints differ.
struct Difference {
    path: String,
    /// Such as `window.size_us was 1, is 2`.
    text: String,
}

impl Difference {
    /// Whether a state can be kept in spite of it.
    fn is_keepable(&self) -> bool {
        let below = |kept: &str| {
            self.path.strip_prefix(kept).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        KEEPABLE.iter().any(|kept| below(kept))
    }
}

/// Where two fingerprints, JSON objects, differ.
fn differences(was: &str, is: &str) -> Vec<Difference> {
    fn walk(path: &str, was: &Value, is: &Value, found: &mut Vec<Difference>) {
        match (was, is) {
            (Value::Object(before), Value::Object(after)) => {
                // What one of them does not say is null: a default may be left out.
                let of = |side: &Map<String, Value>, key| side.get(key).cloned().unwrap_or_default();
                let gone = before.keys().filter(|key| !after.contains_key(*key));
                for key in after.keys().chain(gone) {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, &of(before, key), &of(after, key), found);
                }
            }
            _ if was != is => {
                found.push(Difference { path: path.to_owned(), text: format!("{path} was {was}, is {is}") })
            }
            _ => {}
        }
    }

    let mut found = Vec::new();
    match (serde_json::from_str(was), serde_json::from_str(is)) {
        (Ok(was), Ok(is)) => walk("", &was, &is, &mut found),
        _ => found.push(Difference { path: String::new(), text: "it cannot be read".to_owned() }),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(was: &str, is: &str, point: RestorePoint) -> Option<String> {
        check_fingerprint(PartitionId(3), was, is, point).err().map(|error| error.to_string())
    }

    #[test]
    fn differences_are_named_by_their_path() {
        let texts = |was, is| listed(differences(was, is).iter());
        assert_eq!(texts(r#"{"a":1}"#, r#"{"a":1}"#), "");
        assert_eq!(texts(r#"{"a":1,"b":{"c":2}}"#, r#"{"a":1,"b":{"c":3}}"#), "b.c was 2, is 3");
        assert_eq!(texts("{}", r#"{"a":1}"#), "a was null, is 1");
        assert_eq!(texts(r#"{"a":1}"#, "{}"), "a was 1, is null");
        assert_eq!(texts(r#"{"a":null}"#, "{}"), "");
        assert_eq!(texts("broken", "{}"), "it cannot be read");
    }

    #[test]
    fn a_setting_that_shapes_the_state_cannot_change() {
        for point in [RestorePoint::AtEnd, RestorePoint::BeforeEnd] {
            let said = said(r#"{"window":{"size_us":1}}"#, r#"{"window":{"size_us":2}}"#, point).unwrap();
            assert!(said.contains("window.size_us was 1, is 2") && said.contains("run --rebuild"), "{said}");
        }
    }

    #[test]
    fn a_setting_that_shapes_only_what_comes_can_change_where_nothing_has_to_be_made_again() {
        let (was, is) = (r#"{"window":{"gaps":"skip"}}"#, r#"{"window":{"gaps":"carry"}}"#);
        assert_eq!(said(was, is, RestorePoint::AtEnd), None);
        let said = said(was, is, RestorePoint::BeforeEnd).unwrap();
        assert!(said.contains("did not end in order"), "{said}");
    }

    /// The default backend is not written down: states are older than the choice.
    #[test]
    fn the_backend_can_change_both_ways_after_an_orderly_end() {
        let (fused, plain) =
            (r#"{"forecast":{"model":{}}}"#, r#"{"forecast":{"model":{"backend":"Nalgebra"}}}"#);
        for (was, is) in [(fused, plain), (plain, fused)] {
            assert_eq!(said(was, is, RestorePoint::AtEnd), None);
            assert!(said(was, is, RestorePoint::BeforeEnd).unwrap().contains("forecast.model.backend was"));
        }
    }

    #[test]
    fn a_state_of_another_pipeline_is_refused_by_name() {
        assert!(check_pipeline(PartitionId(3), "weather", "weather").is_ok());
        let said = check_pipeline(PartitionId(3), "weather", "prices").unwrap_err().to_string();
        assert!(said.contains("belongs to pipeline weather, and this is pipeline prices"), "{said}");
    }

    #[test]
    fn only_whole_paths_are_keepable() {
        let is_keepable = |path: &str| Difference { path: path.into(), text: String::new() }.is_keepable();
        assert!(is_keepable("window.gaps") && is_keepable("window.gaps.temp"));
        assert!(!is_keepable("window.gaps_of") && !is_keepable("window"));
    }
}
