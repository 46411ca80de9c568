//! What the window operator is built from, checked and defaulted.
//! It must not know the pipeline file that it comes from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind};
use tickcast_stream::{WindowGrid, WindowOrder};

/// More windows open at once than this is taken for a lateness that is far too long for the window.
pub(super) const MAX_OPEN_WINDOWS: usize = 100_000;

/// Windows, and the columns of their rows.
#[derive(Debug, Clone, Serialize)]
pub struct WindowSpec {
    /// Which windows.
    #[serde(flatten)]
    pub kind: WindowKind,
    /// How long a window waits for late records, in microseconds, >= 0.
    pub lateness_us: i64,
    /// What the time of a record is of what it tells.
    #[serde(skip_serializing_if = "Stamps::is_default")]
    pub stamps: Stamps,
    /// Whose times close a window.
    #[serde(skip_serializing_if = "Watermark::is_default")]
    pub watermark: Watermark,
    /// What a silent series does.
    pub gaps: Gaps,
    /// Output column and its SQL aggregate expression, in the order of the file.
    pub select: Vec<(String, String)>,
    /// Series of a partition that are kept, at least 1. Those that have been silent for longest are
    /// forgotten.
    #[serde(skip)]
    pub most_series: usize,
}

/// Which windows. Those of a grid are shared by all series; others each series has of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum WindowKind {
    /// Windows of a length, or of a calendar.
    Grid(WindowGrid),
    /// Records of a series between two silences.
    Session {
        /// A silence so long ends a session, in microseconds, > 0.
        gap_us: i64,
        /// A session takes records of at most this time, in microseconds, >= `gap_us`.
        max_us: i64,
    },
    /// So many records of a series, in the order in which they come.
    Count {
        /// At least 1.
        records: u64,
    },
}

impl WindowKind {
    /// How these windows follow each other.
    pub fn order(&self) -> WindowOrder {
        match self {
            WindowKind::Grid(grid) => WindowOrder::Grid(grid.clone()),
            WindowKind::Session { .. } | WindowKind::Count { .. } => WindowOrder::BySeries,
        }
    }
}

/// What a series that is silent for a whole window does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub enum Gaps {
    /// Columns that are made of sums and counts alone have what these are of no record, 0 mostly,
    /// which is true; others repeat their last value.
    #[default]
    Auto,
    /// It repeats its last row.
    Carry,
    /// It has no row.
    Skip,
    /// Every number is 0.
    Zero,
    /// By column; those that are not named are as with `Auto`.
    Columns(BTreeMap<String, Fill>),
}

/// What a column has in the row of a silent series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Fill {
    /// Its last value.
    Carry,
    /// 0, which is true: a day without a sale.
    Zero,
}

/// What the time of a record is of what it tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stamps {
    /// The moment, or the start of an interval: a window [s, e) holds its start.
    #[default]
    Start,
    /// The end of an interval, as meters write it: a window (s, e] holds its end.
    End,
}

/// Whose times close a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Watermark {
    /// Those of all records of its partition.
    #[default]
    Partition,
    /// Those of the records of its series.
    Series,
}

impl Watermark {
    fn is_default(&self) -> bool {
        *self == Watermark::default()
    }
}

impl Stamps {
    /// How much earlier than its time a record is taken to be, in microseconds: at the end of an
    /// interval, its last moment.
    pub fn earlier_us(self) -> i64 {
        i64::from(self == Stamps::End)
    }

    fn is_default(&self) -> bool {
        *self == Stamps::default()
    }
}

/// Says that more than [`MAX_OPEN_WINDOWS`] are open.
pub(super) fn too_many_open() -> Error {
    let text =
        format!("more than {MAX_OPEN_WINDOWS} windows open: lateness is too long for this window size");
    Error::new(Kind::Source, text)
}
