//! `--assert`: what a backtest has to come to, like `skill[1]>0.2` or `wind.coverage[1,0.9]>=0.88`.
//! It must not know how a measure is made; a measure that has no value holds nothing.

use std::fmt;
use std::str::FromStr;

use tickcast_forecast::Horizon;
use tickcast_stream::evaluate::{HorizonMeasures, LevelMeasures};

use super::result::{Measured, TargetMeasures};

/// What is allowed, for whoever wrote something else.
const ALLOWED: &str = "write METRIC[HORIZON] OP NUMBER, like skill[1]>0.2, mae[1,\"rnn\"]<1.5 or coverage[1,0.9]>=0.88; \
    METRIC is skill, mae (of the forecasts, or of an expert named in quotes), rmse, mase, or winkler, winkler_ratio, coverage, \
    worst_coverage of the intervals of a level, which stands behind the horizon; OP is <, <=, > or >=; with several \
    targets each of them is meant, or the one in front, like wind.skill[1]>0.2";

/// A bound on one measure over all series.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// None: each that there is.
    target: Option<String>,
    metric: Metric,
    /// In windows.
    horizon: Horizon,
    op: Op,
    bound: f64,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Metric {
    Rmse,
    Mase,
    Mae,
    Skill,
    ExpertMae(String),
    ExpertSkill(String),
    Interval(IntervalMetric, f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum IntervalMetric {
    Winkler,
    WinklerRatio,
    Coverage,
    WorstCoverage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What came of an assertion about one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked<'a> {
    /// Named where there are several.
    pub target: Option<&'a str>,
    /// The measure, if it has a value.
    pub value: Option<f64>,
    /// Whether what was asserted is true.
    pub holds: bool,
}

impl Assertion {
    /// The measures that it is about. Empty: there is no such target.
    pub fn check<'a>(&self, measured: &'a Measured) -> Vec<Checked<'a>> {
        let are_several = measured.targets.len() > 1;
        let is_meant = |of: &&TargetMeasures| self.target.as_ref().is_none_or(|target| *target == of.target);
        let check = |of: &'a TargetMeasures| {
            let (value, holds) = self.check_target(of);
            Checked { target: are_several.then_some(&of.target), value, holds }
        };
        measured.targets.iter().filter(is_meant).map(check).collect()
    }

    fn check_target(&self, of: &TargetMeasures) -> (Option<f64>, bool) {
        let horizon = of.horizons.iter().find(|of| of.horizon == self.horizon);
        let value = horizon.and_then(|horizon| self.metric.of(horizon));
        let holds = value.is_some_and(|value| match self.op {
            Op::Less => value < self.bound,
            Op::AtMost => value <= self.bound,
            Op::More => value > self.bound,
            Op::AtLeast => value >= self.bound,
        });
        (value, holds)
    }
}

impl Metric {
    fn of(&self, horizon: &HorizonMeasures) -> Option<f64> {
        let expert = |name: &String| horizon.experts.iter().find(|expert| expert.name == *name);
        match self {
            Metric::Rmse => horizon.rmse,
            Metric::Mase => horizon.mase,
            Metric::Mae => horizon.mae,
            Metric::Skill => horizon.skill,
            Metric::ExpertMae(name) => expert(name)?.mae,
            Metric::ExpertSkill(name) => expert(name)?.skill,
            Metric::Interval(metric, level) => {
                let same = |of: &&LevelMeasures| (of.level - level).abs() < 1e-9;
                metric.of(horizon.levels.iter().find(same)?)
            }
        }
    }
}

impl IntervalMetric {
    fn of(self, level: &LevelMeasures) -> Option<f64> {
        match self {
            IntervalMetric::Winkler => level.winkler,
            IntervalMetric::WinklerRatio => level.winkler_ratio,
            IntervalMetric::Coverage => level.coverage,
            IntervalMetric::WorstCoverage => level.worst_coverage_250,
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| ALLOWED.to_owned())
    }
}

/// `metric[horizon]`, `metric[horizon, level]` or `metric[horizon, "expert"]`, compared with a
/// number, with a target and a dot in front or without.
fn parse(text: &str) -> Option<Assertion> {
    let (left, right) = text.trim().rsplit_once(']')?;
    let (metric, of) = left.split_once('[')?;
    let (horizon, more) = match of.split_once(',') {
        Some((horizon, more)) => (horizon, Some(more.trim())),
        None => (of, None),
    };
    let (target, metric) = match metric.rsplit_once('.') {
        Some((target, metric)) if !target.trim().is_empty() => (Some(target.trim().to_owned()), metric),
        _ => (None, metric),
    };
    let metric = parse_metric(metric.trim(), more)?;

    let right = right.trim_start();
    // The longer ones first.
    let ops = [("<=", Op::AtMost), (">=", Op::AtLeast), ("<", Op::Less), (">", Op::More)];
    let (op, bound) = ops.iter().find_map(|(sign, op)| Some((*op, right.strip_prefix(sign)?)))?;

    Some(Assertion {
        target,
        metric,
        horizon: Horizon(horizon.trim().parse().ok().filter(|&horizon| horizon >= 1)?),
        op,
        bound: bound.trim().parse().ok().filter(|bound: &f64| bound.is_finite())?,
        text: text.trim().to_owned(),
    })
}

/// A metric by its word, with the level or the quoted expert that stands behind the horizon.
fn parse_metric(word: &str, more: Option<&str>) -> Option<Metric> {
    let quoted = |text: &str| Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let interval = |metric| {
        let level = more?.parse().ok().filter(|level| (0.0..1.0).contains(level))?;
        Some(Metric::Interval(metric, level))
    };

    match (word, more) {
        ("rmse", None) => Some(Metric::Rmse),
        ("mase", None) => Some(Metric::Mase),
        ("mae", None) => Some(Metric::Mae),
        ("skill", None) => Some(Metric::Skill),
        ("mae", Some(name)) => quoted(name).map(Metric::ExpertMae),
        ("skill", Some(name)) => quoted(name).map(Metric::ExpertSkill),
        ("winkler", _) => interval(IntervalMetric::Winkler),
        ("winkler_ratio", _) => interval(IntervalMetric::WinklerRatio),
        ("coverage", _) => interval(IntervalMetric::Coverage),
        ("worst_coverage", _) => interval(IntervalMetric::WorstCoverage),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickcast_stream::evaluate::ExpertMeasures;

    use super::*;

    fn measured() -> Measured {
        let level = LevelMeasures {
            level: 0.9,
            scored: 9,
            coverage: Some(0.88),
            width: Some(4.0),
            winkler: Some(5.0),
            winkler_ratio: Some(2.5),
            worst_coverage_250: None,
        };
        let rnn = ExpertMeasures { name: "rnn".into(), scored: 9, mae: Some(1.5), skill: Some(0.25) };
        let horizon = HorizonMeasures {
            horizon: Horizon(6),
            scored: 9,
            mae: Some(1.0),
            rmse: Some(1.25),
            mase: Some(0.75),
            naive_mae: Some(2.0),
            skill: Some(0.5),
            levels: vec![level],
            experts: vec![rnn],
            direction: None,
        };
        let of =
            TargetMeasures { target: "temp".into(), horizons: vec![horizon], ..TargetMeasures::default() };
        Measured { targets: vec![of], ..Measured::default() }
    }

    fn checked(text: &str, measured: &Measured) -> (Option<f64>, bool) {
        let checked = text.parse::<Assertion>().unwrap().check(measured);
        let [Checked { target: None, value, holds }] = checked[..] else { panic!("{checked:?}") };
        (value, holds)
    }

    #[test]
    fn bounds_hold_or_do_not() {
        let check = |text: &str| checked(text, &measured());
        assert_eq!(check("skill[6]>0.2"), (Some(0.5), true));
        assert_eq!(check("mae[6]<1"), (Some(1.0), false));
        assert_eq!(check(" mae [ 6 ] <= 1e0 "), (Some(1.0), true));
        assert_eq!(check("rmse[6]>=1.26"), (Some(1.25), false));
        assert_eq!(check("mase[6]<1"), (Some(0.75), true));
        assert_eq!(check("coverage[6,0.9]>=0.88"), (Some(0.88), true));
        assert_eq!(check("winkler[6, 0.9]<5"), (Some(5.0), false));
        assert_eq!(check("winkler_ratio[6,.9]<3"), (Some(2.5), true));
        assert_eq!(check("skill[6,\"rnn\"]>-1"), (Some(0.25), true));
        assert_eq!(check("mae[6, \"rnn\"]<1"), (Some(1.5), false));
    }

    #[test]
    fn what_has_no_value_does_not_hold() {
        for text in [
            "skill[1]>-9",
            "worst_coverage[6,0.9]>=0",
            "coverage[6,0.5]>0",
            "mae[6,\"lstm\"]>0",
            "mae[6,\"\"]>0",
        ] {
            assert_eq!(checked(text, &measured()), (None, false), "{text}");
        }
    }

    #[test]
    fn with_several_targets_each_is_meant_or_the_one_in_front() {
        let mut measured = measured();
        assert_eq!(checked("temp.skill[6]>0.2", &measured), (Some(0.5), true));
        let mut wind = TargetMeasures { target: "wind".into(), ..measured.targets[0].clone() };
        wind.horizons[0].skill = Some(0.1);
        measured.targets.push(wind);

        let check = |text: &str| {
            let checked = text.parse::<Assertion>().unwrap().check(&measured);
            checked.iter().map(|of| (of.target.unwrap().to_owned(), of.holds)).collect::<Vec<_>>()
        };
        let [temp, wind] = [("temp".to_owned(), true), ("wind".to_owned(), false)];
        assert_eq!(check("skill[6]>0.2"), [temp, wind.clone()]);
        assert_eq!(check(" wind . skill[6] > 0.2"), [wind]);
        assert_eq!(check("rain.skill[6]>0.2"), []);
    }

    #[test]
    fn a_bad_one_says_what_is_allowed() {
        for text in [
            "",
            "skill",
            "skill[1]",
            "skill[1]=1",
            "skill[1]>",
            "skill[1]>x",
            "skill[0]>1",
            ".skill[1]>1",
            "temp.skil[1]>1",
            "skill[-1]>1",
            "skil[1]>1",
            "skill[1,0.9]>1",
            "skill[1,rnn]>1",
            "rmse[1,\"rnn\"]>1",
            "coverage[1]>1",
            "coverage[1,1.5]>0",
            "coverage[1,\"rnn\"]>0",
            "skill[1]>inf",
            "skill[1]>nan",
            "skill[1]>1]",
            "skill[\"]>1",
            "mae[1,\"]>0",
        ] {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(error.contains("skill[1]>0.2") && error.contains("worst_coverage"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_an_expression(text in ".*") {
            let _ = text.parse::<Assertion>();
        }

        #[test]
        fn what_looks_like_one_is_an_error_or_one_that_can_be_checked(
            text in "(skill|mae|rmse|mase|winkler|coverage|worst_coverage|x)?\\[? ?[0-9]{0,12}(,(0\\.9|\"[^\"]*\"?|é))?\\]?[<>]?=?-?[0-9.e]{0,8}"
        ) {
            if let Ok(assertion) = text.parse::<Assertion>() {
                assertion.check(&measured());
                prop_assert_eq!(assertion.to_string(), text.trim());
            }
        }
    }
}
