"""Requests as fast as they are answered, by wrk (Debian: apt-get install wrk), on the core of whoever calls this."""

import json
import subprocess

from attrs import frozen

LUA = """
local file = io.open({body}, "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
{headers}
{sessions}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("%d %d %d %d %d\\n", summary.requests, e.connect + e.read + e.write + e.status + e.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""
SESSIONS = """
local before, after
init = function()
  wrk.headers["X-Session-Id"] = "@@"
  local whole = wrk.format()
  local at = whole:find("@@", 1, true)
  before, after = whole:sub(1, at - 1), whole:sub(at + 2)
end
request = function() return before .. string.format("s%07d", math.random(0, {count} - 1)) .. after end
"""


@frozen
class Answered:
    """`p50_us` and `p99_us`: microseconds from a request's first byte sent to its answer's last received."""

    requests: int
    failed: int
    wall_s: float
    p50_us: float
    p99_us: float


def ask(asked, folder, *, connections, seconds):
    """`asked`: a candidates.Ask. `seconds`: whole ones."""
    lua, body = folder / "ask.lua", folder / "ask.body"
    body.write_bytes(asked.body)
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in asked.headers.items()
    )
    sessions = SESSIONS.format(count=asked.sessions) if asked.sessions else ""
    lua.write_text(LUA.format(body=json.dumps(str(body)), headers=headers, sessions=sessions))
    url = f"http://127.0.0.1:{asked.port}{asked.path}"
    argv = ("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(lua), url)
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    requests, failed, wall_us, p50, p99 = map(int, said.splitlines()[-1].split())
    return Answered(requests, failed, wall_us / 1e6, p50, p99)
