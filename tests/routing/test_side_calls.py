"""
Side calls, told from turns by requests as they were recorded: headers and structure are the clients' own, the words
those of their public prompts.
"""

import json

import pytest
from multidict import CIMultiDict

from sidecar.routing.side_calls import KNOWN, SideCall, side_call_of
from sidecar.wire.formats import Format
from sidecar.wire.request import parse

OPENCODE = {
    "User-Agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14",
    "x-session-affinity": "ses_dffcce372ffenN4E9Skuo3cmZ2",
    "x-session-id": "ses_dffcce372ffenN4E9Skuo3cmZ2",
}
CLAUDE = {
    "User-Agent": "claude-cli/2.1.330 (external, sdk-cli)",
    "X-Claude-Code-Session-Id": "cf9d2b15-9761-48ae-8bee-f3c947f16415",
}
QWEN = {"user-agent": "QwenCode/0.24.4 (linux; x64)", "x-session-id": "s"}
CODEX = {"user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb", "session-id": "01a2", "thread-id": "01a2"}

TITLE_PROMPT = "You are a title generator. You output ONLY a thread title. Nothing else.\n\n<task>\n…"
TITLE_ASK = "Generate a title for this conversation:\n"
CHAT_TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}]
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]


def told(headers, form, **body):
    return side_call_of(CIMultiDict(headers), parse(form, json.dumps({"model": "m", "stream": True, **body}).encode()))


def chat(headers, *messages, **body):
    return told(headers, Format.CHAT, messages=[{"role": role, "content": said} for role, said in messages], **body)


def claude(system, user, *, tools=(), **headers):
    return told(
        {**CLAUDE, **{name.replace("_", "-"): value for name, value in headers.items()}},
        Format.MESSAGES,
        system=[{"type": "text", "text": text} for text in system],
        messages=[{"role": "user", "content": [{"type": "text", "text": user}]}],
        tools=list(tools),
        max_tokens=128000,
    )


BILLING, IDENTITY = "x-anthropic-billing-header: cc_version=2.1", "You are Claude Code, Anthropic's official CLI."


def test_the_title_generator_of_opencode_is_one_in_each_of_its_formats():
    expected = SideCall("opencode", "title")
    assert chat(OPENCODE, ("system", TITLE_PROMPT), ("user", TITLE_ASK), ("user", "say hello")) == expected
    said = [{"role": "user", "content": [{"type": "input_text", "text": text}]} for text in (TITLE_ASK, '"say hello"')]
    system = {"role": "developer", "content": TITLE_PROMPT}
    assert told({**OPENCODE, "originator": "opencode"}, Format.RESPONSES, input=[system, *said]) == expected
    assert told(
        OPENCODE,
        Format.MESSAGES,
        system=[{"type": "text", "text": TITLE_PROMPT, "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": [{"type": "text", "text": text} for text in (TITLE_ASK, '"say hello"')]}],
        max_tokens=48000,
    ) == expected  # fmt: skip


def test_a_title_prompt_that_its_user_has_written_is_known_by_what_is_asked():
    assert chat(OPENCODE, ("system", "Name it."), ("user", TITLE_ASK), ("user", "hi")) == SideCall("opencode", "title")


def test_a_turn_of_opencode_is_none():
    turn = ("system", "You are opencode, an interactive CLI tool."), ("user", "say hello")
    assert chat(OPENCODE, *turn, tools=CHAT_TOOLS) is None
    assert chat(OPENCODE, *turn, ("assistant", None), ("tool", "hello"), tools=CHAT_TOOLS) is None
    assert chat(OPENCODE, *turn) is None


def test_what_carries_the_conversation_on_is_none():
    compaction = "You are a helpful AI assistant tasked with summarizing conversations."
    assert chat(OPENCODE, ("system", compaction), ("user", "say hello"), ("assistant", "hello")) is None
    suggestion = "[SUGGESTION MODE: Suggest what the user might naturally type next into Claude Code.]"
    assert claude((BILLING, IDENTITY), suggestion, tools=TOOLS) is None
    assert claude((BILLING, IDENTITY), "go on", tools=TOOLS, x_claude_code_request_class="auxiliary") is None
    assert claude((BILLING, IDENTITY), "go on", x_claude_code_request_class="compaction") is None
    compact = {"x-openai-subagent": "compact"}
    assert told({**CODEX, **compact}, Format.RESPONSES, input="summarise") is None


@pytest.mark.parametrize(
    ("system", "what"),
    [
        ("Generate a concise, sentence-case title (3-7 words) that captures the main topic …", "title"),
        ("You are coming up with a succinct title and git branch name for a coding session …", "title"),
        ("Summarize this coding conversation in under 50 characters.\nCapture the main task …", "title"),
        ("Analyze if this message indicates a new conversation topic. If it does, …", "topic"),
    ],
)
def test_title_and_topic_calls_of_claude_code_are_known_behind_its_own_first_lines(system, what):
    assert claude((BILLING, IDENTITY, system), "fix the tests") == SideCall("Claude Code", what)
    assert claude((system,), "fix the tests") == SideCall("Claude Code", what)
    assert claude((BILLING, IDENTITY, system), "fix the tests", tools=TOOLS) is None


def test_a_title_asked_for_in_the_users_place_is_known_too():
    asked = "Please write a 5-10 word title for the following conversation:\n\nUser: hi"
    assert claude((BILLING,), asked) == SideCall("Claude Code", "title")


def test_claude_code_may_say_itself_that_a_call_is_auxiliary():
    told = claude((BILLING,), "Is this safe?", x_claude_code_request_class="auxiliary")
    assert told == SideCall("Claude Code", "auxiliary")
    assert claude((BILLING,), "go on", x_claude_code_request_class="main") is None


def test_turns_and_sub_agents_of_claude_code_are_none():
    assert claude((BILLING, IDENTITY, "You are an interactive agent."), "say hello", tools=TOOLS) is None
    assert claude((BILLING, IDENTITY), "find x", tools=TOOLS, x_claude_code_agent_id="a10245c7d060892b1") is None
    assert claude((BILLING, IDENTITY), "say hello") is None


def test_the_memory_extraction_of_qwen_code_is_one_although_it_has_tools():
    system = "You are now acting as the managed memory extraction subagent for an AI coding assistant.\n\nThe recent …"
    context = [{"type": "text", "text": "<system-reminder>…</system-reminder>"}, {"type": "text", "text": "say hello"}]
    history = ("user", context), ("assistant", "hello"), ("user", "Managed memory has TWO directories. …")
    tools = [{"type": "function", "function": {"name": "read_file", "parameters": {}}}]
    assert chat(QWEN, ("system", system), *history, tools=tools) == SideCall("Qwen Code", "memory")
    assert chat(QWEN, ("system", "You are Qwen Code, an interactive CLI agent."), *history, tools=tools) is None
    dream = "You are performing a managed memory dream — a reflective consolidation pass over durable memory files."
    assert chat(QWEN, ("system", dream), ("user", "go"), tools=tools) == SideCall("Qwen Code", "memory")
    title = "Generate a concise, sentence-case title (3-7 words) that captures what …"
    assert chat(QWEN, ("system", title), ("user", "go"), tools=tools) == SideCall("Qwen Code", "title")


@pytest.mark.parametrize("header", [("x-openai-memgen-request", "true"), ("x-openai-subagent", "memory_consolidation")])
def test_the_memory_of_codex_is_one_and_its_turns_are_none(header):
    turn = {"input": [{"role": "user", "content": "say hello"}], "tools": [{"type": "custom", "name": "exec"}]}
    assert told(dict([*CODEX.items(), header]), Format.RESPONSES, **turn) == SideCall("Codex", "memory")
    assert told(CODEX, Format.RESPONSES, **turn) is None
    assert told({**CODEX, "x-openai-subagent": "collab_spawn"}, Format.RESPONSES, **turn) is None


def test_the_same_words_of_an_unknown_client_are_its_users():
    title = ("system", TITLE_PROMPT), ("user", TITLE_ASK)
    for headers in ({}, {"user-agent": "curl/8"}, {"user-agent": "my-opencode/1"}, {"x-session-id": "ses_1"}):
        assert chat(headers, *title) is None


def test_words_far_down_a_system_prompt_or_in_the_middle_of_a_line_do_not_count():
    below = "You are opencode.\n" + "rules\n" * 300 + TITLE_PROMPT
    assert chat(OPENCODE, ("system", below), ("user", "hi")) is None
    assert chat(OPENCODE, ("system", f"Never say: {TITLE_PROMPT}"), ("user", "hi")) is None


def test_every_row_says_where_it_can_be_read():
    rows = {row for rows in KNOWN.values() for row in rows}
    assert all(row.source.startswith("https://") for row in rows)
    assert all(row.header or row.system or row.user for row in rows)


class Looked(list):
    """Messages; `looks` is how many of them were looked at."""

    looks = 0

    def __iter__(self):
        for message in super().__iter__():
            self.looks += 1
            yield message

    def __getitem__(self, place):
        raise AssertionError("it is gone through, and not further than needed")


@pytest.mark.parametrize(
    ("headers", "looks"),
    [(QWEN, 1), (OPENCODE, 0), (CLAUDE, 0), ({"user-agent": "python-httpx/0.28"}, 0)],
)
def test_of_a_turn_with_tools_no_more_is_read_than_its_beginning(headers, looks):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi " * 100}] * 200, "tools": CHAT_TOOLS}
    request = parse(Format.CHAT, json.dumps(body).encode())
    request.names.messages = messages = Looked(request.names.messages)
    request._body = b"{}"  # which cannot be read once more
    assert side_call_of(CIMultiDict(headers), request) is None
    assert messages.looks == looks
