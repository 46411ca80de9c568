//! The inverse covariance P of features under exponential forgetting. It gives recursive least
//! squares its gain.
//! It must not know what is predicted from the features; any number of targets share one.
//!
//! `P <- (P - v v' / (λ + φ'v)) / λ` with `v = P φ`. Only the lower triangle is kept, so P stays
//! symmetric. With λ < 1 a direction that nothing excites would grow without end: a congruence
//! holds the diagonal at its start.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// P.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InverseCovariance {
    /// λ in (0, 1].
    forgetting: f64,
    /// The most that an element of the diagonal may be: what it starts as.
    largest: f64,
    #[serde(with = "symmetric")]
    inverse: DMatrix<f64>,
}

impl InverseCovariance {
    /// For `len` features of which nothing is known: P = I / ridge.
    pub fn new(len: usize, forgetting: f64, ridge: f64) -> Self {
        let largest = 1.0 / ridge;
        InverseCovariance { forgetting, largest, inverse: DMatrix::from_diagonal_element(len, len, largest) }
    }

    /// The gain: how far weights move for an error of one at these features,
    /// `P φ / max(1, φ' P φ)`.
    pub fn gain(&self, features: &DVector<f64>) -> DVector<f64> {
        let mut gain = self.times(features);
        gain /= features.dot(&gain).max(1.0);
        gain
    }

    /// Takes features in, whatever they predict.
    pub fn absorb(&mut self, features: &DVector<f64>) {
        let v = self.times(features);
        let scale = self.forgetting + features.dot(&v);
        self.inverse.syger(-1.0 / (scale * self.forgetting), &v, &v, 1.0 / self.forgetting);
        if self.forgetting < 1.0 {
            self.hold();
        }
    }

    fn times(&self, features: &DVector<f64>) -> DVector<f64> {
        let mut product = DVector::zeros(features.len());
        product.sygemv(1.0, &self.inverse, features, 0.0);
        product
    }

    /// `Q P Q` with diagonal Q, where P's diagonal is above its start.
    fn hold(&mut self) {
        let len = self.inverse.nrows();
        let shrink: Vec<f64> =
            (0..len).map(|i| (self.largest / self.inverse[(i, i)]).min(1.0).sqrt()).collect();
        if shrink.iter().all(|&q| q == 1.0) {
            return;
        }

        for column in 0..len {
            for row in column..len {
                self.inverse[(row, column)] *= shrink[row] * shrink[column];
            }
        }
    }
}

/// The lower triangle, column by column.
mod symmetric {
    use std::collections::VecDeque;

    use nalgebra::DMatrix;
    use serde::de::Error;
    use serde::{Deserializer, Serializer};
    use tickcast_model::le_blob;

    /// Writes the lower triangle.
    pub fn serialize<S: Serializer>(matrix: &DMatrix<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let len = matrix.nrows();
        let lower = (0..len).flat_map(|column| (column..len).map(move |row| matrix[(row, column)]));
        le_blob::serialize(&lower.collect::<VecDeque<f64>>(), serializer)
    }

    /// Reads what `serialize` wrote. Errors: when it is no triangle.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DMatrix<f64>, D::Error> {
        let lower: VecDeque<f64> = le_blob::deserialize(deserializer)?;
        let len = ((8 * lower.len() + 1).isqrt() - 1) / 2;
        if len * (len + 1) / 2 != lower.len() {
            return Err(D::Error::custom("no triangle"));
        }
        let mut matrix = DMatrix::zeros(len, len);
        let places = (0..len).flat_map(|column| (column..len).map(move |row| (row, column)));
        places.zip(lower).for_each(|(place, value)| matrix[place] = value);
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(n: u64, len: usize) -> DVector<f64> {
        DVector::from_fn(len, |i, _| ((n * 7919 + i as u64 * 104_729) % 1009) as f64 / 504.5 - 1.0)
    }

    #[test]
    fn without_forgetting_it_is_the_inverse_of_the_ridged_covariance() {
        let (mut inverse, mut covariance) =
            (InverseCovariance::new(3, 1.0, 2.0), DMatrix::identity(3, 3) * 2.0);
        for n in 0..50 {
            let features = draws(n, 3);
            inverse.absorb(&features);
            covariance += &features * features.transpose();
        }
        let expected = covariance.try_inverse().unwrap();
        let probe = DVector::from_vec(vec![0.3, -0.2, 0.9]);
        assert!((inverse.times(&probe) - expected * probe).norm() < 1e-12);
    }

    #[test]
    fn a_hundred_thousand_dead_and_collinear_features_leave_it_finite() {
        for forgetting in [1.0, 0.998, 0.95] {
            let mut inverse = InverseCovariance::new(4, forgetting, 10.0);
            for n in 0..100_000 {
                let x = draws(n, 1)[0] * if n % 10_000 < 5_000 { 5.0 } else { 0.0 };
                inverse.absorb(&DVector::from_vec(vec![1.0, x, 2.0 * x, 0.0]));
            }
            let gain = inverse.gain(&DVector::from_vec(vec![1.0, 5.0, -5.0, 5.0]));
            assert!(gain.iter().all(|value| value.is_finite() && value.abs() < 1.0), "{gain}");
        }
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let mut inverse = InverseCovariance::new(5, 0.99, 10.0);
        (0..20).for_each(|n| inverse.absorb(&draws(n, 5)));
        let bytes = postcard::to_stdvec(&inverse).unwrap();
        let mut again: InverseCovariance = postcard::from_bytes(&bytes).unwrap();
        (0..20).for_each(|n| {
            [&mut inverse, &mut again].iter_mut().for_each(|inverse| inverse.absorb(&draws(n, 5)))
        });
        assert_eq!(inverse.gain(&draws(3, 5)), again.gain(&draws(3, 5)));
        assert!(postcard::from_bytes::<InverseCovariance>(&bytes[..bytes.len() - 8]).is_err());
    }
}
