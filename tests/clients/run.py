"""The official ClickHouse clients, unmodified, through Weir.

Usage: run.py [--only LANGUAGE[,…]] [--engine 26.x|18.16] [--direct] [--cases PATTERN]

For each engine: two shards and a router start; then each language's program connects, pings, and inserts 10,000 rows in each
of its formats and compressions, three times: with every shard up; with all but the first down; and with all down. Whatever was
acknowledged must then be on the shard its sharding key says, value by value. A program prints a line a case (README.md).

--direct leaves Weir out and inserts straight into one shard, to tell a client's trouble from Weir's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import expect
import known
import programs
import servers

ENGINES = {"26.x": servers.Modern, "18.16": servers.Old}
# A program that takes longer hangs.
PROGRAM_SECONDS = 400
DELIVERY_SECONDS = 30


@dataclass
class Tally:
    """What passed, and what did not."""

    passed: int = 0
    failures: list = field(default_factory=list)

    def tell(self, place, problem=None, remark=""):
        """One line a case."""
        if problem:
            self.failures.append(f"{place}: {problem}")
        else:
            self.passed += 1
        print(f"{'FAILED' if problem else 'ok    '} {place} {problem or remark}", flush=True)


def main():
    arguments = parse_arguments()
    languages = arguments.only.split(",") if arguments.only else programs.LANGUAGES
    started = time.monotonic()
    for language in languages:
        since = time.monotonic()
        programs.build(language)
        print(f"built  {language} in {time.monotonic() - since:.0f} s", flush=True)
    tally = Tally()
    for name in [arguments.engine] if arguments.engine else ENGINES:
        with tempfile.TemporaryDirectory(prefix="weir-clients-") as home:
            suite = (Direct if arguments.direct else Suite)(name, home, languages, arguments.cases, tally)
            suite.run()
    print(f"clients: {tally.passed} cases passed, {len(tally.failures)} failed, in {time.monotonic() - started:.0f} s")
    for failure in tally.failures:
        print(f"  {failure}")
    sys.exit(bool(tally.failures))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="languages, separated by commas")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--cases", default="", help="only cases whose name contains this")
    parser.add_argument("--direct", action="store_true", help="without Weir, into one shard")
    return parser.parse_args()


class Suite:
    """All languages on one engine, through a router."""

    def __init__(self, engine, home, languages, cases, tally):
        self.engine, self.languages, self.cases, self.tally = engine, languages, cases, tally
        kind = ENGINES[engine]
        self.shards = [kind(f"shard {number} ({engine})", f"{home}/s{number}", servers.free_port())
                       for number in range(1, len(servers.WEIGHTS) + 1)]
        self.oracle = servers.Modern("oracle", f"{home}/oracle", servers.free_port())
        self.weir = servers.Weir(f"{home}/weir", self.shards)

    def run(self):
        try:
            servers.start(self.shards + [self.oracle])
            servers.create_tables(self.shards, ENGINES[self.engine])
            self.expected = servers.expected([self.oracle])
            self.oracle.kill()
            servers.start([self.weir])
            if self.engine == "18.16":
                self.check_silent()
            self.phase("all up", down=[])
            self.phase("one up", down=self.shards[1:])
            self.phase("all down", down=self.shards)
        finally:
            for server in [self.weir, *self.shards, self.oracle]:
                server.kill()

    def check_silent(self):
        """Clients that do not speak to this engine are left out, when that is still so."""
        for language in [one for one in self.languages if one in known.SILENT]:
            words = known.SILENT[language]
            report = Program(language, self.engine, "direct", "connect").run(servers.url(self.shards[0]), servers.TARGET, None)
            is_so = any(case.kind == "failed" and words in case.remark for case in report.cases)
            problem = None if is_so else f"{[case.remark for case in report.cases]} without Weir, known.py says {words!r}"
            self.tally.tell(f"{self.engine} {language}", problem, f"does not speak to this version: {words}")
            self.languages = [one for one in self.languages if one != language]

    def phase(self, phase, down):
        """Each program runs while these shards are down; then they come back, and hold what they must."""
        for shard in down:
            shard.kill()
        reports = [Program(language, self.engine, phase, self.cases).run(
            servers.url(self.weir), servers.TABLE, None if down else servers.TARGET) for language in self.languages]
        servers.start(down)
        if problem := self.weir.wait_until_delivered(DELIVERY_SECONDS):
            self.tally.tell(f"{self.engine} {phase}: delivery", problem)
        counts = [servers.labels(shard) for shard in self.shards]
        for report in reports:
            self.judge(report, counts)

    def judge(self, report, counts):
        for case in report.cases:
            here = [count.get(case.label, 0) for count in counts]
            remark = f"{case.remark} rows read back" if case.kind == "read" else case.remark
            remark = f"refused as it has to be: {remark}" if case.kind == "failed" else remark
            self.tally.tell(f"{self.engine} {case.label}", self.problem(case, here), remark[:200])
        if report.trouble:
            self.tally.tell(f"{self.engine} {report.place}", report.trouble)

    def problem(self, case, here):
        """What is wrong with a case; nothing if all is well."""
        refusal = known.refusal(self.engine, case.language, case.name)
        if case.kind == "failed":
            return None if any(words in case.remark for words in refusal or ()) else case.remark
        if refusal:
            return f"it works, known.py says that it is refused: {refusal}"
        if case.kind == "read" and int(case.remark) not in here:
            return f"the client read {case.remark} rows through Weir, the shards hold {here}"
        if case.kind in ("done", "read"):
            return None
        for number, (shard, wanted) in enumerate(zip(self.shards, self.expected), 1):
            if problem := expect.difference(wanted, servers.held(shard, case.label)):
                return f"shard {number} (rows a shard: {here}): {problem}"
        return None


class Direct(Suite):
    """All languages on one shard of an engine, without a router: are the programs right?"""

    def run(self):
        shard = self.shards[0]
        try:
            servers.start([shard, self.oracle])
            servers.create_tables([shard], ENGINES[self.engine])
            self.shards = [shard]
            self.expected = [servers.ask(self.oracle.port, expect.expected_sql(1, 0, 1))]
            self.oracle.kill()
            for language in self.languages:
                report = Program(language, self.engine, "direct", self.cases).run(
                    servers.url(shard), servers.TARGET, servers.TARGET)
                self.judge(report, [servers.labels(shard)])
        finally:
            shard.kill()
            self.oracle.kill()


@dataclass
class Case:
    """A line of a program."""

    kind: str
    language: str
    name: str
    phase: str
    remark: str

    @property
    def label(self):
        """What its rows have in the column of this name."""
        return f"{self.language}: {self.name}: {self.phase}"


class Program:
    """One run of a language's program."""

    def __init__(self, language, engine, phase, cases):
        self.language, self.phase = language, phase
        self.place = f"{language}: {phase}"
        self.settings = {"CLIENTS_ENGINE": engine, "CLIENTS_PHASE": phase, "CLIENTS_ONLY": cases,
                         "CLIENTS_ROWS": str(expect.ROWS)}
        self.cases, self.trouble = [], None

    def run(self, url, table, read_table):
        """Runs it to its end; its lines are `cases`, `trouble` is what is wrong with the run as a whole."""
        environment = {**os.environ, **self.settings, **programs.environment(self.language),
                       "CLIENTS_URL": url, "CLIENTS_TABLE": table, "CLIENTS_READ": read_table or ""}
        command = ["timeout", str(PROGRAM_SECONDS), *map(str, programs.command(self.language))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
        lines = done.stdout.splitlines()
        for line in lines:
            kind, _, rest = line.partition("\t")
            if kind in ("inserted", "done", "read", "failed"):
                name, _, remark = rest.partition("\t")
                self.cases.append(Case(kind, self.language, name, self.phase, remark))
        if lines[-1:] != [f"end\t{len(self.cases)}"] or done.returncode != 0 or not (self.cases or self.settings["CLIENTS_ONLY"]):
            self.trouble = f"the program ended with {done.returncode} after {len(self.cases)} cases: {done.stderr[-2000:]}"
        return self


if __name__ == "__main__":
    main()
