"""The columns of a result, in types that every client reads.

Grafana and some readers of Arrow know neither Utf8View nor Timestamp(us); and a dictionary is worth keeping only for
those who ask for it.
"""

from collections.abc import Iterator

import pyarrow as pa

# What arrow-rs servers send at most in one message. grpc-go, under ADBC and Grafana, refuses more than 4 MiB unless
# told otherwise.
MAX_MESSAGE_BYTES = 2 * 1024 * 1024


def wire_schema(schema: pa.Schema, *, keep_dictionaries: bool) -> pa.Schema:
    """`schema` with Timestamp(ns), Utf8 and Binary in place of their relatives, at any depth.

    Args:
        schema: What the engine makes.
        keep_dictionaries: Whether dictionary-encoded columns stay so.
    """
    return pa.schema([_field(field, keep_dictionaries) for field in schema], schema.metadata)


def to_wire(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """`batch` in the types of `schema`, in pieces of about MAX_MESSAGE_BYTES.

    Raises:
        pa.ArrowException: A value does not fit, such as a time of the year 9999 into Timestamp(ns). The text names the
            value's types, and is meant for whoever sent the query.
    """
    columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    converted = pa.RecordBatch.from_arrays(columns, schema=schema)
    pieces = -(-converted.nbytes // MAX_MESSAGE_BYTES)
    rows = -(-converted.num_rows // max(pieces, 1))
    for first in range(0, converted.num_rows, max(rows, 1)):
        yield converted.slice(first, rows)


def _field(field: pa.Field, keep_dictionaries: bool) -> pa.Field:
    return field.with_type(_type(field.type, keep_dictionaries))


def _type(kind: pa.DataType, keep: bool) -> pa.DataType:
    is_ = pa.types
    if is_.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if is_.is_string_view(kind) or is_.is_large_string(kind):
        return pa.string()
    if is_.is_binary_view(kind) or is_.is_large_binary(kind):
        return pa.binary()
    if is_.is_dictionary(kind):
        values = _type(kind.value_type, keep)
        return pa.dictionary(kind.index_type, values, kind.ordered) if keep else values
    if is_.is_list(kind):
        return pa.list_(_field(kind.value_field, keep))
    if is_.is_large_list(kind):
        return pa.large_list(_field(kind.value_field, keep))
    if is_.is_fixed_size_list(kind):
        return pa.list_(_field(kind.value_field, keep), kind.list_size)
    if is_.is_struct(kind):
        return pa.struct([_field(field, keep) for field in kind])
    if is_.is_map(kind):
        return pa.map_(_field(kind.key_field, keep), _field(kind.item_field, keep), kind.keys_sorted)
    return kind


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type.equals(kind):
        return column
    if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(kind):
        # `cast` cannot do this for views, nor for lists and structs.
        values = _cast(column.dictionary, kind)
        return pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()
    return column.cast(kind)
