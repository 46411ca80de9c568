//! Avro payloads as the values of the wanted fields: each is read by the schema that it was written
//! with, and what nobody wants is passed over.
//! It must not know what the values mean, nor where schemas come from.
//!
//! Fields are found by their names, so that a writer may have others, or the same in another order;
//! where the reader's schema gives a field other names or a value of its own, these hold too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde_json::Value as Json;
use tickcast_stream::message::RawRecord;
use tickcast_stream::{PassReason, SourceFile};

use super::schema::{AvroField, AvroKind, AvroSchema, TypeId};
use super::values::plain;
use super::wire::{AvroBytes, Fault, MAX_DEPTH};
use crate::decode::cell::Cell;
use crate::decode::framing::Framed;
use crate::decode::paths::Paths;
use crate::decode::payloads::{PayloadRow, ReadFields};
use crate::decode::shape::RowsIn;
use crate::decode::value::{PayloadRows, Value};
use crate::decode::wanted::Wanted;
use crate::decode::writer_schemas::WriterSchemas;

/// Reads fields of Avro records.
#[derive(Debug)]
pub(in crate::decode) struct AvroReader {
    wanted: Wanted,
    /// What a field has where its writer did not know it.
    defaults: Vec<Option<Value<'static>>>,
    /// The reader's schema; what is written without a number is written with it.
    schema: Option<Arc<AvroSchema>>,
    schemas: Option<Arc<WriterSchemas>>,
    /// The schema of the file that was read last.
    of_file: RefCell<Option<(Arc<SourceFile>, FileSchema)>>,
}

/// The schema that a file's records were written with, or why there is none.
type FileSchema = Result<Arc<AvroSchema>, Fault>;

/// Where the fields of a record type lead from a node: to other nodes, or nowhere.
type Places = Arc<[Option<usize>]>;

/// Reads the payloads of one batch.
pub(in crate::decode) struct AvroBatch<'r, 'a> {
    reader: &'r AvroReader,
    rows: PayloadRows<'a>,
    /// The schema of the payload, and the type of its list's elements.
    writer: Option<Arc<AvroSchema>>,
    element_type: TypeId,
    /// Of this schema.
    places: HashMap<(TypeId, usize, bool), Places, FixedState>,
    /// The schema of the payload before that had a number.
    numbered: Option<(u32, Arc<AvroSchema>)>,
    /// The schema of the payload's file, where that has one: nothing stands before it then.
    of_file: Option<FileSchema>,
}

impl AvroReader {
    /// Of these fields. `schema`: the reader's; `schemas`: those of the writers, by their numbers.
    /// One of them there has to be.
    pub(in crate::decode) fn new(
        fields: &[String],
        mut wanted: Wanted,
        schema: Option<Arc<AvroSchema>>,
        schemas: Option<Arc<WriterSchemas>>,
    ) -> Self {
        let mut defaults = vec![None; fields.len()];
        if let Some(schema) = &schema {
            for (at, name) in fields.iter().enumerate() {
                let Some(field) = field_at(schema, name) else { continue };
                let names = field.aliases.iter().map(|alias| beside(name, alias));
                names.for_each(|alias| wanted.of_record.want(&alias, at));
                defaults[at] = field.default.as_ref().and_then(value_of);
            }
        }

        AvroReader { wanted, defaults, schema, schemas, of_file: RefCell::new(None) }
    }

    /// The schema of the file that a record is from, where that has one.
    fn schema_of(&self, file: &Arc<SourceFile>) -> Option<FileSchema> {
        let text = file.schema.as_deref()?;
        let mut known = self.of_file.borrow_mut();
        if let Some((_, schema)) = known.as_ref().filter(|(of, _)| Arc::ptr_eq(of, file)) {
            return Some(schema.clone());
        }
        let schema = AvroSchema::parse_with(text, &[]).map(Arc::new).map_err(|error| error.to_string());
        *known = Some((Arc::clone(file), schema.clone()));
        Some(schema)
    }

    pub(in crate::decode) fn batch<'a>(&self) -> AvroBatch<'_, 'a> {
        AvroBatch {
            reader: self,
            rows: PayloadRows::new(self.wanted.fields, self.wanted.rows_in()),
            writer: None,
            element_type: 0,
            places: HashMap::default(),
            numbered: None,
            of_file: None,
        }
    }

    /// Whether a payload is a record of the schema as it stands.
    fn is_whole(&self, schema: &AvroSchema, payload: &[u8]) -> bool {
        let mut bytes = AvroBytes::new(payload);
        bytes.skip(schema, schema.root, 0).is_ok() && bytes.rest().is_empty()
    }
}

impl<'a> ReadFields<'a> for AvroBatch<'_, 'a> {
    fn begin(&mut self, record: &'a RawRecord) {
        self.of_file = record.file.as_ref().and_then(|file| self.reader.schema_of(file));
    }

    fn read(&mut self, payload: &'a [u8]) -> Result<Option<PassReason>, Fault> {
        self.rows.clear();
        let (writer, body) = self.writer_of(payload)?;
        if self.writer.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &writer)) {
            self.places.clear();
            // Also where the payload turns out to be none: the places are its schema's.
            self.writer = Some(Arc::clone(&writer));
        }
        let mut bytes = AvroBytes::new(body);
        self.value(
            &writer,
            writer.root,
            &mut bytes,
            Spot { node: Paths::ROOT, in_element: false, depth: 0 },
        )?;
        if !bytes.rest().is_empty() {
            return Err(format!("{} bytes follow the record", bytes.rest().len()));
        }
        let passed = self.reader.wanted.judge(&self.rows.record, self.rows.elements.is_some())?;
        if passed.is_some() {
            return Ok(passed);
        }

        for (value, default) in self.rows.record.iter_mut().zip(&self.reader.defaults) {
            if value.is_none() {
                value.clone_from(default);
            }
        }
        self.rows.begin();
        Ok(None)
    }

    fn next_row(&mut self) -> Option<PayloadRow> {
        let Some((element, body)) = self.rows.next()? else { return Some(PayloadRow::whole()) };
        let writer = self.writer.clone()?;
        let spot = Spot { node: Paths::ROOT, in_element: true, depth: 0 };
        let read = self.value(&writer, self.element_type, &mut AvroBytes::new(body), spot);
        Some(PayloadRow::of(element, read))
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        self.rows.cell(field)
    }
}

impl AvroBatch<'_, '_> {
    /// The schema that a payload was written with, and what of it is the record.
    fn writer_of<'p>(&mut self, payload: &'p [u8]) -> Result<(Arc<AvroSchema>, &'p [u8]), Fault> {
        if let Some(schema) = &self.of_file {
            return Ok((schema.clone()?, payload));
        }
        let (framed, reader) = (Framed::of(payload), self.reader);
        if let (Framed::Numbered(number, body), Some(schemas)) = (framed, &reader.schemas) {
            let before = self.numbered.take().filter(|(before, _)| *before == number);
            let schema = before.map_or_else(|| schemas.avro(number), |(_, schema)| Ok(schema))?;
            self.numbered = Some((number, Arc::clone(&schema)));
            return Ok((schema, body));
        }

        let Some(schema) = &reader.schema else {
            return Err("the payload does not begin with the number of a schema".to_owned());
        };
        let body = match framed {
            // A record without a frame may begin as one.
            Framed::Numbered(_, body) | Framed::Single(body) if !reader.is_whole(schema, payload) => body,
            _ => payload,
        };
        Ok((Arc::clone(schema), body))
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Spot {
    /// In the paths.
    node: usize,
    /// Within an element of the list.
    in_element: bool,
    /// So many others are around it.
    depth: usize,
}

impl Spot {
    fn within(self, node: usize) -> Self {
        Spot { node, depth: self.depth + 1, ..self }
    }
}

impl<'a> AvroBatch<'_, 'a> {
    /// Reads a value, and keeps what is wanted of it.
    fn value(
        &mut self,
        schema: &AvroSchema,
        of: TypeId,
        bytes: &mut AvroBytes<'a>,
        spot: Spot,
    ) -> Result<(), Fault> {
        if spot.depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }

        let avro = schema.of(of);
        let value = match &avro.kind {
            AvroKind::Union(branches) => {
                let branch = bytes.branch(branches)?;
                return self.value(schema, branch, bytes, spot.within(spot.node));
            }
            AvroKind::Record(fields) => {
                let (places, from) = (self.places(schema, of, spot), bytes.rest());
                for (field, place) in fields.iter().zip(places.iter()) {
                    match place {
                        Some(child) => self.value(schema, field.of, bytes, spot.within(*child))?,
                        None => bytes.skip(schema, field.of, spot.depth)?,
                    }
                }
                if self.is_taken_from(spot, RowsIn::Object) {
                    self.rows.elements = Some(vec![&from[..from.len() - bytes.rest().len()]]);
                    self.element_type = of;
                }
                Value::Of(Cell::Nested)
            }
            AvroKind::Map(values) => {
                self.entries(schema, *values, bytes, spot)?;
                Value::Of(Cell::Nested)
            }
            AvroKind::Array(items) => {
                self.items(schema, *items, bytes, spot)?;
                Value::Of(Cell::Nested)
            }
            kind => plain(kind, avro.logical, bytes)?,
        };
        self.keep(spot, value);
        Ok(())
    }

    fn entries(
        &mut self,
        schema: &AvroSchema,
        values: TypeId,
        bytes: &mut AvroBytes<'a>,
        spot: Spot,
    ) -> Result<(), Fault> {
        while let Some((count, _)) = bytes.block()? {
            for _ in 0..count {
                let name = bytes.string()?;
                match self.paths(spot).child(spot.node, name) {
                    Some(child) => self.value(schema, values, bytes, spot.within(child))?,
                    None => bytes.skip(schema, values, spot.depth)?,
                }
            }
        }

        Ok(())
    }

    /// Passes over the items of a list, whose bytes are kept where it is the one that is taken
    /// apart.
    fn items(
        &mut self,
        schema: &AvroSchema,
        items: TypeId,
        bytes: &mut AvroBytes<'a>,
        spot: Spot,
    ) -> Result<(), Fault> {
        let is_kept = self.is_taken_from(spot, RowsIn::List);

        let mut elements = Vec::new();
        while let Some((count, _)) = bytes.block()? {
            for _ in 0..count {
                let from = bytes.rest();
                bytes.skip(schema, items, spot.depth)?;
                if is_kept {
                    elements.push(&from[..from.len() - bytes.rest().len()]);
                }
            }
        }
        if is_kept {
            (self.rows.elements, self.element_type) = (Some(elements), items);
        }
        Ok(())
    }

    /// Whether the rows are taken from what is here.
    fn is_taken_from(&self, spot: Spot, rows_in: RowsIn) -> bool {
        !spot.in_element && self.paths(spot).node(spot.node).rows_in == Some(rows_in)
    }

    fn paths(&self, spot: Spot) -> &Paths {
        match &self.reader.wanted.within {
            Some(within) if spot.in_element => &within.of_element,
            _ => &self.reader.wanted.of_record,
        }
    }

    /// Keeps a value where it is wanted.
    fn keep(&mut self, spot: Spot, value: Value<'a>) {
        let itself = self.reader.wanted.itself().filter(|_| spot.in_element && spot.node == Paths::ROOT);
        if let Some(field) = self.paths(spot).node(spot.node).field.or(itself) {
            let values = if spot.in_element { &mut self.rows.element } else { &mut self.rows.record };
            values[field] = Some(value);
        }
    }

    /// Where the fields of a record type lead.
    fn places(&mut self, schema: &AvroSchema, of: TypeId, spot: Spot) -> Places {
        let key = (of, spot.node, spot.in_element);
        if let Some(places) = self.places.get(&key) {
            return Arc::clone(places);
        }
        let AvroKind::Record(fields) = &schema.of(of).kind else { return Arc::new([]) };
        let paths = self.paths(spot);
        let places: Places = fields.iter().map(|field| paths.child(spot.node, &field.name)).collect();
        self.places.insert(key, Arc::clone(&places));
        places
    }
}

/// The field of a path.
fn field_at<'s>(schema: &'s AvroSchema, path: &str) -> Option<&'s AvroField> {
    let mut of = schema.root;
    let mut found = None;
    for name in path.split('.') {
        let is_null = |of: &TypeId| schema.of(*of).kind == AvroKind::Null;
        if let AvroKind::Union(branches) = &schema.of(of).kind {
            of = branches.iter().copied().find(|of| !is_null(of))?;
        }
        let AvroKind::Record(fields) = &schema.of(of).kind else { return None };
        let field = fields.iter().find(|field| field.name == name)?;
        (found, of) = (Some(field), field.of);
    }

    found
}

/// A path with another last name.
fn beside(path: &str, name: &str) -> String {
    match path.rsplit_once('.') {
        Some((parent, _)) => format!("{parent}.{name}"),
        None => name.to_owned(),
    }
}

/// The value of a field's default, as JSON writes it.
fn value_of(default: &Json) -> Option<Value<'static>> {
    Some(Value::Of(match default {
        Json::Null => Cell::Null,
        Json::Bool(truth) => Cell::Truth(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Cell::Whole(whole),
            None => Cell::Float(number.as_f64()?),
        },
        Json::String(text) => return Some(Value::Made(text.as_str().into())),
        Json::Array(_) | Json::Object(_) => return None,
    }))
}
