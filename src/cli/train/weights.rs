//! The trained weights as a file: whole, or as it was before.
//! It must not know how they were found.

use std::collections::HashMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use tempfile::NamedTempFile;

use crate::error::{Error, Kind, OrFail, Result};
use crate::model::{Layout, NetworkSpec};

/// A file to come: beside its name until it is whole.
pub struct WeightsFile {
    path: PathBuf,
    beside: NamedTempFile,
}

impl WeightsFile {
    /// Makes sure, before anything is trained, that the file can be written. Errors: `Io`.
    pub fn create(path: &Path) -> Result<Self> {
        let fail = || format!("cannot write {}", path.display());
        if path.is_dir() {
            return Err(Error::new(Kind::Io, fail()).because("it is a directory"));
        }
        let beside = tempfile::Builder::new()
            .prefix(".tickcast-")
            .suffix(".tmp")
            // As any other file: the process's mask takes away what it must.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory(path))
            .or_fail(Kind::Io, fail)?;
        Ok(WeightsFile { path: path.to_owned(), beside })
    }

    /// Writes `params` in the order of the network's layout, and puts the file in its place. Errors: `Io`.
    pub fn write(mut self, spec: &NetworkSpec, params: &[f32], metadata: &[(&str, String)]) -> Result<()> {
        let path = &self.path;
        let fail = || format!("cannot write {}", path.display());
        let bytes = encode(spec, params, metadata)?;
        let file = self.beside.as_file_mut();
        file.write_all(&bytes).and_then(|()| file.sync_all()).or_fail(Kind::Io, fail)?;
        self.beside.persist(path).map_err(|failed| failed.error).or_fail(Kind::Io, fail)?;
        // The rename itself must survive a power cut.
        std::fs::File::open(directory(path)).and_then(|dir| dir.sync_all()).or_fail(Kind::Io, fail)
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Safetensors with PyTorch's names and shapes, F32.
fn encode(spec: &NetworkSpec, params: &[f32], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let fail = || "cannot write the weights";
    let bytes: Vec<u8> = params.iter().flat_map(|value| value.to_le_bytes()).collect();
    let layout = Layout::new(spec);
    let tensors = layout.parameters().iter().map(|parameter| {
        let range = 4 * parameter.range().start..4 * parameter.range().end;
        let view = TensorView::new(Dtype::F32, parameter.shape.clone(), &bytes[range]);
        Ok((parameter.name.as_str(), view.or_fail(Kind::Io, fail)?))
    });
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    safetensors::serialize(tensors, Some(metadata)).or_fail(Kind::Io, fail)
}
