//! Reads the PyTorch fixtures in `tests/golden/` (one JSON object of flat arrays of numbers), and
//! draws the weights and data that are in no file. It must not grow into a JSON reader.

use std::collections::BTreeMap;

use crate::real::Real;

pub struct Golden(BTreeMap<String, Vec<f64>>);

impl Golden {
    pub fn load(text: &str) -> Golden {
        let entry = |part: &str| {
            let (name, values) = part.split_once(':').expect("name: [values");
            let name = name.rsplit('"').nth(1).expect("a quoted name").to_string();
            let values = values.trim().trim_start_matches('[').split(',');
            (name, values.map(|value| value.trim().parse().expect("a number")).collect())
        };
        Golden(text.split(']').filter(|part| part.contains('[')).map(entry).collect())
    }

    pub fn doubles(&self, name: &str) -> &[f64] {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} in the golden file"))
    }

    pub fn singles(&self, name: &str) -> Vec<f32> {
        self.doubles(name).iter().map(|value| *value as f32).collect()
    }
}

/// Knuth's MMIX generator, the twin of the one in make_model_goldens.py: the upper 21 bits of its
/// state as a number in [−1, 1). They are multiples of 2⁻²⁰, so f32 and f64 see the same.
pub struct Draws(pub u64);

impl Draws {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 43) as f64 / 1048576.0 - 1.0
    }

    pub fn vector<F: Real>(&mut self, len: usize, scale: f64) -> Vec<F> {
        (0..len).map(|_| F::of(scale * self.next())).collect()
    }

    /// A whole number in 0..below.
    pub fn number(&mut self, below: usize) -> usize {
        ((self.next() + 1.0) * 0.5 * below as f64) as usize
    }
}

/// A number as the golden files have it.
pub fn double<F: Real>(value: F) -> f64 {
    nalgebra::try_convert(value).unwrap_or(f64::NAN)
}

/// The largest error of `values`: relative to numbers above 1, absolute below.
pub fn error<F: Real>(values: &[F], expected: &[f64]) -> f64 {
    assert_eq!(values.len(), expected.len(), "as many numbers as in the golden file");
    let errors = values.iter().zip(expected).map(|(value, expected)| {
        let error = (double(*value) - expected).abs() / expected.abs().max(1.0);
        // `max` passes NaN over.
        if error.is_nan() { f64::INFINITY } else { error }
    });
    errors.fold(0.0, f64::max)
}

/// Asserts what all goldens are held to: f64 within 1e-12 of PyTorch's f64, f32 within 1e-5 of it.
pub fn assert_close<F: Real>(values: &[F], expected: &[f64], what: &str) {
    let limit = if size_of::<F>() == 4 { 1e-5 } else { 1e-12 };
    let error = error(values, expected);
    println!("{} bits, {what}: {error:.1e}", 8 * size_of::<F>());
    assert!(error <= limit, "{what}: off by {error}: {values:?} {expected:?}");
}
