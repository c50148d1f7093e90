"""Answers in Native as a server writes them for a `client_protocol_version`; the engine in a process knows only version 0.

From version 1 on a block begins with BlockInfo, from 54454 on a byte stands behind each column's type (0: an ordinary column).
Where a column ends only its type tells, so each is asked for by itself.
"""

import re
import uuid
from dataclasses import dataclass

CUSTOM_SERIALIZATION = 54454
# Field 1: no overflow rows; field 2: bucket -1; the end.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
SELECT = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)


def native(engine, sql, database, version, substitutions):
    """The answer to a statement as one block; none when it has no rows."""
    columns = select(engine, sql, database, substitutions) if SELECT.match(sql) else describe(engine, sql, database)
    if not columns or not columns[0].rows:
        return b""
    mark = b"\x00" if version >= CUSTOM_SERIALIZATION else b""
    body = b"".join(column.head + mark + column.values for column in columns)
    return BLOCK_INFO + varint(len(columns)) + varint(columns[0].rows) + body


@dataclass
class Column:
    """A column of a block: its name and type, and its values."""

    rows: int
    head: bytes
    values: bytes


def select(engine, sql, database, substitutions):
    """Each column asked for by itself, out of a table that holds the answer."""
    table = f"default.`answer {uuid.uuid4()}`"
    engine.run(f"CREATE TABLE {table} ENGINE = Memory AS SELECT * FROM ({sql})", database, parameters=substitutions)
    try:
        described = engine.run(f"DESCRIBE TABLE {table}", database, "TSVRaw").bytes().decode()
        names = [line.split("\t")[0] for line in described.splitlines()]
        blocks = [engine.run(f"SELECT {quoted(name)} FROM {table}", database, "Native").bytes() for name in names]
    finally:
        engine.run(f"DROP TABLE {table}", database)
    return [only_column(block) for block in blocks if block]


def only_column(block):
    rows, begin = read_varint(block, read_varint(block, 0)[1])
    values = behind_string(block, behind_string(block, begin))
    return Column(rows, block[begin:values], block[values:])


def describe(engine, sql, database):
    """DESCRIBE, SHOW and their like, which no SELECT can contain: all their columns are String."""
    block = engine.run(sql, database, "Native").bytes()
    count, at = read_varint(block, 0) if block else (0, 0)
    rows, at = read_varint(block, at) if block else (0, 0)
    columns = []
    for _ in range(count):
        values = behind_string(block, behind_string(block, at))
        end = values
        for _ in range(rows):
            end = behind_string(block, end)
        columns.append(Column(rows, block[at:values], block[values:end]))
        at = end
    return columns


def behind_string(block, at):
    length, at = read_varint(block, at)
    return at + length


def read_varint(block, at):
    value = shift = 0
    while True:
        byte = block[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def quoted(name):
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
