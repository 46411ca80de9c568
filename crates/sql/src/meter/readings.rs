//! The readings of a meter in a window, in the order of time, and the step that they make.
//! It must not know Arrow, nor which window it is.

/// Readings of a series in a window that are kept one by one. Where there are more, those between
/// the first and the newest half become one step: a reading that comes later and is of a time among
/// theirs is left out, which changes nothing unless the meter fell there.
const READINGS_MAX: usize = 1024;

/// What is made of readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meter {
    /// The last reading less the last one before the window.
    Delta,
    /// The same of a counter: where it falls it began anew at 0.
    Increase,
}

impl Meter {
    /// The step from the reading before a window to the last one in it; `peaks` is the sum of what
    /// the counter showed before each of its falls in the window.
    ///
    /// A counter that falls from p to v has counted v more, so of a window from `before` to `last`
    /// it is (p1 - before) + (p2 - 0) + ... + (last - 0).
    pub fn step(self, before: f64, first: f64, last: f64, peaks: f64) -> f64 {
        match self {
            Meter::Delta => last - before,
            Meter::Increase if first < before => peaks + last,
            Meter::Increase => (peaks - before) + last,
        }
    }
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Its event time in microseconds.
    pub time_us: i64,
    /// What the meter shows.
    pub value: f64,
    /// Where readings between the one before and this are no longer kept: the sum of what the meter
    /// showed before each of its falls from that one to this.
    pub merged_peaks: Option<f64>,
}

/// Readings in the order of time, those of one time as they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings(pub Vec<Reading>);

impl Readings {
    /// Takes one in. What is no number is no reading.
    pub fn add(&mut self, meter: Meter, reading: Reading) {
        if !reading.value.is_finite() {
            return;
        }
        let at = match self.0.last() {
            Some(last) if last.time_us > reading.time_us => {
                self.0.partition_point(|known| known.time_us <= reading.time_us)
            }
            _ => self.0.len(),
        };

        if meter == Meter::Delta {
            // Only the last one counts.
            if at == self.0.len() {
                self.0.clear();
                self.0.push(reading);
            }
            return;
        }
        if self.0.get(at).is_some_and(|next| next.merged_peaks.is_some()) && at > 0 {
            return;
        }
        self.0.insert(at, reading);
        if self.0.len() > READINGS_MAX {
            self.merge_older();
        }
    }

    /// What the counter showed before each of its falls, summed in the order of time.
    pub fn peaks(&self) -> f64 {
        peaks_of(&self.0)
    }

    fn merge_older(&mut self) {
        let half = self.0.len() / 2;
        self.0[half].merged_peaks = Some(peaks_of(&self.0[..=half]));
        self.0.drain(1..half);
    }
}

fn peaks_of(readings: &[Reading]) -> f64 {
    readings.windows(2).fold(0.0, |sum, pair| {
        let fell = pair[1].value < pair[0].value;
        sum + pair[1].merged_peaks.unwrap_or(if fell { pair[0].value } else { 0.0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(meter: Meter, values: &[(i64, f64)]) -> Readings {
        let mut readings = Readings::default();
        for &(time_us, value) in values {
            readings.add(meter, Reading { time_us, value, merged_peaks: None });
        }
        readings
    }

    fn increase(before: f64, values: &[(i64, f64)]) -> f64 {
        let readings = readings(Meter::Increase, values);
        let (first, last) = (readings.0[0].value, readings.0[readings.0.len() - 1].value);
        Meter::Increase.step(before, first, last, readings.peaks())
    }

    #[test]
    fn a_counter_that_falls_began_anew_at_nothing() {
        assert_eq!(increase(10.0, &[(1, 12.0), (2, 15.0)]), 5.0);
        // To 15, then from 0 to 4, then from 0 to 3.
        assert_eq!(increase(10.0, &[(1, 15.0), (2, 4.0), (3, 3.0)]), 12.0);
        // It fell between the windows.
        assert_eq!(increase(1e15, &[(1, 0.25), (2, 0.5)]), 0.5);
        assert_eq!(increase(10.0, &[(3, 3.0), (1, 15.0), (2, 4.0)]), 12.0);
        assert_eq!(Meter::Delta.step(10.0, 15.0, 3.0, 0.0), -7.0);
    }

    #[test]
    fn the_last_is_last_by_time_and_of_one_time_the_one_that_came_last() {
        let last = |values: &[(i64, f64)]| {
            let delta = readings(Meter::Delta, values).0;
            let increase = readings(Meter::Increase, values).0;
            assert_eq!(delta.len(), 1);
            assert_eq!(delta.last().map(|r| r.value), increase.last().map(|r| r.value));
            delta[0].value
        };
        assert_eq!(last(&[(1, 1.0), (3, 3.0), (2, 2.0)]), 3.0);
        assert_eq!(last(&[(3, 1.0), (3, 2.0), (1, 5.0)]), 2.0);
        assert_eq!(last(&[(3, 1.0), (4, f64::NAN)]), 1.0);
    }

    /// However many readings come, what is kept is bounded, and the step is that of all of them.
    #[test]
    fn many_readings_are_merged_and_make_the_same_step() {
        let value = |n: i64| ((n * 7) % 5000) as f64;
        let all: Vec<(i64, f64)> = (0..20_000).map(|n| (n, value(n))).collect();
        let by_steps: f64 =
            all.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 }).sum();
        // Disorder within 500 readings.
        let mut jumbled = all.clone();
        jumbled.chunks_mut(500).for_each(<[_]>::reverse);
        for values in [&all, &jumbled] {
            assert!(readings(Meter::Increase, values).0.len() <= READINGS_MAX);
            assert_eq!(increase(0.0, values), by_steps);
        }

        // One that comes after its neighbours were merged: before the first it counts, among them
        // it does not.
        let mut late = all;
        late.extend([(17, 3.0), (-1, 1.0)]);
        assert_eq!(increase(0.0, &late), 1.0 + by_steps);
    }
}
