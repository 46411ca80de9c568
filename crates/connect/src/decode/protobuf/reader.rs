//! Protobuf payloads as the values of the wanted fields; what nobody wants is passed over.
//! It must not know what the values mean, nor where schemas come from.

use std::sync::Arc;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{Kind, MessageDescriptor};
use tickcast_stream::PassReason;

use super::plan::{FieldPlan, Known, MessagePlan, zero};
use super::wire::{Fault, broken, raw_value, value_of, wire_of};
use crate::decode::cell::Cell;
use crate::decode::framing::Framed;
use crate::decode::paths::Paths;
use crate::decode::payloads::{PayloadRow, ReadFields};
use crate::decode::shape::RowsIn;
use crate::decode::value::{PayloadRows, Value, Values};
use crate::decode::wanted::Wanted;
use crate::decode::writer_schemas::WriterSchemas;

/// How deep messages may be nested: they are read by recursion.
const MAX_DEPTH: usize = 100;
/// Indexes of a message within its schema, at most.
const INDEXES_MAX: u64 = 32;

/// Reads fields of Protobuf messages.
#[derive(Debug)]
pub(in crate::decode) struct ProtoReader {
    wanted: Wanted,
    /// What is read of the message that the pipeline names.
    own: Option<Arc<Plan>>,
    schemas: Option<Arc<WriterSchemas>>,
}

/// What is read of payloads of one message.
#[derive(Debug)]
struct Plan {
    message: MessagePlan,
    /// What is read of an element of the list, if one is taken apart.
    element: MessagePlan,
}

/// Reads the payloads of one batch.
pub(in crate::decode) struct ProtoBatch<'r, 'a> {
    reader: &'r ProtoReader,
    rows: PayloadRows<'a>,
    plan: Option<Arc<Plan>>,
    /// The kind of the list's elements.
    element_kind: Option<Kind>,
    /// The number and indexes of the payload before, and what is read of such.
    numbered: Option<(u32, Vec<usize>, Arc<Plan>)>,
}

impl ProtoReader {
    /// `message`: what is written without a number; `schemas`: those of numbers. One of them there
    /// has to be.
    pub(in crate::decode) fn new(
        wanted: Wanted,
        message: Option<&MessageDescriptor>,
        schemas: Option<Arc<WriterSchemas>>,
    ) -> Self {
        let mut reader = ProtoReader { wanted, own: None, schemas };
        reader.own = message.map(|message| Arc::new(reader.plan(message)));
        reader
    }

    pub(in crate::decode) fn batch<'a>(&self) -> ProtoBatch<'_, 'a> {
        let rows = PayloadRows::new(self.wanted.fields, self.wanted.rows_in());
        ProtoBatch { reader: self, rows, plan: None, element_kind: None, numbered: None }
    }

    fn plan(&self, message: &MessageDescriptor) -> Plan {
        let element = self.wanted.within.as_ref().and_then(|within| {
            let Kind::Message(element) =
                within.path.split('.').try_fold(Kind::Message(message.clone()), |kind, name| {
                    let Kind::Message(message) = kind else { return None };
                    Some(message.get_field_by_name(name)?.kind())
                })?
            else {
                return None;
            };
            Some(MessagePlan::new(&element, &within.of_element, Paths::ROOT))
        });

        Plan {
            message: MessagePlan::new(message, &self.wanted.of_record, Paths::ROOT),
            element: element.unwrap_or_default(),
        }
    }
}

impl<'a> ReadFields<'a> for ProtoBatch<'_, 'a> {
    fn read(&mut self, payload: &'a [u8]) -> Result<Option<PassReason>, Fault> {
        self.rows.clear();
        let (plan, body) = self.plan_of(payload)?;
        // A list without elements is not written.
        self.rows.elements = self.reader.wanted.within.as_ref().map(|_| Vec::new());
        let PayloadRows { record, elements, .. } = &mut self.rows;
        let mut kept = Kept { values: record, elements: elements.as_mut(), element_kind: None };
        message(&plan.message, body, &mut kept, 0)?;
        self.element_kind = kept.element_kind.or(self.element_kind.take());
        self.plan = Some(plan);

        let PayloadRows { record, elements, .. } = &self.rows;
        // A list without elements is there, an object that is not written is not.
        let has_rows = match self.reader.wanted.rows_in() {
            Some(RowsIn::Object) => elements.iter().any(|of| !of.is_empty()),
            _ => true,
        };
        let passed = self.reader.wanted.judge(record, has_rows)?;
        if passed.is_none() {
            self.rows.begin();
        }
        Ok(passed)
    }

    fn next_row(&mut self) -> Option<PayloadRow> {
        let Some((element, body)) = self.rows.next()? else { return Some(PayloadRow::whole()) };
        let plan = self.plan.clone()?;

        let mut kept = Kept { values: &mut self.rows.element, elements: None, element_kind: None };
        let read = match &self.element_kind {
            Some(kind @ Kind::Message(_)) if Known::of(kind) == Known::Object => {
                if let Some(itself) = self.reader.wanted.itself() {
                    kept.values[itself] = Some(Value::Of(Cell::Nested));
                }
                message(&plan.element, body, &mut kept, 1)
            }
            Some(kind) => {
                let value = value_of(kind, Known::of(kind), body);
                if let (Some(itself), Ok(value)) = (self.reader.wanted.itself(), &value) {
                    kept.values[itself] = Some(value.clone());
                }
                value.map(drop)
            }
            None => Err("the kind of the list's elements is not known".to_owned()),
        };
        Some(PayloadRow::of(element, read))
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        self.rows.cell(field)
    }
}

impl ProtoBatch<'_, '_> {
    /// What is read of a payload, and what of it is the message.
    fn plan_of<'p>(&mut self, payload: &'p [u8]) -> Result<(Arc<Plan>, &'p [u8]), Fault> {
        let reader = self.reader;
        let (number, framed) = match (Framed::of(payload), &reader.own) {
            // No field has the number 0: no message begins with a zero byte.
            (Framed::Numbered(number, framed), _) => (number, framed),
            (_, Some(own)) => return Ok((Arc::clone(own), payload)),
            (_, None) => return Err("the payload does not begin with the number of a schema".to_owned()),
        };
        let (indexes, body) = message_indexes(framed)?;
        let Some(schemas) = &reader.schemas else {
            return match &reader.own {
                Some(own) => Ok((Arc::clone(own), body)),
                None => Err("no schema is known for the payload".to_owned()),
            };
        };

        if let Some((before, known, plan)) = &self.numbered
            && *before == number
            && *known == indexes
        {
            return Ok((Arc::clone(plan), body));
        }
        let of = schemas.protobuf(number)?.at(&indexes);
        let of = of.ok_or_else(|| format!("the schema {number} has no message at {indexes:?}"))?;
        let plan = Arc::new(reader.plan(&of));
        self.numbered = Some((number, indexes, Arc::clone(&plan)));
        Ok((plan, body))
    }
}

/// The indexes of a message within its schema, in front of it.
fn message_indexes(framed: &[u8]) -> Result<(Vec<usize>, &[u8]), Fault> {
    let mut rest = framed;
    let mut number = || -> Result<u64, Fault> {
        let zigzag = decode_varint(&mut rest).map_err(|_| "the payload ends within its frame".to_owned())?;
        // None of them is negative.
        Ok(zigzag >> 1)
    };
    let count = number()?;
    if count > INDEXES_MAX {
        return Err(format!("a message {count} levels deep in its schema"));
    }
    let indexes = (0..count).map(|_| number().map(|index| usize::try_from(index).unwrap_or(usize::MAX)));
    let indexes = indexes.collect::<Result<Vec<_>, _>>()?;

    Ok((if indexes.is_empty() { vec![0] } else { indexes }, rest))
}

/// Where what is read goes.
struct Kept<'k, 'a> {
    values: &'k mut Values<'a>,
    /// The elements of the list that is taken apart, or the object that is the row.
    elements: Option<&'k mut Vec<&'a [u8]>>,
    element_kind: Option<Kind>,
}

/// Reads the wanted fields of a message.
fn message<'a>(
    plan: &MessagePlan,
    body: &'a [u8],
    kept: &mut Kept<'_, 'a>,
    depth: usize,
) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    for (field, value) in &plan.unsaid {
        if kept.values[*field].is_none() {
            kept.values[*field] = Some(value.clone());
        }
    }

    let mut rest = body;
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).map_err(broken)?;
        match plan.field(number) {
            Some(field) => read_field(field, wire, &mut rest, kept, depth)?,
            None => skip_field(wire, number, &mut rest, DecodeContext::default()).map_err(broken)?,
        }
    }
    Ok(())
}

fn read_field<'a>(
    plan: &FieldPlan,
    wire: WireType,
    rest: &mut &'a [u8],
    kept: &mut Kept<'_, 'a>,
    depth: usize,
) -> Result<(), Fault> {
    let raw = raw_value(wire, rest)?;
    if plan.is_repeated {
        if let Some(field) = plan.field {
            kept.values[field] = Some(Value::Of(Cell::Nested));
        }
        if plan.rows_in == Some(RowsIn::List)
            && let Some(elements) = &mut kept.elements
        {
            kept.element_kind.get_or_insert_with(|| plan.kind.clone());
            return add_elements(&plan.kind, wire, raw, elements);
        }
        return match &plan.kind {
            Kind::Message(_) if !plan.keys.is_empty() => map_entry(plan, raw, kept, depth),
            _ => Ok(()),
        };
    }

    keep(plan, wire, raw, kept, depth)
}

/// Keeps the value of a field, and what is wanted within it.
fn keep<'a>(
    plan: &FieldPlan,
    wire: WireType,
    raw: &'a [u8],
    kept: &mut Kept<'_, 'a>,
    depth: usize,
) -> Result<(), Fault> {
    if wire != wire_of(&plan.kind) {
        return Err(format!("not Protobuf: a field is written as {wire:?}, which its schema does not allow"));
    }
    if let Some(within) = &plan.within {
        message(within, raw, kept, depth + 1)?;
    }
    if plan.rows_in == Some(RowsIn::Object)
        && let (Kind::Message(_), Some(elements)) = (&plan.kind, &mut kept.elements)
    {
        // Where it comes twice the last counts.
        elements.clear();
        elements.push(raw);
        kept.element_kind = Some(plan.kind.clone());
    }
    if let Some(field) = plan.field {
        kept.values[field] = Some(value_of(&plan.kind, plan.known, raw)?);
    }

    Ok(())
}

/// An entry of a map, of which its key may be wanted.
fn map_entry<'a>(
    plan: &FieldPlan,
    entry: &'a [u8],
    kept: &mut Kept<'_, 'a>,
    depth: usize,
) -> Result<(), Fault> {
    let (mut key, mut value, mut rest) = (&entry[..0], None, entry);
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).map_err(broken)?;
        let raw = raw_value(wire, &mut rest)?;
        match number {
            1 => key = raw,
            2 => value = Some((wire, raw)),
            _ => {}
        }
    }

    let wanted = plan.keys.iter().find(|(name, _)| name.as_bytes() == key);
    match (wanted, value) {
        (Some((_, plan)), Some((wire, raw))) => keep(plan, wire, raw, kept, depth + 1),
        // What is zero may be left out.
        (Some((_, plan)), None) => {
            if let Some(field) = plan.field {
                kept.values[field] = zero(&plan.kind);
            }
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// The elements of a repeated field: one, or where numbers are packed all of them.
fn add_elements<'a>(
    kind: &Kind,
    wire: WireType,
    raw: &'a [u8],
    elements: &mut Vec<&'a [u8]>,
) -> Result<(), Fault> {
    let of_one = wire_of(kind);
    if wire == of_one || of_one == WireType::LengthDelimited {
        elements.push(raw);
        return Ok(());
    }
    let mut rest = raw;
    while !rest.is_empty() {
        elements.push(raw_value(of_one, &mut rest)?);
    }

    Ok(())
}
