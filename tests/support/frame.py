"""ClickHouse's compressed frames, made and checked apart from Weir's own code.

Run, it wraps standard input into one frame (LZ4): checksum (16 bytes), method, compressed size with these 9 bytes, raw size,
payload.
"""

import struct
import sys

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

LZ4 = 0x82
HEAD = struct.Struct("<BII")


def checksum(framed):
    """The CityHash128 of head and payload as ClickHouse lays it out: each half little-endian, the first half first."""
    both = CityHash128(framed)
    return struct.pack("<QQ", both >> 64, both & (1 << 64) - 1)


def frame(raw):
    """`raw` as one frame."""
    payload = lz4.block.compress(raw, store_size=False)
    framed = HEAD.pack(LZ4, HEAD.size + len(payload), len(raw)) + payload
    return checksum(framed) + framed


def main():
    sys.stdout.buffer.write(frame(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
