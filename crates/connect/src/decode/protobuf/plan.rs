//! What is read of a message: of each field that is wanted its number and what becomes of it.
//! It must not read data.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::schema::is_wrapper;
use crate::decode::cell::Cell;
use crate::decode::paths::Paths;
use crate::decode::shape::RowsIn;
use crate::decode::value::Value;

/// What is read of a message.
#[derive(Debug, Default)]
pub(super) struct MessagePlan {
    /// By their numbers.
    fields: Vec<(u32, FieldPlan)>,
    /// What fields have that a message leaves out because they have it.
    pub(super) unsaid: Vec<(usize, Value<'static>)>,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) kind: Kind,
    /// What its value is, where that is a message.
    pub(super) known: Known,
    /// Where its value is wanted, by its place among the fields that are read.
    pub(super) field: Option<usize>,
    pub(super) is_repeated: bool,
    /// It is what the rows are taken from.
    pub(super) rows_in: Option<RowsIn>,
    /// What is read within it.
    pub(super) within: Option<MessagePlan>,
    /// Of a map the keys that are wanted, and where.
    pub(super) keys: Vec<(String, FieldPlan)>,
}

impl MessagePlan {
    /// What is read of a message at a node of the paths.
    pub(super) fn new(message: &MessageDescriptor, paths: &Paths, node: usize) -> Self {
        let mut plan = MessagePlan::default();
        for field in message.fields() {
            let Some(child) =
                paths.child(node, field.name()).or_else(|| paths.child(node, field.json_name()))
            else {
                continue;
            };
            if let Some(wanted) = paths.node(child).field
                && let Some(unsaid) = unsaid(&field)
            {
                plan.unsaid.push((wanted, unsaid));
            }
            plan.fields.push((field.number(), FieldPlan::new(&field, paths, child)));
        }

        plan
    }

    #[inline]
    pub(super) fn field(&self, number: u32) -> Option<&FieldPlan> {
        self.fields.iter().find(|(known, _)| *known == number).map(|(_, plan)| plan)
    }
}

impl FieldPlan {
    fn new(of: &FieldDescriptor, paths: &Paths, node: usize) -> Self {
        let (field, rows_in) = (paths.node(node).field, paths.node(node).rows_in);
        let mut plan = FieldPlan {
            kind: of.kind(),
            known: Known::of(&of.kind()),
            field,
            is_repeated: of.cardinality() == Cardinality::Repeated,
            rows_in,
            within: None,
            keys: Vec::new(),
        };
        let Kind::Message(message) = of.kind() else { return plan };
        if !of.is_map() {
            plan.within = (!plan.is_repeated && paths.node(node).has_children())
                .then(|| MessagePlan::new(&message, paths, node));
            return plan;
        }
        if let Some(value) = message.get_field(2) {
            let keys =
                paths.children(node).map(|(key, child)| (key.clone(), FieldPlan::new(&value, paths, child)));
            plan.keys = keys.collect();
        }

        plan
    }
}

/// What a field has that a message leaves out; none where it then has nothing.
fn unsaid(field: &FieldDescriptor) -> Option<Value<'static>> {
    if field.supports_presence() || field.is_list() || field.is_map() { None } else { zero(&field.kind()) }
}

/// What a value of a kind is that was never written.
pub(super) fn zero(kind: &Kind) -> Option<Value<'static>> {
    Some(Value::Of(match kind {
        Kind::Double | Kind::Float => Cell::Float(0.0),
        Kind::Bool => Cell::Truth(false),
        Kind::String => Cell::Text(""),
        Kind::Bytes => Cell::Bytes(&[]),
        Kind::Enum(of) => return Some(Value::Made(of.default_value().name().into())),
        Kind::Message(_) => return None,
        _ => Cell::Whole(0),
    }))
}

/// What the value of a message is, where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Timestamp,
    Duration,
    /// One value, in its first field.
    Wrapper,
    /// Any other: an object; or no message.
    Object,
}

impl Known {
    pub(super) fn of(kind: &Kind) -> Self {
        let Kind::Message(message) = kind else { return Known::Object };
        match message.full_name() {
            "google.protobuf.Timestamp" => Known::Timestamp,
            "google.protobuf.Duration" => Known::Duration,
            name if is_wrapper(name) => Known::Wrapper,
            _ => Known::Object,
        }
    }
}
