//! Where each parameter lies for the kernels: in panels of sixteen units, ready to be multiplied as
//! they are.
//! It must not know what is computed with them.
//!
//! ```text
//! a layer = its panels, one after another; a panel = rows of V vectors of 16 lanes, a lane a unit
//!
//!   row              LSTM: V = 4      GRU: V = 3      simple RNN: V = 1, 2 or 4
//!   b_ih             [i | f | g | o]  [r | z | n]     16·V units in their order
//!   b_hh             …
//!   W_ih, a row an input
//!   W_hh, a row a unit of the step before
//! ```
//!
//! The head is small and read along its hidden units: first b_y, filled up to sixteen lanes, then a
//! row an output of W_skip (an input a lane) and W_hy (a unit a lane), each filled up.
//!
//! Units are filled up to whole panels with zeros. They stay zeros: nothing reads a filled-up
//! unit's h, and its gradient is zero. So every parameter vector of a network has one order,
//! whatever kernel reads it.

use std::ops::Range;

use nalgebra::DVector;

use super::floats::AlignedFloats;
use crate::spec::{CellKind, NetworkSpec, ParameterLayout};

/// Lanes of a vector: units side by side.
pub const LANES: usize = 16;

/// `units` filled up to whole vectors.
pub fn padded(units: usize) -> usize {
    units.next_multiple_of(LANES)
}

/// Rows of biases a panel: b_ih and b_hh.
pub const BIASES: usize = 2;

/// One layer's panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerPanels {
    /// First element in the parameter vector.
    pub offset: usize,
    /// Rows of W_ih.
    pub inputs: usize,
    /// Units it gives, H, and rows of W_hh.
    pub units: usize,
    /// G: blocks of H rows in PyTorch's matrices.
    pub gates: usize,
    /// Vectors of units a panel, 1 where there are gates.
    pub width: usize,
}

impl LayerPanels {
    /// Vectors a row, V.
    pub fn vectors(&self) -> usize {
        self.gates * self.width
    }

    /// Rows of a panel.
    pub fn rows(&self) -> usize {
        BIASES + self.inputs + self.units
    }

    /// Panels of the layer.
    pub fn panels(&self) -> usize {
        padded(self.units) / (LANES * self.width)
    }

    /// Elements a panel.
    pub fn panel_len(&self) -> usize {
        self.rows() * self.vectors() * LANES
    }

    /// Elements of all panels.
    pub fn len(&self) -> usize {
        self.panels() * self.panel_len()
    }

    /// The elements of panel `p` in the parameter vector.
    pub fn panel(&self, p: usize) -> Range<usize> {
        let start = self.offset + p * self.panel_len();
        start..start + self.panel_len()
    }

    /// Where gate `gate` of unit `unit` lies in row `row` of its panel.
    fn at(&self, row: usize, gate: usize, unit: usize) -> usize {
        let (panel, unit) = (unit / (LANES * self.width), unit % (LANES * self.width));
        let lane = gate * LANES * self.width + unit;
        self.offset + panel * self.panel_len() + row * self.vectors() * LANES + lane
    }
}

/// The head's part of a parameter vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadPanels {
    /// First element in the parameter vector: that of b_y.
    pub offset: usize,
    /// O
    pub outputs: usize,
    /// I, or 0 without a skip.
    pub inputs: usize,
    /// H
    pub hidden: usize,
}

impl HeadPanels {
    /// Elements of an output's row.
    pub fn row_len(&self) -> usize {
        padded(self.inputs) + padded(self.hidden)
    }

    /// The biases and the rows.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + padded(self.outputs) + self.outputs * self.row_len()
    }

    /// Where an output's weights begin, from the first element on.
    pub fn row(&self, output: usize) -> usize {
        padded(self.outputs) + output * self.row_len()
    }
}

/// The blocks of a network: its layers, then its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panels {
    /// From the lowest to the highest.
    pub layers: Vec<LayerPanels>,
    /// The linear head.
    pub head: HeadPanels,
    /// Where each parameter lies, in PyTorch's order.
    places: Vec<usize>,
    len: usize,
}

impl Panels {
    /// The panels of a network of `spec`.
    pub fn new(spec: &NetworkSpec) -> Panels {
        let mut len = 0;
        let mut place = |block: LayerPanels| {
            let block = LayerPanels { offset: len, ..block };
            len += block.len();
            block
        };

        let layer = |layer: usize| LayerPanels {
            offset: 0,
            inputs: spec.layer_inputs(layer),
            units: spec.hidden,
            gates: spec.gates(),
            width: width(spec),
        };

        let layers: Vec<LayerPanels> = (0..spec.layers).map(|k| place(layer(k))).collect();
        let inputs = if spec.skip { spec.inputs } else { 0 };
        let head = HeadPanels { offset: len, outputs: spec.outputs, inputs, hidden: spec.hidden };

        let mut panels = Panels { layers, head, places: Vec::new(), len: head.range().end };
        panels.places = panels.places(&ParameterLayout::new(spec));
        panels
    }

    /// Elements of a parameter vector in this order.
    pub fn len(&self) -> usize {
        self.len
    }

    /// From PyTorch's order (`ParameterLayout`) to the panels'.
    pub fn pack(&self, params: &DVector<f32>) -> AlignedFloats {
        assert_eq!(params.len(), self.places.len(), "parameters of another network");
        let mut packed = AlignedFloats::zeros(self.len);
        self.places.iter().zip(params.iter()).for_each(|(at, value)| packed[*at] = *value);
        packed
    }

    /// Adds `values`, in PyTorch's order, to `sum`, in the panels'.
    pub fn add_packed(&self, values: &DVector<f32>, sum: &mut [f32]) {
        assert_eq!(values.len(), self.places.len(), "parameters of another network");
        assert_eq!(sum.len(), self.len, "parameters of another network");
        self.places.iter().zip(values.iter()).for_each(|(at, value)| sum[*at] += value);
    }

    /// The inverse of `pack`.
    pub fn unpack(&self, packed: &[f32]) -> DVector<f32> {
        assert_eq!(packed.len(), self.len, "parameters of another network");
        DVector::from_iterator(self.places.len(), self.places.iter().map(|at| packed[*at]))
    }

    fn places(&self, layout: &ParameterLayout) -> Vec<usize> {
        let mut places = Vec::with_capacity(layout.len());
        for parameter in layout.parameters() {
            let each = (0..parameter.rows()).flat_map(|row| (0..parameter.columns()).map(move |c| (row, c)));
            places.extend(each.map(|(row, column)| self.place(&parameter.name, row, column)));
        }
        places
    }

    /// Where element (row, column) of the tensor of that name lies.
    fn place(&self, name: &str, row: usize, column: usize) -> usize {
        let head = &self.head;
        match name {
            "head.bias" => head.offset + row,
            "skip.weight" => head.offset + head.row(row) + column,
            "head.weight" => head.offset + head.row(row) + padded(head.inputs) + column,
            _ => {
                let (kind, layer) = name.rsplit_once("_l").unwrap_or((name, ""));
                let block = &self.layers[layer.parse::<usize>().unwrap_or(0)];
                let (gate, unit) = (row / block.units, row % block.units);
                let row = match kind {
                    "bias_ih" => 0,
                    "bias_hh" => 1,
                    "weight_ih" => BIASES + column,
                    _ => BIASES + block.inputs + column,
                };
                block.at(row, gate, unit)
            }
        }
    }
}

/// A simple RNN has one vector for sixteen units: wider panels give its tiles as many sums as a
/// gated cell's.
fn width(spec: &NetworkSpec) -> usize {
    match spec.cell {
        CellKind::Rnn => {
            [4, 2].into_iter().find(|w| padded(spec.hidden).is_multiple_of(LANES * w)).unwrap_or(1)
        }
        CellKind::Lstm | CellKind::Gru => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Activation;

    #[test]
    fn every_parameter_has_one_place_and_the_rest_is_zero() {
        for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
            for (hidden, layers, skip) in [(1, 1, false), (16, 2, true), (33, 3, true), (64, 1, true)] {
                let spec = NetworkSpec {
                    cell,
                    activation: Activation::Tanh,
                    inputs: 3,
                    hidden,
                    layers,
                    outputs: 17,
                    skip,
                };

                let panels = Panels::new(&spec);
                let params = DVector::from_fn(ParameterLayout::new(&spec).len(), |at, _| 1.0 + at as f32);
                let packed = panels.pack(&params);
                assert_eq!(panels.unpack(&packed), params);
                assert_eq!(packed.iter().filter(|value| **value != 0.0).count(), params.len());
                assert!(packed.len().is_multiple_of(LANES));
            }
        }
    }

    #[test]
    fn a_row_has_the_gates_of_sixteen_units() {
        let spec = NetworkSpec {
            cell: CellKind::Gru,
            activation: Activation::Tanh,
            inputs: 2,
            hidden: 20,
            layers: 1,
            outputs: 1,
            skip: false,
        };

        let (panels, layout) = (Panels::new(&spec), ParameterLayout::new(&spec));
        let params = DVector::from_fn(layout.len(), |at, _| at as f32);
        let packed = panels.pack(&params);
        let block = panels.layers[0];
        assert_eq!((block.panels(), block.rows(), block.vectors()), (2, 24, 3));

        // W_hh: gate z (1) of unit 17 from unit 5 of the step before.
        let flat = layout.get("weight_hh_l0").unwrap().offset + (20 + 17) * 20 + 5;
        let row = block.panel(1).start + (2 + 2 + 5) * 3 * LANES;
        assert_eq!(packed[row + LANES + 1], flat as f32);
    }
}
