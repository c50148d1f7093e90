"""A modern ClickHouse shard for the tests: the engine of PyPI's chdb behind ClickHouse's HTTP interface.

It takes what a shard is sent (statement in the URL or the body, settings in the URL, chunked and gzip bodies, compressed
frames under decompress=1) and answers as ClickHouse does (error codes and text, X-ClickHouse-Summary). A body that is
shorter than announced, whose last chunk is missing or whose gzip member does not end is refused and leaves nothing.

chdb has one session a process, so statements run one after another. INSERTs misbehave on request, once
POST /control?fault=... was sent: see `Faults`. Usage: chdb_server.py PORT DATA_DIRECTORY [USER PASSWORD]
"""

import base64
import io
import json
import os
import re
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

# The engine reads ./config.xml while it is loaded: clusters and macros, for the tests that need them.
if len(sys.argv) > 2 and (Path(sys.argv[2]) / "config.xml").exists():
    os.chdir(sys.argv[2])

from chdb import session

from chdb_codings import ENGINE_CODINGS, Gunzip, encoded, framed, unframe
from chdb_error import ClickHouseError, error
from chdb_native import native

PIECE_BYTES = 1 << 20
# URL parameters that are no settings.
NOT_SETTINGS = {"query", "database", "user", "password", "query_id", "session_id", "session_timeout", "session_check",
                "decompress", "compress", "default_format", "quota_key", "role", "wait_end_of_query", "buffer_size",
                "client_protocol_version", "enable_http_compression", "http_zlib_compression_level",
                "send_progress_in_http_headers", "http_headers_progress_interval_ms", "add_http_cors_header"}
INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?P<target>.+?)\s*(?:\bSETTINGS\s+(?P<settings>.+?)\s+)?"
                    rb"(?:\bFORMAT\s+(?P<format>\w+)|\bVALUES)(?:[ \t]*\r?\n|[ \t;]|$)?", re.IGNORECASE | re.DOTALL)
SELECT = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
OUTPUT_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
STATUS = {192: 403, 194: 401, 497: 403, 516: 403, 60: 404, 81: 404, 16: 404, 47: 404, 115: 404}
BAD_REQUEST = {6, 26, 27, 33, 38, 41, 53, 62, 69, 72, 117, 130, 131}


class CutConnection(Exception):
    """Ends the connection without an answer."""


class Engine:
    """The one chdb session, its statements run one after another."""

    def __init__(self, data):
        self.lock = threading.Lock()
        self.session = session.Session(str(data))
        self.database = None
        # chdb says the zero UUID for every session; a real server has its own for ever.
        identity = Path(data) / "server_uuid"
        if not identity.exists():
            identity.write_text(str(uuid.uuid4()))
        self.identity = identity.read_text()
        self.run("CREATE DATABASE IF NOT EXISTS default", "default")
        self.version, self.timezone = self.run("SELECT version(), timezone()", "default").bytes().decode().split()

    def run(self, sql, database, output_format="TabSeparated", parameters=None):
        sql = sql.replace("serverUUID()", f"toUUID('{self.identity}')") if "serverUUID()" in sql else sql
        try:
            with self.lock:
                if database != self.database and not sql.startswith("CREATE DATABASE"):
                    self.session.query(f"USE `{database}`")
                    self.database = database
                return self.session.query(sql, output_format, params=parameters or {})
        except Exception as trouble:  # chdb's own error types differ between versions
            text = str(trouble)
            raise ClickHouseError(text[text.find("Code: "):] if "Code: " in text else text) from trouble

    def decoded(self, body, coding):
        """A whole body, its compression taken away by the engine."""
        with tempfile.NamedTemporaryFile(suffix=".encoded") as file:
            file.write(body)
            file.flush()
            return self.run(f"SELECT * FROM file('{file.name}', 'RawBLOB', 's String', '{coding}')", "default", "RawBLOB").bytes()


class Faults:
    """How the next INSERTs misbehave: `fault` is one of
    fail (answered with `code`, not executed), cut_before, cut_after (no answer, executed or not),
    late (executed, answered after `ms`), hang (neither, until the fault is cleared), none."""

    def __init__(self):
        self.changed = threading.Condition()
        self.order, self.left = {"fault": "none"}, 0

    def set(self, order):
        with self.changed:
            self.order, self.left = order, int(order.get("times", 1))
            self.changed.notify_all()

    def before(self):
        """Called before an INSERT is executed; returns what is to happen after it."""
        with self.changed:
            if self.left == 0 or self.order["fault"] == "none":
                return {"fault": "none"}
            self.left -= 1
            order = self.order
            if order["fault"] == "hang":
                self.changed.wait_for(lambda: self.order is not order)
                raise CutConnection
        if order["fault"] == "fail":
            raise error(order["code"], "failed on request", "FAULT")
        if order["fault"] == "cut_before":
            raise CutConnection
        return order

    @staticmethod
    def after(order):
        if order["fault"] == "cut_after":
            raise CutConnection
        if order["fault"] == "late":
            time.sleep(int(order["ms"]) / 1000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None
    faults = Faults()
    user = None

    def do_GET(self):
        self.handle_request()

    def do_POST(self):
        self.handle_request()

    def handle_request(self):
        url = urlsplit(self.path)
        self.parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        self.query_id = self.parameters.get("query_id") or str(uuid.uuid4())
        self.close_connection = True  # each answer ends its connection: an unread body cannot confuse the next request
        try:
            if url.path == "/control":
                self.faults.set(self.parameters)
                self.answer(200, b"")
            elif url.path in ("/ping", "/") and "query" not in self.parameters and self.command == "GET":
                self.answer(200, b"Ok.\n")
            else:
                self.authenticate()
                self.statement()
        except CutConnection:
            self.connection.close()
        except ClickHouseError as trouble:
            status = STATUS.get(trouble.code, 400 if trouble.code in BAD_REQUEST else 500)
            text = f"{str(trouble).rstrip()} (version {self.engine.version})\n"
            self.answer(status, text.encode(), {"X-ClickHouse-Exception-Code": trouble.code})

    def authenticate(self):
        user = self.headers.get("X-ClickHouse-User", self.parameters.get("user", "default"))
        password = self.headers.get("X-ClickHouse-Key", self.parameters.get("password", ""))
        basic = self.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            user, _, password = base64.b64decode(basic[6:]).decode().partition(":")
        if (user, password) != self.user:
            what = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
            raise error(516, what, "AUTHENTICATION_FAILED")

    def statement(self):
        database = self.parameters.get("database") or self.headers.get("X-ClickHouse-Database") or "default"
        with tempfile.TemporaryFile() as body, tempfile.NamedTemporaryFile(suffix=".body") as data:
            self.read_body(body)
            body.seek(0)
            head = self.parameters.get("query", "").encode()
            insert = INSERT.match(head)
            if not head or not insert:
                # The statement, or the rest of it, stands in the body.
                head = b"\n".join(filter(None, [head, body.read(PIECE_BYTES)]))
                insert = INSERT.match(head)
            if not insert:
                return self.read(head.decode(), database)
            data.write(head[insert.end():])
            while piece := body.read(PIECE_BYTES):
                data.write(piece)
            data.flush()
            return self.insert(insert, data.name, database)

    def insert(self, insert, path, database):
        target = insert["target"].decode()
        settings = self.settings((insert["settings"] or b"").decode())
        kind = (insert["format"] or b"Values").decode()
        sql = f"INSERT INTO {target} FROM INFILE '{path}' COMPRESSION 'none' {settings} FORMAT {kind}"
        after = self.faults.before()
        written = self.engine.run(sql, database).rows_read()
        self.faults.after(after)
        summary = {"read_rows": str(written), "written_rows": str(written), "written_bytes": "0"}
        self.answer(200, b"", {"X-ClickHouse-Summary": json.dumps(summary)})

    def read(self, sql, database):
        found = OUTPUT_FORMAT.search(sql)
        default = self.headers.get("X-ClickHouse-Format") or self.parameters.get("default_format", "TabSeparated")
        kind = found.group(1) if found else default
        sql = (sql[:found.start()] if found else sql).rstrip().rstrip(";")
        version = int(self.parameters.get("client_protocol_version", 0))
        if kind == "Native" and version:
            answer = native(self.engine, sql, database, version, self.substitutions())
        else:
            sql = f"{sql} {self.settings('')}" if SELECT.match(sql) else sql
            answer = self.engine.run(sql, database, kind, self.substitutions()).bytes()
        summary = {"read_rows": "0", "read_bytes": "0", "written_rows": "0", "written_bytes": "0", "result_rows": "0"}
        headers = {"X-ClickHouse-Format": kind, "X-ClickHouse-Summary": json.dumps(summary)}
        if self.parameters.get("compress") == "1":
            answer = framed(answer)
        elif self.parameters.get("enable_http_compression") in ("1", "true"):
            answer, coding = encoded(answer, self.headers.get("Accept-Encoding", ""))
            headers |= coding
        self.answer(200, answer, headers)

    def substitutions(self):
        """The values of {name:Type} in the statement."""
        return {name.removeprefix("param_"): value for name, value in self.parameters.items() if name.startswith("param_")}

    def settings(self, given):
        quote = lambda value: "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        ours = [f"{name} = {quote(value)}" for name, value in self.parameters.items()
                if name not in NOT_SETTINGS and not name.startswith("param_")]
        every = ([given] if given else []) + ours
        return "SETTINGS " + ", ".join(every) if every else ""

    def read_body(self, target):
        """Reads, decodes and writes the whole body, or refuses it."""
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding not in ("identity", "gzip") and encoding not in ENGINE_CODINGS:
            raise error(89, f"Unknown compression method: {encoding}", "UNKNOWN_COMPRESSION_METHOD")
        if self.parameters.get("decompress") != "1":
            return self.read_encoded(encoding, target)
        with tempfile.TemporaryFile() as frames:
            self.read_encoded(encoding, frames)
            frames.seek(0)
            return unframe(self.engine, frames, target)

    def read_encoded(self, encoding, target):
        if encoding == "identity":
            return self.read_plain(target)
        if encoding != "gzip":
            whole = io.BytesIO()
            self.read_plain(whole)
            return target.write(self.engine.decoded(whole.getvalue(), ENGINE_CODINGS[encoding]))
        gunzip = Gunzip(target)
        self.read_plain(gunzip)
        return gunzip.end()

    def read_plain(self, target):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while length := self.chunk_length():
                self.copy(length, target)
                self.rfile.readline()
            self.rfile.readline()
        else:
            self.copy(int(self.headers.get("Content-Length", 0)), target)

    def chunk_length(self):
        line = self.rfile.readline().split(b";")[0].strip()
        if not line:
            raise error(33, "Cannot read all data: the last chunk of the body is missing", "CANNOT_READ_ALL_DATA")
        return int(line, 16)

    def copy(self, left, target):
        while left:
            piece = self.rfile.read(min(left, PIECE_BYTES))
            if not piece:
                raise error(33, f"Cannot read all data: {left} bytes of the body are missing", "CANNOT_READ_ALL_DATA")
            target.write(piece)
            left -= len(piece)

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, str(value))
        self.send_header("X-ClickHouse-Query-Id", self.query_id)
        self.send_header("X-ClickHouse-Server-Display-Name", "chdb")
        self.send_header("X-ClickHouse-Timezone", self.engine.timezone)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    port, data, *user = sys.argv[1:]
    Handler.user = tuple(user) or ("default", "")
    Handler.engine = Engine(data)
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
