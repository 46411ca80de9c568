//! Protobuf schemas: a descriptor set, or the text of a `.proto` file.
//! It must not read data.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use base64::prelude::{BASE64_STANDARD, Engine};
use prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{
    Cardinality, DescriptorPool, FieldDescriptor, FileDescriptor, Kind as ProtoKind, MessageDescriptor,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use tickcast_stream::error::{Error, Kind, OrFail, Result};

/// A message that holds itself is followed so deep.
const MAX_DEPTH: usize = 8;
/// What a schema without a file is called.
const NAMELESS: &str = "schema.proto";

/// The messages of a schema.
#[derive(Clone)]
pub(crate) struct ProtoSchema {
    pool: DescriptorPool,
    /// The file that the schema itself is; none: all of a descriptor set.
    file: Option<FileDescriptor>,
}

impl fmt::Debug for ProtoSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtoSchema").finish_non_exhaustive()
    }
}

/// Files that are given, by their names.
struct Given(Vec<(String, String)>);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((name, text)) => match serialized(name, text) {
                Some(file) => Ok(File::from_file_descriptor_proto(file)),
                None => File::from_source(name, text),
            },
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// A file as Confluent's client for Python registers it: its descriptor in Base64. Registries that
/// keep a schema as it came give it back so.
fn serialized(name: &str, text: &str) -> Option<FileDescriptorProto> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let file = FileDescriptorProto::decode(&bytes[..]).ok()?;
    Some(FileDescriptorProto { name: Some(name.to_owned()), ..file })
}

impl ProtoSchema {
    /// Of a descriptor set, as `protoc --descriptor_set_out --include_imports` writes it; else of
    /// the text of a `.proto` file that imports nothing but Google's own. Errors: `Config`.
    pub(in crate::decode) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        if let Ok(text) = std::str::from_utf8(bytes)
            && text.contains("message")
            && text.contains('{')
        {
            return Self::of_texts(text, &[]);
        }
        let pool = DescriptorPool::decode(bytes).or_fail(Kind::Config, || {
            "the schema is neither a descriptor set (protoc --descriptor_set_out --include_imports) nor a .proto file"
        })?;
        Ok(ProtoSchema { pool, file: None })
    }

    /// Of the text of a `.proto` file and of those that it imports, by their names. Errors:
    /// `Config`, with the line that is wrong.
    pub(crate) fn of_texts(text: &str, imports: &[(String, String)]) -> Result<Self> {
        let mut files = imports.to_vec();
        files.push((NAMELESS.to_owned(), text.to_owned()));
        let mut resolver = ChainFileResolver::new();
        resolver.add(Given(files));
        resolver.add(GoogleFileResolver::new());
        let fail = || "the schema is no .proto file";
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file(NAMELESS).or_fail(Kind::Config, fail)?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(NAMELESS);
        Ok(ProtoSchema { pool, file })
    }

    /// The message of a full name, or, where none is asked for, the only one. Errors: `Config`,
    /// naming those that there are.
    pub(crate) fn message(&self, name: Option<&str>) -> Result<MessageDescriptor> {
        let own: Vec<MessageDescriptor> = match &self.file {
            Some(file) => file.messages().collect(),
            None => self.pool.files().flat_map(|file| file.messages().collect::<Vec<_>>()).collect(),
        };
        let known =
            || own.iter().map(|message| message.full_name().to_owned()).collect::<Vec<_>>().join(", ");

        match (name, &own[..]) {
            (Some(name), _) => self.pool.get_message_by_name(name).ok_or_else(|| {
                let what = format!("source.message: the schema has no message `{name}`. It has: {}", known());
                Error::new(Kind::Config, what)
            }),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                let what = format!("source.message: missing, the schema has several messages: {}", known());
                Err(Error::new(Kind::Config, what))
            }
        }
    }

    /// The message that indexes lead to, as Confluent's wire format has them: the first of the
    /// file's messages, each other of those within the one before.
    pub(in crate::decode) fn at(&self, indexes: &[usize]) -> Option<MessageDescriptor> {
        let (first, rest) = indexes.split_first()?;
        let first = self.file.as_ref()?.messages().nth(*first)?;
        rest.iter().try_fold(first, |message, index| message.child_messages().nth(*index))
    }
}

/// The fields of a message as Arrow fields. Messages are objects and repeated fields lists; enums
/// are text; Google's timestamps are times, its wrappers what they hold and its durations seconds.
pub(in crate::decode) fn columns_of(message: &MessageDescriptor) -> Vec<Field> {
    fields_of(message, 0).iter().map(|field| field.as_ref().clone()).collect()
}

fn fields_of(message: &MessageDescriptor, depth: usize) -> Fields {
    message.fields().map(|field| Arc::new(Field::new(field.name(), type_of(&field, depth), true))).collect()
}

fn type_of(field: &FieldDescriptor, depth: usize) -> DataType {
    if field.is_map()
        && let ProtoKind::Message(entry) = field.kind()
    {
        let [key, value] = ["key", "value"].map(|name| {
            let data_type =
                entry.get_field_by_name(name).map_or(DataType::Null, |of| type_of(&of, depth + 1));
            Field::new(name, data_type, true)
        });
        let entry = DataType::Struct(vec![key, value].into());
        return DataType::Map(Arc::new(Field::new("entries", entry, false)), false);
    }

    let of_one = match field.kind() {
        ProtoKind::Message(message) => of_message(&message, depth),
        ProtoKind::Double => DataType::Float64,
        ProtoKind::Float => DataType::Float32,
        ProtoKind::Int32 | ProtoKind::Sint32 | ProtoKind::Sfixed32 => DataType::Int32,
        ProtoKind::Int64 | ProtoKind::Sint64 | ProtoKind::Sfixed64 => DataType::Int64,
        ProtoKind::Uint32 | ProtoKind::Fixed32 => DataType::UInt32,
        ProtoKind::Uint64 | ProtoKind::Fixed64 => DataType::UInt64,
        ProtoKind::Bool => DataType::Boolean,
        ProtoKind::String | ProtoKind::Enum(_) => DataType::Utf8,
        ProtoKind::Bytes => DataType::Binary,
    };

    match field.cardinality() {
        Cardinality::Repeated => DataType::List(Arc::new(Field::new("item", of_one, true))),
        _ => of_one,
    }
}

fn of_message(message: &MessageDescriptor, depth: usize) -> DataType {
    match message.full_name() {
        "google.protobuf.Timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "google.protobuf.Duration" => DataType::Float64,
        name if is_wrapper(name) => {
            message.get_field(1).map_or(DataType::Null, |value| type_of(&value, depth + 1))
        }
        _ if depth >= MAX_DEPTH => DataType::Null,
        _ => DataType::Struct(fields_of(message, depth + 1)),
    }
}

/// Whether a message is one of Google's that hold one value, which may be absent.
pub(super) fn is_wrapper(name: &str) -> bool {
    name.strip_prefix("google.protobuf.").is_some_and(|name| {
        name.ends_with("Value") && name.len() > 5 && name != "ListValue" && name != "NullValue"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_in_base64_is_read_as_its_text_would_be() {
        let text = "syntax = \"proto3\"; package plant; import \"common.proto\"; message Reading { Device device = 1; }";
        let common = "syntax = \"proto3\"; package plant; message Device { string id = 1; }";
        let given = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let plain = ProtoSchema::of_texts(text, &[given("common.proto", common)]).unwrap();
        let encoded = |name: &str| {
            let file = plain.pool.get_file_by_name(name).unwrap();
            BASE64_STANDARD.encode(file.file_descriptor_proto().encode_to_vec())
        };

        // Python's client names the file as it was called where it was compiled.
        let imports = [given("common.proto", &encoded("common.proto"))];
        let schema = ProtoSchema::of_texts(&encoded(NAMELESS), &imports).unwrap();
        let message = schema.message(Some("plant.Reading")).unwrap();
        assert_eq!(columns_of(&message), columns_of(&plain.message(Some("plant.Reading")).unwrap()));
        for broken in ["", "AAAA", "no base64"] {
            assert!(
                ProtoSchema::of_texts(broken, &[]).and_then(|schema| schema.message(None)).is_err(),
                "{broken}"
            );
        }
    }
}
