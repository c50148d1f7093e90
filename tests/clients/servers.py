"""The servers of the suites: two shards (the engine of 26.x, or 18.16) and a router in front of them."""

import http.client
import os
import socket
import subprocess
import time
from pathlib import Path

import expect

WORKSPACE = Path(__file__).resolve().parents[2]
CLICKHOUSE_18 = "/usr/sbin/clickhouse-server"
START_SECONDS = 120
WEIGHTS = [2, 3]
TABLE, TARGET = "clients.rows", "clients.rows_local"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port, statement, path="/", seconds=60):
    """What a server answers to a statement; raises with its words unless that is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST" if statement else "GET", path, statement.encode() if statement else None)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"port {port} answers {answer.status}: {body[:500].decode(errors='replace')}")
    return body


class Server:
    """A process that answers /ping (or another page) when it is ready, and dies with this one."""

    ready_page = "/ping"

    def __init__(self, name, home, port):
        self.name, self.home, self.port, self.process = name, Path(home), port, None
        self.home.mkdir(parents=True, exist_ok=True)

    def start(self):
        """Starts it without waiting."""
        with open(self.home / "output.log", "ab") as log:
            # setpriv: it must not outlive us, whatever ends us.
            command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, self.command())]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "TZ": "UTC"})

    def wait_until_ready(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return ask(self.ready_port(), None, self.ready_page, seconds=5)
            except (OSError, http.client.HTTPException, RuntimeError) as trouble:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{self.name} does not start ({trouble}); its log ends:\n{self.log_tail()}") from None
            time.sleep(0.05)

    def ready_port(self):
        return self.port

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def log_tail(self):
        return "\n".join((self.home / "output.log").read_text(errors="replace").splitlines()[-20:])


class Modern(Server):
    """The engine of 26.x behind tests/support/chdb_server.py."""

    def command(self):
        python = os.environ.get("WEIR_TEST_PYTHON", WORKSPACE / ".cache/venv/bin/python")
        return [python, WORKSPACE / "tests/support/chdb_server.py", self.port, self.home / "data"]


class Old(Server):
    """ClickHouse 18.16 as Debian packages it."""

    def command(self):
        (self.home / "config.xml").write_text(f"""<yandex>
  <logger><level>information</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host><http_port>{self.port}</http_port>
  <path>{self.home}/data/</path><tmp_path>{self.home}/tmp/</tmp_path>
  <users_config>{self.home}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <timezone>UTC</timezone><mark_cache_size>67108864</mark_cache_size>
</yandex>""")
        (self.home / "users.xml").write_text("""<yandex>
  <profiles><default>
    <allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type>
  </default></profiles>
  <quotas><default/></quotas>
  <users><default><password/><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota></default></users>
</yandex>""")
        return [CLICKHOUSE_18, f"--config-file={self.home}/config.xml"]


class Weir(Server):
    """The router, with both shards and the one distributed table."""

    ready_page = "/-/ready"

    def __init__(self, home, shards):
        super().__init__("weir", home, free_port())
        self.admin_port = free_port()
        sections = "".join(f'[[cluster.main.shard]]\nname = "s{number}"\nweight = {weight}\n'
                           f'replica = ["127.0.0.1:{shard.port}"]\n'
                           for number, (shard, weight) in enumerate(zip(shards, WEIGHTS), 1))
        (self.home / "weir.toml").write_text(f"""
[listen]
http = "127.0.0.1:{self.port}"
admin = "127.0.0.1:{self.admin_port}"
[spool]
path = "{self.home}/spool"
[send]
max_batch_delay = "50ms"
max_sleep_time = "1s"
[cluster.main]
internal_replication = true
{sections}
[[table]]
name = "{TABLE}"
target = "{TARGET}"
sharding_key = "{expect.SHARDING_KEY}"
""")

    def command(self):
        return [os.environ["WEIR_BIN"], "serve", "--config", self.home / "weir.toml"]

    def ready_port(self):
        return self.admin_port

    def waiting_rows(self):
        """What its spool still holds for the shards."""
        text = ask(self.admin_port, None, "/metrics").decode()
        lines = (line for line in text.splitlines() if line.startswith("weir_spool_rows"))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def wait_until_delivered(self, seconds):
        """Nothing, or what still waits after this time."""
        end = time.monotonic() + seconds
        while waiting := self.waiting_rows():
            if time.monotonic() > end:
                command = [os.environ["WEIR_BIN"], "spool", "ls", "--config", self.home / "weir.toml"]
                listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
                return f"{waiting:.0f} rows still wait after {seconds} s:\n{listing}\n{self.log_tail()}"
            time.sleep(0.05)
        return None


def start(servers):
    for server in servers:
        server.start()
    for server in servers:
        server.wait_until_ready()


def create_tables(shards, engine):
    for shard in shards:
        ask(shard.port, "CREATE DATABASE IF NOT EXISTS clients")
        window = " SETTINGS non_replicated_deduplication_window = 10000" if engine is Modern else ""
        ask(shard.port, f"CREATE TABLE {TARGET} ({expect.target_columns()}) ENGINE = MergeTree ORDER BY (label, id){window}")


def slots():
    """(sum of the weights, first slot, slot behind the last) of each shard."""
    low = 0
    for weight in WEIGHTS:
        yield sum(WEIGHTS), low, low + weight
        low += weight


def expected(shards):
    """What each shard must hold of every case; any shard of 26.x can compute it."""
    return [ask(shards[0].port, expect.expected_sql(*range_)) for range_ in slots()]


def held(shard, label):
    """What a shard holds of one case."""
    return ask(shard.port, expect.read_sql(TARGET, label))


def labels(shard):
    """How many rows a shard holds of each case."""
    text = ask(shard.port, f"SELECT label, count() FROM {TARGET} GROUP BY label ORDER BY label").decode()
    return {label: int(count) for label, count in (line.split("\t") for line in text.splitlines())}


def url(server):
    return f"http://127.0.0.1:{server.port}"

