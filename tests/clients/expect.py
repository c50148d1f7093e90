"""What the shards must hold: the rows that every client program sends, computed by ClickHouse itself.

The programs make row `i` by the same formulas (README.md); here is their one place in SQL. `name` is in the sharding key
and holds what formats stumble over: two scripts, an emoji, quotes, a backslash, a comma, a tab and a line feed.
"""

ROWS = 10_000
SHARDING_KEY = "cityHash64(id, name)"

# Name, type, value of row i.
COLUMNS = [
    ("id", "UInt64", "i"),
    ("big", "UInt64", "if(i % 2 = 0, 18446744073709551615 - i, i)"),
    ("small", "Int64", "if(i % 2 = 0, toInt64(-9223372036854775807 - 1 + i), toInt64(0 - i))"),
    ("ratio", "Float64", "(toInt64(i) - 5000) / 8"),
    ("name", "String", r"""concat('zażółć ', toString(i), ' 水🦀 "q" ''s'' \\ , \t;\n')"""),
    ("note", "Nullable(String)", "multiIf(i % 3 = 0, NULL, i % 3 = 1, '', concat('note ', toString(i)))"),
    ("amount", "Nullable(Int32)", "if(i % 5 = 0, NULL, toInt32(i) - 5000)"),
    ("kind", "LowCardinality(String)", "concat('kind ', toString(i % 7))"),
    ("tags", "Array(String)", r"""arrayMap(k -> concat('ß', toString(k), ', "x"'), range(i % 4))"""),
    ("numbers", "Array(UInt64)", "arrayMap(k -> toUInt64(18446744073709551615 - k), range(i % 3))"),
    ("at", "DateTime('UTC')", "toDateTime(1700000000 + i * 61, 'UTC')"),
    ("day", "Date", "toDate(10000 + i)"),
    ("uid", "UUID", "toUUID(concat(h, h, '-', h, '-', g, '-', g, '-', h, g, h))"),
    ("price", "Decimal(18, 4)", "toDecimal64(toInt64(i) * 12345 - 50000000, 4) / 10000"),
]

NAMES = [name for name, _, _ in COLUMNS]


def target_columns():
    """The columns of the table, `label` (which case a row is of) first."""
    rest = ", ".join(f"{name} {kind}" for name, kind, _ in COLUMNS)
    return f"label LowCardinality(String), {rest}"


def expected_sql(slots, low, high):
    """The rows whose slot is in [low, high), as `read_sql` shows them."""
    values = ", ".join(f"CAST({value} AS {kind}) AS {name}" for name, kind, value in COLUMNS)
    digits = "leftPad(lower(hex(toUInt16(i))), 4, '0') AS h, leftPad(lower(hex(toUInt16(65535 - i))), 4, '0') AS g"
    rows = f"SELECT number AS i, {digits}, {values} FROM numbers({ROWS})"
    return (f"SELECT {', '.join(map(shown, NAMES))} FROM ({rows}) "
            f"WHERE {SHARDING_KEY} % {slots} >= {low} AND {SHARDING_KEY} % {slots} < {high} ORDER BY id")


def read_sql(table, label):
    """All rows of one case on one shard."""
    return f"SELECT {', '.join(map(shown, NAMES))} FROM {table} WHERE label = '{label}' ORDER BY id"


def shown(name):
    # Versions differ in the zeros at a Decimal's end.
    return "toInt64(price * 10000) AS ten_thousandths" if name == "price" else name


def difference(expected, found):
    """Nothing, or what differs first."""
    if expected == found:
        return None
    expected, found = (dict((line.split(b"\t", 1)[0], line) for line in text.splitlines()) for text in (expected, found))
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or extra:
        return (f"{len(missing)} of {len(expected)} rows are missing and {len(extra)} are there that belong elsewhere"
                f" (ids {sample(missing)} and {sample(extra)})")
    for key, line in expected.items():
        for name, wanted, got in zip(NAMES, line.split(b"\t"), found[key].split(b"\t")):
            if wanted != got:
                return f"row {key.decode()}, {name}: {got[:80]!r} in the place of {wanted[:80]!r}"
    return "rows are there more than once"


def sample(ids):
    return sorted(map(int, ids))[:5]
