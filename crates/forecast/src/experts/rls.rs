//! Recursive least squares of the features: a linear forecast a horizon, at several speeds of
//! forgetting, and one that begins anew.
//! It must not see a target before its time.
//!
//! No single speed is right before and after a change. `rls_restart` remembers long, and has a
//! rival that remembers some twenty windows. When the rival has been better for a while,
//! `rls_restart` begins anew with the rival's weights. A CUSUM (Page 1954) measures "a while".
//! It sums the difference of their errors at the first horizon h, in the rival's mean errors: `lead
//! = max(0, lead + clamp((|e| - |e_rival|) / m_rival, ±3) - 0.1)`. It rings above 6 h, because
//! errors h windows ahead overlap.

use serde::{Deserialize, Serialize};

use super::expert::{Expert, ExpertInputs, ExpertShape, Label, Observation};
use crate::inverse_covariance::Forgetting;
use crate::rls_filter::{RlsFilter, RlsSettings};

/// The most that one error counts in the CUSUM.
const JUMP: f64 = 3.0;
/// A lead of the rival that is none.
const DRIFT: f64 = 0.1;
/// The sum at which it begins anew, for a horizon of one window.
const ENOUGH: f64 = 6.0;

/// One speed of forgetting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rls {
    /// Which of [`MEMBERS`] it is.
    member: u8,
    own: RlsFilter,
    rival: Option<Box<Rival>>,
}

/// What one that may begin anew is measured by.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rival {
    filter: RlsFilter,
    /// The CUSUM.
    lead: f64,
}

/// How one of them is made. It is the same for all series, and no part of their state.
struct Member {
    name: &'static str,
    settings: RlsSettings,
    /// Whether it sees the short features alone: what forgets fast can learn only few weights.
    is_short: bool,
    rival: Option<RlsSettings>,
}

/// Slow to judge its errors, and draws the fit towards their median.
const fn slow(factor: f64, ridge: f64) -> RlsSettings {
    RlsSettings { forgetting: Forgetting { factor, ridge }, step: 0.01, clip: 1.5 }
}

/// Errors that have just grown soon count: it has to learn from them.
const fn quick(factor: f64, ridge: f64) -> RlsSettings {
    RlsSettings { forgetting: Forgetting { factor, ridge }, step: 0.05, clip: 3.0 }
}

const fn long(name: &'static str, settings: RlsSettings) -> Member {
    Member { name, settings, is_short: false, rival: None }
}

const fn short(name: &'static str, settings: RlsSettings, rival: Option<RlsSettings>) -> Member {
    Member { name, settings, is_short: true, rival }
}

static MEMBERS: [Member; 5] = [
    long("rls", slow(1.0, 1000.0)),
    long("rls_0.9995", slow(0.9995, 100.0)),
    long("rls_0.998", slow(0.998, 30.0)),
    short("rls_0.97", quick(0.97, 5.0), None),
    short("rls_restart", quick(0.998, 1.0), Some(quick(0.95, 3.0))),
];

/// One a speed.
pub fn members(shape: &ExpertShape) -> Vec<(&'static str, Rls)> {
    let of = |(at, Member { name, settings, is_short, rival }): (usize, &Member)| {
        let len = if *is_short { shape.short } else { shape.features };
        let filter = |settings| RlsFilter::new(settings, len, shape.horizons);
        let rival = rival.as_ref().map(|settings| Box::new(Rival { filter: filter(settings), lead: 0.0 }));
        (*name, Rls { member: at as u8, own: filter(settings), rival })
    };
    MEMBERS.iter().enumerate().map(of).collect()
}

impl Rls {
    fn member(&self) -> &'static Member {
        &MEMBERS[usize::from(self.member)]
    }
}

impl Member {
    fn select<'a>(&self, inputs: &'a ExpertInputs) -> &'a [f64] {
        if self.is_short { &inputs.short } else { &inputs.all }
    }
}

impl Expert for Rls {
    fn observe(&mut self, observation: &Observation<'_>) {
        let Member { settings, rival, .. } = self.member();
        let features = self.member().select(observation.inputs);
        let enough = ENOUGH * observation.horizons.first().map_or(1.0, |&horizon| f64::from(horizon));

        if let (Some(Rival { filter, lead }), Some(of_rival)) = (self.rival.as_deref_mut(), rival) {
            // All of the window's labels are known now.
            if *lead > enough {
                *lead = 0.0;
                self.own.begin_with(settings, features.len(), filter);
            }
            if observation.is_truth {
                filter.absorb(of_rival, features);
            }
        }

        if observation.is_truth {
            self.own.absorb(settings, features);
        }
    }

    fn forecast(&self, observation: &Observation<'_>, horizon_idx: usize, _: f64, _: &mut [f32]) -> f64 {
        self.own.predict(horizon_idx, self.member().select(observation.inputs))
    }

    fn learn(&mut self, horizon_idx: usize, label: &Label<'_>, _: &[f32]) {
        if !label.from_truth {
            return;
        }

        let Member { settings, rival, .. } = self.member();
        let features = self.member().select(label.inputs);
        let (error, _) = self.own.learn(settings, horizon_idx, features, label.moved);
        let (Some(Rival { filter, lead }), Some(of_rival)) = (self.rival.as_deref_mut(), rival) else {
            return;
        };
        let (error_of_rival, mean) = filter.learn(of_rival, horizon_idx, features, label.moved);
        if horizon_idx == 0 {
            let ahead = (error.abs() - error_of_rival.abs()) / mean.max(1e-9);
            *lead = (*lead + ahead.clamp(-JUMP, JUMP) - DRIFT).max(0.0);
        }
    }
}
