//! A series' whole history as a network sees it: inputs and labels of every step, and how it is cut
//! into windows.
//! It must not know weights, nor how any of it is learned.

use std::ops::Range;

use crate::real::finite_or_zero;
use crate::tbptt::TrainingTarget;

/// One series' history: N steps of I inputs and K label slots. A slot holds one label.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSequence {
    width: usize,
    slots: usize,
    /// When each step was made (N), in any unit that all sequences share; ascending.
    times: Vec<i64>,
    /// N × I
    inputs: Vec<f32>,
    /// N × K, NaN where the truth is not known.
    labels: Vec<f32>,
}

impl TrainingSequence {
    /// An empty history of steps with `inputs` features and `slots` labels.
    pub fn new(inputs: usize, slots: usize) -> TrainingSequence {
        assert!(inputs > 0 && slots > 0, "a step has inputs and labels");
        TrainingSequence { width: inputs, slots, times: Vec::new(), inputs: Vec::new(), labels: Vec::new() }
    }

    /// Appends a step made at `time`, with I features and no labels. A feature that is not finite
    /// counts as 0, the middle of its scale.
    ///
    /// # Panics
    ///
    /// If `inputs` has not I features, or `time` is not after that of the last step.
    pub fn push(&mut self, time: i64, inputs: &[f32]) {
        assert_eq!(inputs.len(), self.width, "features of another network");
        assert!(self.times.last().is_none_or(|last| *last < time), "steps come in the order of time");
        self.times.push(time);
        self.inputs.extend(inputs.iter().copied().map(finite_or_zero));
        self.labels.extend(std::iter::repeat_n(f32::NAN, self.slots));
    }

    /// Sets the truth of `slot` at `step`. A value that is not finite counts as unknown.
    ///
    /// # Panics
    ///
    /// If there is no such step or slot.
    pub fn label(&mut self, step: usize, slot: usize, value: f32) {
        assert!(step < self.len() && slot < self.slots, "label {slot} of step {step}");
        self.labels[step * self.slots + slot] = if value.is_finite() { value } else { f32::NAN };
    }

    /// Steps, N.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether it has no steps.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// When each step was made.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// Features a step, I.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Labels a step, K.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The features of some steps, a slice (I) each.
    pub fn inputs(&self, steps: Range<usize>) -> Vec<&[f32]> {
        self.inputs[steps.start * self.width..steps.end * self.width].chunks_exact(self.width).collect()
    }

    /// The known labels of a step: slot and value.
    pub fn labels(&self, step: usize) -> impl Iterator<Item = (usize, f32)> {
        let labels = &self.labels[step * self.slots..][..self.slots];
        labels.iter().copied().enumerate().filter(|(_, value)| !value.is_nan())
    }
}

/// Where in time training ends and the held-out tail begins: the same moment for all sequences, so
/// that no sequence tells of another one's future.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldoutSplit {
    /// The time of the first step held out.
    pub at: i64,
    /// From a step to the truth of each of its slots (K).
    lags: Vec<i64>,
}

impl HoldoutSplit {
    /// Leaves about `share` of all steps to the tail; none without steps.
    pub fn new(sequences: &[TrainingSequence], share: f64, lags: &[i64]) -> Option<HoldoutSplit> {
        let mut times: Vec<i64> = sequences.iter().flat_map(|sequence| &sequence.times).copied().collect();
        times.sort_unstable();
        let first = ((times.len() as f64) * (1.0 - share)).ceil() as usize;
        let at = *times.get(first.min(times.len().checked_sub(1)?))?;
        Some(HoldoutSplit { at, lags: lags.to_vec() })
    }

    /// Whether a label may move the weights: its truth was known before the tail begins.
    pub fn trains(&self, time: i64, slot: usize) -> bool {
        time.saturating_add(self.lags[slot]) < self.at
    }

    /// Whether a step lies in the tail.
    pub fn holds_out(&self, time: i64) -> bool {
        time >= self.at
    }

    /// Steps of `sequence` before the tail.
    pub fn steps(&self, sequence: &TrainingSequence) -> usize {
        sequence.times.partition_point(|time| !self.holds_out(*time))
    }
}

/// Some consecutive steps of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceWindow {
    /// Which of the sequences.
    pub sequence: usize,
    /// Steps of that sequence.
    pub steps: Range<usize>,
}

impl SequenceWindow {
    /// The labels that may be trained on, weighed 1; `width` outputs belong to a label.
    pub fn targets(
        &self,
        sequences: &[TrainingSequence],
        split: &HoldoutSplit,
        width: usize,
    ) -> Vec<TrainingTarget<f32>> {
        let sequence = &sequences[self.sequence];
        let of_step = |at: usize| {
            let known = sequence.labels(at).filter(move |(slot, _)| split.trains(sequence.times[at], *slot));
            let step = at - self.steps.start;
            known.map(move |(slot, value)| TrainingTarget { step, output: slot * width, value, weight: 1.0 })
        };

        self.steps.clone().flat_map(of_step).collect()
    }
}

/// Rounds of windows: each sequence's first, each one's second, and so on. Every window has
/// `length` steps, but for the last of a sequence and, unless `phase` is 0, the first, which has
/// `phase`.
pub fn cut_by_steps(lengths: &[usize], length: usize, phase: usize) -> Vec<Vec<SequenceWindow>> {
    let longest = lengths.iter().copied().max().unwrap_or(0);

    let mut rounds = Vec::new();
    let mut from = 0;
    while from < longest {
        let to = if from == 0 && phase > 0 { phase } else { from + length };
        let window = |(sequence, len): (usize, &usize)| {
            (from < *len).then(|| SequenceWindow { sequence, steps: from..to.min(*len) })
        };
        rounds.push(lengths.iter().enumerate().filter_map(window).collect());
        from = to;
    }

    rounds
}

/// Rounds of windows that follow time: each round holds the steps of `length` consecutive moments,
/// whichever sequences have them. Of each sequence the first `lengths` steps are cut.
pub fn cut_by_time(
    sequences: &[TrainingSequence],
    lengths: &[usize],
    length: usize,
) -> Vec<Vec<SequenceWindow>> {
    let used = |(sequence, len): (&TrainingSequence, &usize)| sequence.times[..*len].to_vec();
    let mut moments: Vec<i64> = sequences.iter().zip(lengths).flat_map(used).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut from = vec![0; sequences.len()];

    let round = |moments: &[i64]| {
        let last = moments[moments.len() - 1];
        let window = |(sequence, from): (usize, &mut usize)| {
            let to = sequences[sequence].times[..lengths[sequence]].partition_point(|time| *time <= last);
            let steps = std::mem::replace(from, to)..to;
            (!steps.is_empty()).then_some(SequenceWindow { sequence, steps })
        };
        from.iter_mut().enumerate().filter_map(window).collect()
    };

    moments.chunks(length).map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(times: &[i64]) -> TrainingSequence {
        let mut sequence = TrainingSequence::new(1, 2);
        times.iter().for_each(|time| sequence.push(*time, &[*time as f32]));
        sequence
    }

    fn window(sequence: usize, steps: Range<usize>) -> SequenceWindow {
        SequenceWindow { sequence, steps }
    }

    #[test]
    fn steps_are_cut_into_rounds_of_whole_windows() {
        let rounds = cut_by_steps(&[5, 2, 0], 2, 0);
        assert_eq!(
            rounds,
            [vec![window(0, 0..2), window(1, 0..2)], vec![window(0, 2..4)], vec![window(0, 4..5)]]
        );
        let rounds = cut_by_steps(&[5, 2], 3, 1);

        assert_eq!(
            rounds,
            [
                vec![window(0, 0..1), window(1, 0..1)],
                vec![window(0, 1..4), window(1, 1..2)],
                vec![window(0, 4..5)]
            ]
        );
    }

    #[test]
    fn time_is_cut_at_the_same_moments_for_all() {
        let sequences = [sequence(&[0, 1, 2, 3, 9]), sequence(&[2, 4])];
        let rounds = cut_by_time(&sequences, &[4, 2], 2);
        assert_eq!(
            rounds,
            [vec![window(0, 0..2)], vec![window(0, 2..4), window(1, 0..1)], vec![window(1, 1..2)]]
        );
    }

    #[test]
    fn a_label_is_trained_on_if_its_truth_comes_before_the_tail() {
        let mut sequences = [sequence(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])];
        for step in 0..10 {
            sequences[0].label(step, 0, step as f32);
            sequences[0].label(step, 1, if step == 1 { f32::INFINITY } else { -1.0 });
        }

        let split = HoldoutSplit::new(&sequences, 0.4, &[1, 3]).unwrap();
        assert_eq!((split.at, split.steps(&sequences[0])), (6, 6));

        let targets = window(0, 1..6).targets(&sequences, &split, 2);
        let found: Vec<(usize, usize, f32)> = targets.iter().map(|t| (t.step, t.output, t.value)).collect();
        // Truths of step 5's slot 0 and step 3's slot 1 are known at 6, which is held out.
        assert_eq!(found, [(0, 0, 1.0), (1, 0, 2.0), (1, 2, -1.0), (2, 0, 3.0), (3, 0, 4.0)]);
        assert!(HoldoutSplit::new(&[], 0.2, &[1]).is_none());
    }
}
