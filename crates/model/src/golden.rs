//! Reads the PyTorch fixtures in `tests/golden/`: one JSON object of flat arrays of numbers.
//! It must not grow into a JSON reader.

use std::collections::BTreeMap;

pub struct Golden(BTreeMap<String, Vec<f64>>);

impl Golden {
    pub fn load(text: &str) -> Golden {
        let entry = |part: &str| {
            let (name, values) = part.split_once(':').expect("name: [values");
            let name = name.rsplit('"').nth(1).expect("a quoted name").to_string();
            let values = values.trim().trim_start_matches('[').split(',');
            (name, values.map(|value| value.trim().parse().expect("a number")).collect())
        };
        Golden(text.split(']').filter(|part| part.contains('[')).map(entry).collect())
    }

    pub fn doubles(&self, name: &str) -> &[f64] {
        &self.0[name]
    }

    pub fn singles(&self, name: &str) -> Vec<f32> {
        self.0[name].iter().map(|value| *value as f32).collect()
    }
}
