#!/usr/bin/env python3
"""Makes types/golden/city.txt: CityHash 1.0.2 of one string of every interesting length, as ClickHouse computes it.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install chdb
    /tmp/venv/bin/python types/golden/make_city.py > types/golden/city.txt

A line is `length hash64 low128 high128`, decimal. Byte i of the string of length n is (i * 167 + n * 13 + i // 256) % 256.

hash64 is what the function cityHash64 answers. No function answers the 128-bit hash: it is the checksum that ClickHouse writes
before each compressed block. So each string is INSERTed alone into a TinyLog column without compression, and low128 and high128
are read from that file. They are the hash of the whole block: byte 02, u32 length of content + 9, u32 length of content, and the
content, which is varint(n) and the string.
"""

import glob
import struct
import sys
import tempfile

from chdb import session

LENGTHS = [*range(1, 140), 160, 192, 193, 255, 256, 257, 383, 384, 385, 511, 512, 513, 1000, 1024, 4096, 5000]


def text(n):
    return bytes((i * 167 + n * 13 + i // 256) % 256 for i in range(n))


def main():
    folder = tempfile.mkdtemp()
    db = session.Session(folder)
    db.query("CREATE DATABASE d")
    db.query("CREATE TABLE d.t (b String CODEC(NONE)) ENGINE = TinyLog")
    hashes = []
    for n in LENGTHS:
        literal = f"unhex('{text(n).hex()}')"
        db.query(f"INSERT INTO d.t SELECT {literal}")
        hashes.append(int(str(db.query(f"SELECT cityHash64({literal})", "TSVRaw"))))
    path = glob.glob(folder + "/store/**/b.bin", recursive=True)[0]
    frames = open(path, "rb").read()
    at = 0
    for n, hash64 in zip(LENGTHS, hashes, strict=True):
        low, high, method, compressed, raw = struct.unpack_from("<QQBII", frames, at)
        assert method == 2 and compressed == raw + 9, "a block without compression"
        assert frames[at + 16 : at + 16 + compressed].endswith(text(n)), "blocks stand in the order of the INSERTs"
        print(n, hash64, low, high)
        at += 16 + compressed
    assert at == len(frames)


if __name__ == "__main__":
    sys.exit(main())
