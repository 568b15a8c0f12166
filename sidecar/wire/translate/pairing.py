"""
Every call answered, every answer called for, and side by side: the rule all providers have and no client always keeps.

An interrupted agent leaves calls without results, a trimmed history leaves results without calls; either is a 400.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator

from attrs import evolve

from sidecar.wire.translate.neutral import Call, Part, Result, Speaker, Text, Turn, joined

UNANSWERED = "No result: this call was never answered."


def paired(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """
    Each assistant turn with calls is followed at once by a user turn that begins with the results of just these, in
    their order.

    Ids are made unique. A call without a result gets one that says so, as an error; a result without a call becomes the user's text.
    """
    return tuple(_with_what_follows(_paired(_settle_orphans(grouped(turns)))))


def _with_what_follows(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Results and what the user says next are one turn of the user's."""
    held: Turn | None = None
    for turn in turns:
        if held is not None and turn.speaker is Speaker.USER:
            yield evolve(turn, parts=held.parts + turn.parts)
            held = None
            continue
        if held is not None:
            yield held
        held = turn if turn.parts and _only_results(turn) else None
        if held is None:
            yield turn
    if held is not None:
        yield held


def grouped(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Neighbouring assistant turns made one, and neighbouring results made one: parallel calls belong together."""
    out: list[Turn] = []
    for turn in turns:
        if out and _one(out[-1], turn):
            out[-1] = evolve(turn, parts=out[-1].parts + turn.parts)
        else:
            out.append(turn)
    return tuple(out)


def _one(first: Turn, second: Turn) -> bool:
    if first.speaker is not second.speaker:
        return False
    return first.speaker is Speaker.ASSISTANT or (_only_results(first) and _only_results(second))


def _only_results(turn: Turn) -> bool:
    return turn.speaker is Speaker.USER and all(isinstance(part, Result) for part in turn.parts)


def _settle_orphans(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    open_calls = Counter(part.id for turn in turns for part in turn.parts if isinstance(part, Call))

    def settled(part: Part) -> tuple[Part, ...]:
        if not isinstance(part, Result) or open_calls[part.call_id] > 0:
            if isinstance(part, Result):
                open_calls[part.call_id] -= 1
            return (part,)
        return Text(f"Result of an earlier tool call ({part.call_id}):"), *part.parts

    def settled_turn(turn: Turn) -> Turn:
        if not any(isinstance(part, Result) for part in turn.parts):
            return turn
        return evolve(turn, parts=tuple(new for part in turn.parts for new in settled(part)))

    return tuple(settled_turn(turn) for turn in turns)


def _paired(turns: tuple[Turn, ...]) -> Iterator[Turn]:
    results: dict[str, deque[Result]] = defaultdict(deque)
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, Result):
                results[part.call_id].append(part)
    seen = Counter[str]()
    for turn in turns:
        answers = [_answer(part, results[part.id]) for part in turn.parts if isinstance(part, Call)]
        rest = tuple(part for part in turn.parts if not isinstance(part, Result))
        fresh = tuple(_fresh(part, seen) for part in rest)
        if fresh == turn.parts:
            yield turn
        elif fresh:
            yield evolve(turn, parts=fresh)
        calls = [part for part in fresh if isinstance(part, Call)]
        if calls:
            yield Turn(Speaker.USER, tuple(evolve(a, call_id=call.id) for a, call in zip(answers, calls, strict=True)))


def _answer(call: Call, given: deque[Result]) -> Result:
    return given.popleft() if given else Result(call.id, (Text(UNANSWERED),), error=True)


def _fresh(part: Part, seen: Counter[str]) -> Part:
    """A call whose id an earlier one had, as with providers that count anew in each turn, gets one of its own."""
    if not isinstance(part, Call):
        return part
    seen[part.id] += 1
    return part if seen[part.id] == 1 else evolve(part, id=f"{part.id}_{seen[part.id]}")


def text_of(result: Result) -> str:
    """A result as text, for formats that cannot say it is an error."""
    text = joined(result.parts, "\n")
    told = not result.error or text.lower().startswith(("error", UNANSWERED[:9].lower()))
    return text if told else f"Error: {text}"
