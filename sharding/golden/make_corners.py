#!/usr/bin/env python3
"""Makes sharding/golden/corners.jsonl: the corners of sharding expressions where sharding.jsonl is thin.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install chdb
    /tmp/venv/bin/python sharding/golden/make_corners.py > sharding/golden/corners.jsonl

A line is {expr, columns, rows, result_type, values} as in sharding.jsonl, or {expr, columns, rows, error} with ClickHouse's
code where it refuses. Whole numbers beyond 2^53 are strings. Computed by ClickHouse 26.9 (chdb 26.9.2.1).
"""

import json
import random
import re

from chdb import session

DB = session.Session()
RANDOM = random.Random(20)
WIDTHS = {"UInt8": (0, 255), "UInt16": (0, 65535), "UInt32": (0, 2**32 - 1), "UInt64": (0, 2**64 - 1)}
WIDTHS |= {f"Int{b}": (-(2 ** (b - 1)), 2 ** (b - 1) - 1) for b in (8, 16, 32, 64)}
CONSTANTS = [0, 1, 2, 7, 8, 127, 128, 255, 256, 257, 65536, 2**31, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
CONSTANTS += [-1, -2, -7, -8, -127, -128, -129, -256, -32768, -(2**31), -(2**31) - 1, -(2**63)]


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def shown(value):
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 else value


def case(expr, columns, rows):
    """Prints one line: what ClickHouse answers for the expression over these rows."""
    structure = ", ".join(f"`{name}` {data_type}" for name, data_type in columns)
    # A String first, then a cast: literals of wide numbers in VALUES go through Float64.
    text = ", ".join(f"`{name}` {'Nullable(String)' if 'Nullable' in t else 'String'}" for name, t in columns)
    casts = ", ".join(f"CAST(`{name}` AS {data_type}) AS `{name}`" for name, data_type in columns)
    as_text = [[v if v is None else literal(v).strip("'") if isinstance(v, bool) else str(v) for v in row] for row in rows]
    tuples = ", ".join("(" + ", ".join(literal(v) for v in row) + ")" for row in as_text)
    # Rows go through a real table: the engine must not see constants where an INSERT has columns.
    DB.query("DROP TABLE IF EXISTS d.t")
    DB.query(f"CREATE TABLE d.t ({structure}) ENGINE = Memory")
    DB.query(f"INSERT INTO d.t SELECT {casts} FROM values('{text}', {tuples})")
    line = {"expr": expr, "columns": columns, "rows": [[shown(v) for v in row] for row in rows]}
    try:
        answer = str(DB.query(f"SELECT {expr} AS weir_key, toTypeName(weir_key) FROM d.t", "JSONCompact"))
    except Exception as error:
        line["error"] = int(re.search(r"Code: (\d+)", str(error)).group(1))
    else:
        answer = json.loads(answer)
        line["result_type"] = answer["data"][0][1]
        line["values"] = [row[0] for row in answer["data"]]
    print(json.dumps(line))


def borders(data_type, count):
    low, high = WIDTHS[data_type]
    edges = [low, low + 1, high, high - 1, 0, 1, 2, 3, 7, 100]
    edges += [-1, -2, -7, -100] if low < 0 else []
    return RANDOM.sample(edges, min(count, len(edges))) + [RANDOM.randint(low, high) for _ in range(3)]


def arithmetic():
    for a in WIDTHS:
        for b in WIDTHS:
            pairs = list(zip(borders(a, 8), borders(b, 8)))
            for operator in "+-*":
                case(f"a {operator} b", [["a", a], ["b", b]], pairs)
            sound = [(x, y) for x, y in pairs if y != 0 and not (y == -1 and x == WIDTHS[a][0])]
            case("a % b", [["a", a], ["b", b]], sound)
            case("a % b", [["a", a], ["b", b]], [[WIDTHS[a][0], 3], [1, 0]])
            if WIDTHS[b][0] < 0:
                case("a % b", [["a", a], ["b", b]], [[WIDTHS[a][0], -1]])
                case("a % b", [["a", a], ["b", b]], [[x, WIDTHS[b][0]] for x in borders(a, 8)])
    for a in WIDTHS:
        rows = [[x] for x in borders(a, 8)]
        rows_not_lowest = [row for row in rows if row[0] != WIDTHS[a][0]]
        case("-a", [["a", a]], rows)
        for constant in CONSTANTS:
            case(f"a % {constant}", [["a", a]], rows_not_lowest)
            if constant in (-1, 7, -7, 8, 255, 2**32 + 1, -(2**31), 2**64 - 1):
                case(f"a % {constant}", [["a", a]], [[WIDTHS[a][0]]])
                case(f"a + {constant}", [["a", a]], rows)
                case(f"a - {constant}", [["a", a]], rows)
                case(f"{constant} - a", [["a", a]], rows)
                case(f"a * {constant}", [["a", a]], rows)
                case(f"{constant} % a", [["a", a]], [row for row in rows if row[0] not in (0, -1)])
    for a in ["Int8", "Int32", "Int64"]:
        for b in ["Int8", "Int32", "Int64"]:
            lowest = WIDTHS[b][0]
            for constant in [f"to{b}(-1)", f"to{b}({lowest})", f"to{b}({lowest} + 1)"]:
                case(f"a % {constant}", [["a", a]], [[WIDTHS[a][0]]])
                case(f"a % {constant}", [["a", a]], [[-5], [100]])
    rows = [[x] for x in borders("UInt32", 8)]
    for expr in ["k % (2 + 5)", "k % toUInt8(7)", "k * 2 + 1", "k + 2 * 3 % 4 - 1", "-(1) + k", "- 1 + k", "k - -1", "k % -(7)",
                 "mod(k, 7)", "MOD(k, 7)", "(k)", "((k + 1)) * 3", "plus(k, 1)", "minus(k, 1)", "multiply(k, k)", "k%7",
                 "k % 7 % 2", "k - 1 - 1", "k + true", "k * false", "k % 0xff", "`k` + 1", "\"k\" + 1", "negate(k)",
                 "k -1", "2 % 7 + k", "-k % 7", "-k * 2", "-k::Int64", "k::UInt8 + 1", "-1::Int64 + k", "(1 + k)::Int8", "k + -1::UInt8", "k + 300::UInt8"]:
        case(expr, [["k", "UInt32"]], rows)


TIMES = ["1970-01-01 00:00:00", "1970-01-01 00:00:01", "2000-02-29 23:59:59", "2024-03-31 01:59:59", "2024-03-31 03:00:00",
         "2038-01-19 03:14:07", "2106-02-07 05:28:15", "1999-12-31 23:30:00"]
OLD_TIMES = TIMES + ["1969-12-31 23:59:59.500", "1969-12-31 23:59:59.000", "1930-05-06 12:00:00.001", "2283-11-11 23:59:59.999",
                     "1900-01-02 00:00:00.000", "2299-12-30 12:00:00.000"]
DATES = ["1970-01-01", "1970-01-02", "2000-02-29", "2024-12-31", "2100-03-01", "2149-06-05"]
OLD_DATES = DATES + ["1900-01-01", "1930-05-06", "1969-12-31", "2299-12-31"]
STRINGS = ["", "a", "abcd", "0123456789", "the quick brown fox", "x" * 33, "y" * 64, "z" * 65, "q" * 200, "\u043f\u0440\u0438\u0432\u0435\u0442"]
UUIDS = ["6caa72fa-20df-be59-1151-e0afc3782a3c", "00000000-0000-0000-0000-000000000001", "ffffffff-0000-0000-0000-000000000000"]
ENUM8, ENUM16 = "Enum8('a' = 1, 'b' = -2, 'it\\'s' = 3)", "Enum16('x' = 1000, 'y' = -5)"
OTHERS = {
    "Bool": [True, False],
    "Date": DATES,
    "Date32": OLD_DATES,
    "DateTime('UTC')": TIMES,
    # Moments that these zones' DateTime holds: others would already be cut when the rows are made.
    "DateTime('Asia/Tokyo')": TIMES[2:],
    "DateTime('America/New_York')": TIMES[:6] + TIMES[7:],
    "DateTime64(0, 'UTC')": OLD_TIMES,
    "DateTime64(3, 'UTC')": OLD_TIMES,
    "DateTime64(3, 'Europe/Berlin')": OLD_TIMES,
    "DateTime64(9, 'Asia/Kolkata')": TIMES[1:] + ["1969-12-31 23:59:59.500"],
    "UUID": UUIDS,
    ENUM8: ["a", "b", "it's"],
    ENUM16: ["x", "y"],
    "FixedString(5)": ["abcde", "ab", ""],
    "String": STRINGS,
}


def casts():
    for a in WIDTHS:
        rows = [[x] for x in borders(a, 8)]
        for b in WIDTHS:
            case(f"to{b}(a)", [["a", a]], rows)
        case("toString(a)", [["a", a]], rows)
        case("cityHash64(CAST(a AS String))", [["a", a]], rows)
    for data_type, values in OTHERS.items():
        rows = [[value] for value in values]
        case("toString(k)", [["k", data_type]], rows)
        case("toDate(k)", [["k", data_type]], rows) if "String" not in data_type else None
        for function in ["toYYYYMM", "toUnixTimestamp"]:
            case(f"{function}(k)", [["k", data_type]], rows[:8]) if "String" not in data_type else None
        for b in ["UInt8", "Int16", "UInt32", "Int32", "UInt64", "Int64"]:
            case(f"to{b}(k)", [["k", data_type]], rows) if "String" not in data_type else None
    for text in ["0", "5", "+5", "-5", "300", "-129", "007", "18446744073709551616", "", " 1", "1 ", "-", "+", "--1", "+-1", "1.5", "1e2",
                 "1_0", "abc", "-0", "99999999999999999999999", "9223372036854775808", "000000000000000000000000000001", "1x"]:
        for function in ["toUInt8", "toInt8", "toInt32", "toUInt64", "toInt64"]:
            case(f"{function}(k)", [["k", "String"]], [[text]])
        case("CAST(k AS UInt64)", [["k", "String"]], [[text]])
        case("toUInt64(k)", [["k", "Nullable(String)"]], [[text], [None]])
    for text in ["12", "", "12345", "1a", "-12"]:
        case("toInt32(k)", [["k", "FixedString(5)"]], [[text]])
    for expr in ["CAST(k AS UInt64)", "CAST(k, 'UInt8')", "k::Int64", "cast(k as UInt16)", "toUInt64(k)", "CAST(k AS Date)",
                 "toUInt16(CAST(k AS Date))", "toDate(k)"]:
        case(expr, [["k", "Nullable(UInt16)"]], [[5], [300]]) if "Date" not in expr else None
        case(expr, [["k", "Nullable(UInt16)"]], [[5], [None]]) if "Date" not in expr else None
        case(expr, [["k", "UInt16"]], [[5], [300]]) if "Date" not in expr else None
        case(expr, [["k", "LowCardinality(String)"]], [["5"], ["300"]]) if "Date" not in expr else None
        case(expr, [["k", "DateTime('UTC')"]], [["1970-01-02 00:00:00"], ["2024-12-31 23:00:00"]])
    for zone in ["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"]:
        for function in ["toYYYYMM", "toDate", "toString", "toUnixTimestamp"]:
            case(f"{function}(k, '{zone}')", [["k", "DateTime('UTC')"]], [[time] for time in TIMES[1:]])


def hashes():
    for function in ["cityHash64", "sipHash64", "xxHash64"]:
        for data_type, values in OTHERS.items():
            case(f"{function}(k)", [["k", data_type]], [[value] for value in values])
        for a in WIDTHS:
            case(f"{function}(a, 'x', a)", [["a", a]], [[x] for x in borders(a, 5)])
        columns = [["a", "Int16"], ["s", "String"], ["n", "Nullable(Int32)"], ["t", "Nullable(String)"], ["u", "UUID"]]
        rows = [[-3, "abc", None, "x", UUIDS[0]], [7, "", 5, None, UUIDS[1]], [0, "x" * 70, None, None, UUIDS[2]], [32767, "z", -1, "", UUIDS[0]]]
        for arguments in ["a, s", "s, a", "(a, s)", "a, (s, u)", "((a, s), u)", "tuple(a), s", "tuple(n)", "tuple(t)", "(n, t)", "a, (n, s)",
                          "(s, n), a", "n", "t", "n, a", "a, t", "1, a", "a, 1", "-1, a", "a, -1", "'salt', s", "s, 'salt', u", "a, 300, -300",
                          "true, a", "a, false", "(1, a)", "(a, (1, 'x'))", "a, a, a, a, a", "toString(a), a + 1", "a, 18446744073709551615",
                          "s, 'it\\'s'", "s, 'a''b\\n\\x41\\q\\\\'", "s, 0xffff", "s, ''", "1, 2, a", "tuple(a, tuple(n))", "a, tuple(toString(n))"]:
            case(f"{function}({arguments})", columns, rows)
    for function in ["intHash32", "intHash64"]:
        for data_type, values in OTHERS.items():
            case(f"{function}(k)", [["k", data_type]], [[value] for value in values])
        case(f"{function}(k)", [["k", "Nullable(UInt32)"]], [[1], [None]])
        case(f"{function}(-1) + k", [["k", "UInt8"]], [[1]])
    for inner in ["UInt8", "Int64", "String", "Date", "UUID", "FixedString(3)", "DateTime('UTC')"]:
        values = {"String": ["1", "22"], "Date": DATES[:2], "UUID": UUIDS, "FixedString(3)": ["abc", "de"], "DateTime('UTC')": TIMES[:2]}.get(inner, [1, 22])
        for wrap in ["LowCardinality({})", "LowCardinality(Nullable({}))", "Nullable({})"]:
            data_type = wrap.format(inner)
            rows = [[value] for value in values] + ([[None]] if "Nullable" in wrap and "LowCardinality(Nullable(UUID" not in data_type else [])
            if wrap.startswith("Low") and inner in ("UInt8", "Int64", "Date", "UUID", "DateTime('UTC')"):
                DB.query("SET allow_suspicious_low_cardinality_types = 1")
            for expr in ["cityHash64(k)", "cityHash64(k, 1)", "cityHash64(1, k)", "cityHash64(k, k)", "cityHash64((k, 1))", "sipHash64(k) % 100", "toString(k)"]:
                case(expr, [["k", data_type]], rows)
            if "Int" in inner:
                for expr in ["k", "k + 1", "k + k", "k % 7", "-k", "toUInt32(k)", "intHash64(k)", "k::UInt32"]:
                    case(expr, [["k", data_type]], rows)


if __name__ == "__main__":
    DB.query("CREATE DATABASE d")
    arithmetic()
    casts()
    hashes()
