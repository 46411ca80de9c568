//! Whether errors have changed: ADWIN and Page-Hinkley over one stream of them, and a count of
//! their alarms.
//! It must not change anything: alarms are for people. Adaptation comes from forgetting and mixing.

use crate::horizon::Horizon;

use serde::{Deserialize, Serialize};

use super::scale::MOVE_CLIP;

/// Both detectors of one horizon. Errors of forecasts that overlap are alike: the detectors see the
/// mean of as many as the horizon has windows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Drift {
    sum: f64,
    count: u32,
    adwin: Adwin,
    page_hinkley: PageHinkley,
    alarms: u64,
}

impl Drift {
    /// Takes in an error of a forecast `horizon` windows ahead, in sigmas.
    pub fn update(&mut self, error: f64, horizon: Horizon) {
        self.sum += error.min(MOVE_CLIP);
        self.count += 1;
        if self.count < horizon.0 {
            return;
        }

        let error = std::mem::take(&mut self.sum) / f64::from(std::mem::take(&mut self.count));
        self.alarms += u64::from(self.adwin.update(error));
        self.alarms += u64::from(self.page_hinkley.update(error));
    }

    /// How often a detector has rung.
    pub fn alarms(&self) -> u64 {
        self.alarms
    }
}

/// Page and Hinkley's test for a mean that has grown: `m_t = α m_(t-1) + (x_t - mean_t - δ)`, an
/// alarm when `m_t - min m > λ`. It begins anew after an alarm.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct PageHinkley {
    count: u64,
    mean: f64,
    sum: f64,
    least: f64,
}

/// δ: growth of the mean that is no drift.
const TOLERANCE: f64 = 0.05;
/// λ.
const THRESHOLD: f64 = 25.0;
/// α.
const FADING: f64 = 0.9999;
/// Errors before it may ring.
const WARM: u64 = 30;

impl PageHinkley {
    fn update(&mut self, x: f64) -> bool {
        self.count += 1;
        self.mean += (x - self.mean) / self.count as f64;
        self.sum = FADING * self.sum + (x - self.mean - TOLERANCE);
        self.least = self.least.min(self.sum);
        let rings = self.count >= WARM && self.sum - self.least > THRESHOLD;
        if rings {
            *self = PageHinkley::default();
        }
        rings
    }
}

/// Bifet and Gavaldà's adaptive window (2007): the newest errors in buckets of growing size. The
/// oldest go while some cut of the window has halves whose means differ by more than chance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Adwin {
    /// By size, 2^k errors each; the newest first.
    rows: Vec<Vec<Bucket>>,
    count: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Bucket {
    sum: f64,
    /// Of squares around the bucket's mean.
    squares: f64,
}

/// Buckets of a size before the two oldest become one.
const BUCKETS: usize = 5;
/// Confidence δ of a cut.
const DELTA: f64 = 0.002;
/// Errors between two looks for a cut.
const LOOK_EVERY: u64 = 32;
/// The least count of errors in each half of a cut.
const LEAST: f64 = 32.0;

/// Count, mean and squares of a part of the window.
#[derive(Clone, Copy, Default)]
struct Part {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Part {
    fn of(bucket: &Bucket, size: f64) -> Part {
        Part { count: size, mean: bucket.sum / size, squares: bucket.squares }
    }

    fn and(self, other: Part) -> Part {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let apart = other.mean - self.mean;
        Part {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares + other.squares + apart * apart * self.count * other.count / count,
        }
    }
}

impl Adwin {
    fn update(&mut self, x: f64) -> bool {
        self.count += 1;
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        self.rows[0].insert(0, Bucket { sum: x, squares: 0.0 });
        self.compress();

        let mut rings = false;
        while self.count.is_multiple_of(LOOK_EVERY) && self.is_cut() {
            rings = true;
            self.drop_oldest();
        }
        rings
    }

    fn compress(&mut self) {
        for row in 0..self.rows.len() {
            if self.rows[row].len() <= BUCKETS {
                return;
            }

            let size = (1u64 << row) as f64;
            let (Some(oldest), Some(older)) = (self.rows[row].pop(), self.rows[row].pop()) else { return };
            let both = Part::of(&oldest, size).and(Part::of(&older, size));
            if row + 1 == self.rows.len() {
                self.rows.push(Vec::new());
            }
            self.rows[row + 1].insert(0, Bucket { sum: oldest.sum + older.sum, squares: both.squares });
        }
    }

    /// The window's buckets, the oldest first.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let sized = self.rows.iter().enumerate().rev();
        sized.flat_map(|(row, buckets)| {
            buckets.iter().rev().map(move |bucket| Part::of(bucket, (1u64 << row) as f64))
        })
    }

    /// `|mean_0 - mean_1| > sqrt(2/m σ² ln(2/δ')) + 2/(3m) ln(2/δ')`, m the harmonic mean of both
    /// halves, δ' = δ / ln n.
    fn is_cut(&self) -> bool {
        let all = self.parts().fold(Part::default(), Part::and);
        if all.count < 2.0 * LEAST {
            return false;
        }

        let variance = all.squares / all.count;
        let log = libm::log(2.0 * libm::log(all.count) / DELTA);
        let mut old = Part::default();
        self.parts().any(|part| {
            old = old.and(part);
            let newer = all.count - old.count;
            if old.count < LEAST || newer < LEAST {
                return false;
            }
            let newer_mean = (all.mean * all.count - old.mean * old.count) / newer;
            let m = 1.0 / (1.0 / old.count + 1.0 / newer);
            (old.mean - newer_mean).abs() > (2.0 / m * variance * log).sqrt() + 2.0 / (3.0 * m) * log
        })
    }

    fn drop_oldest(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.pop();
        }
        while self.rows.last().is_some_and(Vec::is_empty) {
            self.rows.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(n: u64, scale: f64) -> f64 {
        ((n * 7919 + 13) % 1009) as f64 / 504.5 * scale
    }

    /// Alarms of both over stretches of errors of these sizes, 2000 each.
    fn alarms(scales: &[f64]) -> Vec<(u64, u64)> {
        let (mut adwin, mut page_hinkley) = (Adwin::default(), PageHinkley::default());
        let stretch = |scale: &f64| {
            let mut rung = (0, 0);
            for n in 0..2000 {
                rung.0 += u64::from(adwin.update(errors(n, *scale)));
                rung.1 += u64::from(page_hinkley.update(errors(n, *scale)));
            }
            rung
        };
        scales.iter().map(stretch).collect()
    }

    #[test]
    fn they_are_silent_while_nothing_changes_and_ring_when_errors_grow() {
        let rung = alarms(&[0.8, 0.8, 2.0, 0.8]);
        assert_eq!(rung[..2], [(0, 0), (0, 0)]);
        assert!(rung[2].0 > 0 && rung[2].1 > 0, "{rung:?}");
        // Errors that shrink are news for ADWIN alone.
        assert!(rung[3].0 > 0 && rung[3].1 == 0, "{rung:?}");
    }

    #[test]
    fn a_window_of_any_length_is_a_few_buckets() {
        let mut adwin = Adwin::default();
        (0..100_000).for_each(|n| _ = adwin.update(errors(n, 1.0)));
        assert!(adwin.rows.iter().map(Vec::len).sum::<usize>() < 100);
        let all = adwin.parts().fold(Part::default(), Part::and);
        assert!((all.count - 100_000.0).abs() < 1.0 && (all.mean - 1.0).abs() < 0.01);
    }

    #[test]
    fn alarms_count_both() {
        let mut drift = Drift::default();
        (0..1000).for_each(|n| drift.update(errors(n, 0.5), Horizon(3)));
        assert_eq!(drift.alarms(), 0);
        (1000..2000).for_each(|n| drift.update(errors(n, 1e300), Horizon(3)));
        assert!(drift.alarms() >= 2, "{}", drift.alarms());
    }
}
