//! The linear read-out: outputs from the top layer's state and the current input.
//! It must not know the cell below it.

use nalgebra::{DMatrix, DMatrixView};

use super::real::Real;
use super::weights::{HeadWeights, affine};

/// y_t = W_hy h_t + b_y + W_skip x_t for every column of `h` (H × N) and `x` (I × N). The skip lets
/// the network hold linear effects of the features without bending them through the cell.
pub fn forward<F: Real>(weights: &HeadWeights<F>, h: DMatrixView<'_, F>, x: &DMatrix<F>) -> DMatrix<F> {
    let mut y = affine(&weights.w_hy, h, &weights.b_y);
    if let Some(w_skip) = &weights.w_skip {
        y.gemm(F::one(), w_skip, x, F::one());
    }
    y
}

/// From the derivative by y (O × N): the gradient by the weights, and the derivative by h (H × N).
pub fn backward<F: Real>(
    weights: &HeadWeights<F>,
    h: DMatrixView<'_, F>,
    x: &DMatrix<F>,
    d_y: &DMatrix<F>,
) -> (HeadWeights<F>, DMatrix<F>) {
    let gradient = HeadWeights {
        w_hy: d_y * h.transpose(),
        b_y: d_y.column_sum(),
        w_skip: weights.w_skip.as_ref().map(|_| d_y * x.transpose()),
    };

    (gradient, weights.w_hy.transpose() * d_y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DVector;

    #[test]
    fn state_bias_and_skip_add_up() {
        let weights = HeadWeights {
            w_hy: DMatrix::from_row_slice(1, 2, &[2.0, 3.0]),
            b_y: DVector::from_element(1, 0.5),
            w_skip: Some(DMatrix::from_row_slice(1, 1, &[10.0])),
        };

        let (h, x) = (DMatrix::from_column_slice(2, 1, &[1.0, -1.0]), DMatrix::from_element(1, 1, 4.0));
        assert_eq!(forward(&weights, h.as_view(), &x)[0], 2.0 - 3.0 + 0.5 + 40.0);

        let (gradient, d_h) = backward(&weights, h.as_view(), &x, &DMatrix::from_element(1, 1, 2.0));
        assert_eq!(gradient.w_hy.as_slice(), [2.0, -2.0]);
        assert_eq!((gradient.b_y[0], gradient.w_skip.unwrap()[0]), (2.0, 8.0));
        assert_eq!(d_h.as_slice(), [4.0, 6.0]);
    }
}
