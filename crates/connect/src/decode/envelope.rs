//! What becomes of a change event, by what its envelope says.
//! It must not know a format, nor what is in a row.
//!
//! The operations are those of Debezium's documentation of connectors, under "change events":
//! <https://debezium.io/documentation/reference/stable/connectors/>.

use tickcast_stream::PassReason;

use super::cell::Cell;
use super::verdict::quote;

/// The fields of the envelope that say what becomes of it: what happened, and the row.
pub(super) const FIELDS: [&str; 2] = ["op", "after"];
/// Where the envelope is, when it stands beside a schema.
pub(super) const PAYLOAD: &str = "payload";

/// What `after` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing, or null.
    Absent,
    /// An object.
    Row,
    /// Anything else.
    Other,
}

/// Whether the event is passed over, by its fields `op` and `after`; none: `after` is its row.
/// Errors: why it is no change event.
pub(super) fn judge(op: Cell<'_>, after: After) -> Result<Option<PassReason>, String> {
    let said = op.said().filter(|op| !op.is_empty());
    let Some(op) = said else {
        let what = "the record is no change event: it has no `op`; of flattened records `source.envelope` \
                    must not be said";
        return Err(what.to_owned());
    };

    match (&*op, after) {
        ("d", _) => Ok(Some(PassReason::Delete)),
        ("t", _) => Ok(Some(PassReason::Truncate)),
        ("m", _) => Ok(Some(PassReason::Message)),

        // Created, updated, or read for a snapshot.
        ("c" | "u" | "r", After::Row) => Ok(None),
        ("c" | "u" | "r", After::Absent) => Err(format!("a change event with op `{op}` has no `after`")),
        ("c" | "u" | "r", After::Other) => {
            let what = "the `after` of a change event is no object; documents of MongoDB are to be flattened, \
                        by ExtractNewDocumentState";
            Err(what.to_owned())
        }
        _ => Err(format!("a change event has the unknown op {}", quote(&op))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_says_what_becomes_of_an_event() {
        let row = After::Row;
        for op in ["c", "u", "r"] {
            assert_eq!(judge(Cell::Text(op), row), Ok(None));
            let why = judge(Cell::Text(op), After::Absent).unwrap_err();
            assert_eq!(why, format!("a change event with op `{op}` has no `after`"));
        }
        for (op, reason) in
            [("d", PassReason::Delete), ("t", PassReason::Truncate), ("m", PassReason::Message)]
        {
            assert_eq!(judge(Cell::Text(op), After::Absent), Ok(Some(reason)));
        }
        for (op, after, why) in [
            (Cell::Null, row, "it has no `op`"),
            (Cell::Text(""), row, "it has no `op`"),
            (Cell::Text("x"), row, "the unknown op `x`"),
            (Cell::Whole(7), row, "the unknown op `7`"),
            (Cell::Text("u"), After::Other, "ExtractNewDocumentState"),
        ] {
            assert!(judge(op, after).unwrap_err().contains(why), "{op:?}");
        }
    }
}
