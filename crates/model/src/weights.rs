//! The flat parameter vector as matrices, and matrices as a flat vector: parameters and gradients
//! alike.
//! It must not know what a cell does with them.

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::real::Real;
use super::spec::ParameterLayout;

/// The parameters of one recurrent layer, or the gradient by them.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights<F: Real> {
    /// G·H × I
    pub w_ih: DMatrix<F>,
    /// G·H × H
    pub w_hh: DMatrix<F>,
    /// G·H
    pub b_ih: DVector<F>,
    /// G·H
    pub b_hh: DVector<F>,
}

/// The parameters of the head and the linear skip, or the gradient by them.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWeights<F: Real> {
    /// O × H
    pub w_hy: DMatrix<F>,
    /// O
    pub b_y: DVector<F>,
    /// O × I, where the network has a skip.
    pub w_skip: Option<DMatrix<F>>,
}

/// All parameters of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights<F: Real> {
    /// From the lowest to the highest.
    pub layers: Vec<LayerWeights<F>>,
    /// The linear head.
    pub head: HeadWeights<F>,
}

impl<F: Real> Weights<F> {
    /// Copies the matrices out of `params` (`layout.len()` elements), whose rows lie one after
    /// another.
    pub fn unpack(layout: &ParameterLayout, layers: usize, params: &DVector<F>) -> Weights<F> {
        assert_eq!(params.len(), layout.len(), "parameters of another network");

        let matrix = |at: usize| {
            let parameter = &layout.parameters()[at];
            let values = &params.as_slice()[parameter.range()];
            DMatrix::from_row_slice(parameter.rows(), parameter.columns(), values)
        };

        let vector =
            |at: usize| DVector::from_column_slice(&params.as_slice()[layout.parameters()[at].range()]);
        let layer = |at| LayerWeights {
            w_ih: matrix(at),
            w_hh: matrix(at + 1),
            b_ih: vector(at + 2),
            b_hh: vector(at + 3),
        };

        let head = 4 * layers;
        Weights {
            layers: (0..layers).map(|k| layer(4 * k)).collect(),
            head: HeadWeights {
                w_hy: matrix(head),
                b_y: vector(head + 1),
                w_skip: (layout.parameters().len() > head + 2).then(|| matrix(head + 2)),
            },
        }
    }

    /// The inverse of `unpack`.
    pub fn pack(&self) -> DVector<F> {
        let mut flat = Vec::new();
        for layer in &self.layers {
            // A transpose turns nalgebra's columns into the rows that PyTorch keeps.
            flat.extend_from_slice(layer.w_ih.transpose().as_slice());
            flat.extend_from_slice(layer.w_hh.transpose().as_slice());
            flat.extend_from_slice(layer.b_ih.as_slice());
            flat.extend_from_slice(layer.b_hh.as_slice());
        }

        flat.extend_from_slice(self.head.w_hy.transpose().as_slice());
        flat.extend_from_slice(self.head.b_y.as_slice());
        if let Some(w_skip) = &self.head.w_skip {
            flat.extend_from_slice(w_skip.transpose().as_slice());
        }

        DVector::from_vec(flat)
    }
}

/// W X + b, the bias added to every column. `x` must have contiguous rows.
pub fn affine<F: Real>(w: &DMatrix<F>, x: DMatrixView<'_, F>, b: &DVector<F>) -> DMatrix<F> {
    let mut product = w * x;
    for mut column in product.column_iter_mut() {
        column += b;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::NetworkSpec;
    use crate::spec::{Activation, CellKind};

    #[test]
    fn unpacked_rows_are_pytorchs_and_pack_is_the_inverse() {
        let spec = NetworkSpec {
            cell: CellKind::Lstm,
            activation: Activation::Tanh,
            inputs: 3,
            hidden: 2,
            layers: 2,
            outputs: 2,
            skip: true,
        };

        let layout = ParameterLayout::new(&spec);
        let params = DVector::from_fn(layout.len(), |at, _| at as f64);
        let weights = Weights::unpack(&layout, 2, &params);
        assert_eq!(weights.layers[0].w_ih.row(1).iter().copied().collect::<Vec<_>>(), [3.0, 4.0, 5.0]);
        assert_eq!(weights.layers[1].b_hh.len(), 8);
        assert_eq!(weights.head.w_skip.as_ref().unwrap().shape(), (2, 3));
        assert_eq!(weights.pack(), params);
    }

    #[test]
    fn affine_adds_the_bias_to_every_column() {
        let w = DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let x = DMatrix::from_column_slice(2, 2, &[1.0, 0.0, 0.0, 1.0]);
        let b = DVector::from_column_slice(&[10.0, 20.0]);
        assert_eq!(affine(&w, x.as_view(), &b).as_slice(), [11.0, 23.0, 12.0, 24.0]);
    }
}
