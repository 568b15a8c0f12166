"""
The text that is judged: a pure function of the conversation.

The rule, in order:

1. A harness wraps what its user typed. Envelopes it adds (`<system-reminder>…</system-reminder>` and the others of
   `ENVELOPES`) go, with all they hold; wrappers around the user's own words (`<task>…</task>` and the others of
   `WRAPPERS`) go too, and what they hold stays. A user turn that only reports a tool's result ("[read_file …] Result:")
   or that opens a session ("This is the Qwen Code. …") is no one's wish and does not count.
2. `latest` is the last user turn that still says something. Without one: the last turn of an assistant or a tool, else
   the last system turn, else nothing.
3. `earlier` is what user and assistant said before it, oldest first: the last `EARLIER_TURNS` turns that say something.
   Enough to resolve "now do the same for …".
4. A text over its bound keeps its head and its tail, where a prompt says what it wants, and loses its middle.

The bound comes first: only a window at either end of a text is ever searched, so that a megabyte costs what a page
costs. Every pattern is linear; an envelope that the window cuts goes as if it were whole.
"""

import re
from collections.abc import Iterator

from attrs import frozen

from sidecar.wire.conversation import Conversation, Role, Turn

LATEST_HEAD, LATEST_TAIL = 4000, 2000
"""Characters kept of the latest intent: about 1,500 tokens."""
EARLIER_HEAD, EARLIER_TAIL = 700, 300
EARLIER_TURNS = 8
GAP = "\n…\n"
"""Stands where a text lost its middle."""

_WINDOW = 2
"""So many times the bound is searched for envelopes at either end, before the text is cut to the bound."""
_MOST_ENVELOPES = 64
"""Envelopes peeled off one end of a text; real harnesses add fewer than ten."""

ENVELOPES = (
    # Claude Code
    "system-reminder|command-name|command-message|local-command-caveat|local-command-stdout|local-command-stderr"
    "|bash-stdout|bash-stderr|ide_opened_file|ide_selection|ide_diagnostics|task-notification|new-diagnostics"
    # Codex
    "|environment_context|user_instructions|INSTRUCTIONS|permissions instructions|collaboration_mode|skills_instructions"
    "|turn_aborted|user_shell_command|apps_instructions|subagent_notification"
    # Cline, Roo, Kilo
    "|environment_details|explicit_instructions|task_progress|hook_context"
    # opencode, Qwen Code, Gemini CLI
    "|session_context|loaded_context|state_snapshot"
    # Cursor, Copilot
    "|additional_data|system_reminder|user_info|project_layout|open_and_recently_viewed_files|environment_info"
    "|workspace_info|editorContext|reminderInstructions|customInstructions"
)
WRAPPERS = (
    "task|user_message|user_query|userRequest|user_request|feedback|answer|command-args|user-prompt-submit-hook|prompt"
)

_OPENING = re.compile(rf"<({ENVELOPES})(?:\s[^<>]{{0,200}})?>")
_CLOSING = re.compile(rf"</({ENVELOPES})>")
_LAST_CLOSING = re.compile(rf"</({ENVELOPES})>\Z")
_WRAPPER = re.compile(rf"</?(?:{WRAPPERS})>")
_NOT_A_WISH = re.compile(
    r"\[[^\]\n]{1,200}\] Result:|\[ERROR\] You did not use a tool|This is the (?:Qwen Code|Gemini CLI)\."
)
_HEADING = re.compile(r"# AGENTS\.md instructions for [^\n]{0,400}\n\s*\Z")
"""What Codex puts before its envelope; alone it says nothing."""


@frozen
class Intent:
    """What a classifier reads of a conversation: bounded in length, free of a harness's envelopes."""

    latest: str
    """The latest thing the user asked for."""
    earlier: tuple[Turn, ...] = ()
    """Turns before it, oldest first: enough to resolve "now do the same for …"."""


def intent_of(conversation: Conversation) -> Intent:
    """What the conversation asks for now; `Intent("")` when it says nothing at all."""
    at, latest = _latest(conversation)
    return Intent(latest, _earlier(conversation[:at]))


def _latest(conversation: Conversation) -> tuple[int, str]:
    for roles in ((Role.USER,), (Role.ASSISTANT, Role.TOOL), (Role.SYSTEM,)):
        for at in range(len(conversation) - 1, -1, -1):
            turn = conversation[at]
            if turn.role in roles and (text := wish(turn.text, LATEST_HEAD, LATEST_TAIL)):
                return at, text
    return 0, ""


def _earlier(conversation: Conversation) -> tuple[Turn, ...]:
    found: list[Turn] = []
    for turn in reversed(conversation):
        if turn.role in (Role.USER, Role.ASSISTANT) and (text := wish(turn.text, EARLIER_HEAD, EARLIER_TAIL)):
            found.append(Turn(turn.role, text))
            if len(found) == EARLIER_TURNS:
                break
    return tuple(reversed(found))


def wish(text: str, head: int, tail: int) -> str:
    """`text` without envelopes, at most `head` + `tail` characters and the gap between; "" when nothing is left."""
    start, end = _peeled(text)
    if end - start <= _WINDOW * (head + tail):
        text = _cut(_unwrapped(text[start:end]), head, tail)
    else:
        first = _unwrapped(text[start : start + _WINDOW * head], cut_after=True)
        last = _unwrapped(text[end - _WINDOW * tail : end], cut_before=True)
        text = first[:head].rstrip() + GAP + last[-tail:].lstrip()
    return "" if _NOT_A_WISH.match(text) else text


def _cut(text: str, head: int, tail: int) -> str:
    if len(text) <= head + tail:
        return text
    return text[:head].rstrip() + GAP + text[-tail:].lstrip()


def _peeled(text: str) -> tuple[int, int]:
    """Where `text` begins and ends without the envelopes at its ends, each found by one search for its other tag."""
    start, end = 0, len(text)
    for _ in range(_MOST_ENVELOPES):
        start = _blank_from(text, start)
        opening = _OPENING.match(text, start)
        if not opening or (closing := text.find(f"</{opening[1]}>", opening.end())) < 0:
            break
        start = closing + len(opening[1]) + 3
    for _ in range(_MOST_ENVELOPES):
        end = _blank_to(text, start, end)
        closing_tag = _LAST_CLOSING.match(text, max(start, text.rfind("<", max(start, end - 40), end)), end)
        if not closing_tag or (opening_at := text.rfind(f"<{closing_tag[1]}", start, closing_tag.start())) < 0:
            break
        end = opening_at
    return start, end


_STEP = 4096


def _blank_from(text: str, start: int) -> int:
    """The first character at or after `start` that is not blank; looked for a page at a time, never copying the rest."""
    while start < len(text):
        page = text[start : start + _STEP]
        if rest := page.lstrip():
            return start + len(page) - len(rest)
        start += _STEP
    return len(text)


def _blank_to(text: str, start: int, end: int) -> int:
    while end > start:
        page = text[max(start, end - _STEP) : end]
        if rest := page.rstrip():
            return end - len(page) + len(rest)
        end = max(start, end - _STEP)
    return start


def _unwrapped(text: str, *, cut_before: bool = False, cut_after: bool = False) -> str:
    """`text` without envelopes and without the tags of wrappers."""
    kept: list[str] = []
    at = 0
    for start, end in _envelopes(text, cut_before=cut_before, cut_after=cut_after):
        kept.append(_HEADING.sub("", text[at:start]))
        at = end
    kept.append(text[at:])
    return _WRAPPER.sub("", "".join(kept)).strip()


def _envelopes(text: str, *, cut_before: bool, cut_after: bool) -> Iterator[tuple[int, int]]:
    """
    Where envelopes begin and end. One that never closes is the user's own writing, unless the text was cut there;
    so is a closing tag that nothing opened.
    """
    at = 0
    opening = _OPENING.search(text)
    if cut_before and (closing := _CLOSING.search(text)) and not (opening and opening.start() < closing.start()):
        at = closing.end()
        yield 0, at
    while opening := _OPENING.search(text, at):
        tag = f"</{opening[1]}>"
        found = text.find(tag, opening.end())
        if found < 0 and not cut_after:
            return
        at = len(text) if found < 0 else found + len(tag)
        yield opening.start(), at
