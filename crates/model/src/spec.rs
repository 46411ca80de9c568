//! The shape of a network and where each of its parameters lies in the one flat vector.
//! It must not know values: `weights.rs` reads and writes them.

use std::borrow::Cow;
use std::ops::Range;

use nalgebra::DVector;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::real::Real;

/// Kind of recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum CellKind {
    /// The simple (Elman) cell, PyTorch's `nn.RNN`.
    Rnn,
    /// The long short-term memory cell, PyTorch's `nn.LSTM`.
    Lstm,
    /// The gated recurrent unit, PyTorch's `nn.GRU`.
    Gru,
}

impl CellKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [CellKind; 3] = [CellKind::Rnn, CellKind::Lstm, CellKind::Gru];

    /// Its word in pipeline files and weights files.
    pub const fn word(self) -> &'static str {
        match self {
            CellKind::Rnn => "rnn",
            CellKind::Lstm => "lstm",
            CellKind::Gru => "gru",
        }
    }
}

/// What bends the sum of a simple RNN; LSTM and GRU have theirs by definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Activation {
    /// tanh(x)
    Tanh,
    /// max(0, x)
    Relu,
    /// σ(x) = 1 / (1 + e⁻ˣ)
    Sigmoid,
}

impl Activation {
    /// All activations, in the order of their declaration.
    pub const ALL: [Activation; 3] = [Activation::Tanh, Activation::Relu, Activation::Sigmoid];

    /// Its word in pipeline files and weights files.
    pub const fn word(self) -> &'static str {
        match self {
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
        }
    }
}

// By hand: `derive` would make a schema of its own of every variant that has a comment, and the
// pipeline file's schema is to stay one list of words.
impl JsonSchema for CellKind {
    fn schema_name() -> Cow<'static, str> {
        "Cell".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words_schema("Kind of recurrent cell.", CellKind::ALL.map(CellKind::word))
    }
}

impl JsonSchema for Activation {
    fn schema_name() -> Cow<'static, str> {
        "Activation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "What bends the sum of a simple RNN; LSTM and GRU have theirs by definition.";
        words_schema(description, Activation::ALL.map(Activation::word))
    }
}

fn words_schema(description: &str, words: [&str; 3]) -> Schema {
    json_schema!({ "description": description, "type": "string", "enum": words })
}

/// What decides every shape of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The kind of all its layers.
    pub cell: CellKind,
    /// Of the simple RNN; the other cells ignore it.
    pub activation: Activation,
    /// Features a step, I >= 1.
    pub inputs: usize,
    /// Units a layer, H >= 1.
    pub hidden: usize,
    /// Stacked recurrent layers, L >= 1.
    pub layers: usize,
    /// Outputs a step, O >= 1.
    pub outputs: usize,
    /// Whether a linear skip leads from the inputs to the outputs.
    pub skip: bool,
}

impl NetworkSpec {
    /// Blocks of H rows in the cell's matrices: LSTM i, f, g, o; GRU r, z, n.
    pub fn gates(&self) -> usize {
        match self.cell {
            CellKind::Rnn => 1,
            CellKind::Gru => 3,
            CellKind::Lstm => 4,
        }
    }

    /// Rows of the cell state c: H for an LSTM, none for the others.
    pub fn memory(&self) -> usize {
        if self.cell == CellKind::Lstm { self.hidden } else { 0 }
    }

    /// Numbers in the state of one series: h of every layer, and c where the cell has one.
    pub fn state_len(&self) -> usize {
        self.layers * (self.hidden + self.memory())
    }

    /// Features that layer `layer` sees: the step's, or the units of the layer below.
    pub fn layer_inputs(&self, layer: usize) -> usize {
        if layer == 0 { self.inputs } else { self.hidden }
    }
}

/// One named tensor inside the flat vector, row-major as PyTorch and safetensors keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterTensor {
    /// As in PyTorch's `state_dict` of the recurrent module: `weight_ih_l0`, …, `skip.weight`.
    pub name: String,
    /// `[rows, columns]` of a weight, `[rows]` of a bias.
    pub shape: Vec<usize>,
    /// Where its first element is in the flat vector.
    pub offset: usize,
}

impl ParameterTensor {
    /// Rows of a weight, elements of a bias.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// 1 for a bias.
    pub fn columns(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }

    /// Its elements in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.rows() * self.columns()
    }
}

/// The parameters of a network in order: per layer `weight_ih_l{k}` (G·H × I), `weight_hh_l{k}`
/// (G·H × H), `bias_ih_l{k}`, `bias_hh_l{k}` (G·H each), then `head.weight` (O × H), `head.bias`
/// (O), `skip.weight` (O × I, where there is a skip).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterLayout {
    parameters: Vec<ParameterTensor>,
}

impl ParameterLayout {
    /// The layout of a network of `spec`.
    pub fn new(spec: &NetworkSpec) -> ParameterLayout {
        let mut layout = ParameterLayout { parameters: Vec::new() };
        let rows = spec.gates() * spec.hidden;

        for layer in 0..spec.layers {
            layout.push(format!("weight_ih_l{layer}"), vec![rows, spec.layer_inputs(layer)]);
            layout.push(format!("weight_hh_l{layer}"), vec![rows, spec.hidden]);
            layout.push(format!("bias_ih_l{layer}"), vec![rows]);
            layout.push(format!("bias_hh_l{layer}"), vec![rows]);
        }

        layout.push("head.weight".into(), vec![spec.outputs, spec.hidden]);
        layout.push("head.bias".into(), vec![spec.outputs]);
        if spec.skip {
            layout.push("skip.weight".into(), vec![spec.outputs, spec.inputs]);
        }

        layout
    }

    fn push(&mut self, name: String, shape: Vec<usize>) {
        let offset = self.len();
        self.parameters.push(ParameterTensor { name, shape, offset });
    }

    /// All tensors, in the order of the flat vector.
    pub fn parameters(&self) -> &[ParameterTensor] {
        &self.parameters
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&ParameterTensor> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Elements of the flat vector.
    pub fn len(&self) -> usize {
        self.parameters.last().map_or(0, |last| last.range().end)
    }

    /// False: every network has parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Fresh parameters. In the cells they are U(−1/√H, 1/√H): PyTorch's law, not its random numbers.
/// In head and skip they are zero, so that a new network's output is exactly zero, which is the
/// naive forecast.
pub fn initial<F: Real>(spec: &NetworkSpec, layout: &ParameterLayout, seed: u64) -> DVector<F> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let bound = 1.0 / (spec.hidden as f64).sqrt();
    let cells = layout.get("head.weight").map_or(0, |head| head.offset);
    DVector::from_fn(layout.len(), |at, _| {
        if at < cells { F::of(bound * (2.0 * rng.random::<f64>() - 1.0)) } else { F::zero() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(cell: CellKind) -> NetworkSpec {
        NetworkSpec {
            cell,
            activation: Activation::Tanh,
            inputs: 3,
            hidden: 4,
            layers: 2,
            outputs: 2,
            skip: true,
        }
    }

    #[test]
    fn the_layout_has_pytorchs_names_shapes_and_order() {
        let layout = ParameterLayout::new(&spec(CellKind::Gru));
        let named: Vec<(&str, &[usize], usize)> =
            layout.parameters().iter().map(|p| (p.name.as_str(), p.shape.as_slice(), p.offset)).collect();

        let expected: [(&str, &[usize], usize); 11] = [
            ("weight_ih_l0", &[12, 3], 0),
            ("weight_hh_l0", &[12, 4], 36),
            ("bias_ih_l0", &[12], 84),
            ("bias_hh_l0", &[12], 96),
            ("weight_ih_l1", &[12, 4], 108),
            ("weight_hh_l1", &[12, 4], 156),
            ("bias_ih_l1", &[12], 204),
            ("bias_hh_l1", &[12], 216),
            ("head.weight", &[2, 4], 228),
            ("head.bias", &[2], 236),
            ("skip.weight", &[2, 3], 238),
        ];

        assert_eq!(named, expected);
        assert_eq!(layout.len(), 244);
        assert_eq!(
            ParameterLayout::new(&spec(CellKind::Lstm)).get("weight_hh_l1").map(ParameterTensor::rows),
            Some(16)
        );
        assert_eq!((spec(CellKind::Lstm).state_len(), spec(CellKind::Rnn).state_len()), (16, 8));
    }

    #[test]
    fn words_are_what_a_pipeline_file_may_say() {
        for kind in CellKind::ALL {
            assert_eq!(serde_json::from_value::<CellKind>(kind.word().into()).unwrap(), kind);
        }
        for activation in Activation::ALL {
            assert_eq!(serde_json::from_value::<Activation>(activation.word().into()).unwrap(), activation);
        }

        assert_eq!(
            serde_json::to_value(schemars::schema_for!((CellKind, Activation))).unwrap()["$defs"],
            serde_json::json!({
                "Cell": {
                    "description": "Kind of recurrent cell.",
                    "type": "string",
                    "enum": ["rnn", "lstm", "gru"],
                },
                "Activation": {
                    "description": "What bends the sum of a simple RNN; LSTM and GRU have theirs by definition.",
                    "type": "string",
                    "enum": ["tanh", "relu", "sigmoid"],
                },
            })
        );
    }

    #[test]
    fn fresh_cells_are_uniform_and_fresh_heads_are_zero() {
        let spec = NetworkSpec { hidden: 64, ..spec(CellKind::Gru) };
        let layout = ParameterLayout::new(&spec);
        let params = initial::<f64>(&spec, &layout, 1);
        let cells = layout.get("head.weight").unwrap().offset;
        let (cells, heads) = params.as_slice().split_at(cells);
        assert!(heads.iter().all(|value| *value == 0.0));
        assert!(cells.iter().all(|value| value.abs() <= 0.125));

        let variance = cells.iter().map(|value| value * value).sum::<f64>() / cells.len() as f64;
        assert!((variance / (0.125f64.powi(2) / 3.0) - 1.0).abs() < 0.05, "{variance}");
        assert_eq!(params, initial::<f64>(&spec, &layout, 1));
        assert_ne!(params, initial::<f64>(&spec, &layout, 2));
    }
}
