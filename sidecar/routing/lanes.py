"""
Lanes: what inside one session keeps a model of its own (`routing.lanes`).

    single     nothing: one session, one model
    by_model   each model that requests name; an alias and what it stands for are one. Requests that name none, or one
               that nobody here offers, such as `auto`, share a lane: they have made no choice
    by_agent   each sub-agent that names itself, by the headers in AGENTS

A lane is a part of the session's key: its pin is made, moved, released and forgotten by itself, and no lane can see
another's. The one exception is wanted: with `inherit`, a sub-agent's first request takes over the pin of whoever
started it, if that one has a pin. opencode's sub-agents have sessions of their own and name their parent's; they
inherit the same way.

Whoever started a sub-agent sends nothing while it works. With `by_agent`, and for opencode's with `single` too, the pins
of those who wait are kept warm by its requests (see warm.py), whether it inherits or not.
"""

from collections.abc import Callable, Mapping

from attrs import frozen
from msgspec import Struct

from sidecar.config.models import LaneMode
from sidecar.config.models import Lanes as Settings
from sidecar.routing.session import SessionKey, is_session_id

PARENT_SESSION = "x-parent-session-id"
"""opencode, on requests of a sub-agent:
https://github.com/anomalyco/opencode/blob/dev/packages/opencode/src/session/llm.ts"""


@frozen
class Agents:
    """The headers by which the sub-agents of one client name themselves."""

    agent: str
    parent: str
    """Names the sub-agent that started this one; missing when the main agent did."""
    main: str | None = None
    """Names the main agent, where `agent` and `parent` may name that one too."""


AGENTS = (
    # Claude Code, Claude Agent SDK: https://code.claude.com/docs/en/llm-gateway-protocol
    Agents("x-claude-code-agent-id", "x-claude-code-parent-agent-id"),
    # Codex, whose sub-agents share the session id and have threads of their own:
    # https://github.com/openai/codex/blob/main/codex-rs/core/src/responses_metadata.rs
    Agents("thread-id", "x-codex-parent-thread-id", main="session-id"),
)


class Laned(Struct, frozen=True):
    """A request's place: its session with the lane in it, the one whose pin it may begin with, and those who wait."""

    session: SessionKey
    parent: SessionKey | None = None
    waiting: tuple[SessionKey, ...] = ()


class Lanes:
    """Finds the lane of a request. `resolve`: a model's name -> its id, or None when nobody offers it."""

    def __init__(self, settings: Settings, resolve: Callable[[str], str | None]) -> None:
        self._single, self._by_name = settings.mode is LaneMode.SINGLE, settings.mode is LaneMode.BY_MODEL
        self._inherit = settings.inherit
        self._resolve = resolve

    def of(self, session: SessionKey, headers: Mapping[str, str], requested: str | None) -> Laned:
        """`headers` looks names up whatever their case; `requested`: the model, as the client wrote it."""
        if self._single:
            started_by = _parent_session(session, headers)
            return Laned(session) if started_by is None else Laned(session, waiting=(started_by,))
        if self._by_name:
            return Laned(self._by_model(session, requested))
        laned = _by_agent(session, headers)
        return laned if self._inherit else Laned(laned.session, None, laned.waiting)

    def _by_model(self, session: SessionKey, requested: str | None) -> SessionKey:
        model = None if requested is None else self._resolve(requested)
        # What a wildcard covers may hold any character; a lane, like an id, is something a person can type.
        return session if model is None or not is_session_id(model) else session.in_lane(model)


def _by_agent(session: SessionKey, headers: Mapping[str, str]) -> Laned:
    if (started_by := _parent_session(session, headers)) is not None:
        return Laned(session, started_by, (started_by,))
    for agents in AGENTS:
        agent = _name(headers, agents.agent)
        main = None if agents.main is None else _name(headers, agents.main)
        if agent is None or agent == main or (agents.main is not None and main is None):
            continue
        parent = _name(headers, agents.parent)
        if parent is None or parent == main:
            return Laned(session.in_lane(agent), session, (session,))
        started_by = session.in_lane(parent)
        return Laned(session.in_lane(agent), started_by, (started_by, session))
    return Laned(session)


def _parent_session(session: SessionKey, headers: Mapping[str, str]) -> SessionKey | None:
    parent = headers.get(PARENT_SESSION)
    if parent is None or parent == session.session_id or not is_session_id(parent):
        return None
    return SessionKey(parent, session.tenant, session.lane, session.source, session.drifted)


def _name(headers: Mapping[str, str], header: str) -> str | None:
    value = headers.get(header)
    return value if value is not None and is_session_id(value) else None
