//! A network's weights as a safetensors file with PyTorch's names and shapes, so that files go both
//! ways.
//! It must not know disks, nor trust a byte of what it reads.

use std::collections::BTreeMap;

use nalgebra::DVector;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;

use super::error::{ModelError, Result};
use super::spec::{CellKind, NetworkSpec, ParameterLayout, ParameterTensor};

/// The largest file that is read, in bytes: more than the largest network takes in double
/// precision.
pub const FILE_BYTES_MAX: usize = 1 << 30;
/// The longest header that is parsed. Parsing takes memory and time with its length, and a network
/// has at most a few dozen tensors.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// Characters after which names, shapes and messages from a file are cut. They end up on a
/// terminal.
const QUOTED_CHARS_MAX: usize = 200;

/// The names that `write` gives itself in `__metadata__`.
const CELL: &str = "cell";
const ACTIVATION: &str = "activation";

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// The file of `params` as 32-bit floats. `params` are in the order of
/// `ParameterLayout::new(spec)`. The file's `__metadata__` holds `cell`, `activation`, `inputs`,
/// `hidden`, `layers`, `outputs`, `skip` and what `extra` adds. The same arguments give the same
/// bytes.
///
/// # Errors
/// If a weight is not finite.
pub fn write(spec: &NetworkSpec, params: &DVector<f32>, extra: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let layout = ParameterLayout::new(spec);
    assert_eq!(params.len(), layout.len(), "parameters of another network");

    for parameter in layout.parameters() {
        check_finite(parameter, &params.as_slice()[parameter.range()])?;
    }

    let mut metadata = extra.clone();
    metadata.extend(described(spec));
    let info = |parameter: &ParameterTensor| TensorInfo {
        dtype: Dtype::F32,
        shape: parameter.shape.clone(),
        data_offsets: (4 * parameter.range().start, 4 * parameter.range().end),
    };
    let tensors = layout.parameters().iter().map(|p| (p.name.as_str(), info(p))).collect();

    // Not the crate's own writer: it puts metadata in the order of a hash map, so each call would
    // give other bytes.
    let mut header = serde_json::to_vec(&Header { metadata, tensors })
        .map_err(|error| ModelError(format!("cannot write the weights file's header: {error}")))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend(params.iter().flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}

/// The parameters in the file `bytes`, in the order of `ParameterLayout::new(spec)`. Tensors of F32
/// and F64 are read, the latter rounded to the nearest 32-bit float. F16 and BF16 are refused: they
/// have lost bits already, and nobody would notice.
///
/// # Errors
/// If it is no whole safetensors file or larger than `FILE_BYTES_MAX`; if a tensor is missing,
/// unknown, or of another shape or type; if a weight is not finite; if `__metadata__` names another
/// cell, or another activation of the simple RNN, which no shape would show. Everything else in
/// `__metadata__` is ignored, and a file without it is as good.
pub fn read(bytes: &[u8], spec: &NetworkSpec) -> Result<DVector<f32>> {
    let (header, data) = open(bytes)?;
    check_kind(spec, &header)?;
    let layout = ParameterLayout::new(spec);
    let tensors: BTreeMap<String, &TensorInfo> = header.tensors().into_iter().collect();
    check_names(&layout, &tensors)?;

    let mut params = Vec::with_capacity(layout.len());
    for parameter in layout.parameters() {
        let name = &parameter.name;
        let info = tensors.get(name).ok_or_else(|| ModelError(format!("no tensor {name}")))?;

        if info.shape != parameter.shape {
            let found = shortened(&format!("{:?}", info.shape));
            return Err(ModelError(format!(
                "tensor {name} has the shape {found}, this network needs {:?}",
                parameter.shape
            )));
        }

        let values = data.get(info.data_offsets.0..info.data_offsets.1).unwrap_or_default();
        let values = numbers(name, info.dtype, values)?;
        check_finite(parameter, &values)?;
        params.extend(values);
    }

    Ok(DVector::from_vec(params))
}

/// What the file says of itself; nothing if it has no `__metadata__`.
///
/// # Errors
/// If it is no whole safetensors file or larger than `FILE_BYTES_MAX`.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let (header, _) = open(bytes)?;
    Ok(header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Header and data. `SafeTensors::deserialize` is not used: its sum of lengths can overflow.
fn open(bytes: &[u8]) -> Result<(Metadata, &[u8])> {
    if bytes.len() > FILE_BYTES_MAX {
        let length = bytes.len();
        return Err(ModelError(format!("{length} bytes, a weights file has at most {FILE_BYTES_MAX}")));
    }

    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(ModelError("not a safetensors file: shorter than 8 bytes".into()));
    };
    let length = u64::from_le_bytes(*length);

    if length > HEADER_BYTES_MAX as u64 {
        return Err(ModelError(format!(
            "not a safetensors file: its header would be {length} bytes, at most {HEADER_BYTES_MAX} can be"
        )));
    }

    let Some((header, data)) = rest.split_at_checked(length as usize) else {
        let found = rest.len();
        return Err(ModelError(format!("cut off: its header has {length} bytes, {found} are there")));
    };
    let header: Metadata = serde_json::from_slice(header).map_err(|error| {
        ModelError(format!("not a safetensors file: its header: {}", shortened(&error.to_string())))
    })?;

    if header.data_len() != data.len() {
        let (expected, found) = (header.data_len(), data.len());
        let how = if found < expected { "cut off" } else { "longer than it says" };
        return Err(ModelError(format!("{how}: its tensors take {expected} bytes, {found} are there")));
    }

    Ok((header, data))
}

fn described(spec: &NetworkSpec) -> [(String, String); 7] {
    [
        (CELL, spec.cell.word().to_string()),
        (ACTIVATION, spec.activation.word().to_string()),
        ("inputs", spec.inputs.to_string()),
        ("hidden", spec.hidden.to_string()),
        ("layers", spec.layers.to_string()),
        ("outputs", spec.outputs.to_string()),
        ("skip", spec.skip.to_string()),
    ]
    .map(|(key, value)| (key.to_string(), value))
}

fn check_kind(spec: &NetworkSpec, header: &Metadata) -> Result<()> {
    let same = |key: &str, own: &str| match header.metadata().as_ref().and_then(|metadata| metadata.get(key))
    {
        Some(word) if word != own => {
            let word = shortened(word);
            Err(ModelError(format!("the file's {key} is {word}, this network's {own}")))
        }
        _ => Ok(()),
    };

    same(CELL, spec.cell.word())?;
    // The others have their activations by definition.
    if spec.cell == CellKind::Rnn { same(ACTIVATION, spec.activation.word()) } else { Ok(()) }
}

fn check_names(layout: &ParameterLayout, tensors: &BTreeMap<String, &TensorInfo>) -> Result<()> {
    let list = |names: Vec<String>| match names.as_slice() {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        names => names.join(", "),
    };

    let missing = layout.parameters().iter().filter(|p| !tensors.contains_key(&p.name));
    let missing = list(missing.map(|p| format!("{} {:?}", p.name, p.shape)).collect());
    let unknown = tensors.iter().filter(|(name, _)| layout.get(name).is_none());
    let unknown = list(unknown.map(|(name, info)| shortened(&format!("{name} {:?}", info.shape))).collect());
    let missing = (!missing.is_empty()).then(|| format!("it lacks {missing}"));
    let unknown = (!unknown.is_empty()).then(|| format!("it has {unknown}, unknown to this network"));
    let faults: Vec<String> = missing.into_iter().chain(unknown).collect();

    if faults.is_empty() { Ok(()) } else { Err(ModelError(faults.join("; "))) }
}

fn numbers(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    match dtype {
        Dtype::F32 => Ok(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()),
        Dtype::F64 => Ok(bytes.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk) as f32).collect()),
        other => Err(ModelError(format!("tensor {name} is of type {other:?}, only F32 and F64 can be read"))),
    }
}

fn check_finite(parameter: &ParameterTensor, values: &[f32]) -> Result<()> {
    let Some(at) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let index = match parameter.shape.len() {
        1 => format!("[{at}]"),
        _ => format!("[{}, {}]", at / parameter.columns(), at % parameter.columns()),
    };
    let (name, value) = (&parameter.name, values[at]);
    Err(ModelError(format!("tensor {name} is {value} at {index}, weights must be finite 32-bit floats")))
}

/// A file's own words, harmless on a terminal.
fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(QUOTED_CHARS_MAX).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
