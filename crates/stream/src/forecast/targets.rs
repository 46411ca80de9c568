//! What is forecast: one or several selected columns, each by a forecaster of its own, all under
//! the same settings.
//! It must not know how one of them is forecast.

use serde::ser::{Error, Serialize, Serializer};
use serde_json::json;
use tickcast_forecast::ForecastSpec;

/// A spec a target, in the order of the pipeline file. They differ in their target and features
/// alone.
#[derive(Debug, Clone)]
pub struct Targets {
    /// Of the first target.
    first: ForecastSpec,
    others: Vec<ForecastSpec>,
}

impl Targets {
    /// Of several targets; the order is that of their records.
    pub fn new(first: ForecastSpec, others: Vec<ForecastSpec>) -> Self {
        Targets { first, others }
    }

    /// What is the same for all of them: everything but their targets and features.
    pub fn shared(&self) -> &ForecastSpec {
        &self.first
    }

    /// The spec of each target.
    pub fn iter(&self) -> impl Iterator<Item = &ForecastSpec> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The columns that are forecast.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|spec| spec.target.as_str())
    }

    /// The place of a target among them.
    pub fn place(&self, target: &str) -> Option<usize> {
        self.names().position(|name| name == target)
    }

    /// Whether there are several.
    pub fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// They keep so many series.
    pub fn keep_series(&mut self, most_series: usize) {
        self.first.most_series = most_series;
        self.others.iter_mut().for_each(|spec| spec.most_series = most_series);
    }
}

impl From<ForecastSpec> for Targets {
    fn from(only: ForecastSpec) -> Self {
        Targets::new(only, Vec::new())
    }
}

/// As a pipeline's fingerprint has it: a single target as its spec, so that older states are of the
/// same; several as what they share, with lists where they differ.
impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.are_several() {
            return self.first.serialize(serializer);
        }
        let mut shape = serde_json::to_value(&self.first).map_err(S::Error::custom)?;
        shape["target"] = json!(self.names().collect::<Vec<_>>());
        shape["features"] = json!(self.iter().map(|spec| &spec.features).collect::<Vec<_>>());
        shape.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_target_has_the_fingerprint_of_its_spec_and_several_have_lists() {
        let one = Targets::from(ForecastSpec::new("temp"));
        assert_eq!(json!(one), json!(ForecastSpec::new("temp")));

        let two = Targets::new(ForecastSpec::new("temp"), vec![ForecastSpec::new("wind")]);
        let shape = json!(two);
        assert_eq!(shape["target"], json!(["temp", "wind"]));
        assert_eq!(shape["features"], json!([["temp"], ["wind"]]));
        assert_eq!(shape["levels"], json!(one)["levels"]);
        assert_eq!((two.place("wind"), two.place("rain")), (Some(1), None));
    }
}
