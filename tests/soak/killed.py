"""Processes that lose their power: providers, Redis, the sidecar itself."""

import asyncio
import signal
import time
from contextlib import ExitStack

from . import places
from .judging import OK, WRONG
from .stage import CODE, REASONING, Seen, staged

AWAY_S = 0.3
SESSIONS = 20


async def provider_killed(folder, *, brief):
    """The first choice dies and comes back, again and again, while whole answers and streams are under way."""
    async with staged(folder) as stage:
        beta = places.Process([places.HERE / "provider.py", port := places.free_port()], folder / "beta.log")
        stage.stack.push_async_callback(beta.end)
        await beta.start("ready")
        stage.sidecar.write(places.config({**stage.ports, "anthropic/beta": port}, folder))
        assert (await stage.sidecar.ask("/reload", "POST"))[0] == 200
        found, over = [], asyncio.Event()
        asking = [asyncio.create_task(_keep_asking(stage, found, over, stream=n % 2)) for n in range(8)]
        for _ in range(2 if brief else 8):
            await asyncio.sleep(AWAY_S)
            await beta.end(signal.SIGKILL)
            await asyncio.sleep(AWAY_S)
            await beta.start("ready")
        over.set()
        await asyncio.gather(*asking)
        back_s = await _served_by(stage, "anthropic/beta")
    whole = [said for stream, said in found if not stream]
    streamed = [said for stream, said in found if stream]
    held = {
        "no whole answer fails: another model gives it": all(said.startswith(OK) for said in whole),
        "a stream is whole, or seen as cut": all(said.startswith(OK) or said == SEEN_AS_CUT for said in streamed),
        "it is asked again once it is back": back_s < 10,
    }
    facts = {
        "whole": len(whole),
        "streams": len(streamed),
        "cut": streamed.count(SEEN_AS_CUT),
        "back_s": round(back_s, 2),
    }
    return Seen(held, {**facts, "odd": [said for _, said in found if said.startswith(WRONG)][:3]})


SEEN_AS_CUT = "seen as cut"


async def _keep_asking(stage, found, over, *, stream):
    while not over.is_set():
        said, heard = await stage.call(stream=bool(stream), pieces=20, pace_ms=10 if stream else 0)
        if said.startswith(WRONG) and stream and heard.status == 200 and heard.ending != "whole":
            said = SEEN_AS_CUT
        found.append((stream, said))


async def _served_by(stage, model):
    began = time.monotonic()

    async def served():
        return (await stage.call())[1].one("x-sidecar-model") == model

    await places.until(served, model)
    return time.monotonic() - began


async def redis_killed(folder, *, brief):
    """Sessions keep their models while it is away and when it is back, and nobody waits for it."""
    with ExitStack() as stack:
        redis = places.redis(stack, folder)
        async with staged(folder, redis=redis.url) as stage:
            sessions = [f"kept-{n}" for n in range(SESSIONS)]
            models = await stage.models(sessions)
            same, slowest_s = True, 0.0
            for _ in range(1 if brief else 8):
                redis.kill()
                for again in (False, True):
                    if again:
                        await asyncio.to_thread(redis.start)
                    for session in sessions:
                        began = time.monotonic()
                        same = same and await stage.decide(session, REASONING) == (200, models[session])
                        slowest_s = max(slowest_s, time.monotonic() - began)

            async def well():
                return "redis" in (text := (await stage.sidecar.ask("/ready?verbose"))[1]) and "[-]" not in text

            await places.until(well, "Redis is used again")
            flaws = stage.sidecar.flaws()
    held = {
        "every decision is answered, with the session's model": same,
        "none waits a second": slowest_s < 1,
        "no traceback": not flaws,
    }
    return Seen(held, {"slowest_ms": round(slowest_s * 1000, 1)})


async def sidecar_killed(folder, *, brief):
    """With a snapshot, what is older than its interval is known to the next one."""
    cache = {"session_cache": {"snapshot": str(folder / "pins"), "snapshot_interval": "200ms"}}
    async with staged(folder, routing=cache) as stage:
        models, same, took = {}, True, []
        for turn in range(2 if brief else 10):
            models |= await stage.models([f"{turn}-{n}" for n in range(SESSIONS)], CODE if turn % 2 else REASONING)
            await asyncio.sleep(0.6)
            await stage.models([f"newest-{turn}-{n}" for n in range(SESSIONS)])  # may be lost, and must do no harm
            await stage.sidecar.process.end(signal.SIGKILL)
            began = time.monotonic()
            await stage.sidecar.start()
            took.append(time.monotonic() - began)
            other = REASONING if turn % 2 else CODE
            same = same and await stage.models(models, other) == models
        left = sorted(path.name for path in folder.glob("pins*"))
        flaws = stage.sidecar.flaws()
    held = {
        "sessions older than an interval keep their model": same,
        "nothing is left lying about": len(left) <= 2,
        "no traceback": not flaws,
    }
    return Seen(held, {"sessions": len(models), "slowest_start_s": round(max(took), 2), "files": left})
