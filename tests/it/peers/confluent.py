"""Confluent's own clients on both sides of tickcast: their serializers before it, their deserializers behind it.

confluent.py produce BROKERS REGISTRY DIRECTORY: fills the topics of FORMS with 40 readings each; reading.desc is in
DIRECTORY.
confluent.py consume BROKERS REGISTRY DIRECTORY TOPIC VALUES KEYS: writes what is committed on a topic to
DIRECTORY/TOPIC.ndjson, a line a record with its partition, key, value and headers; times are in microseconds.
VALUES.desc is the schema of Protobuf's messages.
"""

import datetime
import json
import sys
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2  # noqa: F401

START = 1704067200
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
AVRO = json.dumps({"type": "record", "name": "Reading", "fields": [
    {"name": "id", "type": "string"}, {"name": "at", "type": "long"}, {"name": "v", "type": ["null", "double"]}]})
JSON = json.dumps({"title": "Reading", "type": "object", "properties": {
    "id": {"type": "string"}, "at": {"type": "integer"}, "v": {"type": "number"}}})


def messages(path, name):
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def produce(brokers, registry, directory):
    client = SchemaRegistryClient({"url": registry})
    reading = messages(directory / "reading.desc", "plant.Reading")
    plain = {"use.deprecated.format": False}
    forms = {
        "avro": (AvroSerializer(client, AVRO), dict),
        "protobuf": (ProtobufSerializer(reading, client, plain), lambda record: reading(**record)),
        "json": (JSONSerializer(JSON, client), dict),
    }
    producer = Producer({"bootstrap.servers": brokers})
    for form, (serialize, shaped) in forms.items():
        topic = f"confluent.{form}"
        for n in range(40):
            record = shaped({"id": "m", "at": START + 60 * n, "v": n / 4})
            value = serialize(record, SerializationContext(topic, MessageField.VALUE))
            producer.produce(topic, value, partition=0)
    producer.flush()


def micros(time):
    return (time - EPOCH) // datetime.timedelta(microseconds=1)


def plain_fields(message):
    """A message as a mapping: absent fields are none, times are microseconds."""
    fields = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type and field.message_type.name == "Timestamp":
            value = value.ToMicroseconds() if message.HasField(field.name) else None
        elif field.message_type:
            value = dict(value)
        elif field.has_presence and not message.HasField(field.name):
            value = None
        fields[field.name] = value
    return fields


def values(form, client, directory):
    if form == "avro":
        read = AvroDeserializer(client)
        return lambda payload, context: {
            name: micros(value) if isinstance(value, datetime.datetime) else value
            for name, value in read(payload, context).items()}
    if form == "json":
        return JSONDeserializer(None, schema_registry_client=client)
    file = descriptor_pb2.FileDescriptorSet.FromString((directory / "results.desc").read_bytes()).file[-1]
    message = messages(directory / "results.desc", f"{file.package}.{file.message_type[0].name}")
    read = ProtobufDeserializer(message, {"use.deprecated.format": False})

    def fields(payload, context):
        found = read(payload, context)
        # Without a map there is one way to write a message, and it is ours too.
        if not any(field.message_type and field.message_type.GetOptions().map_entry for field in found.DESCRIPTOR.fields):
            assert found.SerializeToString() == payload[6:], (found.SerializeToString(), payload)
        return plain_fields(found)
    return fields


def keys(form, client):
    if form == "avro":
        return AvroDeserializer(client)
    if form == "json":
        return lambda payload, _: json.loads(payload[5:])
    return lambda payload, _: payload.decode()


def consume(brokers, registry, directory, topic, form, key_form):
    client = SchemaRegistryClient({"url": registry})
    value_of, key_of = values(form, client, directory), keys(key_form, client)
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": "peer", "enable.auto.commit": False, "enable.partition.eof": True,
        "isolation.level": "read_committed"})
    partitions = list(consumer.list_topics(topic).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    left = len(partitions)
    with (directory / f"{topic}.ndjson").open("w") as out:
        while left:
            record = consumer.poll(10)
            if record is None:
                raise TimeoutError(f"{topic} does not end")
            if record.error():
                left -= 1
                continue
            headers = {name: value.decode() for name, value in record.headers() or []}
            out.write(json.dumps({
                "partition": record.partition(),
                "key": key_of(record.key(), SerializationContext(topic, MessageField.KEY)),
                "value": value_of(record.value(), SerializationContext(topic, MessageField.VALUE)),
                "headers": headers}) + "\n")
    consumer.close()


verb, brokers, registry, directory, *rest = sys.argv[1:]
{"produce": produce, "consume": consume}[verb](brokers, registry, Path(directory), *rest)
