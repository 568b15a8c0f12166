"""What passes at a glance is what all parts would have let pass, and leaves them as they would be."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sidecar.listener.passage import KEEPALIVE, Filtered
from sidecar.wire.formats import Format
from sidecar.wire.sse import BoundaryTracker
from sidecar.wire.translate.streams.extra import UsageFilter
from sidecar.wire.translate.streams.tap import UsageTap


def chunk(**said):
    return b"data: " + json.dumps({"id": "c", "model": "m", **said}).encode() + b"\n\n"


TEXT = chunk(choices=[{"index": 0, "delta": {"content": 'a "usage" {'}, "finish_reason": None}], usage=None)
EVENTS = st.sampled_from(
    [
        TEXT,
        TEXT,
        TEXT.replace(b"usage", b"", 1),
        TEXT * 3,
        TEXT.replace(b"\n\n", b"\r\n\r\n"),
        TEXT.replace(b"\n\n", b"\r\r"),
        chunk(choices=[{"delta": {}, "finish_reason": "stop"}]),
        chunk(choices=[{"delta": {}, "usage": {"prompt_tokens": 3}}]),
        chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2}),
        chunk(choices=[]),
        chunk(error={"message": "no"}),
        b": comment\n\n",
        b": half a comment\n",
        b"data: [DONE]\n\n",
        b"data: {",
        b"\n",
    ]
)


@given(pieces=st.lists(EVENTS, max_size=8), cuts=st.lists(st.integers(0, 1500), max_size=6), whole=st.booleans())
def test_a_filtered_stream_is_what_its_three_parts_make_of_it(pieces, cuts, whole):
    if not whole:
        stream, at = b"".join(pieces), sorted({0, *cuts})
        pieces = [stream[start:end] for start, end in zip(at, [*at[1:], None], strict=True)]
    passage, tap, through, gaps = Filtered(Format.CHAT), UsageTap(Format.CHAT), UsageFilter(), BoundaryTracker()
    for piece in pieces:
        tap.feed(piece)
        out = through.feed(piece)
        gaps.feed(out)
        at_a_glance = passage.glance(piece) if piece.endswith(b"\n\n") else None
        assert (passage.feed(piece) if at_a_glance is None else at_a_glance) == out
        assert passage.account == tap.account
        assert passage.keepalive == (KEEPALIVE[Format.CHAT] if gaps.between else b"")
    assert passage.finish() == through.close()


def test_an_event_with_a_choice_passes_at_a_glance_and_any_other_does_not():
    tap = UsageTap(Format.CHAT)
    assert not tap.passes(TEXT)  # the first is read, for the model
    tap.feed(TEXT)
    assert tap.passes(TEXT)
    assert not any(
        map(tap.passes, (TEXT + TEXT, TEXT[:-1], b"data: [DONE]\n\n", chunk(choices=[]), chunk(error={"a": 1})))
    )
    assert tap.account.response_model == "m"
