//! The fused f32 kernels: the same network as `network.rs`, at the machine's speed, the same bits on every CPU.
//! They must not know series, tracks or how a learner uses them.
//!
//! ```text
//! floats ─▶ panels      where parameters lie: nothing is packed before a product
//! lanes ──▶ cells       vectors of lanes, and each cell's equations on them
//!             └▶ layer  forward and backward through time, in register tiles
//! products ────┤  tape  the transposed product, the gradient by the weights; the memory of a pass
//! head ────────┘        the linear read-out
//! update                norm, clip, optimiser and average in one pass
//! ```
//!
//! `pulp` finds out once what the CPU can (AVX-512, AVX2 with FMA, NEON, or nothing) and compiles the kernels for each.
//! None of it is unsafe code of ours.

mod accumulate;
mod cells;
mod floats;
mod head;
mod lanes;
mod layer;
mod panels;
mod products;
mod tape;
mod update;
mod window;

pub use floats::Floats;
pub use tape::Tape;
pub use update::{Moments, Step};

use pulp::{Arch, Simd, WithSimd};

use self::cells::{Fused, Gru, Lstm, Simple};
use self::head::{ReadBack, ReadOut};
use self::layer::{Backward, Forward};
use self::panels::{Block, LANES, Panels, padded};
use self::products::{Columns, Sources, Sums, add_gradient, add_transposed_product};
use crate::spec::{Cell, NetworkSpec};

/// The instructions that kernels run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The best that this CPU has.
    Best,
    /// None but the architecture's basic ones.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// All that this CPU can run.
    pub fn available() -> Vec<Path> {
        let all = [
            Path::Portable,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2,
            #[cfg(target_arch = "x86_64")]
            Path::Avx512,
            Path::Best,
        ];
        all.into_iter().filter(|path| path.arch().is_some()).collect()
    }

    fn arch(self) -> Option<Arch> {
        match self {
            Path::Best => Some(Arch::new()),
            Path::Portable => Some(Arch::Scalar),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
        }
    }
}

/// A network's kernels. Parameters, gradients and moments are vectors in the panels' order, `len()` long.
#[derive(Debug, Clone)]
pub struct Engine {
    spec: NetworkSpec,
    panels: Panels,
    arch: Arch,
}

impl Engine {
    pub fn new(spec: NetworkSpec) -> Engine {
        Engine { panels: Panels::new(&spec), spec, arch: Arch::new() }
    }

    /// With the instructions of `path`, to compare; none if the CPU has not got them.
    pub fn with_path(spec: NetworkSpec, path: Path) -> Option<Engine> {
        Some(Engine { arch: path.arch()?, ..Engine::new(spec) })
    }

    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Elements of a parameter vector in the panels' order.
    pub fn len(&self) -> usize {
        self.panels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From PyTorch's order (`Layout`) to the panels'.
    pub fn pack(&self, params: &nalgebra::DVector<f32>) -> Floats {
        self.panels.pack(params)
    }

    /// The inverse of `pack`.
    pub fn unpack(&self, packed: &[f32]) -> nalgebra::DVector<f32> {
        self.panels.unpack(packed)
    }

    /// The memory that windows of this network need.
    pub fn tape(&self) -> Tape {
        Tape::new(self.spec, &self.panels)
    }

    /// Runs the window that `tape` has begun: its outputs and states.
    pub fn forward(&self, params: &[f32], tape: &mut Tape) {
        assert_eq!(params.len(), self.len(), "parameters of another network");
        self.arch.dispatch(Pass { engine: self, params, tape, gradient: None });
    }

    /// Takes `params` for the backward passes that follow.
    pub fn prepare_backward(&self, params: &[f32], tape: &mut Tape) {
        self.arch.dispatch(Prepare { engine: self, params, tape });
    }

    /// Adds the gradient by the parameters to `gradient`, from the slopes in a tape that has run forwards by the
    /// parameters of the last `prepare_backward`. The start state counts as a constant.
    pub fn backward(&self, params: &[f32], tape: &mut Tape, gradient: &mut [f32]) {
        assert_eq!(gradient.len(), self.len(), "a gradient of another network");
        tape.begin_backward();
        self.arch.dispatch(Pass { engine: self, params, tape, gradient: Some(gradient) });
    }

    /// One update of the parameters: see `Step`.
    pub fn update(&self, step: Step<'_>) -> bool {
        self.arch.dispatch(step)
    }

    /// The norm of a gradient: the root of its sum of squares, in f32.
    pub fn norm(&self, gradient: &[f32]) -> f32 {
        self.arch.dispatch(update::Norm(gradient))
    }
}

/// `TransposedWeights::fill`, compiled for the CPU.
struct Prepare<'a> {
    engine: &'a Engine,
    params: &'a [f32],
    tape: &'a mut Tape,
}

impl WithSimd for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.tape.transposed.fill(&self.engine.panels, self.params);
    }
}

/// A forward pass, or with a gradient a backward one.
struct Pass<'a> {
    engine: &'a Engine,
    params: &'a [f32],
    tape: &'a mut Tape,
    gradient: Option<&'a mut [f32]>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let spec = self.engine.spec;
        let simple = Simple(spec.activation);
        match (spec.cell, self.engine.panels.layers[0].width) {
            (Cell::Lstm, _) => self.run::<S, _, 4, 4>(simd, Lstm),
            (Cell::Gru, _) => self.run::<S, _, 3, 4>(simd, Gru),
            (Cell::Rnn, 4) => self.run::<S, _, 4, 4>(simd, simple),
            (Cell::Rnn, 2) => self.run::<S, _, 2, 2>(simd, simple),
            (Cell::Rnn, _) => self.run::<S, _, 1, 1>(simd, simple),
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn run<S: Simd, C: Fused, const V: usize, const A: usize>(self, simd: S, cell: C) {
        let Pass { engine, params, tape, gradient } = self;
        match gradient {
            None => forward::<S, C, V, A>(simd, engine, params, tape, cell),
            Some(gradient) => backward::<S, C, V, A>(simd, engine, params, tape, cell, gradient),
        }
    }
}

#[inline(always)]
fn forward<S: Simd, C: Fused, const V: usize, const A: usize>(
    simd: S,
    engine: &Engine,
    params: &[f32],
    tape: &mut Tape,
    cell: C,
) {
    let window = tape.window;
    for (k, block) in engine.panels.layers.iter().enumerate() {
        let (below, layers) = tape.layers.split_at_mut(k);
        let inputs = match below.last() {
            None => Columns { values: &tape.inputs, stride: padded(block.inputs) },
            Some(layer) => states_after(&layer.h, block.inputs, window.batch),
        };
        simd.vectorize(Forward::<C, V, A> { cell, block, params, inputs, tape: &mut layers[0], window });
    }
    simd.vectorize(ReadOut {
        head: &engine.panels.head,
        params,
        inputs: Columns { values: &tape.inputs, stride: padded(engine.spec.inputs) },
        hidden: states_after(&tape.layers[engine.spec.layers - 1].h, engine.spec.hidden, window.batch),
        outputs: &mut tape.outputs,
        columns: window.columns(),
    });
}

#[inline(always)]
fn backward<S: Simd, C: Fused, const V: usize, const A: usize>(
    simd: S,
    engine: &Engine,
    params: &[f32],
    tape: &mut Tape,
    cell: C,
    gradient: &mut [f32],
) {
    let (panels, window) = (&engine.panels, tape.window);
    let (columns, units) = (window.columns(), padded(engine.spec.hidden));
    let Tape { inputs, layers, slopes, d_h: [d_h, d_below], d_c, transposed, .. } = tape;
    let inputs = Columns { values: inputs, stride: padded(engine.spec.inputs) };
    simd.vectorize(ReadBack {
        head: &panels.head,
        params,
        inputs,
        hidden: states_after(&layers[layers.len() - 1].h, engine.spec.hidden, window.batch),
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
        simd.vectorize(Backward::<C, V, A> { cell, block, w_hh, tape: layer, d_h, d_c, window });
        let d = Columns { values: &layer.gates, stride: block.panels() * A * LANES };
        let inputs = match below.last() {
            None => inputs,
            Some(layer) => states_after(&layer.h, block.inputs, window.batch),
        };
        if k > 0 {
            d_below[..columns * units].fill(0.0);
            let w = &transposed.inputs[k - 1];
            let sums = sums.of_inputs();
            simd.vectorize(Product { w, d, sums, out: d_below, stride: units, count: columns });
        }
        let hidden = Columns { values: &layer.h, stride: units };
        let sources = Sources { d, inputs, hidden, columns };
        simd.vectorize(Gradient::<V> { block, sources, sums, gradient });
        std::mem::swap(&mut d_h, &mut d_below);
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
    w: &'a products::Transposed,
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
    block: &'a Block,
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

#[cfg(test)]
mod tests;
