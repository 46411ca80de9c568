//! Weights go out and come back bit for bit, PyTorch's files are read, and no bytes do harm.
//! It must not know the learner.

use super::*;
use crate::golden::Golden;
use crate::network::{Network, NetworkState};
use crate::spec::Activation;
use nalgebra::DMatrix;
use proptest::prelude::*;

/// Written by `tests/golden/roundtrip.py`.
const PYTORCH: &[u8] = include_bytes!("../../tests/golden/pytorch_gru.safetensors");
const PYTORCH_RUN: &str = include_str!("../../tests/golden/pytorch_gru.json");

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

fn params(spec: &NetworkSpec) -> DVector<f32> {
    DVector::from_fn(ParameterLayout::new(spec).len(), |at, _| (at as f32 + 0.1).sin())
}

fn file(spec: &NetworkSpec) -> Vec<u8> {
    write(spec, &params(spec), &BTreeMap::new()).unwrap()
}

/// A file with this header and so many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// The file with its header's text changed.
fn edited(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    assert!(header.contains(from), "{from} is not in {header}");
    let mut edited = with_header(&header.replace(from, to), 0);
    edited.extend_from_slice(&bytes[8 + length..]);
    edited
}

fn fault(bytes: &[u8]) -> String {
    read(bytes, &spec(CellKind::Gru)).expect_err("a bad file").to_string()
}

#[test]
fn weights_come_back_bit_for_bit() {
    for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
        for skip in [true, false] {
            let spec = NetworkSpec { skip, ..spec(cell) };
            let mut params = params(&spec);
            params[0] = -0.0;
            params[1] = f32::from_bits(1);
            params[2] = f32::MAX;
            let bytes = write(&spec, &params, &BTreeMap::new()).unwrap();
            let bits = |params: &DVector<f32>| params.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&read(&bytes, &spec).unwrap()), bits(&params));
            assert_eq!(write(&spec, &params, &BTreeMap::new()).unwrap(), bytes);
            assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
        }
    }
}

#[test]
fn the_file_says_what_it_holds() {
    let extra = BTreeMap::from([("features".to_string(), "temp, wind".to_string())]);
    let bytes = write(&spec(CellKind::Gru), &params(&spec(CellKind::Gru)), &extra).unwrap();
    let said: Vec<(String, String)> = metadata(&bytes).unwrap().into_iter().collect();

    let expected = [
        ("activation", "tanh"),
        ("cell", "gru"),
        ("features", "temp, wind"),
        ("hidden", "4"),
        ("inputs", "3"),
        ("layers", "2"),
        ("outputs", "2"),
        ("skip", "true"),
    ];

    assert_eq!(said, expected.map(|(key, value)| (key.to_string(), value.to_string())));
    assert!(metadata(PYTORCH).unwrap().is_empty());
}

#[test]
fn a_file_of_pytorchs_gives_pytorchs_outputs_and_goes_back_the_same() {
    let (spec, run) = (spec(CellKind::Gru), Golden::load(PYTORCH_RUN));
    let params = read(PYTORCH, &spec).unwrap();
    let inputs = run.singles("inputs");
    let batch = 2;
    let inputs = DMatrix::from_column_slice(spec.inputs, inputs.len() / spec.inputs, &inputs);
    let outputs =
        Network::new(spec).forward(&params, inputs, &NetworkState::zeros(&spec, batch)).outputs().clone();
    let expected = run.singles("outputs");
    assert_eq!(outputs.len(), expected.len());

    for (output, expected) in outputs.iter().zip(expected) {
        assert!((output - expected).abs() < 1e-6, "{output} {expected}");
    }
    let ours = write(&spec, &params, &BTreeMap::new()).unwrap();
    let (ours, theirs) = (
        safetensors::SafeTensors::deserialize(&ours).unwrap(),
        safetensors::SafeTensors::deserialize(PYTORCH).unwrap(),
    );
    assert_eq!(ours.len(), theirs.len());

    for (name, tensor) in theirs.iter() {
        assert_eq!(ours.tensor(name).unwrap(), tensor, "{name}");
    }
}

#[test]
fn doubles_are_rounded() {
    let spec = NetworkSpec {
        cell: CellKind::Rnn,
        inputs: 1,
        hidden: 1,
        layers: 1,
        outputs: 1,
        ..spec(CellKind::Rnn)
    };

    let layout = ParameterLayout::new(&spec);
    let tensors = layout.parameters().iter().enumerate().map(|(at, p)| {
        let (name, shape) = (&p.name, &p.shape);
        format!(r#""{name}":{{"dtype":"F64","shape":{shape:?},"data_offsets":[{},{}]}}"#, 8 * at, 8 * at + 8)
    });
    let header = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
    let mut bytes = with_header(&header, 0);
    (0..7).for_each(|at| bytes.extend_from_slice(&(0.1 * f64::from(at)).to_le_bytes()));
    assert_eq!(read(&bytes, &spec).unwrap()[3], 0.3);

    let last = bytes.len() - 8;
    bytes[last..].copy_from_slice(&1e300f64.to_le_bytes());
    let fault = read(&bytes, &spec).unwrap_err().to_string();
    assert_eq!(fault, "tensor skip.weight is inf at [0, 0], weights must be finite 32-bit floats");
}

#[test]
fn every_bad_file_says_what_is_wrong() {
    let good = file(&spec(CellKind::Gru));
    let renamed = edited(&good, "head.bias", "neck.bias");

    let cases = [
        (renamed, "it lacks head.bias [2]; it has neck.bias [2], unknown to this network"),
        (file(&NetworkSpec { skip: false, ..spec(CellKind::Gru) }), "it lacks skip.weight [2, 3]"),
        (
            file(&NetworkSpec { layers: 3, ..spec(CellKind::Gru) }),
            "it has bias_hh_l2 [12], bias_ih_l2 [12], weight_hh_l2 [12, 4] and 1 more, unknown to this network",
        ),
        (
            file(&NetworkSpec { inputs: 5, ..spec(CellKind::Gru) }),
            "tensor weight_ih_l0 has the shape [12, 5], this network needs [12, 3]",
        ),
        (
            edited(&good, "[12,3]", "[3,12]"),
            "tensor weight_ih_l0 has the shape [3, 12], this network needs [12, 3]",
        ),
        (
            edited(&good, r#"{"dtype":"F32","shape":[2],"#, r#"{"dtype":"I32","shape":[2],"#),
            "tensor head.bias is of type I32, only F32 and F64 can be read",
        ),
        (file(&spec(CellKind::Lstm)), "the file's cell is lstm, this network's gru"),
        (
            edited(&good, r#""cell":"gru""#, "\"cell\":\"\\u001b[2J\""),
            "the file's cell is \\u{1b}[2J, this network's gru",
        ),
        (good[..good.len() - 4].to_vec(), "cut off: its tensors take 976 bytes, 972 are there"),
        ([good.clone(), vec![0]].concat(), "longer than it says: its tensors take 976 bytes, 977 are there"),
        (good[..40].to_vec(), "cut off: its header has 872 bytes, 32 are there"),
        (good[..7].to_vec(), "not a safetensors file: shorter than 8 bytes"),
        (Vec::new(), "not a safetensors file: shorter than 8 bytes"),
        (
            b"PK\x03\x04 a zip, as torch.save writes".to_vec(),
            "not a safetensors file: its header would be 8800140462016121680 bytes, at most 1048576 can be",
        ),
        (
            with_header("[]", 0),
            "not a safetensors file: its header: invalid type: sequence, expected struct HashMetadata at line 1 column 0",
        ),
        (
            with_header("{}", 0),
            "it lacks weight_ih_l0 [12, 3], weight_hh_l0 [12, 4], bias_ih_l0 [12] and 8 more",
        ),
    ];

    for (bytes, expected) in cases {
        assert_eq!(fault(&bytes), expected);
    }
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    let spec = spec(CellKind::Gru);
    let nan = "tensor weight_ih_l0 is NaN at [0, 2], weights must be finite 32-bit floats";
    let mut bytes = file(&spec);
    let at = bytes.len() - 4 * 244;
    bytes[at + 8..at + 12].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(fault(&bytes), nan);
    let mut params = params(&spec);
    params[237] = f32::NEG_INFINITY;
    let infinite = "tensor head.bias is -inf at [1], weights must be finite 32-bit floats";
    assert_eq!(write(&spec, &params, &BTreeMap::new()).unwrap_err().to_string(), infinite);
}

#[test]
fn only_what_no_shape_betrays_is_read_from_metadata() {
    let relu = NetworkSpec { activation: Activation::Relu, ..spec(CellKind::Rnn) };
    let fault = read(&file(&relu), &spec(CellKind::Rnn)).unwrap_err().to_string();
    assert_eq!(fault, "the file's activation is relu, this network's tanh");
    let gru = NetworkSpec { activation: Activation::Relu, ..spec(CellKind::Gru) };
    assert!(read(&file(&gru), &spec(CellKind::Gru)).is_ok(), "a GRU has no choice");
    let hidden = edited(&file(&spec(CellKind::Gru)), r#""hidden":"4""#, r#""hidden":"9""#);
    assert!(read(&hidden, &spec(CellKind::Gru)).is_ok());
}

#[test]
fn lengths_that_overflow_are_refused() {
    // Eight tensors that end 8 bytes before 2⁶⁴: with the 8 of the length the sum wraps.
    let size = (1usize << 61) - 1;
    let tensor = |at: usize| {
        let (start, end) = (at * size, (at + 1) * size);
        format!(r#""t{at}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{}}}", (0..8).map(tensor).collect::<Vec<_>>().join(","));
    assert!(fault(&with_header(&header, 16)).starts_with("cut off: its tensors take 1844674407370955"));
    let square = r#"{"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
    assert!(fault(&with_header(square, 0)).contains("overflow"));
}

#[test]
fn a_long_name_is_cut() {
    let name = "x".repeat(100_000);
    let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#);
    assert!(fault(&with_header(&header, 0)).len() < 600);
    let deep = format!("{{\"a\":{}}}", "[".repeat(500_000));
    assert!(fault(&with_header(&deep, 0)).contains("recursion limit"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_do_no_harm(length in 0u64..64, bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(read(&bytes, &spec(CellKind::Gru)).is_err());
        let plausible = [&length.to_le_bytes()[..], &bytes].concat();
        prop_assert!(read(&plausible, &spec(CellKind::Gru)).is_err());
    }

    #[test]
    fn a_damaged_file_gives_an_error_or_finite_weights(
        changes in proptest::collection::vec((0usize..2000, any::<u8>()), 1..8),
        cut in 0usize..3000,
    ) {
        let spec = spec(CellKind::Gru);

        let mut bytes = file(&spec);
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }

        bytes.truncate(cut.max(8));
        if let Ok(params) = read(&bytes, &spec) {
            prop_assert!(params.len() == 244 && params.iter().all(|value| value.is_finite()));
        }
        let _ = metadata(&bytes);
    }
}
