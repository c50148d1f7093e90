"""Makes the samples beside it: the same text in each encoding, as ClickHouse 26.x (chdb) and the usual tools write it.

    ../../../../../.cache/venv/bin/python make.py     (needs chdb, and the commands lz4, xz, bzip2, zstd)
"""

import os
import subprocess

import chdb

os.chdir(os.path.dirname(os.path.abspath(__file__)))
QUERY = "SELECT intDiv(number, 8), number * 7919 % 97 FROM numbers(20000)"
for ending in ("br", "gz", "xz", "zst", "lz4", "deflate"):
    name = f"text.{ending}"
    if os.path.exists(name):
        os.remove(name)
    method = "deflate" if ending == "deflate" else "auto"
    chdb.query(
        f"INSERT INTO FUNCTION file('{os.getcwd()}/{name}', 'TSV', 'a UInt64, b UInt64', '{method}') {QUERY}"
    )
text = chdb.query(QUERY, "TSV").bytes()


def run(name, *command):
    with open(name, "wb") as out:
        subprocess.run(command, input=text, stdout=out, check=True)


run("text.bz2", "bzip2", "-c")
run("linked.lz4", "lz4", "-c", "-BD", "-B4", "--content-size", "-")
run("checked.lz4", "lz4", "-c", "-BX", "-B4", "-")
run("small-dictionary.xz", "xz", "-c", "--lzma2=dict=64KiB", "--check=crc32")
run("level9.xz", "xz", "-9", "-c")
run("checked.zst", "zstd", "-c", "--check", "-")
run("long.zst", "zstd", "-c", "--ultra", "-22", "--zstd=wlog=27", "-")
