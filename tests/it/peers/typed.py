"""Writes records of other libraries, for a topic that tickcast reads: fastavro's Avro and Google's Protobuf.

typed.py DIRECTORY: writes reading.avsc and reading.desc, and for each form a file of a record a line in hexadecimal:
avro-plain, avro-single, avro-confluent, proto-plain, proto-confluent; and object container files of them, null.avro and
deflate.avro. Record n is of minute n, and its value is n / 4.
"""

import datetime
import decimal
import io
import json
import struct
import sys
from pathlib import Path

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, timestamp_pb2

RECORDS = 40

AVRO = {
    "type": "record",
    "name": "Reading",
    "namespace": "plant",
    "fields": [
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "device", "type": {"type": "record", "name": "Device", "fields": [
            {"name": "id", "type": "string"}, {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}}]}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "value", "type": ["null", "double", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}},
        {"name": "quality", "type": {"type": "enum", "name": "Quality", "symbols": ["BAD", "OK"]}},
    ],
}

PROTO = """
name: "reading.proto" package: "plant" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
message_type { name: "Other" field { name: "x" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
message_type {
  name: "Reading"
  nested_type { name: "Device" field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
  enum_type { name: "Quality" value { name: "BAD" number: 0 } value { name: "OK" number: 1 } }
  field { name: "device" number: 1 type: TYPE_MESSAGE type_name: ".plant.Reading.Device" label: LABEL_OPTIONAL }
  field { name: "at" number: 2 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "value" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "price" number: 4 type: TYPE_SINT64 label: LABEL_OPTIONAL }
  field { name: "quality" number: 5 type: TYPE_ENUM type_name: ".plant.Reading.Quality" label: LABEL_OPTIONAL }
  field { name: "more" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
}
"""


def avro_records():
    for n in range(RECORDS):
        yield {
            "tags": {"a": "b"},
            "device": {"id": "m", "uid": "00010203-0405-0607-0809-0a0b0c0d0e0f"},
            "at": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(minutes=n),
            "value": n / 4,
            "price": decimal.Decimal(n) / 8,
            "quality": "OK" if n % 2 else "BAD",
        }


def main(directory: Path):
    schema = fastavro.parse_schema(AVRO)
    (directory / "reading.avsc").write_text(json.dumps(AVRO))
    plain = []
    for record in avro_records():
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, record)
        plain.append(out.getvalue())
    rabin = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
    forms = {
        "avro-plain": plain,
        "avro-single": [b"\xc3\x01" + rabin + record for record in plain],
        "avro-confluent": [struct.pack(">bI", 0, 7) + record for record in plain],
    }

    for codec in ("null", "deflate"):
        with (directory / f"{codec}.avro").open("wb") as out:
            fastavro.writer(out, schema, avro_records(), codec=codec, sync_interval=200)

    pool = descriptor_pool.DescriptorPool()
    stamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
    file = text_format.Parse(PROTO, descriptor_pb2.FileDescriptorProto())
    pool.Add(stamp)
    pool.Add(file)
    (directory / "reading.desc").write_bytes(descriptor_pb2.FileDescriptorSet(file=[stamp, file]).SerializeToString())
    reading = message_factory.GetMessageClass(pool.FindMessageTypeByName("plant.Reading"))
    messages = []
    for n in range(RECORDS):
        message = reading(value=n / 4, price=n * 125, quality=n % 2, more=range(n % 5))
        message.device.id = "m"
        message.at.seconds = 1704067200 + 60 * n
        messages.append(message.SerializeToString())
    forms["proto-plain"] = messages
    # The second message of the file: one index, 1, in a zigzag.
    forms["proto-confluent"] = [struct.pack(">bI", 0, 8) + b"\x02\x02" + message for message in messages]

    for name, records in forms.items():
        (directory / name).write_text("".join(record.hex() + "\n" for record in records))


main(Path(sys.argv[1]))
