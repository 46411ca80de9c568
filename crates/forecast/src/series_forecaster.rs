//! All that forecasts one series: its experts, and for every horizon their mixture, its intervals and what waits for a truth.
//! It must not know other series, or how the network learns.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::experts::{AnyExpert, ExpertInputs, ExpertShape, Label, Observation, roster};
use super::features::Features;
use super::interval::{IntervalTracker, RecentVolatility, factors_of};
use super::mixture::Mixture;
use super::phases::{PhaseMeans, phases_of};
use super::series::SeriesHistory;
use super::waiting::{Intervals, PendingForecast, PendingQueue};
use crate::spec::{Correction, ExpertKind, ForecastSpec, MixtureRule};
use crate::time::EventTime;

/// Experts' moves are clipped to this many scales, as labels are.
const CLIP: f64 = 8.0;

/// What the banks of a pipeline have in common.
#[derive(Debug)]
pub struct ForecasterLayout {
    pub names: Vec<&'static str>,
    /// As they begin.
    experts: Vec<AnyExpert>,
    /// Numbers that the experts want back.
    notes: usize,
    rule: MixtureRule,
    correction: Correction,
    horizons: Vec<u32>,
    season: Option<u32>,
    levels: Vec<f64>,
    /// Columns beside the target.
    others: usize,
    /// Of an expert's features: the constant, the network's inputs, the phase's means.
    width: usize,
    short: Vec<usize>,
    /// Whether the network gives intervals of its own.
    has_heads: bool,
}

impl ForecasterLayout {
    pub fn new(plan: &ForecastSpec) -> Self {
        let features = Features::new(plan);
        let phases = phases_of(plan.season);
        let horizons = plan.horizons.len();
        let width = 1 + features.width() + if phases > 0 { horizons } else { 0 };
        let short: Vec<usize> = [0].into_iter().chain(features.short().map(|at| at + 1)).collect();
        let shape =
            ExpertShape { features: width, short: short.len(), horizons, seasonal: plan.season.is_some() };
        let (names, experts): (Vec<_>, Vec<_>) = roster(&plan.experts, &shape).into_iter().unzip();
        ForecasterLayout {
            names,
            notes: experts.iter().map(|expert| expert.get().notes()).sum(),
            experts,
            rule: plan.mixture,
            correction: plan.correction,
            horizons: plan.horizons.clone(),
            season: plan.season,
            levels: plan.levels.clone(),
            others: plan.features.len() - 1,
            width,
            short,
            has_heads: has_heads(plan),
        }
    }

    /// Numbers of the network's own intervals.
    fn heads(&self) -> usize {
        if self.has_heads { 2 * self.levels.len() } else { 0 }
    }

    /// The phase of the window numbered `n`, where the season has a table.
    fn phase(&self, n: i64) -> Option<usize> {
        match phases_of(self.season) {
            0 => None,
            phases => Some(n.rem_euclid(phases as i64) as usize),
        }
    }
}

/// One horizon.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slot {
    waiting: PendingQueue,
    mixture: Mixture,
    interval: IntervalTracker,
}

/// The forecasters of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeriesForecaster {
    experts: Vec<AnyExpert>,
    slots: Vec<Slot>,
    phases: PhaseMeans,
    fresh: RecentVolatility,
    /// Features of the newest windows, `ForecasterLayout::width` numbers each.
    #[serde(with = "le_blob")]
    features: VecDeque<f32>,
}

/// What the network has to do with one window.
pub struct NetworkOutput {
    /// What it sees.
    pub inputs: Vec<f32>,
    /// By its weights as they are, and averaged: a move a horizon, in units of sigma_h; zeros without a network.
    pub raw: Vec<f64>,
    pub averaged: Vec<f64>,
    /// Its own intervals, as moves: of each horizon one a level; empty where it has none.
    pub heads: Vec<Vec<(f64, f64)>>,
    /// Where it has a direction head.
    pub prob_up: Vec<Option<f64>>,
}

impl NetworkOutput {
    fn heads(&self, slot: usize) -> &[(f64, f64)] {
        self.heads.get(slot).map_or(&[], Vec::as_slice)
    }
}

/// A forecast whose truth has come.
pub struct ScoredForecast {
    pub made: PendingForecast,
    /// The truth.
    pub actual: f64,
    pub intervals: Intervals,
    /// What each expert had said, in the order of `ForecasterLayout::names`.
    pub experts: Vec<f64>,
}

/// A forecast that was made.
pub struct IssuedForecast {
    pub made: PendingForecast,
    pub intervals: Intervals,
    /// The heaviest expert's place; none: the forecast is the naive one.
    pub heaviest: Option<usize>,
}

/// Which window is worked on.
#[derive(Clone, Copy)]
pub struct WindowContext<'a> {
    pub series: &'a SeriesHistory,
    pub number: i64,
    pub end: EventTime,
    pub size_us: i64,
    /// The series' windows so far, this one included.
    pub step: u64,
    /// Whether the target was observed in it.
    pub is_truth: bool,
}

impl SeriesForecaster {
    pub fn new(kit: &ForecasterLayout) -> Self {
        let phases = phases_of(kit.season);
        let slot = |&horizon: &u32| Slot {
            waiting: PendingQueue::default(),
            mixture: Mixture::new(kit.experts.len()),
            interval: IntervalTracker::new(
                &kit.levels,
                (kit.correction, kit.has_heads),
                horizon,
                (kit.others, phases),
            ),
        };
        SeriesForecaster {
            experts: kit.experts.clone(),
            slots: kit.horizons.iter().map(slot).collect(),
            phases: PhaseMeans::new(phases, kit.horizons.len()),
            fresh: RecentVolatility::default(),
            features: VecDeque::new(),
        }
    }

    /// Whether it is of a pipeline like this.
    pub fn fits(&self, kit: &ForecasterLayout) -> bool {
        self.experts.len() == kit.experts.len() && self.slots.len() == kit.horizons.len()
    }

    /// Takes out the forecast of the horizon in place `slot` that was made for this window, and learns from it where the target
    /// was observed.
    pub fn score(
        &mut self,
        kit: &ForecasterLayout,
        slot: usize,
        window: &WindowContext<'_>,
    ) -> Option<ScoredForecast> {
        let (made, intervals, details) = self.slots[slot].waiting.take(window.end)?;
        let actual = window.series.back(0).filter(|_| window.is_truth)?;
        let moves = &details[..kit.names.len().min(details.len())];
        let said = |&moved: &f32| finite(made.naive + made.sigma * f64::from(moved));
        let experts = match moves.is_empty() {
            true => vec![made.naive; kit.names.len()],
            false => moves.iter().map(said).collect(),
        };
        if made.sigma > 0.0 {
            self.learn(kit, slot, (&made, &intervals, &details), actual, window);
        }
        Some(ScoredForecast { made, actual, intervals, experts })
    }

    fn learn(
        &mut self,
        kit: &ForecasterLayout,
        slot: usize,
        (made, intervals, details): (&PendingForecast, &Intervals, &[f32]),
        actual: f64,
        window: &WindowContext<'_>,
    ) {
        let horizon = kit.horizons[slot];
        let raw = finite((actual - made.naive) / made.sigma);
        let moved = raw.clamp(-CLIP, CLIP);
        let (moves, rest) = details.split_at(kit.names.len());
        let (notes, rest) = rest.split_at(kit.notes);
        let (heads, factors) = rest.split_at(kit.heads());
        let heads = relative(heads, made);
        let Slot { mixture, interval, .. } = &mut self.slots[slot];
        mixture.learn(kit.rule, &made.said, moves, moved, horizon);
        let missed = kit.levels.iter().zip(intervals);
        let missed = missed.map(|(&level, &(lower, upper))| (level, actual < lower || upper < actual));
        let phase = kit.phase(window.number);
        interval.learn(raw - made.said.mixed, (&made.spread, factors, &heads), missed, (phase, horizon));
        self.phases.learn(kit.phase(window.number - i64::from(horizon)), slot, moved);
        // The newest features are those of the window before this one.
        let back = usize::try_from(window.step - made.step).unwrap_or(usize::MAX);
        let from = back.checked_mul(kit.width).and_then(|back| self.features.len().checked_sub(back));
        let Some(from) = from else { return };
        let features: Vec<f32> = self.features.range(from..from + kit.width).copied().collect();
        let features = ExpertInputs::new(&features, &kit.short);
        let truth = Label { moved, features: &features, from_truth: made.from_truth };
        let mut notes = notes;
        for expert in &mut self.experts {
            let expert = expert.get_mut();
            let (own, rest) = notes.split_at(expert.notes());
            expert.learn(slot, &truth, own);
            notes = rest;
        }
    }

    /// Takes the window in and forecasts from it.
    pub fn issue(
        &mut self,
        kit: &ForecasterLayout,
        predicted: &NetworkOutput,
        window: &WindowContext<'_>,
        mut take: impl FnMut(usize, &IssuedForecast),
    ) {
        let WindowContext { series, end, size_us, .. } = *window;
        let Some(naive) = series.back(0) else { return };
        let phase = self.phases.at(kit.phase(window.number)).map(|mean| mean.clamp(-5.0, 5.0) as f32);
        let inputs = predicted.inputs.iter().copied();
        let features: Vec<f32> = [1.0].into_iter().chain(inputs).chain(phase).collect();
        let inputs = ExpertInputs::new(&features, &kit.short);
        let seen = Observation {
            series,
            horizons: &kit.horizons,
            season: kit.season,
            is_truth: window.is_truth,
            features: &inputs,
            network: [&predicted.raw, &predicted.averaged],
        };
        self.experts.iter_mut().for_each(|expert| expert.get_mut().observe(&seen));
        if let (Some(step), true) = (series.scaled_step(), window.is_truth) {
            self.fresh.update(step.abs());
        }
        let others = series.others();
        for (slot, &horizon) in kit.horizons.iter().enumerate() {
            let sigma = series.sigma(horizon);
            let mut made = PendingForecast {
                issued_at: end,
                target_time: end.plus_us(size_us.saturating_mul(i64::from(horizon))),
                forecast: naive,
                naive,
                sigma,
                step: window.step,
                from_truth: window.is_truth,
                said: Default::default(),
                spread: Default::default(),
            };
            let phase = kit.phase(window.number + i64::from(horizon));
            let (intervals, details) = match sigma > 0.0 {
                true => self.say(kit, slot, &seen, (&others, phase, predicted.heads(slot)), &mut made),
                false => (Intervals::new(), Vec::new()),
            };
            // What says exactly nothing of a move is the naive forecast, whoever says it.
            let is_naive = made.said.mixed == 0.0;
            let heaviest = (!is_naive).then(|| heaviest(self.slots[slot].mixture.weights()));
            let issued = IssuedForecast { made, intervals, heaviest };
            take(slot, &issued);
            self.slots[slot].waiting.push(made, &issued.intervals, &details);
        }
        self.remember(kit, &features);
    }

    /// Fills in a forecast that has a scale; its intervals, and what its learners want back: moves, notes, the network's own
    /// intervals, factors.
    fn say(
        &self,
        kit: &ForecasterLayout,
        slot: usize,
        seen: &Observation<'_>,
        (others, phase, own): (&[f64], Option<usize>, &[(f64, f64)]),
        made: &mut PendingForecast,
    ) -> (Intervals, Vec<f32>) {
        let Slot { mixture, interval, .. } = &self.slots[slot];
        let moves = kit.names.len();
        let factors = factors_of(others.len(), phases_of(kit.season));
        let mut details = vec![0.0; moves + kit.notes + kit.heads() + factors];
        let (said, rest) = details.split_at_mut(moves);
        let (mut notes, rest) = rest.split_at_mut(kit.notes);
        let (heads, factors) = rest.split_at_mut(kit.heads());
        for (head, bound) in heads.iter_mut().zip(own.iter().flat_map(|&(lower, upper)| [lower, upper])) {
            *head = if bound.is_finite() { bound.clamp(-CLIP, CLIP) as f32 } else { 0.0 };
        }
        for (expert, moved) in self.experts.iter().zip(said.iter_mut()) {
            let expert = expert.get();
            let (own, rest) = notes.split_at_mut(expert.notes());
            let says = expert.forecast(seen, slot, made.sigma, own);
            *moved = if says.is_finite() { says.clamp(-CLIP, CLIP) as f32 } else { 0.0 };
            notes = rest;
        }
        made.said = mixture.say(said);
        made.spread = interval.spread(&self.fresh, others, phase, factors);
        made.forecast = finite(made.naive + made.sigma * made.said.mixed);
        let width = made.sigma * made.spread.scale;
        let bound = |bound: f64| finite(made.forecast + width * bound);
        let bounds = interval.bounds(&kit.levels, &relative(heads, made), kit.horizons[slot]);
        (bounds.into_iter().map(|(lower, upper)| (bound(lower), bound(upper))).collect(), details)
    }

    /// Keeps the features as long as a truth can ask for them.
    fn remember(&mut self, kit: &ForecasterLayout, features: &[f32]) {
        let longest = kit.horizons.last().map_or(1, |&horizon| horizon as usize);
        if self.features.len() >= longest * kit.width {
            self.features.drain(..kit.width);
        }
        self.features.extend(features);
    }

    /// The share of each expert in the forecasts of a horizon.
    pub fn weights(&self, slot: usize) -> impl Iterator<Item = f64> {
        self.slots[slot].mixture.weights()
    }
}

/// Whether a plan's network has an interval for each of its levels.
fn has_heads(plan: &ForecastSpec) -> bool {
    let loss = &plan.model.loss;
    let outputs = vec![0.0; loss.width()];
    let has = |level: &f64| loss.bounds(&outputs, *level).is_some();
    plan.experts.contains(&ExpertKind::Rnn) && plan.levels.iter().all(has)
}

/// The network's own intervals as it says them, lower, upper, lower, upper, around the forecast and in units of its spread.
fn relative(heads: &[f32], made: &PendingForecast) -> Vec<(f64, f64)> {
    let relative = |bound: f32| (f64::from(bound) - made.said.mixed) / made.spread.scale;
    heads.as_chunks().0.iter().map(|&[lower, upper]| (relative(lower), relative(upper))).collect()
}

/// Numbers near the largest have sums that are none.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

fn heaviest(weights: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (at, weight) in weights.enumerate() {
        if weight > best.1 {
            best = (at, weight);
        }
    }
    best.0
}
