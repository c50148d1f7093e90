"""Writes the seeds of the columnar formats, as ClickHouse writes their bodies: .cache/venv/bin/python fuzz/make_seeds.py

The seeds of the other formats are two such rows with the two bytes in front that fuzz/src/lib.rs reads (which settings,
and how the body is cut)."""

import pathlib
import chdb

SEEDS = pathlib.Path(__file__).parent / "seeds"
TABLE = """SELECT toUInt16(number + 5) AS k, if(number = 0, 'a\\'"\\t,b', NULL) :: Nullable(String) AS s,
    ['x', 'y,\\'z'] AS a, map('p', toInt32(-number)) AS m, toDate('2020-01-01') + number AS d FROM numbers(2)"""
# As small as these formats get: what is looked for is in their structure.
SMALL = """SETTINGS output_format_parquet_compression_method = 'none', output_format_parquet_write_page_index = 0,
    output_format_parquet_write_bloom_filter = 0, output_format_parquet_write_checksums = 0,
    output_format_parquet_string_as_string = 1, output_format_arrow_string_as_string = 1,
    output_format_arrow_compression_method = 'none'"""
COLUMNAR = ["Parquet", "Arrow", "ArrowStream", "JSONColumns", "JSONCompactColumns", "JSONColumnsWithMetadata"]

for name in COLUMNAR:
    body = chdb.query(f"{TABLE} {SMALL}", name).bytes()
    (SEEDS / name).mkdir(parents=True, exist_ok=True)
    (SEEDS / name / "00").write_bytes(b"\x00\x03" + body)

compressed = SMALL.replace("arrow_compression_method = 'none'", "arrow_compression_method = 'lz4_frame'")
body = chdb.query(f"{TABLE} {compressed}", "ArrowStream").bytes()
(SEEDS / "ArrowStream" / "01").write_bytes(b"\x00\x03" + body)
