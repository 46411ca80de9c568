//! The two products of the backward pass: by the transposed weights, and the gradient by the
//! weights.
//! It must not know cells: it sees columns of vectors and the order of their sums.

use std::array::from_fn;

use pulp::Simd;

use super::accumulate::accumulate;
use super::floats::AlignedFloats;
use super::lanes::{columns_of_a_tile, load, parts, store};
use super::panels::{BIASES, LANES, LayerPanels, padded};

/// Columns of numbers, one every `stride` elements.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// All columns, one after another.
    pub values: &'a [f32],
    /// Elements from the start of one column to the start of the next.
    pub stride: usize,
}

impl<'a> Columns<'a> {
    /// The first `len` elements of column `at`.
    #[inline(always)]
    pub fn column(&self, at: usize, len: usize) -> &'a [f32] {
        &self.values[at * self.stride..][..len]
    }

    /// From column `first` on.
    pub fn from(&self, first: usize) -> Columns<'a> {
        Columns { values: &self.values[first * self.stride..], ..*self }
    }
}

/// How the vectors of sums lie in a tape, and to which of them a matrix led.
#[derive(Debug, Clone, Copy)]
pub struct Sums {
    /// Vectors for a vector of units: 4 of a gated cell, 1 of a simple one.
    pub unit: usize,
    /// Vectors for a panel.
    pub panel: usize,
    /// Whether gate 2 has a sum of its own, the last (the hidden product of a GRU).
    pub apart: bool,
}

impl Sums {
    /// Of the product with the inputs, where every gate has its own.
    pub fn of_inputs(self) -> Sums {
        Sums { apart: false, ..self }
    }

    /// The sum of gate `gate`.
    #[inline(always)]
    fn of(self, gate: usize) -> usize {
        if self.apart && gate == 2 { 3 } else { gate }
    }
}

/// W transposed, for the product with derivatives. It is cut into blocks of up to 64 lanes, a lane
/// a column of W. A block has a row for each row of W, in the order panel, gate, unit.
#[derive(Debug, Clone, Default)]
pub struct Transposed {
    values: AlignedFloats,
    /// Vectors of lanes a block: 4, 2 or 1.
    vectors: usize,
    blocks: usize,
    gates: usize,
    /// Units of W's rows: only they are not zero.
    units: usize,
}

impl Transposed {
    /// Room for the transpose of a weight of `block` that has `columns` columns.
    pub fn new(block: &LayerPanels, columns: usize) -> Transposed {
        let lanes = padded(columns);
        let vectors = [4, 2].into_iter().find(|v| lanes.is_multiple_of(LANES * v)).unwrap_or(1);
        let blocks = lanes / (LANES * vectors);
        let rows = padded(block.units) * block.gates;

        Transposed {
            values: AlignedFloats::zeros(rows * lanes),
            vectors,
            blocks,
            gates: block.gates,
            units: block.units,
        }
    }

    /// Copies W out of the panels. It is `columns` rows of each panel of `block`, from `first_row`
    /// on.
    #[inline(always)]
    pub fn fill(&mut self, block: &LayerPanels, params: &[f32], first_row: usize, columns: usize) {
        let row = block.vectors() * LANES;
        let lanes = self.vectors * LANES;
        let rows = self.rows();

        // Vector `v` of panel `p` is vector p·V + v of W's rows, whether it is a gate's or of more
        // units.
        for p in 0..block.panels() {
            let panel = &params[block.panel(p)][first_row * row..];
            for v in 0..block.vectors() {
                let vector = p * block.vectors() + v;
                for k in (0..columns).step_by(LANES) {
                    let into = (k / lanes) * rows * lanes + vector * LANES * lanes + k % lanes;
                    let from = &panel[k * row + v * LANES..];
                    transpose(from, row, (columns - k).min(LANES), &mut self.values[into..], lanes);
                }
            }
        }
    }

    fn rows(&self) -> usize {
        padded(self.units) * self.gates
    }
}

/// Writes sixteen columns of `from` (`count` rows, `row` elements apart) as sixteen rows of `into`,
/// `lanes` elements apart. Squares of four by four are what the compiler turns in registers.
#[inline(always)]
fn transpose(from: &[f32], row: usize, count: usize, into: &mut [f32], lanes: usize) {
    const SIDE: usize = 4;
    for k in (0..count).step_by(SIDE) {
        for unit in (0..LANES).step_by(SIDE) {
            let mut square = [[0.0f32; SIDE]; SIDE];
            for (near, line) in square.iter_mut().enumerate().take(count - k) {
                line.copy_from_slice(&from[(k + near) * row + unit..][..SIDE]);
            }
            for far in 0..SIDE {
                let line: [f32; SIDE] = from_fn(|near| square[near][far]);
                into[(unit + far) * lanes + k..][..SIDE].copy_from_slice(&line);
            }
        }
    }
}

/// out[n] += Wᵀ d[n] for `count` columns: `out` has a column every `stride` elements. The sum is
/// gate by gate: each gate's part is one chain over its units, then added.
#[inline(always)]
pub fn add_transposed_product<S: Simd>(
    simd: S,
    w: &Transposed,
    d: Columns<'_>,
    sums: Sums,
    out: &mut [f32],
    stride: usize,
    count: usize,
) {
    match w.vectors {
        4 => product::<S, 4>(simd, w, d, sums, out, stride, count),
        2 => product::<S, 2>(simd, w, d, sums, out, stride, count),
        _ => product::<S, 1>(simd, w, d, sums, out, stride, count),
    }
}

#[inline(always)]
fn product<S: Simd, const J: usize>(
    simd: S,
    w: &Transposed,
    d: Columns<'_>,
    sums: Sums,
    out: &mut [f32],
    stride: usize,
    count: usize,
) {
    for block in 0..w.blocks {
        let mut column = 0;
        while column < count {
            let at = TilePlace { block, first: column };

            column += match (count - column).min(columns_of_a_tile::<S>(J)) {
                8.. => tile::<S, J, 8>(simd, w, d, sums, out, stride, at),
                4.. => tile::<S, J, 4>(simd, w, d, sums, out, stride, at),
                2.. => tile::<S, J, 2>(simd, w, d, sums, out, stride, at),
                _ => tile::<S, J, 1>(simd, w, d, sums, out, stride, at),
            };
        }
    }
}

/// Which columns of `out` a tile is of, and which of their lanes.
#[derive(Clone, Copy)]
struct TilePlace {
    /// Of `Transposed`.
    block: usize,
    /// The first of the tile's columns.
    first: usize,
}

#[inline(always)]
fn tile<S: Simd, const J: usize, const N: usize>(
    simd: S,
    w: &Transposed,
    d: Columns<'_>,
    sums: Sums,
    out: &mut [f32],
    stride: usize,
    place: TilePlace,
) -> usize {
    let TilePlace { block, first } = place;
    let row = J * parts::<S>();
    let rows = S::as_simd_f32s(&w.values).0;
    let rows = &rows[block * w.rows() * row..][..w.rows() * row];
    let columns: [&[f32]; N] = from_fn(|n| d.column(first + n, d.stride));

    for part in 0..parts::<S>() {
        for gate in 0..w.gates {
            let mut totals = [[simd.splat_f32s(0.0); J]; N];
            for vector in 0..padded(w.units) / LANES {
                let units = (w.units - vector * LANES).min(LANES);
                let rows = &rows[(vector * w.gates + gate) * LANES * row..][..units * row];
                let at = (vector * sums.unit + sums.of(gate)) * LANES;
                let mut d = columns;
                for column in &mut d {
                    *column = &column[at..at + units];
                }
                accumulate::<S, J, J, N>(simd, &mut totals, rows, part, &d, |j| j);
            }

            for (n, totals) in totals.into_iter().enumerate() {
                for (j, sum) in totals.into_iter().enumerate() {
                    let lane = (block * J + j) * LANES + part * S::F32_LANES;
                    let at = (first + n) * stride + lane;
                    let total = simd.add_f32s(load(simd, out, at), sum);
                    store(simd, out, at, total);
                }
            }
        }
    }

    N
}

/// Columns that one pass of the gradient reads. So many stay in the first cache over all its rows.
const CHUNK: usize = 64;

/// What the gradient by a block's weights is summed from, over `columns` columns.
pub struct Sources<'a> {
    /// By the sums.
    pub d: Columns<'a>,
    /// x_t of every column.
    pub inputs: Columns<'a>,
    /// h_{t-1} of every column.
    pub hidden: Columns<'a>,
    /// How many: steps times series.
    pub columns: usize,
}

/// gradient += d [1; 1; x; h]ᵀ over all columns, in ascending order, in the order of the block's
/// panels.
#[inline(always)]
pub fn add_gradient<S: Simd, const V: usize>(
    simd: S,
    block: &LayerPanels,
    from: &Sources<'_>,
    sums: Sums,
    gradient: &mut [f32],
) {
    for first in (0..from.columns).step_by(CHUNK) {
        let count = (from.columns - first).min(CHUNK);
        let d = from.d.from(first);
        let (inputs, hidden) = (from.inputs.from(first), from.hidden.from(first));

        for p in 0..block.panels() {
            let panel = &mut gradient[block.panel(p)];
            let (biases, weights) = panel.split_at_mut(BIASES * V * LANES);
            let (by_inputs, by_hidden) = weights.split_at_mut(block.inputs * V * LANES);
            let at = p * sums.panel * LANES;
            add_bias_gradient::<S, V>(simd, d, at, count, biases, sums);
            add_outer::<S, V>(simd, d, at, count, inputs, sums.of_inputs(), by_inputs);
            add_outer::<S, V>(simd, d, at, count, hidden, sums, by_hidden);
        }
    }
}

/// Adds up every sum's derivative over the columns. The first row of biases belongs to the inputs'
/// sums, the second to the hidden ones.
#[inline(always)]
fn add_bias_gradient<S: Simd, const V: usize>(
    simd: S,
    d: Columns<'_>,
    at: usize,
    count: usize,
    biases: &mut [f32],
    sums: Sums,
) {
    let biases = S::as_mut_simd_f32s(biases).0;
    for part in 0..parts::<S>() {
        let mut totals = [simd.splat_f32s(0.0); 4];
        for n in 0..count {
            let column = S::as_simd_f32s(&d.values[n * d.stride + at..][..sums.panel * LANES]).0;
            for (total, vector) in totals.iter_mut().zip(column.chunks_exact(parts::<S>())) {
                *total = simd.add_f32s(*total, vector[part]);
            }
        }

        for (row, biases) in biases.chunks_exact_mut(V * parts::<S>()).enumerate() {
            for v in 0..V {
                let bias = &mut biases[v * parts::<S>() + part];
                *bias = simd.add_f32s(*bias, totals[if row == 0 { v } else { sums.of(v) }]);
            }
        }
    }
}

/// rows[k] += Σ_n d[n] x[n][k], n ascending.
#[inline(always)]
fn add_outer<S: Simd, const V: usize>(
    simd: S,
    d: Columns<'_>,
    at: usize,
    count: usize,
    x: Columns<'_>,
    sums: Sums,
    rows: &mut [f32],
) {
    let length = rows.len() / (V * LANES);

    let mut k = 0;
    while k < length {
        let rows = &mut rows[k * V * LANES..];
        let x = Columns { values: &x.values[k..], ..x };
        k += match (length - k).min(columns_of_a_tile::<S>(V)) {
            8.. if const { V < 3 } => outer_tile::<S, V, 8>(simd, d, at, count, x, sums, rows),
            4.. => outer_tile::<S, V, 4>(simd, d, at, count, x, sums, rows),
            2.. => outer_tile::<S, V, 2>(simd, d, at, count, x, sums, rows),
            _ => outer_tile::<S, V, 1>(simd, d, at, count, x, sums, rows),
        };
    }
}

#[inline(always)]
fn outer_tile<S: Simd, const V: usize, const K: usize>(
    simd: S,
    d: Columns<'_>,
    at: usize,
    count: usize,
    x: Columns<'_>,
    sums: Sums,
    rows: &mut [f32],
) -> usize {
    let rows = S::as_mut_simd_f32s(&mut rows[..K * V * LANES]).0;
    for part in 0..parts::<S>() {
        let place = |k: usize, v: usize| (k * V + v) * parts::<S>() + part;
        let from: [usize; V] = from_fn(|v| sums.of(v) * parts::<S>() + part);

        let mut totals: [[S::f32s; V]; K] = from_fn(|k| from_fn(|v| rows[place(k, v)]));
        for n in 0..count {
            let column = &d.values[n * d.stride + at..][..sums.panel * LANES];
            let column = S::as_simd_f32s(column).0;
            let factors = &x.values[n * x.stride..][..K];
            let derivatives: [S::f32s; V] = from_fn(|v| column[from[v]]);

            for k in 0..K {
                let factor = simd.splat_f32s(factors[k]);
                for v in 0..V {
                    totals[k][v] = simd.mul_add_f32s(derivatives[v], factor, totals[k][v]);
                }
            }
        }

        for (k, totals) in totals.into_iter().enumerate() {
            for (v, total) in totals.into_iter().enumerate() {
                rows[place(k, v)] = total;
            }
        }
    }

    K
}
