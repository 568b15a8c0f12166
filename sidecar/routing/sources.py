"""
What clients send that names a session, unasked: one table, in the order in which it is asked.

Each row has the client, the shape of the value, and how the session is read from it. `routing.session_sources` lists the
rows that count, in its own order: a header by its name, a field of the body by its path, `body:metadata.user_id`. It may
also list headers that are not here, and other fields below `metadata` and `client_metadata`.

What is not here, and is refused in that list:
    `user`, `safety_identifier`         whose words they are, not which conversation; LiteLLM's `metadata.user_id` too,
                                        which is why that one counts only in the two forms that hold a session
    x-request-id, idempotency-key       one request each, or one attempt: x-stainless-*
    device and installation ids         a machine
    authorization and other keys        a secret, which would become part of a stored key
What is not here, for another reason:
    previous_response_id                names a response, another one each turn. To follow the chain, every response's id
                                        would have to be kept with its session; `conversation` names the whole of it
    x-client-request-id, x-codex-turn-metadata, x-codex-window-id
                                        Codex, each beside `session-id`, which says the same in one word
    x-parent-session-id                 another session's name
    x-openwebui-chat-id                 Open WebUI, where it is told to: its titles and tags come under it as well
"""

import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from sidecar.routing.session import BODY, Source, is_session_id, plain

LONGEST_TEXT = 4096
"""A longer text in a body is no name."""

_BEFORE_2_1_78 = re.compile(r"user_[0-9A-Za-z]+_account_[0-9A-Za-z-]*_session_([0-9A-Za-z-]+)")


def text(value: object) -> str | None:
    """
    The value itself where it is a session id, else a hash of it: who calls an SDK writes what he likes into a body,
    `support chat 7` say, and it names his conversation all the same.
    """
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.strip():
        return None
    return value if is_session_id(value) else f"sha256:{sha256(value.encode()).hexdigest()[:32]}"


def conversation(value: object) -> str | None:
    """`"conv_1"` or `{"id": "conv_1"}`: https://platform.openai.com/docs/api-reference/responses/create"""
    return plain(value.get("id") if isinstance(value, dict) else value)


def claude_user_id(value: object) -> str | None:
    """
    Claude Code writes its session into the id of its user:
        2.1.78 and later    `{"device_id":"…","account_uuid":"…","session_id":"…"}`, JSON in a string
        before              `user_<hash>_account_<uuid or nothing>_session_<uuid>`
    https://github.com/ding113/claude-code-hub/pull/939. Anything else is a user and no session.
    """
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return None
    if (old := _BEFORE_2_1_78.fullmatch(value)) is not None:
        return plain(old[1])
    if not value.startswith("{"):
        return None
    try:
        told = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return plain(told.get("session_id")) if isinstance(told, dict) else None


TABLE = (
    # Headers first: they are at hand, and none of them says less than the body beside it.
    Source(
        "x-claude-code-session-id", "Claude Code 2.1, Claude Agent SDK", "UUID; the same over --resume and sub-agents"
    ),
    Source(
        "session-id", "Codex 0.169, opencode 1.18 with its openai provider", "UUIDv7, or ses_…; the same over resume"
    ),
    Source("thread-id", "Codex 0.169", "UUIDv7, beside an equal session-id"),
    Source("x-session-affinity", "opencode 1.18", "ses_…, beside an equal x-session-id"),
    Source("x-grok-conv-id", "SDKs for xAI", "free; https://docs.x.ai/developers/advanced-api-usage/prompt-caching"),
    # The surest first: a cache key may be that of a whole application, so it comes last.
    Source("body:client_metadata.session_id", "Codex 0.169", "UUIDv7", text),
    Source("body:client_metadata.thread_id", "Codex 0.169", "UUIDv7", text),
    Source("body:metadata.session_id", "SDK users, by convention", "free text", text),
    Source("body:metadata.user_id", "Claude Code, Claude Agent SDK", "JSON or underscores in a string", claude_user_id),
    Source("body:session_id", "SDKs for OpenRouter", "free text; https://openrouter.ai/docs/api/api-reference", text),
    Source("body:conversation", "OpenAI SDKs, Responses", "a string, or an object with an id", conversation),
    Source("body:prompt_cache_key", "Codex, opencode, OpenAI SDKs", "free text; a UUIDv7, ses_… there", text),
)

_BY_NAME = {source.name: source for source in TABLE}


def sources(names: Sequence[str] | None) -> tuple[Source, ...]:
    """The sources that count, in order: those `names` lists, or the whole table."""
    return TABLE if names is None else tuple(map(_source, names))


def _source(name: str) -> Source:
    if name.startswith(BODY):
        return _BY_NAME.get(name) or Source(name, read=text)
    return _BY_NAME.get(name.lower()) or Source(name.lower())
