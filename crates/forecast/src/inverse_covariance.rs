//! The inverse covariance P of features under exponential forgetting. It gives recursive least
//! squares its gain.
//! It must not know what is predicted from the features; any number of targets share one.
//!
//! `P <- (P - v v' / (λ + φ'v)) / λ` with `v = P φ`. Only the lower triangle is kept, so P stays
//! symmetric, and it is kept in single precision: n (n + 1) / 2 numbers of 4 bytes. Products are
//! made in double precision. With λ < 1 a direction that nothing excites would grow without end: a
//! congruence holds the diagonal at its start. So directions differ by at most some 10^5, and P
//! stays positive in spite of its rounding.

/// How a covariance forgets, and what it begins with.
#[derive(Debug, Clone, Copy)]
pub struct Forgetting {
    /// λ in (0, 1].
    pub factor: f64,
    /// > 0: P starts as I / ridge. No element of the diagonal is ever larger.
    pub ridge: f64,
}

/// Numbers of a triangle for so many features.
pub fn places(features: usize) -> usize {
    features * (features + 1) / 2
}

/// Writes P for `len` features of which nothing is known. `lower`: its lower triangle, column by
/// column, here and below.
pub fn begin(lower: &mut [f32], len: usize, forgetting: &Forgetting) {
    lower.fill(0.0);
    for_columns(lower, len, |_, column| column[0] = (1.0 / forgetting.ridge) as f32);
}

/// The gain: how far weights move for an error of one at these features, `P φ / max(1, φ' P φ)`.
pub fn gain(lower: &[f32], features: &[f64]) -> Vec<f64> {
    let mut gain = times(lower, features);
    let most = dot(features, &gain).max(1.0);
    gain.iter_mut().for_each(|gain| *gain /= most);
    gain
}

/// Takes features in, whatever they predict.
pub fn absorb(lower: &mut [f32], features: &[f64], forgetting: &Forgetting) {
    let v = times(lower, features);
    // Never below 0 but by rounding.
    let scale = forgetting.factor + dot(features, &v).max(0.0);
    let (kept, rate) = (1.0 / forgetting.factor, -1.0 / (scale * forgetting.factor));

    for_columns(lower, v.len(), |at, column| {
        let factor = rate * v[at];
        for (element, v) in column.iter_mut().zip(&v[at..]) {
            *element = (f64::from(*element) * kept + factor * v) as f32;
        }
    });
    if forgetting.factor < 1.0 {
        hold(lower, v.len(), 1.0 / forgetting.ridge);
    }
}

/// P φ. Each element below the diagonal counts twice: in its row and in its column.
fn times(lower: &[f32], features: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; features.len()];
    let mut rest = lower;
    for at in 0..features.len() {
        let (column, others) = rest.split_at(features.len() - at);
        rest = others;

        let own = features[at];
        let (first, products) = product[at..].split_at_mut(1);
        let column_sum = add_column(&column[1..], own, &features[at + 1..], products);
        first[0] += f64::from(column[0]) * own + column_sum;
    }
    product
}

/// `Q P Q` with diagonal Q, where P's diagonal is above its start.
fn hold(lower: &mut [f32], len: usize, largest: f64) {
    let mut shrink = vec![1.0; len];
    for_columns(lower, len, |at, column| {
        shrink[at] = (largest / f64::from(column[0])).min(1.0).sqrt();
    });
    if shrink.iter().all(|&q| q == 1.0) {
        return;
    }

    for_columns(lower, len, |at, column| {
        let own = shrink[at];
        for (element, q) in column.iter_mut().zip(&shrink[at..]) {
            *element = (f64::from(*element) * (own * q)) as f32;
        }
    });
}

/// Runs `work` for each column of a lower triangle, with its index.
fn for_columns(lower: &mut [f32], len: usize, mut work: impl FnMut(usize, &mut [f32])) {
    let mut rest = lower;
    for at in 0..len {
        let (column, others) = rest.split_at_mut(len - at);
        work(at, column);
        rest = others;
    }
}

/// Numbers that are summed side by side. Their order is part of the result's bits.
const LANES: usize = 4;

/// `products += column * own`; returns `column · features`.
fn add_column(column: &[f32], own: f64, features: &[f64], products: &mut [f64]) -> f64 {
    let (columns, last_column) = column.as_chunks::<LANES>();
    let (all_features, last_features) = features.as_chunks::<LANES>();
    let (all_products, last_products) = products.as_chunks_mut::<LANES>();

    let mut sums = [0.0; LANES];
    for ((column, features), products) in columns.iter().zip(all_features).zip(all_products) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let element = f64::from(column[lane]);
            *sum += element * features[lane];
            products[lane] += element * own;
        }
    }

    let mut sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for ((&element, feature), product) in last_column.iter().zip(last_features).zip(last_products) {
        sum += f64::from(element) * feature;
        *product += f64::from(element) * own;
    }
    sum
}

/// a · b, in an order that is always the same. `a` in either precision.
pub fn dot<A: Copy + Into<f64>>(a: &[A], b: &[f64]) -> f64 {
    let (all_a, last_a) = a.as_chunks::<LANES>();
    let (all_b, last_b) = b.as_chunks::<LANES>();

    let mut sums = [0.0; LANES];
    for (a, b) in all_a.iter().zip(all_b) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += a[lane].into() * b[lane];
        }
    }

    let rest: f64 = last_a.iter().zip(last_b).map(|(&a, b)| a.into() * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVector};
    use proptest::prelude::*;

    use super::*;

    fn draws(n: u64, len: usize) -> Vec<f64> {
        let draw = |i: u64| ((n * 7919 + i * 104_729) % 1009) as f64 / 504.5 - 1.0;
        (0..len as u64).map(draw).collect()
    }

    /// A triangle of `len` features, as it begins.
    fn new(len: usize, forgetting: &Forgetting) -> Vec<f32> {
        let mut lower = vec![f32::NAN; places(len)];
        begin(&mut lower, len, forgetting);
        lower
    }

    /// All of P.
    fn dense(lower: &[f32], len: usize) -> DMatrix<f64> {
        let mut lower = lower.to_vec();
        let mut dense = DMatrix::zeros(len, len);
        for_columns(&mut lower, len, |at, column| {
            for (below, element) in column.iter().enumerate() {
                dense[(at + below, at)] = f64::from(*element);
                dense[(at, at + below)] = f64::from(*element);
            }
        });
        dense
    }

    #[test]
    fn without_forgetting_it_is_the_inverse_of_the_ridged_covariance() {
        let forgetting = Forgetting { factor: 1.0, ridge: 2.0 };
        let (mut inverse, mut covariance) = (new(3, &forgetting), DMatrix::identity(3, 3) * 2.0);
        for n in 0..50 {
            let features = DVector::from_vec(draws(n, 3));
            absorb(&mut inverse, features.as_slice(), &forgetting);
            covariance += &features * features.transpose();
        }
        let expected = covariance.try_inverse().unwrap();
        let probe = DVector::from_vec(vec![0.3, -0.2, 0.9]);
        let product = DVector::from_vec(times(&inverse, probe.as_slice()));
        assert!((product - expected * probe).norm() < 1e-7);
    }

    proptest! {
        #[test]
        fn it_follows_what_the_whole_matrix_does_in_double_precision(
            len in 1usize..34, factor in 0.9f64..1.0, seed in 0u64..1000,
        ) {
            let forgetting = Forgetting { factor, ridge: 3.0 };
            let mut inverse = new(len, &forgetting);
            let mut whole = DMatrix::from_diagonal_element(len, len, 1.0 / 3.0);
            for n in 0..40 {
                let features = DVector::from_vec(draws(seed + n, len));
                let product = DVector::from_vec(times(&inverse, features.as_slice()));
                let of_dense = dense(&inverse, len) * &features;
                prop_assert!((&product - &of_dense).norm() <= 1e-12 * of_dense.norm());

                let v = &whole * &features;
                whole = (&whole - &v * v.transpose() / (factor + features.dot(&v))) / factor;
                let shrink = |i: usize| (1.0 / 3.0 / whole[(i, i)]).min(1.0).sqrt();
                let shrink = DMatrix::from_diagonal(&DVector::from_fn(len, |i, _| shrink(i)));
                whole = &shrink * &whole * &shrink;
                absorb(&mut inverse, features.as_slice(), &forgetting);
                prop_assert!((dense(&inverse, len) - &whole).norm() <= 1e-4 * whole.norm());
            }
        }
    }

    #[test]
    fn a_hundred_thousand_dead_and_collinear_features_leave_it_positive() {
        for (factor, ridge) in [(1.0, 10.0), (0.998, 10.0), (0.998, 1.0), (0.95, 3.0)] {
            let forgetting = Forgetting { factor, ridge };
            let mut inverse = new(4, &forgetting);
            for n in 0..100_000 {
                let x = draws(n, 1)[0] * if n % 10_000 < 5_000 { 5.0 } else { 0.0 };
                absorb(&mut inverse, &[1.0, x, 2.0 * x, 0.0], &forgetting);
            }
            let moved = gain(&inverse, &[1.0, 5.0, -5.0, 5.0]);
            assert!(moved.iter().all(|value| value.is_finite() && value.abs() < 1.0), "{moved:?}");
            let least = dense(&inverse, 4).symmetric_eigenvalues().min();
            assert!(least > 0.0, "{factor}: {least}");
        }
    }
}
