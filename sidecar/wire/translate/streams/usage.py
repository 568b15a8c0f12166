"""
What an answer cost, in tokens, read from each format and written in each.

    chat       {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details": {"cached_tokens",
                "cache_write_tokens"}, "completion_tokens_details": {"reasoning_tokens"}}
    messages   {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens",
                "output_tokens_details": {"thinking_tokens"}}
    responses  {"input_tokens", "input_tokens_details": {"cached_tokens", "cache_write_tokens"}, "output_tokens",
                "output_tokens_details": {"reasoning_tokens"}, "total_tokens"}

OpenAI's input includes what came from the cache, Anthropic's `input_tokens` does not; ours includes it. DeepSeek names
its cached tokens `prompt_cache_hit_tokens`, Moonshot `cached_tokens`, both at the top level.

https://platform.openai.com/docs/api-reference/chat/object, https://docs.anthropic.com/en/api/messages,
https://platform.openai.com/docs/api-reference/responses/object
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from sidecar.wire.formats import Format
from sidecar.wire.translate.neutral import Usage

NOTHING = Raw(b"null")
MOST_TOKENS = 10**12
"""No answer ever cost so many; a provider may claim any number, and of a larger one nothing is believed."""
Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]


class _InputDetails(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: Count | None = None
    thinking_tokens: Count | None = None


class Counts(Struct, gc=False):
    """All the names at once: no two formats use one name for two things."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    cached_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None


_decoder = msgspec.json.Decoder(Counts, strict=False)
_NO_OUTPUT_DETAILS, _NO_USAGE = _OutputDetails(), Usage()


def read_usage(form: Format, raw: Raw, before: Usage | None) -> Usage | None:
    """
    The usage in `raw`, a JSON value; `before`, the one known so far, when it holds none. Never raises: what an answer
    cost is never worth the answer.
    """
    counts = counts_in(raw)
    return before if counts is None else usage_of(form, counts, before)


def counts_in(raw: Raw) -> Counts | None:
    """What `raw`, a JSON value, counts; None when it holds no counts, or such as cannot be."""
    if raw == NOTHING:
        return None
    try:
        return _decoder.decode(raw)
    except (ValueError, RecursionError):
        return None


def usage_of(form: Format, counts: Counts, before: Usage | None) -> Usage | None:
    """The usage in `counts`; `before`, the one known so far, when they hold none."""
    if form is Format.CHAT:
        asked, said = counts.prompt_tokens, counts.completion_tokens
    elif form is Format.MESSAGES:
        return _from_messages(counts, before or _NO_USAGE)
    else:
        asked, said = counts.input_tokens, counts.output_tokens
    if asked is None and said is None:
        return before
    cached, written, reasoning = counts.prompt_cache_hit_tokens or counts.cached_tokens, None, None
    if (inside := counts.prompt_tokens_details or counts.input_tokens_details) is not None:
        cached, written = inside.cached_tokens or cached, inside.cache_write_tokens
    if (outside := counts.completion_tokens_details or counts.output_tokens_details) is not None:
        reasoning = outside.reasoning_tokens
    return Usage(asked or 0, said or 0, cached or 0, written or 0, reasoning or 0)


def _from_messages(counts: Counts, before: Usage) -> Usage:
    """The counts are cumulative, and what is left out stays as it was."""
    read = _or(counts.cache_read_input_tokens, before.cache_read)
    created = _or(counts.cache_creation_input_tokens, before.cache_write)
    uncached = _or(counts.input_tokens, _uncached(before))
    details = counts.output_tokens_details or _NO_OUTPUT_DETAILS
    reasoning = _or(details.thinking_tokens, before.reasoning)
    return Usage(uncached + read + created, _or(counts.output_tokens, before.output), read, created, reasoning)


def _or(count: int | None, before: int) -> int:
    return before if count is None else count


def _uncached(usage: Usage) -> int:
    """Anthropic's `input_tokens`."""
    return max(0, usage.input - usage.cache_read - usage.cache_write)


def chat_usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def messages_usage(usage: Usage) -> dict[str, object]:
    found: dict[str, object] = {
        "input_tokens": _uncached(usage),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    return {**found, "output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else found


def responses_usage(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
