//! Readings of many series as DataFusion feeds, merges and reads aggregates.
//! It must not know the reading before a window: what it evaluates to is still to be made a step.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeListArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{internal_datafusion_err, not_impl_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::readings::{Meter, Reading, Readings};

/// The readings of each group.
pub(super) struct MeterAccumulator {
    meter: Meter,
    groups: Vec<Readings>,
}

impl MeterAccumulator {
    /// One without a group.
    pub fn new(meter: Meter) -> Self {
        MeterAccumulator { meter, groups: Vec::new() }
    }

    fn make_room(&mut self, groups: usize) {
        self.groups.resize(groups.max(self.groups.len()), Readings::default());
    }
}

impl GroupsAccumulator for MeterAccumulator {
    /// The values are those of the expression, and the event times.
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        keep: Option<&BooleanArray>,
        total: usize,
    ) -> DfResult<()> {
        self.make_room(total);
        let [shown, times] = values else { return wrong_columns() };
        let (Some(shown), Some(times)) =
            (shown.as_primitive_opt::<Float64Type>(), times.as_primitive_opt::<TimestampMicrosecondType>())
        else {
            return wrong_columns();
        };

        for (row, &group) in groups.iter().enumerate() {
            let is_kept = keep.is_none_or(|keep| keep.is_valid(row) && keep.value(row));
            if is_kept && shown.is_valid(row) {
                let (time_us, value) = (times.value(row), shown.value(row));
                self.groups[group].add(self.meter, Reading { time_us, value, merged_peaks: None });
            }
        }
        Ok(())
    }

    /// Of each group the first and the last reading and the sum of the peaks; null without a
    /// reading.
    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let column = |of: &dyn Fn(&Readings) -> Option<f64>| -> ArrayRef {
            Arc::new(groups.iter().map(of).collect::<Float64Array>())
        };
        let columns = vec![
            column(&|readings| readings.0.first().map(|first| first.value)),
            column(&|readings| readings.0.last().map(|last| last.value)),
            column(&|readings| Some(readings.peaks())),
        ];
        let field = |name: &str| Field::new(name, DataType::Float64, true);
        let fields = Fields::from(vec![field("first"), field("last"), field("peaks")]);
        let has_one: NullBuffer = groups.iter().map(|readings| !readings.0.is_empty()).collect();
        Ok(Arc::new(StructArray::try_new(fields, columns, Some(has_one))?))
    }

    /// Lists of times, of values and of merged peaks.
    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let offsets = OffsetBuffer::<i64>::from_lengths(groups.iter().map(|readings| readings.0.len()));
        let list = |values: ArrayRef| -> DfResult<ArrayRef> {
            let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Ok(Arc::new(LargeListArray::try_new(item, offsets.clone(), values, None)?))
        };
        let all = || groups.iter().flat_map(|readings| &readings.0);
        Ok(vec![
            list(Arc::new(Int64Array::from_iter_values(all().map(|reading| reading.time_us))))?,
            list(Arc::new(Float64Array::from_iter_values(all().map(|reading| reading.value))))?,
            list(Arc::new(all().map(|reading| reading.merged_peaks).collect::<Float64Array>()))?,
        ])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> DfResult<()> {
        self.make_room(total);
        let lists: Vec<&LargeListArray> =
            values.iter().filter_map(|column| column.as_list_opt::<i64>()).collect();
        let [times, shown, merged] = lists[..] else { return wrong_columns() };

        for (row, &group) in groups.iter().enumerate() {
            let (times, shown, merged) = (times.value(row), shown.value(row), merged.value(row));
            let (Some(times), Some(shown), Some(merged)) = (
                times.as_primitive_opt::<Int64Type>(),
                shown.as_primitive_opt::<Float64Type>(),
                merged.as_primitive_opt::<Float64Type>(),
            ) else {
                return wrong_columns();
            };
            for ((&time_us, &value), merged_peaks) in times.values().iter().zip(shown.values()).zip(merged) {
                self.groups[group].add(self.meter, Reading { time_us, value, merged_peaks });
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> DfResult<Vec<ArrayRef>> {
        not_impl_err!("readings are fed and merged")
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|readings| size_of_val(&readings.0[..])).sum()
    }
}

fn wrong_columns<T>() -> DfResult<T> {
    Err(internal_datafusion_err!("these are not the columns of a meter"))
}

/// The first reading of each group in what a meter evaluates to.
pub fn first_of(evaluated: &ArrayRef) -> Option<&Float64Array> {
    column_of(evaluated, 0)
}

/// The last one.
pub fn last_of(evaluated: &ArrayRef) -> Option<&Float64Array> {
    column_of(evaluated, 1)
}

/// The sum of what the counter showed before each of its falls.
pub fn peaks_of(evaluated: &ArrayRef) -> Option<&Float64Array> {
    column_of(evaluated, 2)
}

fn column_of(evaluated: &ArrayRef, nth: usize) -> Option<&Float64Array> {
    evaluated.as_struct_opt()?.columns().get(nth)?.as_primitive_opt::<Float64Type>()
}
