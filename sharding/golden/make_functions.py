#!/usr/bin/env python3
"""Makes sharding/golden/functions.jsonl: the functions beside those of sharding.jsonl, with their corners.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install chdb
    /tmp/venv/bin/python sharding/golden/make_functions.py > sharding/golden/functions.jsonl

Lines are as in corners.jsonl. Computed by ClickHouse 26.9 (chdb 26.9.2.1).
"""

from make_corners import DATES, DB, OTHERS, STRINGS, TIMES, UUIDS, WIDTHS, borders, case

NUMBERS = ["0", "5", "-5", "+7", "007", "256", "-129", "65536", "4294967296", "18446744073709551615", "18446744073709551616",
           "-9223372036854775808", "99999999999999999999999", "", "-", "abc", " 1", "1 ", "1.5", "1e2", "+", "--1"]
TEXTS = STRINGS + ["Hello World", "  two  ", "ÄÖÜ äöü", "a,b,,c", ",", "http://www.example.com/a?b=c", "https://user@host.org:80/x#y",
                   "//x.y/z", "example.com/path", "mailto:a@b.c", "http://localhost/", "http://a..b/", "a.b", "1.2.3.4", "\t x.y", "http://ex ample.com/"]


def wrapped(expr):
    return f"cityHash64({expr})"


def numbers():
    for a in WIDTHS:
        for b in WIDTHS:
            pairs = list(zip(borders(a, 8), borders(b, 8)))
            sound = [(x, y) for x, y in pairs if y != 0 and not (y == -1 and x == WIDTHS[a][0])]
            for function in ["intDiv", "positiveModulo", "divide", "intDivOrZero"]:
                case(f"{function}(a, b)", [["a", a], ["b", b]], sound)
            for function in ["bitAnd", "bitOr", "bitXor", "equals", "notEquals", "less", "greater", "lessOrEquals", "greaterOrEquals",
                             "greatest", "least", "and", "or", "xor"]:
                case(f"{function}(a, b)", [["a", a], ["b", b]], pairs)
            case("if(a > b, a, b)", [["a", a], ["b", b]], pairs)
            shifts = [(x, y % 70) for x, y in pairs]
            for function in ["bitShiftLeft", "bitShiftRight"]:
                case(f"{function}(a, b)", [["a", a], ["b", b]], shifts)
            case("intDiv(a, b)", [["a", a], ["b", b]], [[1, 0]])
            case("intDiv(a, b)", [["a", a], ["b", b]], [[WIDTHS[a][0], WIDTHS[b][1]]])
            if WIDTHS[b][0] < 0:
                case("intDiv(a, b)", [["a", a], ["b", b]], [[WIDTHS[a][0], -1]])
                case("intDivOrZero(a, b)", [["a", a], ["b", b]], [[WIDTHS[a][0], -1], [1, 0]])
        rows = [[x] for x in borders(a, 8)]
        for function in ["abs", "bitNot", "bitCount", "not", "hex", "toFloat64", "toBool", "reinterpretAsUInt64", "reinterpretAsInt16", "javaHash",
                         "toUInt32OrZero", "isNull", "isNotNull", "assumeNotNull", "bitTest"]:
            case(f"{function}(a)", [["a", a]], rows)
        for expr in ["intDiv(a, 3)", "intDiv(a, -3)", "intDiv(a, 255)", "intDiv(a, 128)", "intDiv(1000, a + 7)", "bitAnd(a, 255)", "bitOr(a, -1)", "bitXor(a, 12345)", "bitShiftRight(a, 4)",
                     "bitShiftLeft(a, 60)", "bitShiftRight(a, 0)", "positiveModulo(a, 5)", "positiveModulo(a, -5)", "positiveModulo(a, 200)", "greatest(a, 10)", "least(a, 300, -1)", "a = 7", "a != 7", "a * 1.5", "1.5 + a", "a - 2.5", "a * 1e10 - a / 3", "a < -1",
                     "a >= 18446744073709551615", "if(a > 3, 1, 2)", "if(a > 3, 1, -300)", "multiIf(a = 0, 'zero', a > 0, 'more', 'less')", "a in (1, 2, 100)", "a not in (7)",
                     "a between 1 and 100", "not a = 1 and a < 50", "a > 5 ? 10 : 20", "case when a > 5 then 1 when a > 3 then 2 else 300 end", "CASE a WHEN 1 THEN 'one' ELSE 'other' END", "a is null", "a IS NOT NULL",
                     "toInt64(toFloat64(a) / 2)", "a / 4 > 2", "a || 'x'", "concat(a, '-', a)", "cityHash64([a, a])", "cityHash64([a, 1])", "[a, 5][1]", "(a, 5).1", "tupleElement((a, 'x'), 2)", "toUInt8(a > 3)",
                     "nullIf(a, 7)", "ifNull(a, 3)", "coalesce(NULL, a)", "if(NULL, a, 3)", "jumpConsistentHash(toUInt64(a), 100)", "kostikConsistentHash(toUInt64(a), 1000)", "kostikConsistentHash(toUInt64(a), 32768)", "jumpConsistentHash(a, 7)",
                     "cityHash64(toDecimal64(toInt32(a), 4))", "cityHash64(toInt256(a))", "cityHash64(toUInt128(a))", "toString(toDecimal128(toInt32(a), 3))", "toString(toFloat32(toInt16(a)) / 3)", "toString(a / 7)", "toString(a * 1.5)"]:
            case(expr, [["a", a]], rows)


def strings():
    rows = [[text] for text in TEXTS]
    for function in ["lower", "upper", "lcase", "UPPER", "reverse", "trim", "trimLeft", "trimRight", "trimBoth", "ltrim", "rtrim", "domain", "domainWithoutWWW", "length", "OCTET_LENGTH",
                     "empty", "notEmpty", "hex", "javaHash", "hiveHash", "CRC32", "crc32ieee", "CRC64", "URLHash", "reinterpretAsUInt8", "reinterpretAsUInt64",
                     "reinterpretAsInt16", "reinterpretAsInt32", "toString", "wyHash64", "halfMD5", "kafkaMurmurHash", "farmHash64", "metroHash64", "xxHash32", "xxh3", "gccMurmurHash", "murmurHash2_32", "murmurHash2_64", "murmurHash3_32", "murmurHash3_64", "sipHash64"]:
        case(f"{function}(k)", [["k", "String"]], rows)
    for function in ["MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "sipHash128Reference", "murmurHash3_128"]:
        case(f"hex({function}(k))", [["k", "String"]], rows)
    for expr in ["substring(k, 1, 3)", "substring(k, 2)", "substring(k, 0)", "substring(k, -3)", "hex(substring(k, -3, 2))", "substring(k, -20, 18)", "substr(k, 3, -1)", "substring(k, 100, 2)", "substring(k, 1, 0)", "substring(k, -2, -1)", "hex(mid(k, 2, 2))", "hex(left(k, 3))", "left(k, -2)", "left(k, 0)",
                 "splitByChar(',', k)[1]", "splitByChar(',', k)[-1]", "splitByChar('/', k)[3]", "length(splitByChar(',', k))", "startsWith(k, 'a')", "endsWith(k, 'x')", "k || k", "concat(k, 'x', k)", "concat(k)",
                 "k = 'a'", "k < 'b'", "k >= ''", "if(empty(k), 'none', k)", "k in ('a', 'abcd')", "coalesce(k, 'x')", "greatest(k, 'm')", "multiIf(k = 'a', 1, k = '', 2, 3)", "cityHash64(splitByChar(',', k))", "xxHash32(k, 1)", "murmurHash3_32(k, k)",
                 "murmurHash2_64(1, k)", "halfMD5(k, 1, k)", "farmHash64((k, 1))", "metroHash64(k, 'x')", "wyHash64(k, k)", "gccMurmurHash(k, 1)", "kafkaMurmurHash(k, k)", "xxh3(k, 5)", "cityHash64([k, 'x'])", "cityHash64([])", "cityHash64(lower(k), length(k))", "trim(k) = k"]:
        case(expr, [["k", "String"]], rows)
    for text in NUMBERS:
        for target in ["UInt8", "UInt16", "UInt32", "UInt64", "Int8", "Int32", "Int64"]:
            case(f"to{target}OrZero(k)", [["k", "String"]], [[text]])
            case(f"to{target}OrNull(k)", [["k", "String"]], [[text]])
        for expr in ["cityHash64(toDecimal32(k, 2))", "cityHash64(toDecimal128(k, 10))", "cityHash64(toInt128(k))", "cityHash64(toUInt256(k))", "cityHash64(toFloat64(k))", "CAST(k AS Nullable(UInt8))", "CAST(k AS Nullable(Int64))"]:
            case(expr, [["k", "String"]], [[text]])
    for function in ["lower", "upper", "hex", "CRC32", "length", "reinterpretAsUInt32", "halfMD5", "murmurHash3_64", "empty"]:
        case(f"{function}(k)", [["k", "FixedString(5)"]], [["abcde"], ["AB"], [""]])
    for function in ["lower", "length", "javaHash", "murmurHash2_32", "toUInt32OrZero", "trim", "substring", "CRC32", "xxHash32"]:
        arguments = "k, 1, 2" if function == "substring" else "k"
        for wrap in ["Nullable(String)", "LowCardinality(String)", "LowCardinality(Nullable(String))"]:
            case(f"{function}({arguments})", [["k", wrap]], [["abC"], [""], ["12"]] + ([[None]] if "Nullable" in wrap else []))
    for wrap in ["Nullable(UInt32)", "Nullable(Int64)", "LowCardinality(Nullable(String))", "Nullable(String)"]:
        value = "7" if "String" in wrap else 7
        constant = "'x'" if "String" in wrap else "300"
        for expr in [f"coalesce(k, {constant})", f"ifNull(k, {constant})", "isNull(k)", "isNotNull(k)", "k is null", "assumeNotNull(k)", f"if(k is null, {constant}, k)", f"multiIf(isNull(k), {constant}, assumeNotNull(k))",
                     f"nullIf(k, {constant})", f"cityHash64(coalesce(k, {constant}))", "coalesce(k, NULL)", "cityHash64([k])", "cityHash64(tuple(k))", "murmurHash3_32(tuple(k))", "halfMD5(tuple(k), 1)", "xxHash32((k, k))", "xxHash32([k, k])", "toNullable(k)", f"k = {constant}", "not isNull(k)"]:
            case(expr, [["k", wrap]], [[value], [None]])


def times():
    kinds = ["Date", "Date32", "DateTime('UTC')", "DateTime('Asia/Tokyo')", "DateTime('America/New_York')", "DateTime64(3, 'UTC')", "DateTime64(3, 'Europe/Berlin')"]
    functions = ["toYear", "toMonth", "toDayOfMonth", "toQuarter", "toDayOfWeek", "toDayOfYear", "toYYYYMMDD", "toRelativeDayNum", "toRelativeMonthNum", "toRelativeYearNum", "toStartOfYear",
                 "toStartOfQuarter", "toStartOfMonth", "toMonday", "toHour", "toMinute", "toSecond", "toStartOfDay", "toStartOfHour", "toStartOfFifteenMinutes", "toStartOfTenMinutes",
                 "toStartOfFiveMinutes", "toStartOfMinute"]
    for kind in kinds:
        values = OTHERS[kind]
        for function in functions:
            for value in values:
                case(f"{function}(k)", [["k", kind]], [[value]])
        for expr in ["toDateTime(k)", "toDateTime(k, 'UTC')", "toDate32(k)", "CAST(k AS DateTime('UTC'))", "toDateTime64(k, 3, 'UTC') = toDateTime64(k, 3, 'UTC')", "cityHash64(toDateTime64(k, 6, 'UTC'))", "k = k", "k < k", "cityHash64([k])", "concat(k, 'x')", "k + 1", "k - 1", "k + 70000"]:
            for value in values[:8]:
                case(expr, [["k", kind]], [[value]])
    for zone in ["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"]:
        for function in ["toYYYYMMDD", "toHour", "toStartOfHour", "toStartOfDay", "toStartOfMonth", "toDayOfWeek", "toStartOfFiveMinutes"]:
            case(f"{function}(k, '{zone}')", [["k", "DateTime('UTC')"]], [[time] for time in TIMES[2:]])
    for text in ["2024-03-31", "2024-03-31 01:59:59", "2024-02-30", "2024-3-1", "2024-03-31T01:59:59", "2024-03-31 01:59:59.5", "1969-12-31", "2200-01-01", "", "abc"]:
        for expr in ["toDate(k)", "toDateTime(k, 'UTC')", "toDateTime(k, 'Europe/Berlin')", "cityHash64(toDateTime64(k, 3, 'UTC'))", "CAST(k AS Date)"]:
            case(expr, [["k", "String"]], [[text]])


def others():
    for data_type, values in [("UUID", UUIDS), ("IPv4", ["1.2.3.4", "255.0.0.1"]), ("IPv6", ["::1", "2001:db8::ff", "::ffff:1.2.3.4"]), ("Decimal(9, 2)", ["1.23", "-0.5", "1234567.89"]), ("Decimal(38, 6)", ["1.23", "-99999999999.000001"]),
                              ("UInt256", [0, 1, 2**255, 2**256 - 1]), ("Int256", [0, -1, 2**200, -(2**255)]), ("UInt128", [0, 2**127]), ("Int128", [-1, 2**100]), ("Float32", [1.5, -0.25]), ("Float64", [1e300, 1e-7, 123456.75, 1e21, 0.1]),
                              ("Enum8('a' = 1, 'b' = -2)", ["a", "b"])]:
        rows = [[value] for value in values]
        for expr in ["toString(k)", "concat(k, '-')", "cityHash64(toString(k))", "cityHash64([k, k])", "cityHash64((k, 1))", "k = k", "toUInt64(k)", "toInt32(k)", "cityHash64(CAST(k AS Nullable(String)))", "toFloat64(k)", "toString(coalesce(k, k))", "if(1, k, k) = k", "CAST(k AS Int256) = 1", "toUInt8(toBool(k))", "cityHash64(CAST(k AS Decimal(18, 3)))"]:
            for row in rows:
                case(expr, [["k", data_type]], [row])
    for expr in ["toString(toUUID(k))", "cityHash64(toUUID(k))"]:
        case(expr, [["k", "String"]], [[UUIDS[0]]])
    for expr in ["cityHash64(toIPv4(k))", "cityHash64(toIPv6(k))"]:
        case(expr, [["k", "String"]], [["1.2.3.4"]])
    for value in [0.1, 1e15, 1e16, 123456789012345680000.0, 1e20, 1e21, 1e-5, 1e-6, 1.5e-7, 5e-324, 1.7976931348623157e308, -2.5, 100.0]:
        case("toString(k)", [["k", "Float64"]], [[value]])
    for function in ["farmHash64", "metroHash64", "wyHash64", "murmurHash2_32", "murmurHash2_64", "murmurHash3_32", "murmurHash3_64", "gccMurmurHash", "xxHash32", "xxh3", "halfMD5"]:
        rows = [["".join(chr(33 + (i * 7 + n) % 90) for i in range(n))] for n in list(range(0, 140)) + [255, 256, 257, 300, 320, 321, 511]]
        case(f"{function}(k)", [["k", "String"]], rows)
        case(f"{function}(k)", [["k", "String"]], [["y" * 1000]])


UNITS = ["Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year"]
# Around the changes of the clock in Berlin, New York and on Lord Howe Island, ends of months and of years.
MOMENTS = ["1970-02-01 10:20:30", "2000-02-29 23:59:59", "2023-12-31 23:59:59", "2024-01-31 00:00:00", "2024-03-10 09:30:01", "2024-03-30 02:30:00", "2024-03-31 00:30:00",
           "2024-03-31 04:59:59", "2024-04-07 03:10:00", "2024-05-31 12:34:56", "2024-10-26 02:30:00", "2024-10-27 00:10:00", "2024-10-27 05:29:00", "2024-11-03 06:45:00", "2037-08-31 18:00:00"]


def intervals():
    """What DEFAULTs do with now() and today()."""
    kinds = {"Date": [time[:10] for time in MOMENTS], "Date32": [time[:10] for time in MOMENTS]}
    kinds |= {f"DateTime('{zone}')": MOMENTS for zone in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]}
    kinds |= {"DateTime": MOMENTS, "DateTime64(3, 'Europe/Berlin')": [time + ".123" for time in MOMENTS], "DateTime64(9, 'UTC')": [time + ".987654321" for time in MOMENTS], "DateTime64(0)": MOMENTS}
    for kind, values in kinds.items():
        rows = [[value] for value in values]
        for unit in UNITS:
            for expr in [f"k + toInterval{unit}(1)", f"k - toInterval{unit}(5)", f"toInterval{unit}(40) + k", f"k + (-toInterval{unit}(1))", f"add{unit}s(k, 25)", f"subtract{unit}s(k, 13)", f"k + INTERVAL 2 {unit}"]:
                case(expr, [["k", kind]], rows[1:])
            for count in [1, 2, 5, 7, 12, 24, 90]:
                case(f"toStartOfInterval(k, toInterval{unit}({count}))", [["k", kind]], rows)
            case(f"dateTrunc('{unit.lower()}', k)", [["k", kind]], rows)
        for expr in ["dateTrunc('hour', k, 'Asia/Tokyo')", "date_trunc('MONTH', k, 'Asia/Tokyo')", "toStartOfInterval(k, toIntervalDay(1), 'America/New_York')", "toStartOfSecond(k)", "toStartOfWeek(k)", "toStartOfDay(k)", "toStartOfHour(k)", "toStartOfMinute(k)", "toStartOfFiveMinutes(k)",
                     "k + 86400", "k - 1", "k + toIntervalDay(NULL)", "(k + toIntervalDay(1)) + toIntervalHour(2)", "k - toIntervalDay(k)", "toUnixTimestamp64Second(k)", "toUnixTimestamp64Milli(k)", "toUnixTimestamp64Micro(k)", "toUnixTimestamp64Nano(k)",
                     "toTimeZone(k, 'Asia/Tokyo')", "toString(toTimeZone(k, 'Asia/Tokyo'))", "toString([k, k])", "toString((k, 'x'))", "toString(map('at', k))", "toString(k + toIntervalMonth(1))", "toDate(k + toIntervalDay(30))"]:
            case(expr, [["k", kind]], rows)
        for letter in "YmdHiSsyjeFTDRIhpabWMwuQzfckClnt%gGVEU":
            case(f"formatDateTime(k, '[%{letter}]')", [["k", kind]], rows)
        for expr in ["formatDateTime(k, '%Y-%m-%dT%H:%i:%SZ', 'Asia/Tokyo')", "formatDateTime(k, '%F %T')", "formatDateTime(k, '%Y%m')", "formatDateTime(k, 'abc')", "formatDateTime(k, '')", "formatDateTime(k, '%')", "formatDateTime(k, 'é%M%W')"]:
            case(expr, [["k", kind]], rows)
    for kind in ["Nullable(DateTime('UTC'))", "LowCardinality(Date)"]:
        rows = [[MOMENTS[3][:10] + ("" if "Low" in kind else MOMENTS[3][10:])]] + ([[None]] if "Nullable" in kind else [])
        for expr in ["k + toIntervalDay(1)", "addMonths(k, 1)", "dateTrunc('day', k)", "toStartOfInterval(k, toIntervalDay(1))", "formatDateTime(k, '%Y')", "toTimeZone(k, 'UTC')"]:
            case(expr, [["k", kind]], rows)
    for a in WIDTHS:
        for expr in ["toDate('2024-01-31') + toIntervalDay(a)", "addMonths(toDate('2024-01-31'), a)", "toDateTime('2024-01-31 01:02:03', 'Europe/Berlin') - toIntervalDay(a)", "fromUnixTimestamp(a)", "fromUnixTimestamp64Milli(a, 'UTC')", "fromUnixTimestamp64Nano(a)", "toString([a, 1])", "toString((a, -1))", "toString(map(a, 'x'))", "toString(map('x', a, 'y', 7))"]:
            case(expr, [["a", a]], [[0], [1], [100]])
    for expr in ["fromUnixTimestamp(a)", "addDays(toDate('2024-01-31'), a)", "toDateTime('2024-01-31 01:02:03', 'Europe/Berlin') + toIntervalMonth(a)"]:
        case(expr, [["a", "Int32"]], [[-5], [-400]])


def encodings():
    for expr in ["base64Encode(k)", "base64URLEncode(k)", "BASE64ENCODE(k)", "replaceAll(k, 'a', '')", "replace(k, 'a', 'bb')", "replaceOne(k, 'a', 'x')", "replaceAll(k, '', 'x')", "replaceAll(k, 'aa', 'a')", "toString([k, 'x'])", "toString([[k]])", "toString((k, NULL))", "toString(map(k, k))", "toString(map('a', [k]))", "cityHash64(map(k, k))", "toString(map(k, 1, 'x', 300))", "toString(map())"]:
        case(expr, [["k", "String"]], [[text] for text in TEXTS + ["aaaa", "banana", "it's", "back\\slash", "tab\tnew\nline\r\b\f\0"]])
    for data_type, values in OTHERS.items():
        if data_type != "String":
            for expr in ["toString([k])", "toString((k, 1))", "toString(map(1, k))", "toString([toNullable(k), NULL])"]:
                case(expr, [["k", data_type]], [[value] for value in values[:4]])
    for data_type, values in [("Float64", ["1.5", "-0.25", "1e300"]), ("Decimal(9, 2)", ["1.20", "-0.5"]), ("IPv4", ["1.2.3.4"]), ("IPv6", ["::1"]), ("Int256", ["-1"]), ("Float32", ["0.1"])]:
        for expr in ["toString([k])", "toString((k, 1))", "toString(map(1, k))"]:
            case(expr, [["k", data_type]], [[value] for value in values])
    for name in ["UInt8", "String", "Nullable(UInt8)", "LowCardinality(String)", "LowCardinality(Nullable(String))", "Date", "DateTime(\\'UTC\\')", "Enum8(\\'b\\' = 2, \\'a\\' = -1)", "UUID", "FixedString(3)", "Bool"]:
        case(f"defaultValueOfTypeName('{name}')", [["k", "UInt8"]], [[1]])
    for text in ["2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-02-30 00:00:00", "2024-03-31", "1711846799", "Mar 3 2024", "2024-03-31T01:59:59Z", ""]:
        for expr in ["parseDateTimeBestEffort(k)", "parseDateTimeBestEffort(k, 'Europe/Berlin')"]:
            case(expr, [["k", "String"]], [[text]])


if __name__ == "__main__":
    DB.query("CREATE DATABASE d")
    DB.query("SET allow_suspicious_low_cardinality_types = 1")
    numbers()
    strings()
    times()
    others()
    intervals()
    encodings()
