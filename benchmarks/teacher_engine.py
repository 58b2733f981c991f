"""The teacher's engine against a bare aiohttp loop, and against a server that refuses, fails and is killed.

    python benchmarks/teacher_engine.py            # all, with 200,000 rows for the memory: about ten minutes
    python benchmarks/teacher_engine.py --quick    # fewer rows, 20,000 for the memory: about a minute

Everything runs on this machine: a stub server in a process of its own on 127.0.0.1 answers after 50 ms, and each
contender runs in a fresh process, in turn with the others. Requests per second and processor time are compared within
one run; on a busy machine only the ratio means something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DELAY_S = 0.05
AT_ONCE = 64
MOST_REQUESTS, MOST_SECONDS = 600_000, 1800
FILLER = "Water is pumped into it at night, when power costs less, and let out again in the morning. " * 14
"""With it a passage has some 1,300 characters, as one of 256 tokens has."""


def passage(number: int) -> str:
    return f"Tank {number} holds {number + 2} litres of water. {FILLER}"


# The server


class Stub(asyncio.Protocol):
    """A chat server without a framework, so that it takes little of the machine that it shares with the client."""

    cap = 1 << 30
    faults = 0.0
    poison = -1
    n_requests = n_refused = n_poisoned = in_flight = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        found = re.search(rb"content-length: *(\d+)", self.data[:end].lower())
        length = int(found.group(1)) if found else 0
        if len(self.data) < end + 4 + length:
            return
        head, body = self.data[:end], self.data[end + 4 : end + 4 + length]
        self.data = self.data[end + 4 + length :]
        if head.startswith(b"POST"):
            self.chat(body)
        else:
            self.control(head.split(b" ", 2)[1].decode())

    def chat(self, body: bytes) -> None:
        Stub.n_requests += 1
        found = re.search(rb"Tank (\d+) holds", body)
        number = int(found.group(1)) if found else 0
        if Stub.n_requests > MOST_REQUESTS:
            return self.say(503, b"{}")
        if Stub.in_flight >= Stub.cap:
            Stub.n_refused += 1
            return self.say(429, b"{}")
        if number == Stub.poison:
            Stub.n_poisoned += 1
            return self.say(400, b'{"error": {"message": "too long"}}')
        chance = random.random()
        if chance < Stub.faults * 5 / 7:
            return self.say(429, b"{}", b"Retry-After: 1\r\n")
        if chance < Stub.faults:
            return self.say(500, b"{}")
        Stub.in_flight += 1
        asyncio.get_running_loop().call_later(DELAY_S, self.answer, number)
        return None

    def answer(self, number: int) -> None:
        Stub.in_flight -= 1
        fact = f"Tank {number} holds {number + 2} litres of water."
        pair = {"question": f"How much water does tank {number} hold?", "answer": fact, "evidence": fact}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": json.dumps({"pairs": [pair]})},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 400, "completion_tokens": 60, "total_tokens": 460}
        self.say(200, json.dumps({"id": "x", "choices": [choice], "usage": usage}).encode())

    def control(self, path: str) -> None:
        """`/?cap=32&faults=0.07&poison=5` sets the faults and counts from 0 again; `/` tells the counts."""
        counts = {name: getattr(Stub, name) for name in ("n_requests", "n_refused", "n_poisoned")}
        if "?" in path:
            given = dict(re.findall(r"(\w+)=([\d.]+)", path))
            Stub.cap = int(given.get("cap", 1 << 30))
            Stub.faults = float(given.get("faults", 0))
            Stub.poison = int(given.get("poison", -1))
            Stub.n_requests = Stub.n_refused = Stub.n_poisoned = 0
        self.say(200, json.dumps(counts).encode())

    def say(self, status: int, body: bytes, more: bytes = b"") -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
                % (status, len(body), more, body)
            )


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(MOST_SECONDS)


# The contenders, each in a process of its own


def bodies(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "model": "stub",
            "messages": [
                {"role": "system", "content": "You write questions and answers."},
                {"role": "user", "content": passage(number)},
            ],
            "max_tokens": 1024,
        }


def bare(url: str, count: int) -> int:
    """The loop that one writes first: workers on one session, no journal, nothing kept."""
    import aiohttp

    n_answered = 0

    async def work(session: aiohttp.ClientSession, waiting: Iterator[dict[str, Any]]) -> None:
        nonlocal n_answered
        for body in waiting:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                value = await response.json()
                n_answered += bool(value["choices"][0]["message"]["content"])

    async def main() -> None:
        waiting = bodies(count)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(work(session, waiting) for _ in range(AT_ONCE)))

    asyncio.run(main())
    return n_answered


def engine(url: str, count: int, journal: Path) -> int:
    """Client and journal, without what synthesize does with the replies."""
    from tunesmith.synthesize.engine import connected
    from tunesmith.synthesize.options import TeacherOptions
    from tunesmith.synthesize.request import Request, make_request

    @dataclass(frozen=True, slots=True)
    class Item:
        request: Request

    options = TeacherOptions(url=url, model="stub", concurrency=AT_ONCE)
    with connected(options, journal, None) as connection:
        items = (Item(make_request(url, body, None)) for body in bodies(count))
        return sum(getattr(reply, "outcome", "") == "answered" for _, reply in connection.ordered(items))


def stage(url: str, count: int, journal: Path, prompt: str = "") -> int:
    """The whole stage: prompts, replies to examples with their evidence, and every check but the duplicates'."""
    from tunesmith.records import Chunk, Example
    from tunesmith.synthesize.options import SynthesizeOptions
    from tunesmith.synthesize.stage import open_teacher, synthesize_examples

    options = SynthesizeOptions.model_validate(
        {
            "teacher": {"url": url, "model": "stub", "concurrency": AT_ONCE},
            "checks": ["format", "length", "refusal", "self_contained", "grounded"],
            "prompts": {"question_answer": prompt} if prompt else {},
        }
    )
    chunks = (
        Chunk(f"c{n}", "tanks", "Tanks", None, passage(n), 0, len(passage(n)), 1, 1, 256)
        for n in range(count)
    )
    teacher = open_teacher(options, journal)
    return sum(isinstance(record, Example) for record in synthesize_examples(chunks, teacher, options))


def contend(what: str, url: str, count: int, journal: Path, prompt: str) -> None:
    # A start-up is not a request: everything is imported before the clock runs.
    import aiohttp  # noqa: F401

    import tunesmith.synthesize.endpoint
    import tunesmith.synthesize.stage  # noqa: F401

    started, used = time.perf_counter(), time.process_time()
    if what == "bare":
        rows = bare(url, count)
    elif what == "engine":
        rows = engine(url, count, journal)
    else:
        rows = stage(url, count, journal, prompt)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    result = {
        "rows": rows,
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - used,
        "peak_mb": peak,
    }
    print(json.dumps(result))


# The bars


class Bench:
    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.port = port
        self.folder = folder
        self.n_missed = 0

    def start(self, what: str, count: int, journal: str, prompt: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, __file__, "--contend", what, "--url", self.url, "--rows", str(count)]
        command += ["--journal", str(self.folder / journal), "--prompt", prompt]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self, what: str, count: int, journal: str, prompt: str = "") -> dict[str, float]:
        process = self.start(what, count, journal, prompt)
        out, _ = process.communicate(timeout=MOST_SECONDS)
        if process.returncode:
            raise SystemExit(f"{what} failed")
        found: dict[str, float] = json.loads(out)
        return found

    def server(self, query: str = "") -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{query}", timeout=10) as response:
            counts: dict[str, int] = json.load(response)
        return counts

    def bar(self, what: str, value: float, bar: float, *, at_least: bool = False) -> None:
        holds = value >= bar if at_least else value <= bar
        self.n_missed += not holds
        sign = "≥" if at_least else "≤"
        print(f"{'ok    ' if holds else 'MISSED'}  {what}: {value:,.4g} ({sign} {bar:,g})", flush=True)

    def throughput(self, count: int, rounds: int) -> None:
        found: dict[str, list[dict[str, float]]] = {"bare": [], "engine": [], "stage": []}
        for number in range(rounds):
            for what, results in found.items():
                results.append(self.run(what, count, f"{what}{number}.sqlite"))
        rates = {name: [one["rows"] / one["seconds"] for one in results] for name, results in found.items()}
        for name, results in found.items():
            cpu = statistics.median(one["cpu_s"] / one["rows"] * 1000 for one in results)
            print(f"        {name}: {statistics.median(rates[name]):,.0f} rows/s, {cpu:.3f} ms CPU a request")
        for name in ("engine", "stage"):
            ratio = statistics.median(
                mine / theirs for mine, theirs in zip(rates[name], rates["bare"], strict=True)
            )
            cpu = statistics.median(one["cpu_s"] / one["rows"] * 1000 for one in found[name])
            if name == "engine":
                self.bar("engine and journal, rows/s of the bare loop's", ratio, 0.80, at_least=True)
                self.bar("engine and journal, ms CPU a request", cpu, 0.4)
            else:
                print(
                    f"        whole stage: {ratio:.2f} of the bare loop's rows/s, {cpu:.3f} ms CPU a request"
                )

    def memory(self, few: int, many: int) -> None:
        small = self.run("engine", few, "few.sqlite")["peak_mb"]
        large = self.run("engine", many, "many.sqlite")["peak_mb"]
        print(f"        peak memory: {small:.0f} MB at {few:,} rows, {large:.0f} MB at {many:,}")
        self.bar("peak memory, MB more for the larger", large - small, 20)

    def refusals(self, count: int) -> None:
        self.server("?cap=32")
        found = self.run("engine", count, "cap.sqlite")
        counts = self.server("?")
        self.bar("32 at once, rows/s", found["rows"] / found["seconds"], 400, at_least=True)
        self.bar("32 at once, refusals", counts["n_refused"], 60)

    def faults(self, count: int) -> None:
        self.server("?faults=0.07")
        found = self.run("engine", count, "faults.sqlite")
        self.server("?")
        self.bar("5 % 429 and 2 % 500, rows/s", found["rows"] / found["seconds"], 100, at_least=True)
        self.bar("5 % 429 and 2 % 500, rows lost", count - found["rows"], 0)

    def poison(self, count: int) -> None:
        self.server(f"?poison={count // 2}")
        found = self.run("engine", count, "poison.sqlite")
        counts = self.server("?")
        self.bar("one poisoned row, rows lost", count - found["rows"], 1)
        self.bar("one poisoned row, requests for it", counts["n_poisoned"], 1)

    def kill(self, count: int) -> None:
        self.server("?")
        process = self.start("stage", count, "killed.sqlite")
        until = time.monotonic() + 60
        while self.server()["n_requests"] < 0.6 * count and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(2 * DELAY_S)
        before = self.server()["n_requests"]
        self.run("stage", count, "killed.sqlite")
        repeated = self.server()["n_requests"] - count
        print(f"        killed after {before:,} of {count:,} requests")
        self.bar("kill -9 at 60 %, requests repeated", repeated, 2 * AT_ONCE)

    def again(self, count: int) -> None:
        """What `kill` left behind, run again: as it was, with a row more, with another system prompt."""
        for what, rows, prompt, bar in (
            ("rerun", count, "", 0),
            ("one row added", count + 1, "", 1),
            ("system prompt changed", count, str(self.prompt()), count),
        ):
            self.server("?")
            self.run("stage", rows, "killed.sqlite", prompt)
            sent = self.server("?")["n_requests"]
            self.bar(f"{what}, requests", sent, bar)
            if bar:
                self.bar(f"{what}, requests", sent, bar, at_least=True)

    def prompt(self) -> Path:
        path = self.folder / "mine.jinja"
        path.write_text(
            "{% block system %}Be brief.{% endblock %}{% block user %}{{ fence }} {{ passage }}{% endblock %}",
            encoding="utf-8",
        )
        return path


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="fewer rows: about a minute")
    arguments.add_argument("--rounds", type=int, default=3, help="of the throughput; the median counts")
    for name in ("--contend", "--url", "--journal", "--prompt"):
        arguments.add_argument(name, default="", help=argparse.SUPPRESS)
    arguments.add_argument("--rows", type=int, default=0, help=argparse.SUPPRESS)
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.serve:
        asyncio.run(serve())
        return 0
    if given.contend:
        contend(given.contend, given.url, given.rows, Path(given.journal), given.prompt)
        return 0
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {AT_ONCE} in flight, {DELAY_S * 1000:g} ms a reply"
    )
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            bench = Bench(int(server.stdout.readline()), Path(folder))
            bench.throughput(1000 if given.quick else 4000, given.rounds)
            bench.refusals(1500 if given.quick else 3000)
            bench.faults(600 if given.quick else 2000)
            bench.poison(640)
            bench.kill(1500 if given.quick else 3000)
            bench.again(1500 if given.quick else 3000)
            bench.memory(2000, 20_000 if given.quick else 200_000)
        finally:
            server.terminate()
            server.wait()
    print("every bar holds" if not bench.n_missed else f"{bench.n_missed} bars are missed")
    return int(bench.n_missed > 0)


if __name__ == "__main__":
    sys.exit(main())
