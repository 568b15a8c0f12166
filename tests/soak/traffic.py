"""
Clients, in a process of their own: mixed traffic until the time is over, then what came of it, as JSON.

    python tests/soak/traffic.py PORT --seconds N --clients N --seed N --rate N --report FILE

Each client has one session at a time and asks one thing after the other. Chance is seeded: the same mix every time.
"""

import argparse
import asyncio
import gzip
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from attrs import define, field, frozen
from rawclient import connected, request

from soak.formats import FORMATS, asking
from soak.judging import NEW, OK, WRONG, Session, outcome
from soak.wishes import AMID, BEFORE, FOR_EVER, Wish

PROMPTS = (
    "Write a Python function that reverses a linked list.",
    "Analyze the trade-offs between SQL and NoSQL databases, step by step.",
    "Translate this sentence into French: the weather is nice today.",
    "Summarize the meeting notes in three sentences.",
)
"""One for each route: a session that is decided anew changes its model."""
SPELL_S = 0.02
EXAMPLES = 40
"""So many wrong outcomes are kept in full."""


@frozen
class Kind:
    """One kind of request, and how often it comes among the others."""

    name: str
    weight: float
    stream: bool = False
    size: int = 0
    pieces: int = 6
    pace_ms: int = 0
    coding: str | None = None
    fails: float = 0.0
    """The share whose provider fails."""


KINDS = (
    Kind("decision", 30),
    Kind("whole", 26, fails=0.12),
    Kind("stream", 20, stream=True, pieces=20, fails=0.12),
    Kind("paced stream", 5, stream=True, pieces=20, pace_ms=20, fails=0.12),
    Kind("aborted stream", 3, stream=True, pieces=60, pace_ms=5),
    Kind("aborted wait", 1, pieces=1),
    Kind("aborted upload", 2, size=100_000),
    Kind("slow reader", 1, stream=True, pieces=2500),
    Kind("100 KB", 3, size=100_000, fails=0.05),
    Kind("100 KB, streamed", 1, stream=True, size=100_000),
    Kind("2 MB", 0.5, size=2_000_000),
    Kind("gzip", 2, size=20_000, coding="gzip"),
    Kind("zstd", 1, size=20_000, coding="zstd"),
    Kind("bad request", 3),
)
BAD = (
    (request("POST", "/v1/chat/completions", "content-type: application/json", body=b'{"model": '), 400),
    (request("POST", "/v1/messages", "content-type: application/json", body=b"[]"), 400),
    (request("POST", "/routing/v1/responses", "x-session-id: a b", body=asking("responses", "x")), 400),
    (request("GET", "/nowhere"), 404),
    (request("DELETE", "/routing/v1/chat/completions"), 405),
    (b"NONSENSE\r\n\r\n", 400),
    (b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400),
    (b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
)
"""What is sent, and the status that refuses it."""


@define
class Tally:
    """What came of all requests so far."""

    outcomes: Counter = field(factory=Counter)
    changes: Counter = field(factory=Counter)
    wrong: list = field(factory=list)
    sessions: int = 0

    def count(self, kind, said, **more):
        self.outcomes[f"{kind}: {said}" if not said.startswith(WRONG) else WRONG] += 1
        if said.startswith(WRONG) and len(self.wrong) < EXAMPLES:
            self.wrong.append({"kind": kind, "said": said, "at": round(time.time(), 3), **more})


class Caller:
    """One client."""

    def __init__(self, number, port, tally, wanted):
        self.number, self.port, self.tally, self.wanted = number, port, tally, wanted
        self.chance = random.Random(f"{wanted.seed}-{number}")  # noqa: S311 - the same mix every time
        self.count = 0
        self.connection = None
        self.opened = None
        self.release = False
        self.began = 0.0

    async def go_on(self, until):
        every_s = self.wanted.clients / self.wanted.rate if self.wanted.rate else 0
        while time.monotonic() < until:
            session = Session(f"s{self.wanted.seed}-{self.number}-{self.count}")
            for _ in range(self.chance.randint(6, 20)):
                await self.once(session)
                if every_s:
                    await asyncio.sleep(self.chance.expovariate(1 / every_s))
                if time.monotonic() >= until:
                    break
            self.tally.sessions += 1
            self.tally.changes.update(session.changes)
        await self.hang_up()

    async def once(self, session):
        kind = self.chance.choices(KINDS, [each.weight for each in KINDS])[0]
        self.count += 1
        self.began = time.monotonic()
        if self.chance.random() < 0.1:
            await self.hang_up()
        reused = self.connection is not None
        try:
            async with asyncio.timeout(30):
                await self.ask(kind, session)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
            await self.hang_up()
            session.unseen()
            how = "on a kept connection" if reused else "on a new connection"
            self.tally.count(kind.name, f"{WRONG}: no answer ({type(exc).__name__} {exc}) {how}", session=session.id)

    async def ask(self, kind, session):
        if kind.name == "bad request":
            return await self.ask_badly(kind)
        form = self.chance.choice(FORMATS)
        wish = self.wish(kind, session)
        if kind.name == "decision":
            return await self.ask_to_decide(kind, session, form, wish)
        sent = self.sent(kind, session, form, wish, f"/v1/{form}")
        if kind.name.startswith("aborted") or kind.name == "slow reader":
            return await self.behave(kind, session, form, wish, sent)
        client = await self.client()
        await client.send(sent)
        return await self.took(kind, session, form, wish, await client.heard())

    def wish(self, kind, session):
        wish = Wish(f"{self.wanted.seed}-{self.number}-{self.count}", session.id, kind.pieces, kind.pace_ms)
        rest = {"id": wish.id, "session": wish.session, "pieces": wish.pieces, "pace_ms": wish.pace_ms}
        if kind.name == "aborted wait":
            return Wish(**rest, first_ms=1000)
        if self.chance.random() >= kind.fails:
            return Wish(**rest, first_ms=300 if self.chance.random() < SPELL_S else 0)
        fates = (*BEFORE, *AMID) if not self.wanted.brief else tuple(
            fate for fate in (*BEFORE, *AMID) if fate not in {"silent", "stalled"}
        )  # fmt: skip
        fate = self.chance.choice(fates)
        if fate in {"silent", "stalled"} and self.chance.random() < 0.8:
            fate = "500"
        times = 1 if fate in BEFORE and self.chance.random() < 0.7 else FOR_EVER
        return Wish(**rest, fate=fate, times=times)

    def sent(self, kind, session, form, wish, path):
        body = asking(form, f"{self.chance.choice(PROMPTS)} {wish.prompt}", stream=kind.stream, size=kind.size)
        headers = ["content-type: application/json", f"x-session-id: {session.id}"]
        if kind.coding is not None:
            headers.append(f"content-encoding: {kind.coding}")
            body = CODINGS[kind.coding](body)
        self.release = kind.name == "whole" and self.chance.random() < 0.02
        if self.release:
            headers.append("x-sidecar-pin: release")
        return request("POST", path, *headers, body=body)

    async def took(self, kind, session, form, wish, heard):
        said, _ = outcome(wish, form, stream=kind.stream, heard=heard)
        self.tally.count(
            kind.name,
            said,
            id=wish.id,
            session=session.id,
            headers=heard.headers,
            took_s=round(time.monotonic() - self.began, 3),
        )
        self.look(kind, session, heard.status, heard.one)
        if heard.ending != "whole" or heard.one("connection") == "close":
            await self.hang_up()

    def look(self, kind, session, status, one):
        """Whether the answer's headers are right about the session."""
        pin = (one("x-sidecar-pin") or "-").partition(";")[0]
        if status != 200:
            session.refused(status, pin)
            if self.release or one("x-sidecar-pin") is None or pin in {"moved", "released", "model_gone", *NEW}:
                session.unseen()
            return
        wrong = session.answered(one("x-sidecar-model"), pin, one("x-sidecar-failover"), release=self.release)
        if wrong:
            self.tally.count(kind.name, wrong, session=session.id, history=session.history)
            session.unseen()

    async def ask_to_decide(self, kind, session, form, wish):
        client = await self.client()
        await client.send(self.sent(kind, session, form, wish, f"/routing/v1/{form}"))
        heard = await client.heard()
        if heard.status != 200 or heard.json["session_id"] != session.id or heard.ending != "whole":
            self.tally.count(kind.name, f"{WRONG}: {heard.status} {heard.body[:200]!r}", id=wish.id)
        else:
            self.tally.count(kind.name, OK)
        self.look(kind, session, heard.status, heard.one)
        if heard.one("connection") == "close":
            await self.hang_up()

    async def ask_badly(self, kind):
        sent, status = self.chance.choice(BAD)
        async with connected(self.port) as client:
            await client.send(sent)
            heard = await client.heard()
        said = f"refused: {status}" if heard.status == status else f"{WRONG}: {heard.status} for {sent[:60]!r}"
        self.tally.count(kind.name, said)

    async def behave(self, kind, session, form, wish, sent):
        """As clients should not, on a connection that is not used again."""
        buffer = 4096 if kind.name == "slow reader" else None
        async with connected(self.port, receive_buffer_bytes=buffer) as client:
            if kind.name == "slow reader":
                await client.send(sent)
                await asyncio.sleep(self.chance.random())
                return await self.took(kind, session, form, wish, await client.heard())
            await self.abort(kind, session, client, sent)
        self.tally.count(kind.name, "gone")
        return None

    async def abort(self, kind, session, client, sent):
        if kind.name == "aborted upload":
            await client.send(sent[: len(sent) // 2])
            await asyncio.sleep(0.01)
        elif kind.name == "aborted wait":
            await client.send(sent)
            await asyncio.sleep(0.05)
            session.unseen()
        else:
            await client.send(sent)
            status, headers = await client.head()
            named = dict(headers)
            await client.chunk()
            self.look(kind, session, status, named.get)
        if self.chance.random() < 0.5:
            client.reset()

    async def client(self):
        """The connection that is kept, if it is still there."""
        if self.connection is not None and self.connection.reader.at_eof():
            await self.hang_up()
        if self.connection is None:
            self.opened = connected(self.port)
            self.connection = await self.opened.__aenter__()
        return self.connection

    async def hang_up(self):
        if self.connection is not None:
            self.connection = None
            await self.opened.__aexit__(None, None, None)


def _zstd(body):
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - where there is one
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd.compress(body)


CODINGS = {"gzip": gzip.compress, "zstd": _zstd}


async def main(wanted):
    tally = Tally()
    until = time.monotonic() + wanted.seconds
    callers = [Caller(number, wanted.port, tally, wanted) for number in range(wanted.clients)]
    began = time.monotonic()
    await asyncio.gather(*(caller.go_on(until) for caller in callers))
    said = {
        "seconds": time.monotonic() - began,
        "sessions": tally.sessions,
        "outcomes": dict(tally.outcomes.most_common()),
        "changes": dict(tally.changes),
        "wrong": tally.wrong,
    }
    return json.dumps(said, indent=1)


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="requests per second; 0: as fast as they are answered")
    parser.add_argument("--brief", action="store_true", help="without what takes seconds: silences")
    parser.add_argument("--report", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    asked = parsed()
    Path(asked.report).write_text(uvloop.run(main(asked)))
