"""clickhouse-connect: Native, raw formats, data frames and Arrow tables, in each compression. What it prints: ../README.md."""

import csv
import io
import json
import os
import time
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

import clickhouse_connect
import pandas
import pyarrow
import pyarrow.parquet

URL = urlsplit(os.environ["CLIENTS_URL"])
TABLE, READ = os.environ["CLIENTS_TABLE"], os.environ["CLIENTS_READ"]
PHASE, ROWS, ONLY = os.environ["CLIENTS_PHASE"], int(os.environ["CLIENTS_ROWS"]), os.environ["CLIENTS_ONLY"]
COLUMNS = ["label", "id", "big", "small", "ratio", "name", "note", "amount", "kind", "tags", "numbers", "at", "day", "uid", "price"]
START, FIRST_DAY = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc), date(1997, 5, 19)
U64_MAX, I64_MIN = 2**64 - 1, -(2**63)


def row(label, i):
    high, low = f"{i:04x}", f"{65535 - i:04x}"
    return [
        label,
        i,
        i if i % 2 else U64_MAX - i,
        -i if i % 2 else I64_MIN + i,
        (i - 5000) / 8,
        f"zażółć {i} 水🦀 \"q\" 's' \\ , \t;\n",
        [None, "", f"note {i}"][i % 3],
        None if i % 5 == 0 else i - 5000,
        f"kind {i % 7}",
        [f'ß{k}, "x"' for k in range(i % 4)],
        [U64_MAX - k for k in range(i % 3)],
        START + timedelta(seconds=61 * i),
        FIRST_DAY + timedelta(days=i),
        UUID(high + high + high + low + low + high + low + high),
        Decimal(12345 * i - 50_000_000).scaleb(-4),
    ]


def rows(label):
    return [row(label, i) for i in range(ROWS)]


def connect(compress="lz4", **more):
    return clickhouse_connect.get_client(host=URL.hostname, port=URL.port, compress=compress, **more)


# --- the cases: each takes a label and inserts its rows

def native(compress, **more):
    return lambda label: connect(compress, **more).insert(TABLE, rows(label), COLUMNS)


def native_by_columns(label):
    columns = list(zip(*rows(label)))
    connect().insert(TABLE, columns, COLUMNS, column_oriented=True)


def native_without_names(label):
    """`INSERT INTO t` with the columns that DESCRIBE names."""
    connect().insert(TABLE, rows(label))


def native_with_settings(label):
    settings = {"async_insert": 1, "wait_for_async_insert": 1, "insert_deduplication_token": label}
    connect().insert(TABLE, rows(label), COLUMNS, settings=settings)


def data_frame(label):
    connect().insert_df(TABLE, pandas.DataFrame(rows(label), columns=COLUMNS))


def raw(kind, body, compression=None):
    def insert(label):
        data = body(label)
        if compression:
            data = COMPRESS[compression](data)
        connect().raw_insert(TABLE, COLUMNS, data, fmt=kind, compression=compression)
    return insert


def text(value):
    """As ClickHouse's text formats write it."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def array(values):
    escaped = (str(value).replace("\\", "\\\\").replace("'", "\\'") for value in values)
    return "[" + ",".join(value if value.isdigit() else f"'{value}'" for value in escaped) + "]"


def field(value):
    return array(value) if isinstance(value, list) else text(value)


def csv_body(label):
    out = io.StringIO(newline="")
    for values in rows(label):
        # Python's writer cannot tell NULL from an empty string, so each field is one of its own.
        fields = [r"\N" if value is None else '"' + field(value).replace('"', '""') + '"' for value in values]
        out.write(",".join(fields) + "\r\n")
    return out.getvalue().encode()


def tsv_body(label):
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})
    lines = ("\t".join(r"\N" if value is None else field(value).translate(escapes) for value in values) for values in rows(label))
    return "".join(line + "\n" for line in lines).encode()


def json_body(label):
    lines = (json.dumps(dict(zip(COLUMNS, values)), default=text, ensure_ascii=False) for values in rows(label))
    return "\n".join(lines).encode()


def arrow_table(label):
    types = {"label": pyarrow.string(), "id": pyarrow.uint64(), "big": pyarrow.uint64(), "small": pyarrow.int64(),
             "ratio": pyarrow.float64(), "name": pyarrow.string(), "note": pyarrow.string(), "amount": pyarrow.int32(),
             "kind": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), "tags": pyarrow.list_(pyarrow.string()),
             "numbers": pyarrow.list_(pyarrow.uint64()), "at": pyarrow.timestamp("s", "UTC"), "day": pyarrow.date32(),
             "price": pyarrow.decimal128(18, 4)}
    columns = dict(zip(COLUMNS, zip(*rows(label))))
    # ClickHouse reads a UUID as text or as 16 bytes in its own order: text is what people send.
    columns["uid"] = [str(uid) for uid in columns["uid"]]
    return pyarrow.table({name: pyarrow.array(values, types.get(name, pyarrow.string())) for name, values in columns.items()})


def arrow(compress):
    return lambda label: connect(compress).insert_arrow(TABLE, arrow_table(label))


def arrow_stream_body(label):
    sink = pyarrow.BufferOutputStream()
    table = arrow_table(label)
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3000)
    return sink.getvalue().to_pybytes()


def parquet_body(codec):
    def body(label):
        sink = io.BytesIO()
        pyarrow.parquet.write_table(arrow_table(label), sink, compression=codec, row_group_size=3000)
        return sink.getvalue()
    return body


def compressors():
    import gzip
    import brotli
    import lz4.frame
    from backports import zstd
    return {"gzip": gzip.compress, "br": lambda data: brotli.compress(data, quality=3), "lz4": lz4.frame.compress, "zstd": zstd.compress}


COMPRESS = compressors()
INSERTS = {
    "Native, default": lambda label: clickhouse_connect.get_client(host=URL.hostname, port=URL.port).insert(TABLE, rows(label), COLUMNS),
    "Native, lz4": native("lz4"),
    "Native, zstd": native("zstd"),
    "Native, gzip": native("gzip"),
    "Native, br": native("br"),
    "Native, uncompressed": native(False),
    "Native, without session": native("lz4", autogenerate_session_id=False),
    "Native, by columns": native_by_columns,
    "Native, without names": native_without_names,
    "Native, async_insert and token": native_with_settings,
    "insert_df": data_frame,
    "insert_arrow, lz4": arrow("lz4"),
    "insert_arrow, zstd": arrow("zstd"),
    "insert_arrow, uncompressed": arrow(False),
    "raw CSV": raw("CSV", csv_body),
    "raw CSV, gzip": raw("CSV", csv_body, "gzip"),
    "raw TabSeparated, zstd": raw("TabSeparated", tsv_body, "zstd"),
    "raw JSONEachRow": raw("JSONEachRow", json_body),
    "raw JSONEachRow, br": raw("JSONEachRow", json_body, "br"),
    "raw JSONEachRow, lz4": raw("JSONEachRow", json_body, "lz4"),
    "raw Parquet, snappy": raw("Parquet", parquet_body("snappy")),
    "raw Parquet, zstd": raw("Parquet", parquet_body("zstd")),
    "raw ArrowStream": raw("ArrowStream", arrow_stream_body),
}


# --- telling

lines = 0


def tell(*fields):
    global lines
    lines += 1
    print(*(str(field).replace("\n", " ").replace("\t", " ") for field in fields), sep="\t", flush=True)


def attempt(name, what):
    """Runs a case unless it is left out; `what` returns the line to print, without the name."""
    if ONLY not in name:
        return
    try:
        kind, remark = what()
    except Exception as trouble:  # whatever a client raises is the case's failure
        kind, remark = "failed", f"{type(trouble).__name__}: {str(trouble)[:600]}"
    tell(kind, name, remark)


def ping():
    client = connect()
    assert client.ping(), "ping() says no"
    return "done", f"server {client.server_version}, {client.server_tz}"


def inserted(name, insert):
    def run():
        since = time.monotonic()
        insert(f"python: {name}: {PHASE}")
        return "inserted", f"{(time.monotonic() - since) * 1000:.0f} ms"
    return run


def read_back(name):
    def run():
        label = f"python: {name}: {PHASE}"
        for _ in range(100):
            found = connect().query(f"SELECT {', '.join(COLUMNS)} FROM {READ} WHERE label = '{label}'").result_rows
            if found:
                break
            time.sleep(0.1)  # Weir delivers a little after its answer
        for values in found:
            wanted = row(label, values[1])
            values = [v.replace(tzinfo=timezone.utc) if isinstance(v, datetime) else v for v in values]
            assert values == wanted, f"read {values}, sent {wanted}"
        return "read", len(found)
    return run


def main():
    attempt("connect and ping", ping)
    for name, insert in INSERTS.items():
        attempt(name, inserted(name, insert))
    if READ:
        attempt("Native, lz4", read_back("Native, lz4"))
    print("end", lines, sep="\t", flush=True)


main()
