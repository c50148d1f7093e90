"""Writes the Native files of this directory with ClickHouse (chdb): each is one query's answer in blocks as ClickHouse
writes them for HTTP, beside `<name>.types` with the table's columns. Run it with a Python that has chdb; the files are
committed, so that tests need no ClickHouse."""

import pathlib
import chdb

HERE = pathlib.Path(__file__).parent
SETTINGS = {
    "flattened": "output_format_native_use_flattened_dynamic_and_json_serialization = 1",
    "json_text": "output_format_native_write_json_as_string = 1",
}
KEY = "toUInt64(number * 7919) AS k"
FILES = {
    "numbers": "number::UInt8 AS u8, number::UInt16 AS u16, number::UInt128 AS u128, number::UInt256 AS u256, "
               "-number::Int128 AS i128, (-number)::Int256 AS i256, number::BFloat16 AS bf, number / 3 AS f, "
               "number::Decimal(9, 2) AS d32, number::Decimal(38, 5) AS d128, number::Decimal(76, 5) AS d256, "
               "number % 2 = 0 AS b",
    "dates": "toDate(number) AS d, toDate32(number) AS d32, toDateTime(number, 'Europe/Berlin') AS dt, "
             "toDateTime64(number, 9) AS dt64, toIntervalDay(number) AS day, number::Time AS t, number::Time64(3) AS t64",
    "texts": "toString(number) AS s, toFixedString(toString(number % 10), 3) AS fs, toUUID(toString(generateUUIDv4(number)))"
             " AS u, toIPv4(number) AS ip4, toIPv6(concat('::', hex(number % 100))) AS ip6, if(number % 3 = 0, NULL, "
             "repeat('x', number)) AS ns, CAST(number % 2 AS Enum8('a' = 0, 'b' = 1)) AS e, NULL AS nothing",
    "containers": "range(number % 5) AS a, arrayMap(x -> range(x), range(number % 4)) AS aa, (number, toString(number)) AS t,"
                  " map('k', number, toString(number), 2) AS m, arrayMap(x -> if(x = 1, NULL, toString(x)), range(number % "
                  "4)) AS an, tuple() AS empty, (1, 2)::Point AS p, [[(1, 2), (3, 4)]]::Polygon AS pg, "
                  "CAST([(number, 'x')], 'Nested(a UInt8, b String)') AS n",
    "dictionaries": "toLowCardinality(toString(number % 7)) AS lc, toLowCardinality(if(number % 3 = 0, NULL, toString(number)))"
                    " AS lcn, CAST(arrayMap(x -> toString(x), range(number % 4)), 'Array(LowCardinality(String))') AS alc, map(toLowCardinality("
                    "'a'), number) AS m, (toLowCardinality('t'), toLowCardinality(number % 2 = 0 ? NULL : 'z')) AS t, "
                    "CAST(number, 'LowCardinality(UInt16)') AS lcu, CAST([], 'Array(LowCardinality(Nullable(String)))') AS none",
    "variants": "CAST(multiIf(number % 3 = 0, NULL, number % 3 = 1, number::Variant(UInt64, String, Array(UInt8)), toString("
                "number)::Variant(UInt64, String, Array(UInt8))) AS Variant(UInt64, String, Array(UInt8))) AS v, "
                "[CAST(number, 'Variant(UInt64, LowCardinality(String))')] AS av",
    "dynamics": "multiIf(number % 3 = 0, NULL::Dynamic, number % 3 = 1, number::Dynamic, toString(number)::Dynamic) AS d, "
                "[number::Dynamic, 'x'::Dynamic] AS ad, CAST(number, 'Dynamic(max_types=0)') AS shared",
    "json": "CAST(format('{{\"a\": {}, \"b\": {{\"c\": \"x{}\", \"d{}\": [1, 2]}}}}', number, number, number % 3), 'JSON') AS j, "
            "CAST(format('{{\"a\": {}, \"b\": \"y\"}}', number), 'JSON(a UInt32, max_dynamic_paths = 0)') AS typed",
    "qbit": "CAST([number, 2, 3], 'QBit(Float32, 3)') AS q, CAST(range(number % 3), 'SimpleAggregateFunction("
            "groupArrayArray, Array(UInt64))') AS saf",
}
VARIANTS = [("dynamics", "flattened"), ("json", "flattened"), ("json", "json_text")]
ON = ("allow_experimental_qbit_type = 1, enable_time_time64_type = 1, allow_suspicious_low_cardinality_types = 1, "
      "allow_suspicious_variant_types = 1, max_block_size = 40")


def write(name, query, settings):
    query = f"SELECT {KEY}, {query} FROM numbers(100) SETTINGS {settings}"
    (HERE / f"{name}.Native").write_bytes(chdb.query(query, "Native").bytes())
    described = chdb.query(f"DESCRIBE ({query})", "JSONCompact").bytes()
    import json
    columns = [f"`{row[0]}` {row[1]}" for row in json.loads(described)["data"]]
    (HERE / f"{name}.types").write_text(", ".join(columns) + "\n")


for name, query in FILES.items():
    write(name, query, ON)
for name, how in VARIANTS:
    write(f"{name}_{how}", FILES[name], f"{ON}, {SETTINGS[how]}")
