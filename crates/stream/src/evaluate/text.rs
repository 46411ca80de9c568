//! Numbers and tables for a person.
//! It must not know what the numbers mean.

/// Lines of cells as columns of text, each as wide as its widest cell and flush right.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
        text.push_str(&cells.join("  "));
        text.push('\n');
    }
    text
}

/// A level as a number of percent: 0.995 -> `99.5`.
pub fn percent(level: f64) -> f64 {
    (level * 1e8).round() / 1e6
}

/// Four significant digits, whatever the unit.
pub fn significant(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 3 - value.abs().log10().floor() as i32 };
    format!("{value:.*}", digits.clamp(0, 12) as usize)
}

/// What stands where there is no value.
pub fn dash() -> String {
    "-".to_owned()
}

/// Four significant digits; a dash for none.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, significant)
}

/// A share in percent with one decimal; a dash for none.
pub fn share(value: Option<f64>) -> String {
    // Adding 0 makes -0 a 0.
    value.map_or_else(dash, |value| format!("{:.1}%", (1000.0 * value).round() / 10.0 + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_a_person_wants_them() {
        assert_eq!([0.999, 0.07].map(percent), [99.9, 7.0]);
        assert_eq!([0.0, 0.012_345, 12.345, 123_456.0].map(significant), ["0", "0.01235", "12.35", "123456"]);
        let shares = [Some(0.5), Some(-1e-9), Some(0.99951), None].map(share);
        assert_eq!(shares, ["50.0%", "0.0%", "100.0%", "-"]);
        assert_eq!(number(None), "-");
    }
}
