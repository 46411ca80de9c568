//! A matrix in a state: its number of rows and one block of numbers. For `#[serde(with =
//! "matrix")]`.
//! It must not know what the numbers are.

use std::collections::VecDeque;

use nalgebra::DMatrix;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tickcast_model::le_blob;

#[derive(Serialize, Deserialize)]
struct Stored {
    rows: usize,
    #[serde(with = "le_blob")]
    columns: VecDeque<f64>,
}

/// Writes the number of rows, then the columns.
pub fn serialize<S: Serializer>(matrix: &DMatrix<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    Stored { rows: matrix.nrows(), columns: matrix.iter().copied().collect() }.serialize(serializer)
}

/// Reads what `serialize` wrote. Errors: when the numbers are no matrix of so many rows.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DMatrix<f64>, D::Error> {
    let Stored { rows, columns } = Stored::deserialize(deserializer)?;
    if rows == 0 || !columns.len().is_multiple_of(rows) {
        return Err(D::Error::custom("no matrix"));
    }
    Ok(DMatrix::from_iterator(rows, columns.len() / rows, columns))
}
