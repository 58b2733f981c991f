"""An OpenAI-compatible server for tests: on 127.0.0.1, in a thread, bounded, with faults on order."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MOST_REQUESTS = 20_000
Body = dict[str, Any]


@dataclass
class Answer:
    """What the server says to one request."""

    content: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    delay_s: float = 0.0
    first_tokens: dict[str, float] | None = None
    """Probabilities of the first token, told as `logprobs`."""
    raw: str | None = None
    """Sent as it is in place of a chat completion."""


def _logprobs(first_tokens: dict[str, float] | None) -> dict[str, Any] | None:
    """As OpenAI and vLLM tell them: the token written, and the likeliest in its place."""
    if first_tokens is None:
        return None
    told = [{"token": token, "logprob": math.log(chance)} for token, chance in first_tokens.items()]
    return {"content": [{**told[0], "top_logprobs": told}]}


Script = Callable[[Body, int], Answer]
"""(request body, how many times this very request came before) -> what to say."""


def passage_of(body: Body) -> str:
    """The text between the two marks of the built-in prompt."""
    found = re.search(r"<(document-\w+)>\n(.*?)\n</\1>", body["messages"][1]["content"], re.DOTALL)
    assert found is not None
    return found.group(2)


def pairs(*rows: tuple[str, str, str]) -> str:
    return json.dumps(
        {"pairs": [dict(zip(("question", "answer", "evidence"), row, strict=True)) for row in rows]}
    )


def one_pair(body: Body, before: int) -> Answer:
    """A question about the first sentence of the passage, which starts with a name: `Tank 7 holds 14 litres.`"""
    first = passage_of(body).split(". ")[0].rstrip(".") + "."
    name = " ".join(first.split()[:2])
    return Answer(pairs((f"How much does {name} hold?", first, first)))


@dataclass
class StubServer:
    script: Script = one_pair
    delay_s: float = 0.0
    jitter_s: float = 0.0
    most_at_once: int = 10_000
    """More requests than this in flight get a 429."""
    requests: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    models: list[str] = field(default_factory=lambda: ["stub"])
    refusals: int = 0
    in_flight: int = 0
    peak: int = 0

    def __enter__(self) -> StubServer:
        self._seen: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._list)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": model} for model in self.models]})

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = json.dumps(body, sort_keys=True)
        before = self._seen.get(key, 0)
        self._seen[key] = before + 1
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        if len(self.requests) > MOST_REQUESTS:
            return web.Response(status=503, text="the stub is full")
        if self.in_flight >= self.most_at_once:
            self.refusals += 1
            return web.Response(status=429, text="too many at once")
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            answer = self.script(body, before)
            await asyncio.sleep(self.delay_s + answer.delay_s + random.uniform(0, self.jitter_s))
        finally:
            self.in_flight -= 1
        if answer.raw is not None or answer.status != 200:
            text = (
                answer.raw
                if answer.raw is not None
                else json.dumps({"error": {"message": answer.content or "no"}})
            )
            return web.Response(status=answer.status, text=text, headers=answer.headers)
        choice = {
            "message": {"role": "assistant", "content": answer.content},
            "finish_reason": answer.finish_reason,
            "logprobs": _logprobs(answer.first_tokens),
        }
        usage = {"prompt_tokens": 100, "completion_tokens": 20}
        return web.json_response({"choices": [choice], "usage": usage}, headers=answer.headers)
