//! Which fields are read of a payload, and which column of a row is which of them.
//! It must not know a format.

use super::computed_time::TimeComputation;
use super::envelope;
use super::record_column::RecordColumn;
use super::spec::DecodeSpec;

/// What a column of a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A field of the payload, by its place among those that are read.
    Field(usize),
    /// Kafka's own of the record.
    Record(RecordColumn),
    /// The name of the column that a row is made of.
    MeltedName,
    /// Its value.
    MeltedValue,
}

/// The columns of a row, each once, and which of them stand where.
#[derive(Debug)]
pub(super) struct Layout {
    /// The fields that are read of a payload, each once: names, or paths.
    pub(super) fields: Vec<String>,
    /// What stands at every place.
    pub(super) origins: Vec<Origin>,
    /// The columns that become rows, and their fields.
    pub(super) melted: Vec<(String, usize)>,
    /// The places of the parts of the series' name.
    pub(super) key: Vec<usize>,
    /// The place of the time, where a column has it.
    pub(super) time: Option<usize>,
    /// The places of the columns that the time is computed from.
    pub(super) time_inputs: Vec<usize>,
    /// The place of every data column.
    pub(super) columns: Vec<usize>,
}

/// Gives out places.
#[derive(Default)]
struct Places {
    names: Vec<String>,
    fields: Vec<String>,
    origins: Vec<Origin>,
}

impl Places {
    fn field(&mut self, name: &str) -> usize {
        self.fields.iter().position(|known| known == name).unwrap_or_else(|| {
            self.fields.push(name.to_owned());
            self.fields.len() - 1
        })
    }

    fn of(&mut self, name: &str, spec: &DecodeSpec) -> usize {
        if let Some(known) = self.names.iter().position(|known| known == name) {
            return known;
        }
        let origin = match (RecordColumn::named(name), &spec.shape.melt) {
            (Some(column), _) => Origin::Record(column),
            (None, Some(melt)) if melt.name == name => Origin::MeltedName,
            (None, Some(melt)) if melt.value == name => Origin::MeltedValue,
            (None, _) => Origin::Field(self.field(name)),
        };
        self.names.push(name.to_owned());
        self.origins.push(origin);

        self.names.len() - 1
    }
}

impl Layout {
    pub(super) fn new(spec: &DecodeSpec) -> Self {
        let mut places = Places::default();
        let key = spec.key.columns().iter().map(|name| places.of(name, spec)).collect();
        let time = spec.time.from.column().map(|name| places.of(name, spec));
        let columns = spec.columns.iter().map(|field| places.of(field.name(), spec)).collect();
        let inputs = spec.time_by.iter().flat_map(TimeComputation::inputs);
        let time_inputs = inputs.map(|field| places.of(field.name(), spec)).collect();
        let melted = spec.shape.melt.iter().flat_map(|melt| &melt.columns);
        let melted = melted.map(|name| (name.clone(), places.field(name))).collect();

        if spec.shape.envelope.is_some() {
            envelope::FIELDS.iter().for_each(|name| _ = places.field(name));
        }
        let Places { fields, origins, .. } = places;
        Layout { fields, origins, melted, key, time, time_inputs, columns }
    }
}
