"""Has ClickHouse (chdb) read the shares that the ignored test `shares_for_clickhouse_to_read` wrote, and compares them
with the originals: WEIR_NATIVE_OUT=/tmp/out cargo test -p formats shares_for -- --ignored; make.py's Python, this file,
the directory."""

import json
import pathlib
import sys
import chdb

HERE = pathlib.Path(__file__).parent
OUT = pathlib.Path(sys.argv[1])
ON = ("SETTINGS allow_experimental_qbit_type = 1, enable_time_time64_type = 1, "
      "allow_suspicious_low_cardinality_types = 1, allow_suspicious_variant_types = 1")


def rows(files, columns=None):
    structure = f", '{columns}'" if columns else ""
    query = f"SELECT * FROM file('{files}', Native{structure}) ORDER BY ALL {ON}"
    return chdb.query(query, "JSONEachRow").bytes()


for original in sorted(HERE.glob("*.Native")):
    same = rows(original) == rows(OUT / f"{original.stem}.*.Native")
    print(original.stem, "same" if same else "DIFFERENT")

# The other columnar formats of the golden table, cast to its types by ClickHouse.
SCHEMA = json.loads((HERE.parent / "schema.json").read_text())["columns"]
TABLE = ", ".join(f"{name} {kind}" for name, kind in SCHEMA).replace("'", "\\'")
expected = rows(HERE.parent / "all_types.Native", TABLE).splitlines()
for name in ["Native", "Arrow", "ArrowStream", "Parquet"]:
    found = rows(OUT / f"all_types.{name}.*.Native", TABLE).splitlines()
    print(name, "same" if found == expected else "DIFFERENT")
    for one, other in list(zip(expected, found))[:1] if found != expected else []:
        print(one, other, sep="\n")
