//! A series whose times are far behind those of the others.
//! It must not judge: an operator finds it, and here are the words for it.

use tickcast_forecast::EventTime;

use crate::message::shown;

/// A series whose times are far behind those of the others, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarBehind {
    /// Its name.
    pub series: String,
    /// Its latest time.
    pub at: EventTime,
    /// The latest time of all.
    pub latest: EventTime,
    /// What becomes of it.
    pub fate: BehindFate,
}

/// What becomes of a series that is far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BehindFate {
    /// The others' times close its windows: so many records of it in a row were late.
    Late(u32),
    /// Its windows close by its own times, and stay open.
    Open,
}

impl FarBehind {
    /// A word for what it is about, and a line for a person.
    pub fn told(&self) -> (&'static str, String) {
        let FarBehind { series, at, latest, fate } = self;
        let behind = length(latest.0.saturating_sub(at.0));
        let (at, latest) = (shown(*at), shown(*latest));

        match fate {
            BehindFate::Late(records) => (
                "late series",
                format!(
                    "the last {records} records of series `{series}` were all late: the newest is of {at}, {behind} \
                     behind the latest of its partition, {latest}. Its clock is behind, or its records come late: \
                     `window.watermark: series` closes the windows of each series by its own times, a longer \
                     `window.lateness` waits for it"
                ),
            ),
            BehindFate::Open => (
                "stale series",
                format!(
                    "series `{series}` stands still at {at}, {behind} behind the latest, {latest}: with \
                     `window.watermark: series` its windows stay open and nothing of it is forecast until records of it \
                     come; tickcast_series_stale counts such series"
                ),
            ),
        }
    }
}

/// The two largest units of a length, as in `3d 4h`.
fn length(us: i64) -> String {
    let seconds = us / 1_000_000;
    let parts =
        [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(first).take(2).filter(|(count, _)| *count > 0 || first == parts.len() - 1);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_its_two_largest_units() {
        for (seconds, shown) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (7_300, "2h 1m"), (273_600, "3d 4h"), (86_401, "1d")]
        {
            assert_eq!(length(seconds * 1_000_000), shown);
        }
    }
}
