//! One recurrent layer over a window, forwards and backwards through time, in register tiles.
//! It must not know other layers, losses or parameters' names.
//!
//! A tile is one panel of units by a few series. Its sums stay in registers over all rows of the
//! panel, and the cell's activations are applied to them there. What the backward pass needs is
//! written to the tape once.

use std::array::from_fn;

use pulp::{Simd, WithSimd};

use super::accumulate::accumulate;
use super::cells::{Fused, Past};
use super::lanes::{columns_of_a_tile, load, parts, store};
use super::panels::{BIASES, LANES, LayerPanels, padded};
use super::products::{Columns, Sums, Transposed, add_transposed_product};
use super::tape::LayerBuffers;
use super::window::WindowSize;

/// h_1 … h_T of a layer from its inputs and its start state. `V` vectors a row, `A` sums a panel.
pub struct LayerForward<'a, C, const V: usize, const A: usize> {
    /// The cell's equations.
    pub cell: C,
    /// Where the layer's weights lie.
    pub block: &'a LayerPanels,
    /// All parameters of the network.
    pub params: &'a [f32],
    /// x_1 … x_T, padded I each.
    pub inputs: Columns<'a>,
    /// In: the start state. Out: gates and states of every step.
    pub tape: &'a mut LayerBuffers,
    /// Steps and series.
    pub window: WindowSize,
}

impl<C: Fused, const V: usize, const A: usize> WithSimd for LayerForward<'_, C, V, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let WindowSize { steps, batch } = self.window;
        for step in 0..steps {
            for p in 0..self.block.panels() {
                let mut series = 0;
                while series < batch {
                    let first = step * batch + series;
                    // Tiles of 8, 4, 2 and 1 columns: as many as fit the registers and are left.
                    series += match (batch - series).min(columns_of_a_tile::<S>(V)) {
                        8.. if const { V < 3 } => self.tile::<S, 8>(simd, p, first),
                        4.. => self.tile::<S, 4>(simd, p, first),
                        2.. => self.tile::<S, 2>(simd, p, first),
                        _ => self.tile::<S, 1>(simd, p, first),
                    };
                }
            }
        }
    }
}

impl<C: Fused, const V: usize, const A: usize> LayerForward<'_, C, V, A> {
    /// Panel `p` at the `N` columns from `first`.
    #[inline(always)]
    fn tile<S: Simd, const N: usize>(&mut self, simd: S, p: usize, first: usize) -> usize {
        let block = self.block;
        let units = padded(block.units);
        let row = V * parts::<S>();
        let rows = S::as_simd_f32s(&self.params[block.panel(p)]).0;
        let (biases, rows) = rows.split_at(BIASES * row);
        let (from_inputs, from_hidden) = rows.split_at(block.inputs * row);
        let x: [&[f32]; N] = from_fn(|n| self.inputs.column(first + n, block.inputs));

        for part in 0..parts::<S>() {
            let mut start = [simd.splat_f32s(0.0); A];
            for v in 0..V {
                start[v] = biases[v * parts::<S>() + part];
            }

            for v in 0..V {
                let bias = biases[row + v * parts::<S>() + part];
                let sum = hidden_sum::<C>(v);
                start[sum] = if sum == v { simd.add_f32s(start[sum], bias) } else { bias };
            }

            let mut sums = [start; N];
            accumulate::<S, V, A, N>(simd, &mut sums, from_inputs, part, &x, |v| v);
            let h: [&[f32]; N] = from_fn(|n| &self.tape.h[(first + n) * units..][..block.units]);
            accumulate::<S, V, A, N>(simd, &mut sums, from_hidden, part, &h, hidden_sum::<C>);

            // Written out, so that no sum has to leave its register for a loop's index.
            macro_rules! bend {
                ($($n:literal)*) => { $(if $n < N {
                    let place = Place { panel: p, column: first + $n, part };
                    self.bend(simd, place, &mut sums[$n % N]);
                })* };
            }
            bend!(0 1 2 3 4 5 6 7);
        }

        N
    }

    /// Applies the cell at one place: makes h of the sums, and writes what the tape keeps.
    #[inline(always)]
    fn bend<S: Simd>(&mut self, simd: S, place: Place, sums: &mut [S::f32s; A]) {
        let Place { panel, column, part } = place;
        let (batch, width, tape) = (self.window.batch, A / C::SUMS, &mut *self.tape);

        for u in 0..width {
            let sums = &mut sums[u * C::SUMS..][..C::SUMS];
            let unit = (panel * width + u) * LANES + part * S::F32_LANES;
            let before = column * padded(self.block.units) + unit;
            let after = before + batch * padded(self.block.units);
            let zero = simd.splat_f32s(0.0);
            let (mut c, mut tanh_c) = (if C::MEMORY { load(simd, &tape.c, before) } else { zero }, zero);
            let h = self.cell.forward(simd, sums, load(simd, &tape.h, before), &mut c, &mut tanh_c);
            store(simd, &mut tape.h, after, h);

            if C::MEMORY {
                store(simd, &mut tape.c, after, c);
                store(simd, &mut tape.tanh_c, before, tanh_c);
            }

            if C::TAPED {
                let gates = (column * self.block.panels() + panel) * A * LANES + part * S::F32_LANES;
                for (a, gate) in sums.iter().enumerate() {
                    store(simd, &mut tape.gates, gates + a * LANES, *gate);
                }
            }
        }
    }
}

/// Which vector of units a tile's sums are of.
#[derive(Clone, Copy)]
struct Place {
    panel: usize,
    /// t·B + b
    column: usize,
    /// Of the CPU's vectors that make up sixteen lanes.
    part: usize,
}

/// The sum that the hidden product of gate `gate` goes to.
#[inline(always)]
fn hidden_sum<C: Fused>(gate: usize) -> usize {
    if C::APART && gate == 2 { 3 } else { gate }
}

/// Backpropagation through a layer's steps. It leaves the derivatives by the layer's sums in place
/// of the taped gates.
pub struct LayerBackward<'a, C, const V: usize, const A: usize> {
    /// The cell's equations.
    pub cell: C,
    /// Where the layer's weights lie.
    pub block: &'a LayerPanels,
    /// W_hh transposed.
    pub w_hh: &'a Transposed,
    /// What the forward pass left.
    pub tape: &'a mut LayerBuffers,
    /// Padded H × T·B. In: by h_1 … h_T from above; used up.
    pub d_h: &'a mut [f32],
    /// Padded H × B, zero: by c_T.
    pub d_c: &'a mut [f32],
    /// Steps and series.
    pub window: WindowSize,
}

impl<C: Fused, const V: usize, const A: usize> WithSimd for LayerBackward<'_, C, V, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let WindowSize { steps, batch } = self.window;
        let units = padded(self.block.units);
        let stride = self.block.panels() * A * LANES;

        for step in (0..steps).rev() {
            for series in 0..batch {
                self.bend(simd, step * batch + series);
            }
            if step > 0 {
                let now = &self.tape.gates[step * batch * stride..][..batch * stride];
                let before = &mut self.d_h[(step - 1) * batch * units..][..batch * units];
                let gates = Columns { values: now, stride };
                let sums = Sums { unit: C::SUMS, panel: A, apart: C::APART };
                add_transposed_product(simd, self.w_hh, gates, sums, before, units, batch);
            }
        }
    }
}

impl<C: Fused, const V: usize, const A: usize> LayerBackward<'_, C, V, A> {
    /// The elementwise part at one column.
    #[inline(always)]
    fn bend<S: Simd>(&mut self, simd: S, column: usize) {
        let (block, batch, width) = (self.block, self.window.batch, A / C::SUMS);
        let units = padded(block.units);
        let vectors = units / LANES;

        for vector in 0..vectors {
            for part in 0..parts::<S>() {
                let unit = vector * LANES + part * S::F32_LANES;
                let (before, after) = (column * units + unit, (column + batch) * units + unit);
                let gates = (column * vectors + vector) * C::SUMS * LANES + part * S::F32_LANES;
                debug_assert!(width == 1 || C::SUMS == 1);
                let zero = simd.splat_f32s(0.0);
                let mut sums = [zero; 4];

                if C::TAPED {
                    for (a, sum) in sums.iter_mut().enumerate().take(C::SUMS) {
                        *sum = load(simd, &self.tape.gates, gates + a * LANES);
                    }
                }

                let tape = &*self.tape;
                let past = Past {
                    h: if C::TAPED { zero } else { load(simd, &tape.h, after) },
                    h_before: if C::TAPED { load(simd, &tape.h, before) } else { zero },
                    c_before: if C::MEMORY { load(simd, &tape.c, before) } else { zero },
                    tanh_c: if C::MEMORY { load(simd, &tape.tanh_c, before) } else { zero },
                };

                let d_h = load(simd, self.d_h, before);
                let carried = (column % batch) * units + unit;
                let mut d_c = if C::MEMORY { load(simd, self.d_c, carried) } else { zero };

                let direct = self.cell.backward(simd, &mut sums[..C::SUMS], &past, d_h, &mut d_c);
                for (a, sum) in sums.iter().enumerate().take(C::SUMS) {
                    store(simd, &mut self.tape.gates, gates + a * LANES, *sum);
                }

                if C::MEMORY {
                    store(simd, self.d_c, carried, d_c);
                } else if C::TAPED && column >= batch {
                    let at = before - batch * units;
                    let sum = simd.add_f32s(load(simd, self.d_h, at), direct);
                    store(simd, self.d_h, at, sum);
                }
            }
        }
    }
}
