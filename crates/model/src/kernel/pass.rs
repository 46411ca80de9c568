//! A pass over a window: the layers from the lowest to the head, or from the head back to the
//! lowest.
//! It must not know equations: cells have them.

use pulp::{Simd, WithSimd};

use super::cells::{Fused, Gru, Lstm, Simple};
use super::head::{ReadBack, ReadOut};
use super::layer::{LayerBackward, LayerForward};
use super::panels::{LANES, LayerPanels, Panels, padded};
use super::products::{Columns, Sources, Sums, Transposed, add_gradient, add_transposed_product};
use super::tape::KernelTape;
use crate::spec::{CellKind, NetworkSpec};

/// `TransposedWeights::fill`, compiled for the CPU.
pub struct Prepare<'a> {
    /// Where the weights lie.
    pub panels: &'a Panels,
    /// All parameters of the network.
    pub params: &'a [f32],
    /// Out: the transposed weights.
    pub tape: &'a mut KernelTape,
}

impl WithSimd for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.tape.transposed.fill(self.panels, self.params);
    }
}

/// A forward pass, or with a gradient a backward one.
pub struct Pass<'a> {
    /// The shape of the network.
    pub spec: &'a NetworkSpec,
    /// Where the weights lie.
    pub panels: &'a Panels,
    /// All parameters of the network.
    pub params: &'a [f32],
    /// In: inputs and start states. Out: outputs and states.
    pub tape: &'a mut KernelTape,
    /// Out, in zeros: by all parameters; none for a forward pass.
    pub gradient: Option<&'a mut [f32]>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let spec = self.spec;
        let simple = Simple(spec.activation);
        match (spec.cell, self.panels.layers[0].width) {
            (CellKind::Lstm, _) => self.run::<S, _, 4, 4>(simd, Lstm),
            (CellKind::Gru, _) => self.run::<S, _, 3, 4>(simd, Gru),
            (CellKind::Rnn, 4) => self.run::<S, _, 4, 4>(simd, simple),
            (CellKind::Rnn, 2) => self.run::<S, _, 2, 2>(simd, simple),
            (CellKind::Rnn, _) => self.run::<S, _, 1, 1>(simd, simple),
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn run<S: Simd, C: Fused, const V: usize, const A: usize>(mut self, simd: S, cell: C) {
        match self.gradient.take() {
            None => self.forward::<S, C, V, A>(simd, cell),
            Some(gradient) => self.backward::<S, C, V, A>(simd, cell, gradient),
        }
    }

    /// The layers from the lowest to the top one, then the head.
    #[inline(always)]
    fn forward<S: Simd, C: Fused, const V: usize, const A: usize>(self, simd: S, cell: C) {
        let Pass { spec, panels, params, tape, .. } = self;
        let window = tape.window;

        for (k, block) in panels.layers.iter().enumerate() {
            let (below, layers) = tape.layers.split_at_mut(k);
            let inputs = match below.last() {
                None => Columns { values: &tape.inputs, stride: padded(block.inputs) },
                Some(layer) => states_after(&layer.h, block.inputs, window.batch),
            };

            simd.vectorize(LayerForward::<C, V, A> {
                cell,
                block,
                params,
                inputs,
                tape: &mut layers[0],
                window,
            });
        }

        simd.vectorize(ReadOut {
            head: &panels.head,
            params,
            inputs: Columns { values: &tape.inputs, stride: padded(spec.inputs) },
            hidden: states_after(&tape.layers[spec.layers - 1].h, spec.hidden, window.batch),
            outputs: &mut tape.outputs,
            columns: window.columns(),
        });
    }

    /// The head, then the layers from the top one to the lowest. Each layer leaves the derivative
    /// by its inputs in `d_below`, where the next one finds it.
    #[inline(always)]
    fn backward<S: Simd, C: Fused, const V: usize, const A: usize>(
        self,
        simd: S,
        cell: C,
        gradient: &mut [f32],
    ) {
        let Pass { spec, panels, params, tape, .. } = self;
        let window = tape.window;
        let (columns, units) = (window.columns(), padded(spec.hidden));
        let KernelTape { inputs, layers, slopes, d_h: [d_h, d_below], d_c, transposed, .. } = tape;
        let inputs = Columns { values: inputs, stride: padded(spec.inputs) };

        simd.vectorize(ReadBack {
            head: &panels.head,
            params,
            inputs,
            hidden: states_after(&layers[layers.len() - 1].h, spec.hidden, window.batch),
            slopes,
            d_h,
            gradient,
            columns,
        });

        let sums = Sums { unit: C::SUMS, panel: A, apart: C::APART };

        let (mut d_h, mut d_below) = (d_h, d_below);
        for (k, block) in panels.layers.iter().enumerate().rev() {
            let (below, rest) = layers.split_at_mut(k);
            let layer = &mut rest[0];

            d_c[..window.batch * units].fill(0.0);
            let w_hh = &transposed.hidden[k];
            simd.vectorize(LayerBackward::<C, V, A> { cell, block, w_hh, tape: layer, d_h, d_c, window });
            let d = Columns { values: &layer.gates, stride: block.panels() * A * LANES };

            if k > 0 {
                d_below[..columns * units].fill(0.0);
                let (w, sums) = (&transposed.inputs[k - 1], sums.of_inputs());
                simd.vectorize(Product { w, d, sums, out: d_below, stride: units, count: columns });
            }

            let inputs = match below.last() {
                None => inputs,
                Some(layer) => states_after(&layer.h, block.inputs, window.batch),
            };
            let hidden = Columns { values: &layer.h, stride: units };
            let sources = Sources { d, inputs, hidden, columns };
            simd.vectorize(Gradient::<V> { block, sources, sums, gradient });
            std::mem::swap(&mut d_h, &mut d_below);
        }
    }
}

/// h_1 … h_T as columns.
#[inline(always)]
fn states_after(h: &[f32], hidden: usize, batch: usize) -> Columns<'_> {
    let stride = padded(hidden);
    Columns { values: &h[batch * stride..], stride }
}

/// `add_transposed_product`, compiled once.
struct Product<'a> {
    w: &'a Transposed,
    d: Columns<'a>,
    sums: Sums,
    out: &'a mut [f32],
    stride: usize,
    count: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_transposed_product(simd, self.w, self.d, self.sums, self.out, self.stride, self.count);
    }
}

struct Gradient<'a, const V: usize> {
    block: &'a LayerPanels,
    sources: Sources<'a>,
    sums: Sums,
    gradient: &'a mut [f32],
}

impl<const V: usize> WithSimd for Gradient<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_gradient::<S, V>(simd, self.block, &self.sources, self.sums, self.gradient);
    }
}
