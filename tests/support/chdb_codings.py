"""How bodies are compressed on their way to and from `chdb_server.py`: ClickHouse's frames, and Content-Encoding.

gzip, which Weir's own batches use, is decoded as it comes; other encodings by the engine itself, so that it takes and refuses
what a real server does.
"""

import gzip
import zlib

import lz4.block
import lz4.frame

from chdb_error import error
from frame import HEAD, LZ4, checksum, frame

# A frame's raw size beyond this is refused, as ClickHouse refuses it (DBMS_MAX_COMPRESSED_SIZE).
MAX_FRAME_BYTES = 1 << 30
# The most that a server puts into one frame of an answer.
ANSWER_FRAME_BYTES = 1 << 20
NO_COMPRESSION = 0x02
ZSTD = 0x90
# Content-Encoding to the engine's name of it.
ENGINE_CODINGS = {"deflate": "deflate", "br": "br", "zstd": "zstd", "lz4": "lz4", "xz": "xz"}
# What answers are encoded with, in the order in which a server prefers them.
ANSWER_CODINGS = {"lz4": lz4.frame.compress, "gzip": gzip.compress, "deflate": zlib.compress}


def unframe(engine, source, target):
    """Writes the contents of ClickHouse's compressed frames."""
    cut = error(33, "Cannot read all data: a compressed frame is cut", "CANNOT_READ_ALL_DATA")
    while expected := source.read(16):
        head = source.read(HEAD.size)
        if len(expected) < 16 or len(head) < HEAD.size:
            raise cut
        method, compressed_bytes, raw_bytes = HEAD.unpack(head)
        if compressed_bytes < HEAD.size or max(compressed_bytes, raw_bytes) > MAX_FRAME_BYTES:
            raise error(271, f"Cannot decompress: sizes {compressed_bytes} and {raw_bytes}", "CANNOT_DECOMPRESS")
        payload = source.read(compressed_bytes - HEAD.size)
        if len(payload) < compressed_bytes - HEAD.size:
            raise cut
        if checksum(head + payload) != expected:
            raise error(40, "Checksum doesn't match: corrupted data", "CHECKSUM_DOESNT_MATCH")
        if method == LZ4:
            target.write(lz4.block.decompress(payload, uncompressed_size=raw_bytes))
        elif method == NO_COMPRESSION:
            target.write(payload)
        elif method == ZSTD:
            target.write(engine.decoded(payload, "zstd"))
        else:
            raise error(89, f"Unknown codec family code: {method}", "UNKNOWN_COMPRESSION_METHOD")


class Gunzip:
    """Writes the contents of gzip members; `end` refuses one that is not complete."""

    def __init__(self, target):
        self.target, self.member = target, None

    def write(self, piece):
        while piece:
            self.member = self.member or zlib.decompressobj(wbits=31)
            try:
                self.target.write(self.member.decompress(piece))
            except zlib.error as trouble:
                raise error(354, f"inflate failed: {trouble}", "ZLIB_INFLATE_FAILED") from trouble
            piece = self.member.unused_data
            self.member = None if self.member.eof else self.member

    def end(self):
        if self.member is not None:
            raise error(354, "inflate failed: buffer error, the gzip member does not end", "ZLIB_INFLATE_FAILED")


def framed(answer):
    """An answer under compress=1."""
    pieces = (answer[at:at + ANSWER_FRAME_BYTES] for at in range(0, len(answer), ANSWER_FRAME_BYTES))
    return b"".join(map(frame, pieces))


def encoded(answer, accepted):
    """An answer under enable_http_compression=1, and its Content-Encoding if it has one."""
    accepted = {name.split(";")[0].strip() for name in accepted.split(",")}
    for name, encode in ANSWER_CODINGS.items():
        if name in accepted:
            return encode(answer), {"Content-Encoding": name}
    return answer, {}
