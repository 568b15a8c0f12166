"""What a writer writes, the reader of its format reads again: any answer, through any chain of formats."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.translate.streams.recorded import IDS, translate

from sidecar.wire.formats import Format
from sidecar.wire.sse import EventParser
from sidecar.wire.translate import seals
from sidecar.wire.translate.neutral import Seal, Stop, Usage
from sidecar.wire.translate.streams.events import (
    PART_ENDED,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolArguments,
    ToolCallStarted,
)
from sidecar.wire.translate.streams.translator import READERS, _writer

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
PIECES = st.lists(WORDS, min_size=1, max_size=4)
COUNTS = st.integers(0, 10_000)


def part(delta):
    return PIECES.map(lambda pieces: [*map(delta, pieces), PART_ENDED])


def call(pieces):
    name, *arguments = pieces
    return [ToolCallStarted("", name), *map(ToolArguments, ['{"x":', *map(quoted, arguments), "0}"]), PART_ENDED]


def quoted(piece):
    return "[], " if "]" in piece else "  "


PARTS = st.lists(st.one_of(part(TextDelta), part(RefusalDelta), part(ThinkingDelta), PIECES.map(call)), max_size=6)
USAGE = st.builds(
    lambda read, write, rest, output, reasoning: Usage(read + write + rest, output + reasoning, read, write, reasoning),
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    st.integers(1, 100),
)


@st.composite
def answers(draw):
    """Neutral events of a whole answer. Calls have ids of their own, and their end says so."""
    parts = draw(PARTS)
    events = [Started()]
    for place, events_of_part in enumerate(parts):
        events += [
            ToolCallStarted(f"call_{place}", event.name) if isinstance(event, ToolCallStarted) else event
            for event in events_of_part
        ]
    called = any(isinstance(event, ToolCallStarted) for event in events)
    stop = draw(st.sampled_from([Stop.TOOLS if called else Stop.END, Stop.LENGTH, Stop.REFUSED]))
    return [*events, Finished(stop, draw(USAGE))]


def written(form, events):
    writer = _writer(form, "m", IDS, include_usage=True)
    return b"".join(map(writer.write, events))


def read(form, stream):
    reader, parser = READERS[form](IDS.suffix), EventParser()
    return [neutral for event in parser.feed(stream) for neutral in reader.read(event)]


def gist(events):
    """Neighbouring pieces of one kind put together, as the formats do, and no more than what all of them can say."""
    found = []
    for event in events:
        match event:
            case TextDelta(text) | ThinkingDelta(text) | RefusalDelta(text) | ToolArguments(text):
                before = found.pop()[1] if found and found[-1][0] is type(event) else ""
                found.append((type(event), before + text))
            case ToolCallStarted(call_id, name):
                found.append((ToolCallStarted, call_id, name))
            case Finished(stop, usage):
                found.append((stop, usage))
    return found


def in_messages(events):
    """Messages have no refusals: the words are text, and the stop reason says what they are."""
    refused = any(isinstance(event, RefusalDelta) for event in events)
    for event in events:
        match event:
            case RefusalDelta(text):
                yield TextDelta(text)
            case Finished(Stop.END, usage) if refused:
                yield Finished(Stop.REFUSED, usage)
            case _:
                yield event


@settings(max_examples=200)
@given(st.sampled_from(Format), answers())
def test_what_is_written_is_read(form, events):
    expected = in_messages(events) if form is Format.MESSAGES else events
    assert gist(read(form, written(form, events))) == gist(expected)


@settings(max_examples=200)
@given(st.permutations(Format), answers())
def test_a_chain_through_all_formats_loses_nothing_that_all_of_them_can_say(chain, events):
    first, second, third = chain
    stream = translate(translate(written(first, events), first, second), second, third)
    assert gist(read(third, stream)) == gist(in_messages(events))


@pytest.mark.parametrize("form", [Format.MESSAGES, Format.RESPONSES])
@pytest.mark.parametrize(
    "seal",
    [
        Seal(Format.MESSAGES, {"signature": "s"}),
        Seal(Format.MESSAGES, {"redacted": "r"}),
        Seal(Format.RESPONSES, {"id": "rs_1", "encrypted_content": "e"}),
    ],
)
def test_a_seal_comes_back_as_it_went(form, seal):
    events = [Started(), ThinkingSealed(seal), PART_ENDED, Finished(Stop.END, None)]
    [back] = [event.seal for event in read(form, written(form, events)) if isinstance(event, ThinkingSealed)]
    expected = (
        Seal(form, {"id": "rs_42_0", "encrypted_content": "e"}) if seal.origin is form is Format.RESPONSES else seal
    )
    assert (seals.unwrap(next(iter(reversed(back.data.values())))) or back) == expected
