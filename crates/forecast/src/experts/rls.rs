//! Recursive least squares of the features: a linear forecast a horizon, at several speeds of forgetting, and one that begins
//! anew. It must not see a target before its time.
//!
//! No single speed is right before and after a change. `rls_restart` remembers long, and has a rival that remembers some twenty
//! windows; when that has been better for a while, it begins anew with the rival's weights. What "a while" is says a CUSUM
//! (Page 1954) of the difference of their errors at the first horizon, in the rival's mean errors:
//! `lead = max(0, lead + clamp((|e| - |e_rival|) / m_rival, ±3) - 0.1)`, above 6 h: errors h windows ahead overlap.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::{Expert, ExpertInputs, ExpertShape, Label, Observation};
use crate::recursion::{RlsFilter, Settings};

/// Of the CUSUM: what one error counts at most, what is no lead, and what is enough, a window ahead.
const JUMP: f64 = 3.0;
const DRIFT: f64 = 0.1;
const ENOUGH: f64 = 6.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rls {
    /// Whether it sees the short features alone: what forgets fast can learn only few weights.
    is_short: bool,
    own: RlsFilter,
    rival: Option<Box<Rival>>,
}

/// Whom one that may begin anew is measured by.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rival {
    recursion: RlsFilter,
    lead: f64,
}

/// Slow to judge its errors, and draws the fit towards their median.
const fn slow(forgetting: f64, ridge: f64) -> Settings {
    Settings { forgetting, ridge, step: 0.01, clip: 1.5 }
}

/// Errors that have just grown soon count: it has to learn from them.
const fn quick(forgetting: f64, ridge: f64) -> Settings {
    Settings { forgetting, ridge, step: 0.05, clip: 3.0 }
}

/// Name, settings, whether short, those of its rival.
const MEMBERS: [(&str, Settings, bool, Option<Settings>); 5] = [
    ("rls", slow(1.0, 1000.0), false, None),
    ("rls_0.9995", slow(0.9995, 100.0), false, None),
    ("rls_0.998", slow(0.998, 30.0), false, None),
    ("rls_0.97", quick(0.97, 5.0), true, None),
    ("rls_restart", quick(0.998, 1.0), true, Some(quick(0.95, 3.0))),
];

pub fn members(shape: &ExpertShape) -> Vec<(&'static str, Rls)> {
    let of = |(name, settings, is_short, rival): (_, _, _, Option<Settings>)| {
        let len = if is_short { shape.short } else { shape.features };
        let recursion = |settings| RlsFilter::new(settings, len, shape.horizons);
        let rival = rival.map(|settings| Box::new(Rival { recursion: recursion(settings), lead: 0.0 }));
        (name, Rls { is_short, own: recursion(settings), rival })
    };
    MEMBERS.into_iter().map(of).collect()
}

impl Rls {
    fn select<'a>(&self, features: &'a ExpertInputs) -> &'a DVector<f64> {
        if self.is_short { &features.short } else { &features.all }
    }
}

impl Expert for Rls {
    fn observe(&mut self, seen: &Observation<'_>) {
        let features = self.select(seen.features);
        let enough = ENOUGH * seen.horizons.first().map_or(1.0, |&horizon| f64::from(horizon));
        if let Some(Rival { recursion, lead }) = self.rival.as_deref_mut() {
            // All of the window's labels are known now.
            if *lead > enough {
                *lead = 0.0;
                self.own.begin_with(recursion);
            }
            if seen.is_truth {
                recursion.absorb(features);
            }
        }
        if seen.is_truth {
            self.own.absorb(features);
        }
    }

    fn forecast(&self, seen: &Observation<'_>, slot: usize, _: f64, _: &mut [f32]) -> f64 {
        self.own.say(slot, self.select(seen.features))
    }

    fn learn(&mut self, slot: usize, truth: &Label<'_>, _: &[f32]) {
        if !truth.from_truth {
            return;
        }
        let features = self.select(truth.features);
        let error = self.own.learn(slot, features, truth.moved);
        let Some(Rival { recursion, lead }) = self.rival.as_deref_mut() else { return };
        let of_rival = recursion.learn(slot, features, truth.moved);
        if slot == 0 {
            let ahead = (error.abs() - of_rival.abs()) / recursion.mean(slot).max(1e-9);
            *lead = (*lead + ahead.clamp(-JUMP, JUMP) - DRIFT).max(0.0);
        }
    }
}
