//! Levels of intervals in the names of columns: 0.9 is `lower_90`, 0.995 is `covered_99_5`.
//! It must not know which records have such columns.

use arrow::datatypes::Schema;

pub use tickcast_forecast::level_label;

/// The inverse of [`level_label`]: `99_5` -> 0.995. None for what is no label of a level.
pub fn level_of(label: &str) -> Option<f64> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (percent, rest) =
        label.split_once('_').map_or((label, None), |(percent, rest)| (percent, Some(rest)));
    if !is_number(percent) || percent.len() > 2 || rest.is_some_and(|rest| !is_number(rest)) {
        return None;
    }
    // The digits of the label stand behind `0.`.
    format!("0.{percent:0>2}{}", rest.unwrap_or_default()).parse().ok()
}

/// The levels of the columns whose names begin with `prefix`, in their order.
pub(super) fn levels_of(schema: &Schema, prefix: &str) -> Vec<f64> {
    let labels = schema.fields().iter().filter_map(|field| field.name().strip_prefix(prefix));
    labels.filter_map(level_of).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_come_back_from_column_names() {
        let names = ["covered_50", "error", "covered_99_9", "covered_7", "covered_x", "covered_"];
        let fields = names.map(|name| Field::new(name, DataType::Boolean, true));
        assert_eq!(levels_of(&Schema::new(fields.to_vec()), "covered_"), [0.5, 0.999, 0.07]);
    }

    #[test]
    fn what_is_no_label_has_no_level() {
        for label in ["", "_", "9_", "_5", "900", "9e1", "+9", "-9", "9 0", "90_5_1", "٩"] {
            assert_eq!(level_of(label), None, "{label}");
        }
    }

    proptest! {
        #[test]
        fn a_label_says_its_level_to_the_last_bit(level in 1e-9f64..1.0) {
            prop_assert_eq!(level_of(&level_label(level)), Some(level));
        }
    }
}
