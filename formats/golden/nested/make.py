"""Writes random values with others inside in every format, as ClickHouse writes them:
.cache/venv/bin/python formats/golden/nested/make.py

No Map has keys of type String: in BSON ClickHouse escapes quotes in them, and does not read that back."""

import pathlib
import chdb

HERE = pathlib.Path(__file__).parent
TYPES = """id UInt8, l Array(Nullable(Int32)), m Map(Date, Array(UInt8)), t Tuple(a UInt8, b Tuple(c String, d Nullable(UInt64))),
u Array(Tuple(UUID, IPv6, Date)), e Map(Int16, LowCardinality(Nullable(String))), f Array(Array(FixedString(3))), w Array(Enum8('x' = 0, 'it\\'s' = 1))"""
FORMATS = ["JSONEachRow", "JSONCompactEachRow", "JSONStringsEachRow", "JSONCompactStringsEachRow", "JSONColumns", "TabSeparated", "CSV",
           "CustomSeparated", "Values", "TSKV", "RowBinary", "Native", "Parquet", "Arrow", "ArrowStream", "MsgPack", "BSONEachRow"]

(HERE / "types").write_text(TYPES)
structure = TYPES.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ")
for name in FORMATS:
    query = f"SELECT * FROM generateRandom('{structure}', 42, 6, 4) LIMIT 24"
    (HERE / f"random.{name}").write_bytes(chdb.query(query, name).bytes())
